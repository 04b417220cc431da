"""A long text as overlapping windows, each read by the extractor as a text, and the mean of their vectors.

Windows that overlap: Pappagari et al., "Hierarchical Transformers for Long Document Classification", ASRU 2019,
https://arxiv.org/abs/1910.10781. The mean of their vectors: one of the three poolings of Sun et al., CCL 2019,
https://arxiv.org/abs/1905.05583, section 5.3.1. Vectors are averaged, not answers: then a text has one vector, which
the classifier reads and `embed` gives. As the classifier is a linear layer, its logits are the mean of the windows'
logits too, so nothing is lost by this choice.

A text that fits is one window and has the vector it always had. The last window of a longer one ends with the text, so
that every window is full and none counts for more than it holds. Vectors of tokens do not come out: a token may stand
in two windows. Special tokens around a text, such as ``[CLS]`` and ``[SEP]``, stand around each of its windows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from wenmo.features import TokenBatch

_PLACES_AT_ONCE = 1 << 16
"""Tokens whose activations are in memory at a time; of more windows, they are computed again for the gradient."""
_BY_POSITION = ("input_ids", "inputs_embeds", "character_ids", "token_type_ids", "task_type_ids")
"""What is cut with the text. Positions begin anew in each window, so ``position_ids`` are left to the model."""


@dataclass(frozen=True)
class Windows:
    """Where the windows of a text stand."""

    size: int
    """Tokens of a window, the special ones among them."""
    overlap: float
    """Share of a window that the next one repeats."""
    before: int = 0
    """Special tokens that a row begins with, and every window."""
    behind: int = 0
    """Special tokens that a row ends with, and every window."""

    def starts(self, num_tokens: int) -> list[int]:
        """Where in a row the text of each window begins, behind the special tokens; the last one ends with the text."""
        last = num_tokens - self.size
        if last <= 0:
            return [self.before]
        inside = self.size - self.before - self.behind
        step = max(1, inside - round(inside * self.overlap))
        return [self.before + start for start in [*range(0, last, step), last]]

    def pieces(self, ids: NDArray[np.int32]) -> list[NDArray[np.int32]]:
        """The windows of a row, each with the special tokens around it."""
        if len(ids) <= self.size:
            return [ids]
        inside, end = self.size - self.before - self.behind, len(ids) - self.behind
        parts = ((ids[: self.before], ids[start : start + inside], ids[end:]) for start in self.starts(len(ids)))
        return [np.concatenate(part) for part in parts]

    def vectors(self, batch: TokenBatch, read: Callable[[TokenBatch], Tensor]) -> Tensor:
        """Read a batch of texts of any length.

        Args:
            batch: texts, padded on the right.
            read: gives each text of a batch, none of them longer than a window, its vector.

        Returns:
            ``(batch, size)``: the mean over the windows of each text.
        """
        if batch.attention_mask.size(1) <= self.size:
            return read(batch)
        lengths = batch.num_tokens.tolist()
        starts = [self.starts(length) for length in lengths]
        device = batch.attention_mask.device
        text = torch.tensor([i for i, each in enumerate(starts) for _ in each], device=device)  # (windows,)
        place = torch.tensor(
            [self._places(length, start) for length, each in zip(lengths, starts, strict=True) for start in each],
            device=device,
        )  # (windows, size)
        at_once = max(1, _PLACES_AT_ONCE // self.size)
        parts = []
        for first in range(0, len(text), at_once):
            part = _cut(batch, text[first : first + at_once], place[first : first + at_once])
            frugal = len(text) > at_once and torch.is_grad_enabled()
            parts.append(checkpoint(read, part, use_reentrant=False) if frugal else read(part))
        return mean_by_text(torch.cat(parts), text, [len(each) for each in starts])

    def _places(self, num_tokens: int, start: int) -> list[int]:
        """Which tokens of a row stand in the window whose text begins at ``start``; of a short row, all and padding."""
        if num_tokens <= self.size:
            return list(range(self.size))
        inside = self.size - self.before - self.behind
        end = range(num_tokens - self.behind, num_tokens)
        return [*range(self.before), *range(start, start + inside), *end]


def mean_by_text(vectors: Tensor, text: Tensor, num_windows: Sequence[int]) -> Tensor:
    """``(windows, size)`` to ``(texts, size)``; ``text`` is which text each window is of."""
    wide = vectors.float() if vectors.dtype == torch.bfloat16 else vectors  # a long sum wants the digits
    total = wide.new_zeros(len(num_windows), wide.size(1)).index_add(0, text, wide)
    return (total / torch.tensor(num_windows, device=total.device).unsqueeze(1)).to(vectors.dtype)


def windows_of(data: Mapping[str, Any], *, before: int = 0, behind: int = 0) -> Windows | None:
    """The windows that the settings of the data want; None where texts are cut, or read as they are.

    Args:
        data: the settings.
        before: special tokens in front of a text.
        behind: special tokens behind it.
    """
    if data.get("long_texts") != "windows" or not data.get("max_length"):
        return None
    return Windows(size=data["max_length"], overlap=data["window_overlap"], before=before, behind=behind)


def _cut(batch: TokenBatch, text: Tensor, place: Tensor) -> TokenBatch:
    """The windows that begin at some places of some texts; a short text's places past its end are padding."""
    cut: dict[str, Any] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if field.name in _BY_POSITION and value is not None:
            cut[field.name] = value[text.unsqueeze(1), place]
    return TokenBatch(attention_mask=batch.attention_mask[text.unsqueeze(1), place], **cut)
