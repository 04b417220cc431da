"""How an architecture of another system is one of ours: what a table says of it, and which tensor stands where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wenmo.models.transformer_layers import Activation

Names = Mapping[str, str | tuple[str, ...]]
"""Ours to theirs; where ours is one matrix and theirs are three, three."""

_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}


@dataclass(frozen=True, kw_only=True)
class Head:
    """What may stand on an extractor."""

    architecture: str
    """The class of transformers that has it; of two heads that stand together, that of the first in the table."""
    modules: Names = field(default_factory=dict)
    """With weight and bias."""
    tensors: Names = field(default_factory=dict)
    """By their full names."""
    takes_pooler: str = ""
    """Where the pooler stands, if the head brings one of its own."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """As that of `Family`, where the head is read."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How an architecture of theirs is one of ours."""

    name: str
    """Their ``model_type``."""
    model_type: str
    """Ours."""
    alias_of: str = ""
    """The family that it is under another name; its tokenizer alone differs."""
    architecture: str
    """The class of transformers without any of the heads below."""
    prefix: str
    """Before the extractor's weights where a head stands on it."""
    fields: Mapping[str, tuple[str, Any]]
    """Their field to ours, and the value where theirs is not written."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Our fields of which they have none: the value they always have."""
    activations: Mapping[str, Activation] = field(default_factory=lambda: _ACTIVATIONS)
    """Their names of activations to ours; of two for one of ours, the first is written."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Their fields that have to have this value, which is also that of a field not written."""
    positions_behind_padding: bool = False
    """Positions are counted from behind ``pad_token_id``."""
    tables: Names
    """With a weight only."""
    modules: Names
    """With weight and bias."""
    layers: tuple[str, str]
    """What stands before the number of a layer."""
    layer: Names
    """Modules of a layer."""
    transposed: bool = False
    """The matrices of ``layer`` are written as inputs by outputs (their Conv1D)."""
    pooler: str = ""
    """Where the pooler stands without a head; empty: nowhere."""
    heads: Mapping[str, Head]
    copies: Mapping[str, str] = field(default_factory=dict)
    """Tensors that repeat another one, in older files."""
    buffers: tuple[str, ...] = ("embeddings.position_ids", "embeddings.token_type_ids")
    """Endings of what is in older files and no weight."""
    masked_lm_act: str = ""
    """What the head for masked words has between its layers; empty: what the feed-forward networks have."""


class Rule(NamedTuple):
    """One tensor of ours and where it stands there."""

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False


def extractor_rules(family: Family, num_layers: int, pooler: str) -> Iterator[Rule]:
    """Every tensor that an extractor of the family may have, the pooler under the name where it stands."""
    for ours, theirs in family.tables.items():
        yield Rule(f"{ours}.weight", _each(theirs, "weight"))
    yield from _module_rules(family.modules)
    for i in range(num_layers):
        yield from layer_rules(family, i)
    if pooler:
        yield from _module_rules({"pooler.dense": pooler})


def layer_rules(family: Family, number: int) -> Iterator[Rule]:
    """Every tensor of a layer."""
    mine, their = (f"{start}{number}." for start in family.layers)
    for rule in _module_rules(family.layer):
        # Vectors are the same either way; only matrices have two sides.
        turned = family.transposed and rule.ours.endswith("weight") and "_norm." not in rule.ours
        yield Rule(mine + rule.ours, tuple(their + name for name in rule.theirs), turned)


def head_rules(head: Head) -> Iterator[Rule]:
    """Every tensor of a head."""
    yield from _module_rules(head.modules)
    for ours, theirs in head.tensors.items():
        yield Rule(ours, (theirs,) if isinstance(theirs, str) else theirs)


def _module_rules(modules: Names) -> Iterator[Rule]:
    for ours, theirs in modules.items():
        for kind in ("weight", "bias"):
            yield Rule(f"{ours}.{kind}", _each(theirs, kind))


def _each(theirs: str | tuple[str, ...], kind: str) -> tuple[str, ...]:
    return tuple(f"{name}.{kind}" for name in ((theirs,) if isinstance(theirs, str) else theirs))
