"""What shape the data has at each step of a model, for people who want to see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """A tensor on its way through a model."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]


_STEPS: ContextVar[list[Step] | None] = ContextVar("steps", default=None)


@contextmanager
def trace() -> Iterator[list[Step]]:
    """Collect the steps of the models that run inside the block."""
    steps: list[Step] = []
    token = _STEPS.set(steps)
    try:
        yield steps
    finally:
        _STEPS.reset(token)


def note(name: str, tensor: Tensor, *axes: str) -> Tensor:
    """Add a step to the trace, if anybody asked for one; the tensor comes back as it is."""
    steps = _STEPS.get()
    if steps is not None:
        steps.append(Step(name, axes, tuple(tensor.shape)))
    return tensor
