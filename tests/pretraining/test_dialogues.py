"""Dialogues of two and three turns, real and fake, counted."""

from collections import Counter

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.pretraining.cuts import Cut
from wenmo.pretraining.dialogues import PATTERNS, Dialogues, shortened
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard

ERNIE = Frame(before=(2,), between=(3,), behind=(3,), num_types=2)


def threads(num: int) -> Shard:
    """Of 2 to 7 turns; every fourth of them is by who spoke before."""
    rng = np.random.default_rng(2)
    ids, documents, kinds = [], [], []
    for thread in range(num):
        kind = 0
        for _ in range(int(rng.integers(2, 8))):
            ids.append(rng.integers(10, 90, int(rng.integers(2, 12))))
            documents.append([thread])
            kinds.append([kind])
            kind = kind if rng.random() < 0.25 else 1 - kind
    return Shard(TokenStore.from_rows(input_ids=ids, document=documents, kind=kinds))


def dialogues(shard: Shard, length: int = 64, seed: int = 0, **settings: float) -> Cut:
    return Dialogues(**settings).cut(shard, ERNIE, length, np.random.default_rng(seed))


def turns_of(cut: Cut) -> list[np.ndarray]:
    starts = np.concatenate([[0], np.cumsum(cut.shard.sizes)])
    return np.split(np.searchsorted(starts, cut.begins, side="right") - 1, cut.offsets[1:-1])


def test_all_four_kinds_are_there_and_no_other():
    cut = dialogues(threads(3000), fake_share=0.0)
    kinds = np.concatenate(cut.shard.store["kind"].take(range(len(cut.shard))))
    seen = Counter(tuple(kinds[turns].tolist()) for turns in turns_of(cut))
    assert set(seen) == set(PATTERNS)
    assert min(seen.values()) > 200 and len(cut) > 4000
    assert (cut.labels == 1).all()
    together = np.concatenate(turns_of(cut))
    assert len(set(together.tolist())) == len(together)  # no turn twice


def test_who_speaks_is_told_by_the_types():
    cut = dialogues(threads(50), fake_share=0.0)
    kinds = np.concatenate(cut.shard.store["kind"].take(range(len(cut.shard))))
    for row, turns in enumerate(turns_of(cut)):
        sequence = cut[row]
        assert sequence.parts[:, 2].tolist() == kinds[turns].tolist()
        for first, behind, kind in sequence.parts:
            assert set(sequence.token_type_ids[first : behind + 1]) == {kind}
        assert np.flatnonzero(sequence.special).tolist() == [0, *sequence.parts[:, 1].tolist()]


def test_half_are_fake_by_one_turn_of_another_thread():
    shard = threads(3000)
    cut = dialogues(shard)
    assert abs(cut.labels.mean() - 0.5) < 4.5 * np.sqrt(0.25 / len(cut))
    fewer = dialogues(shard, fake_share=0.2)
    assert abs(fewer.labels.mean() - 0.8) < 4.5 * np.sqrt(0.16 / len(fewer))
    places = Counter()
    for label, turns in zip(cut.labels, turns_of(cut), strict=True):
        thread = np.searchsorted(shard.documents, turns, side="right") - 1
        most = Counter(thread.tolist()).most_common(1)[0]
        assert most[1] == len(turns) if label else most[1] == len(turns) - 1 or len(turns) == 2
        if not label and len(turns) == 3:
            places[int(np.flatnonzero(thread != most[0])[0])] += 1
    total = sum(places.values())
    assert all(abs(places[i] - total / 3) < 4.5 * np.sqrt(total * 2 / 9) for i in range(3))


def test_the_longest_turns_are_shortened():
    assert shortened([(0, 10), (20, 23)], 9) == [(0, 6), (20, 23)]
    assert shortened([(0, 4), (10, 14), (20, 24)], 8) == [(0, 3), (10, 13), (20, 22)]
    assert shortened([(0, 4)], 9) == [(0, 4)]
    assert dialogues(threads(200), 16).lengths.max() == 16


def test_what_is_no_dialogue_is_refused():
    with pytest.raises(InputError, match="make it of a file of dialogues"):
        dialogues(Shard(TokenStore.from_rows(input_ids=[[1]], document=[[0]])))
    with pytest.raises(InputError, match="and there is one; bring more"):
        dialogues(Shard(TokenStore.from_rows(input_ids=[[1], [2]], document=[[0], [0]], kind=[[0], [1]])))
    with pytest.raises(InputError, match="in no dialogue does one answer"):
        dialogues(Shard(TokenStore.from_rows(input_ids=[[1], [2]], document=[[0], [1]], kind=[[0], [1]])))
