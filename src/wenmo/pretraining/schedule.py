"""Which objectives which update is for: ERNIE 2.0's continual multi-task learning, and what the paper compares it with.

Sun et al., AAAI 2020, https://arxiv.org/abs/1907.12412, section 3.2 and table 7. Objectives arrive one after another,
and each arrival begins a stage. In every stage all objectives so far are trained together, each for some updates:

- ``continual_multitask``: of its N updates an objective has N / (objectives + 1) in each stage behind its own, and the
  rest in the stage in which it arrives. The paper says that the updates are spread automatically and does not say how;
  this gives the rows of its table.
- ``multitask``: one stage, all objectives from the beginning.
- ``continual``: one stage after the other, each for one objective alone.

An update reads one cut of the text: it is for one objective of sequences, or none, and any number of token objectives,
whose losses are added (section 4.2). So a stage is as long as its longest row, or as all rows of sequence objectives
together. What reads or masks text in a way of its own has updates of its own. The updates of an objective are spread
evenly over its stage, and which they are is a function of the table alone.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from wenmo.errors import InputError
from wenmo.pretraining.catalogue import NAMES

Rule = Literal["continual_multitask", "multitask", "continual"]

OF_SEQUENCES = frozenset(
    {"next_sentence", "sentence_reordering", "sentence_distance", "discourse_relation", "ir_relevance"}
)
"""Objectives of which an update has one at most."""
ALONE = frozenset({"causal_lm", "bidirectional_lm", "dialogue_lm"})
"""Objectives whose updates are for nothing else."""


@dataclass(frozen=True)
class Schedule:
    """A table: of each objective, its updates in each stage."""

    table: Mapping[str, tuple[int, ...]]
    one_at_a_time: bool = False
    """Each update is for one objective, also where several could share it."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.table if name not in NAMES]
        if unknown:
            raise InputError(f"schedule: there is no objective {unknown[0]!r}; known: {', '.join(NAMES)}")
        sizes = {name: len(row) for name, row in self.table.items()}
        if not sizes or len(set(sizes.values())) != 1 or not next(iter(sizes.values())):
            raise InputError(
                f"schedule: each objective needs its updates in every stage, 0 if none; got {sizes or 'none'}"
            )
        if min(min(row) for row in self.table.values()) < 0:
            raise InputError(f"schedule: updates are 0 or more; got {dict(self.table)}")
        for stage in range(self.num_stages):
            if not any(row[stage] for row in self.table.values()):
                raise InputError(f"schedule: stage {stage + 1} has no updates; leave it out")
        masking = [name for name in ("masked_lm", "knowledge_masking") if name in self.table]
        if len(masking) == 2 and not self.one_at_a_time:
            raise InputError(
                "schedule: masked_lm and knowledge_masking would mask the same text twice; take one of them, or set "
                "schedule.one_at_a_time=true"
            )

    @classmethod
    def of_rule(cls, rule: Rule, updates: Mapping[str, int], one_at_a_time: bool = False) -> Self:
        """The table of a rule.

        Args:
            rule: see above.
            updates: of each objective over all stages, in the order in which they arrive.
            one_at_a_time: see above.

        Raises:
            InputError: the rule or an objective is unknown, or one has fewer updates than stages.
        """
        if rule not in get_args(Rule):
            raise InputError(f"schedule.rule must be one of {', '.join(get_args(Rule))}; got {rule!r}")
        num = len(updates)
        if updates and min(updates.values()) <= num:
            raise InputError(f"schedule: {num} objectives need more than {num} updates each; got {dict(updates)}")
        table = {}
        for place, (name, total) in enumerate(updates.items()):
            later = num - 1 - place
            share = total // (num + 1)
            table[name] = {
                "continual_multitask": (*[0] * place, total - later * share, *[share] * later),
                "continual": (*[0] * place, total, *[0] * later),
                "multitask": (total,),
            }[rule]
        return cls(table, one_at_a_time)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What a recipe says: rows of the table by objective, or a ``rule`` with ``updates`` of each objective; with
        ``one_at_a_time`` either.

        Raises:
            InputError: it says both or neither, or something that is no schedule.
        """
        rest = dict(values)
        one_at_a_time = bool(rest.pop("one_at_a_time", False))
        if "rule" not in rest:
            rows = {name: (row,) if isinstance(row, int) else tuple(row) for name, row in rest.items()}
            return cls(rows, one_at_a_time)
        rule, updates = rest.pop("rule"), rest.pop("updates", {})
        if rest or not isinstance(updates, Mapping):
            raise InputError(
                "schedule: a rule goes with updates = {objective = number, ...}; a table without a rule has a row "
                f"of updates for each objective; got {dict(values)}"
            )
        return cls.of_rule(rule, updates, one_at_a_time)

    def to_dict(self) -> dict[str, Any]:
        """The table as a recipe holds it; a rule is resolved."""
        more = {"one_at_a_time": True} if self.one_at_a_time else {}
        return {name: list(row) for name, row in self.table.items()} | more

    @property
    def num_stages(self) -> int:
        """How often an objective arrives."""
        return len(next(iter(self.table.values())))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Updates of each stage."""
        return tuple(
            self._length({name: row[stage] for name, row in self.table.items()}) for stage in range(self.num_stages)
        )

    @property
    def total(self) -> int:
        """Updates of all stages."""
        return sum(self.lengths)

    def stage(self, update: int) -> int:
        """The stage of an update, both counted from 0.

        Raises:
            IndexError: it lies behind the last.
        """
        for stage, end in enumerate(accumulate(self.lengths)):
            if 0 <= update < end:
                return stage
        raise IndexError(f"update {update} of {self.total}")

    def names(self, update: int) -> tuple[str, ...]:
        """What an update is for, in the order of the table.

        Raises:
            IndexError: it lies behind the last.
        """
        stage = self.stage(update)
        active = self._plans[stage][update - sum(self.lengths[:stage])]
        return tuple(name for name, is_active in zip(self.table, active, strict=True) if is_active)

    def scaled(self, total: int) -> Self:
        """The same table for another number of updates in all, as near as whole numbers come.

        Raises:
            InputError: there are fewer updates than stages.
        """
        if total < self.num_stages:
            raise InputError(f"training.max_steps={total} is fewer than the {self.num_stages} stages of the schedule")
        lengths = np.maximum(1, shares_of(total, self.lengths))
        while lengths.sum() > total:
            lengths[int(lengths.argmax())] -= 1
        stages = [
            self._scaled_stage({name: row[i] for name, row in self.table.items()}, int(length))
            for i, length in enumerate(lengths)
        ]
        return type(self)({name: tuple(stage[name] for stage in stages) for name in self.table}, self.one_at_a_time)

    def _scaled_stage(self, updates: Mapping[str, int], length: int) -> dict[str, int]:
        alone, sequences, tokens = self._kinds(updates)
        shared = max(sum(sequences.values()), max(tokens.values(), default=0))
        room_alone, room = shares_of(length, [sum(alone.values()), shared]).tolist()
        room_sequences = round(sum(sequences.values()) * room / shared) if shared else 0
        scaled = {name: round(number * room / shared) if shared else 0 for name, number in tokens.items()}
        for group, size in ((alone, room_alone), (sequences, room_sequences)):
            scaled |= dict(zip(group, shares_of(size, list(group.values())).tolist(), strict=True))
        return scaled

    def _length(self, updates: Mapping[str, int]) -> int:
        alone, sequences, tokens = self._kinds(updates)
        return sum(alone.values()) + max(sum(sequences.values()), max(tokens.values(), default=0))

    def _kinds(self, updates: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """Objectives whose updates are their own, those of sequences, and those of tokens."""
        alone = {name: n for name, n in updates.items() if name in ALONE or self.one_at_a_time}
        sequences = {name: n for name, n in updates.items() if name in OF_SEQUENCES and name not in alone}
        tokens = {name: n for name, n in updates.items() if name not in alone and name not in sequences}
        return alone, sequences, tokens

    @cached_property
    def _plans(self) -> list[NDArray[np.bool_]]:
        """Of each stage ``(updates, objectives)``: what each update is for."""
        return [
            self._plan({name: row[stage] for name, row in self.table.items()}, length)
            for stage, length in enumerate(self.lengths)
        ]

    def _plan(self, updates: Mapping[str, int], length: int) -> NDArray[np.bool_]:
        plan = np.zeros((length, len(self.table)), bool)
        column = {name: i for i, name in enumerate(self.table)}
        alone, sequences, tokens = self._kinds(updates)
        shared = length - sum(alone.values())
        turns = interleaved([*alone.values(), shared])
        for i, name in enumerate(alone):
            plan[turns == i, column[name]] = True
        together = np.flatnonzero(turns == len(alone))
        places = together[spread(sum(sequences.values()), shared)]
        for i, name in enumerate(sequences):
            plan[places[interleaved(list(sequences.values())) == i], column[name]] = True
        for name, number in tokens.items():
            plan[together[spread(number, shared)], column[name]] = True
        return plan


def spread(number: int, places: int) -> NDArray[np.int64]:
    """So many of the places 0, 1, ..., as evenly as can be."""
    return (np.arange(number, dtype=np.int64) * 2 + 1) * places // (2 * number) if number else np.empty(0, np.int64)


def interleaved(numbers: Many[int]) -> NDArray[np.int64]:
    """``(sum(numbers),)``: each i as often as its number says, evenly among the others."""
    which = np.repeat(np.arange(len(numbers)), numbers)
    ideal = np.concatenate([(np.arange(n) + 0.5) / n for n in numbers if n] or [np.empty(0)])
    return np.asarray(which[np.argsort(ideal, kind="stable")], np.int64)


def shares_of(total: int, weights: Many[int]) -> NDArray[np.int64]:
    """A whole number divided by weights, the largest remainders rounded up."""
    if not sum(weights):
        return np.zeros(len(weights), np.int64)
    exact = np.array(weights, np.float64) * total / sum(weights)
    whole = np.floor(exact).astype(np.int64)
    missing = total - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole
