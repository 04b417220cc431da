"""Names of ways to make a text's vector of the vectors of its tokens, and what they do."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.pooling import Pooling, pool

_OF_THE_LAST: dict[str, Pooling] = {"mean": "mean", "max": "max", "first": "first", "cls": "first", "last": "last"}
_ONE = "layer:"
_SEVERAL = ("last4", "mix")
NAMES = (*_OF_THE_LAST, *_SEVERAL, f"{_ONE}K")


@dataclass(frozen=True)
class TokenPooling:
    """Of which layers, and how their tokens become one vector.

    ``mean``, ``max``, ``first`` and ``last`` are of the last layer's tokens; special tokens are tokens too.
    ``layer:K`` is the mean over the tokens of the K-th layer, 0 being the embeddings and -1 the last. ``last4`` puts
    the means of the last four layers beside each other, which is four times as wide (Devlin et al. 2019, section 5.3,
    who find it the best of what is not fine-tuned); ``mix`` averages the embeddings and all layers, as the mixture of
    ELMo begins (Peters et al., NAACL 2018, equation 1).
    """

    how: Pooling = "mean"
    layers: Literal["last4", "mix"] | int | None = None
    """Of the embeddings and all layers; None: what the model says last."""

    @classmethod
    def named(cls, name: str) -> "TokenPooling":
        """The pooling of this name.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        if name in _OF_THE_LAST:
            return cls(_OF_THE_LAST[name])
        if name in _SEVERAL:
            return cls(layers=cast(Literal["last4", "mix"], name))
        number = name.removeprefix(_ONE)
        if number != name and number.removeprefix("-").isdecimal():
            return cls(layers=int(number))
        raise InputError(f"there is no pooling {name!r}; the poolings are {', '.join(NAMES)}")

    def check(self, extractor: nn.Module) -> None:
        """Make sure that the model shows the layers that are asked for.

        Raises:
            InputError: it does not.
        """
        if self.layers is not None and "output_hidden_states" not in inspect.signature(extractor.forward).parameters:
            kind = type(extractor).__name__
            raise InputError(f"a {kind} does not show its layers; use the pooling {', '.join(_OF_THE_LAST)}")

    def size(self, config: ModelConfig) -> int:
        """Width of the vectors that a model of these settings gets: a model of fewer than four layers gives those."""
        return config.hidden_size * (min(4, config.num_hidden_layers) if self.layers == "last4" else 1)  # type: ignore[attr-defined]

    def __call__(self, extractor: nn.Module, batch: TokenBatch) -> Tensor:
        """``(batch, size)``.

        Raises:
            InputError: the model has no layer of this number.
        """
        if self.layers is None:
            return pool(extractor(batch).last_hidden_state, batch.attention_mask, self.how)
        states: tuple[Tensor, ...] = extractor(batch, output_hidden_states=True).hidden_states
        chosen = self.combined([states[i] for i in self.chosen(len(states))])
        return pool(chosen, batch.attention_mask, self.how)

    def chosen(self, num_states: int) -> list[int]:
        """Which of the embeddings and all layers are pooled, in their order.

        Raises:
            InputError: the model has no layer of this number.
        """
        every = range(num_states)
        if self.layers is None:
            return [num_states - 1]
        if self.layers == "last4":  # the embeddings are no layer: a model of fewer than four gives all it has
            return list(every[1:][-4:])
        if self.layers == "mix":
            return list(every)
        if not -num_states <= self.layers < num_states:
            raise InputError(f"layer:{self.layers}: the model has layers 0 (the embeddings) to {num_states - 1}")
        return [every[self.layers]]

    def combined(self, states: Sequence[Tensor]) -> Tensor:
        """The chosen layers ``(..., hidden_size)`` as what is pooled, ``(..., size)``: their mean, or side by side."""
        if self.layers == "last4":
            return torch.cat(tuple(states), dim=-1)
        return states[0] if len(states) == 1 else torch.stack(tuple(states)).mean(dim=0)
