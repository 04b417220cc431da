"""Words as their bytes, as ELMo reads them: the ids of AllenNLP's `elmo_indexer`.

A word of UTF-8 is its begin, at most 48 bytes, its end, and padding up to 50 ids; what is longer is cut, if need be
inside a character. Byte b has the id b + 1, so that 0 is free for what is no word.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wenmo.features import SENTENCE_BEGIN_ID, SENTENCE_END_ID, WORD_BEGIN_ID, WORD_END_ID, WORD_PADDING_ID

MAX_CHARACTERS = 50
BEGIN, END = "<S>", "</S>"
"""The markers of a text, as words."""
_MARKERS = {BEGIN: SENTENCE_BEGIN_ID, END: SENTENCE_END_ID}


def ragged_word_byte_ids(words: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The same without padding: the ids of all words one after the other, and how many each word has."""
    ids = word_byte_ids(words)
    inside = ids != WORD_PADDING_ID
    return ids[inside], inside.sum(axis=1, dtype=np.int32)


def word_byte_ids(words: Sequence[str], max_characters: int = MAX_CHARACTERS) -> NDArray[np.int32]:
    """``(len(words), max_characters)``: the ids of each word.

    ``<S>`` and ``</S>`` are the markers of a text, as in AllenNLP. Half a surrogate pair, which UTF-8 cannot hold, is
    left out.
    """
    most = max_characters - 2
    encoded = [b"?" if word in _MARKERS else word.encode("utf-8", "ignore")[:most] for word in words]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    ids = np.full((len(words), max_characters), WORD_PADDING_ID, np.int32)
    places = np.arange(max_characters)
    inside = (places > 0) & (places <= sizes[:, None])
    ids[inside] = np.frombuffer(b"".join(encoded), np.uint8).astype(np.int32) + 1
    ids[:, 0] = WORD_BEGIN_ID
    ids[np.arange(len(words)), sizes + 1] = WORD_END_ID
    for row, word in enumerate(words):
        if word in _MARKERS:
            ids[row, 1] = _MARKERS[word]
    return ids
