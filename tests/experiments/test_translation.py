"""Models that translate are compared by BLEU, and the winner is a folder to use."""

import json
from pathlib import Path

import pytest

import wenmo
from wenmo.inference.translating import Translator

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "ball": "Ball"}
PAIRS = [(f"the {a} sees the {b}", f"der {NOUNS[a]} sieht den {NOUNS[b]}") for a in NOUNS for b in NOUNS]


def test_two_models_that_translate_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wenmo.experiments.measuring._LEAST_SECONDS", 0.01)
    table = tmp_path / "pairs.tsv"
    table.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in PAIRS), encoding="utf-8")
    overrides = [
        "training.max_epochs=1",
        "data.tokenizer.vocab_size=270",
        "task.max_extra_tokens=3",
        "task.num_beams=2",
    ]
    wenmo.compare(table, models=["seq2seq", "seq2seq-transformer"], out=tmp_path / "cmp", overrides=overrides)
    told = json.loads((tmp_path / "cmp" / "comparison.json").read_text(encoding="utf-8"))
    assert {row["model"] for row in told["rows"]} == {"seq2seq", "seq2seq-transformer"}
    for row in told["rows"]:
        assert (row["failed"], row["metric"]) == (None, "bleu")
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 100
        assert row["texts_per_second"] > 0
    assert "BLEU" in (tmp_path / "cmp" / "report.html").read_text(encoding="utf-8")
    winner = wenmo.load(tmp_path / "cmp" / "winner")
    assert isinstance(winner, Translator)
    assert len(winner.predict(["the dog sees the cat"])) == 1
