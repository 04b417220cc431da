"""The mixture of layers, worked by hand."""

import math

import pytest
import torch

from wenmo.models.scalar_mix import ScalarMix


def layers_of(*values: list[list[float]]) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def test_a_mixture_is_gamma_times_the_weighted_sum() -> None:
    mix = ScalarMix(2).double()
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([math.log(3.0), 0.0]))
        mix.gamma.fill_(2.0)
    # softmax(log 3, 0) = 3/4, 1/4
    found = mix(layers_of([[4.0, 0.0]], [[8.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([[2 * (3 + 2), 2 * (0 + 1.0)]], dtype=torch.float64))


def test_a_new_mixture_is_the_plain_mean() -> None:
    found = ScalarMix(3).double()(layers_of([[3.0]], [[6.0]], [[0.0]]))
    assert found.item() == pytest.approx(3.0)


def test_the_layer_norm_has_one_mean_and_variance_over_all_that_is_text() -> None:
    mix = ScalarMix(1, layer_norm=True).double()
    layer = torch.tensor([[[1.0, 3.0], [99.0, 99.0]], [[5.0, 7.0], [5.0, 4.0]]], dtype=torch.float64)
    mask = torch.tensor([[1, 0], [1, 1]])
    # Text: 1 3 5 7 5 4, mean 25/6, mean of squares 125/6, variance 125/6 - 625/36 = 125/36.
    found = mix([layer], mask)
    expected = (layer - 25 / 6) / math.sqrt(125 / 36)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=0, atol=1e-9)
    torch.testing.assert_close(found[mask.bool()], mix([layer[mask.bool()]]), rtol=0, atol=1e-12)


def test_the_penalty_is_lambda_times_the_squares_of_the_weights_and_not_of_gamma() -> None:
    mix = ScalarMix(2, penalty=0.5).double()
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([1.0, -3.0]))
        mix.gamma.fill_(7.0)
    penalty = mix.penalty()
    assert penalty.item() == 5.0
    penalty.backward()
    assert mix.weights.grad is not None and mix.weights.grad.tolist() == [1.0, -3.0]
    assert mix.gamma.grad is None


def test_dropout_is_on_the_mixture_and_only_in_training() -> None:
    torch.manual_seed(0)
    mix = ScalarMix(1, dropout_prob=0.5)
    ones = [torch.ones(1000, 1)]
    dropped = mix.train()(ones)
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert mix.eval()(ones).unique().tolist() == [1.0]


def test_another_number_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="3 layers, and weights for 2"):
        ScalarMix(2)([torch.ones(1)] * 3)
