"""Models that read a text and write another one, as training and search see them.

Writing goes step by step from a state, which `Writer.start` makes of what was read. A text may be answered by several
**rows** at once, the hypotheses of a beam. The rows of a text stand beside each other, as many for each text, and what
was read is kept once a text: to an attention the rows of a text are queries to the same keys.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from wenmo.features import TokenBatch
from wenmo.models.products import multiplier

Scorer = Callable[[Tensor], Tensor]


class WritingState(Protocol):
    """What a model knows between two steps."""

    def select(self, rows: Tensor, texts: Tensor | None = None) -> Self:
        """The state of other rows.

        Args:
            rows: ``(new rows,)``: which of the rows of now each of them goes on from; those of one text side by side.
            texts: ``(new texts,)``: which texts they belong to, where some have left; None: to those of now.
        """
        ...


class Written(NamedTuple):
    """What a step gives."""

    hidden_states: Tensor
    """``(rows, length, size)``: what the logits of the next tokens are made of."""
    state: Any
    """A `WritingState`, with which the next step begins."""
    attentions: Tensor | None
    """``(rows, length, source length)``: where each token was looked at; None unless asked for, and for a model
    without attention."""


class Writer(Protocol):
    """An encoder and a decoder."""

    def start(self, batch: TokenBatch) -> Any:
        """Read the texts; the state before the first step has one row for each."""
        ...

    def step(self, decoder_input_ids: Tensor, state: Any, *, output_attentions: bool = False) -> Written:
        """Read the newest tokens of each row, ``(rows, length)``, and say what comes next."""
        ...

    def teach(self, batch: TokenBatch, decoder_input_ids: Tensor, decoder_attention_mask: Tensor) -> Tensor:
        """Before each token of answers that are known, what `logits` makes its scores of.

        ``(batch, decoder length, size)``; what stands on the padding means nothing.
        """
        ...

    def logits(self, hidden_states: Tensor) -> Tensor:
        """``(..., size)`` to ``(..., vocab_size)``."""
        ...

    def scorer(self, num_rows: int) -> Scorer:
        """`logits` of about so many rows at a time, ``(rows, size)`` to ``(rows, vocab_size)``, without gradients.

        For as long as no weight changes: the matrix is laid out once.
        """
        ...


def scorer_of(weight: Tensor, bias: Tensor | None, num_rows: int) -> Scorer:
    """A `Writer.scorer` of these weights, in bfloat16 under autocast."""
    kind = weight.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    product = multiplier(weight.detach().to(dtype), num_rows, None if bias is None else bias.detach().to(dtype))
    return lambda hidden_states: product(hidden_states.to(dtype))


def by_text(rows: Tensor, num_texts: int) -> Tensor:
    """``(rows, length, size)`` to ``(texts, rows of a text * length, size)``."""
    return rows.reshape(num_texts, -1, rows.size(-1))
