"""What came before: hashes of texts, in 13 to 27 bytes each."""

from array import array
from collections import Counter
from dataclasses import replace
from hashlib import blake2b

from wenmo.pretraining.documents import Document
from wenmo.pretraining.settings import CorpusSettings

NUM_HASHES = 2**64
"""Of texts there are so many."""

_HASH_BYTES = 8
_MOST_FILLED = 0.6


def text_hash(text: str) -> int:
    """64 bits of BLAKE2. Of a hundred million different texts, two are taken for equal once in 3,700 corpora."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest(), "little")


class HashSet:
    """A set of 64-bit numbers in one flat array, a sixth of what a `set` needs; places are found by linear probing."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, value: int) -> bool:
        """Take a number in; whether it is new."""
        value = value or 1  # 0 is an empty place
        if not _put(self._slots, value):
            return False
        self._size += 1
        if self._size > _MOST_FILLED * len(self._slots):
            larger = array("Q", bytes(16 * len(self._slots)))
            for kept in self._slots:
                if kept:
                    _put(larger, kept)
            self._slots = larger
        return True


def _put(slots: "array[int]", value: int) -> bool:
    last = len(slots) - 1  # the length is a power of two
    place = value & last
    while found := slots[place]:
        if found == value:
            return False
        place = (place + 1) & last
    slots[place] = value
    return True


class Duplicates:
    """Takes out of documents what came before."""

    def __init__(self, settings: CorpusSettings) -> None:
        self._documents = HashSet() if settings.drop_duplicates else None
        self._lines = HashSet() if settings.long_line else None
        self._long = settings.long_line

    def without(self, document: Document, whole: int, counts: Counter[str]) -> Document | None:
        """What is new of a document; None: nothing. What is more than running text is kept or left out as a whole.

        Args:
            document: the next one.
            whole: the `text_hash` of all of it.
            counts: gets what is left out, and how often.
        """
        if self._documents is not None and not self._documents.add(whole):
            counts["documents that came before"] += 1
            return None
        if self._lines is None or document.kind != "text" or document.units:
            return document
        lines = tuple(line for line in document.lines if len(line) < self._long or self._lines.add(text_hash(line)))
        if len(lines) == len(document.lines):
            return document
        counts["long lines that came before"] += len(document.lines) - len(lines)
        return replace(document, lines=lines) if lines else None
