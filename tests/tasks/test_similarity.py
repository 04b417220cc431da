"""Similarity: settings, cosine and regression, loss, learning."""

from typing import Any

import pytest
import torch

from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.registry import build_model, preset
from wenmo.tasks.similarity import Similarity, SimilarityConfig, number_of
from wenmo.tasks.task import Example
from wenmo.text.tokenizer_config import TokenizerConfig

MODEL = preset("bag").load_config_class()(vocab_size=9, embedding_size=4, max_ngram=1)  # type: ignore[call-arg]


def task_of(**fields: Any) -> Similarity:
    config = SimilarityConfig(**{"low": 0.0, "high": 5.0, "dropout_prob": 0.0, **fields})
    task = config.build(build_model(MODEL), MODEL, None)
    task.initialize(torch.Generator().manual_seed(0))
    return task.eval()


def batch_of(*texts: list[int]) -> TokenBatch:
    length = max(map(len, texts))
    ids = torch.tensor([text + [0] * (length - len(text)) for text in texts])
    return TokenBatch(input_ids=ids, attention_mask=(ids > 0).long())


def row(label: Any, n: int = 0) -> Row:
    return Row(text=f"a{n}", text_b=f"b{n}", label=label, source=f"x.tsv:{n}")


def test_the_answer_to_siamese_texts_is_the_cosine_of_their_vectors() -> None:
    task = task_of()
    words = task.extractor.embeddings.words.weight  # type: ignore[union-attr]
    found = task.answers(batch_of([2, 3], [4]), batch_of([3], [4]))
    mean = (words[2] + words[3]) / 2
    expected = mean @ words[3] / (mean.norm() * words[3].norm())
    torch.testing.assert_close(found, torch.stack([expected, torch.ones(())]))


def test_a_joined_pair_has_a_linear_function_of_its_vector() -> None:
    task = task_of(pair="joined", pooling="max")
    words = task.extractor.embeddings.words.weight  # type: ignore[union-attr]
    assert task.regression is not None
    vector = torch.maximum(words[2], words[5])
    expected = task.regression.weight[0] @ vector + task.regression.bias[0]
    torch.testing.assert_close(task.answers(batch_of([2, 5]))[0], expected)


def test_the_loss_is_the_squared_error_of_what_counts() -> None:
    task = task_of()
    first, second = batch_of([2], [3], [4]), batch_of([2], [4], [5])
    labels = torch.tensor([0.25, 0.5, float(IGNORED_LABEL)])
    loss, count = task(Example(batch=first, batch_b=second, labels=labels))
    said = task.answers(first, second)
    torch.testing.assert_close(loss, (1 - 0.25) ** 2 + (said[1] - 0.5) ** 2)
    assert count == 2


def test_the_numbers_of_a_store_are_those_of_the_data_from_0_to_1() -> None:
    config = SimilarityConfig().settled([row("5", 1), row("1.0", 2), row("3.5", 3)], MODEL, None, "x.tsv")
    assert (config.low, config.high) == (1.0, 5.0)
    tokenizer = config.make_tokenizer([row("5")], TokenizerConfig())
    columns = config.columns([row("5", 1), row("2", 2), row("3.3", 3)], tokenizer, LongTexts(9, "head"))
    store = TokenStore.from_rows(**columns)
    assert config.build(build_model(MODEL), MODEL, None).gold(store) == pytest.approx([1.0, 0.25, 0.575])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("yes"), row("no")], "x.tsv:0: the label 'yes' is no number"),
        ([row(None)], "is no number"),
        ([row("nan")], "is no number"),
        ([row("2"), row("2")], "every pair has the number 2"),
        ([Row(text="a", label="1", source="x.tsv:1")], "similarity is of pairs|reads pairs"),
    ],
)
def test_what_cannot_be_learnt_is_said(rows: list[Row], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimilarityConfig().settled(rows, MODEL, None, "x.tsv")


def test_numbers_are_no_kinds_of_which_each_part_wants_its_share() -> None:
    rows = [row(str(n / 10), n) for n in range(40)]
    train, dev = SimilarityConfig().split(rows, [0.8, 0.2], seed=0, by="random")
    assert (len(train), len(dev)) == (32, 8)
    assert {number_of(each) for each in [*train, *dev]} == {n / 10 for n in range(40)}
    assert all(each.label is not None for each in dev)


@pytest.mark.parametrize("pair", ["siamese", "joined"])
def test_a_few_pairs_are_learnt_by_heart(pair: Any) -> None:
    task = task_of(pair=pair).train()
    first, second = [[2], [3], [4], [5]], [[6], [7], [8], [6]]
    labels = torch.tensor([1.0, 0.0, 1.0, 0.0])
    if pair == "siamese":
        example = Example(batch=batch_of(*first), batch_b=batch_of(*second), labels=labels)
    else:
        both = [a + b for a, b in zip(first, second, strict=True)]
        example = Example(batch=batch_of(*both), labels=labels)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss, count = task(example)
        (loss / count).backward()
        optimizer.step()
    assert loss.item() / int(count) < 0.01
