"""What a checkpoint of another system holds, in our words."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from wenmo.models.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that another system saved; every weight of its files is in one of the three places below."""

    config: ModelConfig
    """The settings of our extractor."""
    weights: dict[str, Tensor]
    """All weights of the extractor under its own names: ``build_model(config).load_state_dict(weights)`` is strict."""
    heads: dict[str, Tensor] = field(default_factory=dict)
    """What stands on the extractor: ``masked_lm.*``, ``next_sentence.*``, ``replaced_token.*`` as in
    `wenmo.models.pretraining_heads`, ``causal_lm.weight`` where it is not the words' table, ``classifier.*`` for the
    labels of a text, ``tagger.*`` for those of each token, ``chooser.*`` for the score of an answer."""
    family: str = ""
    """What the other system calls the architecture: ``bert``, ``gpt2``."""
    described: dict[str, Any] = field(default_factory=dict)
    """The other system's own description, as it stood in its file."""
    left_out: list[str] = field(default_factory=list)
    """What was in the files and is not read, each with the reason."""
