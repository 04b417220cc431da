"""Layers that keep nothing of their way up: what the way back needs is computed again (Chen et al. 2016,
https://arxiv.org/abs/1604.06174)."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from wenmo.errors import InputError
from wenmo.models.depths import depths_of
from wenmo.models.transformer_layers import TransformerLayer


def recompute_layers(extractor: nn.Module) -> list[nn.Module]:
    """Let every layer of a Transformer compute twice while it learns; `compute_once` takes it back.

    Dropout falls as it fell before. Without gradients nothing is kept, and so nothing is computed again.

    Raises:
        InputError: the model has no such layers.
    """
    parts = [module for modules in depths_of(extractor) for module in modules]
    layers: list[nn.Module] = [module for module in parts if isinstance(module, TransformerLayer)]
    if not layers:
        raise InputError("training.recompute: this model has no layers of a Transformer; leave it out")
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return layers


def compute_once(layers: list[nn.Module]) -> None:
    """Take back what `recompute_layers` did."""
    for layer in layers:
        layer.__dict__.pop("forward", None)
