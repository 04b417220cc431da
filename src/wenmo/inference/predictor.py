"""Raw texts and pairs to answers and vectors: in their order, in flat memory, the same alone and in company."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Text
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.inference.engines import choose_engine, known_precision
from wenmo.inference.long_texts import windowed
from wenmo.inference.texts import Columns, listed, own_vectors, pooled_vectors, windows
from wenmo.models.pooling import Pooling
from wenmo.tasks.abstention import CONFIDENCE, Promise, require_promise
from wenmo.tasks.classification import Classification, as_classifier
from wenmo.tasks.drift import DriftWatch
from wenmo.tasks.pairs import VECTORS_OF_A_PAIR, Pair, encode_texts, unknown_shares
from wenmo.text.loading import AnyTokenizer
from wenmo.training.distribution import choose_device

logger = logging.getLogger(__name__)

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
    levels: tuple[tuple[str, float], ...] = ()
    """Where labels are in a tree, each node from the top down to ``label`` with its probability."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        label = list(self.label) if isinstance(self.label, tuple) else self.label
        shown = {"label": label, "probability": self.probability, "probabilities": self.probabilities}
        levels = [{"label": node, "probability": probability} for node, probability in self.levels]
        return shown | ({"levels": levels} if levels else {})


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


class Predictor:
    """A model in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        self.folder = folder
        self.task: Classification = as_classifier(folder.task.eval(), folder.place)
        self.tokenizer: AnyTokenizer = folder.tokenizer
        self.extractor: nn.Module = self.task.extractor
        self.labels: tuple[str, ...] = self.task.config.labels
        self.max_length: int = folder.recipe.get("data", {}).get("max_length", 0)
        """Tokens of a text that are read at once; 0: all."""
        self.long_texts = LongTexts.of_recipe(folder.recipe)
        self._precision = known_precision(precision)
        self._device = choose_device(device)
        self.task.to(self._device)
        self._engine = windowed(
            choose_engine(self.extractor, runtime, self._device, self._precision), self.task.windows
        )

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self._engine.name

    @property
    def pair(self) -> Pair:
        """How the model reads pairs; ``none``: it reads single texts."""
        return self.task.config.pair

    def predict(
        self, texts: Text | Iterable[Text], *, abstain: float | None = None, confidence: float = CONFIDENCE
    ) -> list[Prediction]:
        """The answer to each text, or to each pair ``("a", "b")``, in their order; a single one gives a list of one.

        Args:
            texts: one text or many, or pairs.
            abstain: give no label where the model is not sure enough for an error of at most this share among the
                texts with a label; see `promise`.
            confidence: with which the promise holds.

        Raises:
            InputError: an item is not a string, or not a pair where the model reads pairs; or the promise cannot be
                made.
        """
        return list(self.stream(texts, promise=self.promise(abstain, confidence) if abstain is not None else None))

    def promise(self, risk: float, confidence: float = CONFIDENCE) -> Promise:
        """Above which probability an answer may be given, so that at most ``risk`` of the answers are wrong.

        Raises:
            InputError: the model keeps no calibration rows, or they cannot promise so little.
        """
        return require_promise(self.folder.calibration, risk, confidence)

    def stream(
        self, texts: Text | Iterable[Text], *, counts: TextCounts | None = None, promise: Promise | None = None
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

    def probabilities(self, texts: Text | Iterable[Text], *, counts: TextCounts | None = None) -> NDArray[np.float32]:
        """``(rows, num_labels)``, the labels in the order of ``labels``."""
        windows = list(self._answer_windows(texts, counts))
        return np.concatenate(windows) if windows else np.empty((0, len(self.labels)), np.float32)

    def embed(
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool = False
    ) -> NDArray[np.float32]:
        """A vector for each text or pair, ``(rows, size)``.

        A model that encodes both texts of a pair by themselves gives single texts their own vectors ``u``, and pairs
        ``[u, v, |u - v|, u * v]``. One that reads both as one text, or compares them, gives vectors of pairs alone.

        Args:
            texts: one text or many, or pairs; all of one kind.
            pooling: None is the model's own sentence vector; ``mean``, ``max``, ``first`` (or ``cls``) and ``last``
                make it of the vectors of the tokens.
            normalize: to length 1; a vector of zeros stays as it is.

        Raises:
            InputError: there is no such pooling, or an item is not a string or a pair as it should be.
        """
        found = list(self.embed_windows(texts, pooling=pooling, normalize=normalize))
        return np.concatenate(found) if found else np.empty((0, self.embedding_size(pooling)), np.float32)

    def embed_windows(
        self,
        texts: Text | Iterable[Text],
        *,
        pooling: str | None = None,
        normalize: bool = False,
        counts: TextCounts | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """As `embed`, some thousand rows at a time."""
        how = _known_pooling(pooling)
        first, texts = _peek(listed(texts, self.pair))
        for columns in self._encode_windows(texts, counts, self.pair_to_embed(first)):
            vectors = self._vectors(columns, how)
            if normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            yield vectors.float().cpu().numpy()

    def pair_to_embed(self, text: Text | None) -> Pair:
        """How texts of this kind are embedded: single texts have vectors where both of a pair are encoded alike."""
        alone = isinstance(text, str) and self.pair == "siamese" and not self.task.compares
        return "none" if alone else self.pair

    def embedding_size(self, pooling: str | None = None, text: Text | None = None) -> int:
        """Width of what `embed` gives for texts of the kind of ``text``; None: for what the model was trained on."""
        config = self.task.extractor_config
        size = config.pooler_size if pooling is None else config.hidden_size
        compared = self.pair_to_embed(text) == "siamese" and not self.task.compares
        return VECTORS_OF_A_PAIR * size if compared else size

    def _answer_windows(self, texts: Text | Iterable[Text], counts: TextCounts | None) -> Iterator[NDArray[np.float32]]:
        counted = counts or TextCounts()
        if self.folder.calibration is not None and counted.drift is None:
            counted.drift = DriftWatch(self.folder.calibration)
        for columns in self._encode_windows(listed(texts, self.pair), counted, self.pair):
            answers = self._answer(columns)
            if counted.drift is not None:
                self._watch(counted.drift, columns, answers)
            yield answers
        if counts is None:
            counted.log(self.max_length)

    def _watch(self, drift: DriftWatch, columns: Columns, answers: NDArray[np.float32]) -> None:
        said = self.task.decide(answers)
        drift.add(self.task.confidence(answers, said), dict(zip(self.labels, said.sum(axis=0).tolist(), strict=True)))
        drift.add_unknown(unknown_shares(columns, self.tokenizer))

    def _encode_windows(self, texts: Iterable[Text], counts: TextCounts | None, pair: Pair) -> Iterator[Columns]:
        """Texts as ids, as many at a time as shall be in memory."""
        counted = counts or TextCounts()
        for window in windows(texts, pair, counted.texts):
            yield self._encode(window, counted, pair)
        if counts is None:
            counted.log(self.max_length)

    def _encode(self, texts: Sequence[Text], counts: TextCounts, pair: Pair) -> Columns:
        encoded = encode_texts(texts, self.tokenizer, pair, self.long_texts)
        if encoded.cut:
            counts.cut, counts.reading = counts.cut + len(encoded.cut), self.long_texts
        if len(encoded.unknown):
            counts.first_unknown = counts.first_unknown or counts.texts + int(encoded.unknown[0]) + 1
            counts.unknown += len(encoded.unknown)
        counts.texts += len(texts)
        return encoded.columns

    @torch.inference_mode()
    def _answer(self, columns: Columns) -> NDArray[np.float32]:
        vectors = own_vectors(columns, self.task, self._engine, self._device, self._precision)
        logits = self.task.classify(vectors.to(self.task.classifier.weight.dtype))
        answers: NDArray[np.float32] = self.task.probabilities(logits.float()).cpu().numpy()
        return answers

    @torch.inference_mode()
    def _vectors(self, columns: Columns, how: Pooling | None) -> Tensor:
        if how is None:
            return own_vectors(columns, self.task, self._engine, self._device, self._precision)
        return pooled_vectors(columns, self.task, how, self._device, self._precision)

    def _predictions(self, probabilities: NDArray[np.float32], least: float = 0.0) -> Iterator[Prediction]:
        """An answer for each row; without a label where its probability is below ``least``."""
        chosen = self.task.decide(probabilities)
        confidence = self.task.confidence(probabilities, chosen).tolist()
        several, tree = self.task.config.multi_label, self.task.hierarchy
        levels = tree.levels(probabilities, chosen.argmax(axis=1)) if tree else [()] * len(probabilities)
        for row, yes, certain, nodes in zip(probabilities.tolist(), chosen.tolist(), confidence, levels, strict=True):
            names = tuple(name for name, has in zip(self.labels, yes, strict=True) if has)
            label = (names if several else names[0]) if certain >= least else None
            yield Prediction(label, certain, dict(zip(self.labels, row, strict=True)), nodes)


def _peek(texts: Iterable[Text]) -> tuple[Text | None, Iterable[Text]]:
    """The first text, and all of them."""
    remaining = iter(texts)
    first = list(islice(remaining, 1))
    return (first[0] if first else None), chain(first, remaining)


def _known_pooling(name: str | None) -> Pooling | None:
    if name is not None and name not in _POOLINGS:
        raise InputError(f"there is no pooling {name!r}; the poolings are {', '.join(_POOLINGS)}")
    return None if name is None else _POOLINGS[name]
