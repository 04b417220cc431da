"""Which token comes next: drawn from what a language model says, after the settings have their say.

In this order, as in the Hugging Face ecosystem: the repetition penalty (Keskar et al. 2019, "CTRL",
https://arxiv.org/abs/1909.05858, section 4.1), the temperature, top-k (Fan, Lewis and Dauphin, ACL 2018,
https://arxiv.org/abs/1805.04833) and top-p, the nucleus (Holtzman et al., ICLR 2020, https://arxiv.org/abs/1904.09751).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wenmo.errors import InputError

_NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw."""

    temperature: float = 1.0
    """Logits are divided by it; 0: the likeliest token is taken."""
    top_k: int = 0
    """Only so many likeliest tokens may come; 0: all."""
    top_p: float = 1.0
    """Only the fewest likeliest tokens may come whose probabilities add up to this."""
    repetition_penalty: float = 1.0
    """Logits of tokens that stand there already are divided by it, or multiplied where they are negative."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature must be 0 or more; got {self.temperature:g}")
        if self.top_k < 0:
            raise InputError(f"top_k is a number of tokens, or 0 for all; got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is a share of the probability above 0 and up to 1; got {self.top_p:g}")
        if not 0 < self.repetition_penalty < float("inf"):
            raise InputError(f"repetition_penalty must be above 0; got {self.repetition_penalty:g}")

    def choose(self, logits: Tensor, written: Tensor, generator: torch.Generator) -> Tensor:
        """The next token of each row.

        Args:
            logits: ``(rows, vocab_size)``; minus infinity where a token may never come.
            written: ``(rows, length)``: the ids that stand there already, for the penalty.
            generator: to draw from.

        Returns:
            ``(rows,)`` ids.
        """
        logits = penalize(logits.float(), written, self.repetition_penalty)
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        logits = keep_nucleus(keep_best(logits / self.temperature, self.top_k), self.top_p)
        return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(1)


def penalize(logits: Tensor, written: Tensor, penalty: float) -> Tensor:
    """``(rows, vocab_size)``: tokens among ``written`` ``(rows, length)`` are less likely."""
    if penalty == 1 or not written.size(1):
        return logits
    found = logits.gather(1, written)
    return logits.scatter(1, written, torch.where(found > 0, found / penalty, found * penalty))


def keep_best(logits: Tensor, top_k: int) -> Tensor:
    """``(rows, vocab_size)``: the ``top_k`` largest, and those equal to the last of them; 0: all."""
    if not 0 < top_k < logits.size(-1):
        return logits
    least = logits.topk(top_k, dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, _NEVER)


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """``(rows, vocab_size)``: the fewest likeliest whose probabilities add up to ``top_p``; always one."""
    if top_p == 1:
        return logits
    ordered, places = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # of all likelier ones: 0 for the first
    return logits.masked_fill(torch.zeros_like(logits, dtype=torch.bool).scatter(1, places, before >= top_p), _NEVER)
