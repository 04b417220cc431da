"""Which tokens are masked, and what stands in their place.

Devlin et al., NAACL 2019, section 3.1, as https://github.com/google-research/bert makes it (`create_pretraining_data`):
of a sequence, n = min(max_predictions, max(1, round(0.15 length))) tokens are foretold, where the length counts the
special tokens, and no special token is among them. Of each, the model reads the mask (80 %), another token (10 %), or
the token itself (10 %).

What is chosen together is the **unit**:

- ``token``: each by itself.
- ``word``: whole words. In shuffled order, each is taken unless n would be exceeded. Words come from the spans of the
  corpus, which say it right for Chinese too, where no piece of a word looks like one.
- ``span``: SpanBERT (Joshi et al., TACL 2020, https://arxiv.org/abs/1907.10529, section 3.1): runs of whole words until
  n tokens are reached, the last one cut there. A run has a geometric number of words, p = 0.2, of at most 10; longer
  ones are drawn again, which gives the paper's mean of 3.8. It begins at the word of a random token that is not taken
  yet, and its tokens share one of the three fates.
- ``phrase``, ``entity``: ERNIE 1.0 (Sun et al. 2019, https://arxiv.org/abs/1904.09223, section 3.2): the spans of that
  level, then those of the levels below in what is left, then tokens. The paper masks 15 % in the first stage and gives
  no rate for the others. With ``count="n"`` units are taken as words are. With ``count="each"`` each is taken with the
  rate as its probability and n is no limit, which is what the released code does
  (https://github.com/PaddlePaddle/ERNIE, branch release/r2.1.0, ``batching.py``); long units then make more tokens.

A sequence may draw its unit from a mixture, as the released code does for each of its files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wenmo.features import IGNORED_LABEL
from wenmo.models.config import Config
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.sequences import Draft
from wenmo.pretraining.shards import ENTITY, PHRASE, WORD

Unit = Literal["token", "word", "span", "phrase", "entity"]
UnitOrMixed = Literal["token", "word", "span", "phrase", "entity", "mixed"]

_LEVELS: Mapping[str, tuple[int, ...]] = {
    "token": (),
    "word": (WORD,),
    "span": (WORD,),
    "phrase": (PHRASE, WORD),
    "entity": (ENTITY, PHRASE, WORD),
}
"""Of which spans the units are, the first level first."""
_SPAN_P, _SPAN_MOST = 0.2, 10
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MaskingConfig(Config):
    """Which tokens are foretold. The defaults are BERT's."""

    unit: UnitOrMixed = "token"
    """What is chosen together; ``mixed``: each sequence draws it."""
    mixture: tuple[tuple[Unit, float], ...] = ()
    """Of mixed units: each with its share. Empty: token, phrase and entity, one third each."""
    rate: float = 0.15
    """Of the tokens."""
    max_predictions: int = 0
    """Most tokens foretold in a sequence; 0: no limit but the rate. BERT has 20 at 128 tokens."""
    mask_share: float = 0.8
    """Of the chosen tokens, those that the model reads as the mask."""
    random_share: float = 0.1
    """Those that it reads as another token; the rest stays as it is."""
    together: bool = False
    """The tokens of a unit draw one of the three in common, not each by itself; those of spans always do."""
    count: Literal["n", "each"] = "n"
    """Units until n tokens are reached, or each with the rate as its probability and without a limit (ERNIE 1.0)."""

    def __post_init__(self) -> None:
        if self.unit not in get_args(UnitOrMixed):
            raise ValueError(f"unit must be one of {', '.join(get_args(UnitOrMixed))}; got {self.unit!r}")
        for unit, _ in self.mixture:
            if unit not in get_args(Unit):
                raise ValueError(f"a unit of a mixture must be one of {', '.join(get_args(Unit))}; got {unit!r}")
        if self.mixture and self.unit != "mixed":
            raise ValueError(f"a mixture goes with unit='mixed', and the unit is {self.unit!r}; leave one of them out")
        if not 0 < self.rate < 1 or self.max_predictions < 0:
            raise ValueError(f"rate must be above 0 and below 1, max_predictions 0 or more; got {self}")
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError("mask_share and random_share are shares of the chosen tokens; together they are at most 1")
        if any(share <= 0 for _, share in self.mixture):
            raise ValueError(f"the shares of a mixture are above 0; got {self.mixture}")
        if self.count == "each" and "span" in self.units:
            raise ValueError("spans are drawn until n tokens are reached; leave masking.count out, or take words")

    @property
    def shares(self) -> tuple[tuple[Unit, float], ...]:
        """All units that may be drawn, with their shares."""
        if self.unit == "mixed":
            return self.mixture or (("token", 1.0), ("phrase", 1.0), ("entity", 1.0))
        return ((self.unit, 1.0),)

    @property
    def units(self) -> tuple[Unit, ...]:
        """All that may be drawn."""
        return tuple(unit for unit, _ in self.shares)


