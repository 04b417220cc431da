"""ELMo under the tasks of texts and pairs: as the model itself, as features, alone and in company, in every verb."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wenmo
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.folder import load_folder
from wenmo.interchange.allennlp import read_elmo
from wenmo.models.elmo import ElmoConfig
from wenmo.models.registry import build_model
from wenmo.models.stacked import Stacked
from wenmo.sklearn import TextClassifier
from wenmo.tasks.classification import ClassificationConfig
from wenmo.tasks.similarity import SimilarityConfig
from wenmo.tasks.task import TaskConfig
from wenmo.tasks.words import byte_columns
from wenmo.text.word_bytes import word_byte_ids

SMALL = ["model.num_units=6", "model.projection_size=4", "model.filters=[[1, 4], [2, 6]]"]
QUICK = ["training.max_epochs=4", "training.batch_size=8", "training.patience=0", "training.learning_rate=0.02"]
ROWS = [("good", "yes"), ("bad", "no"), ("great", "yes"), ("poor", "no")]
FRUITS = ["Apples", "pears", "plums", "figs", "nuts"]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.tsv"
    lines = [
        f"the {fruit} of U.S. No.{i} were {word}\t{label}\n" for i, fruit in enumerate(FRUITS) for word, label in ROWS
    ]
    path.write_text("text\tlabel\n" + "".join(lines))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs of texts of different lengths, 1 where both are of one kind."""
    path, rng = tmp_path / "pairs.tsv", random.Random(0)
    lines = ["text_a\ttext_b\tlabel\n"]
    for i in range(24):
        a, b = (rng.choice(["good", "bad"]) for _ in range(2))
        lines.append(f"{a} {rng.choice(FRUITS)} {i}\tthese {rng.choice(FRUITS)} of No.{i} are {b}\t{int(a == b)}\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture
def elmo(data_folder: Path) -> Path:
    """A published one, small."""
    place = data_folder.parent / "reference" / "elmo"
    if not place.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {place} is not a folder")
    return place


def pooled_by_the_model(extractor: torch.nn.Module, words: list[str]) -> np.ndarray:
    ids = torch.from_numpy(word_byte_ids(words)).long().unsqueeze(0)
    batch = TokenBatch(character_ids=ids, attention_mask=torch.ones(1, len(words), dtype=torch.long))
    with torch.no_grad():
        return np.asarray(extractor(batch).pooler_output[0])


def test_texts_are_cut_as_the_treebank_has_them_and_read_as_they_are_written(reviews: Path, tmp_path: Path) -> None:
    run = wenmo.train(reviews, model="elmo", out=tmp_path / "elmo", overrides=[*SMALL, *QUICK])
    model = wenmo.load(run.model)
    assert model.tokenizer.config.segmenter == "treebank" and model.tokenizer.config.word_bytes
    words = ["Apples", "of", "the", "U.S.", "were", "n't", "bad", "."]
    text = "Apples of the U.S. weren't bad."
    np.testing.assert_allclose(model.embed(text)[0], pooled_by_the_model(model.extractor, words), rtol=0, atol=1e-6)
    assert not np.allclose(model.embed(text), model.embed(text.lower()))
    # Words that no text of the training had are no unknown ones: their bytes tell them apart.
    first, second = model.embed(["Xaver", "Yvonne"])
    assert not np.allclose(first, second)


def test_a_classifier_answers_a_text_alone_as_in_company_and_learns_its_mixture(reviews: Path, tmp_path: Path) -> None:
    overrides = [*SMALL, *QUICK, "training.max_epochs=10", "task.dropout_prob=0"]
    run = wenmo.train(reviews, dev=reviews, model="elmo", out=tmp_path / "elmo", overrides=overrides)
    assert run.dev["accuracy"]["value"] == 1
    model = wenmo.load(run.model)
    assert model.extractor.mix.weights.abs().sum() > 0 and model.extractor.mix.gamma != 1
    texts = ["good nuts", "", "the pears were bad " * 9, "文墨"]
    together = model.probabilities(texts)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(model.probabilities(text)[0], together[row], rtol=0, atol=1e-5)
    assert wenmo.evaluate(run.model, reviews)["metrics"]["accuracy"]["value"] == 1
    assert "are unknown to it" not in (run.model / "README.md").read_text()
    more = wenmo.train(reviews, start=run.model, out=tmp_path / "more", overrides=["training.max_epochs=1"])
    assert load_folder(more.model).tokenizer.config == model.tokenizer.config


@pytest.mark.parametrize("how", ["head", "tail", "head+tail", "windows"])
def test_the_bytes_of_a_long_text_are_cut_as_its_ids_are(reviews: Path, tmp_path: Path, how: str) -> None:
    overrides = [*SMALL, *QUICK, "training.max_epochs=1", "data.max_length=4", f"data.long_texts={how}"]
    model = wenmo.load(wenmo.train(reviews, model="elmo", out=tmp_path / "elmo", overrides=overrides).model)
    words = ["all", "the", "apples", "were", "good"]
    cuts = {"head": [words[:4]], "tail": [words[1:]], "head+tail": [[words[0], *words[2:]]]}
    read = cuts.get(how, [words[:4], words[1:]])
    expected = np.mean([pooled_by_the_model(model.extractor, part) for part in read], axis=0)
    np.testing.assert_allclose(model.embed(" ".join(words))[0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.embed(" ".join(words), "mean")[0], expected, rtol=0, atol=1e-6)


def test_pairs_are_read_each_by_itself_and_joined_ones_refused(pairs: Path, tmp_path: Path) -> None:
    call: dict[str, Any] = {"model": "elmo", "dev": pairs, "overrides": [*SMALL, *QUICK, "training.max_epochs=12"]}
    run = wenmo.train(pairs, out=tmp_path / "pairs", task="classify", **call)
    model = wenmo.load(run.model)
    assert model.pair == "siamese" and run.dev["accuracy"]["value"] > 0.6
    asked = [("good figs", "these nuts of No.3 are bad"), ("a", "")]
    u, v = (model.embed([text[side] for text in asked]) for side in (0, 1))
    wanted = np.concatenate([u, v, abs(u - v), u * v], axis=1)
    np.testing.assert_allclose(model.embed(asked), wanted, rtol=0, atol=1e-6)
    means = [model.embed([text[side] for text in asked], "mean") for side in (0, 1)]
    np.testing.assert_allclose(model.embed(asked, "mean")[:, :8], means[0], rtol=0, atol=1e-6)
    call["overrides"] = [*SMALL, "task.pair=joined"]
    with pytest.raises(InputError, match=r"take task\.pair=siamese"):
        wenmo.train(pairs, out=tmp_path / "joined", task="classify", **call)


def test_similarity_is_the_cosine_of_both_texts(pairs: Path, tmp_path: Path) -> None:
    overrides = [*SMALL, *QUICK, "task.dropout_prob=0"]
    run = wenmo.train(pairs, dev=pairs, model="elmo", task="similarity", out=tmp_path / "alike", overrides=overrides)
    model = wenmo.load(run.model)
    u, v = model.embed(["good figs", "these nuts of No.3 are bad"])
    cosine = float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    assert model.predict(("good figs", "these nuts of No.3 are bad"))[0].similarity == pytest.approx(cosine, abs=1e-6)
    assert model.evaluate(pairs)["metrics"]["spearman"]["value"] == pytest.approx(
        run.dev["spearman"]["value"], abs=1e-5
    )


@pytest.mark.parametrize("name", ["textcnn", "bilstm", "bag"])
def test_other_models_read_the_layers_of_a_published_one(
    name: str, reviews: Path, pairs: Path, elmo: Path, tmp_path: Path
) -> None:
    call: dict[str, Any] = {"model": name, "features": f"elmo:{elmo}", "overrides": QUICK}
    run = wenmo.train(reviews, dev=reviews, out=tmp_path / "kept", **call)
    computed = [*QUICK, "features.cached=false"]
    again = wenmo.train(reviews, dev=reviews, out=tmp_path / "computed", **{**call, "overrides": computed})
    assert run.dev == again.dev
    model = wenmo.load(run.model)
    assert isinstance(model.extractor, Stacked) and model.tokenizer.config.word_bytes
    together = model.probabilities(["good figs", "the nuts were bad"])
    np.testing.assert_allclose(model.probabilities("good figs")[0], together[0], rtol=0, atol=1e-5)
    for task in ("classify", "similarity"):
        trained = wenmo.train(pairs, task=task, out=tmp_path / task, **call)
        assert wenmo.load(trained.model).predict([("good figs", "the nuts were bad")])


def test_a_published_one_stays_as_it_is_and_has_its_tokenizer(reviews: Path, elmo: Path, tmp_path: Path) -> None:
    run = wenmo.train(reviews, dev=reviews, model=f"elmo:{elmo}", out=tmp_path / "on", overrides=QUICK)
    model, published = wenmo.load(run.model), read_elmo(elmo).weights
    weights = model.extractor.state_dict()
    assert {name for name in published if not torch.equal(weights[name], published[name])} == {
        "mix.weights",
        "mix.gamma",
    }
    assert not model.tokenizer.config.lowercase and not model.tokenizer.config.fold_width


@pytest.mark.parametrize(
    "task",
    [
        ClassificationConfig(labels=("no", "yes"), dropout_prob=0),
        ClassificationConfig(labels=("no", "yes"), dropout_prob=0, pair="siamese"),
        SimilarityConfig(low=0, high=1, dropout_prob=0),
    ],
    ids=lambda task: f"{task.task}-{task.pair}",
)
def test_a_penalty_on_the_mixture_stands_beside_the_mean_loss(task: TaskConfig) -> None:
    columns = {"input_ids": [[1, 1]] * 2, "labels": [[1], [0]], **byte_columns([["good", "figs"], ["bad", "nuts"]])}
    if task.compares:
        columns |= {"input_ids_b": [[1, 1]] * 2, **byte_columns([["all", "figs"], ["bad", "figs"]], "input_ids_b")}
    losses = []
    for penalty in (0.0, 0.5):
        model = ElmoConfig(num_units=5, projection_size=4, filters=((1, 3), (2, 4)), mix_penalty=penalty)
        learner = task.build(build_model(model), model, None).eval()
        learner.initialize(torch.Generator().manual_seed(0))
        with torch.no_grad():
            learner.extractor.mix.weights.copy_(torch.tensor([1.0, -3.0, 0.0]))  # type: ignore[union-attr, operator]
        loss, count = learner(learner.example(TokenStore.from_rows(**columns), np.arange(2)))
        losses.append((loss / count).item())
    assert losses[1] - losses[0] == pytest.approx(0.5 * (1 + 9), rel=1e-5)


def test_comparisons_and_estimators_take_it_too(reviews: Path, tmp_path: Path) -> None:
    small = {"model.num_units": 6, "model.projection_size": 4, "model.filters": [[1, 4], [2, 6]]}
    settings = {**small, "training.max_epochs": 1}
    estimator = TextClassifier("elmo", settings=settings)
    texts = [line.split("\t")[0] for line in reviews.read_text().splitlines()[1:]]
    labels = [line.split("\t")[1] for line in reviews.read_text().splitlines()[1:]]
    assert estimator.fit(texts, labels).predict_proba(texts).shape == (20, 2)
    overrides = [*SMALL, "training.max_epochs=1"]
    found = wenmo.compare(reviews, models=["elmo"], out=tmp_path / "compared", overrides=overrides)
    assert {row["model"] for row in found.values["rows"]} >= {"elmo", "tfidf"}


def test_word_bytes_are_of_models_that_read_them(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a textcnn model does not read words as their bytes"):
        wenmo.train(reviews, model="textcnn", out=tmp_path / "no", overrides=["data.tokenizer.word_bytes=true"])
    for tokenizer in ("bpe", "code-points"):
        with pytest.raises(InputError, match="gives no words"):
            wenmo.train(reviews, model="elmo", out=tmp_path / "no", overrides=[f"data.tokenizer={tokenizer}"])
    with pytest.raises(InputError, match="it has no n-grams"):
        wenmo.train(reviews, model="elmo", out=tmp_path / "no", overrides=["data.tokenizer.word_ngrams=[1, 2]"])
