"""Small shards for the tests of this folder."""

from collections.abc import Callable

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.pretraining.shards import Shard

MakeShard = Callable[..., Shard]


@pytest.fixture
def make_shard() -> MakeShard:
    """Documents of so many sentences, each with a number of tokens drawn; ids 10 to 99, spans of words of 2 or 3."""

    def make(num_documents: int = 50, sentences: tuple[int, int] = (1, 12), tokens: tuple[int, int] = (3, 20)) -> Shard:
        rng = np.random.default_rng(5)
        ids, documents, spans = [], [], []
        for document in range(num_documents):
            for _ in range(rng.integers(*sentences, endpoint=True)):
                size = int(rng.integers(*tokens, endpoint=True))
                ids.append(rng.integers(10, 100, size))
                documents.append([document])
                spans.append(words_of(size, rng))
        return Shard(TokenStore.from_rows(input_ids=ids, document=documents, spans=spans))

    return make


def words_of(size: int, rng: np.random.Generator) -> list[int]:
    """Words of 1 to 3 tokens, those of one left out, as flat (first, end, level)."""
    flat, place = [], 0
    while place < size:
        end = min(size, place + int(rng.integers(1, 4)))
        if end - place > 1:
            flat += [place, end, 1]
        place = end
    return flat
