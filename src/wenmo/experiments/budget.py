"""What fits into the time given: how many epochs of each model, and of which size."""

import re
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.training.building import build_task, train_tokenizer, with_labels
from wenmo.training.corpus import Corpus, encode
from wenmo.training.loop import Loop
from wenmo.training.recipe import Recipe
from wenmo.training.sources import LabelledRows

_PROBE_UPDATES = 6
_LEAST_EPOCHS = 3
_WORTH_SHRINKING = 0.8
"""Layers are halved only if that takes at least a fifth off the time."""
_SHARE_FOR_TRAINING = 0.8
"""The rest is for looking at dev, measuring speed and writing folders."""

_WIDTHS = ("embedding_size", "num_filters", "num_units", "hidden_size", "intermediate_size")

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


@dataclass(frozen=True)
class Plan:
    """How one network is trained."""

    recipe: Recipe
    epochs: float
    seconds: float
    """Estimated, for one seed."""


def parse_seconds(text: str | float | None) -> float | None:
    """``"90s"``, ``"10m"``, ``"1.5h"`` or a number of seconds.

    Raises:
        InputError: it is none of these.
    """
    return _parse(text, _SECONDS, "--budget", "10m")


def parse_bytes(text: str | float | None) -> float | None:
    """``"20MB"``, ``"512KiB"`` or a number of bytes.

    Raises:
        InputError: it is none of these.
    """
    return _parse(text, _BYTES, "--max-size", "20MB")


def plan_network(recipe: Recipe, corpus: Corpus, seconds: float | None) -> Plan:
    """Fit a network's training into ``seconds``: first fewer epochs, then smaller layers.

    A few updates are timed on the real data. Without a limit the recipe stays as it is.
    """
    per_epoch = _seconds_of_an_epoch(recipe, corpus)
    epochs = recipe.training.max_epochs
    if seconds is None:
        return Plan(recipe, epochs, per_epoch * epochs)
    usable = seconds * _SHARE_FOR_TRAINING
    while per_epoch * _LEAST_EPOCHS > usable:
        smaller = None if recipe.checkpoint else _smaller(recipe.model)
        if smaller is None:
            break
        narrower = recipe.model_copy(update={"model": smaller})
        seconds_narrower = _seconds_of_an_epoch(narrower, corpus)
        if seconds_narrower > _WORTH_SHRINKING * per_epoch:
            break  # not the width takes the time, but for example the number of steps of a recurrence
        recipe, per_epoch = narrower, seconds_narrower
    epochs = round(min(epochs, max(1.0, usable / per_epoch)), 1)
    training = recipe.training.model_copy(update={"max_epochs": epochs, "max_seconds": usable})
    return Plan(recipe.model_copy(update={"training": training}), epochs, per_epoch * epochs)


def _seconds_of_an_epoch(recipe: Recipe, corpus: Corpus) -> float:
    """Measured on the first texts; the first update, which warms up, does not count."""
    rows = corpus.train[: (_PROBE_UPDATES + 1) * (recipe.training.batch_size or 50)]
    recipe = with_labels(recipe, corpus, None)
    tokenizer = train_tokenizer(recipe, corpus.train)
    recipe, task, _ = build_task(recipe, rows, tokenizer, None)
    store = encode(rows, tokenizer, recipe.task, recipe.data.reading)
    with TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        settings = recipe.training.model_copy(update={"max_steps": 1, "patience": 0, "max_seconds": 0.0})
        source = LabelledRows(task, store, settings, recipe.data.bucket)
        loop = Loop(task, source, None, settings, folder=Path(folder), device=torch.device("cpu"))
        loop.run()
        loop.settings = settings.model_copy(update={"max_steps": 1 + _PROBE_UPDATES})
        begun = time.monotonic()
        loop.run()
        per_update = (time.monotonic() - begun) / _PROBE_UPDATES
    return per_update * loop.updates_of_an_epoch() * len(corpus.train) / len(rows)


def _smaller(config: ModelConfig) -> ModelConfig | None:
    """The same model with layers half as wide; None where they are small already, or have to be as they are."""
    settings = {field.name for field in fields(config)}  # hidden_size follows from the others in some models
    names = [name for name in _WIDTHS if name in settings and getattr(config, name) >= 32]
    given_vectors = getattr(config, "channels", "rand") != "rand"
    names = [name for name in names if not (given_vectors and name == "embedding_size")]
    halves = {name: getattr(config, name) // 2 for name in names}
    if "hidden_size" in halves:  # the heads share it equally, each an even width
        shares = 2 * getattr(config, "num_attention_heads", 1)
        halves["hidden_size"] = max(1, halves["hidden_size"] // shares) * shares
    try:
        smaller = replace(config, **halves)
    except ValueError:  # sizes that rest on each other, such as a residual connection's
        return None
    return smaller if smaller != config else None


def _parse(text: str | float | None, units: dict[str, int], option: str, example: str) -> float | None:
    if text is None or isinstance(text, int | float):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].lower() not in units or float(match[1]) <= 0:
        raise InputError(f"{option} {text!r}: write a number and a unit, for example {option} {example}")
    return float(match[1]) * units[match[2].lower()]
