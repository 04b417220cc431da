"""What comes after the last epoch: calibrated probabilities, thresholds, and the rows that promises rest on.

Probabilities and thresholds are found on dev. Dev has chosen the epoch or the regularization as well, so it is a little
too kind to the model; for a temperature that does no harm that could be measured, for a promise it would. So promises
rest on rows of their own, ``data.calibration`` or ``data.calibration_share``, that nothing looks at before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.tasks.abstention import CalibrationRows, Layout
from wenmo.tasks.calibration import choose_rescaling, fold_into
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.pairs import COLUMNS, unknown_shares
from wenmo.tasks.reliability import expected_calibration_error, outcomes, reliability
from wenmo.tasks.similarity import Similarity
from wenmo.tasks.task import Task
from wenmo.tasks.thresholds import choose_thresholds
from wenmo.text.tokenizer_config import SpecialIds
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe


@dataclass
class Trust:
    """What was found."""

    calibration: dict[str, Any] | None = None
    """How the logits were rescaled, and what that did on the rows it was found on."""
    rows: CalibrationRows | None = None
    notes: list[str] = field(default_factory=list)


def before_choosing(recipe: Recipe, corpus: Corpus) -> Recipe:
    """The recipe without the thresholds that the run will find anew, after a check of everything asked for.

    Raises:
        InputError: the settings contradict each other, or there are no rows to choose by.
    """
    task = recipe.task
    if not isinstance(task, ClassificationConfig):
        if corpus.calibration:
            raise InputError("data.calibration: promises are made by classifiers alone; leave it out")
        return recipe
    if task.threshold_for != "none":
        task = replace(task, thresholds=())
    task.check_decision()
    asked = {
        "task.calibrate": task.calibrate,
        "task.threshold_for": task.threshold_for != "none",
        "data.calibration": bool(corpus.calibration),
    }
    if not corpus.dev and any(asked.values()):
        names = ", ".join(name for name, wanted in asked.items() if wanted)
        raise InputError(f"{names}: there are no dev texts to choose by; name --dev or set data.dev_share")
    return recipe.model_copy(update={"task": task})


def settle(
    task: Task, dev: TokenStore | None, kept: TokenStore | None, tokens: SpecialIds, device: torch.device
) -> Trust:
    """Calibrate, choose thresholds and question the calibration rows, each where the task asks for it.

    The task is changed: its classifier holds the rescaling, its settings the thresholds.

    Args:
        task: with its final weights.
        dev: the rows to choose by.
        kept: the rows that no choice has seen.
        tokens: the tokenizer, which knows those that are unknown or stand for no text.
        device: where to compute.
    """
    found = Trust()
    if dev is not None and isinstance(task, Similarity):
        task.choose_threshold(dev, device)
    if dev is None or not isinstance(task, Classification):
        return found
    if task.config.calibrate:
        found.calibration = calibrate(task, dev, device)
    if task.config.threshold_for != "none":
        found.notes += set_thresholds(task, dev, device)
    if kept is not None:
        found.rows = question(task, dev, kept, tokens, device)
    return found


def calibrate(task: Classification, store: TokenStore, device: torch.device) -> dict[str, Any]:
    """Rescale the logits so that the labels of some rows are likeliest; see `wenmo.tasks.calibration`."""
    gold = task.gold(store)
    logits = task.logits_of_store(store, device)
    before = task.probabilities(torch.from_numpy(logits)).numpy()
    rescaling = choose_rescaling(logits, gold, task.config.multi_label)
    fold_into(task.classifier, rescaling, None if task.paths is None else task.hierarchy)
    after = task.answer_store(store, device)
    errors = (_error(gold, each, task.config.multi_label) for each in (before, after))
    return {"rows": len(store), **rescaling.to_dict(), **dict(zip(("ece_before", "ece_after"), errors, strict=True))}


def set_thresholds(task: Classification, store: TokenStore, device: torch.device) -> list[str]:
    """Choose the thresholds that the settings ask for on some rows; what to know about them."""
    config = task.config
    if config.threshold_for == "none":
        return []
    chosen = choose_thresholds(
        task.gold(store),
        task.answer_store(store, device),
        config.labels,
        multi_label=config.multi_label,
        threshold_for=config.threshold_for,
        positive=config.positive,
        least_precision=config.least_precision,
    )
    task.config = replace(config, thresholds=chosen.thresholds)
    return list(chosen.notes)


def question(
    task: Classification, dev: TokenStore, kept: TokenStore, tokens: SpecialIds, device: torch.device
) -> CalibrationRows:
    """What the finished model says to the rows that promises rest on; dev lays out the order of the tests."""
    layout = Layout.of(*_confidence_and_right(task, dev, device)[:2])
    confidence, right, labels = _confidence_and_right(task, kept, device)
    columns = {name: kept[name].take(range(len(kept))) for name in COLUMNS[task.config.pair]}
    unknown = unknown_shares(columns, tokens)
    return CalibrationRows.of(confidence, right, layout, labels, unknown)


def _confidence_and_right(
    task: Classification, store: TokenStore, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Mapping[str, int]]:
    answers = task.answer_store(store, device)
    said = task.decide(answers)
    counts = dict(zip(task.config.labels, said.sum(axis=0).tolist(), strict=True))
    return task.confidence(answers, said), task.is_right(task.gold(store), said), counts


def _error(gold: NDArray[Any], probabilities: NDArray[Any], multi_label: bool) -> float:
    return expected_calibration_error(reliability(*outcomes(gold, probabilities, multi_label)))
