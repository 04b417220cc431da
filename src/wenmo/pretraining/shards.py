"""A shard of a corpus: documents as sentences of ids, mapped into memory.

A row of its store is one sentence, without special tokens. Which columns there are depends on the text and on what is
to be learnt from it:

- ``input_ids``: the ids of the sentence;
- ``character_ids`` and ``word_sizes``: of models that read words as bytes, the bytes of all its words one after the
  other and how many each has (`wenmo.text.word_bytes`);
- ``document``: one number, counted from 0 inside the shard;
- ``spans``: (first, end, level) of words, phrases and entities, one after the other, in tokens of the sentence;
- ``capitals``: of each token whether it began with a capital letter in the raw text;
- ``connective``: nothing, or how many tokens the word that joins the sentence to the one before has, and which relation
  that word tells;
- ``kind``: one number: who speaks in a dialogue, 0 for the one who began; or how a title was met, 0 for shown and
  clicked and 1 for shown alone, and -1 for the first sentence of a document, which is what was asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wenmo.data.store import FIRST, TokenStore
from wenmo.text.spans import ENTITY as ENTITY
from wenmo.text.spans import PHRASE as PHRASE
from wenmo.text.spans import WORD as WORD

DOCUMENT, SPANS, CAPITALS, CONNECTIVE, KIND = "document", "spans", "capitals", "connective", "kind"
"""Columns of a shard, beside ``input_ids``."""


@dataclass(frozen=True, eq=False)
class Shard:
    """Some documents of a corpus."""

    store: TokenStore

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a shard into memory.

        Raises:
            InputError: the file is not a store, or ends too early.
        """
        return cls(TokenStore.open(path))

    def __len__(self) -> int:
        """Sentences."""
        return len(self.store)

    def has(self, column: str) -> bool:
        """Whether the sentences have such a column."""
        return column in self.store.columns

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """``(sentences,)``: tokens of each."""
        return self.store[FIRST].lengths

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """``(documents + 1,)``: the first sentence of each document, and the number of sentences."""
        pieces = self.store[DOCUMENT].pieces
        numbers = np.concatenate([values for values, _ in pieces]) if pieces else np.empty(0, np.int32)
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        return np.append(begins, len(self)).astype(np.int64)

    def spans(self, sentence: int) -> NDArray[np.int32]:
        """``(spans, 3)``: first token, the token behind the last, level."""
        found: NDArray[np.int32] = self.store[SPANS][sentence].reshape(-1, 3)
        return found
