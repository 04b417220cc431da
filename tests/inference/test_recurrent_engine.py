"""The packed engine of recurrent models gives what the model gives."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.errors import InputError
from wenmo.inference import recurrent_engine
from wenmo.inference.engines import TorchEngine, choose_engine
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.recurrent_engine import PackedRecurrent
from wenmo.models.recurrent import Recurrent, RecurrentConfig

CPU = torch.device("cpu")
VOCAB_SIZE = 30
COVERED: list[dict[str, Any]] = [
    {"cell": "rnn", "pooling": "last"},
    {"cell": "rnn", "activation": "elu", "num_biases": 2, "bidirectional": True, "num_hidden_layers": 2},
    {"cell": "lstm"},
    {"cell": "lstm", "bidirectional": True, "num_hidden_layers": 2, "pooling": "attention", "output_tanh": False},
    {"cell": "lstm", "bidirectional": True, "num_hidden_layers": 2, "normalization": "batch", "num_biases": 2},
    {"cell": "lstm", "embedding_size": 4, "residual": True, "num_hidden_layers": 3, "pooling": "last"},
    {"cell": "lstm", "channels": "multichannel", "pooling": "mean"},
    {"cell": "gru", "num_biases": 2, "bidirectional": True, "pooling": "last"},
]


def model_of(**fields: Any) -> Recurrent:
    config = {"vocab_size": VOCAB_SIZE, "embedding_size": 5, "num_units": 4, **fields}
    model = Recurrent(RecurrentConfig(**config)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(generator=generator)
            if name.endswith("running_var"):
                tensor.abs_()
    return model


def texts_of(lengths: Any, seed: int = 0) -> list[Any]:
    numbers = np.random.default_rng(seed)
    return [numbers.integers(0, VOCAB_SIZE, length).astype(np.int32) for length in lengths]


@torch.no_grad()
def one_by_one(model: Recurrent, rows: list[Any]) -> torch.Tensor:
    return torch.cat([model(token_batch([row])).pooler_output for row in rows])


@pytest.mark.parametrize("fields", COVERED, ids=str)
def test_packed_is_the_model_for_every_length(fields: dict[str, Any]) -> None:
    model = model_of(**fields)
    rows = texts_of([7, 1, 40, 7, 0, *range(1, 30), 2])
    packed = PackedRecurrent(model).pooled(rows)
    assert packed.dtype == torch.float32
    torch.testing.assert_close(packed, one_by_one(model, rows), rtol=1e-5, atol=1e-5)
    model = model.double()
    # elu grows without bound with such weights, hence the relative bound
    torch.testing.assert_close(PackedRecurrent(model).pooled(rows), one_by_one(model, rows), rtol=1e-12, atol=1e-12)


def test_texts_go_through_in_blocks_and_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(bidirectional=True).double()
    rows = texts_of([3, 9, 1, 9, 0, 12, 2, 2, 5])
    expected = one_by_one(model, rows)
    monkeypatch.setattr(recurrent_engine, "_STATES_AT_ONCE", 8)  # two texts at a time
    engine = PackedRecurrent(model)
    assert [len(block) for block in engine._blocks(np.arange(9), np.full(9, 3))] == [2, 2, 2, 2, 1]
    torch.testing.assert_close(engine.pooled(rows), expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(recurrent_engine, "_GATES_AT_ONCE", 1)  # a text is a block, however long
    torch.testing.assert_close(engine.pooled(rows), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_words", [1, 10, VOCAB_SIZE - 1, VOCAB_SIZE])
def test_a_vocabulary_too_large_for_the_table_gives_the_same(num_words: int) -> None:
    model = model_of(bidirectional=True).double()
    rows = texts_of([9, 1, 30, 5, 17, 3])
    engine = PackedRecurrent(model, table_bytes=num_words * 2 * 4 * 4 * 8)
    assert engine._table.is_whole == (num_words == VOCAB_SIZE)
    torch.testing.assert_close(engine.pooled(rows), one_by_one(model, rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_packed_in_bfloat16_points_the_same_way(cell: str) -> None:
    model = Recurrent(RecurrentConfig(vocab_size=VOCAB_SIZE, cell=cell, num_units=64, bidirectional=True)).eval()  # type: ignore[arg-type]
    model.initialize(torch.Generator().manual_seed(0))
    rows = texts_of(range(1, 40))
    exact = PackedRecurrent(model).pooled(rows)
    rough = PackedRecurrent(model, torch.bfloat16).pooled(rows)
    assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
    assert torch.cosine_similarity(exact, rough).min() > 0.999


def test_many_threads_share_one_engine() -> None:
    engine = PackedRecurrent(model_of(bidirectional=True))
    parts = [texts_of(range(1, 20), seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.pooled, parts))
    for rows, answer in zip(parts, answers, strict=True):
        assert torch.equal(answer, engine.pooled(rows))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"normalization": "layer"}, "no layer normalisation"),
        ({"cell": "gru", "reset_gate": "before"}, "behind the product"),
    ],
)
def test_a_model_without_a_fast_loop_is_run_by_torch(fields: dict[str, Any], why: str) -> None:
    model = model_of(**fields)
    assert choose_engine(model, "auto", CPU, "float32").name == "torch"
    with pytest.raises(InputError, match=why):
        choose_engine(model, "packed", CPU, "float32")


def test_auto_takes_the_packed_engine_in_the_precision_asked_for() -> None:
    model, rows = model_of(), texts_of([3, 5])
    exact, rough = (choose_engine(model, "auto", CPU, precision) for precision in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert exact.name == rough.name == "packed"
    assert not torch.equal(exact.pooled(rows), rough.pooled(rows))


@pytest.mark.parametrize("how", ["mean", "max", "first", "last"])
def test_vectors_of_tokens_are_pooled_as_the_model_pools_them(how: str) -> None:
    model, rows = model_of(bidirectional=True).double(), texts_of([7, 1, 0, 12, 7])
    pooling = TokenPooling.named(how)
    expected = torch.cat([TorchEngine(model, CPU).pooled([row], None, pooling) for row in rows])
    torch.testing.assert_close(PackedRecurrent(model).pooled(rows, None, pooling), expected, rtol=0, atol=1e-12)
