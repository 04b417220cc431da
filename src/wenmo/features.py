"""What goes into an extractor and what comes out of it.

Every extractor takes a `TokenBatch` and gives `Features`, so that every head fits on every extractor. The names are
those of the Hugging Face ecosystem. This file is the leaf of the package: everything imports it, it imports nothing
of ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

IGNORED_LABEL = -100
"""A label that is not counted, as in `torch.nn.functional.cross_entropy`."""

# The ids of a word that is read as its bytes, as ELMo does it: byte b is b + 1, and 0 is no character at all.
SENTENCE_BEGIN_ID, SENTENCE_END_ID, WORD_BEGIN_ID, WORD_END_ID, WORD_PADDING_ID = range(257, 262)
NUM_BYTE_IDS = 262


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenBatch:
    """Texts as tensors; padding stands on the right.

    Exactly one of ``input_ids``, ``inputs_embeds`` and ``character_ids`` is the text; only ``character_ids`` may stand
    beside ``input_ids``.
    """

    attention_mask: Tensor
    """``(batch, length)``, 1 on the text and 0 on the padding."""
    input_ids: Tensor | None = None
    """``(batch, length)``, integer."""
    inputs_embeds: Tensor | None = None
    """``(batch, length, embedding_size)``: vectors in the place of ids, for a head on frozen features."""
    character_ids: Tensor | None = None
    """``(batch, length, num_characters)``, for models that read the characters of each word: alone, or beside ids."""
    token_type_ids: Tensor | None = None
    """``(batch, length)``: which segment a token belongs to."""
    position_ids: Tensor | None = None
    """``(batch, length)``."""
    task_type_ids: Tensor | None = None
    """``(batch, length)``: the pre-training task of ERNIE 2.0."""
    past_key_values: Any = None
    """What a decoder keeps of the tokens before this batch."""

    def __post_init__(self) -> None:
        texts = [name for name in ("input_ids", "inputs_embeds", "character_ids") if getattr(self, name) is not None]
        if len(texts) != 1 and texts != ["input_ids", "character_ids"]:
            raise ValueError(f"a TokenBatch holds one of input_ids, inputs_embeds and character_ids; got {texts}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and value.shape[:2] != self.attention_mask.shape:
                raise ValueError(
                    f"{field.name} begins with {tuple(value.shape[:2])}, but attention_mask is "
                    f"{tuple(self.attention_mask.shape)}; both are (batch, length)"
                )

    @property
    def num_tokens(self) -> Tensor:
        """``(batch,)``: tokens of each text, without the padding."""
        return self.attention_mask.sum(dim=1)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(x) for name, x in tensors.items() if isinstance(x, Tensor)})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """What an extractor makes of a `TokenBatch`."""

    last_hidden_state: Tensor
    """``(batch, length, hidden_size)``: a vector for each token."""
    pooler_output: Tensor
    """``(batch, hidden_size)``: one vector for each text, however the model makes it."""
    hidden_states: tuple[Tensor, ...] | None = None
    """The layers, first the embeddings, when asked for."""
    attentions: tuple[Tensor, ...] | None = None
    """``(batch, num_attention_heads, length, length)`` for each layer, when asked for."""
    past_key_values: Any = None
    """What a decoder hands to the next batch."""
