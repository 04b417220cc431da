"""Sentences as words on their way to tensors: an id for each word, and the ids of its characters.

A checkpoint's tokenizer has several ids for a word, its pieces. What the model says at the first of them is what it
says of the word (Devlin et al. 2019, section 5.3).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import FIRST, store_batch, token_batch
from wenmo.data.store import TokenStore
from wenmo.features import TokenBatch
from wenmo.models.embeddings import UNKNOWN_ID
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.tokenizers import Tokenizer
from wenmo.text.word_bytes import ragged_word_byte_ids

Ids = NDArray[np.int32]

MOST_CHARACTERS = 50
"""Of a word; the rest of a longer one is not looked at."""

CHARACTERS, WORD_SIZES = "character_ids", "word_sizes"
"""Columns of a store: the characters of all words of a sentence one after the other, and how many each word has."""

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


def character_columns(sentences: Sequence[Sequence[str]], known: str) -> dict[str, Sequence[Any]]:
    """The characters of the words of each sentence as columns of a store; none where no character is known."""
    if not known:
        return {}
    characters = Characters(known)
    found = [characters.encode(words) for words in sentences]
    return {CHARACTERS: [ids for ids, _ in found], WORD_SIZES: [sizes for _, sizes in found]}


def byte_columns(sentences: Sequence[Sequence[str]]) -> dict[str, Sequence[Any]]:
    """The same columns for models that read words as their bytes."""
    found = [ragged_word_byte_ids(words) for words in sentences]
    return {CHARACTERS: [ids for ids, _ in found], WORD_SIZES: [sizes for _, sizes in found]}


def character_tensor(ids: Sequence[Ids], sizes: Sequence[Ids], length: int) -> Tensor:
    """The characters of words and how many each has, as ``(batch, length, num_characters)``, padded with 0.

    Both are one array a sentence, as `Characters.encode` and `ragged_word_byte_ids` give them.
    """
    sizes_in_place = np.zeros((len(ids), length), np.int64)
    for row, each in enumerate(sizes):
        sizes_in_place[row, : len(each)] = each
    inside = np.arange(max(1, sizes_in_place.max(initial=0))) < sizes_in_place[:, :, None]
    tensor = np.zeros(inside.shape, np.int64)
    tensor[inside] = np.concatenate(ids) if len(ids) else 0
    return torch.from_numpy(tensor)


def sentence_batch(store: TokenStore, rows: NDArray[Any]) -> TokenBatch:
    """Some sentences of a store as tensors, with the characters of their words where the store has them."""
    batch = store_batch(store, rows)
    if CHARACTERS not in store.columns or batch.inputs_embeds is not None:
        return batch
    characters = character_tensor(
        store[CHARACTERS].take(rows), store[WORD_SIZES].take(rows), batch.attention_mask.size(1)
    )
    return replace(batch, character_ids=characters)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
