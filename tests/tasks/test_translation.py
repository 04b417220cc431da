"""The task: what it costs to write wrongly, what is learnt by heart, and rows that cannot be learnt from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wenmo.data.batching import row_places
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.registry import build_model, preset, with_sizes
from wenmo.tasks.translation import Translation, TranslationConfig
from wenmo.text.loading import train_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

ROWS = [
    Row(text="a dog runs", target="ein Hund läuft", source="t.tsv:2"),
    Row(text="two cats", target="zwei Katzen", source="t.tsv:3"),
    Row(text="a cat runs over the green grass", target="eine Katze läuft über das Gras", source="t.tsv:4"),
    Row(text="the dog", target="der Hund", source="t.tsv:5"),
]
CPU = torch.device("cpu")
SUBWORDS = TokenizerConfig(segmenter="bpe", vocab_size=280, lowercase=False, fold_width=False)
SMALL = {
    "seq2seq": {"embedding_size": 24, "num_units": 24, "hidden_dropout_prob": 0.0},
    "seq2seq-transformer": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_decoder_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.0,
    },
}
EACH = pytest.mark.parametrize("name", SMALL)


def made(name: str, **settings: object) -> tuple[Translation, TokenStore]:
    config = TranslationConfig(**settings)
    tokenizer = config.make_tokenizer(ROWS, SUBWORDS)
    model = replace(with_sizes(preset(name).default_config(), tokenizer.vocab_size, 0), **SMALL[name])
    task = config.build(build_model(model), model, None)
    task.take_tokenizer(tokenizer)
    task.initialize(torch.Generator().manual_seed(0))
    return task, TokenStore.from_rows(**config.columns(ROWS, tokenizer, LongTexts(64, "head")))


def every(store: TokenStore) -> np.ndarray:
    return np.arange(len(store))


def test_an_example_is_taught_with_what_stands_before_each_token():
    task, store = made("seq2seq")
    example = task.example(store, every(store))
    bos, eos, pad = task.tokenizer.bos_token_id, task.tokenizer.eos_token_id, task.tokenizer.pad_token_id
    for row, each in enumerate(ROWS):
        target = task.tokenizer.encode_batch([each.target])[0].tolist()
        source = task.tokenizer.encode_batch([each.text])[0].tolist()
        assert [i for i in example.labels[row].tolist() if i != -100] == [*target, eos]
        assert [i for i in example.decoder_input_ids[row].tolist() if i != pad] == [bos, *target]
        assert example.batch.input_ids[row, : len(source) + 1].tolist() == [*source, eos]
    assert row_places(store.columns).tolist() == [
        max(len(task.tokenizer.encode_batch([text])[0]) + 1 for text in (row.text, row.target)) for row in ROWS
    ]
    assert task.gold(store) == [row.target for row in ROWS]


@EACH
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_is_the_smoothed_cross_entropy_of_every_token_and_end(name, label_smoothing):
    task, store = made(name, label_smoothing=label_smoothing)
    example = task.example(store, every(store))
    loss, count = task(example)
    loss = loss.detach()
    hidden = task.writer.teach(example.batch, example.decoder_input_ids, (example.decoder_input_ids != 0).long())
    log_p = task.writer.logits(hidden).log_softmax(dim=-1)
    by_hand, tokens = 0.0, 0
    log_p = log_p.detach()
    for row, place in (example.labels != -100).nonzero().tolist():
        right = log_p[row, place, example.labels[row, place]]
        by_hand -= float((1 - label_smoothing) * right + label_smoothing * log_p[row, place].mean())
        tokens += 1
    assert int(count) == tokens
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_rows_that_do_not_count_cost_nothing():
    task, store = made("seq2seq")
    example = task.example(store, every(store))
    loss, count = task(replace(example, labels=torch.full_like(example.labels, -100)))
    assert loss.item() == count.item() == 0


@EACH
def test_four_pairs_are_learnt_by_heart_and_said(name):
    task, store = made(name, label_smoothing=0.0)
    optimizer = torch.optim.AdamW(task.parameters(), lr=5e-3)
    example = task.example(store, every(store))
    for _ in range(150):
        loss, count = task.train()(example)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert (loss / count).item() < 0.01
    assert task.answer_store(store, CPU) == task.gold(store)
    assert task.look(store, CPU, "float32") == pytest.approx(100.0)
    assert not task.training


def test_characters_can_be_written_too():
    config = TranslationConfig()
    tokenizer = config.make_tokenizer(ROWS, TokenizerConfig(segmenter="code-points", lowercase=False, fold_width=False))
    columns = config.columns(ROWS, tokenizer, LongTexts(64, "head"))
    assert tokenizer.decode_batch(columns["target_ids"]) == [row.target for row in ROWS]


def test_length_is_limited_by_the_text_and_by_the_model():
    task, store = made("seq2seq", max_extra_tokens=3)
    batch = task.example(store, every(store)).batch
    for hypotheses, length in zip(task.answer(batch, 2), batch.num_tokens.tolist(), strict=True):
        assert all(len(each.ids) <= length + 3 for each in hypotheses)
    task.extractor_config = replace(task.extractor_config, max_position_embeddings=4)
    assert all(len(each.ids) < 4 for hypotheses in task.answer(batch, 2) for each in hypotheses)


def test_a_target_over_the_limit_is_refused_and_a_long_text_cut():
    config = TranslationConfig()
    tokenizer = config.make_tokenizer(ROWS, SUBWORDS)
    with pytest.raises(InputError, match=r"t\.tsv:2: its target has .* data.max_length is 4"):
        config.columns(ROWS, tokenizer, LongTexts(4, "head"))
    rows = [Row(text="a dog runs over the green grass", target="x", source="t.tsv:2")]
    cut = config.columns(rows, tokenizer, LongTexts(5, "head"))["input_ids"][0]
    assert cut.tolist() == [*tokenizer.encode_batch([rows[0].text])[0][:4].tolist(), tokenizer.eos_token_id]


def test_what_cannot_work_is_said():
    config = TranslationConfig()
    with pytest.raises(InputError, match="bpe, unigram, code-points can do"):
        config.make_tokenizer(ROWS, TokenizerConfig(segmenter="words"))
    tokenizer = config.make_tokenizer(ROWS, SUBWORDS)
    with pytest.raises(InputError, match=r"t\.tsv:9: it has no target"):
        config.columns([Row(text="a", source="t.tsv:9")], tokenizer, LongTexts(5, "head"))
    task, _ = made("seq2seq")
    with pytest.raises(InputError, match="train the model anew"):
        task.take_tokenizer(train_tokenizer(["a"], TokenizerConfig(segmenter="words")))
    for wrong in ({"num_beams": 0}, {"label_smoothing": 1.0}, {"length_penalty": -1}, {"max_extra_tokens": -1}):
        with pytest.raises(ValueError, match="at least"):
            TranslationConfig(**wrong)
