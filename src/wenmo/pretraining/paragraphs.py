"""Paragraphs in another order, and how far apart two texts stood: two objectives of ERNIE 2.0 about sentences.

Sun et al., AAAI 2020, https://arxiv.org/abs/1907.12412, section 4.2.2.

**Sentence reordering**: a paragraph is divided into 1 to m segments, which are shown in a random order; the class is
that order, one of k = 1! + 2! + ... + m!. The paper does not state m. It is 4 here, k = 33, since the authors' own head
for this task has 33 classes (https://github.com/PaddlePaddle/ERNIE, branch repro, ``ernie-doc/model/static/ernie.py``,
``multi_sent_sorted``). Which class is which order is not published: here the orders of n segments stand behind all of
fewer segments, sorted. A paragraph of one sentence cannot be divided, and is not counted.

**Sentence distance**: 0 the second text follows the first, 1 both are of one document and something stands between
them, 2 they are of two documents. How the pairs are made is not published either. Here documents are divided into texts
of whole sentences, and of each text and each class there is the same chance, as far as its document has such a pair.

Segments and texts are separated as pairs are, and each has its own ``token_type_ids`` as far as the model has them
(figure 3 of the paper).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL
from wenmo.models.config import Config
from wenmo.pretraining.cuts import Cut, Part, needed_room, token_starts
from wenmo.pretraining.next_sentence import check_pairs, truncate_pair
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

ADJACENT, SAME_DOCUMENT, OTHER_DOCUMENT = range(3)


@dataclass(frozen=True, kw_only=True)
class SentenceReordering(Config):
    """How paragraphs are divided."""

    most_segments: int = 4
    """m; 3 makes 9 classes, 4 makes 33, 5 makes 153."""

    def __post_init__(self) -> None:
        if not 2 <= self.most_segments <= 6:
            raise ValueError(f"most_segments must be 2 to 6, which makes 3 to 873 classes; got {self.most_segments}")

    @property
    def num_classes(self) -> int:
        """k."""
        return first_class(self.most_segments + 1)

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Paragraphs of whole sentences in a random order, with the class of that order; -100 of a single sentence.

        Raises:
            InputError: no document has two sentences, or the length leaves no room.
        """
        room = needed_room(frame, length, least=self.most_segments, parts=self.most_segments)
        if len(shard) and np.diff(shard.documents).max() < 2:
            raise InputError(
                "sentence_reordering needs documents of several sentences, and each is one; put blank lines between "
                "documents alone, or leave the objective out"
            )
        rows, labels = [], []
        for bounds in _paragraphs(shard, room):
            num = int(rng.integers(1, min(self.most_segments, len(bounds) - 1) + 1))
            inner = np.sort(1 + rng.choice(max(1, len(bounds) - 2), num - 1, replace=False))
            edges = [bounds[0], *(bounds[int(i)] for i in inner), bounds[-1]]
            segments = list(pairwise(edges))
            order = rng.permutation(num).tolist()
            rows.append([(*segments[which], kind) for kind, which in enumerate(order)])
            labels.append(first_class(num) + rank_of(order) if len(bounds) > 2 else IGNORED_LABEL)
        return Cut.of(shard, frame, rows, labels)


def first_class(num_segments: int) -> int:
    """The class of so many segments in their own order: those of fewer segments stand before it."""
    return sum(math.factorial(n) for n in range(1, num_segments))


def rank_of(order: list[int]) -> int:
    """The place of an order among all of its length when they are sorted."""
    later = [sum(other < each for other in order[i + 1 :]) for i, each in enumerate(order)]
    return sum(count * math.factorial(len(order) - 1 - i) for i, count in enumerate(later))


@dataclass(frozen=True, kw_only=True)
class SentenceDistance(Config):
    """How far apart two texts stood."""

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Pairs with their class.

        Raises:
            InputError: no sentence stands beside another, there is one document alone, or the length leaves no room.
        """
        room = needed_room(frame, length, least=2, parts=2)
        check_pairs(shard, "sentence_distance")
        starts = token_starts(shard).tolist()
        texts = [_texts(starts, begin, end, room // 2) for begin, end in pairwise(shard.documents.tolist())]
        rows: list[list[Part]] = []
        labels = []
        for document, own in enumerate(texts):
            for i in range(len(own)):
                possible = _possible(i, len(own))
                distance = possible[int(rng.integers(len(possible)))]
                first, second = own[i], _partner(texts, document, i, distance, rng)
                if distance == ADJACENT and i == len(own) - 1:  # nothing follows the last
                    first, second = own[i - 1], own[i]
                first, second = truncate_pair(first, second, room, rng)
                rows.append([(*first, 0), (*second, 1)])
                labels.append(distance)
        return Cut.of(shard, frame, rows, labels)


def _possible(i: int, num: int) -> list[int]:
    """Classes that a pair with text i of so many can be of."""
    neighbours = min(i, 1) + min(num - 1 - i, 1)
    found = [OTHER_DOCUMENT]
    if num > 1:
        found.append(ADJACENT)
    if num - 1 > neighbours:
        found.append(SAME_DOCUMENT)
    return found


def _partner(
    texts: list[list[tuple[int, int]]], document: int, i: int, distance: int, rng: np.random.Generator
) -> tuple[int, int]:
    """The text that stands second beside text i of a document."""
    own = texts[document]
    if distance == ADJACENT:
        return own[min(i + 1, len(own) - 1)]
    if distance == SAME_DOCUMENT:
        first, behind = max(0, i - 1), min(len(own), i + 2)  # neighbours and the text itself
        place = int(rng.integers(len(own) - (behind - first)))
        return own[place + (behind - first if place >= first else 0)]
    other = int(rng.integers(len(texts) - 1))
    strangers = texts[other + (other >= document)]
    return strangers[int(rng.integers(len(strangers)))]


def _paragraphs(shard: Shard, room: int) -> list[list[int]]:
    """Runs of sentences of one document, as many as there is room for: the first token of each, and the last's end.

    A sentence that is longer by itself stands alone and is cut behind.
    """
    starts, found = token_starts(shard).tolist(), []
    for begin, end in pairwise(shard.documents.tolist()):
        first = begin
        for sentence in range(begin, end):
            if starts[sentence + 1] - starts[first] > room and sentence > first:
                found.append(starts[first : sentence + 1])
                first = sentence
        found.append(starts[first : end + 1])
    return [[*bounds[:-1], min(bounds[-1], bounds[0] + room)] for bounds in found]


def _texts(starts: list[int], begin: int, end: int, room: int) -> list[tuple[int, int]]:
    """Sentences ``begin`` to ``end`` as texts of up to half a sequence each, and four of them at least where there are
    as many sentences, so that short documents have texts that are not neighbours."""
    most = max(1, (end - begin) // 4)
    found, first = [], begin
    for sentence in range(begin, end):
        is_full = sentence + 1 < end and (sentence + 1 - first >= most or starts[sentence + 2] - starts[first] > room)
        if is_full or sentence + 1 == end:
            found.append((starts[first], starts[sentence + 1]))
            first = sentence + 1
    return found
