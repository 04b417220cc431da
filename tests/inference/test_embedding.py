"""Vectors in files: as the model gives them, in the order of the texts."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from wenmo.errors import InputError
from wenmo.inference.embedding import embed_file
from wenmo.inference.loading import load


@pytest.fixture
def model(make_folder):
    return load(make_folder())


@pytest.mark.parametrize("settings", [{}, {"pooling": "mean", "normalize": True}], ids=str)
def test_an_npy_file_holds_the_vectors_of_embed(model, some_texts, tmp_path, settings):
    texts = some_texts(20_000)
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    result = embed_file(model, tmp_path / "texts.txt", tmp_path / "vectors.npy", **settings)
    assert result == {"rows": 20_000, "hidden_size": 15, "file": str(tmp_path / "vectors.npy")}
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert (vectors.dtype, vectors.shape) == (np.float32, (20_000, 15))
    np.testing.assert_array_equal(vectors, model.embed(texts, **settings))


def test_a_parquet_file_says_where_each_vector_comes_from(model, some_texts, tmp_path):
    texts = some_texts(10_000)
    source = tmp_path / "texts.tsv"
    source.write_text("review\n" + "".join(f"{text}\n" for text in texts))
    embed_file(model, source, tmp_path / "vectors.parquet", text_column="review")
    table = pq.read_table(tmp_path / "vectors.parquet")
    assert table.column_names == ["row", "source", "embedding"]
    assert table.column("row").to_pylist() == list(range(10_000))
    assert table.column("source")[9_999].as_py() == f"{source}:10001"
    np.testing.assert_array_equal(np.array(table.column("embedding").to_pylist(), np.float32), model.embed(texts))


def test_a_row_without_text_has_a_vector_too(model, tmp_path):
    (tmp_path / "texts.txt").write_text("good\n\nbad\n")
    embed_file(model, tmp_path / "texts.txt", tmp_path / "vectors.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), model.embed(["good", "", "bad"]))


def test_a_folder_can_be_given_for_a_model(make_folder, tmp_path):
    (tmp_path / "texts.txt").write_text("good\n")
    assert embed_file(make_folder(), tmp_path / "texts.txt", tmp_path / "vectors.npy")["rows"] == 1


@pytest.mark.parametrize(
    ("out", "settings", "message"),
    [
        ("vectors.txt", {}, "written as .npy or .parquet"),
        ("vectors.npy", {"pooling": "median"}, "the poolings are"),
    ],
)
def test_a_wrong_call_is_refused_and_leaves_no_file(model, tmp_path, out, settings, message):
    (tmp_path / "texts.txt").write_text("good\n")
    with pytest.raises(InputError, match=message):
        embed_file(model, tmp_path / "texts.txt", tmp_path / out, **settings)
    assert not list(tmp_path.glob("vectors*"))


@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_a_source_that_breaks_in_the_middle_leaves_no_file(model, tmp_path, ending):
    broken = tmp_path / "texts.tsv"
    broken.write_text("label\ttext\n" + "good\tgood film\n" * 20_000 + "three\tcolumns\there\n")
    with pytest.raises(InputError, match=r"texts.tsv:20002: 3 columns"):
        embed_file(model, broken, tmp_path / f"vectors.{ending}")
    assert not list(tmp_path.glob("vectors*"))


def test_a_checkpoint_without_a_head_is_embedded_from_the_command_line(save_bert, run_wenmo, tmp_path):
    save_bert(tmp_path / "bert")
    (tmp_path / "texts.txt").write_text("good film\n\nbad\n")
    answer = run_wenmo("embed", "bert", "texts.txt", "--out", "x.npy", "--pooling", "layer:1", "--json")
    assert answer.code == 0, answer.stderr
    assert json.loads(answer.stdout) == {"rows": 3, "hidden_size": 16, "file": "x.npy"}
    expected = load(tmp_path / "bert").embed(["good film", "", "bad"], pooling="layer:1")
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    (tmp_path / "reviews.tsv").write_text("text\tlabel\ngood\tyes\nbad\tno\n")
    for call in (("predict", "bert", "texts.txt"), ("evaluate", "bert", "reviews.tsv"), ("generate", "bert", "good")):
        answer = run_wenmo(*call)
        assert (answer.code, "train it with --model bert" in answer.stderr) == (2, True), answer.stderr


def test_the_last_four_layers_stand_beside_each_other_in_the_file(save_bert, run_wenmo, tmp_path):
    save_bert(tmp_path / "bert", num_hidden_layers=5)
    (tmp_path / "texts.txt").write_text("good film\nbad\n")
    answer = run_wenmo("embed", "bert", "texts.txt", "--out", "x.npy", "--pooling", "last4", "--json")
    assert json.loads(answer.stdout)["hidden_size"] == 4 * 16, answer.stderr
    model = load(tmp_path / "bert")
    layers = [model.embed(["good film", "bad"], pooling=f"layer:{i}") for i in (2, 3, 4, 5)]
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), np.concatenate(layers, axis=1), atol=1e-6)


def test_layers_are_only_asked_of_models_that_show_them(model):
    with pytest.raises(InputError, match="a TextCnn does not show its layers"):
        model.embed(["good"], pooling="last4")
