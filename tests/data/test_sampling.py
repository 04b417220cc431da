"""Classes drawn equally often, the same way again, in every process."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wenmo.data.batching import BatchOrder, shared_out
from wenmo.data.sampling import draw_equally, rows_of_classes

GOLD = np.array([0] * 90 + [1] * 7 + [3] * 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 9))
def test_every_class_comes_as_often_as_the_others_or_once_more(labels: list[int], seed: int) -> None:
    gold = np.array(labels)
    rows = draw_equally(rows_of_classes(gold), len(gold), np.random.default_rng(seed))
    assert len(rows) == len(gold)
    classes = np.unique(gold)
    counts = [(gold[rows] == label).sum() for label in classes]
    assert max(counts) - min(counts) <= 1
    for label in classes:
        times = np.bincount(rows, minlength=len(gold))[gold == label]
        assert times.max() - times.min() <= 1, "a row of a class came twice more often than another"


def test_where_a_row_has_several_labels_each_label_is_drawn_equally_often() -> None:
    hot = np.array([[1, 0]] * 50 + [[0, 1]] * 4 + [[0, 0]] * 2)
    classes = rows_of_classes(hot)
    assert [len(rows) for rows in classes] == [50, 4, 2]
    drawn = hot[draw_equally(classes, 56, np.random.default_rng(0))]
    assert sorted([drawn[:, 0].sum(), drawn[:, 1].sum(), (drawn.sum(axis=1) == 0).sum()]) == [18, 19, 19]


def test_an_epoch_depends_on_seed_and_number_alone_and_the_frequent_class_takes_turns() -> None:
    lengths, classes = np.ones(100, np.int64), rows_of_classes(GOLD)

    def epoch(seed: int, number: int) -> list[int]:
        order = BatchOrder(batch_size=10, bucket=3, seed=seed)
        return np.concatenate(order.epoch(lengths, number, classes=classes)).tolist()

    assert epoch(1, 2) == epoch(1, 2) and len(epoch(1, 2)) == 100
    assert epoch(1, 2) != epoch(1, 3) and epoch(1, 2) != epoch(2, 2)
    seen = {row for number in range(40) for row in epoch(0, number)}
    assert seen == set(range(100))


def test_ranks_share_a_balanced_epoch() -> None:
    order = BatchOrder(batch_size=7, bucket=2)
    batches = order.epoch(np.ones(100, np.int64), 0, classes=rows_of_classes(GOLD))
    shards = [shared_out(batches, rank, 4) for rank in range(4)]
    counted = np.concatenate([rows for shard in shards for rows, counts in shard if counts])
    assert sorted(counted.tolist()) == sorted(np.concatenate(batches).tolist())
    assert sorted(np.unique(GOLD[counted], return_counts=True)[1].tolist()) == [33, 33, 34]


def test_without_classes_the_order_is_that_of_always() -> None:
    order, lengths = BatchOrder(batch_size=7, bucket=2, seed=3), np.arange(1, 40)
    expected = np.arange(39)
    np.random.default_rng((3, 0)).shuffle(expected)
    assert sorted(order.epoch(lengths, 0)[0].tolist()) != list(range(7))
    unsorted = BatchOrder(batch_size=39, seed=3).epoch(lengths, 0)[0]
    assert unsorted.tolist() == expected.tolist()
