"""Sentences as words on their way to tensors: an id for each word, and the ids of its characters.

A checkpoint's tokenizer has several ids for a word, its pieces. What the model says at the first of them is what it
says of the word (Devlin et al. 2019, section 5.3).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import CHARACTERS, FIRST, WORD_SIZES, token_batch
from wenmo.data.store import TokenStore
from wenmo.features import TokenBatch
from wenmo.models.embeddings import UNKNOWN_ID
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.tokenizers import Tokenizer
from wenmo.text.word_bytes import ragged_word_byte_ids

Ids = NDArray[np.int32]

MOST_CHARACTERS = 50
"""Of a word; the rest of a longer one is not looked at."""

WORD_STARTS = "word_starts"
"""Column of a store: where in a row the first piece of each word stands; without it every id is a word."""

WordTokenizer = Tokenizer | PretrainedTokenizer
"""Those that take sentences as words."""

RARE_CHARACTER = 1
"""A character that occurs so often in the training words, or less, is an unknown one."""


class Characters:
    """Gives characters their ids: 0 is padding, 1 any that is not known."""

    def __init__(self, known: str) -> None:
        """``known``: the characters in the order of their ids, from 2 on."""
        codes = _codes(known)
        order = np.argsort(codes)
        self._codes, self._ids = codes[order], (order + UNKNOWN_ID + 1).astype(np.int32)

    def encode(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of the characters of all words one after the other, and how many each word has."""
        words = [word[:MOST_CHARACTERS] for word in words]
        sizes = np.fromiter(map(len, words), np.int32, len(words))
        codes = _codes("".join(words))
        if not len(self._codes):
            return np.full(len(codes), UNKNOWN_ID, np.int32), sizes
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        found = np.where(self._codes[places] == codes, self._ids[places], UNKNOWN_ID)
        return found.astype(np.int32), sizes


def known_characters(sentences: Sequence[Sequence[str]]) -> str:
    """The characters of training words that are not rare, the most frequent first."""
    text = "".join(word[:MOST_CHARACTERS] for words in sentences for word in words)
    characters, counts = np.unique(_codes(text), return_counts=True)
    kept = sorted(zip(-counts, characters, strict=True))
    return "".join(chr(code) for count, code in kept if -count > RARE_CHARACTER)


def word_columns(sentences: Sequence[Sequence[str]], tokenizer: WordTokenizer) -> dict[str, Sequence[Ids]]:
    """The ids of sentences as columns of a store; of pieces, with special tokens around them and where words begin."""
    if isinstance(tokenizer, Tokenizer):
        return {FIRST: tokenizer.encode_words(sentences)}
    around, found = tokenizer.surroundings(), tokenizer.encode_pieces(sentences)
    starts = [(pieces.first + len(around.before)).astype(np.int32) for pieces in found]
    return {FIRST: [around.around(pieces.ids) for pieces in found], WORD_STARTS: starts}


def word_starts(store: TokenStore, rows: NDArray[Any]) -> TokenBatch | None:
    """Where the words of some rows begin, as the ``input_ids`` of a batch of their own; None: every id is a word."""
    return token_batch(store[WORD_STARTS].take(rows)) if WORD_STARTS in store.columns else None


def at_words(states: Tensor, starts: Tensor | None) -> Tensor:
    """``(batch, length, hidden_size)`` to ``(batch, words, hidden_size)``."""
    if starts is None:
        return states
    return states.gather(1, starts.unsqueeze(2).expand(-1, -1, states.size(2)))


def character_columns(sentences: Iterable[Sequence[str]], known: str) -> dict[str, list[Ids]]:
    """The characters of the words of each sentence as columns of a store; none where no character is known."""
    if not known:
        return {}
    characters = Characters(known)
    return _as_columns(map(characters.encode, sentences), FIRST)


def byte_columns(sentences: Iterable[Sequence[str]], beside: str = FIRST) -> dict[str, list[Ids]]:
    """The same columns for models that read words as their bytes; ``beside`` names the column of the words' ids."""
    return _as_columns(map(ragged_word_byte_ids, sentences), beside)


def _as_columns(found: Iterable[tuple[Ids, Ids]], beside: str) -> dict[str, list[Ids]]:
    pairs = list(found)
    return {CHARACTERS[beside]: [ids for ids, _ in pairs], WORD_SIZES[beside]: [sizes for _, sizes in pairs]}


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
