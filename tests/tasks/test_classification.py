"""The classification task: losses, labels, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.bag import Bag, BagConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.task import Example


def make_task(**values: object) -> Classification:
    config = BagConfig(vocab_size=9, embedding_size=4, max_ngram=1)
    task = Classification(
        Bag(config), config, ClassificationConfig.from_dict({"labels": ["a", "b", "c"], "dropout_prob": 0.0, **values})
    )
    task.initialize(torch.Generator().manual_seed(0))
    nn.init.normal_(task.classifier.weight, generator=torch.Generator().manual_seed(1))
    return task


STORE = TokenStore.from_rows(input_ids=[[1, 2], [3], [4, 5, 6]], labels=[[0], [2], [1]])


def test_the_loss_is_the_sum_of_the_negative_log_probabilities_and_its_count() -> None:
    task = make_task()
    example = task.example(STORE, np.arange(3))
    loss, count = task(example)
    probabilities = task.answers(example.batch).detach()
    by_hand = -sum(math.log(float(probabilities[row, label])) for row, label in enumerate([0, 2, 1]))
    assert count.item() == 3
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_a_label_of_minus_100_is_not_counted() -> None:
    task = make_task()
    example = task.example(STORE, np.arange(3))
    kept = Example(batch=example.batch, labels=torch.tensor([0, -100, 1]))
    loss, count = task(kept)
    whole = sum(task(task.example(STORE, np.array([row])))[0] for row in (0, 2))
    assert count.item() == 2 and loss.item() == pytest.approx(whole.item(), rel=1e-5)


def test_several_labels_are_independent_yes_or_no_answers() -> None:
    task = make_task(multi_label=True)
    store = TokenStore.from_rows(input_ids=[[1, 2], [3]], labels=[[0, 2], []])
    example = task.example(store, np.arange(2))
    assert example.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    loss, count = task(example)
    p = task.answers(example.batch).detach().double()
    gold = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    by_hand = -(gold * p.log() + (1 - gold) * (1 - p).log()).mean(dim=1).sum()
    assert count.item() == 2 and loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert task.score(task.gold(store), np.array([[0.9, 0.1, 0.7], [0.2, 0.6, 0.1]], np.float32)) == 0.5


def test_a_single_label_is_refused() -> None:
    config = BagConfig(vocab_size=9)
    with pytest.raises(InputError, match="at least two labels"):
        Classification(Bag(config), config, ClassificationConfig(labels=("a",)))


def test_the_classifier_starts_at_zero_so_that_every_label_is_as_likely() -> None:
    config = BagConfig(vocab_size=9)
    task = Classification(Bag(config), config, ClassificationConfig(labels=("a", "b", "c", "d")))
    task.initialize(torch.Generator().manual_seed(0))
    answers = task.eval().answers(make_task().example(STORE, np.arange(3)).batch)
    assert torch.equal(answers, torch.full((3, 4), 0.25))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "micro_f1"])
def test_models_are_chosen_by_what_they_say_with_their_thresholds(metric: str) -> None:
    task = make_task(metric=metric, thresholds=(0.9, 0.1))
    gold, answers = np.array([0, 1, 1]), np.array([[0.95, 0.05], [0.8, 0.2], [0.7, 0.3]], np.float32)
    assert task.score(gold, answers) == task.measure(gold, answers)[metric]["value"] == 1
