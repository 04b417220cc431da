"""What a model said is kept beside its answers, because each fold's model decides by thresholds of its own."""

from typing import Any

import numpy as np
import pytest

from wenmo.experiments.judging import Judged
from wenmo.models.registry import build_model, with_sizes
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.training.recipe import Recipe


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_models_are_compared_by_what_they_said(metric: Any) -> None:
    config = with_sizes(Recipe.build(model="tfidf").model, 4, 2)
    labels = ClassificationConfig(labels=("bad", "good"), metric=metric)
    task = Classification(build_model(config), config, labels)
    gold = np.arange(40) % 2
    answers = np.full((40, 2), 0.5, np.float32)
    right = gold[:, None] == np.arange(2)
    mine, theirs = (Judged(task, gold, answers, said) for said in (right, ~right))
    assert mine.differs_by_chance(mine) == 1
    assert mine.differs_by_chance(theirs) < 0.001
