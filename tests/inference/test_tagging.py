"""Taggers in use: offsets into the raw text, files in every format, and an engine equal to the model."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.data.conll import read_conll
from wenmo.errors import InputError
from wenmo.folder import ModelFolder, load_folder, save_folder
from wenmo.inference.loading import load
from wenmo.inference.tagging import TaggedText, Tagger, TextSpan
from wenmo.models.config import ModelConfig
from wenmo.models.elmo import ElmoConfig
from wenmo.models.recurrent import RecurrentConfig
from wenmo.models.registry import build_model
from wenmo.tasks.tagging import Tagging, TaggingConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

WORDS = ["mary", "saw", "bonn", "and", "oslo", "é", "张", "三", "在", "北", "京", "0"]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture
def make_tagger(tmp_path: Path) -> Callable[..., Tagger]:
    """A saved and loaded tagger with random weights that knows `WORDS`."""

    def make(
        segmenter: str = "graphemes",
        runtime: str = "auto",
        task: dict[str, Any] | None = None,
        word_bytes: bool = False,
        **fields: Any,
    ) -> Tagger:
        settings_of_words = TokenizerConfig(segmenter=segmenter, word_bytes=word_bytes)
        tokenizer = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", *WORDS], settings_of_words)
        settings = {"scheme": "BIO", "trained_scheme": "BIO", "metric": "f1", **(task or {})}
        config = TaggingConfig(labels=LABELS, **settings)
        sizes: dict[str, Any] = {"vocab_size": tokenizer.vocab_size, "embedding_size": 6, "num_units": 5}
        if config.characters:
            sizes |= {"character_vocab_size": config.num_characters, "character_size": 4, "character_embedding_size": 3}
        model: ModelConfig
        if word_bytes:
            filters = ((1, 3), (2, 4))
            model = ElmoConfig(**{"num_units": 5, "projection_size": 4, "filters": filters, **fields})
        else:
            model = RecurrentConfig(**{**sizes, "bidirectional": True, **fields})
        module = Tagging(build_model(model), model, config)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(generator=generator)
        recipe = {"data": {}, "model": model.to_dict(), "task": config.to_dict(), "training": {}}
        save_folder(tmp_path / "tagger", ModelFolder(module, tokenizer, recipe))
        found = load(tmp_path / "tagger", runtime=runtime)
        assert isinstance(found, Tagger)
        return found

    return make


def answering(tagger: Tagger, monkeypatch: pytest.MonkeyPatch, tags: list[str]) -> None:
    """Let the model say these tags to any one sentence, so that a test can tell where spans must be."""
    ids = np.array([LABELS.index(tag) for tag in tags])
    monkeypatch.setattr(tagger, "_tags", lambda rows, sentences: [ids])


@pytest.mark.parametrize(
    ("text", "tags", "spans"),
    [
        ("张三在北京。", "B-PER I-PER O B-LOC I-LOC O", [(0, 2, "PER", "张三"), (3, 5, "LOC", "北京")]),
        ("👩‍🚀张三👍🏽", "O B-PER I-PER O", [(3, 5, "PER", "张三")]),
        ("e\u0301 张\u200b三", "B-LOC B-PER I-PER", [(0, 2, "LOC", "e\u0301"), (3, 6, "PER", "张\u200b三")]),
        ("Ａ１　北京", "O O B-LOC I-LOC", [(3, 5, "LOC", "北京")]),
        ("𠮷三", "B-PER I-PER", [(0, 2, "PER", "𠮷三")]),
        ("\ufb01在", "B-PER B-LOC", [(0, 1, "PER", "\ufb01"), (1, 2, "LOC", "在")]),
    ],
)
def test_spans_count_the_characters_of_the_raw_text(
    text: str,
    tags: str,
    spans: list[tuple[int, int, str, str]],
    make_tagger: Callable[..., Tagger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tagger = make_tagger()
    answering(tagger, monkeypatch, tags.split())
    (found,) = tagger.predict(text)
    assert found.spans == [TextSpan(*span) for span in spans]
    assert all(text[span.start : span.end] == span.text for span in found.spans)
    assert found.tags == tags.split() and len(found.tokens) == len(found.tags)


def test_english_words_and_spaces(make_tagger: Callable[..., Tagger], monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = make_tagger("treebank")
    answering(tagger, monkeypatch, ["B-PER", "I-PER", "O", "O"])
    (found,) = tagger.predict("  Mary  Ann left.")
    assert found == TaggedText(
        ["Mary", "Ann", "left", "."], ["B-PER", "I-PER", "O", "O"], [TextSpan(2, 11, "PER", "Mary  Ann")]
    )


def test_given_words_are_not_cut_and_are_put_together(
    make_tagger: Callable[..., Tagger], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = make_tagger()
    answering(tagger, monkeypatch, ["O", "B-LOC", "I-LOC"])
    assert tagger.predict_words([["in", "New", "York-on-sea"]])[0].spans == [TextSpan(3, 18, "LOC", "New York-on-sea")]
    assert tagger.predict_words([["在", "北", "京"]])[0].spans == [TextSpan(1, 3, "LOC", "北京")]


def test_what_breaks_the_scheme_is_no_entity_and_answers_come_in_the_scheme_of_the_data(
    make_tagger: Callable[..., Tagger], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = make_tagger(task={"scheme": "BMES"})
    answering(tagger, monkeypatch, ["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    (found,) = tagger.predict_words([["a", "b", "c", "d", "e"]])
    assert found.tags == ["B-PER", "E-PER", "O", "O", "S-LOC"]
    assert [span.type for span in found.spans] == ["PER", "LOC"]


TEXTS = ["Mary saw Bonn and Oslo", "张三在北京", "", "saw", "é 9 Mary", "北京 and 北京 and 张三 saw mary"] * 7


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ({}, {}),
        ({"decoder": "softmax"}, {"cell": "gru", "num_hidden_layers": 2}),
        ({"characters": "marysonbé三"}, {"character_features": "cnn"}),
        ({"characters": "marysonbé三"}, {"character_features": "lstm", "cell": "rnn", "residual": True}),
        ({}, {"word_bytes": True}),
        ({"decoder": "softmax"}, {"word_bytes": True, "num_hidden_layers": 1, "residual": False}),
    ],
)
def test_the_packed_engine_says_what_the_model_says(
    task: dict[str, Any], fields: dict[str, Any], make_tagger: Callable[..., Tagger]
) -> None:
    packed, plain = make_tagger(task=task, **fields), make_tagger(task=task, runtime="torch", **fields)
    assert (packed.runtime, plain.runtime) == ("packed", "torch")
    assert packed.predict(TEXTS) == plain.predict(TEXTS)
    alone = [packed.predict(text)[0] for text in TEXTS[:6]]
    assert packed.predict(TEXTS)[:6] == alone


def test_texts_longer_than_the_model_reads_at_once(make_tagger: Callable[..., Tagger]) -> None:
    packed, plain = make_tagger(), make_tagger(runtime="torch")
    for tagger in (packed, plain):
        tagger.task.piece_size = 4
    assert packed.predict(TEXTS) == plain.predict(TEXTS)
    assert len(packed.predict("张三在北京" * 5)[0].tags) == 25


def test_nothing_to_tag(make_tagger: Callable[..., Tagger]) -> None:
    tagger = make_tagger()
    assert tagger.predict([]) == tagger.predict_words([]) == []
    assert tagger.predict(" ") == [TaggedText([], [], [])] == tagger.predict_words([[]])


def test_runtimes_that_cannot_work_are_refused(make_tagger: Callable[..., Tagger]) -> None:
    with pytest.raises(InputError, match="there is no runtime 'fast'"):
        make_tagger(runtime="fast")
    with pytest.raises(InputError, match="has no layer normalisation"):
        make_tagger(runtime="packed", normalization="layer")
    with pytest.raises(InputError, match="goes on from the batch before"):
        make_tagger(runtime="packed", word_bytes=True, stateful=True)
    assert make_tagger(normalization="layer").runtime == "torch"


def test_a_folder_gives_the_same_tagger_again(make_tagger: Callable[..., Tagger], tmp_path: Path) -> None:
    tagger = make_tagger(task={"characters": "ab"}, character_features="cnn")
    again = load_folder(tmp_path / "tagger")
    assert again.task.config == tagger.task.config
    described = json.loads((tmp_path / "tagger/config.json").read_text())
    assert described["id2label"]["1"] == "B-PER" and described["label2id"]["B-LOC"] == 3


def test_every_format_of_a_file(
    make_tagger: Callable[..., Tagger], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tagger = make_tagger()
    answering(tagger, monkeypatch, ["O", "B-LOC", "I-LOC"])
    (tmp_path / "texts.txt").write_text("在北京\n", encoding="utf-8")
    for ending in ("jsonl", "tsv", "conll.gz"):
        told = tagger.predict_file(tmp_path / "texts.txt", tmp_path / f"out.{ending}")
        assert told == {"rows": 1, "spans": 1, "file": str(tmp_path / f"out.{ending}")}
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "tokens": ["在", "北", "京"],
        "tags": ["O", "B-LOC", "I-LOC"],
        "spans": [{"start": 1, "end": 3, "type": "LOC", "text": "北京"}],
    }
    assert (tmp_path / "out.tsv").read_text() == "row\tstart\tend\ttype\ttext\n1\t1\t3\tLOC\t北京\n"
    assert gzip.decompress((tmp_path / "out.conll.gz").read_bytes()).decode() == "在 O\n北 B-LOC\n京 I-LOC\n\n"
    tagger.predict_file(tmp_path / "out.conll.gz", tmp_path / "again.conll")
    assert read_conll(tmp_path / "again.conll").rows[0].tags == ("O", "B-LOC", "I-LOC")


def test_calls_that_cannot_work_are_refused(make_tagger: Callable[..., Tagger], tmp_path: Path) -> None:
    tagger = make_tagger()
    (tmp_path / "a.conll").write_text("a O\n")
    with pytest.raises(InputError, match=r"tags go to \.conll, \.jsonl, \.tsv"):
        tagger.predict_file(tmp_path / "a.conll", tmp_path / "out.parquet")
    with pytest.raises(InputError, match="would take the place"):
        tagger.predict_file(tmp_path / "a.conll", tmp_path / "a.conll")
    with pytest.raises(InputError, match="no format 'parquet' for tags"):
        tagger.predict_file(tmp_path / "a.conll", "-", file_format="parquet")
    with pytest.raises(InputError, match="leave it out"):
        tagger.evaluate(tmp_path / "a.conll", text_column="x")
    with pytest.raises(InputError, match="give its number"):
        tagger.evaluate(tmp_path / "a.conll", label_column="ner")


def test_an_evaluation_has_figures_for_every_type(
    make_tagger: Callable[..., Tagger], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tagger = make_tagger()
    answering(tagger, monkeypatch, ["B-PER", "O", "B-LOC"])
    (tmp_path / "gold.conll").write_text("Mary B-PER\nsaw O\nBonn B-PER\n")
    found = tagger.evaluate(tmp_path / "gold.conll")
    assert (found["task"], found["rows"], found["scheme"]) == ("tag", 1, "BIO")
    assert found["metrics"]["f1"]["value"] == pytest.approx(0.5)
    assert found["per_type"]["LOC"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    (tmp_path / "broken.conll").write_text("Mary I-PER\nsaw O\nBonn B-PER\n")
    with pytest.raises(InputError, match=r"broken\.conll:1: the sentence begins with I-PER"):
        tagger.evaluate(tmp_path / "broken.conll")
    assert tagger.evaluate(tmp_path / "broken.conll", repair=True)["metrics"]["f1"]["value"] == pytest.approx(0.5)


def test_texts_of_the_wrong_type_are_refused(make_tagger: Callable[..., Tagger]) -> None:
    with pytest.raises(InputError, match="text 2"):
        make_tagger().predict(["a", 3])  # type: ignore[list-item]
