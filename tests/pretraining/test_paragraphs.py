"""Sentence reordering and sentence distance, counted."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.pretraining.cuts import Cut, document_of_sentences, token_starts
from wenmo.pretraining.paragraphs import SentenceDistance, SentenceReordering, first_class, rank_of
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

ERNIE2 = Frame(before=(2,), between=(3,), behind=(3,), num_types=4)


def reordered(shard: Shard, length: int = 128, most: int = 4) -> Cut:
    return SentenceReordering(most_segments=most).cut(shard, ERNIE2, length, np.random.default_rng(0))


def near(count: int, expected: float, total: int) -> bool:
    share = expected / total
    return abs(count - expected) < 4.5 * np.sqrt(total * share * (1 - share))


@pytest.mark.parametrize(("most", "classes"), [(3, 9), (4, 33), (5, 153)])
def test_the_classes_are_the_orders_of_up_to_m_segments(most, classes):
    assert SentenceReordering(most_segments=most).num_classes == classes
    seen = [first_class(n) + rank_of(list(order)) for n in range(1, most + 1) for order in permutations(range(n))]
    assert seen == list(range(classes))


def test_the_class_says_how_to_put_the_segments_back(make_shard):
    cut = reordered(make_shard(num_documents=2000, sentences=(1, 12)))
    assert len(cut) > 2000
    orders = [order for n in range(1, 5) for order in permutations(range(n))]
    for row in range(len(cut)):
        first, behind = cut.offsets[row], cut.offsets[row + 1]
        if cut.labels[row] == -100:
            sentences = np.isin(token_starts(cut.shard), np.arange(cut.begins[first], cut.ends[first]))
            assert behind - first == 1 and sentences.sum() == 1
            continue
        order = orders[cut.labels[row]]
        assert len(order) == behind - first
        begins = cut.begins[first:behind]
        assert np.argsort(np.argsort(begins)).tolist() == list(order)
        back = sorted(zip(begins, cut.ends[first:behind], strict=True))
        assert all(before[1] == after[0] for before, after in pairwise(back))  # a paragraph without a gap
        assert cut.types[first:behind].tolist() == list(range(len(order)))
    assert cut.lengths.max() <= 128
    alone = (cut.labels == -100).sum()
    assert (np.diff(cut.shard.documents) == 1).sum() <= alone < 0.3 * len(cut)


def test_each_number_of_segments_and_each_of_its_orders_is_as_likely(make_shard):
    shard = make_shard(num_documents=6000, sentences=(8, 12), tokens=(2, 4))
    labels = reordered(shard).labels
    counts, total = Counter(labels.tolist()), len(labels)
    assert total == 6000
    for n, orders in ((1, 1), (2, 2), (3, 6), (4, 24)):
        for label in range(first_class(n), first_class(n + 1)):
            assert near(counts[label], total / 4 / orders, total)


def test_segments_end_where_sentences_do(make_shard):
    cut = reordered(make_shard(num_documents=300))
    starts = set(token_starts(cut.shard).tolist())
    assert all(begin in starts for begin in cut.begins.tolist())
    assert np.mean([end in starts for end in cut.ends.tolist()]) == 1.0


def test_one_sentence_a_document_has_no_order():
    lines = Shard(TokenStore.from_rows(input_ids=[[10, 11]] * 5, document=[[i] for i in range(5)]))
    with pytest.raises(InputError, match="needs documents of several sentences"):
        reordered(lines)


def distances(shard: Shard, length: int = 128) -> Cut:
    return SentenceDistance().cut(shard, ERNIE2, length, np.random.default_rng(0))


def test_the_class_is_the_distance(make_shard):
    shard = make_shard(num_documents=2000)
    cut = distances(shard, 512)  # nothing has to be cut off
    starts = token_starts(shard)
    sentences = np.searchsorted(starts, cut.begins, side="right") - 1
    documents = document_of_sentences(shard)[sentences].reshape(-1, 2)
    begins, ends = cut.begins.reshape(-1, 2), cut.ends.reshape(-1, 2)
    same, follows = documents[:, 0] == documents[:, 1], ends[:, 0] == begins[:, 1]
    assert np.array_equal(cut.labels == 2, ~same)
    assert np.array_equal(cut.labels == 0, same & follows)
    apart = cut.labels == 1
    gap = np.maximum(begins[apart, 1] - ends[apart, 0], begins[apart, 0] - ends[apart, 1])
    assert apart.sum() > 1000 and (gap > 0).all()


def test_the_classes_are_equal_where_all_are_possible(make_shard):
    cut = distances(make_shard(num_documents=1500, sentences=(5, 12)))
    counts = Counter(cut.labels.tolist())
    assert len(cut) > 6000
    assert all(near(counts[label], len(cut) / 3, len(cut)) for label in range(3))
    assert cut.lengths.max() <= 128


def test_a_document_of_one_sentence_stands_beside_others_alone():
    shard = Shard(TokenStore.from_rows(input_ids=[[10]] * 4, document=[[0], [1], [1], [2]]))
    cut = distances(shard)
    assert [cut.labels[row] for row in (0, 3)] == [2, 2]
    assert set(cut.labels.tolist()) <= {0, 2}
    with pytest.raises(InputError, match="there is one document"):
        distances(Shard(TokenStore.from_rows(input_ids=[[10]] * 4, document=[[0]] * 4)))
