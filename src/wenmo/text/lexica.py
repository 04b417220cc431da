"""Lexica: lists of phrases, found in a text all at once by the automaton of Aho and Corasick (CACM 1975).

Where a script writes spaces between words, a match is whole words: "art" is not found in "party". In Chinese a
segmenter tells words, and may be wrong: a match that would cut one counts if it is longer than that word. So the place
荣和 is not in 光荣和, which is 光荣 and 和. Of matches that overlap, the one that begins first stays, and of those that
begin at one place the longest. Capitals count.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, NamedTuple

from wenmo.errors import InputError
from wenmo.text.segmentation import written_without_spaces
from wenmo.text.spans import ENTITY, WORD, Unit


@dataclass(frozen=True)
class Lexicon:
    """A list of phrases of one kind."""

    name: str
    """The kind of its entries."""
    phrases: tuple[str, ...]
    level: int = ENTITY


class Match(NamedTuple):
    """A phrase of a list at a place of a text."""

    start: int
    end: int
    phrase: int


class Lexica:
    """Finds the phrases of some lexica; an entry that stands in two of them is of the first."""

    def __init__(self, lexica: Sequence[Lexicon]) -> None:
        """Take the lists.

        Raises:
            InputError: pyahocorasick is not installed.
        """
        if find_spec("ahocorasick") is None:
            raise InputError('lexica need the package pyahocorasick; pip install "wenmo[zh]"')
        self.lexica = tuple(lexica)
        levels = {lexicon.level for lexicon in lexica}
        self._finders = [_Finder([each for each in lexica if each.level == level]) for level in sorted(levels)]

    def annotate(self, texts: Sequence[str], words: Sequence[Sequence[Unit]] | None = None) -> list[list[Unit]]:
        """The phrases in each text, as units of the level of their lexicon and of its name as their kind.

        Args:
            texts: any number.
            words: of each text units, whose words are not cut by matches that are no longer; None: any match counts.
        """
        inside = [_inside(units) for units in words] if words is not None else [dict[int, int]()] * len(texts)
        return [
            sorted(unit for finder in self._finders for unit in finder.units(text, places))
            for text, places in zip(texts, inside, strict=True)
        ]

    def fingerprint(self) -> str:
        """Changes with the lists."""
        digest = hashlib.sha256()
        for lexicon in self.lexica:
            digest.update(repr((lexicon.name, lexicon.level, lexicon.phrases)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.lexica,)  # each process builds its own automaton, which takes longer to send


class _Finder:
    """Finds the phrases of lexica of one level."""

    def __init__(self, lexica: Sequence[Lexicon]) -> None:
        kinds: dict[str, str] = {}
        for lexicon in lexica:
            for phrase in lexicon.phrases:
                kinds.setdefault(phrase, lexicon.name)
        self._level = lexica[0].level
        self._phrases = list(kinds)
        self._kinds = list(kinds.values())

    def units(self, text: str, inside: Mapping[int, int]) -> list[Unit]:
        """Those of a text; ``inside`` has the length of the word that a cut at a place would cut."""
        found = []
        for last, number in self._automaton.iter(text):
            size = len(self._phrases[number])
            start, end = last + 1 - size, last + 1
            if max(inside.get(start, 0), inside.get(end, 0)) < size and is_whole(text, start, end):
                found.append(Match(start, end, number))
        chosen = leftmost_longest(found)
        return [Unit(match.start, match.end, self._level, self._kinds[match.phrase]) for match in chosen]

    @cached_property
    def _automaton(self) -> Any:
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for number, phrase in enumerate(self._phrases):
            automaton.add_word(phrase, number)
        automaton.make_automaton()
        return automaton


def _inside(units: Iterable[Unit]) -> dict[int, int]:
    """The places inside words, where a cut would cut one, each with the length of the word."""
    words = (unit for unit in units if unit.level == WORD)
    return {place: word.end - word.start for word in words for place in range(word.start + 1, word.end)}


def leftmost_longest(matches: Iterable[Match]) -> list[Match]:
    """Matches that do not overlap, from left to right, the longest of those that begin at one place."""
    chosen: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        if not chosen or match.start >= chosen[-1].end:
            chosen.append(match)
    return chosen


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether neither edge of a match stands inside a word of a script that writes spaces between words."""
    return not any(0 < place < len(text) and all(map(_joins, text[place - 1 : place + 1])) for place in (start, end))


def _joins(character: str) -> bool:
    return character.isalnum() and not written_without_spaces(character)
