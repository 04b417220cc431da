"""The arrays find and count what loops and dictionaries would."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wenmo.text.ngrams import RunIndex, code_points, count_runs, runs_of

NUM_SYMBOLS = 4
TEXTS = st.lists(st.lists(st.integers(0, NUM_SYMBOLS - 1), max_size=8), max_size=6)
LENGTHS = st.tuples(st.integers(1, 3), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def flat(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([symbol for text in texts for symbol in text], np.int64), np.cumsum(
        [0, *map(len, texts)], dtype=np.int64
    )


def test_the_runs_of_a_text_are_those_of_each_length_in_turn():
    assert list(runs_of("abc", (1, 2))) == ["a", "b", "c", "ab", "bc"]
    assert list(runs_of("abc", (2, 4))) == ["ab", "bc", "abc"]
    assert list(runs_of("abc", (0, 0))) == []


@given(TEXTS, LENGTHS, st.integers(1, 4))
def test_counts_are_those_of_a_counter(texts: list[list[int]], lengths: tuple[int, int], min_frequency: int):
    counted = {
        tuple(run): count
        for runs, counts in count_runs(*flat(texts), NUM_SYMBOLS, lengths, min_frequency)
        for run, count in zip(runs.tolist(), counts.tolist(), strict=True)
    }
    expected = Counter(tuple(run) for text in texts for run in runs_of(text, lengths))
    assert counted == {run: count for run, count in expected.items() if count >= min_frequency}


@given(TEXTS, st.lists(st.lists(st.integers(0, NUM_SYMBOLS - 1), min_size=1, max_size=4), unique_by=tuple), LENGTHS)
def test_ids_are_those_of_a_dictionary(texts: list[list[int]], known: list[list[int]], lengths: tuple[int, int]):
    ids = {tuple(run): number for number, run in enumerate(known, start=100)}
    index = RunIndex(*flat(known), np.array(list(ids.values()), np.int32), NUM_SYMBOLS, unknown=1)
    found = index.find(*flat(texts), lengths)
    assert [text.tolist() for text in found] == [
        [ids.get(tuple(run), 1) for run in runs_of(text, lengths)] for text in texts
    ]
    assert all(text.dtype == np.int32 for text in found)


def test_characters_are_their_code_points():
    codes, ends = code_points(["a中", "", "\U0001f600"])
    assert codes.tolist() == [0x61, 0x4E2D, 0x1F600]
    assert ends.tolist() == [0, 2, 2, 3]
