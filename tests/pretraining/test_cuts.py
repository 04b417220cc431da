"""Running text as sequences: what stands where, and that every token comes once."""

from itertools import pairwise

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.pretraining.cuts import SingleSentences, Stream, WholeSentences
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

RNG = np.random.default_rng(0)
BERT = Frame(before=(2,), between=(3,), behind=(3,), num_types=2)


def three_documents() -> Shard:
    return Shard(
        TokenStore.from_rows(
            input_ids=[[10, 11, 12], [13, 14], [20, 21], [30, 31, 32, 33, 34, 35, 36]],
            document=[[0], [0], [1], [2]],
            spans=[[0, 2, 1], [0, 2, 3], [], [5, 7, 1]],
            capitals=[[1, 0, 0], [0, 1], [1, 1], [0] * 7],
        )
    )


def test_whole_sentences_are_packed_with_a_separator_between_documents():
    cut = WholeSentences().cut(three_documents(), BERT, 8, RNG)
    rows = [cut[row].input_ids.tolist() for row in range(len(cut))]
    # Six tokens of room: the first document fills five of them, and the next has not room enough behind a separator.
    assert rows == [[2, 10, 11, 12, 13, 14, 3], [2, 20, 21, 3], [2, 30, 31, 32, 33, 34, 35, 3], [2, 36, 3]]
    assert cut.lengths.tolist() == [7, 4, 8, 3]
    joined = WholeSentences().cut(three_documents(), BERT, 10, RNG)[0]
    assert joined.input_ids.tolist() == [2, 10, 11, 12, 13, 14, 3, 20, 21, 3]
    assert joined.special.tolist() == [True, *[False] * 5, True, False, False, True]
    assert joined.parts.tolist() == [[1, 6, 0], [7, 9, 0]]


def test_spans_and_columns_move_with_their_tokens():
    joined = WholeSentences().cut(three_documents(), BERT, 10, RNG)[0]
    assert joined.spans.tolist() == [[1, 3, 1], [4, 6, 3]]
    assert joined.columns["capitals"].tolist() == [-100, 1, 0, 0, 0, 1, -100, 1, 1, -100]
    assert joined.document == 0
    halves = WholeSentences().cut(three_documents(), BERT, 8, RNG)
    assert halves[2].spans.tolist() == []  # half a word is none
    assert halves[3].document == 2


@pytest.mark.parametrize("length", [5, 8, 17, 40, 128])
def test_every_token_comes_once(make_shard, length):
    shard = make_shard()
    ids = np.concatenate(shard.store["input_ids"].take(range(len(shard))))
    for cutter in (WholeSentences(), SingleSentences()):
        cut = cutter.cut(shard, BERT, length, RNG)
        rows = [cut[row] for row in range(len(cut))]
        assert np.concatenate([row.input_ids[~row.special] for row in rows]).tolist() == ids.tolist()
        assert [len(row) for row in rows] == cut.lengths.tolist()
        assert cut.lengths.max() <= length


@pytest.mark.parametrize("separator", [(), (1,)])
@pytest.mark.parametrize("length", [2, 3, 7, 64])
def test_a_stream_foretells_every_token_but_the_first_once(make_shard, length, separator):
    shard = make_shard(num_documents=20)
    documents = [shard.store["input_ids"].take(range(a, b)) for a, b in pairwise(shard.documents)]
    whole = [token for document in documents for token in (*np.concatenate(document).tolist(), *separator)]
    cut = Stream().cut(shard, Frame(between=separator), length, RNG)
    rows = [cut[row].input_ids.tolist() for row in range(len(cut))]
    assert [token for row in rows for token in row[1:]] == whole[1:]
    assert all(before[-1] == row[0] for before, row in pairwise(rows))
    assert cut.lengths.tolist() == [len(row) for row in rows]
    assert set(cut.lengths[:-1].tolist()) == {length}


def test_text_in_several_pieces_of_a_file_is_the_same(make_shard, tmp_path, monkeypatch):
    monkeypatch.setattr("wenmo.data.store._FLUSH_VALUES", 50)
    shard = make_shard(num_documents=10)
    shard.store.save(tmp_path / "shard.arrow")
    mapped = Shard.open(tmp_path / "shard.arrow")
    assert len(mapped.store["input_ids"].pieces) > 3
    for cutter in (WholeSentences(), Stream()):
        ours, theirs = (cutter.cut(each, BERT, 32, RNG) for each in (shard, mapped))
        for row in range(len(ours)):
            assert np.array_equal(ours[row].input_ids, theirs[row].input_ids)
            assert np.array_equal(ours[row].spans, theirs[row].spans)


def test_a_shard_without_text_gives_no_sequences():
    empty = Shard(TokenStore.from_rows(input_ids=[], document=[]))
    for cutter in (WholeSentences(), Stream(), SingleSentences()):
        assert len(cutter.cut(empty, BERT, 16, RNG)) == 0


def test_a_length_without_room_is_refused(make_shard):
    with pytest.raises(InputError, match=r"a length of 2 leaves 0 tokens of text"):
        WholeSentences().cut(make_shard(), BERT, 2, RNG)


def test_a_stream_behind_a_token_that_says_begin_has_no_token_twice(make_shard):
    shard = make_shard(num_documents=20)
    cut = Stream().cut(shard, Frame(before=(2,)), 9, RNG)
    rows = [cut[row].input_ids.tolist() for row in range(len(cut))]
    assert [token for row in rows for token in row[1:]] == np.concatenate(
        shard.store["input_ids"].take(range(len(shard)))
    ).tolist()
    assert all(row[0] == 2 for row in rows)
