"""The packed engine of Transformers gives what the model gives, for every family that it covers."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wenmo.data.batching import token_batch
from wenmo.errors import InputError
from wenmo.inference import packed_attention, transformer_engine
from wenmo.inference.engines import TorchEngine, choose_engine
from wenmo.inference.loading import load
from wenmo.inference.packed_attention import Group, PackedAttention, groups_of
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.transformer_engine import PackedTransformer
from wenmo.models.bert import Bert, BertConfig
from wenmo.models.ernie import Ernie, ErnieConfig
from wenmo.models.gpt import Gpt, GptConfig
from wenmo.models.transformer import TransformerConfig, TransformerEncoder

CPU = torch.device("cpu")
VOCAB_SIZE = 30
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 70,
}
FAMILIES: dict[str, Callable[..., Any]] = {
    "bert": lambda **sizes: Bert(BertConfig(**sizes)),
    "bert, no pooler": lambda **sizes: Bert(BertConfig(pooler="first", **sizes)),
    "bert, norm first": lambda **sizes: Bert(BertConfig(norm_first=True, **sizes)),
    "roberta": lambda **sizes: Bert(BertConfig(position_offset=2, type_vocab_size=1, layer_norm_eps=1e-5, **sizes)),
    "electra": lambda **sizes: Bert(BertConfig(embedding_size=6, pooler_act="gelu", **sizes)),
    "distilbert": lambda **sizes: Bert(BertConfig(type_vocab_size=0, pooler_act="relu", **sizes)),
    "ernie": lambda **sizes: Ernie(ErnieConfig(**sizes)),
    "ernie2": lambda **sizes: Ernie(ErnieConfig(hidden_act="gelu", type_vocab_size=4, task_type_vocab_size=3, **sizes)),
    "transformer": lambda **sizes: TransformerEncoder(TransformerConfig(**sizes)),
    "transformer, norm first": lambda **sizes: TransformerEncoder(
        TransformerConfig(norm_first=True, pooling="max", position_embedding_type="learned", **sizes)
    ),
    "transformer, given vectors": lambda **sizes: TransformerEncoder(
        TransformerConfig(channels="multichannel", embedding_size=5, pooling="first", hidden_act="gelu_new", **sizes)
    ),
    "gpt": lambda **sizes: Gpt(GptConfig(**sizes)),
    "gpt2": lambda **sizes: Gpt(GptConfig(norm_first=True, **sizes)),
}
POOLINGS = ["mean", "max", "cls", "last", "last4", "mix", "layer:0", "layer:1", "layer:-1"]
LENGTHS = [7, 1, 70, 7, 0, *range(1, 20), 33, 33, 2, 7, 64, 31]


def model_of(family: str, std: float = 0.3, **sizes: int) -> Any:
    """Random in every weight, so that none can be left out unseen."""
    model = FAMILIES[family](**{**SIZES, **sizes}).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.normal_(std=std, generator=generator)
            if "norm.weight" in name:
                tensor.add_(1)
    return model


def texts_of(lengths: Any, seed: int = 0) -> list[Any]:
    numbers = np.random.default_rng(seed)
    return [numbers.integers(0, VOCAB_SIZE, length).astype(np.int32) for length in lengths]


def types_of(rows: list[Any], seed: int = 1) -> list[Any]:
    """A pair in each row: the second text begins anywhere."""
    numbers = np.random.default_rng(seed)
    return [(np.arange(len(row)) >= numbers.integers(0, len(row) + 1)).astype(np.int32) for row in rows]


@torch.no_grad()
def one_by_one(
    model: nn.Module, rows: list[Any], types: list[Any] | None = None, how: TokenPooling | None = None
) -> Tensor:
    """By the model itself, each text alone."""
    engine = TorchEngine(model, CPU)
    return torch.cat([engine.pooled([row], types and [types[i]], how) for i, row in enumerate(rows)])


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_is_the_model_for_every_length_alone_and_in_company(family: str) -> None:
    rows = texts_of(LENGTHS)
    model = model_of(family)
    packed = PackedTransformer(model).pooled(rows)
    assert packed.dtype == torch.float32
    torch.testing.assert_close(packed, one_by_one(model, rows), rtol=1e-5, atol=1e-5)
    model = model.double()
    engine = PackedTransformer(model)
    together = engine.pooled(rows)
    torch.testing.assert_close(together, one_by_one(model, rows), rtol=0, atol=1e-12)
    alone = torch.cat([engine.pooled([row]) for row in rows])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "electra", "transformer, norm first", "gpt2"])
def test_vectors_of_tokens_are_pooled_as_the_model_pools_them(family: str, pooling: str) -> None:
    model, rows, how = model_of(family, num_hidden_layers=6).double(), texts_of(LENGTHS), TokenPooling.named(pooling)
    found = PackedTransformer(model).pooled(rows, None, how)
    torch.testing.assert_close(found, one_by_one(model, rows, None, how), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", [TokenPooling("last", "mix"), TokenPooling("first", 0), TokenPooling("max", -2)])
def test_one_token_or_the_maximum_of_any_layers(how: TokenPooling) -> None:
    model, rows = model_of("bert").double(), texts_of(LENGTHS)
    found = PackedTransformer(model).pooled(rows, None, how)
    torch.testing.assert_close(found, one_by_one(model, rows, None, how), rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", [name for name in FAMILIES if "roberta" not in name])
def test_both_texts_of_a_pair_are_told_apart(family: str) -> None:
    model, rows = model_of(family).double(), texts_of(LENGTHS)
    types = types_of(rows)
    packed = PackedTransformer(model)
    found = packed.pooled(rows, types)
    torch.testing.assert_close(found, one_by_one(model, rows, types), rtol=0, atol=1e-12)
    has_segments = model.embeddings.segments is not None
    assert torch.equal(found, packed.pooled(rows)) != has_segments
    how = TokenPooling()
    torch.testing.assert_close(packed.pooled(rows, types, how), one_by_one(model, rows, types, how), rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_in_bfloat16_points_the_same_way(family: str) -> None:
    # As wide as small published models; weights as they begin, which leaves the scores of attention small.
    model = model_of(family, 0.05, hidden_size=128, num_attention_heads=4, intermediate_size=256)
    rows = texts_of(length for length in LENGTHS if length)
    for how in (None, TokenPooling()):
        exact = PackedTransformer(model).pooled(rows, None, how)
        rough = PackedTransformer(model, torch.bfloat16).pooled(rows, None, how)
        assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
        assert torch.cosine_similarity(exact, rough).min() > 0.999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_batches_have_equal_answers_from_many_threads(dtype: torch.dtype) -> None:
    engine = PackedTransformer(model_of("bert"), dtype)
    parts = [texts_of(range(1, 20), seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.pooled, parts))
    for rows, answer in zip(parts, answers, strict=True):
        assert torch.equal(answer, engine.pooled(rows))


def test_texts_go_through_in_blocks_and_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_of("bert").double(), texts_of([3, 9, 1, 9, 0, 12, 2, 2, 5])
    expected = one_by_one(model, rows)
    monkeypatch.setattr(transformer_engine, "_TOKENS_AT_ONCE", 12)
    engine = PackedTransformer(model)
    blocks = [block.rows.tolist() for block in engine.blocks(rows, None, TokenPooling())]
    assert blocks == [[5], [1], [3], [8, 0, 6, 7], [2]]
    torch.testing.assert_close(engine.pooled(rows), expected, rtol=0, atol=1e-12)


def test_a_text_read_off_one_token_needs_no_others_in_the_last_layer() -> None:
    rows = texts_of([3, 9, 9])
    engine = PackedTransformer(model_of("bert"))
    (first,) = engine.blocks(rows, None, TokenPooling("first"))
    (mean,) = engine.blocks(rows, None, TokenPooling("mean"))
    assert (len(first.states), len(mean.states)) == (3, 21)
    torch.testing.assert_close(first.states, mean.states[[0, 9, 18]])


def test_a_text_that_is_too_long_is_refused_as_the_model_refuses_it() -> None:
    model = model_of("bert")
    for engine in (PackedTransformer(model), TorchEngine(model, CPU)):
        with pytest.raises(InputError, match="length 71 is over max_position_embeddings 70"):
            engine.pooled(texts_of([5, 71]))


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"layers 0 \(the embeddings\) to 2"):
        PackedTransformer(model_of("bert")).pooled(texts_of([5]), None, TokenPooling.named("layer:3"))


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_takes_the_packed_engine_in_the_precision_asked_for(family: str) -> None:
    model, rows = model_of(family), texts_of([3, 5])
    exact, rough = (choose_engine(model, "auto", CPU, precision) for precision in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert exact.name == rough.name == "packed"
    assert not torch.equal(exact.pooled(rows), rough.pooled(rows))
    assert choose_engine(model, "torch", CPU, "float32").name == "torch"


@pytest.mark.parametrize("runtime", ["packed", "torch"])
def test_long_texts_are_read_in_windows(make_folder: Callable[..., Path], runtime: str) -> None:
    data = {"max_length": 6, "long_texts": "windows", "window_overlap": 0.25}
    used = load(make_folder("transformer", data=data, max_position_embeddings=6), runtime=runtime)
    texts = ["good bad film " * 20, "good", "the film is a good bad", ""]
    with torch.no_grad():
        expected = used.task.answers(token_batch(used.tokenizer.encode_batch(texts))).numpy()
    assert used.runtime == runtime
    np.testing.assert_allclose(used.probabilities(texts), expected, atol=1e-5)
    np.testing.assert_allclose(
        used.embed(texts, "mean"), np.concatenate([used.embed(text, "mean") for text in texts]), atol=1e-5
    )


def test_groups_are_texts_of_one_length() -> None:
    assert groups_of(np.array([5, 5, 3, 1, 1, 1])) == [Group(0, 2, 5), Group(10, 1, 3), Group(13, 3, 1)]
    assert groups_of(np.array([4])) == [Group(0, 1, 4)]


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (1, 1 << 22), (20_000, 30_000), (1 << 22, 1 << 22)])
@pytest.mark.parametrize("padding", [0, 4, 1000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_equation_1_in_every_precision(
    dtype: torch.dtype, padding: int, at_once: int, most: int, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All fused; one text at a time; long ones fused, of the others some at a time; all at once.
    monkeypatch.setattr(packed_attention, "_WEIGHTS_AT_ONCE", at_once)
    monkeypatch.setattr(packed_attention, "_MOST_WEIGHTS", most)
    monkeypatch.setattr(packed_attention, "_MOST_PADDING", padding)
    lengths = np.repeat([100, 64, 63, 31, 30, 17, 15, 14, 1], [1, 3, 1, 2, 1, 40, 1, 1, 2])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(int(lengths.sum()), 3, 2, 8, dtype=torch.float64, generator=generator).to(dtype)
    found = PackedAttention(lengths, 2, dtype, causal=causal)(x.flatten(1))
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    for start, end in itertools.pairwise(np.cumsum([0, *lengths]).tolist()):
        q, k, v = x[start:end].double().permute(1, 2, 0, 3)
        later = torch.ones(end - start, end - start).triu(1).bool() & causal
        expected = torch.softmax((q @ k.transpose(1, 2)).masked_fill(later, -torch.inf), dim=-1) @ v
        torch.testing.assert_close(
            found[start:end].double(), expected.transpose(0, 1).flatten(1), rtol=0, atol=tolerance
        )


def test_texts_of_nearly_one_length_are_looked_at_together_where_that_is_faster() -> None:
    if not packed_attention._multiplies_bfloat16():
        pytest.skip("this processor does not multiply in bfloat16")
    lengths = np.array([20, 20, 18, 17, 9, 9])
    ends = [rows.stop for rows, _ in PackedAttention(lengths, 2, torch.bfloat16)._parts]
    assert ends == [93]
    lengths = np.array([60, 59, 20, 19])
    assert [rows.stop for rows, _ in PackedAttention(lengths, 2, torch.bfloat16)._parts] == [119, 158]
    assert [rows.stop for rows, _ in PackedAttention(lengths, 2, torch.float32)._parts] == [60, 119, 139, 158]
