"""Raw texts to answers and vectors: in their order, in flat memory, the same alone and in company."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.long_texts import LongTexts
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.folder import ModelFolder, load_folder
from wenmo.inference.engines import Precision, TokenIds, choose_engine, run_in_batches
from wenmo.inference.long_texts import vectors_of_windows, windowed
from wenmo.models.pooling import Pooling, pool
from wenmo.tasks.abstention import CONFIDENCE, Promise, require_promise
from wenmo.tasks.classification import Classification
from wenmo.tasks.drift import DriftWatch
from wenmo.text.tokenizers import Tokenizer
from wenmo.training.distribution import choose_device

logger = logging.getLogger(__name__)

_WINDOW_TEXTS = 8192
_WINDOW_CHARACTERS = 8_000_000
"""Texts in hand at a time: among them those of one length are found, and no more of them are in memory."""
_PRECISIONS: dict[str, Precision] = {"float32": "float32", "bfloat16": "bfloat16"}
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "max": "max", "first": "first", "cls": "first", "last": "last"}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one text."""

    label: str | tuple[str, ...] | None
    """The likeliest label; where a text may have several, all of at least 0.5, also none; or as thresholds or costs say
    that the model has. None: the model abstains."""
    probability: float
    """Of ``label``, or of what it would be; where a text may have several, of the least certain of the yes and no said
    to each label."""
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        label = list(self.label) if isinstance(self.label, tuple) else self.label
        return {"label": label, "probability": self.probability, "probabilities": self.probabilities}


@dataclass
class TextCounts:
    """What was remarkable about the texts of a call; brought along by the caller and counted up as they are read."""

    texts: int = 0
    cut: int = 0
    """Texts with more tokens than the model reads at once."""
    unknown: int = 0
    """Texts without any token that the model knows, also empty ones."""
    first_unknown: int = 0
    """Which text, from 1, was the first of them."""
    reading: LongTexts | None = field(default=None, compare=False)
    """What was done to the texts that were cut, as the predictor says; without it they were cut behind the limit."""
    drift: DriftWatch | None = None
    """How the answers differ from those to the calibration rows, where the model has some."""

    def warnings(self, max_length: int) -> list[str]:
        """A sentence for each count that is not 0."""
        said = []
        if self.cut:
            done = (self.reading or LongTexts(max_length)).participle
            said.append(f"{self.cut:,} of {self.texts:,} texts were {done}, as in training")
        if self.unknown:
            said.append(
                f"{self.unknown:,} of {self.texts:,} texts have no token that the model knows; the first is text "
                f"{self.first_unknown:,}. Their answer says nothing about them"
            )
        return said + (self.drift.sentences() if self.drift else [])

    def log(self, max_length: int) -> None:
        """Say them as warnings."""
        for sentence in self.warnings(max_length):
            logger.warning("%s", sentence)


def load(path: str | Path, *, device: str = "", precision: str = "float32", runtime: str = "auto") -> "Predictor":
    """Load a model folder for use.

    Args:
        path: what `wenmo.train` or `wenmo.compare` made.
        device: such as ``cpu`` or ``cuda:1``; empty: a GPU where there is one.
        precision: ``float32`` or ``bfloat16``.
        runtime: what runs the model: ``torch``, ``packed`` (faster, for a TextCNN on the CPU), or ``auto``, which takes
            the fastest that covers the model.

    Raises:
        InputError: the folder is not a whole model, or one of the settings cannot work.
    """
    return Predictor(load_folder(Path(path)), device=device, precision=precision, runtime=runtime)


def loaded(
    model: "Predictor | str | Path", *, device: str = "", precision: str = "float32", runtime: str = "auto"
) -> "Predictor":
    """A model that may be loaded already, or else as `load` does it."""
    if isinstance(model, Predictor):
        return model
    return load(model, device=device, precision=precision, runtime=runtime)


