"""The convex fit of the linear baselines, by scikit-learn.

The solver sees the very values that the model computes for each n-gram, so that what was fitted is what answers.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.data.batching import FIRST, SECOND, BatchOrder, row_places, second_batch, store_batch
from wenmo.data.store import TokenStore
from wenmo.models.linear import COMPARED, Linear, LinearConfig
from wenmo.tasks.classification import Classification
from wenmo.tasks.losses import text_weights
from wenmo.tasks.pairs import one_above_the_other

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_OF_TEXTS = {"logistic": (1.0, 3.0, 10.0, 30.0), "naive-bayes-svm": (0.01, 0.03, 0.1, 0.3, 1.0)}
_OF_PAIRS = {"logistic": (0.3, 1.0, 3.0, 10.0), "naive-bayes-svm": (0.001, 0.003, 0.01, 0.03, 0.1)}
"""Regularizations to choose from; an n-gram has more weights where two texts are compared."""
_SMOOTHING = 1.0
"""Wang and Manning's alpha."""
_ROWS_FOR_CHOOSING = 10_000
_LOGISTIC_TOLERANCE, _SVM_TOLERANCE = 1e-3, 1e-2
"""The answers on dev do not change below them, the time does."""
_NEVER = -30.0
"""The score of a label that stands on no text that was fitted on."""

_Comparison = Literal["auto", "symmetric", "directed"]


