"""Optimizers that touch rows against torch's dense ones; schedules and clipping against their formulas."""

import math

import pytest
import torch
from torch import nn

from wenmo.training.optimization import build_optimizers, clip, gradients_of, rate_factor
from wenmo.training.settings import TrainingSettings

GENERATOR = torch.Generator()


def train_table(settings: TrainingSettings, lazy: bool, steps: int = 12) -> torch.Tensor:
    """A table of which each step touches some rows, some of them twice, and some rows rarely or never."""
    generator = torch.Generator().manual_seed(1)
    table = nn.Embedding(10, 3).double()
    with torch.no_grad():
        table.weight.copy_(torch.randn(10, 3, generator=generator, dtype=torch.float64))
    optimizers = build_optimizers(table, settings, lazy_rows=lazy)
    for step in range(steps):
        ids = torch.randint(0, 4, (6,), generator=generator) if step % 5 else torch.tensor([7, 7, 8, 1, 2, 3])
        target = torch.randn(6, 3, generator=generator, dtype=torch.float64)
        (table(ids) - target).square().sum().backward()
        assert table.weight.grad is not None and table.weight.grad.is_sparse == lazy
        gradients_of(table)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return table.weight.detach()


@pytest.mark.parametrize("name", ["adadelta", "sgd"])
def test_lazy_rows_are_exactly_the_dense_rule(name: str) -> None:
    settings = TrainingSettings(optimizer=name, learning_rate=0.1, beta1=0.0, epsilon=1e-6)  # type: ignore[arg-type]
    # Adadelta's owed decay is a power where the dense rule multiplies step by step: float64 rounding apart.
    torch.testing.assert_close(train_table(settings, True), train_table(settings, False), rtol=0, atol=1e-12)


def test_lazy_adam_is_torchs_sparse_adam() -> None:
    settings = TrainingSettings(optimizer="adam", learning_rate=0.05)
    ours = train_table(settings, True)
    generator = torch.Generator().manual_seed(1)
    table = nn.Embedding(10, 3, sparse=True).double()
    with torch.no_grad():
        table.weight.copy_(torch.randn(10, 3, generator=generator, dtype=torch.float64))
    peer = torch.optim.SparseAdam(table.parameters(), lr=0.05, eps=settings.epsilon)
    for step in range(12):
        ids = torch.randint(0, 4, (6,), generator=generator) if step % 5 else torch.tensor([7, 7, 8, 1, 2, 3])
        target = torch.randn(6, 3, generator=generator, dtype=torch.float64)
        peer.zero_grad()
        (table(ids) - target).square().sum().backward()
        peer.step()
    # SparseAdam adds epsilon before the correction of the bias, we after it as Adam does: 1e-8 apart at most.
    torch.testing.assert_close(ours, table.weight.detach(), rtol=0, atol=1e-6)


def test_adamw_decays_the_rows_it_touches_and_leaves_the_others() -> None:
    settings = TrainingSettings(optimizer="adamw", learning_rate=0.05, weight_decay=0.5)
    decayed, plain = train_table(settings, True), train_table(settings.model_copy(update={"weight_decay": 0.0}), True)
    assert torch.equal(decayed[9], plain[9]) and torch.equal(decayed[5], plain[5])
    assert decayed[7].norm() < plain[7].norm()


def test_warm_up_and_decay_follow_their_formulas() -> None:
    def factors(schedule: str) -> list[float]:
        settings = TrainingSettings(schedule=schedule, warmup_steps=4)  # type: ignore[arg-type]
        return [rate_factor(step, 12, settings) for step in (1, 4, 8, 12)]

    assert factors("constant") == [0.25, 1, 1, 1]
    # 8 updates behind the warm-up: the 4th of them has 5/8 of the rate, the last 1/8, so that it still moves.
    assert factors("linear") == [0.25, 1, 0.625, 0.125]
    assert factors("cosine") == pytest.approx([0.25, 1] + [0.5 * (1 + math.cos(math.pi * x)) for x in (3 / 8, 7 / 8)])
    # Vaswani et al. 2017, equation 3, over its peak: min(s^-0.5, s * w^-1.5) / w^-0.5
    assert factors("noam") == pytest.approx([min(s**-0.5, s * 4**-1.5) * 2 for s in (1, 4, 8, 12)])


def test_gradients_are_clipped_by_norm_and_value() -> None:
    def clipped(**settings: float) -> list[float]:
        gradient = torch.tensor([3.0, 4.0])
        clip([gradient], 5.0, TrainingSettings(**settings))
        return gradient.tolist()

    assert clipped() == [3.0, 4.0]
    assert clipped(max_grad_norm=1.0) == pytest.approx([0.6, 0.8])
    assert clipped(max_grad_value=3.5) == [3.0, 3.5]


def test_the_norm_of_sparse_gradients_counts_a_row_once() -> None:
    table = nn.Embedding(5, 1, sparse=True)
    table(torch.tensor([2, 2, 3])).sum().backward()
    assert [gradient.flatten().tolist() for gradient in gradients_of(table)] == [[2.0, 1.0]]


def test_a_table_that_is_an_output_layer_too_is_no_table_of_rows() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.others, self.out = nn.Embedding(6, 3), nn.Embedding(6, 3), nn.Linear(3, 6, bias=False)
            self.out.weight = self.words.weight

    task = Tied()
    optimizers = build_optimizers(task, TrainingSettings(learning_rate=0.1), lazy_rows=True)
    assert task.others.sparse and not task.words.sparse
    ids = torch.tensor([1, 2])
    before = task.words.weight.detach().clone()
    task.out(task.words(ids) + task.others(ids)).logsumexp(dim=1).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert bool((task.words.weight != before).all(dim=1).all())  # every row is an output
