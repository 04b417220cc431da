"""Texts to sentences, Chinese and English, by rules; each sentence with its place in the raw text.

A line break ends a sentence. So does a run of stops (。！？!? and ellipses) with the quotes and brackets that close
behind it (他说：“走吧。”), unless the text goes on as no sentence begins: with a comma, another mark that joins, or a
small letter (“Stop!” he said). A dot between letters or digits ends nothing (3.5, example.com), nor does one behind an
abbreviation:

- Mr., Dr., e.g.: what they stand before belongs to them.
- No., p., Fig.: only before a number.
- etc., Inc., p.m., U.S., single capitals: the sentence ends where the next word is one that often begins sentences in
  English and is no name (The, He, But ...), as in Kiss and Strunk's Punkt (Computational Linguistics 2006), whose lists
  are learnt; ours are written down, so that the same text has the same sentences everywhere.
- a number at the beginning of a sentence counts what follows (1. Introduction).
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from wenmo.text.segmentation import Span

_STOPS = "。！？｡!?.．…"
_CLOSING = "”’」』）】》〉〕］｝»›)]}\"'"
_JOINING = "，,、；;：:）)】》〉」』”’]}%—–-~～/"
"""Marks that no sentence begins with; behind a stop they show that the sentence goes on."""

_TITLE_ENDS = "》〉"
"""The stop of a title (《你好！》是一本书) ends no sentence."""

_END = re.compile(rf"[{_STOPS}]+[{re.escape(_CLOSING)}]*")
_OPENING_APOSTROPHE = re.compile(r"(?<![^\s(\[\"“])'(?=\w)")
_CLOSING_APOSTROPHE = re.compile(rf"(?<=[{_STOPS},，])'")
_HAN = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_SPACE = re.compile(r"\s*")
_DOUBLE = re.compile('"')
_OUTSIDE_WORDS = re.compile(r"[\s(\[{“‘\"'《「]")
_LONGEST_ABBREVIATION = 24
_WORD_BEHIND = re.compile(r"[(\[{“‘\"'«]*([^\W\d_]+(?:[’'][^\W\d_]+)?)?")


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_TITLES = _words(
    "mr mrs ms dr prof st gen gov sen rep lt col capt cpl sgt maj adm rev hon pres mt messrs mme mlle",
    "e.g i.e cf viz vs v al ca approx dept est ft rd",
)
_BEFORE_NUMBERS = _words("no nos p pp fig figs vol vols art sec ch chap eq eqs par ver op jan feb mar apr")
_MAY_END = _words(
    "etc inc ltd co corp bros jr sr esq ph.d m.d b.a m.a a.m p.m u.s u.k u.n u.s.a d.c e.u",
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sat sun ave blvd assn univ dist",
)
_BEGINNERS = _words(
    "the a an he she it they we you i this that these those there here his her its their our my your",
    "and but or nor so yet for if when while where as at in on by with from after before since because although though",
    "however then thus therefore moreover also still now what who which why how to no not one some many most all each",
    "every both such even only just once until during under over about between",
    "it's he's she's there's that's i'm we're they're",
)


def sentence_spans(text: str) -> list[Span]:
    """The characters ``[start, end)`` of each sentence, in their order, without the white space around them."""
    spans: list[Span] = []
    start = 0
    for line in text.splitlines(keepends=True):
        spans += _of_line(text, start, start + len(line))
        start += len(line)
    return spans


def split_sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _of_line(text: str, line: int, end: int) -> Iterator[Span]:
    """The sentences between two places of a text, of which one line stands there."""
    begin = line
    quotes = _Quotes(text, line, end)
    for found in _END.finditer(text, line, end):
        behind = _closed(text, quotes, found.group(), found.start())
        if _ends_here(text, begin, found.start(), behind, end):
            yield from _trimmed(text, begin, behind)
            begin = behind
    yield from _trimmed(text, begin, end)


class _Quotes:
    """The straight quotation marks of a line, which open and close alike; looked for when the first one is asked for.

    Places are kept and counted by bisection, so that a line of any length takes time in proportion to it.
    """

    def __init__(self, text: str, line: int, end: int) -> None:
        self._part = (text, line, end)

    def is_open(self, mark: str, place: int) -> bool:
        """Whether the mark at a place closes one of the line that is still open."""
        if mark == '"':
            return bisect_left(self._double, place) % 2 == 1
        return bisect_left(self._opening, place) > bisect_left(self._closing, place)

    @cached_property
    def _double(self) -> list[int]:
        return self._places(_DOUBLE)

    @cached_property
    def _opening(self) -> list[int]:
        return self._places(_OPENING_APOSTROPHE)

    @cached_property
    def _closing(self) -> list[int]:
        return self._places(_CLOSING_APOSTROPHE)

    def _places(self, pattern: re.Pattern[str]) -> list[int]:
        return [found.start() for found in pattern.finditer(*self._part)]


def _closed(text: str, quotes: _Quotes, marks: str, start: int) -> int:
    """Where the stops that begin at ``start`` end, with what closes there."""
    place = start + len(marks.rstrip(_CLOSING))
    while place < start + len(marks) and (text[place] not in "\"'" or quotes.is_open(text[place], place)):
        place += 1
    return place


def _ends_here(text: str, begin: int, start: int, behind: int, end: int) -> bool:
    """Whether the marks in ``[start, behind)`` end the sentence that begins at ``begin``."""
    following = _behind_space(text, behind, end)
    if following == end:
        return True
    if text[following] in _JOINING or text[following] in _STOPS:
        return False
    marks = text[start:behind].rstrip(_CLOSING)
    apart = following > behind
    if not apart and text[behind - 1] in _TITLE_ENDS:
        return False
    if any(mark in "。！？｡" for mark in marks):
        return True
    dotted = set(marks) <= {".", "．"}
    if not apart:
        # Without a space only Chinese goes on with a sentence; there a single dot may be a full stop as well.
        beside_han = bool(_HAN.match(text, following)) or text[following] in "“‘「『《（"
        return beside_han and (not dotted or len(marks) > 1 or bool(_HAN.match(text, max(begin, start - 1))))
    if text[following].islower():
        # "Really?" she asked. But: who? when? where?
        return not dotted and "…" not in marks and behind == start + len(marks)
    return not dotted or len(marks) > 1 or not _is_abbreviation(text, begin, start, behind)


def _is_abbreviation(text: str, begin: int, dot: int, behind: int) -> bool:
    """Whether the dot belongs to the word before it and ends no sentence."""
    near = max(begin, dot - _LONGEST_ABBREVIATION)
    word = _OUTSIDE_WORDS.split(text[near:dot])[-1]
    plain = word.lower()
    if plain in _TITLES:
        return True
    if plain.isdecimal():
        return near == begin and not text[begin:dot].removesuffix(word).strip()
    following = _behind_space(text, behind, len(text))
    before_number = text[following : following + 1].isdigit()
    if plain in _BEFORE_NUMBERS and before_number:
        return True
    initial = len(word) == 1 and word.isalpha() and word.isupper() and not _HAN.match(word)
    dotted = "." in word and all(len(part) <= 2 for part in word.split("."))
    if initial or dotted or plain in _MAY_END:
        found = _WORD_BEHIND.match(text, following)
        next_word = found[1] if found else None
        return before_number or next_word is None or next_word.lower().replace("’", "'") not in _BEGINNERS
    return False


def _behind_space(text: str, start: int, end: int) -> int:
    """The first place from ``start`` on without white space."""
    found = _SPACE.match(text, start, end)
    return found.end() if found else start


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    inside = text[start:end]
    if kept := inside.strip():
        start += len(inside) - len(inside.lstrip())
        yield start, start + len(kept)
