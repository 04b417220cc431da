"""torch's own LSTM over packed texts is the loop of `wenmo.models.scan`: outputs and gradients, both directions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wenmo.features import TokenBatch
from wenmo.models import fused
from wenmo.models.cells import LstmCell
from wenmo.models.packing import Packing
from wenmo.models.recurrent import Recurrent, RecurrentConfig
from wenmo.models.scan import Course

MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]])


def both_ways(dtype: torch.dtype, reverse: bool) -> tuple[list[Tensor], list[Tensor]]:
    """What each of them gives, and its gradients by the input and every weight."""
    torch.manual_seed(0)
    cell = LstmCell(3, 5, num_biases=2).to(dtype)
    packing = Packing.of(MASK)
    x = torch.randn(int(MASK.sum()), 3, dtype=dtype, requires_grad=True)
    above = torch.randn(len(x), 5, dtype=dtype)
    course = Course(packing, reverse=reverse)
    looped, _ = cell.run(cell.products(x), cell.first_states(x, len(MASK)), cell.weight_hh, course)
    called = fused.lstm(x, packing, cell.weight_ih, cell.weight_hh, cell.input_bias(), reverse=reverse)
    wanted = (x, *cell.parameters())
    return (
        [looped, *torch.autograd.grad(looped, wanted, above)],
        [called, *torch.autograd.grad(called, wanted, above)],
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_is_the_loop(dtype: torch.dtype, atol: float, reverse: bool) -> None:
    for looped, called in zip(*both_ways(dtype, reverse), strict=True):
        torch.testing.assert_close(called, looped, rtol=0, atol=atol)


def gradients_of(model: Recurrent, batch: TokenBatch, use_cache: bool) -> list[Tensor]:
    model.zero_grad()
    model(batch, use_cache=use_cache).last_hidden_state.square().sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_a_model_that_learns_takes_it_where_nobody_asks_for_the_last_state(
    batch_of: Callable[..., TokenBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    called = fused.lstm
    monkeypatch.setattr(fused, "lstm", lambda *args, reverse: calls.append(reverse) or called(*args, reverse=reverse))
    torch.manual_seed(0)
    config = RecurrentConfig(vocab_size=9, embedding_size=4, num_units=3, num_hidden_layers=2, bidirectional=True)
    model, batch = Recurrent(config), batch_of([[2, 3, 4, 5], [6, 7, 8]])
    model.initialize(torch.Generator().manual_seed(0))
    by_loop = gradients_of(model, batch, use_cache=True)
    assert not calls
    by_call = gradients_of(model, batch, use_cache=False)
    assert calls == [False, True] * 2
    for one, other in zip(by_loop, by_call, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)  # float32, sums of some dozen products
    with torch.no_grad():
        model(batch)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "values",
    [{"output_tanh": False}, {"normalization": "layer"}, {"normalization": "batch"}, {"window_size": 2}],
    ids=str,
)
def test_what_torch_does_not_have_runs_as_it_is(
    values: dict[str, object], batch_of: Callable[..., TokenBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "lstm", lambda *_, **__: pytest.fail("torch's layer has no such cell"))
    model: nn.Module = Recurrent(RecurrentConfig(vocab_size=9, embedding_size=4, num_units=3, **values))  # type: ignore[arg-type]
    assert model(batch_of([[2, 3, 4, 5], [6, 7, 8]])).last_hidden_state.requires_grad


def test_texts_of_very_different_lengths_are_not_padded_for_it() -> None:
    mask = torch.zeros(10, 50, dtype=torch.long)
    mask[:, :2], mask[0] = 1, 1
    packing = Packing.of(mask)
    assert not fused.is_faster(torch.randn(int(mask.sum()), 3), 5, packing)
    assert fused.is_faster(torch.randn(500, 3), 5, Packing.of(torch.ones_like(mask)))
