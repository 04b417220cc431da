"""RNN, LSTM and GRU against `torch.nn`, with its weights: features, states and gradients."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wenmo.models.recurrent import RecurrentConfig, RecurrentStack, RecurrentState

LENGTHS = [3, 6, 1, 6, 2]
INPUT, UNITS = 5, 4
KINDS: list[tuple[type[nn.RNNBase], dict[str, Any], dict[str, Any]]] = [
    (nn.RNN, {"nonlinearity": "tanh"}, {"cell": "rnn"}),
    (nn.RNN, {"nonlinearity": "relu"}, {"cell": "rnn", "activation": "relu"}),
    (nn.LSTM, {}, {"cell": "lstm"}),
    (nn.GRU, {}, {"cell": "gru"}),
]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def pair(
    kind: Any, theirs: dict[str, Any], ours: dict[str, Any], num_layers: int, bidirectional: bool, biases: Any
) -> Any:
    """The module of torch, and a stack with its weights; with one bias, torch's second is zero."""
    torch.manual_seed(0)
    oracle = kind(
        INPUT, UNITS, num_layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64, **theirs
    )
    config = RecurrentConfig(
        embedding_size=INPUT,
        num_units=UNITS,
        num_hidden_layers=num_layers,
        bidirectional=bidirectional,
        num_biases=biases,
        **ours,
    )
    stack = RecurrentStack(config).double()
    suffixes = [f"_l{layer}{end}" for layer in range(num_layers) for end in ("", "_reverse")[: config.num_directions]]
    with torch.no_grad():
        for cell, suffix in zip(stack.cells(), suffixes, strict=True):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                if name == "bias_hh" and biases == 1:
                    getattr(oracle, name + suffix).zero_()
                else:
                    getattr(cell, name).copy_(getattr(oracle, name + suffix))
    return oracle, stack, suffixes


@pytest.mark.parametrize("num_biases", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("kind", "theirs", "ours"), KINDS, ids=str)
def test_a_stack_is_that_of_torch_with_all_gradients(
    kind: Any, theirs: Any, ours: Any, num_layers: int, bidirectional: bool, num_biases: int
) -> None:
    oracle, stack, suffixes = pair(kind, theirs, ours, num_layers, bidirectional, num_biases)
    lengths = torch.tensor(LENGTHS)
    mask = (torch.arange(6) < lengths[:, None]).long()
    x = torch.randn(5, 6, INPUT, dtype=torch.float64)
    shape = (len(suffixes), 5, UNITS)
    first = [torch.randn(shape, dtype=torch.float64) for _ in range(2 if kind is nn.LSTM else 1)]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out, last = oracle(packed, tuple(first) if kind is nn.LSTM else first[0])
    expected = [pad_packed_sequence(out, batch_first=True)[0], *(last if kind is nn.LSTM else [last])]
    states, state = stack(x, mask, RecurrentState(*first))
    found = [states, *state.tensors()]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    weights = [torch.randn(y.shape, dtype=torch.float64) for y in found]
    for side in (found, expected):
        sum((y * w).sum() for y, w in zip(side, weights, strict=True)).backward()
    for cell, suffix in zip(stack.cells(), suffixes, strict=True):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            if getattr(cell, name) is not None:
                theirs_grad = getattr(oracle, name + suffix).grad
                torch.testing.assert_close(getattr(cell, name).grad, theirs_grad, rtol=0, atol=1e-12)
