"""Masking counted over thousands of sequences: how many, which, and what stands in their place."""

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.pretraining.cuts import Cut, WholeSentences
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.masking import MaskingConfig, Vocabulary, mask, unit_of_places, words_of_runs
from wenmo.pretraining.sequences import Draft, Frame
from wenmo.pretraining.shards import ENTITY, PHRASE, WORD, Shard

MASK = 4
VOCABULARY = Vocabulary(mask_id=MASK, random_ids=np.arange(10, 1000, dtype=np.int32))
BERT = Frame(before=(2,), between=(3,), behind=(3,), num_types=2)


def cut_of(shard: Shard, length: int = 64) -> Cut:
    return WholeSentences().cut(shard, BERT, length, np.random.default_rng(0))


def masked(cut: Cut, config: MaskingConfig, draws: Draws, rows: range | None = None) -> tuple[Draft, np.ndarray]:
    chosen = np.array(rows if rows is not None else range(len(cut)), np.int64)
    draft = Draft.of(cut.take(chosen))
    return draft, mask(draft, config, VOCABULARY, draws, "masked_lm")


def within(share: float, expected: float, number: int, deviations: float = 4.5) -> bool:
    """Whether a share of so many draws is what chance leaves of the expected one."""
    return abs(share - expected) < deviations * np.sqrt(expected * (1 - expected) / number)


def test_the_number_is_that_of_the_paper_and_the_length_counts_special_tokens(make_shard):
    cut = cut_of(make_shard(num_documents=400))
    _, labels = masked(cut, MaskingConfig(), Draws(1))
    expected = [max(1, round(0.15 * length)) for length in cut.lengths]
    assert (labels != -100).sum(axis=1).tolist() == expected
    assert len(cut) > 400
    _, capped = masked(cut, MaskingConfig(max_predictions=5), Draws(1))
    assert (capped != -100).sum(axis=1).tolist() == [min(5, n) for n in expected]


