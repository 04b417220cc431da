"""A language model in use: it writes on behind a prompt, and says how likely texts are."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import stream_rows
from wenmo.data.rows import Text
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.inference.embedder import Embedder, Headless
from wenmo.inference.engines import TokenIds, known_precision, packed_wanted
from wenmo.inference.writers import format_of, open_output, refuse_to_overwrite
from wenmo.inference.writing import Draft as Draft
from wenmo.inference.writing import Generated as Generated
from wenmo.inference.writing import OneTextInWriting, TextsInWriting, write
from wenmo.inference.writing_engine import PackedWriter
from wenmo.models.gpt import Gpt
from wenmo.tasks.generation import Generation
from wenmo.tasks.sampling import Sampling
from wenmo.text.code_points import CodePointTokenizer
from wenmo.text.loading import WritingTokenizer, writes
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.training.corpus import encode
from wenmo.training.distribution import choose_device
from wenmo.training.settings import DataSettings

logger = logging.getLogger(__name__)

NUM_CHARACTERS, NUM_SUBWORDS = 200, 50
"""How many tokens are written unless a person says otherwise."""
FORMATS = ("tsv", "jsonl")
_TEXTS_AT_ONCE = 8
_DRAWING = ("temperature", "top_k", "top_p", "repetition_penalty")
"""Settings of `Sampling`."""
_Item = TypeVar("_Item")
_BEGINNING = "\n"
"""What a stream goes on from where nothing is given."""


class TextGenerator:
    """A language model in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        assert isinstance(folder.task, Generation)
        assert writes(folder.tokenizer)
        self.folder = folder
        self.task: Generation = folder.task.eval()
        self.extractor: nn.Module = self.task.extractor
        self.tokenizer: WritingTokenizer = folder.tokenizer
        self.labels: tuple[str, ...] = self.task.config.labels
        """By which a text can be asked for."""
        self._data = DataSettings.model_validate(folder.recipe["data"])
        self._precision = known_precision(precision)
        self._device = choose_device(device)
        self.task.to(self._device)
        most = getattr(self.task.extractor_config, "max_position_embeddings", 0)
        trained = self._data.max_length or most
        self.limit: int = min(most, trained) if most else 0
        """Most tokens that the model reads at once; 0: any number. No place is used that no training text reached."""
        self._writer: PackedWriter | None = None
        if packed_wanted(runtime, self._why_not_packed()):
            dtype = torch.bfloat16 if self._precision == "bfloat16" else None
            self._writer = PackedWriter(cast(Gpt, self.extractor), self.task.output, dtype)

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return "torch" if self._writer is None else "packed"

    @cached_property
    def embedder(self) -> Embedder:
        """Gives texts the vectors that the model has of them; it was never asked for one of a whole text."""
        return Embedder(
            Headless(self.extractor, self.task.extractor_config),
            self.tokenizer,
            LongTexts(self.limit, "head"),
            device=self._device,
            precision=self._precision,
            place=self.folder.place,
        )

    def embed(
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text, as `wenmo.inference.embedder.Embedder.embed`."""
        return self.embedder.embed(texts, pooling, normalize)

    def generate(self, prompt: str = "", **settings: Any) -> Generated:
        """Write on behind a prompt; the arguments are those of `pieces`."""
        [written] = self._written([(prompt, settings.pop("label", None))], settings)
        return written

    def predict(self, texts: str | Iterable[str], **settings: Any) -> list[Generated]:
        """Write on behind each text; one text gives a list of one. The arguments are those of `pieces`."""
        return list(self.stream([texts] if isinstance(texts, str) else texts, **settings))

    def stream(self, texts: Iterable[str], **settings: Any) -> Iterator[Generated]:
        """As `predict`, some texts at a time."""
        label = settings.pop("label", None)
        for part in _some(texts, self._at_once):
            yield from self._written([(text, label) for text in part], settings)

    def pieces(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: Sequence[str] = (),
        label: str | None = None,
        seed: int = 0,
    ) -> Iterator[tuple[str, Generated]]:
        """Write on behind a prompt, piece by piece.

        Args:
            prompt: what stands there already; empty: a text begins, or a stream goes on behind a line end.
            max_new_tokens: when to stop at the latest; left out: 200 characters or 50 subwords.
            temperature: above 1 is bolder, below 1 more careful, 0 takes the likeliest token each time.
            top_k: only so many likeliest tokens may come; 0: all.
            top_p: only the fewest likeliest tokens may come whose probabilities add up to this.
            repetition_penalty: above 1, tokens that stand there already are less likely.
            stop: writing ends in front of the first of these strings.
            label: of which label the text shall be, where the model was trained with labels.
            seed: the same seed writes the same text.

        Yields:
            The characters that are new, and all that was written so far.

        Raises:
            InputError: a setting cannot work, the prompt is longer than the model reads, or the label is not known.
        """
        settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "stop": stop, "seed": seed}
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
        draft = self._draft(prompt, label, **settings)
        return ((piece, draft.written) for _, piece in self._write([draft], sampling) if piece or draft.ended)

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """How likely the texts of a source are: ``metrics`` has cross entropy, perplexity and bits a character."""
        found = self.task.config.read(str(source), **asked)
        store = encode(found.rows, self.tokenizer, self.task.config, self._data.reading)
        answers = self.task.answer_store(store, self._device, self._precision)
        return {
            "task": self.task.config.task,
            "rows": len(found.rows),
            "tokens": int(answers[:, 1].sum()),
            "metrics": self.task.measure(self.task.gold(store), answers),
            "notes": found.notes,
        }

    def predict_file(
        self, source: str | Path, out: str | Path, *, file_format: str = "", **asked: Any
    ) -> dict[str, Any]:
        """Write on behind every text of a source: a JSON line for each, or one tab-separated line."""
        refuse_to_overwrite(source, out)
        wanted = file_format or format_of(out, FORMATS, "tsv", "texts")
        count = 0
        with open_output(out) as file:
            if wanted == "tsv":
                file.write("text\ttokens\tlogprob\n")
            for rows in _some(stream_rows(source, **asked), self._at_once):
                labels = [row.label if self.labels and isinstance(row.label, str) else None for row in rows]
                for written in self._written(list(zip((row.text for row in rows), labels, strict=True)), {}):
                    cells = (_one_line(written.text), str(written.tokens), f"{written.logprob:.6g}")
                    line = json.dumps(written.to_dict(), ensure_ascii=False) if wanted == "jsonl" else "\t".join(cells)
                    file.write(line + "\n")
                    count += 1
        return {"rows": count, "file": str(out)}

    @property
    def _at_once(self) -> int:
        """Texts that are written together: a step takes about as long for some as for one."""
        return 1 if self._writer is None else _TEXTS_AT_ONCE

    def _written(self, asked: Sequence[tuple[str, str | None]], settings: dict[str, Any]) -> list[Generated]:
        """What is written behind each prompt, with its label."""
        drawing = {name: value for name, value in settings.items() if name in _DRAWING}
        others = {name: value for name, value in settings.items() if name not in _DRAWING}
        sampling = Sampling(**drawing)
        drafts = [self._draft(prompt, label, **others) for prompt, label in asked]
        for _ in self._write(drafts, sampling):
            pass
        return [draft.written for draft in drafts]

    def _draft(
        self,
        prompt: str,
        label: str | None,
        max_new_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Draft:
        """A text that nothing was written of."""
        if isinstance(stop, str):
            stop = (stop,)
        most = self._default_length() if max_new_tokens is None else max_new_tokens
        if most < 0 or not all(stop):
            raise InputError(f"max_new_tokens is at least 0 and a stop string not empty; got {most} and {list(stop)}")
        generator = torch.Generator().manual_seed(seed)
        return Draft(self._prompt_ids(prompt, label), generator, self.tokenizer, most, tuple(stop))

    def _write(self, drafts: Sequence[Draft], sampling: Sampling) -> Iterator[tuple[Draft, str]]:
        texts: TextsInWriting
        if self._writer is not None:
            texts = self._writer.begin(len(drafts))
        else:
            assert len(drafts) == 1, "the model itself writes one text at a time"
            texts = OneTextInWriting(self.task, self._device, self._precision)
        return write(drafts, texts, self.task, sampling, num_tokens=self.tokenizer.vocab_size, limit=self.limit)

    def _why_not_packed(self) -> str:
        if not isinstance(self.extractor, Gpt):
            return f"writes by a GPT, and this is a {type(self.extractor).__name__}"
        return "" if self._device.type == "cpu" else f"runs on the CPU, and the device is {self._device}"

    def _default_length(self) -> int:
        return NUM_CHARACTERS if isinstance(self.tokenizer, CodePointTokenizer) else NUM_SUBWORDS

    def _prompt_ids(self, prompt: str, label: str | None) -> list[int]:
        [ids] = self.tokenizer.encode_batch([prompt])
        config = self.task.config
        begins = config.unit == "text"
        if label is not None and not begins:
            raise InputError("the model was trained on one stream, which has no labels; leave the label out")
        first = [config.first_token(label, self.tokenizer)] if begins else []
        if not first and not len(ids):
            ids = self._beginning()
        found = [*first, *ids.tolist()]
        if num_unknown := int((ids == self.tokenizer.unk_token_id).sum()):
            subject = "character of the prompt is" if num_unknown == 1 else "characters of the prompt are"
            logger.warning("%d %s unknown to the model", num_unknown, subject)
        if self.limit and len(found) > self.limit:
            raise InputError(
                f"the prompt has {len(found)} tokens, and the model reads at most {self.limit}; shorten it, or train "
                f"with a larger data.max_length"
            )
        return found

    def _beginning(self) -> TokenIds:
        """What a stream goes on from: the checkpoint's own beginning of a text, or the end of a line."""
        if isinstance(self.tokenizer, PretrainedTokenizer) and self.tokenizer.bos_token_id is not None:
            return np.array([self.tokenizer.bos_token_id], np.int32)
        [ids] = self.tokenizer.encode_batch([_BEGINNING])
        if not len(ids):
            raise InputError("this model goes on from a text and has no beginning of its own; give a prompt")
        return ids


def _some(items: Iterable[_Item], number: int) -> Iterator[list[_Item]]:
    """So many at a time."""
    remaining = iter(items)
    while part := list(islice(remaining, number)):
        yield part


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
