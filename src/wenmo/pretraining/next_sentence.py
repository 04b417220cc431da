"""Pairs of which the second text follows the first or is a random one, as BERT's code makes them.

Devlin et al., NAACL 2019, section 3.1 and appendix A.2; https://github.com/google-research/bert,
``create_pretraining_data.py``, step by step. A document has a target length: all the room there is, or with
``short_seq_prob`` a random one. Sentences are gathered until it is reached. The first of them, a random number, are A.
The others are B; or with one chance in two, and always where there is but one sentence, B is taken from a random
sentence on of another document, and the others are gathered again. What is too long loses tokens of the longer text, at
its front or its back by a coin. So random pairs are a little over one half.

We differ in one way: the other document is drawn among the others, where the code tries ten times and then takes the
same one.
"""

from dataclasses import dataclass

import numpy as np

from wenmo.errors import InputError
from wenmo.models.config import Config
from wenmo.pretraining.cuts import Cut, needed_room, token_starts
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

IS_NEXT, IS_RANDOM = 0, 1


@dataclass(frozen=True, kw_only=True)
class NextSentence(Config):
    """How pairs are made. The defaults are BERT's."""

    short_seq_prob: float = 0.1
    """Documents with a random target length, since what a model is used on later is often short."""
    one_belongs: bool = False
    """Classes are told the other way round: 1 belongs together, 0 does not, as ERNIE 1.0's code has it."""

    def __post_init__(self) -> None:
        if not 0 <= self.short_seq_prob <= 1:
            raise ValueError(f"short_seq_prob is a probability; got {self.short_seq_prob}")

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Pairs with their class: 0 follows, 1 is random.

        Raises:
            InputError: no sentence follows another, there is one document alone, or the length leaves no room.
        """
        room = needed_room(frame, length, least=2, parts=2)
        check_pairs(shard, "next_sentence")
        rows, labels = [], []
        maker = _Maker(shard, room, rng)
        for document in range(len(shard.documents) - 1):
            target = int(rng.integers(2, room + 1)) if rng.random() < self.short_seq_prob else room
            for first, second, is_random in maker.pairs(document, target):
                rows.append([(*first, 0), (*second, 1)])
                labels.append(is_random if not self.one_belongs else 1 - is_random)
        return Cut.of(shard, frame, rows, labels)


def check_pairs(shard: Shard, objective: str) -> None:
    """Refuse text in which no sentence stands beside another one, or in which none is of another document.

    Raises:
        InputError: there are no such.
    """
    sizes = np.diff(shard.documents)
    if not len(sizes):
        return
    if len(sizes) < 2:
        raise InputError(
            f"{objective} needs texts of other documents, and there is one document; put a blank line between "
            "documents, or leave the objective out (masked_lm alone works)"
        )
    if sizes.max() < 2:
        raise InputError(
            f"{objective} needs sentences that follow each other, and each of the {len(sizes)} documents is one "
            "sentence; put blank lines between documents alone, or leave the objective out (masked_lm alone works)"
        )


class _Maker:
    """Goes through the documents of a shard."""

    def __init__(self, shard: Shard, room: int, rng: np.random.Generator) -> None:
        self._room, self._rng = room, rng
        self._starts = token_starts(shard).tolist()
        self._documents = shard.documents.tolist()

    def pairs(self, document: int, target: int) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
        """Runs of tokens A and B, and 1 where B is random."""
        starts, made = self._starts, []
        sentence, end = self._documents[document], self._documents[document + 1]
        gathered = sentence  # the first sentence that stands together with this one
        while sentence < end:
            if sentence == end - 1 or starts[sentence + 1] - starts[gathered] >= target:
                num = sentence + 1 - gathered
                behind_a = gathered + (int(self._rng.integers(1, num)) if num >= 2 else 1)
                first = (starts[gathered], starts[behind_a])
                if num == 1 or self._rng.random() < 0.5:
                    second, is_random = self._other_text(document, target - (first[1] - first[0])), IS_RANDOM
                    sentence = behind_a - 1
                else:
                    second, is_random = (starts[behind_a], starts[sentence + 1]), IS_NEXT
                made.append((*truncate_pair(first, second, self._room, self._rng), is_random))
                gathered = sentence + 1
            sentence += 1
        return made

    def _other_text(self, document: int, target: int) -> tuple[int, int]:
        """From a random sentence of another document on, until it is as long as asked for or at its end."""
        other = int(self._rng.integers(len(self._documents) - 2))
        other += other >= document
        begin, end = self._documents[other], self._documents[other + 1]
        first = behind = int(self._rng.integers(begin, end))
        while behind < end:
            behind += 1
            if self._starts[behind] - self._starts[first] >= target:
                break
        return self._starts[first], self._starts[behind]


def truncate_pair(
    first: tuple[int, int], second: tuple[int, int], room: int, rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Until both fit, take a token of the longer run, or of equal ones the second: its first or its last, by a coin."""
    sizes = [first[1] - first[0], second[1] - second[0]]
    over = max(0, sum(sizes) - room)
    taken = [0, 0]
    longer = 0 if sizes[0] > sizes[1] else 1
    taken[longer] = min(over, abs(sizes[0] - sizes[1]))
    rest = over - taken[longer]  # of runs that are equal by then: one of the second, one of the first, and so on
    taken[1] += (rest + 1) // 2
    taken[0] += rest // 2
    fronts = [int(rng.binomial(number, 0.5)) if number else 0 for number in taken]
    short = [
        (run[0] + front, run[1] - (number - front))
        for run, number, front in zip((first, second), taken, fronts, strict=True)
    ]
    return short[0], short[1]
