"""Pairs by connectives and by clicks."""

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.pretraining.relations import RANDOM, DiscourseRelation, IrRelevance
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

BERT = Frame(before=(2,), between=(3,), behind=(3,), num_types=2)
RNG = np.random.default_rng(0)


def test_the_joining_word_is_taken_away_and_its_relation_is_the_class():
    shard = Shard(
        TokenStore.from_rows(
            input_ids=[[90, 10], [91, 92, 11, 12], [90, 13], [90, 14], [91, 92]],
            document=[[0], [0], [0], [1], [1]],
            # The first of a document has nothing before it; the last is nothing but the word.
            connective=[[], [2, 5], [1, 3], [1, 3], [2, 5]],
        )
    )
    cut = DiscourseRelation().cut(shard, BERT, 32, RNG)
    assert [cut[row].input_ids.tolist() for row in range(len(cut))] == [
        [2, 90, 10, 3, 11, 12, 3],
        [2, 91, 92, 11, 12, 3, 13, 3],
    ]
    assert cut.labels.tolist() == [5, 3]


def test_a_corpus_without_connectives_is_refused():
    with pytest.raises(InputError, match="make it again with connectives"):
        DiscourseRelation().cut(Shard(TokenStore.from_rows(input_ids=[[1]], document=[[0]])), BERT, 32, RNG)


def clicks(num_queries: int) -> Shard:
    rng = np.random.default_rng(1)
    ids, documents, kinds = [], [], []
    for query in range(num_queries):
        titles = int(rng.integers(0, 8))
        for sentence in range(titles + 1):
            ids.append([10 + query % 80] * int(rng.integers(1, 9)))
            documents.append([query])
            kinds.append([0] if not sentence else [int(rng.random() < 0.6)])
    return Shard(TokenStore.from_rows(input_ids=ids, document=documents, kind=kinds))


def test_titles_are_clicked_shown_or_random_in_their_shares():
    shard = clicks(2500)
    cut = IrRelevance().cut(shard, BERT, 64, RNG)
    titles = len(shard) - 2500
    real = cut.labels != RANDOM
    assert real.sum() == titles > 8000
    kinds = np.concatenate(shard.store["kind"].take(range(len(shard))))
    queries = shard.documents[:-1]
    assert cut.labels[real].tolist() == np.delete(kinds, queries).tolist()
    share = 1 - real.mean()
    assert abs(share - 1 / 3) < 4.5 * np.sqrt(2 / 9 / len(cut))
    # The first part is a query always, and a random title is one of another query.
    starts = np.concatenate([[0], np.cumsum(shard.sizes)])
    sentences = (np.searchsorted(starts, cut.begins, side="right") - 1).reshape(-1, 2)
    assert np.isin(sentences[:, 0], queries).all() and not np.isin(sentences[:, 1], queries).any()
    documents = np.searchsorted(shard.documents, sentences, side="right") - 1
    assert np.array_equal(documents[:, 0] == documents[:, 1], real)
    assert len(set(sentences[~real, 1])) > 0.3 * titles


def test_what_makes_no_pairs_is_refused():
    with pytest.raises(InputError, match="of queries with titles"):
        IrRelevance().cut(Shard(TokenStore.from_rows(input_ids=[[1]], document=[[0]])), BERT, 64, RNG)
    one = Shard(TokenStore.from_rows(input_ids=[[1], [2]], document=[[0], [0]], kind=[[0], [1]]))
    with pytest.raises(InputError, match="there is one query"):
        IrRelevance().cut(one, BERT, 64, RNG)
    assert IrRelevance(random_share=0).cut(one, BERT, 64, RNG).labels.tolist() == [1]
