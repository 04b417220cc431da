"""A shard: where its documents begin, how long its sentences are, what its spans say."""

from pathlib import Path

from wenmo.data.store import TokenStore
from wenmo.pretraining.shards import ENTITY, WORD, Shard


def test_documents_begin_where_their_number_changes(tmp_path: Path):
    store = TokenStore.from_rows(
        input_ids=[[5, 6, 7], [8], [9, 10], [11]],
        document=[[0], [0], [1], [2]],
        spans=[[0, 2, WORD, 1, 3, ENTITY], [], [], []],
    )
    store.save(tmp_path / "shard.arrow")
    shard = Shard.open(tmp_path / "shard.arrow")
    assert len(shard) == 4
    assert shard.documents.tolist() == [0, 2, 3, 4]
    assert shard.sizes.tolist() == [3, 1, 2, 1]
    assert shard.spans(0).tolist() == [[0, 2, WORD], [1, 3, ENTITY]]
    assert shard.spans(1).shape == (0, 3)
    assert shard.has("spans") and not shard.has("capitals")


def test_a_shard_without_sentences_has_no_documents():
    shard = Shard(TokenStore.from_rows(input_ids=[], document=[]))
    assert len(shard) == 0
    assert shard.documents.tolist() == [0]
