"""``wenmo pretrain`` as a person types it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Wenmo = Callable[..., Any]

SMALL = [
    "model.num_units=8", "model.embedding_size=8", "corpus.length=16", "corpus.long_share=0",
    "corpus.held_out_share=0.2", "corpus.tokenizer.vocab_size=200", "training.max_steps=4", "training.eval_steps=2",
]  # fmt: skip


@pytest.fixture
def call(wenmo: Wenmo, tmp_path: Path) -> Callable[..., Any]:
    text = "\n\n".join(f"this is text number {i}. it goes on." for i in range(40))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    options = [part for override in SMALL for part in ("-o", override)]
    return lambda *more: wenmo("pretrain", tmp_path / "text.txt", "--out", tmp_path / "run", *options, *more)


def test_json_is_one_document_and_progress_goes_elsewhere(call: Callable[..., Any], tmp_path: Path) -> None:
    answer = call("--model", "gru", "--size", "tiny", "--seed", "3", "--json")
    assert answer.code == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert (
        result["task"] == "pretrain" and result["steps"] == 4 and set(result["dev"]) == {"cross_entropy", "perplexity"}
    )
    assert "step 4 of 4" in answer.stderr and "causal lm: dev loss" in answer.stderr
    again = call("--model", "gru", "--resume", "--json")
    assert again.code == 0 and json.loads(again.stdout)["seconds"] == result["seconds"]
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "gru", "--size", "huge"], "the sizes are tiny, mini, small, base, large"),
        (["--model", "textcnn"], "not pre-trained on raw text"),
        ([], "no model is named"),
        (["--model", "gru", "-o", "training.max_step=5"], "did you mean 'max_steps'?"),
        (["--model", "gru", "-o", "schedule.masked_words=5"], "there is no objective 'masked_words'"),
        (["--model", "gru", "-o", "corpus.lenght=5"], "corpus.lenght"),
        (["--model", "gru", "-o", "schedule.masked_lm=4"], "masked_lm"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong(
    more: list[str], message: str, call: Callable[..., Any]
) -> None:
    answer = call(*more)
    assert answer.code == 2 and message in answer.stderr, answer.stderr
