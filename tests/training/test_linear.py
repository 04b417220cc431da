"""The convex fit where the data leave it little to fit."""

import numpy as np
import pytest
import torch

from wenmo.data.store import TokenStore
from wenmo.models.linear import Linear, LinearConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.training.linear import fit_linear


@pytest.mark.parametrize("solver", ["logistic", "naive-bayes-svm"])
@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_a_label_without_texts_is_never_the_answer(solver: str, labels: tuple[str, ...]) -> None:
    config = LinearConfig(vocab_size=6, num_outputs=len(labels), solver=solver)  # type: ignore[arg-type]
    task = Classification(Linear(config), config, ClassificationConfig(labels=labels))
    store = TokenStore.from_rows(input_ids=[[2, 3], [4], [5, 2], [3, 5]] * 3, labels=[[1], [0], [1], [0]] * 3)
    alone = TokenStore.from_rows(input_ids=[[2, 3], [4], [5, 2]], labels=[[1], [1], [1]])
    fit_linear(task, store if len(labels) == 3 else alone, None)
    answers = task.answer_store(store, torch.device("cpu"))
    assert np.isfinite(answers).all()
    assert answers[:, 2 if len(labels) == 3 else 0].max() < 1e-6


def fitted(solver: str, class_weights: str, multi_label: bool = False) -> tuple[Classification, TokenStore]:
    rng = np.random.default_rng(0)
    rows, labels = [], []
    for i in range(300):
        rare = i % 19 == 0
        rows.append([*rng.integers(2, 12, 6), *([12] if rng.random() < (0.7 if rare else 0.1) else [])])
        labels.append([0, 1] if rare and multi_label else [int(rare)])
    config = LinearConfig(vocab_size=13, num_outputs=2, solver=solver, regularization=1.0)  # type: ignore[arg-type]
    settings = ClassificationConfig(labels=("often", "rare"), class_weights=class_weights, multi_label=multi_label)  # type: ignore[arg-type]
    task = Classification(Linear(config), config, settings)
    store = TokenStore.from_rows(input_ids=rows, labels=labels)
    fit_linear(task, store, None)
    return task, store


@pytest.mark.parametrize("solver", ["logistic", "naive-bayes-svm"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_class_weights_find_more_of_a_rare_label(solver: str, multi_label: bool) -> None:
    found = {}
    for class_weights in ("none", "balanced"):
        task, store = fitted(solver, class_weights, multi_label)
        answers = task.answer_store(store, torch.device("cpu"))
        found[class_weights] = answers[::19, 1].mean()
    assert found["balanced"] > found["none"] + 0.2


def test_a_weighted_fit_is_that_of_repeated_texts() -> None:
    """Logistic regression with weights 71 to 4 has the optimum of one on so many copies of each text."""
    from sklearn.linear_model import LogisticRegression

    task, store = fitted("logistic", "balanced")
    gold = task.gold(store)
    matrix = np.zeros((300, 13))
    for row, ids in enumerate(store["input_ids"].take(range(300))):
        counts = np.bincount(ids, minlength=13).astype(float)
        value = np.where(counts > 0, np.log(np.maximum(counts, 1)) + 1, 0) * task.extractor.idf.numpy()  # type: ignore[union-attr, operator]
        matrix[row] = value / np.linalg.norm(value)
    # 16 rare and 284 other texts weigh 300 / (2 * 16) and 300 / (2 * 284): 71 to 4.
    repeated = np.repeat(np.arange(300), np.where(gold == 1, 71, 4))
    theirs = LogisticRegression(C=300 / (2 * 16) / 71, solver="liblinear", tol=1e-6)
    theirs.fit(matrix[repeated], gold[repeated])
    answers = task.answer_store(store, torch.device("cpu"))[:, 1]
    np.testing.assert_allclose(answers, theirs.predict_proba(matrix)[:, 1], atol=5e-3)
