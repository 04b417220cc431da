"""Taggers that start from a checkpoint: words in pieces, each answered at its first one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import wenmo
from wenmo.data.batching import token_batch
from wenmo.folder import load_folder
from wenmo.models.pieces import states_in_pieces
from wenmo.tasks.tagging import Tagging
from wenmo.text.pretrained import PretrainedTokenizer

SENTENCES = [
    [("the", "O"), ("film", "B-WORK"), ("unlike", "I-WORK"), ("is", "O"), ("good", "O")],
    [("bad", "O"), ("plot", "B-WORK")],
    [("kate", "B-PER"), ("great", "O"), ("story", "B-WORK")],
]
QUICK = ["training.max_epochs=1", "training.batch_size=4", "training.learning_rate=0.01"]


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def conll(tmp_path: Path) -> Path:
    path = tmp_path / "train.conll"
    sentences = [[*sentence, (letter, "O")] for letter in "bcdef" for sentence in SENTENCES]
    path.write_text("".join("".join(f"{word} {tag}\n" for word, tag in each) + "\n" for each in sentences))
    return path


def their_logits(folder: Path, words: list[str]) -> torch.Tensor:
    """At the first piece of each word."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    batch = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    places = [batch.word_ids().index(number) for number in range(len(words))]
    with torch.no_grad():
        return model(**batch).logits[0, places]


def our_logits(task: Tagging, tokenizer: PretrainedTokenizer, words: list[str]) -> torch.Tensor:
    from wenmo.tasks.words import word_columns

    columns = word_columns([words], tokenizer)
    starts = torch.from_numpy(columns["word_starts"][0])[None].long()
    with torch.no_grad():
        return task.logits(token_batch(columns["input_ids"]), starts)[0]


def test_a_fine_tuned_tagger_opens_in_transformers_with_the_same_logits(
    bert: Path, conll: Path, tmp_path: Path
) -> None:
    result = wenmo.train(conll, model=f"bert:{bert}", out=tmp_path / "out", overrides=QUICK)
    assert result.task == "tag"
    folder = load_folder(tmp_path / "out")
    assert isinstance(folder.task, Tagging) and isinstance(folder.tokenizer, PretrainedTokenizer)
    assert folder.task.crf is None
    words = ["unlike", "kate", "the", "film"]
    ours, theirs = our_logits(folder.task, folder.tokenizer, words), their_logits(tmp_path / "out", words)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_a_tagger_learns_its_words_and_tags_raw_texts(bert: Path, conll: Path, tmp_path: Path, decoder: str) -> None:
    settings = ["learning_rate=0.01", "max_epochs=20", "patience=0", "batch_size=4"]
    overrides = [*(f"training.{setting}" for setting in settings), f"task.decoder={decoder}"]
    wenmo.train(conll, dev=conll, model=f"bert:{bert}", out=tmp_path / "out", overrides=overrides)
    model = wenmo.load(tmp_path / "out")
    words = [[word for word, _ in sentence] for sentence in SENTENCES]
    for sentence, answer in zip(SENTENCES, model.predict_words(words), strict=True):
        assert answer.tags == [tag for _, tag in sentence]
    (answer, nothing) = model.predict(["kate great story", ""])
    assert [(span.type, span.text) for span in answer.spans] == [("PER", "kate"), ("WORK", "story")]
    assert nothing.tags == []
    assert (tmp_path / "out" / "head.safetensors").exists() == (decoder == "crf")
    assert model.evaluate(conll)["metrics"]["f1"]["value"] == 1


def test_a_tagger_of_transformers_opens_here(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    names = {0: "O", 1: "B-PER", 2: "I-PER"}
    save_bert(tmp_path, "BertForTokenClassification", id2label=names, label2id={v: k for k, v in names.items()})
    model = wenmo.load(tmp_path)
    words = ["kate", "is", "unlike", "a", "film"]
    ours = our_logits(model.task, model.tokenizer, words)
    torch.testing.assert_close(ours, their_logits(tmp_path, words), rtol=0, atol=1e-5)
    assert model.task.config.scheme == "BIO"
    assert len(model.predict(["kate is unlike a film"])[0].tags) == 5


def test_a_long_sentence_has_special_tokens_around_each_of_its_pieces() -> None:
    rows = [np.array([90, 1, 2, 3, 4, 5, 91], np.int32), np.array([90, 91], np.int32), np.array([90, 6, 91], np.int32)]
    seen: list[list[int]] = []

    def read(batch: Any) -> torch.Tensor:
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
            seen.append(ids[mask.bool()].tolist())
        return batch.input_ids.unsqueeze(2).double()

    states = states_in_pieces(token_batch(rows), 4, read, before=1, behind=1)
    assert seen == [[90, 1, 2, 91], [90, 3, 4, 91], [90, 5, 91], [90, 6, 91]]
    assert states[:, 1:6, 0].tolist() == [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [6, 0, 0, 0, 0]]


def test_sentences_over_the_models_positions_are_tagged_word_by_word(bert: Path, conll: Path, tmp_path: Path) -> None:
    overrides = [*QUICK, "data.max_length=6"]
    wenmo.train(conll, model=f"bert:{bert}", out=tmp_path / "out", overrides=overrides)
    model = wenmo.load(tmp_path / "out")
    words = ["film", "good", "plot", "story", "bad", "the", "is"]
    assert len(model.predict_words([words * 20])[0].tags) == 140
