"""The field against every sequence written out one by one, and against what must hold for any field."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

from wenmo.models.crf import Allowed, LinearChainCrf, log_partition, viterbi
from wenmo.models.packing import Packing

NUM_TAGS = 4
LENGTHS = (5, 3, 1, 4)


def random_field(num_tags: int = NUM_TAGS, *, seed: int = 0, scale: float = 1.0) -> LinearChainCrf:
    crf = LinearChainCrf(num_tags).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return crf


def random_batch(lengths: tuple[int, ...] = LENGTHS, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Emissions, tags and mask; what stands on the padding is garbage."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    emissions = torch.randn(*mask.shape, NUM_TAGS, generator=generator, dtype=torch.float64)
    tags = torch.randint(0, NUM_TAGS, mask.shape, generator=generator)
    return emissions.masked_fill(~mask.unsqueeze(2), torch.nan), tags.masked_fill(~mask, -100), mask.long()


def sequences(length: int) -> Iterator[tuple[int, ...]]:
    return product(range(NUM_TAGS), repeat=length)


def score_by_hand(crf: LinearChainCrf, emissions: Tensor, tags: tuple[int, ...]) -> Tensor:
    """The equation, term by term."""
    transitions, start, end = crf.scores()
    found = start[tags[0]] + end[tags[-1]]
    for t, tag in enumerate(tags):
        found = found + emissions[t, tag]
        if t:
            found = found + transitions[tags[t - 1], tag]
    return found


def scores_of_all(crf: LinearChainCrf, emissions: Tensor) -> Tensor:
    return torch.stack([score_by_hand(crf, emissions, tags) for tags in sequences(len(emissions))])


def no_two_after_one() -> Allowed:
    transitions = torch.ones(NUM_TAGS, NUM_TAGS, dtype=torch.bool)
    transitions[1, 2] = False
    return Allowed(transitions, torch.tensor([True, True, False, True]), torch.tensor([True, False, True, True]))


def constrained_field() -> LinearChainCrf:
    crf = LinearChainCrf(NUM_TAGS, no_two_after_one()).double()
    crf.load_state_dict(random_field().state_dict())
    return crf


@pytest.mark.parametrize("crf", [random_field(), random_field(scale=30.0), constrained_field()])
def test_log_probabilities_are_those_of_every_sequence_counted_one_by_one(crf: LinearChainCrf) -> None:
    emissions, tags, mask = random_batch()
    found = crf(emissions, tags, mask)
    for row, length in enumerate(LENGTHS):
        gold = tuple(tags[row, :length].tolist())
        every = scores_of_all(crf, emissions[row, :length])
        wanted = score_by_hand(crf, emissions[row, :length], gold) - every.logsumexp(dim=0)
        torch.testing.assert_close(found[row], wanted, rtol=1e-12, atol=1e-10)


def test_the_partition_of_one_token_worked_by_hand() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    # start + emission + end: 1 + 0 + 0 = 1 and 0 + 2 + 1 = 3
    log_z = log_partition(
        torch.tensor([[[0.0, 2.0]]]), mask, torch.full((2, 2), 9.0), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    )
    assert log_z.item() == pytest.approx(torch.tensor([1.0, 3.0]).exp().sum().log().item())


def test_gradients_are_those_of_finite_differences() -> None:
    crf, (emissions, tags, mask) = random_field(), random_batch((4, 2, 1))
    emissions = emissions.nan_to_num().requires_grad_()
    inside = mask.bool()

    def partition(*inputs: Tensor) -> Tensor:
        return log_partition(inputs[0], inside, *inputs[1:])

    inputs = [emissions, crf.transitions, crf.start, crf.end]
    assert torch.autograd.gradcheck(partition, inputs)
    assert torch.autograd.gradcheck(lambda scores: crf(scores, tags, mask), [emissions])


@pytest.mark.parametrize("crf", [random_field(), constrained_field()])
def test_marginals_are_those_of_every_sequence_counted_one_by_one(crf: LinearChainCrf) -> None:
    emissions, _, mask = random_batch()
    found = crf.marginals(emissions, mask)
    transitions = torch.zeros(NUM_TAGS, NUM_TAGS, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        wanted = torch.zeros(length, NUM_TAGS, dtype=torch.float64)
        probabilities = scores_of_all(crf, emissions[row, :length]).softmax(dim=0)
        for tags, probability in zip(sequences(length), probabilities, strict=True):
            for t, tag in enumerate(tags):
                wanted[t, tag] += probability.detach()
                if t:
                    transitions[tags[t - 1], tag] += probability.detach()
        torch.testing.assert_close(found.tags[row, :length], wanted, rtol=0, atol=1e-10)
        assert (found.tags[row, length:] == 0).all()
    torch.testing.assert_close(found.transitions, transitions, rtol=0, atol=1e-10)


@pytest.mark.parametrize("crf", [random_field(), random_field(seed=5), constrained_field()])
def test_decoding_finds_the_best_of_all_sequences(crf: LinearChainCrf) -> None:
    emissions, _, mask = random_batch()
    found = crf.decode(emissions, mask)
    for row, length in enumerate(LENGTHS):
        every = list(sequences(length))
        best = every[int(scores_of_all(crf, emissions[row, :length]).argmax())]
        assert tuple(found[row, :length].tolist()) == best
        assert (found[row, length:] == 0).all()


def test_what_is_forbidden_has_probability_zero_whatever_the_emissions_say() -> None:
    crf = constrained_field()
    emissions = torch.zeros(1, 2, NUM_TAGS, dtype=torch.float64)
    emissions[0, 0, 1] = emissions[0, 1, 2] = 500.0  # 1, 2 is forbidden
    both = torch.ones(1, 2)
    assert crf.decode(emissions, both).tolist() != [[1, 2]]
    assert crf(emissions, torch.tensor([[1, 2]]), both).item() < -1000
    assert crf.marginals(emissions, both).transitions[1, 2] == 0


def test_company_never_changes_a_sentence() -> None:
    crf, (emissions, tags, mask) = random_field(), random_batch()
    together, decoded = crf(emissions, tags, mask), crf.decode(emissions, mask)
    for row, length in enumerate(LENGTHS):
        one = (slice(row, row + 1), slice(0, length))
        torch.testing.assert_close(crf(emissions[one], tags[one], mask[one])[0], together[row], rtol=0, atol=1e-12)
        assert torch.equal(crf.decode(emissions[one], mask[one])[0], decoded[row, :length])


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    crf, (emissions, _, _) = random_field(), random_batch((4,))
    tags = torch.tensor(list(sequences(4)))
    every = crf(emissions.expand(len(tags), -1, -1), tags, torch.ones(len(tags), 4))
    assert every.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_a_sentence_without_tokens_counts_nothing() -> None:
    crf, (emissions, tags, mask) = random_field(), random_batch((3, 0))
    found = crf(emissions, tags, mask)
    assert found[1] == 0
    found.sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in crf.parameters() if each.grad is not None)
    assert crf.decode(emissions, mask)[1].tolist() == [0, 0, 0]


def test_with_even_scores_every_tag_is_as_likely() -> None:
    crf = random_field(scale=0.0)
    marginals = crf.marginals(torch.zeros(1, 6, NUM_TAGS, dtype=torch.float64), torch.ones(1, 6))
    torch.testing.assert_close(marginals.tags, torch.full((1, 6, NUM_TAGS), 1 / NUM_TAGS, dtype=torch.float64))


def test_decoding_of_equal_scores_gives_one_of_the_best() -> None:
    zeros = torch.zeros(2)
    packing = Packing.of(torch.ones(1, 3))
    assert viterbi(torch.zeros(3, 2), packing, torch.zeros(2, 2), zeros, zeros).shape == (3,)


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LinearChainCrf(0)
    with pytest.raises(ValueError, match="allowed is for 4 tags"):
        LinearChainCrf(3, no_two_after_one())
