"""Chance that is a function of what it is for: the same numbers for a row in whatever batch, on whatever process.

Each row of a cut has a stream of its own: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose i-th number is a hash
of seed + i γ. So all numbers of a batch are made at once, where a generator object for each row would take longer than
the masking itself.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Draws:
    """The numbers of one pass over one shard."""

    seed: int
    shard: int = 0
    """Which shard of the corpus."""
    number: int = 0
    """Which pass over it."""

    def uniform(self, rows: NDArray[np.int64], purpose: str, num: int, length: int) -> NDArray[np.float64]:
        """``(num, len(rows), length)`` numbers in [0, 1).

        The first numbers of a row are the same whatever ``length`` is, that is, whatever it stands beside.

        Args:
            rows: of the cut.
            purpose: what they are for; numbers for different purposes have nothing to do with each other.
            num: how many at each place.
            length: places.
        """
        key = np.random.SeedSequence((self.seed, self.shard, self.number, zlib.crc32(purpose.encode())))
        first = key.generate_state(1, np.uint64)[0]
        with np.errstate(over="ignore"):
            seeds = _mixed(first + (rows.astype(np.uint64) + np.uint64(1)) * _GAMMA)[:, None]  # (rows, 1)
            places = np.arange(1, length + 1, dtype=np.uint64)
            kinds = [_mixed(_mixed(seeds + np.uint64(i) * _GAMMA) + places * _GAMMA) for i in range(num)]
        return np.stack(kinds) / 2.0**64 if num else np.empty((0, len(rows), length))

    def generator(self, purpose: str) -> np.random.Generator:
        """For what is drawn over the whole shard, such as its cut."""
        return np.random.default_rng((self.seed, self.shard, self.number, zlib.crc32(purpose.encode())))


def repeated(number: int, duplicates: int) -> int:
    """The pass whose numbers pass ``number`` draws.

    Args:
        number: which pass over the corpus, from 0.
        duplicates: BERT's ``dupe_factor``: the text is made so many times and then repeated (static); 0: each pass is
            new (dynamic).
    """
    return number % duplicates if duplicates else number


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
