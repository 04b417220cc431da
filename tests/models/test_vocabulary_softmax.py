"""The three softmaxes: the sampled one's formula retold, and how often words are drawn."""

import math

import numpy as np
import pytest
import torch

from wenmo.models.vocabulary_softmax import SoftmaxConfig, VocabularySoftmax, draw_log_uniform, log_expected_count


def softmax_of(vocab_size: int, width: int = 6, **settings: object) -> VocabularySoftmax:
    layer = VocabularySoftmax(width, vocab_size, SoftmaxConfig(**settings)).double()  # type: ignore[arg-type]
    layer.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(layer.output.bias) if isinstance(layer.output, torch.nn.Linear) else None
    return layer


def test_words_are_drawn_as_often_as_the_formula_expects():
    torch.manual_seed(0)
    vocab_size, num, times = 60, 12, 4000
    seen, expected = np.zeros(vocab_size), np.zeros(vocab_size)
    everything = torch.arange(vocab_size)
    for _ in range(times):
        words, tries = draw_log_uniform(num, vocab_size)
        assert len(set(words.tolist())) == num and num <= tries
        seen[words.numpy()] += 1
        expected += log_expected_count(everything, vocab_size, tries).exp().numpy()
    # Given how many tries it took, what was drawn is no longer independent; the formula is TensorFlow's approximation.
    assert np.abs(seen - expected).max() / times < 0.05
    assert (np.diff(expected) < 0).all() and seen[:5].min() > seen[-5:].max()


def test_single_draws_have_the_log_uniform_distribution():
    torch.manual_seed(1)
    vocab_size, times = 20, 20_000
    first = np.array([draw_log_uniform(1, vocab_size)[0].item() for _ in range(times)])
    p = [(math.log(k + 2) - math.log(k + 1)) / math.log(vocab_size + 1) for k in range(vocab_size)]
    assert abs(sum(p) - 1) < 1e-12
    for k in range(vocab_size):
        assert abs((first == k).mean() - p[k]) < 4.5 * math.sqrt(p[k] * (1 - p[k]) / times)


def test_the_sampled_loss_is_the_formula_of_tensorflow():
    layer = softmax_of(50, kind="sampled", num_sampled=8)
    states, labels = torch.randn(3, 6, dtype=torch.float64), torch.tensor([4, 0, 30])
    drawn, tries = torch.tensor([0, 1, 7, 4, 12, 2, 3, 40]), 13
    loss = layer._sampled(states, labels, drawn, tries)
    weight, bias = layer.output.weight.detach().numpy(), layer.output.bias.detach().numpy()

    def expected_count(k: int) -> float:
        p = (math.log(k + 2) - math.log(k + 1)) / math.log(51)
        return 1 - (1 - p) ** tries

    total = 0.0
    for state, label in zip(states.numpy(), labels.tolist(), strict=True):
        right = state @ weight[label] + bias[label] - math.log(expected_count(label))
        others = [state @ weight[k] + bias[k] - math.log(expected_count(k)) for k in drawn.tolist() if k != label]
        total += math.log(sum(math.exp(z) for z in [right, *others])) - right
    assert float(loss.detach()) == pytest.approx(total, rel=1e-12)


def test_a_sampled_softmax_is_whole_where_nothing_is_learnt():
    layer = softmax_of(50, kind="sampled", num_sampled=8)
    states, labels = torch.randn(30, 6, dtype=torch.float64), torch.randint(0, 50, (30,))
    whole = torch.nn.functional.cross_entropy(layer.output(states), labels, reduction="sum")
    torch.testing.assert_close(layer.eval()(states, labels), whole)
    sampled = layer.train()(states, labels)
    assert not torch.isclose(sampled, whole)
    sampled.backward()
    touched = layer.output.weight.grad.abs().sum(dim=1) > 0
    assert touched[labels].all() and touched.sum() < 50


def test_an_adaptive_softmax_is_a_distribution():
    layer = softmax_of(40, 16, kind="adaptive", cutoffs=(5, 20))
    states = torch.randn(4, 16, dtype=torch.float64)
    each = [layer(states[:1], torch.tensor([word])).detach() for word in range(40)]
    assert float(torch.exp(-torch.stack(each)).sum()) == pytest.approx(1.0)
    assert softmax_of(400, 16, kind="adaptive").output.cutoffs[:2] == [20, 100]


@pytest.mark.parametrize(
    "settings", [{"kind": "sampled"}, {"kind": "adaptive", "cutoffs": (10, 60)}, {"kind": "adaptive"}]
)
def test_a_vocabulary_that_is_too_small_is_refused(settings):
    with pytest.raises(ValueError, match=r"take softmax\.kind=full"):
        softmax_of(50, **settings)
