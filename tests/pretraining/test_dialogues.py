"""Dialogues of two and three turns, real and fake, counted."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.ernie import Ernie, ErnieConfig
from wenmo.pretraining.catalogue import CorpusFacts, ObjectivesConfig, work_for
from wenmo.pretraining.corpus import make_corpus
from wenmo.pretraining.cuts import Cut
from wenmo.pretraining.dialogues import PATTERNS, Dialogues, shortened
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.examples import make_example
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.settings import CorpusSettings
from wenmo.pretraining.shards import Shard
from wenmo.pretraining.vocabulary import train_corpus_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

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


def test_dialogues_of_people_are_read_and_learnt(data_folder, tmp_path):
    source = str(data_folder / "dialogue_zh" / "dev.dialogues.txt")
    settings = CorpusSettings(held_out_share=0)
    pieces = TokenizerConfig(segmenter="wordpiece", fold_width=False, vocab_size=2000)
    tokenizer = train_corpus_tokenizer([source], settings, pieces)
    shard = make_corpus([source], tmp_path / "corpus", tokenizer, settings).shard(0)
    facts = CorpusFacts(mask_id=tokenizer.mask_token_id, random_ids=np.arange(10, tokenizer.vocab_size, dtype=np.int32))
    work = work_for(["dialogue_lm"], ObjectivesConfig(), facts)
    frame = Frame.of(tokenizer.surroundings(pair=True))
    cut = work.cutter.cut(shard, frame, 96, Draws(0).generator("cut"))
    # Two people who take turns: QR and QRQ, about as many of each, and half of them fake.
    kinds = Counter(tuple(cut.types[a:b].tolist()) for a, b in pairwise(cut.offsets.tolist()))
    assert len(cut) > 1000 and set(kinds) == {(0, 1), (0, 1, 0)}
    assert abs(cut.labels.mean() - 0.5) < 4.5 * np.sqrt(0.25 / len(cut))
    config = ErnieConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    model = Pretraining(Ernie(config), config, work.objectives)
    model.initialize(torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for rows in np.random.default_rng(0).permutation(len(cut))[:480].reshape(30, 16):
        sums, counts = model(make_example(cut, rows, work.objectives, Draws(0)))
        optimizer.zero_grad()
        (sums / counts).sum().backward()
        optimizer.step()
        losses.append(float((sums[0] / counts[0]).detach()))
    assert abs(losses[0] - np.log(tokenizer.vocab_size)) < 0.3
    assert np.mean(losses[-5:]) < losses[0] - 0.8
