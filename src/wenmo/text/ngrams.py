"""Runs of words and of characters, counted and found many texts at a time.

Words and characters are numbers here ("symbols"), and many texts are one array of them with the ends of the texts. A
run of n symbols is known by the run of its first n - 1 and its last symbol, so that two numbers name it whatever its
length, and sorted arrays of such pairs take the place of a dictionary of strings, which is several times slower.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Ids = NDArray[np.int32]
Symbol = TypeVar("Symbol")

NUM_CODE_POINTS = 0x110000


def code_points(texts: Sequence[str]) -> tuple[Numbers, Numbers]:
    """The characters of the texts as symbols, and 0 and where each text ends."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.int64)
    return codes, np.cumsum([0, *map(len, texts)], dtype=np.int64)


def runs_of(symbols: Sequence[Symbol], lengths: tuple[int, int]) -> Iterator[Sequence[Symbol]]:
    """The runs of one text, in the order of `RunIndex.find`; none if the longest is 0."""
    for length in range(max(lengths[0], 1), lengths[1] + 1):
        for start in range(len(symbols) - length + 1):
            yield symbols[start : start + length]


def count_runs(
    symbols: Numbers, ends: Numbers, num_symbols: int, lengths: tuple[int, int], min_frequency: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """Count the runs of each length from the shortest to the longest.

    Args:
        symbols: the texts one after another; each symbol is at least 0 and under ``num_symbols``.
        ends: 0, and where each text ends.
        lengths: the shortest and the longest.
        min_frequency: rarer runs are left out.

    Yields:
        For each length the runs, ``(num_runs, length)``, and how often each occurs, ``(num_runs,)``.
    """
    places = np.arange(len(symbols), dtype=np.int64)
    prefixes = np.zeros_like(places)
    for length in range(1, lengths[1] + 1):
        fitting = _fitting(places, ends, length)
        places, prefixes = places[fitting], prefixes[fitting]
        keys = prefixes * num_symbols + symbols[places + length - 1]
        _, first, prefixes, frequencies = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        frequent = frequencies >= min_frequency
        if length >= lengths[0]:
            starts = places[first[frequent]]
            yield symbols[starts[:, None] + np.arange(length)], frequencies[frequent]
        # A run is at most as frequent as the run it continues.
        continued = frequent[prefixes]
        places, prefixes = places[continued], prefixes[continued]


class RunIndex:
    """The ids of known runs."""

    def __init__(self, symbols: Numbers, ends: Numbers, ids: Ids, num_symbols: int, unknown: int) -> None:
        """The runs stand one after another as texts do; ``unknown`` is the id of every run that is not among them."""
        self._num_symbols = num_symbols
        self._unknown = unknown
        self._levels: list[tuple[Numbers, Ids]] = []
        starts, lengths = ends[:-1], np.diff(ends)
        prefixes = np.zeros_like(starts)
        for level in range(1, int(lengths.max(initial=0)) + 1):
            reaching = lengths >= level
            starts, lengths, prefixes, ids = starts[reaching], lengths[reaching], prefixes[reaching], ids[reaching]
            known, prefixes = np.unique(prefixes * num_symbols + symbols[starts + level - 1], return_inverse=True)
            level_ids = np.full(len(known), unknown, np.int32)  # stays for what is only the beginning of runs
            level_ids[prefixes[lengths == level]] = ids[lengths == level]
            self._levels.append((known, level_ids))

    def find(self, symbols: Numbers, ends: Numbers, lengths: tuple[int, int]) -> list[Ids]:
        """The ids of all runs of each text: those of the shortest length first, each length in the text's order."""
        places = np.arange(len(symbols), dtype=np.int64)
        prefixes = np.zeros_like(places)
        by_length: list[tuple[Ids, Numbers]] = []
        for length in range(1, lengths[1] + 1):
            fitting = _fitting(places, ends, length)
            places, prefixes = places[fitting], prefixes[fitting]
            ids, prefixes = self._find_level(length, prefixes, symbols[places + length - 1])
            if length >= lengths[0]:
                by_length.append((ids, _ends_of_runs(ends, length)))
        if len(by_length) == 1:
            return split(*by_length[0])
        per_length = [split(ids, run_ends) for ids, run_ends in by_length]
        return [np.concatenate(parts) for parts in zip(*per_length, strict=True)]

    def _find_level(self, length: int, prefixes: Numbers, last: Numbers) -> tuple[Ids, Numbers]:
        """The ids of the runs, and their places in the level; -1 for an unknown run, and so for what continues it."""
        if length > len(self._levels):
            return np.full(len(last), self._unknown, np.int32), np.full(len(last), -1, np.int64)
        known, ids = self._levels[length - 1]
        keys = prefixes * self._num_symbols + last
        places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        found = known[places] == keys
        return np.where(found, ids[places], np.int32(self._unknown)), np.where(found, places, -1)


def split(values: Ids, ends: Numbers) -> list[Ids]:
    """The part of each text."""
    return [values[start:end] for start, end in pairwise(ends.tolist())]


def _fitting(places: Numbers, ends: Numbers, length: int) -> NDArray[np.bool_]:
    """Whether a run of that length that starts at the place ends within its text."""
    end_of_text = np.repeat(ends[1:], np.diff(ends))
    return places + length <= end_of_text[places]


def _ends_of_runs(ends: Numbers, length: int) -> Numbers:
    """As ``ends``, for the runs of that length in place of the symbols."""
    return np.concatenate([[0], np.cumsum(np.maximum(np.diff(ends) - length + 1, 0))])
