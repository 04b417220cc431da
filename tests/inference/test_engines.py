"""Every engine gives what the model gives."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.errors import InputError
from wenmo.inference.engines import PackedTextCnn, TorchEngine, choose_engine, run_in_batches
from wenmo.models.bag import Bag, BagConfig
from wenmo.models.textcnn import TextCnn, TextCnnConfig

CPU = torch.device("cpu")
VOCAB_SIZE = 40
PADDINGS, POOLINGS, CHANNELS = ("valid", "same", "wide"), ("max", "average"), ("rand", "static", "multichannel")


def tiny(**fields):
    config = {"vocab_size": VOCAB_SIZE, "embedding_size": 5, "num_filters": 3, **fields}
    model = TextCnn(TextCnnConfig(**config)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.normal_(generator=generator)
    return model


def texts_of(lengths, seed=0):
    """Ids of texts; the id of the padding may stand in a text and then counts like any other."""
    numbers = np.random.default_rng(seed)
    return [numbers.integers(0, VOCAB_SIZE, length).astype(np.int32) for length in lengths]


@torch.no_grad()
def one_by_one(model, rows):
    return torch.cat([model(token_batch([row])).pooler_output for row in rows])


@pytest.mark.parametrize("kernel_sizes", [(3, 4, 5), (1,), (2, 2, 7)], ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_packed_is_the_model_for_every_length(padding, pooling, channels, kernel_sizes):
    model = tiny(padding=padding, pooling=pooling, channels=channels, kernel_sizes=kernel_sizes)
    rows = texts_of([7, 1, 60, 7, *range(1, 61), 2])
    packed = PackedTextCnn(model).pooled(rows)
    assert packed.dtype == torch.float32
    torch.testing.assert_close(packed, one_by_one(model, rows), rtol=1e-5, atol=1e-5)
    model = model.double()
    torch.testing.assert_close(PackedTextCnn(model).pooled(rows), one_by_one(model, rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_packed_is_the_model_for_a_text_without_tokens(padding, pooling):
    model = tiny(padding=padding, pooling=pooling).double()
    rows = texts_of([0, 3, 0])
    torch.testing.assert_close(PackedTextCnn(model).pooled(rows), one_by_one(model, rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_without_any_ngram_the_packed_features_are_zero(pooling):
    pooled = PackedTextCnn(tiny(padding="wide", kernel_sizes=(1,), pooling=pooling)).pooled(texts_of([0, 4]))
    assert pooled[0].tolist() == [0.0, 0.0, 0.0]
    assert pooled[1].any()


def test_packed_is_equation_2_worked_by_hand():
    model = TextCnn(TextCnnConfig(vocab_size=4, embedding_size=1, kernel_sizes=(2,), num_filters=1))
    with torch.no_grad():
        model.embeddings.words.weight.copy_(torch.tensor([[7.0], [1.0], [2.0], [-5.0]]))
        model.convs[0].weight.copy_(torch.tensor([[[10.0, 1.0]]]))
        model.convs[0].bias.fill_(0.5)
    rows = [np.array(ids, np.int32) for ids in ([1, 2, 1], [2], [3, 3])]
    # "1 2 1": 10*1 + 1*2 + 0.5 = 12.5 and 10*2 + 1*1 + 0.5 = 21.5. "2", then a zero vector: 10*2 + 0.5 = 20.5.
    # "3 3": 10*-5 + 1*-5 + 0.5 is under 0.
    assert PackedTextCnn(model).pooled(rows).tolist() == [[21.5], [20.5], [0.0]]


@pytest.mark.parametrize("num_words", [1, 10, VOCAB_SIZE - 1])
def test_a_vocabulary_too_large_for_the_table_gives_the_same(num_words):
    model = tiny().double()
    rows = texts_of([9, 1, 30, 5, 17, 3])
    bytes_of_a_word = 12 * 3 * 8
    engine = PackedTextCnn(model, table_bytes=num_words * bytes_of_a_word)
    torch.testing.assert_close(engine.pooled(rows), one_by_one(model, rows), rtol=0, atol=1e-12)
    assert engine._table._whole is None
    whole = PackedTextCnn(model, table_bytes=VOCAB_SIZE * bytes_of_a_word)
    whole.pooled(rows)
    assert whole._table._whole is not None


def test_more_texts_of_one_length_than_are_taken_at_once_keep_their_order():
    model = tiny()
    rows = texts_of([3] * 3000 + [5000] + [3] * 10)
    pooled = PackedTextCnn(model).pooled(rows)
    torch.testing.assert_close(pooled, TorchEngine(model, CPU).pooled(rows), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pooled[2990:], one_by_one(model, rows[2990:]), rtol=1e-5, atol=1e-5)


def test_packed_in_bfloat16_points_the_same_way():
    model = tiny(num_filters=50, embedding_size=40)
    rows = texts_of(range(1, 40))
    exact, rough = PackedTextCnn(model).pooled(rows), PackedTextCnn(model, "bfloat16").pooled(rows)
    assert not torch.equal(exact, rough)
    assert torch.cosine_similarity(exact, rough).min() > 0.999


def test_many_threads_share_one_packed_engine():
    model = tiny()
    engine = PackedTextCnn(model)
    parts = [texts_of(range(1, 30), seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(engine.pooled, parts))
    for rows, answer in zip(parts, answers, strict=True):
        assert torch.equal(answer, engine.pooled(rows))


def test_batches_come_back_in_the_order_of_the_texts():
    rows = texts_of([5, 1, 9, 1, 700, 4])
    lengths = run_in_batches(rows, lambda batch: batch.num_tokens, CPU, "float32")
    assert lengths.tolist() == [5, 1, 9, 1, 700, 4]


@pytest.mark.parametrize(
    ("model", "runtime", "chosen"),
    [
        (tiny(), "auto", "packed"),
        (tiny(), "packed", "packed"),
        (tiny(), "torch", "torch"),
        (tiny(pooling="kmax", num_maxima=2), "auto", "torch"),
        (Bag(BagConfig(vocab_size=9)), "auto", "torch"),
    ],
)
def test_auto_takes_the_fastest_engine_that_covers_the_model(model, runtime, chosen):
    assert choose_engine(model, runtime, CPU, "float32").name == chosen


@pytest.mark.parametrize(
    ("model", "runtime", "device", "why"),
    [
        (tiny(pooling="kmax", num_maxima=2), "packed", CPU, "kmax"),
        (Bag(BagConfig(vocab_size=9)), "packed", CPU, "a Bag"),
        (tiny(), "packed", torch.device("meta"), "runs on the CPU, and the device is meta"),
        (tiny(), "onnx", CPU, "the runtimes are auto, torch, packed"),
    ],
)
def test_a_runtime_that_cannot_run_the_model_is_refused(model, runtime, device, why):
    with pytest.raises(InputError, match=why):
        choose_engine(model, runtime, device, "float32")
