"""How well a model answers labelled texts, and whether its probabilities and promises hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.inference.loading import Model, loaded, loaded_classifier, loaded_embedder, refuse_headless
from wenmo.inference.predictor import Predictor, TextCounts
from wenmo.inference.texts import checked_texts
from wenmo.tasks.abstention import CONFIDENCE, Promise
from wenmo.tasks.labels import label_ids
from wenmo.tasks.metrics import (
    Matrix,
    approximate_randomisation,
    confusion_matrix,
    mcnemar,
    per_class,
    wilson_interval,
)
from wenmo.tasks.reliability import Binning, as_metric, calibration_error, outcomes, reliability
from wenmo.tasks.similarity import SimilarityConfig

_BINNINGS: tuple[Binning, ...] = ("width", "mass")


@dataclass(frozen=True, eq=False)
class _Answered:
    """What a model says to some rows."""

    predictor: Predictor
    gold: NDArray[Any]
    probabilities: NDArray[np.float32]
    said: Matrix

    @property
    def right(self) -> NDArray[np.bool_]:
        """``(rows,)``."""
        return self.predictor.task.is_right(self.gold, self.said)


def evaluate(
    model: Model | Predictor | str | Path,
    data: str | Path,
    *,
    abstain: float | None = None,
    confidence: float = CONFIDENCE,
    against: Predictor | str | Path | None = None,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    target: str | Path | None = None,
    repair: bool = False,
    encoding: str | None = None,
    task: str | None = None,
    pooling: str | None = None,
    dev: str | Path | None = None,
    device: str = "",
    precision: str = "float32",
    runtime: str = "auto",
) -> dict[str, Any]:
    """Answer labelled texts and compare with their labels.

    Args:
        model: a model folder, or a loaded model; the last three arguments are for loading a folder.
        data: what `wenmo.data.readers.read_rows` reads.
        abstain: try the promise that at most this share of the answered texts is answered wrongly.
        confidence: with which it holds.
        against: another model with the same labels; is the difference more than chance?
        text_column: the column of the texts, if the reader does not find it.
        text_b_column: the column of the second texts of pairs, if the reader does not find it.
        label_column: the column of the labels, if the reader does not find it.
        label_separator: what stands between several labels in one cell; left out: as in training.
        target: for a model that translates, the file whose n-th line is what the n-th line of ``data`` shall become.
        repair: tags that break their scheme are written as it wants them; else they are refused.
        encoding: of a text file, if the reader does not find it.
        task: ``similarity``: what the cosines of the model's vectors of pairs say about numbers that people gave them,
            whatever it was trained for; left out: what it was trained for.
        pooling: of these vectors, as in `wenmo.inference.embedder.Embedder.embed`.
        dev: other pairs with labels 0 and 1, on which the threshold is chosen that makes a yes of a cosine.
        device: as in `wenmo.load`.
        precision: as in `wenmo.load`.
        runtime: as in `wenmo.load`.

    Returns:
        ``task``, ``rows``, ``metrics`` (each with ``value``, ``low`` and ``high``, the 95 % interval; ``ece`` and
        ``ece_equal_mass`` are errors of calibration), ``labels``, ``per_class``, ``confusion`` (rows: right labels,
        columns: answers; None where a text may have several), ``calibration``, ``thresholds``, ``abstention`` and
        ``against`` (None where not asked for), and what to know about the texts: how many were ``dropped`` (no text or
        no label), ``cut`` or ``unknown``, and ``notes``.

    Raises:
        InputError: the data cannot be read, or has labels that the model does not know, or the promise cannot be made.
    """
    predictor = loaded(model, device=device, precision=precision, runtime=runtime)
    columns = {
        "text_column": text_column,
        "text_b_column": text_b_column,
        "label_column": label_column,
        "encoding": encoding,
    }
    if task is not None:
        if abstain is not None or against is not None or target is not None or repair:
            raise InputError(
                "--task similarity compares vectors; leave --abstain, --against, --target and --repair out"
            )
        return _by_vectors(predictor, data, task, dev, pooling, columns)
    if pooling is not None or dev is not None:
        raise InputError("--pooling and --dev are for --task similarity; name it, or leave them out")
    if not isinstance(predictor, Predictor):
        asked = columns | {"target": None if target is None else str(target), "repair": repair or None}
        told = {name: value for name, value in asked.items() if value is not None}
        return _by_its_task(predictor, data, abstain, against, told)
    if target is not None or repair:
        raise InputError("--target is for models that translate and --repair for taggers; leave them out")
    promise = predictor.promise(abstain, confidence) if abstain is not None else None
    classifier = predictor.task
    separator = label_separator or predictor.folder.recipe.get("data", {}).get("label_separator") or None
    read = read_rows(
        data,
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=separator,
        encoding=encoding,
    )
    counts = TextCounts()
    answered = _answer(predictor, read.rows, counts)
    calibration = _calibration(answered)
    confusion = None
    if not classifier.config.multi_label:
        confusion = confusion_matrix(answered.gold, answered.said.argmax(axis=1), len(predictor.labels)).tolist()
    other = (
        loaded_classifier(against, device=device, precision=precision, runtime=runtime) if against is not None else None
    )
    errors = {"ece": as_metric(calibration["width"]), "ece_equal_mass": as_metric(calibration["mass"])}
    return {
        "task": classifier.config.task,
        "rows": len(read.rows),
        "metrics": {**classifier.measure(answered.gold, answered.probabilities), **errors},
        "labels": list(predictor.labels),
        "per_class": per_class(answered.gold, answered.said, predictor.labels),
        "confusion": confusion,
        "calibration": calibration,
        "thresholds": list(classifier.config.thresholds),
        "abstention": _abstention(answered, promise) if promise else None,
        "against": _against(answered, other, read.rows, str(against)) if other else None,
        "dropped": len(read.dropped),
        "cut": counts.cut,
        "unknown": counts.unknown,
        "notes": [*read.notes, *counts.warnings(predictor.max_length)],
    }


_ONLY_FOR = {
    "label_column": ("tag", "similarity"),
    "repair": ("tag",),
    "target": ("translate",),
    "text_b_column": ("translate", "similarity"),
}
"""What may be said of the data of some tasks alone."""


def _by_vectors(
    model: Any, data: str | Path, task: str, dev: str | Path | None, pooling: str | None, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """What the cosines of a model's vectors say; one that was trained for it and is asked for nothing else answers."""
    from wenmo.inference.similarity import SimilarityScorer, evaluate_vectors

    if task != SimilarityConfig.task:
        raise InputError(f"--task {task}: a model does what it was trained for; any gives vectors for similarity")
    if isinstance(model, SimilarityScorer) and pooling is None and dev is None:
        told = {name: value for name, value in columns.items() if value is not None}
        return model.evaluate(data, **told)
    return evaluate_vectors(loaded_embedder(model), data, dev=dev, pooling=pooling, **columns)


