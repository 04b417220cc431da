"""Units in characters and in tokens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wenmo.text.spans import ENTITY, PHRASE, WORD, Tagged, Unit, apart, units_in_tokens
from wenmo.text.tokenizer_config import TokenizerConfig
from wenmo.text.word_pieces import train_word_pieces


def test_units_are_found_in_tokens():
    text = "北京大学在Beijing。"
    tokenizer = train_word_pieces(
        ["北京大学在。", "Bei jing Beij"], TokenizerConfig(segmenter="wordpiece", vocab_size=18)
    )
    found = tokenizer.encode(text)
    assert len(found.tokens) > 8  # Beijing is several pieces
    units = [
        Unit(0, 2, WORD, "ns"),
        Unit(0, 4, ENTITY, "organisation"),
        Unit(4, 5, WORD, "p"),  # one token: nothing to join
        Unit(5, 12, ENTITY, "place"),
        Unit(5, 7, PHRASE, "cut"),
    ]
    pieces = len(found.tokens) - 6
    wanted = {(0, 2, WORD), (0, 4, ENTITY), (5, 5 + pieces, ENTITY)}
    at = units_in_tokens(units, found.offsets)
    assert wanted <= set(at) <= wanted | {(5, 6, PHRASE), (5, 7, PHRASE)}
    for first, behind, _ in at:
        start, end = found.offsets[first][0], found.offsets[behind - 1][1]
        assert any((start, end) == unit[:2] for unit in units)


def test_a_token_that_an_edge_would_cut_leaves_the_unit_out():
    offsets = [(0, 0), (0, 3), (4, 8), (8, 9)]  # the first covers nothing, white space is between the next
    assert units_in_tokens([Unit(0, 8, ENTITY)], offsets) == [(1, 3, ENTITY)]
    assert units_in_tokens([Unit(1, 8, ENTITY), Unit(0, 5, ENTITY), Unit(3, 8, ENTITY)], offsets) == []
    assert units_in_tokens([Unit(4, 9, PHRASE), Unit(0, 3, ENTITY)], offsets) == [(1, 2, ENTITY), (2, 4, PHRASE)]


def test_tokens_that_are_parts_of_a_character_belong_to_it():
    assert units_in_tokens([Unit(0, 2, WORD)], [(0, 1), (0, 1), (1, 2), (1, 2)]) == [(0, 4, WORD)]


units = st.builds(
    lambda start, size, level: Unit(start, start + size, level),
    st.integers(0, 12),
    st.integers(1, 5),
    st.sampled_from([WORD, PHRASE, ENTITY]),
)


@given(st.lists(units, max_size=12))
def test_units_of_one_level_never_overlap_and_the_first_one_given_stays(given_units: list[Unit]):
    kept = apart(given_units)
    assert kept == sorted(kept)
    for level in (WORD, PHRASE, ENTITY):
        of_it = [unit for unit in kept if unit.level == level]
        assert all(before.end <= after.start for before, after in pairwise(of_it))
    if given_units:
        assert given_units[0] in kept
    for unit in given_units:
        others = [k for k in kept if k.level == unit.level and k.start < unit.end and unit.start < k.end]
        assert others, "a unit was dropped though nothing overlaps it"


def test_a_tagger_is_any_function():
    tagged = Tagged(lambda texts: [[(0, len(text), "X"), (1, 2, "Y")] for text in texts], "all")
    assert tagged.annotate(["ab", "c"]) == [
        [Unit(0, 2, ENTITY, "X")],
        [Unit(0, 1, ENTITY, "X"), Unit(1, 2, ENTITY, "Y")],
    ]
    assert tagged.fingerprint() != Tagged(tagged.tag, "all", PHRASE).fingerprint()
