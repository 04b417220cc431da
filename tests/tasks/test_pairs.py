"""Pairs of texts: ids, batches, vectors, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wenmo.data.batching import row_places, second_batch, store_batch, token_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.bag import BagConfig
from wenmo.models.config import ModelConfig
from wenmo.models.linear import Linear, LinearConfig
from wenmo.models.registry import build_model
from wenmo.models.textcnn import TextCnnConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.pairs import encode_texts, one_above_the_other, pair_vector, refuse_other_kind, resolved_pair
from wenmo.tasks.task import Example
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

WORDS = TokenizerConfig(segmenter="whitespace")
ROWS_A, ROWS_B = [[2, 3, 4, 5], [6], [7, 8]], [[3, 2], [6, 7, 8, 9, 2], [7]]
TEXTCNN = TextCnnConfig(vocab_size=12, embedding_size=5, num_filters=3, kernel_sizes=(2, 3))
NETWORKS: list[ModelConfig] = [TEXTCNN, BagConfig(vocab_size=12, embedding_size=5, num_buckets=8)]


def tokenizer(separator: bool = False) -> Tokenizer:
    return Tokenizer.train(["a b c d e f"], TokenizerConfig(segmenter="whitespace", separator=separator))


def randomized(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module.double().eval()


def classifier(config: ModelConfig) -> Classification:
    task = Classification(build_model(config), config, ClassificationConfig(labels=("no", "yes"), pair="siamese"))
    randomized(task)
    return task


def store() -> TokenStore:
    return TokenStore.from_rows(input_ids=ROWS_A, input_ids_b=ROWS_B, labels=[[0], [1], [0]])


def test_the_vector_of_a_pair_by_hand() -> None:
    found = pair_vector(torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 3.0]]))
    assert found.tolist() == [[1, -2, 4, 3, 3, 5, 4, -6]]


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: config.model_type)
def test_both_texts_in_one_call_are_as_in_two_calls(config: ModelConfig) -> None:
    task = classifier(config)
    rows = np.arange(3)
    first, second = store_batch(store(), rows), second_batch(store(), rows)
    assert second is not None
    together = task.vectors(first, second)
    apart = pair_vector(task.extractor(first).pooler_output, task.extractor(second).pooler_output)
    assert together.shape == (3, 4 * config.pooler_size)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: config.model_type)
def test_swapping_the_texts_swaps_their_vectors_and_leaves_the_comparison(config: ModelConfig) -> None:
    task = classifier(config)
    rows = np.arange(3)
    first, second = store_batch(store(), rows), second_batch(store(), rows)
    assert second is not None
    u, v, difference, product = task.vectors(first, second).chunk(4, dim=1)
    swapped = task.vectors(second, first).chunk(4, dim=1)
    for found, wanted in zip(swapped, (v, u, difference, product), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_company_never_changes_a_pair() -> None:
    linear = LinearConfig(vocab_size=12, num_outputs=2, compares=True)
    for config in (*NETWORKS, linear):
        task = classifier(config)
        together = task.answers(*_batches(range(3)))
        for row in range(3):
            alone = task.answers(*_batches([row]))[0]
            torch.testing.assert_close(alone, together[row], rtol=0, atol=1e-6)  # the answers are float32


def _batches(rows: object) -> tuple[object, object]:
    chosen = np.fromiter(rows, np.int64)  # type: ignore[call-overload]
    return store_batch(store(), chosen), second_batch(store(), chosen)


def test_the_loss_of_a_pair_reaches_the_words_of_both_texts() -> None:
    task = classifier(BagConfig(vocab_size=12, embedding_size=5, max_ngram=1)).train()
    example = task.example(store(), np.array([0]))
    assert isinstance(example, Example) and example.batch_b is not None
    loss, count = task(Example(batch=example.batch.to("cpu"), batch_b=example.batch_b, labels=example.labels))
    loss.backward()
    touched = task.extractor.embeddings.words.weight.grad.abs().sum(dim=1) > 0  # type: ignore[union-attr]
    assert count == 1
    assert touched.nonzero().flatten().tolist() == sorted({*ROWS_A[0], *ROWS_B[0]})


def test_a_pair_takes_the_places_of_its_longer_text_twice() -> None:
    assert row_places(store().columns).tolist() == [8, 10, 4]


def test_batches_of_another_size_are_no_pairs() -> None:
    one, two = token_batch([np.array([2], np.int32)]), token_batch([np.array([2], np.int32)] * 2)
    with pytest.raises(ValueError, match="same number of texts"):
        one_above_the_other(one, two)


def test_joined_texts_have_a_separator_and_types() -> None:
    encoded = encode_texts([("a b", "c"), ("d", "")], tokenizer(separator=True), "joined", LongTexts())
    assert [ids.tolist() for ids in encoded.columns["input_ids"]] == [[3, 4, 2, 5], [6, 2]]
    assert [types.tolist() for types in encoded.columns["token_type_ids"]] == [[0, 0, 0, 1], [0, 0]]
    batch = store_batch(TokenStore.from_rows(**encoded.columns), np.array([0, 1]))
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def test_of_joined_texts_the_longer_one_gives_way() -> None:
    texts = [("a a a a a a", "b"), ("a", "b b b b b b"), ("a a a a", "b b b b"), ("a", "b")]
    encoded = encode_texts(texts, tokenizer(separator=True), "joined", LongTexts(5))
    a, b, sep = 3, 4, 2
    assert [ids.tolist() for ids in encoded.columns["input_ids"]] == [
        [a, a, a, sep, b],
        [a, sep, b, b, b],
        [a, a, sep, b, b],
        [a, sep, b],
    ]
    assert encoded.cut == [0, 1, 2]


def test_each_siamese_text_has_its_own_limit() -> None:
    encoded = encode_texts([("a b c", "d"), ("a", "b")], tokenizer(), "siamese", LongTexts(2))
    assert [ids.tolist() for ids in encoded.columns["input_ids"]] == [[2, 3], [2]]
    assert [ids.tolist() for ids in encoded.columns["input_ids_b"]] == [[5], [3]]
    assert encoded.cut == [0]


def test_the_separator_stands_in_no_text(tmp_path: Path) -> None:
    config = TokenizerConfig(segmenter="whitespace", lowercase=False, separator=True)
    with_separator = Tokenizer.train(["a [SEP] b"], config)
    assert with_separator.vocabulary == ["[PAD]", "[UNK]", "[SEP]", "a", "b"]
    assert with_separator.encode_batch(["a [SEP]"])[0].tolist() == [3, 1]
    with_separator.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert (again.sep_token_id, again.vocabulary) == (2, with_separator.vocabulary)
    assert tokenizer().sep_token_id is None


def test_how_pairs_are_read_follows_the_data() -> None:
    pairs, singles = [Row("a", text_b="b")] * 2, [Row("a", source="f:2")] * 2
    assert resolved_pair("none", pairs, "siamese") == "siamese"
    assert resolved_pair("none", pairs, "joined") == "joined"
    assert resolved_pair("joined", pairs, "siamese") == "joined"
    assert resolved_pair("none", singles, "siamese") == "none"
    with pytest.raises(InputError, match=r"f:2: a single text, and task\.pair=joined reads pairs"):
        resolved_pair("joined", singles, "siamese")
    with pytest.raises(InputError, match="among rows of the other kind"):
        resolved_pair("none", [*pairs, *singles], "siamese")


@pytest.mark.parametrize(
    ("text", "pair", "said"),
    [
        ("a", "siamese", "reads pairs"),
        (("a", "b"), "none", "single texts are read"),
        (("a",), "joined", "tuple"),
        (3, "none", "a"),
    ],
)
def test_a_text_of_the_other_kind_is_refused_with_the_fix(text: object, pair: str, said: str) -> None:
    with pytest.raises(InputError, match=f"here.*{said}"):
        refuse_other_kind(text, pair, "here")  # type: ignore[arg-type]


# ---- the linear comparison -------------------------------------------------------------------------------------------


@pytest.fixture
def comparing() -> Callable[..., Linear]:
    def make(**values: object) -> Linear:
        config = LinearConfig(vocab_size=6, num_outputs=1, compares=True, **values)  # type: ignore[arg-type]
        return Linear(config).double()

    return make


def test_the_linear_comparison_by_hand(comparing: Callable[..., Linear]) -> None:
    model = comparing(counts="binary", use_idf=False, normalize=False)
    with torch.no_grad():  # rows 0-5: shared; 6-11: the first alone; 12-17: the second alone
        model.weights.weight.copy_(torch.arange(18.0).unsqueeze(1))
    ids = [np.array(row, np.int32) for row in ([2, 3, 3, 1], [5], [3, 4, 1], [])]  # 1 is unknown and left out
    # First pair, "2 3 3" and "3 4": 3 is shared (3), 2 is the first's alone (6 + 2), 4 the second's (12 + 4). Second
    # pair, "5" and nothing: 6 + 5.
    assert model.compare(token_batch(ids)).tolist() == [[3 + 8 + 16], [11]]


def test_the_linear_comparison_shares_the_smaller_value(comparing: Callable[..., Linear]) -> None:
    model = comparing(counts="logarithmic", use_idf=True, normalize=True)
    model.idf.copy_(torch.tensor([1, 1, 2, 3, 4, 5.0]))
    both = token_batch([np.array(row, np.int32) for row in ([2, 3, 3], [3, 4])])
    assert both.input_ids is not None
    u, v = (np.zeros(6), np.zeros(6))
    u[[2, 3]] = np.array([2, 3 * (1 + np.log(2))]) / np.hypot(2, 3 * (1 + np.log(2)))
    v[[3, 4]] = np.array([3, 4]) / 5
    shared = np.minimum(u, v)
    wanted = np.concatenate([shared, u - shared, v - shared])
    ids, values = model.compared(both)
    found = torch.zeros(18, dtype=torch.float64).index_add_(0, ids[0], values[0])
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=0, atol=1e-12)


def test_a_model_that_compares_reads_no_single_text(comparing: Callable[..., Linear]) -> None:
    with pytest.raises(ValueError, match="pass both to compare"):
        comparing()(token_batch([np.array([2], np.int32)]))
