"""The filters over distinct words against torch.nn.functional.conv1d and numerical gradients."""

import torch
from torch.nn import functional as F

from wenmo.models.convolution import ngram_scores, ngram_scores_and_maxima


def random_problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(6, 4, generator=generator, dtype=dtype)
    index = torch.randint(0, 7, (3, 9), generator=generator)  # 6 is the vector of zeros
    weights = [torch.randn(2, 4, width, generator=generator, dtype=dtype) for width in (1, 2, 4)]
    return vectors, index, weights


def test_scores_are_those_of_conv1d() -> None:
    vectors, index, weights = random_problem()
    placed = torch.cat([vectors, vectors.new_zeros(1, 4)])[index].transpose(1, 2)
    for scores, weight in zip(ngram_scores(vectors, index, weights), weights, strict=True):
        torch.testing.assert_close(scores, F.conv1d(placed, weight).transpose(1, 2), rtol=0, atol=1e-12)


def test_gradients_are_the_numerical_ones() -> None:
    vectors, index, weights = random_problem()
    inputs = [vectors.requires_grad_(), *[weight.requires_grad_() for weight in weights]]
    assert torch.autograd.gradcheck(lambda vectors, *weights: ngram_scores(vectors, index, weights), inputs)


def test_bfloat16_autocast_computes_in_bfloat16_and_trains_float32_weights() -> None:
    vectors, index, weights = random_problem(torch.float32)
    vectors.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        scores = ngram_scores(vectors, index, weights)[1]
    exact = ngram_scores(vectors, index, weights)[1]
    assert scores.dtype == torch.bfloat16
    torch.testing.assert_close(scores.float(), exact, rtol=0.02, atol=0.1)  # 8 bits of mantissa, sums of 8 products
    scores.float().sum().backward()
    assert vectors.grad is not None and vectors.grad.dtype == torch.float32


def test_maxima_and_their_gradients_are_those_of_the_scores() -> None:
    vectors, index, weights = random_problem()
    inside = [
        torch.rand(3, 10 - weight.size(2), generator=torch.Generator().manual_seed(5)) > 0.4 for weight in weights
    ]
    for counts in inside:
        counts[:, 2] = True
    inputs = [vectors.requires_grad_(), *[weight.requires_grad_() for weight in weights]]
    scores, maxima = ngram_scores_and_maxima(vectors, index, weights, inside)
    expected = [
        s.masked_fill(~counts.unsqueeze(-1), -torch.inf).amax(dim=1) for s, counts in zip(scores, inside, strict=True)
    ]
    for ours, theirs in zip(maxima, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    weigh = [torch.randn(m.shape, dtype=m.dtype, generator=torch.Generator().manual_seed(7)) for m in maxima]
    by_winners = torch.autograd.grad(
        [(m * w).sum() for m, w in zip(maxima, weigh, strict=True)], inputs, retain_graph=True
    )
    by_scores = torch.autograd.grad([(m * w).sum() for m, w in zip(expected, weigh, strict=True)], inputs)
    for ours, theirs in zip(by_winners, by_scores, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
