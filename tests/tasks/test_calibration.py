"""Temperatures known beforehand, scikit-learn's solution of the same problem, and a classifier that holds it."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from wenmo.tasks.calibration import Rescaling, choose_rescaling, fit_rescaling, fold_into
from wenmo.tasks.hierarchy import Hierarchy


def drawn(scale: float, rows: int = 4000, labels: int = 3) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are ``scale`` times too large, and labels drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(rows, labels)) * 2
    shares = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    gold = (shares.cumsum(axis=1) < rng.uniform(size=(rows, 1))).sum(axis=1)
    return true * scale, gold


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_temperature_that_was_put_in_is_found(temperature: float) -> None:
    found = fit_rescaling(*drawn(temperature), multi_label=False, method="temperature")
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.shift == (0, 0, 0) and found.loss_after <= found.loss_before + 1e-9


def test_the_temperature_is_where_the_likelihood_is_largest() -> None:
    logits, gold = drawn(2.0, rows=300)
    found = fit_rescaling(logits, gold, False, "temperature").scale[0]

    def loss(scale: float) -> float:
        scores = logits * scale
        likelihood = scores[np.arange(300), gold] - np.log(np.exp(scores).sum(axis=1))
        return -float(likelihood.sum()) + np.log(scale) ** 2 / 18  # the prior is one row's worth

    assert loss(found) < min(loss(found * 1.001), loss(found / 1.001))


def test_of_several_labels_scale_and_shift_are_those_of_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3000, 2)) * 3
    gold = (rng.uniform(size=(3000, 2)) < 1 / (1 + np.exp(-(logits * [0.5, 0.8] + [0.3, -0.6])))).astype(np.float64)
    found = fit_rescaling(logits, gold, multi_label=True, method="vector")
    for label in range(2):
        oracle = LogisticRegression(C=1e6, tol=1e-10).fit(logits[:, [label]], gold[:, label])
        assert found.scale[label] == pytest.approx(oracle.coef_[0, 0], abs=5e-3)
        assert found.shift[label] == pytest.approx(oracle.intercept_[0], abs=5e-3)
    assert found.temperature is None


def test_more_than_a_temperature_is_fitted_only_where_it_clearly_helps() -> None:
    logits, gold = drawn(2.0, rows=2000)
    assert choose_rescaling(logits, gold, multi_label=False).method == "temperature"
    shifted = logits + np.array([3.0, 0, -3.0])
    assert choose_rescaling(shifted, gold, multi_label=False).method == "shift"
    assert choose_rescaling(shifted[:20], gold[:20], multi_label=False).method == "temperature"


def test_a_model_without_a_mistake_keeps_a_finite_temperature() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0]] * 10)
    found = fit_rescaling(logits, np.array([0, 1] * 10), False, "temperature")
    assert 1 < found.scale[0] < 100


def test_the_classifier_holds_the_rescaling() -> None:
    torch.manual_seed(0)
    classifier = nn.Linear(4, 3)
    vectors = torch.randn(7, 4)
    before = classifier(vectors).detach().double()
    logits, gold = drawn(3.0, rows=300)
    found = fit_rescaling(logits, gold, False, "vector")
    fold_into(classifier, found)
    wanted = before * torch.tensor(found.scale) + torch.tensor(found.shift)
    torch.testing.assert_close(classifier(vectors).double(), wanted, rtol=1e-5, atol=1e-6)


def test_calibration_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="labelled rows"):
        choose_rescaling(np.empty((0, 2)), np.empty(0, np.int64), multi_label=False)


def test_a_node_keeps_what_the_labels_below_it_share() -> None:
    tree = Hierarchy(("a/x", "a/y", "b"), "/")
    torch.manual_seed(0)
    classifier = nn.Linear(4, len(tree.nodes))
    before, vectors, on_path = classifier.weight.detach().clone(), torch.randn(7, 4), torch.tensor(tree.on_path)
    wanted = classifier(vectors) @ on_path.t() * 2 + torch.tensor([1.0, 0.0, -1.0])
    fold_into(classifier, Rescaling("shift", (2.0, 2.0, 2.0), (1.0, 0.0, -1.0), 0.0, 0.0), tree)
    torch.testing.assert_close(classifier(vectors) @ on_path.t(), wanted)
    assert torch.equal(classifier.weight, before * 2)