def fit_linear(task: Classification, train: TokenStore, dev: TokenStore | None) -> dict[str, float]:
    """Find the weights of a linear model and put them into the task.

    Where the configuration leaves ``regularization`` open, or of pairs ``comparison``, it is the one with the best
    score on dev, or on every fifth row of train where there is no dev; of a large train, 10,000 rows are enough to
    find it.

    With ``class_weights="balanced"`` each text counts in every fit as often as its weight says. Document frequencies
    and the ratios of naive Bayes, which compare shares within each side, are those of the texts as they are.

    Returns:
        The regularization that was used, and its score on dev where one was looked for.
    """
    model = task.extractor
    assert isinstance(model, Linear)
    gold, weights_of_texts = _hot(task, train), _weights(task, train)
    _set_idf(model, train)
    matrix = _matrix(model, train)
    config, several = model.config, task.config.multi_label
    candidates = [(strength, way) for way in _ways(config) for strength in _strengths(config)]
    (strength, way), found = candidates[0], {}
    if len(candidates) > 1:
        if dev is None:
            held = np.arange(len(train)) % 5 == 0
            fit_on = (matrix[~held], gold[~held], weights_of_texts[~held])
            look_at = (matrix[held], gold[held])
        else:
            fit_on, look_at = (matrix, gold, weights_of_texts), (_matrix(model, dev), _hot(task, dev))
        every = -(-len(fit_on[1]) // _ROWS_FOR_CHOOSING)
        fit_on = (fit_on[0][::every], fit_on[1][::every], fit_on[2][::every])
        scores = {}
        for candidate in candidates:
            weights, bias = _solve(*fit_on, *candidate, config, several)
            logits = torch.from_numpy(look_at[0] @ weights + bias).float()
            right = look_at[1] if several else look_at[1].argmax(axis=1)
            scores[candidate] = task.score(right, task.probabilities(logits).numpy())
        # Of equals the first: symmetric, and the smaller strength.
        strength, way = max(candidates, key=scores.__getitem__)
        found = {"score": scores[strength, way]}
    weights, bias = _solve(matrix, gold, weights_of_texts, strength, way, config, several)
    with torch.no_grad():
        model.weights.weight.copy_(torch.from_numpy(weights))
        task.classifier.weight.copy_(torch.eye(len(task.config.labels)))
        task.classifier.bias.copy_(torch.from_numpy(np.asarray(bias)))
    task.extractor_config = model.config = replace(config, regularization=strength, comparison=way)
    task.eval()
    return {"regularization": strength, **found}


def _strengths(config: LinearConfig) -> tuple[float, ...]:
    if config.regularization:
        return (config.regularization,)
    return (_OF_PAIRS if config.compares else _OF_TEXTS)[config.solver]


def _ways(config: LinearConfig) -> tuple[_Comparison, ...]:
    """Ways to compare two texts; for single texts there is nothing to choose."""
    return ("symmetric", "directed") if config.compares and config.comparison == "auto" else (config.comparison,)


def _solve(
    matrix: "csr_matrix",
    gold: NDArray[np.bool_],
    weights_of_texts: NDArray[np.float64],
    strength: float,
    way: _Comparison,
    config: LinearConfig,
    multi_label: bool,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights for each column of the matrix; where the order of two texts shall not matter, both sides share theirs."""
    solve = _SOLVERS[config.solver]
    if not config.compares or way == "directed":
        return solve(matrix, gold, weights_of_texts, strength, config, multi_label)
    from scipy.sparse import hstack

    shared, first, second = (matrix[:, i * config.vocab_size : (i + 1) * config.vocab_size] for i in range(COMPARED))
    tied = hstack([shared, first + second]).tocsr()
    weights, bias = solve(tied, gold, weights_of_texts, strength, config, multi_label)
    of_shared, of_alone = np.split(weights, 2)
    return np.concatenate([of_shared, of_alone, of_alone]), bias


def _hot(task: Classification, store: TokenStore) -> NDArray[np.bool_]:
    """``(rows, num_labels)``: which labels a row has."""
    gold = task.gold(store)
    return gold > 0 if task.config.multi_label else gold[:, None] == np.arange(len(task.config.labels))


def _weights(task: Classification, store: TokenStore) -> NDArray[np.float64]:
    """``(rows, num_labels)``: what a row counts where a label is told from the rest."""
    num_labels = len(task.config.labels)
    if task.config.class_weights == "balanced":
        return text_weights(task.gold(store), num_labels)
    return np.ones((len(store), num_labels))


def _set_idf(model: Linear, store: TokenStore) -> None:
    if not model.config.use_idf:
        return
    texts_with = np.zeros(model.config.vocab_size, np.int64)
    columns = [store[name] for name in (FIRST, SECOND) if name in store.columns]
    for column in columns:
        for row in range(len(column)):
            texts_with[np.unique(column[row])] += 1
    num_texts = len(store) * len(columns)
    model.idf.copy_(torch.from_numpy(np.log((1 + num_texts) / (1 + texts_with)) + 1))


@torch.no_grad()
def _matrix(model: Linear, store: TokenStore) -> "csr_matrix":
    """``(rows, vocab_size)``: the value of each n-gram in each text; of pairs ``(rows, 3 * vocab_size)``."""
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for chosen in BatchOrder(batch_tokens=1 << 18, bucket=1 << 20, shuffle=False).epoch(row_places(store.columns), 0):
        batch, second = store_batch(store, chosen), second_batch(store, chosen)
        assert batch.input_ids is not None
        if second is None:
            ids, value = batch.input_ids, model.values(batch.input_ids, batch.attention_mask)
        else:
            ids, value = model.compared(one_above_the_other(batch, second))
        where, place = torch.nonzero(value, as_tuple=True)
        rows.append(chosen[where.numpy()])
        columns.append(ids[where, place].numpy())
        values.append(value[where, place].numpy())
    shape = (len(store), model.weights.num_embeddings)
    cells = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(cells, shape=shape, dtype=np.float64)


def _logistic(
    matrix: "csr_matrix",
    hot: NDArray[np.bool_],
    counts: NDArray[np.float64],
    strength: float,
    config: LinearConfig,
    multi_label: bool,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logistic regression, each label against the rest: weights ``(vocab_size, num_labels)`` and biases.

    On ten labels and 45,000 titles this takes a quarter of the time of one multinomial fit and is no worse on dev.
    """
    from sklearn.linear_model import LogisticRegression

    del config

    def one_against_rest(yes: NDArray[np.bool_], count: NDArray[np.float64]) -> tuple[NDArray[Any], float]:
        solver = LogisticRegression(C=strength, solver="liblinear", tol=_LOGISTIC_TOLERANCE)
        fitted = solver.fit(matrix, yes, sample_weight=count)
        return fitted.coef_[0], float(fitted.intercept_[0])

    return _each_label(hot, counts, matrix.shape[1], one_against_rest, multi_label)


def _naive_bayes_svm(
    matrix: "csr_matrix",
    hot: NDArray[np.bool_],
    counts: NDArray[np.float64],
    strength: float,
    config: LinearConfig,
    multi_label: bool,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Wang and Manning's SVM over counts scaled by log-count ratios, its margins turned into log-odds.

    Section 2: ``r = log((p / |p|) / (q / |q|))`` scales the counts; the weights are interpolated with their mean size.
    The log-odds are Platt's, from margins of every fifth row that a machine without these rows gives.
    """
    from sklearn.svm import LinearSVC

    def machine(
        rows: NDArray[np.bool_], yes: NDArray[np.bool_], count: NDArray[np.float64]
    ) -> tuple[NDArray[Any], float]:
        inside, outside = (matrix[rows & side].sum(axis=0).A1 + _SMOOTHING for side in (yes, ~yes))
        ratio = np.log((inside / inside.sum()) / (outside / outside.sum()))
        fitted = LinearSVC(C=strength, dual=False, tol=_SVM_TOLERANCE).fit(
            matrix[rows].multiply(ratio).tocsr(), yes[rows], sample_weight=count[rows]
        )
        found = fitted.coef_[0]
        mixed = (1 - config.interpolation) * np.abs(found).mean() + config.interpolation * found
        return mixed * ratio, float(fitted.intercept_[0])

    def one_against_rest(yes: NDArray[np.bool_], count: NDArray[np.float64]) -> tuple[NDArray[Any], float]:
        held = np.arange(len(yes)) % 5 == 4
        scale, shift = 1.0, 0.0
        if all(0 < yes[side].sum() < side.sum() for side in (held, ~held)):
            weights, bias = machine(~held, yes, count)
            scale, shift = _log_odds(matrix[held] @ weights + bias, yes[held], count[held])
        weights, bias = machine(np.ones(len(yes), bool), yes, count)
        return scale * weights, scale * bias + shift

    return _each_label(hot, counts, matrix.shape[1], one_against_rest, multi_label)


_Solver = Callable[
    ["csr_matrix", NDArray[np.bool_], NDArray[np.float64], float, LinearConfig, bool], tuple[NDArray[Any], NDArray[Any]]
]
_SOLVERS: dict[str, _Solver] = {"logistic": _logistic, "naive-bayes-svm": _naive_bayes_svm}


def _log_odds(margins: NDArray[Any], yes: NDArray[np.bool_], count: NDArray[np.float64]) -> tuple[float, float]:
    """Platt's scale and shift from margins to log-odds; the scale is never negative."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(margins[:, None], yes, sample_weight=count)
    return max(float(fitted.coef_[0, 0]), 1e-6), float(fitted.intercept_[0])


def _each_label(
    hot: NDArray[np.bool_],
    counts: NDArray[np.float64],
    num_features: int,
    solve: Callable[[NDArray[np.bool_], NDArray[np.float64]], tuple[NDArray[Any], float]],
    multi_label: bool,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A score for each label against the rest; of two labels, two scores whose softmax is the sigmoid of one."""

    def solved(yes: NDArray[np.bool_], count: NDArray[np.float64]) -> tuple[NDArray[Any], float]:
        if yes.all() or not yes.any():
            return np.zeros(num_features), -_NEVER if yes.all() else _NEVER
        return solve(yes, count)

    if hot.shape[1] == 2 and not multi_label:
        weights, bias = solved(hot[:, 1], counts[:, 1])
        return np.stack([-weights / 2, weights / 2], axis=1), np.array([-bias / 2, bias / 2])
    found = [solved(yes, count) for yes, count in zip(hot.T, counts.T, strict=True)]
    return np.stack([weights for weights, _ in found], axis=1), np.array([bias for _, bias in found])
