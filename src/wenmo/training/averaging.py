"""The mean of a model's weights over the last updates, which is often a better model than the last of them.

Polyak and Juditsky, SIAM Journal on Control and Optimization 1992; Vaswani et al. 2017, section 6.1, average their last
checkpoints to the same end. The mean here moves: behind update t it is d times what it was and 1 - d times the weights,
with d = min(decay, (1 + t) / (10 + t)), so that the first weights are soon forgotten.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The moving mean of a module's weights; what is no floating-point number is as it was last."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module, self._decay = module, decay
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from the mean of an interrupted run."""
        for name, value in weights.items():
            self.weights[name].copy_(value)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights behind an update, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in self._module.state_dict().items():
            mean = self.weights[name]
            mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the mean as its weights, and its own again behind it."""
        own = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        self._module.load_state_dict(self.weights)
        try:
            yield
        finally:
            self._module.load_state_dict(own)
