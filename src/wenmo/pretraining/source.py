"""What the training loop learns from while a model is pre-trained: windows of shards, cut anew in each pass.

An epoch of the loop is one window, so that what is planned ahead stays small; the windows of a pass are all shards in
an order of that pass. Each task has windows of its own over the shards of its kind. Which task an update is of, the
schedule says; an epoch ends where the task that most of its updates are for has read its window, where the length of
sequences changes, where a stage of the schedule ends, or where the run does. Other tasks go on with other chances in
the windows they have. All of it is a function of the seed, the epoch and the update it begins with. Processes share
each batch, so a run is the same however many they are.
"""

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from wenmo.data.batching import BatchOrder, Rows
from wenmo.errors import InputError
from wenmo.pretraining.cuts import Cut, Cutter
from wenmo.pretraining.draws import Draws, repeated
from wenmo.pretraining.examples import make_example
from wenmo.pretraining.objectives import Objective
from wenmo.pretraining.schedule import Schedule
from wenmo.pretraining.sequences import Frame, PretrainingExample
from wenmo.pretraining.shards import Shard

_ROUND = 1 << 24
"""More than there are passes: what a window is read for once more is no other pass."""

Names = tuple[str, ...]
"""Of the objectives of an update."""

Staged = tuple[int, Names]
"""What an update is for: a stage of the schedule, counted from 0, and objectives, which may mask otherwise in each."""


class Shards(Protocol):
    """The shards of one kind, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Shard:
        """One of them, mapped into memory."""
        ...


@dataclass(frozen=True)
class PretrainingTask:
    """What updates of one kind are for: what is cut, out of which shards, and what is learnt from it."""

    name: str
    cutter: Cutter
    objectives: tuple[Objective, ...]
    shards: Shards

    @property
    def streams(self) -> int:
        """Rows of a batch that go on where the batch before ended; 0: sequences are read by themselves."""
        return max(each.streams for each in self.objectives)


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long sequences are: short ones first, as attention over long ones takes its time (Devlin et al. 2019,
    appendix A.2)."""

    length: int
    long_length: int
    long_share: float
    """Of the updates: the last ones have long sequences."""

    def at(self, update: int, num_updates: int) -> int:
        """Tokens of the sequences of an update, counted from 0, the special ones among them."""
        first_long = num_updates - round(self.long_share * num_updates)
        return self.long_length if update >= first_long else self.length


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How sequences become batches."""

    frame: Frame
    lengths: Lengths
    batch_size: int | None
    batch_tokens: int | None
    bucket: int
    seed: int
    accumulation_steps: int = 1
    padding_id: int = 0
    num_tasks: int = 0
    """Rows of the model's table of tasks."""
    window: int = 8
    """Shards of a window."""
    duplicates: int = 0
    """The text is masked in so many ways, which then come again; 0: each pass masks anew."""


@dataclass(frozen=True, eq=False)
class Planned:
    """A batch that is not made yet."""

    task: PretrainingTask
    cut: Cut
    draws: Draws
    rows: Rows
    begins: bool = False
    """Whether its rows begin texts, of a task whose rows go on from batch to batch."""

    def share(self, rank: int, world_size: int) -> tuple["Planned", bool]:
        """The rows of one process of several, and whether they count; a process for which there are none gets all."""
        rows = self.rows[rank::world_size]
        return (replace(self, rows=rows), True) if len(rows) else (self, False)


