"""Which rows go together, and that the order can be made again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.data.batching import BatchOrder, character_tensor, second_batch, shared_out, store_batch, token_batch
from wenmo.data.store import TokenStore

lengths_of_texts = st.lists(st.integers(0, 60), min_size=1, max_size=200).map(lambda x: np.array(x, np.int64))


@given(lengths_of_texts, st.integers(1, 40), st.integers(0, 5), st.integers(0, 9))
def test_every_row_is_in_exactly_one_batch(lengths: np.ndarray, size: int, bucket: int, epoch: int) -> None:
    for order in (BatchOrder(batch_size=size, bucket=bucket), BatchOrder(batch_tokens=size * 10, bucket=bucket)):
        batches = order.epoch(lengths, epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))


@given(lengths_of_texts, st.integers(10, 200), st.integers(0, 5))
def test_no_batch_is_over_its_token_budget_but_single_rows(lengths: np.ndarray, budget: int, bucket: int) -> None:
    for rows in BatchOrder(batch_tokens=budget, bucket=bucket).epoch(lengths, 0):
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 300)

    def epoch(seed: int, number: int) -> list[list[int]]:
        return [rows.tolist() for rows in BatchOrder(batch_size=7, bucket=4, seed=seed).epoch(lengths, number)]

    assert epoch(1, 2) == epoch(1, 2)
    assert epoch(1, 2) != epoch(1, 3)
    assert epoch(1, 2) != epoch(2, 2)


def test_buckets_leave_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 2000)

    def places(bucket: int) -> int:
        batches = BatchOrder(batch_size=50, bucket=bucket).epoch(lengths, 0)
        return sum(len(rows) * int(lengths[rows].max()) for rows in batches)

    assert places(0) > 1.7 * lengths.sum()
    assert places(20) < 1.1 * lengths.sum()


def test_ranks_share_the_batches_and_the_ones_repeated_do_not_count() -> None:
    order = BatchOrder(batch_size=3)
    batches = order.epoch(np.ones(22, np.int64), 0)
    assert len(batches) == 8
    shards = [shared_out(batches, rank, 3) for rank in range(3)]
    assert [len(shard) for shard in shards] == [3, 3, 3]
    counted = np.concatenate([rows for shard in shards for rows, counts in shard if counts])
    assert sorted(counted.tolist()) == list(range(22))


def test_a_batch_is_padded_on_the_right_and_never_empty() -> None:
    batch = token_batch([np.array([5, 6, 7]), np.array([], np.int64), np.array([8])], padding_id=1)
    assert batch.input_ids is not None
    assert batch.input_ids.tolist() == [[5, 6, 7], [1, 1, 1], [8, 1, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert token_batch([np.array([], np.int64)]).attention_mask.tolist() == [[0]]


def test_both_or_neither_size_of_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        BatchOrder()
    with pytest.raises(ValueError, match="not both"):
        BatchOrder(batch_size=1, batch_tokens=1)


def test_the_characters_of_a_batch_stand_in_their_words() -> None:
    ids, sizes = [np.array([2, 3, 3], np.int32), np.array([2], np.int32)], [np.array([2, 1]), np.array([1])]
    assert character_tensor(ids, sizes, 2).tolist() == [[[2, 3], [3, 0]], [[2, 0], [0, 0]]]
    assert character_tensor([np.empty(0, np.int32)], [np.empty(0, np.int32)], 1).shape == (1, 1, 1)


def test_each_text_of_a_pair_has_its_characters_beside_its_ids() -> None:
    store = TokenStore.from_rows(
        input_ids=[[2, 3], [4]],
        character_ids=[[7, 8, 9], [7]],
        word_sizes=[[1, 2], [1]],
        input_ids_b=[[5], [6, 2, 3]],
        character_ids_b=[[6, 6], [5, 4, 3]],
        word_sizes_b=[[2], [1, 1, 1]],
    )
    first, second = store_batch(store, np.array([1, 0])), second_batch(store, np.array([1, 0]))
    assert first.character_ids is not None and second is not None and second.character_ids is not None
    assert first.character_ids.tolist() == [[[7, 0], [0, 0]], [[7, 0], [8, 9]]]
    assert second.character_ids.tolist() == [[[5, 0], [4, 0], [3, 0]], [[6, 6], [0, 0], [0, 0]]]
