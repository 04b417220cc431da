"""The packed engine of ELMo gives what the model gives."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from wenmo.features import Features, TokenBatch
from wenmo.inference import elmo_engine
from wenmo.inference.elmo_engine import PackedElmo, WordVectors, why_not_packed_elmo
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.text.word_bytes import word_byte_ids

TINY: dict[str, Any] = {
    "character_embedding_size": 3,
    "filters": ((1, 3), (2, 4), (4, 2)),
    "num_units": 6,
    "projection_size": 4,
    "cell_clip": 0.5,
    "projection_clip": 0.8,
}
COVERED: list[dict[str, Any]] = [
    {},
    {"num_hidden_layers": 1, "num_highways": 0},
    {"residual": False, "num_hidden_layers": 3, "cell_clip": 0.0, "projection_clip": 0.0},
    {"character_activation": "tanh", "num_highways": 1},
]


def model_of(**fields: Any) -> Elmo:
    model = Elmo(ElmoConfig(**{**TINY, **fields})).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def sentences_of(lengths: Any, seed: int = 0) -> list[list[str]]:
    numbers = np.random.default_rng(seed)
    known = ["a", "the", "naïve", "文墨", "x" * 60, "<S>", "", "bridge", "old", "mat"]
    return [[known[i] for i in numbers.integers(0, len(known), length)] for length in lengths]


@torch.no_grad()
def by_the_model(model: Elmo, words: Sequence[str]) -> Features:
    ids = torch.from_numpy(word_byte_ids(words)).long().unsqueeze(0)
    mask = torch.ones(1, len(words), dtype=torch.long)
    features: Features = model(TokenBatch(character_ids=ids, attention_mask=mask), output_hidden_states=True)
    return features


def pooled_by_the_model(model: Elmo, sentences: Sequence[Sequence[str]]) -> Tensor:
    return torch.cat([by_the_model(model, words).pooler_output for words in sentences])


@pytest.mark.parametrize("fields", COVERED, ids=str)
def test_packed_is_the_model_for_every_length(fields: dict[str, Any]) -> None:
    model = model_of(**fields).double()
    sentences = sentences_of([7, 1, 40, 7, 0, *range(1, 20), 2])
    engine = PackedElmo(model)
    mixed, layers = engine.mixed(sentences), engine.hidden_states(sentences)
    for words, mixture, states in zip(sentences, mixed, layers, strict=True):
        expected = by_the_model(model, words)
        assert expected.hidden_states is not None
        torch.testing.assert_close(mixture, expected.last_hidden_state[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(states, torch.cat(expected.hidden_states), rtol=0, atol=1e-12)
    torch.testing.assert_close(engine.pooled(sentences), pooled_by_the_model(model, sentences), rtol=0, atol=1e-12)


def test_in_float32_the_engine_is_the_model_to_rounding() -> None:
    model = model_of()
    sentences = sentences_of(range(20))
    found = PackedElmo(model).pooled(sentences)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pooled_by_the_model(model, sentences), rtol=1e-5, atol=1e-5)


def test_texts_go_through_in_blocks_and_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of().double()
    sentences = sentences_of([3, 9, 1, 9, 0, 12, 2, 2, 5])
    expected = pooled_by_the_model(model, sentences)
    monkeypatch.setattr(elmo_engine, "_TEXTS_AT_ONCE", 2)
    monkeypatch.setattr(elmo_engine, "_WORDS_AT_ONCE", 3)
    engine = PackedElmo(model)
    assert [len(block.rows) for block in engine.blocks(sentences)] == [2, 2, 2, 2, 1]
    torch.testing.assert_close(engine.pooled(sentences), expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(elmo_engine, "_TOKENS_AT_ONCE", 1)  # a text is a block, however long
    torch.testing.assert_close(engine.pooled(sentences), expected, rtol=0, atol=1e-12)
    assert engine.pooled([]).shape == (0, 8) and engine.mixed([]) == []


def test_a_distinct_word_is_computed_once() -> None:
    asked: list[list[str]] = []

    def compute(words: Sequence[str]) -> Tensor:
        asked.append(list(words))
        return torch.tensor([[float(len(word))] for word in words])

    vectors = WordVectors(compute, most_words=3)
    assert vectors.of(["a", "bb"]).flatten().tolist() == [1, 2]
    assert vectors.of(["bb", "ccc", "a"]).flatten().tolist() == [2, 3, 1]
    assert asked == [["a", "bb"], ["ccc"]] and len(vectors) == 3
    # A fourth word does not fit: the cache begins anew with what is wanted now.
    assert vectors.of(["dddd", "a"]).flatten().tolist() == [4, 1]
    assert asked[2:] == [["dddd", "a"]] and len(vectors) == 2
    # More than fits at all is computed and not kept.
    assert vectors.of(["a", "bb", "ccc", "dddd"]).flatten().tolist() == [1, 2, 3, 4]
    assert len(vectors) == 2


@pytest.mark.parametrize("most_words", [0, 5])
def test_a_small_cache_gives_the_same(most_words: int) -> None:
    model = model_of().double()
    sentences = sentences_of([9, 1, 30, 5, 17, 3])
    engine = PackedElmo(model, cache_bytes=most_words * 4 * 8)
    for _ in range(2):
        torch.testing.assert_close(engine.pooled(sentences), pooled_by_the_model(model, sentences), rtol=0, atol=1e-12)
    assert len(engine.words) <= 5


def test_packed_in_bfloat16_points_the_same_way() -> None:
    model = Elmo(ElmoConfig(num_units=64, projection_size=32, filters=((1, 16), (2, 16), (3, 32)))).eval()
    model.initialize(torch.Generator().manual_seed(0))
    sentences = sentences_of(range(1, 30))
    exact, rough = PackedElmo(model).pooled(sentences), PackedElmo(model, torch.bfloat16).pooled(sentences)
    assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
    assert torch.cosine_similarity(exact, rough).min() > 0.999


def test_many_threads_share_one_engine() -> None:
    engine = PackedElmo(model_of())
    parts = [sentences_of(range(1, 15), seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.pooled, parts))
    for sentences, answer in zip(parts, answers, strict=True):
        torch.testing.assert_close(answer, engine.pooled(sentences), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("fields", "why"), [({"stateful": True}, "goes on"), ({"mix_layer_norm": True}, "company")])
def test_what_depends_on_company_is_not_covered(fields: dict[str, Any], why: str) -> None:
    assert why in why_not_packed_elmo(model_of(**fields)) and why_not_packed_elmo(model_of()) == ""
