"""Dropout drops as many numbers as it says, each for itself, and lets the gradient through where it let the number."""

import math

import pytest
import torch

from wenmo.models.dropout import Dropout, dropout


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_the_share_is_the_probability_and_the_rest_grows(prob: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    number = 200_001  # no multiple of the numbers that a draw decides on
    found = dropout(torch.ones(number, dtype=dtype), prob)
    share = (found == 0).double().mean().item()
    # Five standard deviations of a share, and half a level of rounding.
    assert abs(share - prob) < 5 * math.sqrt(prob * (1 - prob) / number) + 1 / 131_072
    grown = found[found != 0].unique()
    assert len(grown) == 1
    assert grown.item() == pytest.approx(1 / (1 - prob), rel=5e-3 if dtype == torch.bfloat16 else 2e-4)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(400_000), 0.3) != 0).double() - 0.7
    for distance in (1, 2, 3, 4, 8):
        correlation = (kept[distance:] * kept[:-distance]).mean().item() / 0.21
        assert abs(correlation) < 5 / math.sqrt(400_000)


def test_the_gradient_goes_where_the_number_went() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 7, 3, dtype=torch.float64).transpose(0, 2).requires_grad_()
    found = dropout(x, 0.4)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient * x, found, rtol=1e-12, atol=0)
    assert 0 < (gradient == 0).sum() < x.numel()


def test_the_seed_decides() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(torch.ones(50), 0.5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_there_is_none_in_use_and_all_of_it_at_one() -> None:
    x = torch.randn(5)
    module = Dropout(0.5).eval()
    assert module(x) is x
    assert dropout(x, 0.0) is x
    assert dropout(x, 1.0).abs().sum() == 0
    assert dropout(torch.empty(0, 3), 0.5).shape == (0, 3)
    with pytest.raises(ValueError, match=r"between 0 and 1; got 1\.5"):
        Dropout(1.5)
