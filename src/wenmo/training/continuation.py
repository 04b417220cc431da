"""Going on from a trained model with new data or new labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from wenmo.errors import InputError
from wenmo.folder import ModelFolder, load_folder
from wenmo.tasks.classification import Classification
from wenmo.text.tokenizers import Tokenizer
from wenmo.training.corpus import encode, read_corpus
from wenmo.training.loop import answer_store
from wenmo.training.recipe import DataSettings


def continue_from(
    start: Path, model: str | None, values: Mapping[str, Any] | None
) -> tuple[str | None, Mapping[str, Any]]:
    """The settings of a run that goes on from a model: those of the model's own recipe, but for the data.

    Raises:
        InputError: the model cannot go on, or another model is named.
    """
    folder = load_folder(start)
    config = folder.task.extractor_config
    if config.fitting == "convex":
        raise InputError(f"{start}: a linear model is fitted anew in seconds; train it on old and new texts together")
    if model is not None:
        raise InputError(f"--model {model}: with --from, the model is that of {start}; leave --model out")
    old = folder.recipe
    kept = {name: old["data"][name] for name in ("tokenizer", "max_length", "bucket") if name in old.get("data", {})}
    settings: dict[str, Any] = {
        "model": config.to_dict(),
        "task": {name: value for name, value in old.get("task", {}).items() if name != "labels"},
        "data": kept,
        "training": dict(old.get("training", {})),
    }
    for name, section in (values or {}).items():
        settings[name] = {**settings.get(name, {}), **section}
    return None, settings


def forgetting(before: ModelFolder, task: Classification, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """How the old and the new model answer the dev part of the old model's data; None where it cannot be read."""
    data = DataSettings.model_validate(before.recipe.get("data", {}))
    try:
        old_dev = read_corpus(data).dev
    except (InputError, OSError):
        return None
    if not old_dev:
        return None
    values = {}
    for name, model in (("before", before.task), ("after", task)):
        store = encode(old_dev, tokenizer, model.config, data.max_length)
        answers = answer_store(model, store, torch.device("cpu"), "float32")
        values[name] = model.measure(model.gold(store), answers)
    return {"rows": len(old_dev), "before": values["before"], "after": values["after"]}
