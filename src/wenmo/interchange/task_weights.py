"""The weights of a trained task as transformers keeps them, and back.

The extractor, and a head where transformers has the like, get their names there. What it has no place for, such as a
field over tags, is named here and kept in a file of our own beside them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from wenmo.errors import InputError
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.family import head_rules
from wenmo.interchange.huggingface import to_huggingface
from wenmo.interchange.huggingface_config import family_of
from wenmo.models.config import ModelConfig
from wenmo.tasks.task import Task

_EXTRACTOR = "extractor."


class TheirWeights(NamedTuple):
    """A task in two parts."""

    described: dict[str, Any]
    """The fields of ``config.json`` that transformers reads."""
    weights: dict[str, Tensor]
    """Under the names of transformers."""
    own: dict[str, Tensor]
    """Under our names: what transformers has no place for."""


def as_theirs(task: Task) -> TheirWeights | None:
    """A task as transformers keeps it; None where it has no model like the task's."""
    state = task.state_dict()
    extractor = {name.removeprefix(_EXTRACTOR): x for name, x in state.items() if name.startswith(_EXTRACTOR)}
    rest = {name: x for name, x in state.items() if not name.startswith(_EXTRACTOR)}
    heads = {theirs: rest[name] for name in rest if (theirs := _renamed(name, task.shared_heads))}
    own = {name: x for name, x in rest.items() if not _renamed(name, task.shared_heads)}
    for on_top, left in ((heads, own), ({}, rest)):
        try:
            described, weights = to_huggingface(task.extractor_config, extractor | on_top)
        except InputError:  # no such head, or no such model
            continue
        return TheirWeights(described, weights, left)
    return None


def classifier_has_bias(config: ModelConfig) -> bool:
    """Whether the classifier that transformers has for such a model adds a number to each label; GPT's does not. Where
    it has no such model, nothing speaks against it."""
    try:
        head = family_of(config).heads.get("classifier")
    except InputError:
        return True
    return head is None or any(rule.ours == "classifier.bias" for rule in head_rules(head))


def as_ours(checkpoint: Checkpoint, shared_heads: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights of a task, as far as they are in a checkpoint."""
    ours = {theirs: name for name, theirs in shared_heads.items()}
    heads = {name: x for theirs, x in checkpoint.heads.items() if (name := _renamed(theirs, ours))}
    return {_EXTRACTOR + name: weight for name, weight in checkpoint.weights.items()} | heads


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """The name behind another module's; empty where the table has none."""
    module, _, kind = name.rpartition(".")
    return f"{table[module]}.{kind}" if module in table else ""
