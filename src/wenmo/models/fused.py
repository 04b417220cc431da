"""An LSTM over packed texts by torch's own layer, which runs all steps inside one call.

A step of a small LSTM is so little work that starting its dozen operations is most of it; torch's layer (oneDNN on a
CPU, cuDNN on a GPU) starts nothing. It knows no lengths, so texts are padded for it, and that changes nothing: padding
stands behind each text, and a direction that begins at the end reads each text reversed, its padding behind it too.
"""

import torch
from torch import Tensor

from wenmo.models.packing import Packing

_MOST_UNITS = 320
"""Of a direction on a CPU; in larger layers the products are most of the work, and `wenmo.models.scan` is faster."""
_LEAST_TEXT = 0.6
"""Share of a padded batch that is text, below which the padding costs more than it saves."""


def is_faster(x: Tensor, num_units: int, packing: Packing) -> bool:
    """Whether torch's layer learns faster from these packed texts ``(tokens, input_size)``."""
    if torch.is_autocast_enabled(x.device.type) or not torch.is_grad_enabled():
        return False
    batch, length = packing.shape
    if len(x) < _LEAST_TEXT * batch * length or len(x) == 0:
        return False
    return x.device.type == "cuda" or (x.dtype == torch.float32 and num_units <= _MOST_UNITS)


def lstm(
    x: Tensor, packing: Packing, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, *, reverse: bool = False
) -> Tensor:
    """h behind every token, ``(tokens, num_units)``; before its first step a text knows nothing.

    Args:
        x: ``(tokens, input_size)``.
        packing: where each token stands.
        weight_ih: ``(4 * num_units, input_size)``, the gates in the order of `torch.nn`.
        weight_hh: ``(4 * num_units, num_units)``.
        bias: ``(4 * num_units,)``.
        reverse: from each text's last token to its first.
    """
    batch, length = packing.shape
    places = _places(packing, reverse, x.device)
    padded = x.new_zeros(length * batch, x.size(1)).index_copy(0, places, x).view(length, batch, -1)
    first = x.new_zeros(1, batch, weight_hh.size(1))
    weights = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
    outputs, *_ = torch.lstm(padded, (first, first), weights, True, 1, 0.0, True, False, False)
    return outputs.flatten(0, 1).index_select(0, places)


def _places(packing: Packing, reverse: bool, device: torch.device) -> Tensor:
    """``(tokens,)``: where each packed row stands in ``(length * batch)``, the longest text first."""
    batch = packing.shape[0]
    sizes = torch.tensor([size for _, size in packing.steps], device=device)
    steps = torch.arange(len(sizes), device=device).repeat_interleave(sizes)
    texts = torch.arange(int(sizes.sum()), device=device) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    if reverse:
        lengths = (sizes.unsqueeze(1) > torch.arange(batch, device=device)).sum(dim=0)
        steps = lengths[texts] - 1 - steps
    return steps * batch + texts
