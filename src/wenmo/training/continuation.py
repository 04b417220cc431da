"""Going on from a trained model with new data or new labels."""

from pathlib import Path
from typing import Any

import torch

from wenmo.errors import InputError
from wenmo.folder import ModelFolder, load_folder
from wenmo.models.stacked import StackedConfig
from wenmo.tasks.task import Task
from wenmo.text.loading import AnyTokenizer
from wenmo.training.corpus import Corpus, encode, read_corpus
from wenmo.training.settings import DataSettings

_OF_THE_ROWS = ("labels",)
"""Settings of a task that its rows tell."""
_OF_THE_START = ("reinitialize_layers",)
"""Settings of the training that say how it began."""
_KEPT_OF_THE_DATA = ("tokenizer", "max_length", "long_texts", "window_overlap", "bucket")


def settings_of(start: Path, model: str | None) -> dict[str, Any]:
    """What holds for a run that goes on from a model, unless a person says otherwise: its own recipe, but for the data.

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
    own = config.top if isinstance(config, StackedConfig) else config
    return {
        "model": own.to_dict(),
        **({"features": old["features"]} if "features" in old else {}),
        "task": {name: value for name, value in old["task"].items() if name not in _OF_THE_ROWS},
        "data": {name: old["data"][name] for name in _KEPT_OF_THE_DATA if name in old["data"]},
        "training": {name: value for name, value in old["training"].items() if name not in _OF_THE_START},
    }


def forgetting(before: ModelFolder, task: Task, tokenizer: AnyTokenizer) -> dict[str, Any] | None:
    """How the old and the new model answer the dev part of the old model's data; None where it is no longer there."""
    data = DataSettings.model_validate(before.recipe.get("data", {}))
    try:
        corpus = read_corpus(data, before.task.config)
    except (InputError, OSError):
        return None
    # Whoever chose among models may have kept the test part from this one.
    digests = (corpus.digest(), Corpus(train=corpus.train, dev=corpus.dev, calibration=corpus.calibration).digest())
    if not corpus.dev or before.metrics.get("data_sha256") not in digests:
        return None
    old_dev = corpus.dev
    values = {}
    for name, model in (("before", before.task), ("after", task)):
        store = encode(old_dev, tokenizer, model.config, data.reading)
        answers = model.answer_store(store, torch.device("cpu"))
        values[name] = model.measure(model.gold(store), answers)
    return {"rows": len(old_dev), "before": values["before"], "after": values["after"]}
