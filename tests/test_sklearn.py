"""The scikit-learn estimator: its own checks, its searches and pipelines, labels of any type, no pickle of ours."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import wenmo
from wenmo.errors import InputError
from wenmo.sklearn import TextClassifier

GOOD, BAD, PLAIN = ["fine", "great", "lovely"], ["bad", "poor", "awful"], ["the", "film", "was", "and", "plot", "with"]
SMALL = {"model.embedding_size": 8, "model.max_ngram": 1, "task.dropout_prob": 0.0}
FAST: dict[str, Any] = {"learning_rate": 0.05, "max_epochs": 12, "batch_size": 20, "device": "cpu"}


def make_texts(number: int = 60, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    labels = [("good", "bad")[i % 2] for i in range(number)]
    texts = [
        " ".join([*rng.choice(PLAIN, 5), rng.choice(GOOD if label == "good" else BAD), f"n{i}"])
        for i, label in enumerate(labels)
    ]
    return texts, labels


def make_classifier(model: str = "bag", **parameters: Any) -> TextClassifier:
    settings = SMALL if model == "bag" else None
    return TextClassifier(model, **{**FAST, "settings": settings, "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return make_classifier().fit(*make_texts())


# ---- scikit-learn's own checks ---------------------------------------------------------------------------------------


class OnNumbers(TextClassifier):
    """Writes the tables of numbers that the checks bring along as texts; everything else is the estimator's own.

    The checks make tables and leave an estimator that reads texts alone, so without this none but one would run.
    """

    def fit(self, X: Any, y: Any) -> "OnNumbers":
        return super().fit(_as_texts(validate_data(self, X)), y)

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return super().predict(_as_texts(validate_data(self, X, reset=False)))

    def predict_proba(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return super().predict_proba(_as_texts(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        return tags


def _as_texts(table: np.ndarray) -> list[str]:
    return [" ".join(f"f{j}is{round(2 * float(value))}" for j, value in enumerate(row)) for row in table]


@parametrize_with_checks([OnNumbers("bag", **FAST, settings=SMALL, validation_fraction=0.0)])
def test_it_is_a_classifier_to_scikit_learn(estimator: OnNumbers, check: Any) -> None:
    """Two checks skip themselves: of the array API (texts are not in arrays of a device), and of a
    ``decision_function``, which a classifier with ``predict_proba`` need not have."""
    check(estimator)


def test_its_tags_say_that_it_reads_texts() -> None:
    tags = TextClassifier().__sklearn_tags__()
    assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_class and tags.classifier_tags.multi_label and tags.target_tags.required
    with pytest.warns(UserWarning, match="Can't test estimator"):
        assert all(done["status"] == "passed" for done in check_estimator(TextClassifier()))


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["textcnn", "bag", "tfidf", "nbsvm"])
def test_every_kind_of_model_learns(model: str) -> None:
    small = {"model.embedding_size": 8, "model.num_filters": 6, "task.dropout_prob": 0.1} if model == "textcnn" else {}
    classifier = make_classifier(model, settings=small or (SMALL if model == "bag" else None)).fit(*make_texts(200))
    texts, labels = make_texts(40, seed=1)
    assert classifier.score(texts, labels) > 0.9
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (40, 2) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(texts)).all()


@pytest.mark.parametrize(
    "names",
    [("bad", "good"), (0, 1), (-3, 12), (1.0, 2.0), (False, True), np.array([10, 9], np.int8), np.array(["b", "a"])],
)
def test_labels_come_back_as_they_came(names: Any) -> None:
    texts, labels = make_texts()
    y = np.asarray(names)[[int(label == "good") for label in labels]]
    classifier = make_classifier().fit(texts, y.tolist() if isinstance(names, tuple) else y)
    found = classifier.predict(texts)
    assert found.dtype == y.dtype and (classifier.classes_ == np.unique(y)).all()
    assert (found == y).mean() > 0.95
    assert pickle.loads(pickle.dumps(classifier)).predict(texts).dtype == y.dtype


def test_labels_without_order_among_their_names_keep_the_order_of_their_values() -> None:
    texts, labels = make_texts()
    y = [9 if label == "good" else 10 for label in labels]  # as strings, "10" comes first
    classifier = make_classifier().fit(texts, y)
    assert classifier.classes_.tolist() == [9, 10]
    assert (classifier.predict_proba(["fine great", "bad awful"]).argmax(axis=1) == [0, 1]).all()


@pytest.mark.parametrize("model", ["bag", "tfidf"])
def test_a_matrix_of_zeros_and_ones_is_several_labels(model: str) -> None:
    texts, labels = make_texts(200)
    tags = [([label] if i % 5 else []) + (["odd"] if i % 3 == 0 else []) for i, label in enumerate(labels)]
    texts = [f"{text} {'strange' if 'odd' in tag else 'usual'} {'' if i % 5 else 'void void'}" for i, (text, tag) in
             enumerate(zip(texts, tags, strict=True))]  # fmt: skip
    binarizer = MultiLabelBinarizer()
    matrix = binarizer.fit_transform(tags)
    classifier = make_classifier(model, max_epochs=40).fit(texts, matrix)
    found = classifier.predict(texts)
    assert found.shape == matrix.shape and found.dtype == np.int64 and set(np.unique(found)) == {0, 1}
    assert classifier.score(texts, matrix) > 0.8
    assert ((classifier.predict_proba(texts) >= 0.5) == found).all()
    right = int(np.flatnonzero((found == matrix).all(axis=1) & (matrix.sum(axis=1) == 2))[0])
    assert set(binarizer.inverse_transform(found)[right]) == set(tags[right])


def test_lists_of_labels_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        make_classifier().fit(["a b", "c d", "e"], [["x"], ["x", "y"], []])


def test_the_seed_decides() -> None:
    texts, labels = make_texts()
    first, again, other = (
        make_classifier(random_state=seed, max_epochs=2).fit(texts, labels).predict_proba(texts) for seed in (1, 1, 2)
    )
    assert (first == again).all() and not np.allclose(first, other)
    drawn = make_classifier(random_state=np.random.RandomState(5), max_epochs=2)
    assert np.allclose(
        drawn.fit(texts, labels).predict_proba(texts),
        clone(drawn).set_params(random_state=np.random.RandomState(5)).fit(texts, labels).predict_proba(texts),
    )


def test_the_int_is_the_seed_of_the_command_line(tmp_path: Path) -> None:
    texts, labels = make_texts(100)
    table = tmp_path / "texts.tsv"
    table.write_text("label\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in zip(labels, texts, strict=True)))
    overrides = [f"{name}={value}" for name, value in SMALL.items()]
    overrides += ["training.learning_rate=0.05", "training.max_epochs=12", "training.batch_size=20"]
    wenmo.train(table, model="bag", out=tmp_path / "model", overrides=[*overrides, "data.dev_share=0"], seed=7)
    classifier = make_classifier(random_state=7, validation_fraction=0.0).fit(texts, labels)
    theirs = wenmo.load(tmp_path / "model").probabilities(texts)
    np.testing.assert_array_equal(classifier.predictor_.probabilities(texts), theirs)


def test_a_share_is_kept_from_training_to_stop_by() -> None:
    texts, labels = make_texts(60)
    kept = make_classifier(validation_fraction=0.2).fit(texts, labels).predictor_.folder
    assert kept.metrics["dev"]["accuracy"]["value"] > 0.5 and "Train 48 texts, dev 12" in kept.card
    whole = make_classifier(validation_fraction=0.0).fit(texts, labels).predictor_.folder
    assert whole.metrics["dev"] == {} and "Train 60 texts, dev 0" in whole.card


# ---- scikit-learn's tools --------------------------------------------------------------------------------------------


def test_pipeline_and_cross_validation() -> None:
    texts, labels = make_texts(90)
    upper = [text.upper() for text in texts]
    lower = FunctionTransformer(lambda column: [text.lower() for text in column])
    pipeline = Pipeline([("lower", lower), ("model", make_classifier())])
    assert cross_val_score(pipeline, upper, labels, cv=3, error_score="raise").mean() > 0.9
    with pytest.raises(NotFittedError):
        pipeline.predict(upper)


def test_grid_search_over_parameters_and_over_any_field() -> None:
    texts, labels = make_texts(120)
    grid = {"learning_rate": [1e-9, 0.05], "settings": [{**SMALL, "model.embedding_size": 4}, SMALL]}
    search = GridSearchCV(make_classifier(), grid, cv=2, error_score="raise").fit(texts, labels)
    assert search.best_params_["learning_rate"] == 0.05 and search.best_score_ > 0.8
    assert search.score(*make_texts(20, seed=3)) > 0.8
    models = GridSearchCV(make_classifier(settings=None), {"model": ["tfidf", "bag"]}, cv=2).fit(texts, labels)
    assert set(models.cv_results_["param_model"]) == {"tfidf", "bag"}


def test_processes_send_it_to_each_other() -> None:
    texts, labels = make_texts(40)
    grid = {"validation_fraction": [0.0, 0.2]}
    search = GridSearchCV(make_classifier(), grid, cv=2, n_jobs=2, error_score="raise").fit(texts, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all() and search.predict(texts).shape == (40,)


def test_it_stands_inside_other_estimators() -> None:
    texts, labels = make_texts(60)
    y = [f"{label}{i % 4 // 2}" for i, label in enumerate(labels)]
    inner = make_classifier("tfidf")
    assert OneVsRestClassifier(inner).fit(np.array(texts, object), y).predict_proba(texts[:2]).shape == (2, 4)


def test_any_field_of_a_recipe_is_a_setting() -> None:
    settings = {
        **SMALL, "task.class_weights": "balanced", "data.max_length": 3, "data.long_texts": "tail",
        "data.tokenizer.segmenter": "characters", "data.tokenizer.min_frequency": 2, "training.weight_decay": 0.1,
    }  # fmt: skip
    recipe = make_classifier(settings=settings)._recipe(["a", "b"], several=False)
    assert (recipe.data.max_length, recipe.data.long_texts, recipe.data.tokenizer.min_frequency) == (3, "tail", 2)
    assert recipe.data.tokenizer.segmenter == "characters"
    assert (recipe.task.class_weights, recipe.training.weight_decay) == ("balanced", 0.1)
    assert recipe.training.learning_rate == 0.05 and recipe.model.to_dict()["embedding_size"] == 8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "textcn"}, "there is no model 'textcn'"),
        ({"settings": {"training.learning_rat": 1}}, "did you mean 'learning_rate'"),
        ({"settings": {"data.dev": "x.tsv"}}, "X and validation_fraction says this"),
        ({"settings": {"task.labels": ["a"]}}, "y says this"),
        ({"settings": {"training.seed": 1}}, "random_state says this"),
        ({"settings": {"dropout": 1}}, "name a field by its path"),
        ({"settings": {"data.tokenizer": "words", "data.tokenizer.lowercase": False}}, "stands beside the whole of it"),
        ({"validation_fraction": 1.0}, "at least 0 and below 1"),
        ({"learning_rate": -1.0}, "training.learning_rate"),
    ],
)
def test_parameters_that_cannot_work(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_classifier(**parameters).fit(*make_texts())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one string", "pass a list of texts"),
        (np.array([["a"], ["b"]]), "2 dimensions"),
        (["a", None], r"X\[1\] is None, a NoneType"),
        (["a", 3.5], r"X\[1\] is 3.5, a float"),
        ([], "minimum of 1 is required"),
        (5, "texts stand in one"),
    ],
)
def test_texts_that_are_none(texts: Any, message: str, fitted: TextClassifier) -> None:
    for ask in (fitted.predict, fitted.predict_proba, lambda x: make_classifier().fit(x, ["a", "b"])):
        with pytest.raises(ValueError, match=message):
            ask(texts)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["a"] * 4, "1 class, 'a'"),
        ([0.5, 1.5, 2.5, 0.25], "continuous"),
        (["a", "b", "a"], "inconsistent numbers of samples"),
    ],
)
def test_labels_that_cannot_be(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier().fit(["a b", "c d", "e f", "g h"], y)


def test_columns_of_pandas_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    texts, labels = make_texts()
    table = pandas.DataFrame({"text": texts, "label": labels}, index=range(100, 160))
    classifier = make_classifier().fit(table["text"], table["label"])
    assert (classifier.predict(table["text"]) == table["label"]).mean() > 0.95
    with pytest.raises(ValueError, match="2 dimensions"):
        classifier.predict(table)


# ---- keeping ---------------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_and_is_a_model_folder(fitted: TextClassifier, tmp_path: Path) -> None:
    texts, _ = make_texts(20, seed=4)
    fitted.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model", device="cpu")
    assert (again.predict_proba(texts) == fitted.predict_proba(texts)).all()
    assert again.get_params() == fitted.get_params() and again.classes_.dtype == fitted.classes_.dtype
    assert [answer.label for answer in wenmo.load(tmp_path / "model").predict(texts)] == fitted.predict(texts).tolist()
    assert not [file for file in (tmp_path / "model").iterdir() if file.suffix in (".pkl", ".joblib", ".bin")]
    assert json.loads((tmp_path / "model" / "sklearn.json").read_text())["classes"]["values"] == ["bad", "good"]
    with pytest.raises(NotFittedError):
        TextClassifier().save(tmp_path / "empty")


@pytest.mark.parametrize("model", ["bag", "nbsvm"])
def test_a_folder_of_the_command_line_is_read_and_fitted_again_alike(model: str, tmp_path: Path) -> None:
    texts, labels = make_texts(100)
    table = tmp_path / "texts.tsv"
    table.write_text("label\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in zip(labels, texts, strict=True)))
    overrides = [f"{name}={value}" for name, value in SMALL.items()] if model == "bag" else []
    wenmo.train(table, model=model, out=tmp_path / "model", overrides=[*overrides, "training.learning_rate=0.05"])
    classifier = TextClassifier.load(tmp_path / "model", device="cpu")
    assert classifier.model == model and classifier.predict(texts[:2]).tolist() == ["good", "bad"]
    again = clone(classifier).fit(texts, labels)
    assert again.predictor_.task.extractor_config == classifier.predictor_.task.extractor_config
    np.testing.assert_allclose(again.predict_proba(texts), classifier.predict_proba(texts), atol=0.35)


def test_a_pickle_holds_files_and_values_and_a_fit_after_it_works(fitted: TextClassifier) -> None:
    state = fitted.__getstate__()
    assert set(state["files"]) >= {"config.json", "model.safetensors", "tokenizer.json", "recipe.toml"}
    assert all(isinstance(content, bytes) for content in state["files"].values())
    names = {name.split(".")[0] for name in _classes_named_in(pickle.dumps(fitted))}
    assert "torch" not in names and "tokenizers" not in names
    texts, labels = make_texts(20, seed=4)
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(texts) == fitted.predict_proba(texts)).all()
    assert again.fit(texts, labels).predict(texts).shape == (20,)
    assert "files" not in vars(again) and hasattr(fitted, "predictor_"), "pickling changed the estimator"


def _classes_named_in(content: bytes) -> set[str]:
    """Modules of everything that a pickle would import."""
    import pickletools

    strings: list[str] = []
    modules = set()
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == "STACK_GLOBAL":
            modules.add(strings[-2])
        elif isinstance(argument, str):
            strings.append(argument)
    return modules


def test_a_missing_label_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"y has no label at place 1 \(None\)"):
        TextClassifier("bag").fit(["a", "b", "c"], ["x", None, "y"])
