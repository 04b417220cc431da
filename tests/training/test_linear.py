"""The convex fit where the data leave it little to fit."""

import numpy as np
import pytest
import torch

from wenmo.data.store import TokenStore
from wenmo.models.linear import Linear, LinearConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.training.linear import fit_linear
from wenmo.training.loop import answer_store


@pytest.mark.parametrize("solver", ["logistic", "naive-bayes-svm"])
@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_a_label_without_texts_is_never_the_answer(solver: str, labels: tuple[str, ...]) -> None:
    config = LinearConfig(vocab_size=6, num_outputs=len(labels), solver=solver)  # type: ignore[arg-type]
    task = Classification(Linear(config), config, ClassificationConfig(labels=labels))
    store = TokenStore.from_rows(input_ids=[[2, 3], [4], [5, 2], [3, 5]] * 3, labels=[[1], [0], [1], [0]] * 3)
    alone = TokenStore.from_rows(input_ids=[[2, 3], [4], [5, 2]], labels=[[1], [1], [1]])
    fit_linear(task, store if len(labels) == 3 else alone, None)
    answers = answer_store(task, store, torch.device("cpu"), "float32")
    assert np.isfinite(answers).all()
    assert answers[:, 2 if len(labels) == 3 else 0].max() < 1e-6
