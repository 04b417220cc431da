"""Turns of dialogues, some of them fake: what ERNIE 1.0's dialogue language model reads.

Sun et al. 2019, https://arxiv.org/abs/1904.09223, section 3.3.3. A document is a thread, its sentences are turns. Two
or three turns that follow each other are read at once, as far as they are QR, QRQ, QRR or QQR (Q: who began; R: who
answers), and ``token_type_ids`` say of each turn who speaks, in the place of a segment. Words are masked in all of them
(``dialogue_lm``); and by fakes, in which a random turn of another thread stands in the place of one, the model learns
whether a dialogue is a real one (``real_dialogue``: 1 real, 0 fake, the way round of ERNIE 1.0's relation). The
paper says neither how many are fake nor how turns are chosen, and the code was not released: half are fake here unless
a person says otherwise, and a thread is walked through from its beginning, at each turn taking one of the kinds that
are there.
"""

from dataclasses import dataclass

import numpy as np

from wenmo.errors import InputError
from wenmo.models.config import Config
from wenmo.pretraining.cuts import Cut, Part, needed_room, token_starts
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import KIND, Shard

FAKE, REAL = range(2)
PATTERNS = ((0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 1))
"""QR, QRQ, QRR and QQR."""


@dataclass(frozen=True, kw_only=True)
class Dialogues(Config):
    """How dialogues are made."""

    fake_share: float = 0.5
    """Of the dialogues, those in which one turn is of another thread."""

    def __post_init__(self) -> None:
        if not 0 <= self.fake_share < 1:
            raise ValueError(f"fake_share must be at least 0 and below 1; got {self.fake_share}")

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """Dialogues of two or three turns, with 1 for the real ones.

        Raises:
            InputError: there are no speakers, no such turns, or one thread alone; or the length leaves no room.
        """
        if not shard.has(KIND):
            raise InputError(
                "dialogue_lm needs turns with who speaks, and the corpus has none; make it of a file of dialogues, or "
                "leave the objective out"
            )
        if len(shard.documents) == 2 and self.fake_share:
            raise InputError("dialogue_lm takes fake turns from other dialogues, and there is one; bring more")
        starts = token_starts(shard).tolist()
        kinds = [int(shard.store[KIND][turn][0]) for turn in range(len(shard))]
        rows: list[list[Part]] = []
        labels = []
        for begin, end in zip(shard.documents[:-1].tolist(), shard.documents[1:].tolist(), strict=True):
            for turns in _dialogues(kinds, begin, end, rng):
                roles = [kinds[turn] for turn in turns]
                is_fake = bool(rng.random() < self.fake_share)
                if is_fake:
                    other = int(rng.integers(len(shard) - (end - begin)))
                    turns[int(rng.integers(len(turns)))] = other + (end - begin if other >= begin else 0)
                room = needed_room(frame, length, least=len(turns), parts=len(turns))
                runs = shortened([(starts[turn], starts[turn + 1]) for turn in turns], room)
                rows.append([(*run, role) for run, role in zip(runs, roles, strict=True)])
                labels.append(FAKE if is_fake else REAL)
        if len(shard) and not rows:
            raise InputError("dialogue_lm needs turns of two speakers, a query first; in no dialogue does one answer")
        return Cut.of(shard, frame, rows, labels)


def _dialogues(kinds: list[int], begin: int, end: int, rng: np.random.Generator) -> list[list[int]]:
    """The turns of each dialogue of a thread, none of them twice."""
    found, turn = [], begin
    while turn < end - 1:
        fitting = [len(each) for each in PATTERNS if tuple(kinds[turn : min(end, turn + len(each))]) == each]
        if fitting:
            size = fitting[int(rng.integers(len(fitting)))]
            found.append(list(range(turn, turn + size)))
            turn += size
        else:
            turn += 1
    return found


def shortened(runs: list[tuple[int, int]], room: int) -> list[tuple[int, int]]:
    """Take tokens off the end of the longest run, the last of equal ones, until all fit."""
    sizes = [end - begin for begin, end in runs]
    while sum(sizes) > room:
        longest = max(range(len(sizes)), key=lambda i: (sizes[i], i))
        others = max((size for i, size in enumerate(sizes) if i != longest), default=0)
        sizes[longest] -= max(1, min(sum(sizes) - room, sizes[longest] - others))
    return [(begin, begin + size) for (begin, _), size in zip(runs, sizes, strict=True)]
