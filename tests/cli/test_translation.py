"""Translation as a person does it: train, evaluate, predict; and what cannot work."""

import json

import pytest

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "ball": "Ball"}
PAIRS = [(f"the {a} sees the {b}", f"der {NOUNS[a]} sieht den {NOUNS[b]}") for a in NOUNS for b in NOUNS]


@pytest.fixture
def trained(run_wenmo, tmp_path):
    (tmp_path / "train.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in PAIRS), encoding="utf-8")
    for number, name in enumerate(("test.en", "test.de")):
        (tmp_path / name).write_text("".join(f"{pair[number]}\n" for pair in PAIRS), encoding="utf-8")
    small = ["model.num_units=16", "model.embedding_size=16", "data.tokenizer.vocab_size=280", "training.max_epochs=1"]
    overrides = [part for setting in small for part in ("-o", setting)]
    return run_wenmo("train", "train.tsv", "--model", "seq2seq", "--out", "run", *overrides)


def test_a_person_trains_evaluates_and_translates(trained, run_wenmo, tmp_path):
    assert trained.code == 0, trained.stderr
    assert "BLEU" in trained.stdout and "chrF" in trained.stdout
    evaluated = run_wenmo("evaluate", "run", "test.en", "--target", "test.de", "--json")
    metrics = json.loads(evaluated.stdout)["metrics"]
    assert set(metrics) == {"bleu", "bleu_lowercase", "chrf"}
    assert "tok:13a" in run_wenmo("evaluate", "run", "train.tsv").stdout
    answered = run_wenmo("predict", "run", "-", "--json", "--n-best", "2", stdin="the dog sees the cat\nthe ball\n")
    lines = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [set(line) for line in lines] == [{"target", "score", "others"}] * 2
    drawn = run_wenmo("predict", "run", "train.tsv", "--out", "out.txt", "--beams", "1", "--alignments", "seen.html")
    assert drawn.code == 0, drawn.stderr
    assert len((tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()) == len(PAIRS)
    assert "<svg" in (tmp_path / "seen.html").read_text(encoding="utf-8")

    for arguments, message in (
        (("evaluate", "run", "test.en", "--target", "train.tsv"), "only 16 lines"),
        (("predict", "run", "-", "--alignments", "x.html"), "name a file"),
        (("predict", "run", "train.tsv", "--abstain", "0.1"), "--abstain is for classifiers"),
        (("predict", "run", "train.tsv", "--n-best", "9", "--beams", "2"), "2 beams"),
        (("embed", "run", "train.tsv", "--out", "x.npy"), "trained to translate"),
    ):
        refused = run_wenmo(*arguments)
        assert refused.code == 2, refused.stderr
        assert message in refused.stderr
