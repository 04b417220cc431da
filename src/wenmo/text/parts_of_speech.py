"""Words with their parts of speech, and the phrases and entities that follow from them.

The tags are those of Peking University (ICTPOS), which jieba's dictionary and the People's Daily share: ``n`` a noun,
``a`` an adjective, ``m`` a numeral, ``nr`` a person and so on. What follows from them:

- entities: words that are names of persons (nr, nrt, nrfg), places (ns), organisations (nt) or else (nz), of two
  characters or more;
- phrases: the longest runs of two or more nominals (n.., vn, an, j) and attributes (a, ag, b), nothing between them,
  that end in a nominal, such as 经济/n 发展/vn or 新/a 房子/n; a numeral with its measure word (三/m 个/q); fixed
  expressions (i, l) of three characters or more.

The paper of ERNIE 1.0 has its phrases from a segmenter and an unpublished tool; this rule is ours.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from wenmo.errors import InputError
from wenmo.text.segmentation import holds_han, load_segmenter
from wenmo.text.spans import ENTITY, PHRASE, WORD, Annotator, Unit

NAMES = {
    "nr": "person",
    "nrt": "person",
    "nrfg": "person",
    "ns": "place",
    "nt": "organisation",
    "nz": "name",
}
"""The kind of entity that a part of speech is."""

NOUN_PHRASE, QUANTITY, EXPRESSION = "noun phrase", "quantity", "expression"
"""Kinds of phrases."""

USUAL_TAGS = frozenset(("n", "v", "nr", "ns"))
"""Whoever knows these tags knows parts of speech."""

_ATTRIBUTES = ("a", "ag", "b")
_NOMINALS = ("vn", "an", "j")
_NO_WORDS = ("x", "w")
"""Punctuation, white space and signs: of jieba, of the People's Daily."""
_SHORTEST_EXPRESSION = 3
_VERSION = "1"


def units_of_words(words: Sequence[Unit]) -> list[Unit]:
    """Words, given with their parts of speech as their kinds, and the phrases and entities that follow from them."""
    entities = [
        Unit(word.start, word.end, ENTITY, NAMES[word.kind])
        for word in words
        if word.kind in NAMES and word.end - word.start > 1
    ]
    known = [word for word in words if word.kind not in _NO_WORDS]
    return sorted([*known, *_phrases(words), *entities])


@dataclass(frozen=True)
class PartsOfSpeech:
    """Finds words, phrases and entities by rjieba; in a text without a Chinese character, the words alone."""

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        """The units of each text.

        Raises:
            InputError: rjieba is not installed.
        """
        return [self._units(text) for text in texts]

    def fingerprint(self) -> str:
        """Changes with rjieba, the segmenter of other languages and the rule."""
        versions = (_VERSION, metadata.version("rjieba"), load_segmenter("words").version)
        return hashlib.sha256("parts of speech {} {} {}".format(*versions).encode()).hexdigest()

    def _units(self, text: str) -> list[Unit]:
        if not holds_han(text):
            return [
                Unit(start, end, WORD) for start, end in load_segmenter("words").spans(text) if text[start].isalnum()
            ]
        words = []
        start = 0
        for word, kind in _tagger().tag(text):
            end = start + len(word)
            words.append(Unit(start, end, WORD, kind))
            start = end
        return units_of_words(words)


@dataclass(frozen=True)
class TaggedWords:
    """The same of words and parts of speech that another annotator finds, such as a tagger that learnt them."""

    words: Annotator

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        """The units of each text."""
        return [units_of_words([unit for unit in found if unit.level == WORD]) for found in self.words.annotate(texts)]

    def fingerprint(self) -> str:
        """Changes with the annotator and the rule."""
        return hashlib.sha256(f"words {_VERSION} {self.words.fingerprint()}".encode()).hexdigest()


def _phrases(words: Sequence[Unit]) -> Iterator[Unit]:
    first = 0
    while first < len(words):
        word = words[first]
        behind = _end_of_nouns(words, first)
        if behind - first > 1:
            yield Unit(word.start, words[behind - 1].end, PHRASE, NOUN_PHRASE)
            first = behind
            continue
        following = words[first + 1] if first + 1 < len(words) else None
        if word.kind == "m" and following and following.kind == "q" and following.start == word.end:
            yield Unit(word.start, following.end, PHRASE, QUANTITY)
            first += 2
            continue
        if word.kind in ("i", "l") and word.end - word.start >= _SHORTEST_EXPRESSION:
            yield Unit(word.start, word.end, PHRASE, EXPRESSION)
        first += 1


def _end_of_nouns(words: Sequence[Unit], first: int) -> int:
    """The word behind the noun phrase that begins with a word; that word itself where none does."""
    behind = first
    for place in range(first, len(words)):
        kind = words[place].kind
        nominal = kind.startswith("n") or kind in _NOMINALS
        if (place > first and words[place].start != words[place - 1].end) or not (nominal or kind in _ATTRIBUTES):
            break
        if nominal:
            behind = place + 1
    return behind


@cache
def _tagger() -> Any:
    try:
        from rjieba import Jieba
    except ImportError as error:
        raise InputError('parts of speech need the package rjieba; pip install "wenmo[zh]"') from error
    return Jieba()
