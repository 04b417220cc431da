"""A model of pairs in use: answers, vectors, files, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from wenmo.errors import InputError
from wenmo.folder import ModelFolder, save_folder
from wenmo.inference.embedding import embed_file
from wenmo.inference.evaluation import evaluate
from wenmo.inference.loading import load
from wenmo.inference.predictor import TextCounts
from wenmo.inference.writers import predict_file
from wenmo.models.registry import build_model, preset, with_sizes
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

PAIRS = [("the film is good", "a good film"), ("bad", "the film is a film"), ("good good bad", "bad"), ("a", "a")]
SMALL = {"embedding_size": 6, "num_filters": 5, "num_buckets": 32}

MakePairs = Callable[..., Path]


@pytest.fixture
def make_pairs(tmp_path: Path) -> MakePairs:
    """Save a model of pairs with random weights."""

    def make(model: str = "textcnn", pair: str = "siamese", max_length: int = 0) -> Path:
        config = TokenizerConfig(segmenter="words", separator=pair == "joined")
        tokenizer = Tokenizer.train(["the film is a good bad"], config)
        shape = preset(model).default_config()
        sizes = {name: size for name, size in SMALL.items() if hasattr(shape, name)}
        shape = type(shape).from_dict({**shape.to_dict(), **sizes})
        shape = with_sizes(shape, tokenizer.vocab_size, 2, compares=pair == "siamese")
        task_config = ClassificationConfig(labels=("no", "yes"), pair=pair)  # type: ignore[arg-type]
        task = Classification(build_model(shape), shape, task_config)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in task.parameters():
                parameter.normal_(std=0.3, generator=generator)
        recipe = {
            "data": {"max_length": max_length},
            "model": shape.to_dict(),
            "task": {"pair": pair},
            "training": {},
        }
        path = tmp_path / f"{model}-{pair}"
        save_folder(path, ModelFolder(task, tokenizer, recipe))
        return path

    return make


KINDS = [("textcnn", "siamese"), ("textcnn", "joined"), ("bag", "siamese"), ("bag", "joined"), ("tfidf", "siamese")]


@pytest.mark.parametrize(("model", "pair"), KINDS)
def test_a_pair_has_the_same_answer_alone_and_in_company(make_pairs: MakePairs, model: str, pair: str) -> None:
    loaded = load(make_pairs(model, pair))
    together = loaded.probabilities(PAIRS)
    alone = np.concatenate([loaded.probabilities([each]) for each in PAIRS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.ptp(together[:, 0]) > 0.01  # the answers do differ
    assert [p.label for p in loaded.predict(PAIRS)] == [("no", "yes")[i] for i in together.argmax(axis=1)]


@pytest.mark.parametrize("pair", ["siamese", "joined"])
@pytest.mark.parametrize("model", ["textcnn", "bigru", "transformer", "bert"])
def test_the_packed_runtime_answers_pairs_like_the_model(make_pairs: MakePairs, model: str, pair: str) -> None:
    folder = make_pairs(model, pair)
    packed, plain = load(folder, runtime="packed"), load(folder, runtime="torch")
    assert packed.runtime == "packed"
    np.testing.assert_allclose(packed.probabilities(PAIRS), plain.probabilities(PAIRS), rtol=0, atol=1e-5)
    for how in ("mean", "first"):
        np.testing.assert_allclose(packed.embed(PAIRS, how), plain.embed(PAIRS, how), rtol=0, atol=1e-5)


def test_one_pair_is_a_tuple_and_many_are_any_iterable(make_pairs: MakePairs) -> None:
    model = load(make_pairs())
    assert model.predict(PAIRS[0]) == model.predict([PAIRS[0]]) == model.predict(iter([PAIRS[0]]))
    assert model.predict([list(PAIRS[0])]) == model.predict([PAIRS[0]])  # as JSON has it


@pytest.mark.parametrize("asked", ["a text", ["a text"], [("a", "b"), "c"], [("a", "b", "c")], [("a", 1)]])
def test_what_is_no_pair_is_refused(make_pairs: MakePairs, asked: object) -> None:
    with pytest.raises(InputError, match="text"):
        load(make_pairs()).predict(asked)  # type: ignore[arg-type]


def test_a_pair_is_refused_by_a_model_of_single_texts(make_pairs: MakePairs) -> None:
    with pytest.raises(InputError, match="text 2 is a pair of texts where single texts are read"):
        load(make_pairs(pair="none")).predict(["a", ("a", "b")])


@pytest.mark.parametrize("how", [None, "mean"])
def test_single_texts_have_vectors_and_pairs_their_comparison(make_pairs: MakePairs, how: str | None) -> None:
    model = load(make_pairs())
    u, v = (model.embed([pair[side] for pair in PAIRS], pooling=how) for side in (0, 1))
    pairs = model.embed(PAIRS, pooling=how)
    assert pairs.shape == (4, 4 * u.shape[1])
    np.testing.assert_allclose(pairs, np.concatenate([u, v, abs(u - v), u * v], axis=1), rtol=0, atol=1e-5)
    with pytest.raises(InputError):
        model.embed(["a", PAIRS[0]])


@pytest.mark.parametrize(("model", "pair"), [("textcnn", "joined"), ("tfidf", "siamese")])
def test_what_reads_both_at_once_has_vectors_of_pairs_alone(make_pairs: MakePairs, model: str, pair: str) -> None:
    loaded = load(make_pairs(model, pair))
    assert loaded.embed(PAIRS).shape == (4, loaded.embedding_size())
    with pytest.raises(InputError, match="reads pairs"):
        loaded.embed(["a"])
    if model == "tfidf":
        with pytest.raises(InputError, match="leave the pooling out"):
            loaded.embed(PAIRS, pooling="mean")


def test_cut_and_unknown_pairs_are_counted(make_pairs: MakePairs) -> None:
    for pair in ("siamese", "joined"):
        counts = TextCounts()
        texts = [("good bad", "a"), ("good", "zzz"), ("good bad film the a", "good"), ("", "bad")]
        list(load(make_pairs("textcnn", pair, max_length=4)).stream(texts, counts=counts))
        assert counts == TextCounts(texts=4, cut=1, unknown=2, first_unknown=2), pair


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    rows = "".join(f"{'yes' if i % 2 else 'no'}\t{a}\t{b}\n" for i, (a, b) in enumerate(PAIRS))
    path.write_text(f"label\ttext_a\ttext_b\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet"])
def test_a_file_of_pairs_is_answered_in_every_format(
    make_pairs: MakePairs, pairs_file: Path, tmp_path: Path, ending: str
) -> None:
    model, out = load(make_pairs()), tmp_path / f"answers.{ending}"
    assert predict_file(model, pairs_file, out)["rows"] == 4
    wanted = [prediction.label for prediction in model.predict(PAIRS)]
    if ending == "parquet":
        found = pq.read_table(out).column("label").to_pylist()
    elif ending == "tsv":
        found = [line.split("\t")[0] for line in out.read_text(encoding="utf-8").splitlines()[1:]]
    else:
        found = [json.loads(line)["label"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert found == wanted


def test_a_pair_that_lacks_a_text_keeps_its_row_without_an_answer(make_pairs: MakePairs, tmp_path: Path) -> None:
    pairs, out = tmp_path / "p.jsonl", tmp_path / "a.jsonl"
    pairs.write_text('{"text_a": "good", "text_b": "bad"}\n{"text_a": "good", "text_b": ""}\n', encoding="utf-8")
    assert predict_file(make_pairs(), pairs, out)["without_text"] == 1
    labels = [json.loads(line)["label"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert labels[0] in ("no", "yes") and labels[1] is None


def test_a_file_of_the_other_kind_is_an_error_that_names_the_line(
    make_pairs: MakePairs, pairs_file: Path, tmp_path: Path
) -> None:
    single = tmp_path / "single.txt"
    single.write_text("good\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"single\.txt:1 is a single text"):
        predict_file(make_pairs(), single, tmp_path / "out.tsv")
    with pytest.raises(InputError, match=r"pairs\.tsv:2 is a pair of texts.*--text-column"):
        predict_file(make_pairs(pair="none"), pairs_file, tmp_path / "out.tsv")
    with pytest.raises(InputError, match=r"pairs\.tsv:2 is a pair of texts"):
        evaluate(make_pairs(pair="none"), pairs_file)
    assert predict_file(make_pairs(pair="none"), pairs_file, tmp_path / "a.tsv", text_column="text_a")["rows"] == 4


def test_nothing_is_written_where_the_first_row_is_of_the_other_kind(
    make_pairs: MakePairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError):
        predict_file(make_pairs(), _first_texts(tmp_path), "-")
    assert capsys.readouterr().out == ""


def test_pairs_are_evaluated_and_embedded_from_files(make_pairs: MakePairs, pairs_file: Path, tmp_path: Path) -> None:
    model = load(make_pairs())
    result = evaluate(model, pairs_file)
    right = np.mean([p.label == ("yes" if i % 2 else "no") for i, p in enumerate(model.predict(PAIRS))])
    assert result["metrics"]["accuracy"]["value"] == right
    for source, width in ((pairs_file, 60), (_first_texts(tmp_path), 15)):
        written = embed_file(model, source, tmp_path / "vectors.npy")
        assert written["hidden_size"] == width
        assert np.load(tmp_path / "vectors.npy").shape == (4, width)


def _first_texts(folder: Path) -> Path:
    path = folder / "texts.txt"
    path.write_text("".join(f"{a}\n" for a, _ in PAIRS), encoding="utf-8")
    return path
