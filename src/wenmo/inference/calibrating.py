"""Making a finished model's answers trustworthy with labelled texts that it has not seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.data.splits import split_rows
from wenmo.errors import InputError
from wenmo.folder import ModelFolder, is_model_folder, load_folder, save_folder
from wenmo.tasks.abstention import CONFIDENCE, CalibrationRows, make_promise
from wenmo.tasks.classification import ClassificationConfig, as_classifier
from wenmo.training.corpus import Corpus, encode
from wenmo.training.distribution import choose_device
from wenmo.training.recipe import Recipe
from wenmo.training.trust import before_choosing, settle

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Errors of which it is told whether they can be promised."""
_MAY_CHANGE = ("calibrate", "threshold_for", "positive", "least_precision", "thresholds", "costs")


def calibrate(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    promise_share: float = 0.5,
    overrides: Sequence[str] = (),
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    device: str = "",
) -> dict[str, Any]:
    """Make a model from a finished one: with calibrated probabilities, thresholds, and rows to promise by.

    The labelled texts are dealt into two parts. By the first a temperature is found, and thresholds where they are
    asked for; the second is kept for promises, because it must not have been looked at before.

    Args:
        model: a model folder; it stays as it is.
        data: labelled texts that neither trained nor chose the model.
        out: the folder to make.
        promise_share: how many of the texts are kept for promises; 0: none.
        overrides: ``task.calibrate=false`` and the fields of a recipe that are about thresholds and costs.
        text_column: the column of the texts, if the reader does not find it.
        text_b_column: the column of the second texts of pairs, if the reader does not find it.
        label_column: the column of the labels, if the reader does not find it.
        label_separator: what stands between several labels in one cell; left out: as in training.
        encoding: of a text file, if the reader does not find it.
        device: where to compute, as in `wenmo.load`.

    Returns:
        ``model``, ``rows`` (the texts that chose), ``kept`` (those that promises rest on), ``calibration``,
        ``thresholds``, ``promises`` (what can be promised, each with 95 % confidence for itself) and ``notes``.

    Raises:
        InputError: the data cannot be read, has unknown labels or is too little, or a setting cannot work.
    """
    if not 0 <= promise_share < 1:
        raise InputError(f"--promise-share is a share from 0 to below 1, such as 0.5; got {promise_share:g}")
    if is_model_folder(Path(out)):
        raise InputError(f"{out}: a model stands there already; choose another --out")
    folder = load_folder(Path(model))
    task = as_classifier(folder.task, model)
    separator = label_separator or folder.recipe.get("data", {}).get("label_separator") or None
    read = read_rows(
        data,
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=separator,
        encoding=encoding,
    )
    corpus = _dealt(read.rows, promise_share)
    recipe = _recipe(folder, task.config, corpus, overrides)
    assert isinstance(recipe.task, ClassificationConfig)
    task.config = recipe.task
    dev, kept = (
        encode(rows, folder.tokenizer, task.config, recipe.data.reading) if rows else None
        for rows in (corpus.dev, corpus.calibration)
    )
    trust = settle(task, dev, kept, folder.tokenizer, choose_device(device))
    task.to(torch.device("cpu"))
    described = {**folder.recipe, "task": {**folder.recipe["task"], **_choices(task.config)}}
    told = folder.metrics | ({"calibration": trust.calibration} if trust.calibration else {})
    card = folder.card + _card(data, len(corpus.dev), len(corpus.calibration))
    save_folder(Path(out), ModelFolder(task, folder.tokenizer, described, told, card, calibration=trust.rows))
    return {
        "model": str(out),
        "rows": len(corpus.dev),
        "kept": len(corpus.calibration),
        "calibration": trust.calibration,
        "thresholds": list(task.config.thresholds),
        "promises": promises(trust.rows),
        "notes": [*read.notes, *read.left_out(str(data)), *trust.notes],
    }


def promises(kept: CalibrationRows | None, confidence: float = CONFIDENCE) -> list[dict[str, Any]]:
    """Which errors can be promised by some rows, and how many texts would be answered."""
    found = [make_promise(kept, risk, confidence) for risk in RISKS] if kept else []
    return [each.to_dict() for each in found if each is not None]


def _dealt(rows: Sequence[Row], promise_share: float) -> Corpus:
    """The rows that choose as dev, those that are kept as calibration."""
    if not rows:
        raise InputError("there are no labelled texts to calibrate by; name a file with texts and labels")
    if not promise_share:
        return Corpus(train=[], dev=list(rows))
    chosen, kept = split_rows(rows, [1 - promise_share, promise_share], seed=0)
    return Corpus(train=[], dev=[rows[i] for i in chosen], calibration=[rows[i] for i in kept])


def _recipe(folder: ModelFolder, before: ClassificationConfig, corpus: Corpus, overrides: Sequence[str]) -> Recipe:
    """The model's recipe with what is to be chosen now."""
    asked = {**folder.recipe, "task": {**folder.recipe["task"], "labels": list(before.labels), "calibrate": True}}
    if before.threshold_for != "none":  # they were chosen for the probabilities as they were
        asked["task"]["thresholds"] = []
    below = asked | {"model": folder.task.extractor_config.to_dict()}
    for override in overrides:
        name = override.partition("=")[0].strip().removeprefix("task.")
        if not override.strip().startswith("task.") or name not in _MAY_CHANGE:
            allowed = ", ".join(f"task.{each}" for each in _MAY_CHANGE)
            raise InputError(f"-o {override}: of a finished model, only {allowed} can be chosen anew")
    return before_choosing(Recipe.build(below=below, overrides=overrides), corpus)


def _choices(config: Any) -> dict[str, Any]:
    values = {name: getattr(config, name) for name in _MAY_CHANGE if name != "calibrate"}
    return {
        name: [list(each) if isinstance(each, tuple) else each for each in value] if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def _card(data: str | Path, rows: int, kept: int) -> str:
    return (
        f"\n## Calibrated afterwards\n\nOn {rows:,} labelled texts of `{Path(data).name}`; {kept:,} more are kept for "
        f"promises. Training again with recipe.toml gives the model as it was before; the figures above are its own.\n"
    )
