"""Units of meaning in a text: words, phrases and entities with their kinds, in characters and in tokens."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

WORD, PHRASE, ENTITY = 1, 2, 3
"""Levels of units; the units of one level never overlap."""
LEVELS = {WORD: "word", PHRASE: "phrase", ENTITY: "entity"}


class Unit(NamedTuple):
    """A word, a phrase or an entity."""

    start: int
    """The characters ``[start, end)`` of the raw text."""
    end: int
    level: int
    kind: str = ""
    """Of a word its part of speech, of an entity what it is; empty where that is not known."""


class Annotator(Protocol):
    """Finds units in texts. Several processes get a copy of it each, so it can be pickled."""

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        """The units of each text, in the order of the text."""
        ...

    def fingerprint(self) -> str:
        """Changes with whatever changes the answers."""
        ...


@dataclass(frozen=True)
class Tagged:
    """What a tagger finds, whoever made it."""

    tag: Callable[[Sequence[str]], Sequence[Sequence[tuple[int, int, str]]]]
    """Gives (start, end, kind) of what it finds in each text, in characters. Only a function or an object that can be
    pickled can be sent to other processes."""
    name: str
    """Changes whenever its answers may change, such as the hash of its weights."""
    level: int = ENTITY

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        """The units of each text."""
        answers = self.tag(texts)
        return [apart(Unit(start, end, self.level, kind) for start, end, kind in found) for found in answers]

    def fingerprint(self) -> str:
        """The tagger's name and the level of what it finds."""
        return hashlib.sha256(repr((self.name, self.level)).encode()).hexdigest()


def apart(units: Iterable[Unit]) -> list[Unit]:
    """Units of which none overlaps another one of its level; of those that do, the first one given stays."""
    taken: dict[int, set[int]] = {level: set() for level in LEVELS}
    kept = []
    for unit in units:
        places = range(unit.start, unit.end)
        if taken[unit.level].isdisjoint(places):
            taken[unit.level].update(places)
            kept.append(unit)
    return sorted(kept)


def units_in_tokens(units: Iterable[Unit], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first token, the one behind the last, level) of the units that begin and end where tokens do.

    A unit whose edge would cut a token is left out, and so is a word that is one token: there is nothing to join.

    Args:
        units: in characters of the text.
        offsets: the characters behind each token, in order; a token without any has (0, 0).
    """
    first: dict[int, int] = {}
    behind: dict[int, int] = {}
    for token, (start, end) in enumerate(offsets):
        if end > start:
            first.setdefault(start, token)  # several tokens may be parts of one character
            behind[end] = token + 1
    found = []
    for unit in units:
        begin, after = first.get(unit.start), behind.get(unit.end)
        if begin is not None and after is not None and begin < after and (unit.level != WORD or after - begin > 1):
            found.append((begin, after, unit.level))
    return sorted(found)
