"""Language models: what is foretold from what, how it is counted, and what is written."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.registry import build_model, preset, with_sizes
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.text.tokenizer_config import TokenizerConfig

CHARACTERS = TokenizerConfig(segmenter="code-points", lowercase=False, fold_width=False)
SMALL = {"embedding_size": 8, "hidden_size": 8, "num_units": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL |= {"embedding_dropout_prob": 0, "recurrent_dropout_prob": 0}


def settled(rows: list[Row], model: str = "gpt2", **values: Any) -> GenerationConfig:
    return GenerationConfig(**values).settled(rows, preset(model).default_config(), None, "data")


def language_model(config: GenerationConfig, vocab_size: int, model: str = "gpt2") -> Generation:
    default = preset(model).default_config()
    sizes = {name: size for name, size in SMALL.items() if name in default.to_dict()}
    settings = with_sizes(type(default).from_dict({**default.to_dict(), **sizes}), vocab_size, 0)
    task = config.build(build_model(settings), settings, None)
    assert isinstance(task, Generation)
    task.initialize(torch.Generator().manual_seed(0))
    return task.eval()


def test_every_token_of_a_stream_but_the_first_is_foretold_once() -> None:
    rows = [Row("abcabcabca")]
    config = settled(rows)
    tokenizer = config.make_tokenizer(rows, CHARACTERS)
    columns = config.columns(rows, tokenizer, LongTexts(4))
    inputs, labels = columns["input_ids"], columns["labels"]
    assert [len(each) for each in inputs] == [4, 4, 1]
    ids = tokenizer.encode_batch(["abcabcabca"])[0]
    assert np.concatenate(inputs).tolist() == ids[:-1].tolist()
    assert np.concatenate(labels).tolist() == ids[1:].tolist()
    assert columns["characters"] == [[4], [4], [1]]
    assert config.count_cut(TokenStore.from_rows(**columns), LongTexts(4)) == 0


def test_a_text_is_foretold_from_its_beginning_to_its_end_behind_its_label() -> None:
    rows = [Row("ab", "good"), Row("b", None), Row("abab", "bad")]
    config = settled(rows)
    assert (config.unit, config.labels) == ("text", ("bad", "good"))
    tokenizer = config.make_tokenizer(rows, CHARACTERS)
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "b", "a"]
    assert config.vocab_size(tokenizer) == 8
    columns = config.columns(rows, tokenizer, LongTexts(4))
    assert [each.tolist() for each in columns["input_ids"]] == [[7, 5, 4], [2, 4], [6, 5, 4, 5]]
    assert [each.tolist() for each in columns["labels"]] == [[5, 4, 3], [4, 3], [5, 4, 5, 4]]  # the last one is cut
    with pytest.raises(InputError, match="the label 'odd' was not seen in training; known: bad, good"):
        config.columns([Row("a", "odd")], tokenizer, LongTexts(4))


def test_a_stream_is_cut_into_parts_where_a_share_of_it_ends() -> None:
    parts = GenerationConfig().split([Row("0123456789", source="x.txt:1")], [0.7, 0.2, 0.1], seed=3, by="random")
    assert [[row.text for row in part] for part in parts] == [["0123456"], ["78"], []]


@pytest.mark.parametrize("model", ["gpt", "gpt2", "rnn", "lstm", "gru"])
def test_the_loss_is_the_mean_of_what_each_token_costs(model: str) -> None:
    rows = [Row("to be or not to be"), Row("be")]
    config = settled(rows, model)
    tokenizer = config.make_tokenizer(rows, CHARACTERS)
    store = TokenStore.from_rows(**config.columns(rows, tokenizer, LongTexts(32)))
    task = language_model(config, config.vocab_size(tokenizer), model)
    loss, count = task(task.example(store, np.array([0, 1])))
    assert int(count) == 18 + 1 + 2 + 1
    answers = task.answer_store(store, torch.device("cpu"))
    # The same numbers in other batches: float32 sums of some twenty terms.
    assert answers[:, 0].sum() == pytest.approx(loss.item(), rel=1e-5)
    assert answers[:, 1].tolist() == [19, 3]
    measured = task.measure(task.gold(store), answers)
    entropy = loss.item() / 22
    assert measured["cross_entropy"]["value"] == pytest.approx(entropy, rel=1e-5)
    assert measured["perplexity"]["value"] == pytest.approx(math.exp(entropy), rel=1e-5)
    assert measured["bits_per_character"]["value"] == pytest.approx(loss.item() / math.log(2) / 20, rel=1e-5)
    assert task.score(task.gold(store), answers) == measured["cross_entropy"]["value"]


def test_it_learns_a_line_by_heart_and_says_it(tmp_path: Path) -> None:
    text = "the quick brown fox jumps over the lazy dog\n"
    rows = [Row(text * 2)]
    config = settled(rows, "gru")
    tokenizer = config.make_tokenizer(rows, CHARACTERS)
    store = TokenStore.from_rows(**config.columns(rows, tokenizer, LongTexts(44)))
    task = language_model(config, config.vocab_size(tokenizer), "gru").train()
    optimizer = torch.optim.Adam(task.parameters(), lr=0.05)
    for _ in range(150):
        torch.manual_seed(0)
        loss, count = task(task.example(store, np.arange(len(store))))
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    task.eval()
    [ids] = tokenizer.encode_batch([text[:24]])
    with torch.no_grad():
        states = task.extractor(token_batch([ids])).last_hidden_state
        said = task.logits(states)[0, 3:-1].argmax(dim=-1)
    assert tokenizer.decode(said.tolist()) == text[4:24]


@pytest.mark.parametrize(
    ("rows", "model", "message"),
    [
        ([Row("a"), Row("b")], "bilstm", "reads from both ends"),
        ([Row("a", ("x", "y")), Row("b", ("x",))], "gpt2", "rows have several"),
    ],
)
def test_what_cannot_be_learnt_is_refused(rows: list[Row], model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settled(rows, model)


def test_a_stream_of_blank_lines_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(InputError, match="there is no text to learn from"):
        GenerationConfig().read(str(tmp_path / "blank.txt"))


def test_a_tokenizer_that_loses_white_space_is_refused() -> None:
    with pytest.raises(InputError, match="no text can be put together again; use code-points, bpe or unigram"):
        settled([Row("a b")]).make_tokenizer([Row("a b")], TokenizerConfig(segmenter="words"))


def test_models_are_compared_row_by_row() -> None:
    task = language_model(GenerationConfig(unit="stream"), 9)
    good, bad = np.full((40, 2), (10.0, 9.0)), np.full((40, 2), (12.0, 9.0))
    assert task.differs_by_chance(np.ones(40), good, bad) < 0.001
    assert task.differs_by_chance(np.ones(40), good, good) == 1
    assert task.lower_is_better