@dataclass(frozen=True, kw_only=True)
class KnowledgeMaskingConfig(MaskingConfig):
    """Which words, phrases and entities are foretold."""

    unit: UnitOrMixed = "mixed"
    """What is chosen together; ``mixed``: each sequence is one of ERNIE 1.0's stages, or what ``mixture`` says."""


@dataclass(frozen=True)
class Vocabulary:
    """What masking has to know of a tokenizer."""

    mask_id: int
    random_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """What may stand in the place of a token: BERT draws from the whole vocabulary, ERNIE 1.0 from all but id 0."""


def mask(draft: Draft, config: MaskingConfig, vocabulary: Vocabulary, draws: Draws, purpose: str) -> Integers:
    """Change what the model reads, and say what stood there.

    Args:
        draft: whose ``input_ids`` change.
        config: which tokens.
        vocabulary: what stands in their place.
        draws: chance.
        purpose: of the draws.

    Returns:
        ``(batch, length)``: the token at the chosen places, -100 everywhere else.
    """
    order, fate, other = draws.uniform(draft.rows, purpose, 3, draft.mask.shape[1])
    kinds = _kinds(draft, config, draws, purpose)
    units = unit_of_places(draft, kinds)
    chosen = _chosen_units(draft, units, order, config)
    shared = units if config.together else np.broadcast_to(np.arange(units.shape[1]), units.shape).copy()
    most = _most(draft, config)
    chances = draws.uniform(draft.rows, f"{purpose} runs", 2, int(most.max(initial=1)))
    for row in np.flatnonzero(kinds == "span"):
        runs = _runs(units[row], draft.text[row], chances[:, row, : most[row]])
        chosen[row] = runs >= 0
        shared[row] = np.where(runs >= 0, runs, shared[row])
    fate = np.take_along_axis(fate, shared, axis=1)
    labels = np.where(chosen, draft.original, IGNORED_LABEL)
    draft.input_ids[chosen & (fate < config.mask_share)] = vocabulary.mask_id
    replaced = chosen & (fate >= config.mask_share) & (fate < config.mask_share + config.random_share)
    random_ids = vocabulary.random_ids
    draft.input_ids[replaced] = random_ids[(other[replaced] * len(random_ids)).astype(np.int64)]
    return labels


def unit_of_places(draft: Draft, kinds: NDArray[np.str_]) -> Integers:
    """``(batch, length)``: at each place the first place of the unit it belongs to, in its row.

    Args:
        draft: the sequences with their spans.
        kinds: ``(batch,)``: the `Unit` of each.
    """
    batch, length = draft.mask.shape
    first = np.tile(np.arange(length), (batch, 1))
    spans = [each.spans for each in draft.sequences]
    rows = np.repeat(np.arange(batch), [len(each) for each in spans])
    begins, ends, levels = np.concatenate([np.empty((0, 3), np.int32), *spans]).astype(np.int64).T
    taken = np.zeros((batch, length + 1), np.int64)
    for depth in range(max(len(each) for each in _LEVELS.values())):
        wanted = np.array([([*_LEVELS[str(kind)], 0, 0, 0])[depth] for kind in kinds])
        before = np.concatenate([np.zeros((batch, 1), np.int64), np.cumsum(taken, axis=1)], axis=1)
        free = (levels == wanted[rows]) & (before[rows, ends] == before[rows, begins])
        row, begin, size = rows[free], begins[free], (ends - begins)[free]
        places = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size - begin, size)
        row, begin = np.repeat(row, size), np.repeat(begin, size)
        first[row, places] = begin
        taken[row, places] = 1
    return first


