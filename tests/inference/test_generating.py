"""A language model in use: from the command line's text file to text, streamed, stopped and counted."""

import json
import math
from pathlib import Path

import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.inference.generating import TextGenerator
from wenmo.training.run import train

LINES = "roses are red\nviolets are blue\n"
SETTINGS = (
    *("model.embedding_size=16", "model.num_units=32", "model.embedding_dropout_prob=0"),
    *("model.recurrent_dropout_prob=0", "training.learning_rate=0.03", "training.batch_size=8", "training.patience=0"),
)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> TextGenerator:
    folder = tmp_path_factory.mktemp("stream")
    (folder / "poem.txt").write_text(LINES * 40, encoding="utf-8")
    settings = (*SETTINGS, "data.max_length=31", "training.max_epochs=12")
    train(folder / "poem.txt", model="gru", out=folder / "model", overrides=settings)
    loaded = wenmo.load(folder / "model")
    assert isinstance(loaded, TextGenerator)
    return loaded


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> TextGenerator:
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["label\ttext", *(["animal\tcat", "colour\tred", "animal\tdog", "colour\tblue"] * 20)]
    (folder / "words.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = (*SETTINGS, "training.max_epochs=25", "data.dev_share=0")
    train(folder / "words.tsv", task="generate", model="lstm", out=folder / "model", overrides=settings)
    loaded = wenmo.load(folder / "model")
    assert isinstance(loaded, TextGenerator)
    return loaded


def test_it_goes_on_with_what_it_learnt(stream: TextGenerator) -> None:
    written = stream.generate("roses", temperature=0, max_new_tokens=25)
    assert written.text == " are red\nviolets are blue"
    assert written.tokens == 25
    assert written.logprob > math.log(0.5)
    assert stream.extractor is stream.task.extractor


def test_pieces_put_together_are_the_text_and_a_stop_string_never_shows(stream: TextGenerator) -> None:
    pieces = [piece for piece, _ in stream.pieces("roses", temperature=0, max_new_tokens=60, stop=["blue", "zzz"])]
    assert "".join(pieces) == " are red\nviolets are "
    assert len(pieces) > 5


def test_many_prompts_are_gone_on_with_one_by_one(stream: TextGenerator) -> None:
    both = stream.predict(["roses", "violets"], temperature=0, max_new_tokens=8)
    assert [each.text for each in both] == [" are red", " are blu"]
    assert stream.predict("roses", temperature=0, max_new_tokens=8) == both[:1]


def test_the_same_seed_writes_the_same_text(stream: TextGenerator) -> None:
    texts = [stream.generate("v", temperature=3.0, seed=seed, max_new_tokens=30).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_nothing_is_written_where_nothing_is_wanted(stream: TextGenerator) -> None:
    assert stream.generate("roses", max_new_tokens=0).to_dict() == {"text": "", "tokens": 0, "logprob": 0.0}


def test_a_text_is_asked_for_by_its_label_and_ends(labelled: TextGenerator) -> None:
    assert labelled.labels == ("animal", "colour")
    animals = {labelled.generate(label="animal", seed=seed).text for seed in range(12)}
    colours = {labelled.generate(label="colour", seed=seed).text for seed in range(12)}
    assert animals == {"cat", "dog"}
    assert colours == {"red", "blue"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "x"}, "one stream, which has no labels"),
        ({"stop": [""]}, "a stop string not empty"),
        ({"max_new_tokens": -1}, "max_new_tokens is at least 0"),
        ({"top_p": 2}, "top_p"),
    ],
)
def test_what_cannot_work_is_refused(stream: TextGenerator, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stream.generate("roses", **settings)


def test_a_prompt_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text(LINES * 20, encoding="utf-8")
    small = ("model.hidden_size=8", "model.num_hidden_layers=1", "model.num_attention_heads=2")
    settings = (*small, "data.max_length=16", "training.max_steps=3", "training.batch_size=4")
    train(tmp_path / "poem.txt", model="gpt2", out=tmp_path / "model", overrides=settings)
    model = wenmo.load(tmp_path / "model")
    with pytest.raises(InputError, match="the prompt has 20 tokens, and the model reads at most 16"):
        model.generate("x" * 20)
    assert model.generate("roses are", max_new_tokens=40).tokens == 40, "it goes on beyond what it reads at once"


def test_characters_that_the_model_does_not_know_are_counted(
    stream: TextGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    stream.generate("roses 你好", max_new_tokens=1)
    assert "2 characters of the prompt are unknown to the model" in caplog.text


def test_an_evaluation_says_how_likely_a_text_is(stream: TextGenerator, tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_text(LINES * 4, encoding="utf-8")
    (tmp_path / "other.txt").write_text("deer sera solve\n" * 8, encoding="utf-8")
    same, other = (wenmo.evaluate(stream, tmp_path / name) for name in ("same.txt", "other.txt"))
    assert same["task"] == "generate"
    assert same["tokens"] == len(LINES) * 4 - 1
    assert same["metrics"]["bits_per_character"]["value"] < 1 < other["metrics"]["bits_per_character"]["value"]


def test_every_prompt_of_a_file_is_gone_on_with(stream: TextGenerator, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("roses\nviolets\n", encoding="utf-8")
    written = stream.predict_file(tmp_path / "prompts.txt", tmp_path / "out.jsonl")
    assert written["rows"] == 2
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["tokens"] for line in lines] == [200, 200]
    stream.predict_file(tmp_path / "prompts.txt", tmp_path / "out.tsv")
    head, first, _ = (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()
    assert head == "text\ttokens\tlogprob"
    assert first.split("\t")[0] == lines[0]["text"].replace("\n", "\\n")
    with pytest.raises(InputError, match=r"go to \.tsv, \.jsonl, all also with \.gz"):
        stream.predict_file(tmp_path / "prompts.txt", tmp_path / "out.xlsx")
