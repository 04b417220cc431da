"""Beam search finds what an exhaustive search finds, where the beam is wide enough, and never minds company."""

import itertools
import math

import pytest
import torch

from wenmo.features import TokenBatch
from wenmo.tasks.beam_search import beam_search, top

KINDS = {
    "fixed vector": ("recurrent", {"attention": "none"}),
    "bahdanau": ("recurrent", {}),
    "luong, fed": ("recurrent", {"attention": "general", "input_feeding": True}),
    "transformer": ("transformer", {}),
}
EACH = pytest.mark.parametrize("name", KINDS)
BOS, EOS = 2, 3
NEVER = (0, 1, BOS)


@pytest.fixture
def make(tiny_writer):
    return lambda name, seed=0: tiny_writer(KINDS[name][0], vocab_size=7, seed=seed, **KINDS[name][1])


def search(model, batch, limits, **settings):
    return beam_search(model, batch, bos_token_id=BOS, eos_token_id=EOS, limits=limits, never=NEVER, **settings)


@torch.no_grad()
def log_probability(model, batch, ids):
    """Of an answer and its end, all steps at once."""
    read = torch.tensor([[BOS, *ids]])
    logits = model.logits(model.teach(batch, read, torch.ones_like(read)))[0].log_softmax(dim=-1)
    return sum(float(logits[place, token]) for place, token in enumerate([*ids, EOS]))


@EACH
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5])
def test_a_beam_of_all_sequences_is_an_exhaustive_search(name, length_penalty, make, random_texts):
    model, batch, limit = make(name), random_texts(3, vocab_size=7), 4
    every = []
    for length in range(limit):
        for ids in itertools.product(range(4, 7), repeat=length):
            total = log_probability(model, batch, ids)
            every.append((total / ((5 + length + 1) / 6) ** length_penalty, list(ids), total))
    every.sort(reverse=True)
    found = search(model, batch, [limit], num_beams=len(every), length_penalty=length_penalty)[0]
    assert len(found) == len(every) == 1 + 3 + 9 + 27
    for hypothesis, (score, ids, total) in zip(found, every, strict=True):
        assert hypothesis.ids == ids
        assert hypothesis.score == pytest.approx(score, abs=1e-10)
        assert hypothesis.log_probability == pytest.approx(total, abs=1e-10)


@EACH
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_one_beam_is_greedy_search(name, length_penalty, make, random_texts):
    for seed in range(4):
        model, batch = make(name, seed), random_texts(4, vocab_size=7)
        ids, state, token = [], model.start(batch), BOS
        while len(ids) < 9:
            hidden_states, state, _ = model.step(torch.tensor([[token]]), state)
            allowed = model.logits(hidden_states)[0, -1].index_fill(0, torch.tensor(NEVER), -math.inf)
            token = int(allowed.argmax())
            if token == EOS:
                break
            ids.append(token)
        found = search(model, batch, [10], num_beams=1, length_penalty=length_penalty)[0]
        assert [each.ids for each in found] == [ids]


@EACH
@pytest.mark.parametrize("num_beams", [1, 3])
def test_company_never_changes_an_answer(name, num_beams, make, random_texts):
    """Texts of other lengths, answers that end early and leave the batch, and other limits beside it."""
    for seed in range(3):
        model, batch, limits = make(name, seed), random_texts(6, 1, 4, 3, 6, vocab_size=7, seed=seed), [9, 3, 12, 1, 5]
        together = search(model, batch, limits, num_beams=num_beams)
        for row, limit in enumerate(limits):
            length = int(batch.num_tokens[row])
            text = TokenBatch(
                input_ids=batch.input_ids[row : row + 1, :length],
                attention_mask=torch.ones(1, length, dtype=torch.long),
            )
            alone = search(model, text, [limit], num_beams=num_beams)[0]
            assert [each.ids for each in alone] == [each.ids for each in together[row]]
            for one, other in zip(alone, together[row], strict=True):
                assert one.score == pytest.approx(other.score, abs=1e-12)


@EACH
def test_answers_are_what_they_say(name, make, random_texts):
    model, batch = make(name), random_texts(5, vocab_size=7)
    found = search(model, batch, [8], num_beams=4)[0]
    assert len(found) == 4
    assert len({tuple(each.ids) for each in found}) == 4
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    for hypothesis in found:
        assert len(hypothesis.ids) <= 7 and not set(hypothesis.ids) & {*NEVER, EOS}
        assert hypothesis.log_probability == pytest.approx(log_probability(model, batch, hypothesis.ids), abs=1e-10)


def test_a_penalty_makes_longer_answers_win(tiny_writer, random_texts):
    lengths = []
    for penalty in (0.0, 3.0):
        answers = search(
            tiny_writer("recurrent", vocab_size=7), random_texts(4, vocab_size=7), [9], length_penalty=penalty
        )
        lengths.append(len(answers[0][0].ids))
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("wrong", [{"num_beams": 0}, {"length_penalty": -1.0}, {"limits": [0]}, {"limits": [3, 3]}])
def test_what_cannot_work_is_refused(wrong, tiny_writer, random_texts):
    with pytest.raises(ValueError, match="num_beams is at least 1"):
        search(tiny_writer("recurrent"), random_texts(3), **{"limits": [3], **wrong})


@pytest.mark.parametrize(("size", "count"), [(640, 8), (640, 1), (640, 10), (641, 8), (100, 8)])
def test_the_largest_are_found_by_blocks(size, count):
    values = torch.randn(5, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    values[0, :70] = 9 + values[0, :70]  # those of a row in two neighbouring blocks
    found, expected = top(values, count), values.topk(count, dim=-1)
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.indices, expected.indices)
