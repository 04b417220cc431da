"""How alike two texts are: by a model that learnt it, or by the cosine of the vectors of any other."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import read_rows, stream_rows
from wenmo.data.rows import Text
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.inference.counts import TextCounts
from wenmo.inference.elmo_embedder import ElmoEmbedder
from wenmo.inference.embedder import Embedder
from wenmo.inference.engines import known_precision
from wenmo.inference.texts import checked_texts, listed, windows
from wenmo.inference.writers import format_of, open_output, refuse_to_overwrite
from wenmo.interchange.sentence_transformers import SentenceVectors
from wenmo.tasks.correlation import best_threshold
from wenmo.tasks.pairs import encode_texts, text_of
from wenmo.tasks.similarity import Similarity, SimilarityConfig, is_yes_and_no, measured, number_of
from wenmo.training.distribution import choose_device

FORMATS = ("tsv", "jsonl")


@dataclass(frozen=True, slots=True)
class Likeness:
    """The answer to one pair."""

    similarity: float
    """About 0 to 1; a cosine may be less."""
    same: bool | None = None
    """Whether it reaches the threshold that was chosen on dev; None: there is none."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {"similarity": self.similarity} | ({} if self.same is None else {"same": self.same})


class SimilarityScorer:
    """A model of similarity in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        assert isinstance(folder.task, Similarity)
        self.folder, self.task = folder, folder.task.eval()
        self._device, self._precision = choose_device(device), known_precision(precision)
        self.task.to(self._device)
        self.extractor: nn.Module = self.task.extractor
        pooling = self.task.config.pooling
        self.embedder = Embedder(
            self.task,
            folder.tokenizer,
            LongTexts.of_recipe(folder.recipe),
            pair=self.task.config.pair,
            device=self._device,
            precision=precision,
            runtime=runtime,
            said=SentenceVectors(pooling=None if pooling == "own" else pooling),
        )
        """Gives single texts their vectors, where both texts of a pair are read by themselves."""

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self.embedder.runtime

    def predict(self, texts: Text | Iterable[Text]) -> list[Likeness]:
        """How alike the texts of each pair ``("a", "b")`` are, in their order.

        Raises:
            InputError: an item is not a pair.
        """
        return list(self.stream(texts))

    def stream(self, texts: Text | Iterable[Text]) -> Iterator[Likeness]:
        """As `predict`, for any number of pairs: some thousand of them are in memory at a time."""
        least = self.task.config.threshold
        for number in self.similarities(texts):
            yield Likeness(number, None if least is None else number >= least)

    def similarities(self, texts: Text | Iterable[Text]) -> Iterator[float]:
        """The numbers alone."""
        counts = TextCounts()
        for window in windows(listed(texts, self.task.config.pair), self.task.config.pair):
            yield from self._similarities(window, counts).tolist()
        counts.log(self.embedder.max_length)

    def embed(
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text, as `wenmo.inference.embedder.Embedder.embed`."""
        return self.embedder.embed(texts, pooling, normalize)

    def predict_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        file_format: str = "",
        text_column: str | None = None,
        text_b_column: str | None = None,
        encoding: str | None = None,
    ) -> dict[str, Any]:
        """Write the similarity of every pair of a source; the n-th row belongs to the n-th pair.

        Returns:
            ``rows`` and ``file``.

        Raises:
            InputError: the source cannot be read, or has no pairs.
            JobError: the result could not be written; there is no half-written file.
        """
        refuse_to_overwrite(source, out)
        chosen = file_format or format_of(out, FORMATS, "tsv", "similarities")
        if chosen not in FORMATS:
            raise InputError(f"there is no format {chosen!r}; the formats are {', '.join(FORMATS)}")
        rows = stream_rows(source, text_column=text_column, text_b_column=text_b_column, encoding=encoding)
        answers, number = self.stream(checked_texts(rows, self.task.config.pair)), 0
        with open_output(out) as file:
            write = _writer(file, chosen, self.task.config.threshold is not None)
            for number, answer in enumerate(answers, 1):  # noqa: B007
                write(answer)
        return {"rows": number, "file": str(out)}

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """How well the numbers agree with those of people.

        Returns:
            ``task``, ``rows``, ``metrics`` (each with ``value``, ``low`` and ``high``) and ``notes``.

        Raises:
            InputError: the source cannot be read, has no pairs, or a label is no number.
        """
        read = read_rows(source, **asked)
        config = self.task.config
        gold = np.array([config.scaled(number_of(row)) for row in read.rows])
        said = np.array(list(self.similarities(checked_texts(read.rows, config.pair))))
        metrics = measured(gold, said, config.threshold)
        notes = [*read.notes, *read.left_out(str(source))]
        return {"task": config.task, "rows": len(gold), "metrics": metrics, "notes": notes}

    def _similarities(self, pairs: Sequence[Text], counts: TextCounts) -> NDArray[np.float64]:
        if self.task.config.compares:
            return cosines(self.embedder, pairs, None, counts)
        columns = encode_texts(pairs, self.embedder.tokenizer, "joined", self.embedder.long_texts).columns
        counts.texts += len(pairs)
        store = TokenStore.from_rows(**columns)
        return np.asarray(self.task.answer_store(store, self._device, self._precision), np.float64)


