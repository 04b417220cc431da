"""What every text with a word needs of it, computed once: a table with a row for each word.

Where the table of the whole vocabulary is small enough it is made when the first text comes, and kept.
"""

import threading
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TokenIds = NDArray[np.int32]

TABLE_BYTES = 512 << 20
"""A larger table is not kept; the rows of the words in hand are computed each time."""


class WordTable:
    """Rows for words, of all of them or of those in hand. Safe to use from several threads."""

    def __init__(self, compute: Callable[[Tensor], Tensor], vocab_size: int, most_words: int) -> None:
        self._compute = compute
        self._vocab_size = vocab_size
        self._most_words = most_words
        self._whole: Tensor | None = None
        self._making_whole = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether the rows of all words are kept."""
        return self._vocab_size <= self._most_words

    def covers(self, num_tokens: int) -> bool:
        """Whether so many tokens can be looked up at once."""
        return self.is_whole or num_tokens <= self._most_words

    def rows_of(self, ids: TokenIds) -> tuple[Tensor, Tensor]:
        """A table, and which of its rows belongs to each token."""
        if self.is_whole:
            with self._making_whole:
                if self._whole is None:
                    self._whole = self._compute(torch.arange(self._vocab_size))
            return self._whole, torch.from_numpy(ids.astype(np.int64))
        occurs = np.zeros(self._vocab_size, np.bool_)
        occurs[ids] = True
        row_of_word = occurs.cumsum() - 1
        return self._compute(torch.from_numpy(occurs.nonzero()[0])), torch.from_numpy(row_of_word[ids])
