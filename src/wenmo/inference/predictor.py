"""Raw texts and pairs to answers and vectors: in their order, in flat memory, the same alone and in company."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Text
from wenmo.folder import ModelFolder
from wenmo.inference.counts import TextCounts as TextCounts
from wenmo.inference.embedder import Embedder
from wenmo.inference.texts import Columns, listed
from wenmo.tasks.abstention import CONFIDENCE, Promise, require_promise
from wenmo.tasks.classification import Classification, as_classifier
from wenmo.tasks.drift import DriftWatch
from wenmo.tasks.pairs import Pair, unknown_shares
from wenmo.text.loading import AnyTokenizer
from wenmo.training.distribution import choose_device


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


class Predictor:
    """A model in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        self.folder = folder
        self.task: Classification = as_classifier(folder.task.eval(), folder.place)
        chosen = choose_device(device)
        self.task.to(chosen)
        self.tokenizer: AnyTokenizer = folder.tokenizer
        self.extractor: nn.Module = self.task.extractor
        self.labels: tuple[str, ...] = self.task.config.labels
        self.embedder = Embedder(
            self.task,
            self.tokenizer,
            LongTexts.of_recipe(folder.recipe),
            pair=self.task.config.pair,
            device=chosen,
            precision=precision,
            runtime=runtime,
        )
        """Gives texts the vectors that the classifier sees, and others."""

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self.embedder.runtime

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read at once; 0: all."""
        return self.embedder.max_length

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
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text or pair, as `wenmo.inference.embedder.Embedder.embed`."""
        return self.embedder.embed(texts, pooling, normalize)

    def embedding_size(self, pooling: str | None = None, text: Text | None = None) -> int:
        """Width of what `embed` gives for texts of the kind of ``text``; None: for what the model was trained on."""
        return self.embedder.embedding_size(pooling, text)

    def _answer_windows(self, texts: Text | Iterable[Text], counts: TextCounts | None) -> Iterator[NDArray[np.float32]]:
        counted = counts or TextCounts()
        if self.folder.calibration is not None and counted.drift is None:
            counted.drift = DriftWatch(self.folder.calibration)
        for columns in self.embedder.encode_windows(listed(texts, self.pair), counted, self.pair):
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

    @torch.inference_mode()
    def _answer(self, columns: Columns) -> NDArray[np.float32]:
        vectors = self.embedder.own_vectors(columns)
        logits = self.task.classify(vectors.to(self.task.classifier.weight.dtype))
        answers: NDArray[np.float32] = self.task.probabilities(logits.float()).cpu().numpy()
        return answers

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
