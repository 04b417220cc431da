"""Which parts of an extractor stand how deep, so that training can treat them differently.

An extractor whose layers stand above each other says so by a method ``depths``. What it does not name there, such as a
pooler or a mixture of layers, stands on top, and belongs to the head of the task.
"""

from typing import Protocol, runtime_checkable

from torch import nn

Depths = list[list[nn.Module]]
"""Modules from the input up: those that make vectors of tokens, then those of each layer. None is named twice."""


@runtime_checkable
class Layered(Protocol):
    """An extractor whose layers stand above each other."""

    def depths(self) -> Depths:
        """Its modules from the input up, without what stands on top."""


def depths_of(extractor: nn.Module) -> Depths:
    """What the extractor says of its depths; one that says nothing is all of one depth."""
    return extractor.depths() if isinstance(extractor, Layered) else [[extractor]]
