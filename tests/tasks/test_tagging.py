"""Taggers over every extractor: what they learn, count and refuse."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.data.batching import store_batch
from wenmo.data.conll import read_conll
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.data.tag_schemes import violations
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL
from wenmo.models.recurrent import RecurrentConfig
from wenmo.models.registry import build_model, preset, presets, with_sizes
from wenmo.tasks.tagging import Tagging, TaggingConfig
from wenmo.text.tokenizers import TokenizerConfig

WHOLE = LongTexts(512, "windows")
EXTRACTORS = sorted(name for name, each in presets().items() if "tag" in each.load_config_class().tasks)
SMALL = {
    "embedding_size": 8,
    "num_filters": 6,
    "num_buckets": 16,
    "num_units": 6,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 12,
    "max_position_embeddings": 64,
}


def rows_of(text: str, source: str = "x.conll:1") -> Row:
    """``EU/B-ORG rejects/O`` as a row."""
    pairs = [word.rsplit("/", 1) for word in text.split()]
    words, tags = zip(*pairs, strict=True)
    return Row(text=" ".join(words), words=tuple(words), tags=tuple(tags), source=source)


def make_tagger(rows: list[Row], name: str = "bilstm", **values: Any) -> tuple[Tagging, TokenStore]:
    """A small tagger of these rows with random weights, and the rows as a store."""
    of_task = {f.name for f in fields(TaggingConfig)}
    chosen = preset(name)
    known = {f.name for f in fields(chosen.load_config_class())}  # type: ignore[arg-type]
    sizes = {key: value for key, value in SMALL.items() if key in known}
    of_model = {key: value for key, value in values.items() if key not in of_task}
    model = chosen.load_config_class().from_dict({**chosen.values, **sizes, **of_model})
    config = TaggingConfig(**{key: value for key, value in values.items() if key in of_task})
    config = config.settled(rows, model, None, "x.conll")
    tokenizer = config.make_tokenizer(rows, TokenizerConfig(word_bytes=model.reads_bytes))
    model = with_sizes(model, tokenizer.vocab_size, config.num_labels, num_characters=config.num_characters)
    task = config.build(build_model(model), model, None)
    task.initialize(torch.Generator().manual_seed(0))
    store = TokenStore.from_rows(**config.columns(rows, tokenizer, WHOLE))
    task.prepare(store)
    return task, store


def learn(task: Tagging, store: TokenStore, steps: int) -> float:
    """The loss of a token behind so many steps."""
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], lr=0.05)
    value = 0.0
    for _ in range(steps):
        loss, count = task.train()(task.example(store, np.arange(len(store))))
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
        value = float(loss.detach() / count)
    return value


SENTENCES = [
    rows_of("Anna/B-PER saw/O Bonn/B-LOC"),
    rows_of("the/O old/O Carl/B-PER Smith/I-PER left/O New/B-LOC York/I-LOC"),
    rows_of("Oslo/B-LOC"),
]


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_can_be_a_tagger(name: str) -> None:
    task, store = make_tagger(SENTENCES, name, dropout_prob=0.0)
    loss, count = task(task.example(store, np.arange(3)))
    assert count == 11 and loss.isfinite()
    answers = task.answer_store(store, torch.device("cpu"))
    assert [len(each) for each in answers] == [3, 7, 1]
    one = {column: store[column].take([1]) for column in store.columns}
    alone = task.answer_store(TokenStore.from_rows(**one), torch.device("cpu"))
    assert alone[0].tolist() == answers[1].tolist()
    if task.crf is not None:
        loss.backward()
        assert task.crf.transitions.grad is not None


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES", "BMES", "BILOU"])
def test_answers_keep_to_the_scheme_whatever_the_weights(decoder: Any, scheme: Any) -> None:
    task, store = make_tagger(SENTENCES * 5, decoder=decoder, trained_scheme=scheme)
    with torch.no_grad():
        task.classifier.weight.normal_(0, 5, generator=torch.Generator().manual_seed(2))
    answers = task.tags_of(task.answer_store(store, torch.device("cpu")))
    assert not any(violations(tags, scheme) for tags in answers)
    assert len({tag for tags in answers for tag in tags}) > 1


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_a_few_sentences_are_learnt_by_heart(decoder: Any) -> None:
    off = {"embedding_dropout_prob": 0.0, "recurrent_dropout_prob": 0.0}
    task, store = make_tagger(SENTENCES, dropout_prob=0.0, decoder=decoder, **off)
    assert learn(task, store, 60) < 0.01
    gold, answers = task.gold(store), task.answer_store(store, torch.device("cpu"))
    assert [each.tolist() for each in answers] == [each.tolist() for each in gold]
    assert task.score(gold, answers) == 1 and task.measure(gold, answers)["f1"]["value"] == 1


def test_the_loss_of_a_softmax_is_that_of_its_tokens() -> None:
    task, store = make_tagger(SENTENCES, decoder="softmax", dropout_prob=0.0)
    example = task.eval().example(store, np.arange(3))
    loss, count = task(example)
    probabilities = task.logits(example.batch).log_softmax(dim=2)
    wanted = sum(
        -probabilities[row, place, tag]
        for row, tags in enumerate(task.gold(store))
        for place, tag in enumerate(tags.tolist())
    )
    torch.testing.assert_close(loss, wanted)
    assert count == 11


def test_a_penalty_on_the_mixture_of_layers_stands_beside_the_mean_loss() -> None:
    losses = []
    for penalty in (0.0, 0.5):
        task, store = make_tagger(SENTENCES, "elmo", dropout_prob=0.0, mix_penalty=penalty)
        with torch.no_grad():
            task.extractor.mix.weights.copy_(torch.tensor([1.0, -3.0]))  # type: ignore[union-attr, operator]
        loss, count = task.eval()(task.example(store, np.arange(3)))
        losses.append((loss / count).item())
    assert losses[1] - losses[0] == pytest.approx(0.5 * (1 + 9), rel=1e-5)


def test_words_reach_a_model_that_reads_bytes_as_their_bytes() -> None:
    task, store = make_tagger(SENTENCES, "elmo")
    batch = task.example(store, np.arange(3)).batch
    assert batch.character_ids is not None and batch.character_ids.shape == (3, 7, 7)  # Smith and both its ends
    assert batch.character_ids[2, 0].tolist() == [259, *(byte + 1 for byte in b"Oslo"), 260, 0]
    # An unknown word has no id of its own, but its characters tell it from others.
    rows = [rows_of("Xaver/B-PER"), rows_of("Yvonne/B-PER")]
    tokenizer = task.config.make_tokenizer(SENTENCES, TokenizerConfig(word_bytes=True))
    unseen = TokenStore.from_rows(**task.config.columns(rows, tokenizer, WHOLE))
    example = task.eval().example(unseen, np.arange(2))
    assert example.batch.input_ids is not None and example.batch.input_ids.unique().numel() == 1
    logits = task.logits(example.batch)
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_sentences_that_are_not_counted_cost_nothing(decoder: Any) -> None:
    task, store = make_tagger(SENTENCES, decoder=decoder)
    example = task.example(store, np.arange(3))
    loss, count = task(replace(example, labels=torch.full_like(example.labels, IGNORED_LABEL)))
    assert loss == 0 and count == 0


def test_the_data_tells_tags_scheme_metric_and_characters() -> None:
    model = RecurrentConfig(character_features="cnn")
    config = TaggingConfig(trained_scheme="BIOES").settled(SENTENCES, model, None, "x.conll")
    assert (config.scheme, config.trained_scheme, config.metric) == ("BIO", "BIOES", "f1")
    assert config.labels[0] == "O" and len(config.labels) == 1 + 2 * 4
    assert set("nAo") <= set(config.characters) | {"A"} and config.num_characters == len(config.characters) + 2
    plain = TaggingConfig().settled([rows_of("a/DT dog/NN")], model, None, "x.conll")
    assert (plain.scheme, plain.metric, plain.labels) == ("none", "accuracy", ("DT", "NN"))


def test_a_model_may_answer_in_another_scheme_than_its_data() -> None:
    task, store = make_tagger(SENTENCES, trained_scheme="BMES")
    gold = task.tags_of(task.gold(store))
    assert gold[1] == ["O", "O", "B-PER", "E-PER", "O", "B-LOC", "E-LOC"] and gold[2] == ["S-LOC"]


def test_tags_that_break_their_scheme_are_refused_with_their_line_or_repaired() -> None:
    broken = [*SENTENCES, rows_of("a/O Carl/I-PER Smith/I-PER", "x.conll:20")]
    with pytest.raises(InputError, match=r"x\.conll:21: I-PER stands behind O.*1 of 4 sentences.*--repair"):
        make_tagger(broken)
    task, store = make_tagger(broken, repair=True)
    assert task.tags_of(task.gold(store))[3] == ["O", "B-PER", "I-PER"]


def test_a_tag_that_training_did_not_have_is_refused_with_its_line() -> None:
    config = make_tagger(SENTENCES)[0].config
    with pytest.raises(InputError, match=r"dev\.conll:8: the tag 'B-ORG' was not seen in training"):
        config.tag_columns([rows_of("the/O EU/B-ORG", "dev.conll:7")], repair=False)


@pytest.mark.parametrize(
    ("rows", "values", "message"),
    [
        ([Row(text="a", words=("a",))], {}, "a sentence without tags"),
        ([rows_of("a/O b/O")], {}, "every tag is 'O'"),
        ([rows_of("a/DT b/NN")], {"trained_scheme": "BIOES"}, "task.trained_scheme=BIOES"),
    ],
)
def test_data_that_cannot_be_learnt_is_refused(rows: list[Row], values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_tagger(rows, **values)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="dropout_prob"):
        TaggingConfig(dropout_prob=1.0)
    with pytest.raises(ValueError, match="a tag twice"):
        TaggingConfig(labels=("O", "O"))
    with pytest.raises(ValueError, match="plain tags"):
        TaggingConfig(scheme="none", metric="f1")
    config = make_tagger(SENTENCES)[0].config
    tokenizer = config.make_tokenizer(SENTENCES, TokenizerConfig())
    with pytest.raises(InputError, match=r"data\.long_texts=head"):
        config.columns(SENTENCES, tokenizer, LongTexts(4, "head"))
    with pytest.raises(InputError, match=r"data\.tokenizer=bpe"):
        config.make_tokenizer(SENTENCES, TokenizerConfig(segmenter="bpe"))


@pytest.mark.parametrize("name", ["bilstm", "transformer", "textcnn"])
def test_a_long_sentence_reaches_the_extractor_in_pieces_and_the_field_as_one(name: str) -> None:
    row = rows_of(" ".join(["Carl/B-PER", "Smith/I-PER", "saw/O"] * 5))
    task, store = make_tagger([row, *SENTENCES], name)
    whole = store_batch(store, np.array([0, 2]))
    task.eval()
    task.piece_size = 4
    logits = task.logits(whole)
    assert logits.shape[:2] == (2, 15)
    for start in range(0, 15, 4):
        piece = TokenStore.from_rows(input_ids=[store["input_ids"][0][start : start + 4]])
        alone = task.logits(store_batch(piece, np.array([0])))[0]
        torch.testing.assert_close(logits[0, start : start + 4], alone, rtol=0, atol=1e-5)
    answers = task.answer_store(store, torch.device("cpu"))
    assert len(answers[0]) == 15 and not violations(task.tags_of(answers)[0], "BIO")


def test_characters_reach_the_model_in_their_words(tagged_file: Callable[..., Path]) -> None:
    rows = read_conll(tagged_file(number=5)).rows
    task, store = make_tagger(rows, character_features="cnn", character_size=4)
    batch = store_batch(store, np.array([1, 3]))
    assert batch.character_ids is not None
    known = dict(enumerate(task.config.characters, start=2))
    for place, row in enumerate((1, 3)):
        words = rows[row].words or ()
        for ids, word in zip(batch.character_ids[place].tolist(), words, strict=False):
            assert [known.get(i, "?") for i in ids if i] == [c if c in task.config.characters else "?" for c in word]


def test_going_on_keeps_what_was_learnt_of_the_old_tags() -> None:
    before, _ = make_tagger(SENTENCES)
    more = [*SENTENCES, rows_of("EU/B-ORG rejects/O")]
    model = before.extractor_config
    config = TaggingConfig().settled(more, model, before.config, "x.conll")
    assert config.labels == (*before.config.labels, "B-ORG", "I-ORG")
    after = config.build(build_model(model), model, None)
    after.initialize(torch.Generator().manual_seed(1))
    after.take_over(before)
    assert before.crf is not None and after.crf is not None
    old = len(before.config.labels)
    assert torch.equal(after.classifier.weight[:old], before.classifier.weight)
    assert torch.equal(after.crf.transitions[:old, :old], before.crf.transitions)
    assert torch.equal(after.crf.end[:old], before.crf.end)


def test_models_that_say_the_same_differ_by_chance_alone() -> None:
    task, store = make_tagger(SENTENCES * 10)
    gold = task.gold(store)
    wrong = [np.zeros_like(each) for each in gold]
    assert task.differs_by_chance(gold, gold, gold) == 1
    assert task.differs_by_chance(gold, gold, wrong) < 0.001


def test_the_baseline_says_the_most_frequent_tag_of_each_word() -> None:
    rows = [
        rows_of("May/B-PER went/O"),
        rows_of("in/O May/O"),
        rows_of("may/O in/O"),
        rows_of("Bonn/B-LOC"),
    ]
    task, store = make_tagger(rows, "majority")
    answers = task.tags_of(task.answer_store(store, torch.device("cpu")))
    assert answers == [["O", "O"], ["O", "O"], ["O", "O"], ["B-LOC"]]
    unknown = TokenStore.from_rows(input_ids=[np.array([1, 0])])
    assert task.tags_of(task.answer_store(unknown, torch.device("cpu"))) == [["O", "O"]]
    assert sum(p.requires_grad for p in task.extractor.parameters()) == 0
