"""Raw texts to the texts that a model writes to them: in order, in flat memory, and the same alone and in company."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wenmo.data.batching import BatchOrder, token_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.parallel import read_parallel, stream_texts
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.inference.engines import known_precision
from wenmo.inference.translation_files import open_translations
from wenmo.inference.writers import refuse_to_overwrite
from wenmo.tasks.answering import autocast
from wenmo.tasks.beam_search import Hypothesis
from wenmo.tasks.translation import Translation, with_end
from wenmo.tasks.translation_metrics import signatures, translation_metrics
from wenmo.text.ngrams import Ids
from wenmo.training.distribution import choose_device

logger = logging.getLogger(__name__)

_TEXTS_AT_ONCE = 4096
"""Texts in hand at a time, among which those of like length are found."""
_PLACES = 4096
"""Tokens of a batch, those of all hypotheses counted: more would not stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Translated:
    """What a model wrote to a text."""

    target: str
    score: float
    """The log-probability over the length penalty; nearer to 0 is better."""
    others: tuple["Translated", ...] = ()
    """The next best, where more than one was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        shown: dict[str, Any] = {"target": self.target, "score": float(f"{self.score:.6g}")}
        return shown | ({"others": [each.to_dict() for each in self.others]} if self.others else {})


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Where a model looked while it wrote."""

    source: tuple[str, ...]
    """The tokens of the text, the last of them its end."""
    target: tuple[str, ...]
    """Those that were written, the last of them the end."""
    weights: NDArray[np.float32]
    """``(target, source)``; each row sums to 1."""