def _kinds(draft: Draft, config: MaskingConfig, draws: Draws, purpose: str) -> NDArray[np.str_]:
    """``(batch,)``: what is chosen together in each sequence."""
    shares = np.array([share for _, share in config.shares])
    coin = draws.uniform(draft.rows, f"{purpose} unit", 1, 1)[0, :, 0]
    bounds = np.cumsum(shares / shares.sum())[:-1]
    return np.array(config.units)[np.searchsorted(bounds, coin, side="right")]


def _most(draft: Draft, config: MaskingConfig) -> Integers:
    """``(batch,)``: n of each sequence."""
    n = np.maximum(1, np.rint(config.rate * draft.mask.sum(axis=1))).astype(np.int64)
    return np.asarray(np.minimum(n, config.max_predictions) if config.max_predictions else n)


def _chosen_units(
    draft: Draft, units: Integers, order: NDArray[np.float64], config: MaskingConfig
) -> NDArray[np.bool_]:
    """``(batch, length)``: true at each token of the units that are taken."""
    places = np.arange(units.shape[1])
    heads = draft.text & (units == places)
    if config.count == "each":
        return _of_units(heads & (order < config.rate), units, draft)
    rows = np.arange(len(units))[:, None]
    sizes = np.zeros_like(units)
    np.add.at(sizes, (np.broadcast_to(rows, units.shape)[draft.text], units[draft.text]), 1)
    shuffled = np.argsort(np.where(heads, order, np.inf), axis=1)
    size_of = np.take_along_axis(np.where(heads, sizes, 0), shuffled, axis=1)
    left, taken = _most(draft, config), np.zeros(units.shape, bool)
    for nth in range(int(heads.sum(axis=1).max(initial=0))):
        fits = (size_of[:, nth] > 0) & (size_of[:, nth] <= left)
        taken[rows[:, 0], shuffled[:, nth]] = fits
        left = left - np.where(fits, size_of[:, nth], 0)
        if not left.any():
            break
    return _of_units(taken, units, draft)


def _of_units(heads: NDArray[np.bool_], units: Integers, draft: Draft) -> NDArray[np.bool_]:
    """What is said of the first place of a unit, at each of its tokens."""
    return np.asarray(draft.text & np.take_along_axis(heads, units, axis=1))


def _runs(units: Integers, text: NDArray[np.bool_], chances: NDArray[np.float64]) -> Integers:
    """``(length,)``: at each chosen place the first place of its run of whole words, -1 everywhere else.

    ``chances`` are ``(2, most)``: how long each run is and where it begins, of as many runs as tokens are wanted.
    """
    found = np.full(len(units), -1, np.int64)
    lengths, anchors = chances
    most = len(lengths)
    for num_words, anchor in zip(words_of_runs(lengths).tolist(), anchors.tolist(), strict=True):
        free = np.flatnonzero(text & (found < 0))
        left = most - int((found >= 0).sum())
        if not left or not len(free):
            break
        start = place = int(units[free[int(anchor * len(free))]])
        seen = 0
        while place < len(units) and text[place] and left:
            seen += units[place] == place
            if seen > num_words:
                break
            if found[place] < 0:
                found[place] = start
                left -= 1
            place += 1
    return found


def words_of_runs(chances: NDArray[np.float64]) -> Integers:
    """Geometric numbers of at most 10 out of numbers in [0, 1): the inverse of their distribution function."""
    share = 1 - (1 - _SPAN_P) ** _SPAN_MOST
    words = np.ceil(np.log1p(-chances * share) / np.log(1 - _SPAN_P))
    return np.asarray(words.clip(1, _SPAN_MOST).astype(np.int64))