def _by_its_task(
    model: Model, data: str | Path, abstain: float | None, against: Any, told: Mapping[str, Any]
) -> dict[str, Any]:
    """The same of a model that does not classify, which gets what was said of the data."""
    if abstain is not None or against is not None:
        raise InputError("--abstain and --against are for classifiers; leave them out")
    refuse_headless(model)
    task = model.folder.task.config.task
    for name in told:
        if task not in _ONLY_FOR.get(name, (task,)):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option}: there is no such thing in the data of a model that can {task}; leave it out")
    return model.evaluate(data, **told)


def _answer(predictor: Predictor, rows: list[Row], counts: TextCounts) -> _Answered:
    config = predictor.task.config
    ids = label_ids(rows, config.labels, several=config.multi_label)
    gold = predictor.task.gold(TokenStore.from_rows(labels=ids))
    probabilities = predictor.probabilities(checked_texts(rows, predictor.pair), counts=counts)
    return _Answered(predictor, gold, probabilities, predictor.task.decide(probabilities))


def _calibration(answered: _Answered) -> dict[str, Any]:
    """The errors and bins of equal width and mass, and those that the model had before it was calibrated, if it was."""
    multi_label = answered.predictor.task.config.multi_label
    found: dict[str, Any] = _reliability(answered.gold, answered.probabilities, multi_label)
    before = _before_calibration(answered)
    return found | {"before": _reliability(answered.gold, before, multi_label) if before is not None else None}


def _reliability(gold: NDArray[Any], probabilities: NDArray[Any], multi_label: bool) -> dict[str, Any]:
    confidence, happened = outcomes(gold, probabilities, multi_label)
    found: dict[str, Any] = {}
    for binning in _BINNINGS:
        bins = reliability(confidence, happened, binning=binning)
        found[binning] = {**calibration_error(bins), "bins": bins}
    return found


def _before_calibration(answered: _Answered) -> NDArray[np.float64] | None:
    """The probabilities without the rescaling that the folder tells of.

    A softmax forgets what is common to all logits of a text, so a scale of its own for each label cannot be undone.
    """
    kept = answered.predictor.folder.metrics.get("calibration")
    multi_label = answered.predictor.task.config.multi_label
    if not kept or (kept["method"] == "vector" and not multi_label):
        return None
    p = np.clip(answered.probabilities.astype(np.float64), 1e-12, 1 - 1e-12 if multi_label else 1)
    logits = np.log(p) - np.log1p(-p) if multi_label else np.log(p)
    logits = (logits - np.asarray(kept["shift"])) / np.asarray(kept["scale"])
    if multi_label:
        return np.asarray(1 / (1 + np.exp(-logits)))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _abstention(answered: _Answered, promise: Promise) -> dict[str, Any]:
    """What became of a promise on these rows."""
    given = answered.predictor.task.confidence(answered.probabilities, answered.said) >= promise.threshold
    num_answered, num_wrong = int(given.sum()), int((given & ~answered.right).sum())
    error = wilson_interval(num_wrong, num_answered) if num_answered else None
    return {
        "promise": promise.to_dict(),
        "answered": num_answered,
        "wrong": num_wrong,
        "coverage": num_answered / len(given),
        "error": error,
        "held": error is None or error["value"] <= promise.risk,
        "contradicted": error is not None and error["low"] > promise.risk,
    }


def _against(answered: _Answered, other: Predictor, rows: list[Row], name: str) -> dict[str, Any]:
    """Another model on the same rows, and whether the two differ by more than chance."""
    mine = answered.predictor
    if sorted(other.labels) != sorted(mine.labels) or other.task.config.multi_label != mine.task.config.multi_label:
        raise InputError(f"{name}: its labels are not those of the first model; compare models of one task")
    theirs = _answer(other, rows, TextCounts())
    same_order = theirs.said[:, [other.labels.index(label) for label in mine.labels]]
    measured = [each.predictor.task.measure(each.gold, each.probabilities) for each in (answered, theirs)]
    p_values = {"accuracy": mcnemar(answered.right, theirs.right)} | {
        metric: approximate_randomisation(answered.gold, answered.said, same_order, metric)
        for metric in ("macro_f1", "micro_f1")
    }
    return {
        "model": name,
        "metrics": measured[1],
        "differences": {
            metric: {"value": measured[0][metric]["value"] - measured[1][metric]["value"], "p": p}
            for metric, p in p_values.items()
        },
        "only_this_right": int((answered.right & ~theirs.right).sum()),
        "only_other_right": int((theirs.right & ~answered.right).sum()),
    }
