"""Pairs whose relation the data itself tells: by the word that joins them, or by who clicked what.

Sun et al., AAAI 2020, https://arxiv.org/abs/1907.12412, section 4.2.3.

**Discourse relation**: a sentence that begins with a word such as *because* and the sentence before it. The word is
taken away, and which relation it told is the class, as in Discovery (Sileo et al., NAACL 2019,
https://arxiv.org/abs/1903.11850).

**IR relevance**: what was asked for and a title: 0 shown and clicked (strong), 1 shown and not clicked (weak), 2 a
title that was shown for something else (random). The paper gives no share of the random ones.
"""

from dataclasses import dataclass

import numpy as np

from wenmo.errors import InputError
from wenmo.models.config import Config
from wenmo.pretraining.cuts import Cut, Part, document_of_sentences, needed_room, token_starts
from wenmo.pretraining.next_sentence import truncate_pair
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import CONNECTIVE, KIND, Shard

STRONG, WEAK, RANDOM = range(3)


@dataclass(frozen=True, kw_only=True)
class DiscourseRelation(Config):
    """Which word joined two sentences; what there is to set is a matter of the corpus."""

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Pairs with their class; the second without its first word.

        Raises:
            InputError: no sentence begins with such a word, or the length leaves no room.
        """
        room = needed_room(frame, length, least=2, parts=2)
        if not shard.has(CONNECTIVE):
            raise InputError(
                "discourse_relation needs sentences whose first word tells how they are joined to the one before, and "
                "the corpus was made without looking for such; make it again with connectives, or leave the objective "
                "out"
            )
        starts, documents = token_starts(shard), document_of_sentences(shard)
        rows: list[list[Part]] = []
        labels = []
        for sentence in np.flatnonzero(shard.store[CONNECTIVE].lengths).tolist():
            size, relation = (int(each) for each in shard.store[CONNECTIVE][sentence])
            begin, end = int(starts[sentence]) + size, int(starts[sentence + 1])
            if begin >= end or not sentence or documents[sentence] != documents[sentence - 1]:
                continue
            first, second = truncate_pair((int(starts[sentence - 1]), int(starts[sentence])), (begin, end), room, rng)
            rows.append([(*first, 0), (*second, 1)])
            labels.append(relation)
        return Cut.of(shard, frame, rows, labels)


@dataclass(frozen=True, kw_only=True)
class IrRelevance(Config):
    """How well a title answers what was asked for."""

    random_share: float = 1 / 3
    """Of the pairs, those of a title that was shown for something else."""

    def __post_init__(self) -> None:
        if not 0 <= self.random_share <= 0.5:
            raise ValueError(f"random_share must be at least 0 and at most 0.5; got {self.random_share}")

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Pairs of what was asked for and a title, with their class.

        Raises:
            InputError: there are no clicks, only one thing was asked for, or the length leaves no room.
        """
        room = needed_room(frame, length, least=2, parts=2)
        if not shard.has(KIND):
            raise InputError(
                "ir_relevance needs titles and whether they were clicked, and the corpus has none; make it of a file "
                "of queries with titles, or leave the objective out"
            )
        if len(shard.documents) == 2 and self.random_share:
            raise InputError("ir_relevance needs titles shown for other queries, and there is one query; bring more")
        starts = token_starts(shard).tolist()
        rows: list[list[Part]] = []
        labels = []
        for query, title, relevance in self._pairs(shard, rng):
            first, second = truncate_pair(
                (starts[query], starts[query + 1]), (starts[title], starts[title + 1]), room, rng
            )
            rows.append([(*first, 0), (*second, 1)])
            labels.append(relevance)
        return Cut.of(shard, frame, rows, labels)

    def _pairs(self, shard: Shard, rng: np.random.Generator) -> list[tuple[int, int, int]]:
        """Sentences that are a query and a title, and their class; behind a real pair a random one, by chance."""
        queries, documents = shard.documents[:-1], document_of_sentences(shard)
        titles = np.setdiff1d(np.arange(len(shard)), queries)
        first_of = np.searchsorted(titles, shard.documents)  # of each document, and the number of titles
        chance = self.random_share / (1 - self.random_share)
        found = []
        for title in titles.tolist():
            document = int(documents[title])
            query = int(queries[document])
            found.append((query, title, int(shard.store[KIND][title][0])))
            others = len(titles) - int(first_of[document + 1] - first_of[document])
            if others and rng.random() < chance:
                place = int(rng.integers(others))
                place += int(first_of[document + 1] - first_of[document]) if place >= first_of[document] else 0
                found.append((query, int(titles[place]), RANDOM))
        return found