class Predictor:
    """A model in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        self.folder = folder
        self.task: Classification = folder.task.eval()
        self.tokenizer: Tokenizer = folder.tokenizer
        self.extractor: nn.Module = folder.task.extractor
        self.labels: tuple[str, ...] = folder.task.config.labels
        self.max_length: int = folder.recipe.get("data", {}).get("max_length", 0)
        """Tokens of a text that are read at once; 0: all."""
        self.long_texts = LongTexts.of_recipe(folder.recipe)
        self._precision = _known_precision(precision)
        self._device = choose_device(device)
        self.task.to(self._device)
        self._engine = windowed(
            choose_engine(self.extractor, runtime, self._device, self._precision), self.task.windows
        )

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self._engine.name

    def predict(
        self, texts: str | Iterable[str], *, abstain: float | None = None, confidence: float = CONFIDENCE
    ) -> list[Prediction]:
        """The answer to each text, in their order; a single text gives a list of one.

        Args:
            texts: one text or many.
            abstain: give no label where the model is not sure enough for an error of at most this share among the
                texts with a label; see `promise`.
            confidence: with which the promise holds.

        Raises:
            InputError: an item is not a string, or the promise cannot be made.
        """
        return list(self.stream(texts, promise=self.promise(abstain, confidence) if abstain is not None else None))

    def promise(self, risk: float, confidence: float = CONFIDENCE) -> Promise:
        """Above which probability an answer may be given, so that at most ``risk`` of the answers are wrong.

        Raises:
            InputError: the model keeps no calibration rows, or they cannot promise so little.
        """
        return require_promise(self.folder.calibration, risk, confidence)

    def stream(
        self, texts: str | Iterable[str], *, counts: TextCounts | None = None, promise: Promise | None = None
    ) -> Iterator[Prediction]:
        """As `predict`, for any number of texts: some thousands of them are in memory at a time.

        Args:
            texts: one text or many.
            counts: where to count texts that were cut or are unknown; without it they are logged at the end.
            promise: what `promise` gave; less sure answers have no label.
        """
        least = promise.threshold if promise else 0.0
        for probabilities in self._answer_windows(texts, counts):
            yield from self._predictions(probabilities, least)

    def probabilities(self, texts: str | Iterable[str], *, counts: TextCounts | None = None) -> NDArray[np.float32]:
        """``(rows, num_labels)``, the labels in the order of ``labels``."""
        windows = list(self._answer_windows(texts, counts))
        return np.concatenate(windows) if windows else np.empty((0, len(self.labels)), np.float32)

    def embed(
        self, texts: str | Iterable[str], pooling: str | None = None, normalize: bool = False
    ) -> NDArray[np.float32]:
        """A vector for each text, ``(rows, size)``.

        Args:
            texts: one text or many.
            pooling: None is the model's own sentence vector; ``mean``, ``max``, ``first`` (or ``cls``) and ``last``
                make it of the vectors of the tokens.
            normalize: to length 1; a vector of zeros stays as it is.

        Raises:
            InputError: there is no such pooling, or an item is not a string.
        """
        windows = list(self.embed_windows(texts, pooling=pooling, normalize=normalize))
        return np.concatenate(windows) if windows else np.empty((0, self.embedding_size(pooling)), np.float32)

    def embed_windows(
        self,
        texts: str | Iterable[str],
        *,
        pooling: str | None = None,
        normalize: bool = False,
        counts: TextCounts | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """As `embed`, some thousand rows at a time."""
        how = _known_pooling(pooling)
        for rows in self._encode_windows(texts, counts):
            vectors = self._vectors(rows, how)
            if normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            yield vectors.float().cpu().numpy()

    def embedding_size(self, pooling: str | None = None) -> int:
        """Width of what `embed` gives."""
        config = self.task.extractor_config
        return config.pooler_size if pooling is None else config.hidden_size

    def _answer_windows(self, texts: str | Iterable[str], counts: TextCounts | None) -> Iterator[NDArray[np.float32]]:
        counted = counts or TextCounts()
        if self.folder.calibration is not None and counted.drift is None:
            counted.drift = DriftWatch(self.folder.calibration)
        for rows in self._encode_windows(texts, counted):
            answers = self._answer(rows)
            if counted.drift is not None:
                self._watch(counted.drift, rows, answers)
            yield answers
        if counts is None:
            counted.log(self.max_length)

    def _watch(self, drift: DriftWatch, rows: Sequence[TokenIds], answers: NDArray[np.float32]) -> None:
        said = self.task.decide(answers)
        drift.add(self.task.confidence(answers, said), dict(zip(self.labels, said.sum(axis=0).tolist(), strict=True)))
        unknown = self.tokenizer.unk_token_id
        drift.add_unknown(np.array([np.mean(row == unknown) if len(row) else 1.0 for row in rows]))

    def _encode_windows(self, texts: str | Iterable[str], counts: TextCounts | None) -> Iterator[list[TokenIds]]:
        """Texts as ids, as many at a time as shall be in memory."""
        counted = counts or TextCounts()
        for window in _windows([texts] if isinstance(texts, str) else texts, counted):
            yield self._encode(window, counted)
        if counts is None:
            counted.log(self.max_length)

    def _encode(self, texts: Sequence[str], counts: TextCounts) -> list[TokenIds]:
        rows = self.tokenizer.encode_batch(texts)
        if self.max_length:
            too_long = [i for i, row in enumerate(rows) if len(row) > self.max_length]
            for i in too_long:
                rows[i] = self.long_texts.cut(rows[i])
            counts.cut, counts.reading = counts.cut + len(too_long), self.long_texts
        unknown = _without_known(rows, self.tokenizer.unk_token_id)
        if len(unknown):
            counts.first_unknown = counts.first_unknown or counts.texts + int(unknown[0]) + 1
            counts.unknown += len(unknown)
        counts.texts += len(rows)
        return rows

    @torch.inference_mode()
    def _answer(self, rows: Sequence[TokenIds]) -> NDArray[np.float32]:
        logits = self.task.classifier(self._engine.pooled(rows).to(self.task.classifier.weight.dtype))
        answers: NDArray[np.float32] = self.task.probabilities(logits.float()).cpu().numpy()
        return answers

    @torch.inference_mode()
    def _vectors(self, rows: Sequence[TokenIds], how: Pooling | None) -> Tensor:
        if how is None:
            return self._engine.pooled(rows)

        def pooled(batch: TokenBatch) -> Tensor:
            return pool(self.extractor(batch).last_hidden_state, batch.attention_mask, how)

        def computed(texts: Sequence[TokenIds]) -> Tensor:
            return run_in_batches(texts, pooled, self._device, self._precision)

        return vectors_of_windows(rows, self.task.windows, computed) if self.task.windows else computed(rows)

    def _predictions(self, probabilities: NDArray[np.float32], least: float = 0.0) -> Iterator[Prediction]:
        """An answer for each row; without a label where its probability is below ``least``."""
        chosen = self.task.decide(probabilities)
        confidence = self.task.confidence(probabilities, chosen).tolist()
        several = self.task.config.multi_label
        for row, yes, certain in zip(probabilities.tolist(), chosen.tolist(), confidence, strict=True):
            names = tuple(name for name, has in zip(self.labels, yes, strict=True) if has)
            label = (names if several else names[0]) if certain >= least else None
            yield Prediction(label, certain, dict(zip(self.labels, row, strict=True)))


def _windows(texts: Iterable[str], counts: TextCounts) -> Iterator[list[str]]:
    window: list[str] = []
    num_characters = 0
    for text in texts:
        if not isinstance(text, str):
            number = counts.texts + len(window) + 1
            raise InputError(f"text {number:,} is {text!r:.40}, a {type(text).__name__}; texts are strings")
        window.append(text)
        num_characters += len(text)
        if len(window) >= _WINDOW_TEXTS or num_characters >= _WINDOW_CHARACTERS:
            yield window
            window, num_characters = [], 0
    if window:
        yield window


def _without_known(rows: Sequence[TokenIds], unk_token_id: int) -> NDArray[np.int64]:
    """Which rows hold nothing but unknown tokens."""
    ends = np.cumsum([0, *map(len, rows)])
    num_known = np.concatenate([[0], np.cumsum(np.concatenate(rows) != unk_token_id)])
    return np.flatnonzero(num_known[ends[1:]] == num_known[ends[:-1]])


def _known_precision(name: str) -> Precision:
    if name not in _PRECISIONS:
        raise InputError(f"there is no precision {name!r}; the precisions are {', '.join(_PRECISIONS)}")
    return _PRECISIONS[name]


def _known_pooling(name: str | None) -> Pooling | None:
    if name is not None and name not in _POOLINGS:
        raise InputError(f"there is no pooling {name!r}; the poolings are {', '.join(_POOLINGS)}")
    return None if name is None else _POOLINGS[name]
