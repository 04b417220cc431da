"""Lexica: what is found where; the automaton against looking for every phrase."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.text.lexica import Lexica, Lexicon, Match, is_whole, leftmost_longest
from wenmo.text.spans import ENTITY, PHRASE, Unit

texts = st.text(alphabet="北京大学ab ", max_size=16)


def found_one_by_one(text: str, phrases: list[str]) -> list[Match]:
    places = [
        (start, start + len(p), n)
        for n, p in enumerate(phrases)
        for start in range(len(text))
        if text.startswith(p, start)
    ]
    return [Match(*place) for place in places if is_whole(text, *place[:2])]


def test_the_longest_from_the_left_stays():
    matches = [Match(0, 2, 0), Match(1, 5, 1), Match(0, 3, 2), Match(3, 4, 3), Match(3, 6, 4), Match(7, 8, 5)]
    assert [match.phrase for match in leftmost_longest(matches)] == [2, 4, 5]


def test_matches_are_whole_words_where_there_are_spaces():
    assert not is_whole("party", 1, 4)
    assert is_whole("an art.", 3, 6) and not is_whole("an arts", 3, 6)
    assert is_whole("我的iPhone很好", 2, 8) and is_whole("在北京大学", 1, 3)
    assert not is_whole("iPhone15", 0, 6)


@given(texts, st.lists(st.text(alphabet="北京大学ab", min_size=1, max_size=4), min_size=1, max_size=6, unique=True))
def test_the_automaton_finds_what_looking_for_each_phrase_finds(text: str, phrases: list[str]):
    pytest.importorskip("ahocorasick")
    (found,) = Lexica([Lexicon("list", tuple(phrases))]).annotate([text])
    wanted = leftmost_longest(found_one_by_one(text, phrases))
    assert found == [Unit(match.start, match.end, ENTITY, "list") for match in wanted]


def test_lexica_have_kinds_levels_and_an_order():
    pytest.importorskip("ahocorasick")
    lexica = Lexica(
        [
            Lexicon("places", ("北京", "上海")),
            Lexicon("names", ("北京", "北京大学")),
            Lexicon("idioms", ("北京大",), PHRASE),
        ]
    )
    wanted = [[Unit(0, 3, PHRASE, "idioms"), Unit(0, 4, ENTITY, "names"), Unit(5, 7, ENTITY, "places")]]
    assert lexica.annotate(["北京大学，北京"]) == wanted
    there = pickle.loads(pickle.dumps(lexica))
    assert there.annotate(["北京大学，北京"]) == wanted
    assert there.fingerprint() == lexica.fingerprint() != Lexica([Lexicon("places", ("北京",))]).fingerprint()
