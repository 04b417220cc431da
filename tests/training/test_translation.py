"""Training to translate: tables and parallel files are the same data, and a stopped run goes on."""

import tomllib
from pathlib import Path

import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.folder import weights_digest

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "ball": "Ball"}
PAIRS = [(f"the {a} sees the {b}", f"der {NOUNS[a]} sieht den {NOUNS[b]}") for a in NOUNS for b in NOUNS]
SMALL = (
    *("data.tokenizer.vocab_size=280", "training.max_epochs=2", "training.warmup_steps=2", "task.num_beams=2"),
    *("model.hidden_size=16", "model.num_hidden_layers=1", "model.num_decoder_layers=1", "model.intermediate_size=16"),
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in PAIRS), encoding="utf-8")
    return path


def train(data, out, **arguments):
    return wenmo.train(data, model="seq2seq-transformer", out=out, overrides=SMALL, **arguments)


def test_the_task_is_read_off_the_columns_or_the_second_file(table, tmp_path):
    for number, name in enumerate(("a.en", "a.de")):
        (tmp_path / name).write_text("".join(f"{pair[number]}\n" for pair in PAIRS), encoding="utf-8")
    result = train(table, tmp_path / "table")
    assert (result.task, set(result.dev)) == ("translate", {"bleu", "bleu_lowercase", "chrf"})
    files = train(
        tmp_path / "a.en", tmp_path / "files", target=tmp_path / "a.de", test=tmp_path / "a.en",
        test_target=tmp_path / "a.de",
    )  # fmt: skip
    assert files.test["chrf"]["value"] >= 0
    digests = [weights_digest(tmp_path / name / "model.safetensors") for name in ("table", "files")]
    assert digests[0] == digests[1]
    recipe = tomllib.loads((tmp_path / "files" / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe["data"]["tokenizer"]["segmenter"] == "bpe" and recipe["data"]["tokenizer"]["boundaries"]
    again = wenmo.train(recipe=tmp_path / "files" / "recipe.toml", out=tmp_path / "again")
    assert again.steps == files.steps
    assert weights_digest(tmp_path / "again" / "model.safetensors") == digests[1]


def test_a_model_goes_on_with_new_pairs(table, tmp_path):
    train(table, tmp_path / "first")
    more = wenmo.train(table, out=tmp_path / "more", start=tmp_path / "first", overrides=["training.max_epochs=1"])
    assert more.task == "translate"
    assert (
        wenmo.load(tmp_path / "more").tokenizer.fingerprint() == wenmo.load(tmp_path / "first").tokenizer.fingerprint()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "classify", "target": "a.de"}, "a file of targets is for translation"),
        ({"values": {"data": {"long_texts": "windows"}}}, "a translation is made of one text"),
        ({"values": {"data": {"tokenizer": {"segmenter": "words"}}}}, "bpe, unigram, code-points can do"),
        ({"sampling": "balanced"}, "is for texts with a label"),
        ({"model": "textcnn"}, "a textcnn model cannot translate"),
    ],
)
def test_what_cannot_work_is_said(arguments, message, table, tmp_path):
    (tmp_path / "a.de").write_text("x\n", encoding="utf-8")
    if "target" in arguments:
        arguments = {**arguments, "target": tmp_path / "a.de"}
    with pytest.raises(InputError, match=message):
        wenmo.train(table, out=tmp_path / "out", **{"model": "seq2seq", **arguments})
