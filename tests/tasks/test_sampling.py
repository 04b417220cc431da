"""What may come next: each rule against its counterpart in transformers, and by arithmetic."""

import pytest
import torch
from torch import Tensor
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from wenmo.errors import InputError
from wenmo.tasks.sampling import Sampling, keep_best, keep_nucleus, penalize

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.4, -3.0], [0.0, 0.1, 0.2, 0.3, 0.25]])
WRITTEN = torch.tensor([[0, 4, 0], [3, 3, 1]])


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.7])
def test_the_penalty_is_that_of_transformers(penalty: float) -> None:
    torch.testing.assert_close(
        penalize(LOGITS, WRITTEN, penalty), RepetitionPenaltyLogitsProcessor(penalty)(WRITTEN, LOGITS.clone())
    )


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_top_k_is_that_of_transformers(top_k: int) -> None:
    torch.testing.assert_close(keep_best(LOGITS, top_k), TopKLogitsWarper(top_k)(WRITTEN, LOGITS.clone()))


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.8, 0.97])
def test_top_p_is_that_of_transformers(top_p: float) -> None:
    torch.testing.assert_close(keep_nucleus(LOGITS, top_p), TopPLogitsWarper(top_p)(WRITTEN, LOGITS.clone()))


def test_the_rules_follow_each_other_as_in_transformers() -> None:
    scores = RepetitionPenaltyLogitsProcessor(1.2)(WRITTEN, LOGITS.clone())
    for rule in (TemperatureLogitsWarper(0.7), TopKLogitsWarper(4), TopPLogitsWarper(0.9)):
        scores = rule(WRITTEN, scores)
    sampling = Sampling(temperature=0.7, top_k=4, top_p=0.9, repetition_penalty=1.2)
    draws = _frequencies(sampling, LOGITS)
    # 4,000 draws of a share p scatter by less than 0.008; four of these are allowed.
    torch.testing.assert_close(draws, scores.softmax(dim=-1), rtol=0, atol=0.032)
    assert (draws[scores == -torch.inf] == 0).all()


def test_no_temperature_takes_the_likeliest() -> None:
    generator = torch.Generator().manual_seed(0)
    assert Sampling(temperature=0).choose(LOGITS, WRITTEN, generator).tolist() == [0, 3]


def test_what_may_never_come_never_comes() -> None:
    logits = LOGITS.clone()
    logits[:, 0] = -torch.inf
    assert (_frequencies(Sampling(temperature=5.0), logits)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
    ],
)
def test_what_cannot_work_is_refused_by_name(settings: dict[str, float], field: str) -> None:
    with pytest.raises(InputError, match=field):
        Sampling(**settings)  # type: ignore[arg-type]


def _frequencies(sampling: Sampling, logits: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    many = logits.repeat_interleave(4000, dim=0)
    chosen = sampling.choose(many, WRITTEN.repeat_interleave(4000, dim=0), generator).view(2, 4000)
    return torch.nn.functional.one_hot(chosen, logits.size(1)).float().mean(dim=1)