class Translator:
    """A model that reads one text and writes another."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        """Use `wenmo.load`.

        Raises:
            InputError: there is no such precision, or the runtime does not run it.
        """
        if runtime not in ("auto", "torch"):
            raise InputError(f"runtime={runtime!r} does not run a model that writes; use 'auto' or 'torch'")
        self.folder = folder
        self.task = cast(Translation, folder.task.eval())
        self.extractor: nn.Module = self.task.extractor
        self.tokenizer = self.task.tokenizer
        reading = LongTexts.of_recipe(folder.recipe)
        self._reading = LongTexts(max(1, reading.max_length - 1), reading.how) if reading.max_length else reading
        self._device = choose_device(device)
        self._precision = known_precision(precision)
        self.task.to(self._device)

    def predict(
        self,
        texts: str | Iterable[str],
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        num_answers: int = 1,
    ) -> list[Translated]:
        """The translation of each text, in their order; a single one gives a list of one.

        Args:
            texts: one text or many.
            num_beams: hypotheses kept while searching, 1 is greedy; None: as the model was made.
            length_penalty: its exponent; None: as the model was made.
            num_answers: how many of the best are given, at most one for each beam.

        Raises:
            InputError: an item is not a string, or a number cannot work.
        """
        return list(self.stream(texts, num_beams=num_beams, length_penalty=length_penalty, num_answers=num_answers))

    def stream(
        self,
        texts: str | Iterable[str],
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        num_answers: int = 1,
    ) -> Iterator[Translated]:
        """As `predict`, one after the other, with some thousand texts in memory."""
        beams = max(num_beams or self.task.config.num_beams, num_answers) if num_beams is None else num_beams
        if not 1 <= num_answers <= beams:
            raise InputError(
                f"{num_answers} answers are asked for, and {beams} beams find from 1 to as many as they are"
            )
        if length_penalty is not None and length_penalty < 0:
            raise InputError(f"length_penalty must be at least 0; got {length_penalty}")
        remaining = iter([texts] if isinstance(texts, str) else texts)
        while window := list(islice(remaining, _TEXTS_AT_ONCE)):
            found = self.answer_ids(self.ids(window), beams, length_penalty)
            for text, hypotheses in zip(window, found, strict=True):
                yield self._translated(hypotheses[:num_answers]) if text.strip() else Translated("", 0.0)

    def align(self, text: str) -> tuple[Translated, Alignment]:
        """Translate a text, and say where the model looked for each token; of a Transformer, its last layer.

        Raises:
            InputError: the model has no attention.
        """
        batch = token_batch(self.ids([text])).to(self._device)
        best = self.task.answer(batch, self.task.config.num_beams)[0][0]
        read = torch.tensor([[cast(int, self.tokenizer.bos_token_id), *best.ids]], device=self._device)
        with torch.no_grad():
            written = self.task.writer.step(read, self.task.writer.start(batch), output_attentions=True)
        if written.attentions is None:
            raise InputError("the model keeps one vector of a text and looks at no token, so there is nothing to draw")
        weights = written.attentions[0].float().cpu().numpy()
        offsets = self.tokenizer.encode(text).offsets
        places = self._reading.cut(np.arange(len(offsets), dtype=np.int32))
        source = [text[slice(*offsets[place])] for place in places]
        target = [self.tokenizer.decode([i]).strip() for i in best.ids]
        return self._translated([best]), Alignment((*source, "⏎"), (*target, "⏎"), weights)

    def predict_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        file_format: str = "",
        text_column: str | None = None,
        encoding: str | None = None,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        num_answers: int = 1,
    ) -> dict[str, Any]:
        """Translate every text of a source; the n-th row of the result belongs to the n-th row of the source.

        Args:
            source: a table, or a file with a text in each line; ``"-"`` is standard input.
            out: the file to write, or ``"-"`` for standard output.
            file_format: ``tsv``, ``jsonl`` or ``txt``; empty: as the ending of ``out`` says, tsv to standard output.
            text_column: where the texts of a table stand; None: ``source``, or else found by its name.
            encoding: of a text file, if the reader does not find it.
            num_beams: as in `predict`, also the two behind it.
            length_penalty: its exponent.
            num_answers: how many of the best are written.

        Returns:
            ``rows``, ``file``, and how many of them were ``without_text``.

        Raises:
            InputError: the source cannot be read, or the call is wrong.
            JobError: the result could not be written; there is no half-written file.
        """
        refuse_to_overwrite(source, out)
        read = stream_texts(source, text_column=text_column, encoding=encoding)
        texts = chain(list(islice(read, 1)), read)  # what cannot be read is an error before anything is written
        rows = without_text = 0
        search = {"num_beams": num_beams, "length_penalty": length_penalty}
        with open_translations(out, file_format, num_answers) as write:
            for answer in self.stream(texts, num_answers=num_answers, **search):  # type: ignore[arg-type]
                write(answer.to_dict())
                rows += 1
                without_text += not answer.target and answer.score == 0
        return {"rows": rows, "file": str(out), "without_text": without_text}

    def evaluate(
        self,
        source: str | Path,
        *,
        target: str | Path | None = None,
        text_column: str | None = None,
        text_b_column: str | None = None,
        encoding: str | None = None,
    ) -> dict[str, Any]:
        """Translate texts whose translations are known, and compare, as they are read by people (detokenised).

        Args:
            source: a table with texts and targets; with ``target``, a file with a text in each line.
            target: the file whose n-th line is what the n-th line of ``source`` shall become.
            text_column: the texts of a table; None: ``source``.
            text_b_column: its targets; None: ``target``.
            encoding: of text files, if the reader does not find it.

        Returns:
            ``task``, ``rows``, ``metrics`` with 95 % intervals, sacreBLEU's ``signatures``, and ``notes``.

        Raises:
            InputError: the source cannot be read.
        """
        found = read_parallel(source, target, text_column=text_column, text_b_column=text_b_column, encoding=encoding)
        references = [row.target or "" for row in found.rows]
        said = [answer.target for answer in self.stream(row.text for row in found.rows)]
        return {
            "task": self.task.config.task,
            "rows": len(found.rows),
            "metrics": translation_metrics(references, said),
            "signatures": signatures(references),
            "notes": [*found.notes, *found.left_out(str(source))],
        }

    def _translated(self, hypotheses: Sequence[Hypothesis]) -> Translated:
        texts = self.tokenizer.decode_batch(each.ids for each in hypotheses)
        best, *others = (Translated(text, each.score) for text, each in zip(texts, hypotheses, strict=True))
        return Translated(best.target, best.score, tuple(others))

    def answer_ids(self, ids: Sequence[Ids], beams: int, length_penalty: float | None = None) -> list[list[Hypothesis]]:
        """The hypotheses of each text that `ids` gave, those of like length computed together."""
        order = BatchOrder(batch_tokens=max(1, _PLACES // beams), bucket=1 << 20, shuffle=False)
        answers: list[list[Hypothesis]] = [[] for _ in ids]
        for rows in order.epoch(np.array([len(each) for each in ids], np.int64), 0):
            batch = token_batch([ids[row] for row in rows]).to(self._device)
            with autocast(self._device, self._precision):
                found = self.task.answer(batch, beams, length_penalty)
            for row, hypotheses in zip(rows, found, strict=True):
                answers[row] = hypotheses
        return answers

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens of each text, cut as in training, and its end."""
        encoded = self.tokenizer.encode_batch(texts)
        room = self._reading.max_length
        if num_cut := sum(bool(room) and len(ids) > room for ids in encoded):
            logger.warning("%d of %d texts were %s, as in training", num_cut, len(texts), self._reading.participle)
        return [with_end(self._reading.cut(ids), self.tokenizer) for ids in encoded]
