"""Training on features that were computed once: the same as computing them every time, in every verb."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

import wenmo
from wenmo.data.batching import store_batch
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import load_folder
from wenmo.models.stacked import Stacked
from wenmo.training import feature_cache
from wenmo.training.feature_cache import with_vectors
from wenmo.training.recipe import Recipe

ROWS = [("good film", "yes"), ("bad plot", "no"), ("a great story", "yes"), ("the film is poor", "no")]
QUICK = ["training.max_epochs=3", "training.batch_size=5", "task.dropout_prob=0", "training.patience=0"]
CPU = torch.device("cpu")


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text} {i}\t{label}\n" for i in "bcdef" for text, label in ROWS))
    return path


def trained(reviews: Path, out: Path, bert: Path, *overrides: str, model: str = "bag") -> Any:
    return wenmo.train(reviews, model=model, features=f"bert:{bert}", out=out, overrides=[*QUICK, *overrides])


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_folder(folder).task.state_dict())


def store_and_model(reviews: Path, bert: Path, tmp_path: Path) -> tuple[TokenStore, Stacked]:
    trained(reviews, tmp_path / "run", bert)
    folder = load_folder(tmp_path / "run")
    texts = folder.tokenizer.encode_batch([text for text, _ in ROWS] * 3)
    assert isinstance(folder.task.extractor, Stacked)
    return TokenStore.from_rows(input_ids=[ids[:n] for n, ids in enumerate(texts)]), folder.task.extractor


def test_kept_features_train_the_model_that_computed_ones_train(reviews: Path, bert: Path, tmp_path: Path) -> None:
    kept = trained(reviews, tmp_path / "kept", bert)
    trained(reviews, tmp_path / "computed", bert, "features.cached=false")
    found, expected = weights_of(tmp_path / "kept"), weights_of(tmp_path / "computed")
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=name)
    assert not torch.equal(found["extractor.mix.weights"], torch.zeros(3))
    assert not (tmp_path / "kept" / "stores").exists()
    assert kept.mixture == json.loads((tmp_path / "kept" / "metrics.json").read_text())["mixture"]
    assert sum(kept.mixture["weights"]) == pytest.approx(1)


def test_the_same_batch_has_the_same_features_bit_for_bit(reviews: Path, bert: Path, tmp_path: Path) -> None:
    store, model = store_and_model(reviews, bert, tmp_path)
    kept = with_vectors(store, model, tmp_path / "cache", "float32", CPU)
    for rows in feature_cache.batches_of_store(store):
        batch = store_batch(kept, rows)
        assert batch.inputs_embeds is not None
        assert torch.equal(batch.inputs_embeds, model.states(store_batch(store, rows)))
        assert torch.equal(batch.attention_mask, store_batch(store, rows).attention_mask)


@pytest.mark.parametrize(("precision", "error"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_narrower_numbers_are_the_nearest_ones(
    reviews: Path, bert: Path, tmp_path: Path, precision: Any, error: float
) -> None:
    store, model = store_and_model(reviews, bert, tmp_path)
    kept = with_vectors(store, model, tmp_path / "cache", precision, CPU)
    (file,) = (tmp_path / "cache").iterdir()
    assert np.load(file, mmap_mode="r").dtype.itemsize == 2
    rows = np.arange(len(store))
    states = model.states(store_batch(store, rows))
    found = store_batch(kept, rows).inputs_embeds
    assert found is not None
    torch.testing.assert_close(found, states, rtol=error, atol=1e-6)
    rounded = states.to(getattr(torch, precision)).float()
    assert ((found - rounded).abs() <= rounded.abs() * error).all()


def test_a_file_serves_all_runs_it_belongs_to_and_no_other(
    reviews: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = f"features.folder={tmp_path / 'cache'}"
    trained(reviews, tmp_path / "one", bert, cache)
    files = set((tmp_path / "cache").iterdir())
    assert len(files) == 2  # train and dev
    with monkeypatch.context() as patched:
        patched.setattr(feature_cache, "_compute", None)  # would be called where anything is missing
        trained(reviews, tmp_path / "two", bert, cache, model="gru")
    for number, changed in enumerate(("features.layers=last", "features.precision=float16", "data.max_length=3")):
        trained(reviews, tmp_path / f"other-{number}", bert, cache, changed)
        grown = set((tmp_path / "cache").iterdir())
        assert len(grown) == len(files) + 2, changed
        files = grown


def test_a_file_that_was_begun_is_no_file(
    reviews: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = store_and_model(reviews, bert, tmp_path)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(feature_cache, "_as_kept", killed)
        with_vectors(store, model, tmp_path / "cache", "float32", CPU)
    assert not list((tmp_path / "cache").iterdir())
    with_vectors(store, model, tmp_path / "cache", "float32", CPU)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_too_little_room_is_said_before_anything_is_written(
    reviews: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = store_and_model(reviews, bert, tmp_path)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"features\.layers=last"):
        with_vectors(store, model, tmp_path / "cache", "float32", CPU)


def test_a_model_on_features_answers_by_itself_in_every_verb(
    reviews: Path, bert: Path, tmp_path: Path, run_wenmo: Callable[..., Any]
) -> None:
    call = ("train", "reviews.tsv", "--model", "textcnn", "--features", f"bert:{bert.name}", "--out", "run")
    answer = run_wenmo(*call, *(part for override in QUICK for part in ("-o", override)))
    assert answer.code == 0, answer.stderr
    assert "their mixture times" in answer.stdout
    texts = [text for text, _ in ROWS]
    before = wenmo.load(tmp_path / "run").predict(texts)
    for file in bert.iterdir():
        file.unlink()  # everything that answers stands in the folder
    model = wenmo.load(tmp_path / "run")
    assert model.predict(texts) == before
    assert model.embed(texts).shape == (4, model.task.extractor_config.pooler_size)
    assert run_wenmo("evaluate", "run", "reviews.tsv").code == 0
    assert "reads the layers of `bert`" in (tmp_path / "run" / "README.md").read_text()


def test_a_saved_recipe_gives_the_same_model_again(reviews: Path, bert: Path, tmp_path: Path) -> None:
    trained(reviews, tmp_path / "one", bert, "features.layers=1")
    again = wenmo.train(recipe=tmp_path / "one" / "recipe.toml", out=tmp_path / "two")
    assert again.mixture is None
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_that_was_stopped_goes_on(reviews: Path, bert: Path, tmp_path: Path) -> None:
    trained(reviews, tmp_path / "whole", bert, "training.max_epochs=4")

    class Stop:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

        def stepped(self, step: int, loss: float) -> None:
            if step == 5:
                raise RuntimeError("stopped")

    overrides = [*QUICK, "training.max_epochs=4", "training.save_steps=2"]
    how: dict[str, Any] = {"model": f"bag@bert:{bert}", "out": tmp_path / "run", "overrides": overrides}
    with pytest.raises(RuntimeError, match="stopped"):
        wenmo.train(reviews, **how, observers=[Stop()])  # type: ignore[list-item]
    wenmo.train(reviews, **how, resume=True)
    found, expected = weights_of(tmp_path / "run"), weights_of(tmp_path / "whole")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_pairs_are_read_from_features_too(bert: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    rows = [f"{a} {i}\t{b}\t{label}\n" for i in "bcdef" for (a, label), (b, _) in pairwise(ROWS)]
    pairs.write_text("text_a\ttext_b\tlabel\n" + "".join(rows))
    for mode in ("siamese", "joined"):
        how = f"task.pair={mode}"
        trained(pairs, tmp_path / mode, bert, how)
        trained(pairs, tmp_path / f"{mode}-computed", bert, how, "features.cached=false")
        found, expected = weights_of(tmp_path / mode), weights_of(tmp_path / f"{mode}-computed")
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=name)


def test_a_tagger_reads_the_features_of_first_pieces(
    tagged_file: Callable[..., Path], bert: Path, tmp_path: Path
) -> None:
    small = ("model.num_units=5", "training.max_epochs=1")
    file = tagged_file()
    result = trained(file, tmp_path / "kept", bert, *small, model="bilstm")
    trained(file, tmp_path / "computed", bert, *small, "features.cached=false", model="bilstm")
    found, expected = weights_of(tmp_path / "kept"), weights_of(tmp_path / "computed")
    assert result.task == "tag" and any(name.startswith("crf.") for name in expected)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5, msg=name)
    (answer,) = wenmo.load(tmp_path / "kept").predict_words([["good", "film"]])
    assert len(answer.tags) == 2


def test_texts_in_windows_have_their_features_computed_for_every_batch(
    reviews: Path, bert: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    how = ("data.long_texts=windows", f"features.folder={cache}")
    trained(reviews, tmp_path / "short", bert, "data.max_length=4", *how)
    assert not cache.exists()
    trained(reviews, tmp_path / "whole", bert, "data.max_length=20", *how)
    assert len(list(cache.iterdir())) == 2
    assert len(wenmo.load(tmp_path / "short").predict(["a great story , the film is good"])) == 1


def test_a_tagger_reads_the_layers_of_an_elmo(
    tagged_file: Callable[..., Path], tmp_path: Path, data_folder: Path
) -> None:
    elmo = data_folder.parent / "reference" / "elmo"
    if not elmo.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {elmo} is not a folder")
    small = [*QUICK, "model.num_units=5", "training.max_epochs=1"]
    for name in ("kept", "computed"):
        overrides = [*small, f"features.cached={str(name == 'kept').lower()}"]
        wenmo.train(tagged_file(), model="bilstm", features=f"elmo:{elmo}", out=tmp_path / name, overrides=overrides)
    found, expected = weights_of(tmp_path / "kept"), weights_of(tmp_path / "computed")
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5, msg=name)
    assert found["extractor.mix.weights"].shape == (3,)
    (answer,) = wenmo.load(tmp_path / "kept").predict_words([["Why", "employment", "?"]])
    assert len(answer.tags) == 3


def test_going_on_from_a_model_on_features(reviews: Path, bert: Path, tmp_path: Path) -> None:
    trained(reviews, tmp_path / "one", bert)
    wenmo.train(reviews, start=tmp_path / "one", out=tmp_path / "two", overrides=["training.max_epochs=1"])
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    frozen = [name for name in one if name.startswith("extractor.frozen.")]
    assert frozen and all(torch.equal(one[name], two[name]) for name in frozen)
    assert not torch.equal(one["classifier.weight"], two["classifier.weight"])


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("tfidf", [], "does not read vectors"),
        ("bert:{bert}", [], "bert model does not read vectors"),
        ("bag", ["features.layers=7"], "0 .the embeddings. to 2"),
        ("bag", ["data.vectors=x.txt"], "no word vectors"),
        ("bag", ["features.layer=1"], "did you mean 'layers'"),
    ],
)
def test_what_cannot_work_is_said(bert: Path, model: str, overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.build(model=model.format(bert=bert), features=str(bert), overrides=overrides)


def test_features_stand_beside_other_models_in_a_comparison(reviews: Path, bert: Path, tmp_path: Path) -> None:
    overrides = [*QUICK, "features.layers=last", "training.max_epochs=1"]
    result = wenmo.compare(reviews, models=["bag", f"bag@bert:{bert}"], out=tmp_path / "cmp", overrides=overrides)
    rows = {row["model"]: row for row in result.values["rows"]}
    assert set(rows) == {"tfidf", "nbsvm", "bag", f"bag@bert:{bert}"}
    assert not any(row["failed"] for row in rows.values())
    folder = load_folder(tmp_path / "cmp" / rows[f"bag@bert:{bert}"]["folder"])
    assert folder.recipe["features"]["layers"] == "last"


def test_features_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --features"):
        Recipe.build(model="bag", overrides=["features.layers=last"])
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        Recipe.build(model="bag", features="nowhere")


def test_a_recipe_file_may_name_only_the_folder(bert: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps({"model": {"name": "textcnn"}, "features": {"checkpoint": str(bert), "layers": 1}}))
    recipe = Recipe.build(file=file)
    assert recipe.features is not None
    assert (recipe.features.layers, recipe.features.model.model_type) == ("1", "bert")
    assert recipe.data.tokenizer.segmenter == "pretrained"
    assert Recipe.build(model=f"textcnn@bert:{bert}").features == recipe.features.model_copy(update={"layers": "all"})