def test_eighty_ten_ten(make_shard):
    cut = cut_of(make_shard(num_documents=2000), 128)
    draft, labels = masked(cut, MaskingConfig(), Draws(2))
    chosen = labels != -100
    read, stood, number = draft.input_ids[chosen], draft.original[chosen], int(chosen.sum())
    assert number > 15_000
    assert np.array_equal(labels[chosen], stood)
    assert within(float((read == MASK).mean()), 0.8, number)
    # A random token is the one that stood there once in 990 times.
    assert within(float((read == stood).mean()), 0.1 + 0.1 / 990, number)
    replaced = read[(read != MASK) & (read != stood)]
    assert within(float((replaced < 505).mean()), 0.5, len(replaced))
    assert {int(replaced.min()) // 100, int(replaced.max()) // 100} == {0, 9}
    assert np.array_equal(draft.input_ids[~chosen], draft.original[~chosen])
    assert not (chosen & ~draft.text).any()


def test_every_place_is_as_likely():
    shard = Shard(TokenStore.from_rows(input_ids=[[10] * 20] * 4000, document=[[i] for i in range(4000)]))
    _, labels = masked(cut_of(shard, 22), MaskingConfig(), Draws(3))
    counts = (labels != -100).sum(axis=0)
    assert counts[0] == counts[21] == 0
    # round(0.15 * 22) = 3 of 20 places.
    assert all(within(count / 4000, 3 / 20, 4000) for count in counts[1:21])


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_a_row_is_masked_alike_in_any_batch_and_otherwise_in_each_pass(make_shard, unit):
    cut, config = cut_of(make_shard(num_documents=60)), MaskingConfig(unit=unit)
    together, labels = masked(cut, config, Draws(7, 0, 0))
    for row in (0, 5, len(cut) - 1):
        alone, its = masked(cut, config, Draws(7, 0, 0), range(row, row + 1))
        length = its.shape[1]
        assert np.array_equal(its[0], labels[row, :length])
        assert np.array_equal(alone.input_ids[0], together.input_ids[row, :length])
    for other in (Draws(7, 0, 1), Draws(7, 1, 0), Draws(8, 0, 0)):
        _, again = masked(cut, config, other)
        both = ((labels != -100) & (again != -100)).sum() / (labels != -100).sum()
        assert 0.1 < both < 0.25  # what chance has in common


def words_in(draft: Draft, row: int) -> list[range]:
    return [range(first, end) for first, end, _ in draft.sequences[row].spans]


def test_words_are_masked_as_wholes_and_never_more_than_n(make_shard):
    cut = cut_of(make_shard(num_documents=600))
    draft, labels = masked(cut, MaskingConfig(unit="word"), Draws(4))
    chosen = labels != -100
    most = np.array([max(1, round(0.15 * length)) for length in cut.lengths])
    assert (chosen.sum(axis=1) <= most).all()
    # Words of one token fill what longer ones leave, nearly always.
    assert (chosen.sum(axis=1) == most).mean() > 0.95
    for row in range(len(cut)):
        for word in words_in(draft, row):
            assert len(set(chosen[row, list(word)])) == 1


@pytest.mark.parametrize("together", [False, True])
def test_the_pieces_of_a_word_draw_by_themselves_or_together(make_shard, together):
    cut = cut_of(make_shard(num_documents=1500))
    draft, labels = masked(cut, MaskingConfig(unit="word", together=together), Draws(5))
    is_mask = draft.input_ids == MASK
    pairs = [
        (is_mask[row, word[0]], is_mask[row, word[1]])
        for row in range(len(cut))
        for word in words_in(draft, row)
        if labels[row, word[0]] != -100
    ]
    both = np.mean([a and b for a, b in pairs])
    assert len(pairs) > 1500
    assert within(float(both), 0.8 if together else 0.64, len(pairs))


def test_runs_have_the_lengths_of_spanbert():
    words = words_of_runs(np.random.default_rng(6).random(100_000))
    expected = np.array([0.2 * 0.8 ** (k - 1) for k in range(1, 11)])
    expected /= expected.sum()
    assert words.min() == 1 and words.max() == 10
    assert all(within(float((words == k).mean()), expected[k - 1], len(words)) for k in range(1, 11))
    assert abs(words.mean() - 3.8) < 0.05  # the mean that the paper gives


def test_runs_stand_beside_each_other_until_n_is_reached():
    shard = Shard(TokenStore.from_rows(input_ids=[[10] * 500] * 300, document=[[i] for i in range(300)]))
    _, labels = masked(cut_of(shard, 502), MaskingConfig(unit="span", rate=0.1), Draws(6))
    chosen = labels != -100
    assert (chosen.sum(axis=1) == round(0.1 * 502)).all()
    starts = (np.diff(chosen.astype(int), axis=1) == 1).sum()
    # Runs of 3.8 words of one token; some touch, and the last is cut.
    assert 3.6 < chosen.sum() / starts < 4.4


def test_a_span_shares_its_replacement_and_holds_whole_words(make_shard):
    cut = cut_of(make_shard(num_documents=400), 128)
    draft, labels = masked(cut, MaskingConfig(unit="span"), Draws(9))
    chosen = labels != -100
    assert chosen.sum(axis=1).tolist() == [max(1, round(0.15 * length)) for length in cut.lengths]
    words = [(row, word) for row in range(len(cut)) for word in words_in(draft, row)]
    halves = sum(len(set(chosen[row, list(word)])) == 2 for row, word in words)
    assert halves <= len(cut)  # at most the last of each sequence is cut
    is_mask = draft.input_ids == MASK
    alike = [is_mask[row, word[0]] == is_mask[row, word[1]] for row, word in words if chosen[row, list(word)].all()]
    assert np.mean(alike) > 0.97


def marked_shard(num_documents: int) -> Shard:
    """Sentences of 16 tokens: an entity 0-4 inside a phrase 0-6, a phrase 8-11 with a word 8-10, a word 12-14."""
    spans = [0, 4, ENTITY, 0, 6, PHRASE, 8, 11, PHRASE, 8, 10, WORD, 4, 6, WORD, 12, 14, WORD]
    rng = np.random.default_rng(4)
    return Shard(
        TokenStore.from_rows(
            input_ids=rng.integers(10, 1000, (num_documents, 16)),
            document=[[i] for i in range(num_documents)],
            spans=[spans] * num_documents,
        )
    )


def test_units_are_the_spans_of_a_level_and_of_those_below_in_what_is_left():
    cut = cut_of(marked_shard(5), 18)
    draft = Draft.of(cut.take(np.arange(5)))
    kinds = np.array(["token", "word", "phrase", "entity", "span"])
    units = unit_of_places(draft, kinds)[:, 1:17] - 1
    assert units[0].tolist() == list(range(16))
    assert units[1].tolist() == [0, 1, 2, 3, 4, 4, 6, 7, 8, 8, 10, 11, 12, 12, 14, 15]
    assert units[2].tolist() == [0] * 6 + [6, 7] + [8] * 3 + [11, 12, 12, 14, 15]
    # The phrase around the entity is no unit any more; its other word is.
    assert units[3].tolist() == [0] * 4 + [4, 4, 6, 7] + [8] * 3 + [11, 12, 12, 14, 15]
    assert units[4].tolist() == units[1].tolist()


@pytest.mark.parametrize("unit", ["phrase", "entity"])
def test_each_unit_is_taken_with_the_rate_and_without_a_limit(unit):
    cut = cut_of(marked_shard(8000), 18)
    draft, labels = masked(cut, MaskingConfig(unit=unit, count="each"), Draws(11))
    chosen = labels[:, 1:17] != -100
    units = unit_of_places(draft, np.full(8000, unit))[:, 1:17] - 1
    heads = np.unique(units[0])
    for head in heads:
        together = chosen[:, units[0] == head]
        assert (together.all(axis=1) == together.any(axis=1)).all()
        assert within(float(together.any(axis=1).mean()), 0.15, 8000)
    assert chosen.sum(axis=1).max() > 6  # n would be 3
    # Each token of a unit draws its own fate.
    first, second = draft.input_ids[:, 1] == MASK, draft.input_ids[:, 2] == MASK
    taken = chosen[:, 0] & chosen[:, 1]
    assert within(float((first & second)[taken].mean()), 0.64, int(taken.sum()))


def test_the_number_of_tokens_is_the_same_whatever_the_unit():
    cut = cut_of(marked_shard(3000), 128)
    totals = {}
    for unit in ("token", "word", "phrase", "entity"):
        _, labels = masked(cut, MaskingConfig(unit=unit), Draws(12))
        totals[unit] = int((labels != -100).sum())
    assert max(totals.values()) - min(totals.values()) < 0.01 * totals["token"]


def test_a_mixture_has_its_shares():
    cut = cut_of(marked_shard(9000), 18)
    config = MaskingConfig(
        unit="mixed", mixture=(("token", 1.0), ("phrase", 1.0), ("entity", 2.0)), count="each", rate=0.5
    )
    _, labels = masked(cut, config, Draws(13))
    chosen = labels[:, 1:17] != -100
    # Four tokens of the entity agree by chance in one of eight sequences of single tokens; else they are one unit.
    alike = chosen[:, :4].all(axis=1) | ~chosen[:, :4].any(axis=1)
    assert within(float(alike.mean()), 0.75 + 0.25 / 8, 9000)
    whole = chosen[:, :6].all(axis=1) | ~chosen[:, :6].any(axis=1)
    # The phrase of six: always where phrases are units, by chance of one half where its entity and its word are.
    assert within(float(whole.mean()), 0.25 + 0.5 / 2 + 0.25 / 32, 9000)


@pytest.mark.parametrize(
    "settings",
    [
        {"unit": "syllable"}, {"rate": 0.0}, {"rate": 1.0}, {"mask_share": 0.9, "random_share": 0.2},
        {"unit": "span", "count": "each"}, {"unit": "mixed", "mixture": (("word", 0.0),)},
        {"mixture": (("word", 1.0),)}, {"unit": "mixed", "mixture": (("mixed", 1.0),)}, {"max_predictions": -1},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ValueError, match=r"unit|rate|share|spans"):
        MaskingConfig(**settings)


def test_text_without_spans_is_masked_token_by_token():
    shard = Shard(TokenStore.from_rows(input_ids=[[10, 11, 12]], document=[[0]]))
    draft, labels = masked(cut_of(shard), MaskingConfig(unit="entity"), Draws(0))
    assert (labels != -100).sum() == 1 and draft.mask.shape == (1, 5)
