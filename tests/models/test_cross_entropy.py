"""The sum of cross entropies in blocks of rows is torch's, and so is its gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wenmo.models import cross_entropy
from wenmo.models.cross_entropy import summed_cross_entropy


def drawn(dtype: torch.dtype, rows: int = 7, size: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(rows, size, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
    return logits, torch.randint(0, size, (rows,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("numbers", [1, 25, 1 << 18])  # a row at a time, two, all of them
def test_it_is_torchs(numbers: int, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_NUMBERS_AT_ONCE", numbers)
    logits, labels = drawn(torch.float64)
    found = summed_cross_entropy(logits, labels, smoothing)
    expected = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad(loss / 3, logits, retain_graph=True)[0] for loss in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    again = torch.autograd.grad(found / 3, logits)[0]  # the gradient that was kept is not used up
    torch.testing.assert_close(again, ours, rtol=0, atol=0)


def test_in_bfloat16_it_is_computed_in_float32() -> None:
    logits, labels = drawn(torch.bfloat16)
    found = summed_cross_entropy(logits, labels, 0.1)
    assert found.dtype == torch.float32
    exact = logits.detach().double().requires_grad_()
    expected = F.cross_entropy(exact, labels, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(found, logits)
    (wanted,) = torch.autograd.grad(expected, exact)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient.double(), wanted, rtol=4e-3, atol=1e-6)  # half a step of bfloat16


def test_logits_of_any_size_overflow_nowhere() -> None:
    logits, labels = torch.tensor([[1e4, -1e4], [-1e4, -1e4]]), torch.tensor([1, 0])
    assert summed_cross_entropy(logits, labels).item() == pytest.approx(20_000 + 0.6931472)


def test_no_rows_cost_nothing() -> None:
    logits = torch.empty(0, 5, requires_grad=True)
    loss = summed_cross_entropy(logits, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None