class CorpusSource:
    """See `wenmo.training.sources.Source`."""

    splits_batches = True
    is_slow = True

    def __init__(self, tasks: Mapping[Staged, PretrainingTask], schedule: Schedule, reading: Reading) -> None:
        """Make it; ``tasks`` has one for all objectives that some update of a stage is for together."""
        self._tasks, self._schedule, self._reading = tasks, schedule, reading
        self._planned = lru_cache(maxsize=1)(self._plan)

    def batches(self, epoch: int, step: int, rank: int, world_size: int) -> list[tuple[Planned, bool]]:
        """The batches of an epoch that begins with update ``step``, each shared among the processes."""
        return [planned.share(rank, world_size) for planned in self._planned(epoch, step)]

    def example(self, batch: Planned, epoch: int) -> PretrainingExample:
        """A batch as tensors."""
        return example_of(batch, self._reading)

    def _plan(self, epoch: int, step: int) -> list[Planned]:
        """Updates until the text of the task that most of them are for is used up; others may read theirs again."""
        total, at_once = self._schedule.total, self._reading.accumulation_steps
        length, stage = self._length(step), self._schedule.stage(step) if step < total else 0
        waiting: dict[Names, list[Planned]] = {}
        rounds: Counter[Names] = Counter()
        used: Counter[Names] = Counter()
        planned: list[Planned] = []
        update = step
        while update < total and self._length(update) == length and self._schedule.stage(update) == stage:
            names = self._schedule.names(update)
            left = waiting.setdefault(names, [])
            while len(left) < at_once and (not rounds[names] or used[names] < max(used.values())):
                left += self._text(self._tasks[stage, names], epoch, length, rounds[names])
                rounds[names] += 1
            planned += left[:at_once]
            if len(left) < at_once:
                break
            del left[:at_once]
            used[names] += 1
            update += 1
        return planned

    def _length(self, update: int) -> int:
        return self._reading.lengths.at(update, self._schedule.total)

    def _text(self, task: PretrainingTask, epoch: int, length: int, again: int) -> list[Planned]:
        """The batches of a task in an epoch: of its window, or of the next one in which there is something for it.

        Raises:
            InputError: there is nothing for it in the whole corpus.
        """
        num_windows = max(1, -(-len(task.shards) // self._reading.window))
        refused: list[InputError] = []
        for window in range(epoch, epoch + num_windows):
            batches = self._window(task, window, length, again, refused)
            if batches:
                return batches
        why = str(refused[0]) if refused else "nothing in the corpus is of use for it"
        raise InputError(f"{task.name}: {why}; bring other text, or leave the objective out of the schedule")

    def _window(
        self, task: PretrainingTask, epoch: int, length: int, again: int, refused: list[InputError]
    ) -> list[Planned]:
        """The batches of one window of a task, in the order of this epoch; what a shard does not allow is noted."""
        reading, purpose = self._reading, zlib.crc32(task.name.encode())
        number, window = divmod(epoch, max(1, -(-len(task.shards) // reading.window)))
        order = np.random.default_rng((reading.seed, number, purpose)).permutation(len(task.shards))
        number = repeated(number, reading.duplicates) + again * _ROUND
        batches: list[Planned] = []
        for shard in order[window * reading.window : (window + 1) * reading.window].tolist():
            draws = Draws(reading.seed, shard, number)
            try:
                cut = task.cutter.cut(task.shards[shard], reading.frame, length, draws.generator(f"cut {task.name}"))
            except InputError as error:  # such as one document alone, which other shards may not be
                refused.append(error)
                continue
            if task.streams:
                rows = streams(len(cut), task.streams)
            else:
                rows = self._order().epoch(cut.lengths, (epoch + again * _ROUND) * len(task.shards) + shard)
            batches += [Planned(task, cut, draws, each, begins=not i) for i, each in enumerate(rows)]
        if task.streams:
            return batches
        shuffled = np.random.default_rng((reading.seed, epoch, purpose, again)).permutation(len(batches))
        return [batches[i] for i in shuffled.tolist()]

    def _order(self) -> BatchOrder:
        reading = self._reading
        return BatchOrder(
            batch_size=reading.batch_size, batch_tokens=reading.batch_tokens, bucket=reading.bucket, seed=reading.seed
        )


def streams(num_rows: int, num_streams: int) -> list[Rows]:
    """Batches in the order of the text: row r of a batch goes on where row r of the one before ended.

    Args:
        num_rows: of the cut.
        num_streams: rows of a batch; the last batch may have fewer, the first ones of them.
    """
    runs = [run for run in np.array_split(np.arange(num_rows), num_streams) if len(run)]
    longest = max(map(len, runs), default=0)
    return [np.array([run[i] for run in runs if i < len(run)], np.int64) for i in range(longest)]


def example_of(batch: Planned, reading: Reading) -> PretrainingExample:
    """A batch as tensors."""
    return make_example(
        batch.cut,
        batch.rows,
        batch.task.objectives,
        batch.draws,
        padding_id=reading.padding_id,
        num_tasks=reading.num_tasks,
        begins=batch.begins,
    )


def held_out_batches(task: PretrainingTask, shard: Shard, reading: Reading, most: int) -> list[Planned]:
    """Sequences of text that is not learnt from, always the same ones with the same masks, evenly from all of it; in
    small batches, which intervals are drawn over."""
    draws = Draws(0)
    cut = task.cutter.cut(shard, reading.frame, reading.lengths.length, draws.generator(f"cut {task.name}"))
    spread = np.linspace(0, len(cut) - 1, min(most, len(cut)))
    rows = np.unique(spread.round().astype(np.int64))
    order = rows[np.argsort(cut.lengths[rows], kind="stable")]
    at_once = min(8, 1 + len(order) // 16)
    return [Planned(task, cut, draws, order[i : i + at_once]) for i in range(0, len(order), at_once)]
