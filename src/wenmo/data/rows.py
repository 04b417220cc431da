"""What a reader gives: rows, and what it noticed on the way."""

from dataclasses import dataclass, field

Text = str | tuple[str, str]
"""What a model is asked about: a text, or a pair of texts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text, or a pair, with what is known about it. Labels are strings and are never converted."""

    text: str
    label: str | tuple[str, ...] | None = None
    """A tuple where a text has several labels, None where it has none."""
    text_b: str | None = None
    """The second text of a pair."""
    group: str | None = None
    """Rows of one group stay on one side of a split."""
    time: str | None = None
    """Orders the rows for a split by time."""
    source: str = ""
    """Where the row stands, as ``file:line``."""
    words: tuple[str, ...] | None = None
    """The words as the source cuts them; ``text`` is then made of them."""
    tags: tuple[str, ...] | None = None
    """A tag for each of ``words``."""
    target: str | None = None
    """What ``text`` shall become: its translation."""
    choices: tuple[str, ...] | None = None
    """Answers to choose from; ``text`` is then their context."""
    right: int | None = None
    """The place of the right one of ``choices``, counted from 0."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that was left out, and why."""

    source: str
    reason: str


@dataclass
class RowSet:
    """The rows of one source."""

    rows: list[Row]
    columns: dict[str, str] = field(default_factory=dict)
    """Which column of the source was read as what: ``{"text": "review", "label": "stars"}``."""
    notes: list[str] = field(default_factory=list)
    """What a person should know: a guessed encoding, a guessed column."""
    dropped: list[Dropped] = field(default_factory=list)

    def left_out(self, source: str) -> list[str]:
        """A sentence about the rows that were left out, where there are some."""
        if not self.dropped:
            return []
        first = self.dropped[0]
        subject = "1 row was" if len(self.dropped) == 1 else f"{len(self.dropped):,} rows were"
        return [f"{source}: {subject} left out; the first is {first.source}: {first.reason}"]