def cosines(
    embedder: Embedder | ElmoEmbedder, pairs: Sequence[Text], pooling: str | None, counts: TextCounts | None = None
) -> NDArray[np.float64]:
    """The cosine of the vectors of each pair; 0 where a text has none but zeros."""
    texts = [text[side] for side in (0, 1) for text in pairs]
    found = np.concatenate(list(embedder.embed_windows(texts, pooling=pooling, counts=counts or TextCounts())))
    first, second = torch.from_numpy(found).double().chunk(2)
    return nn.functional.cosine_similarity(first, second).numpy()


def evaluate_vectors(
    embedder: Embedder | ElmoEmbedder,
    source: str | Path,
    *,
    dev: str | Path | None = None,
    pooling: str | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """How well the cosines of a model's vectors agree with the numbers of people; nothing is trained.

    Args:
        embedder: gives texts vectors.
        source: pairs with numbers.
        dev: other pairs with yes and no, on which the threshold of the accuracy is chosen.
        pooling: as in `Embedder.embed`.
        asked: columns and encoding of both files.

    Returns:
        As `SimilarityScorer.evaluate`, with the ``threshold`` where there is one.

    Raises:
        InputError: a file cannot be read, has no pairs, or a label is no number.
    """
    gold, said, notes = _gold_and_cosines(embedder, source, pooling, asked)
    threshold = None
    if dev is not None:
        gold_of_dev, said_of_dev, _ = _gold_and_cosines(embedder, dev, pooling, asked)
        if not is_yes_and_no(gold_of_dev):
            raise InputError(f"{dev}: a threshold is for labels of 0 and 1, and others stand here; leave --dev out")
        threshold = best_threshold(gold_of_dev, said_of_dev)
    metrics = measured(gold, said, threshold)
    return {
        "task": SimilarityConfig.task,
        "rows": len(gold),
        "metrics": metrics,
        "threshold": threshold,
        "notes": notes,
    }


def _gold_and_cosines(
    embedder: Embedder | ElmoEmbedder, source: str | Path, pooling: str | None, asked: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    read = read_rows(source, **asked)
    single = next((row for row in read.rows if row.text_b is None), None)
    if single is not None:
        raise InputError(f"{single.source}: a single text, and similarity is of pairs; bring text_a and text_b")
    gold = np.array([number_of(row) for row in read.rows])
    said = cosines(embedder, [text_of(row) for row in read.rows], pooling)
    return gold, said, [*read.notes, *read.left_out(str(source))]


def _writer(file: IO[str], file_format: str, decides: bool) -> Callable[[Likeness], None]:
    def as_json(answer: Likeness) -> None:
        file.write(json.dumps(answer.to_dict()) + "\n")

    def as_cells(answer: Likeness) -> None:
        same = f"\t{int(bool(answer.same))}" if decides else ""
        file.write(f"{answer.similarity:.6g}{same}\n")

    if file_format == "jsonl":
        return as_json
    file.write("similarity\tsame\n" if decides else "similarity\n")
    return as_cells
