"""Every loss by hand arithmetic and against torch, and that parts of a batch add up."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F

from wenmo.tasks.losses import ClassificationLoss, balanced_weights, text_weights

GOLD = np.array([0, 0, 0, 0, 1, 1, 2, 2])


def make_loss(weighted: bool = False, multi_label: bool = False, **values: object) -> ClassificationLoss:
    settings = {"loss": "cross_entropy", "focal_gamma": 2.0, "label_smoothing": 0.0, **values}
    loss = ClassificationLoss(multi_label=multi_label, **settings)  # type: ignore[arg-type]
    if weighted:
        loss.weigh_by(np.eye(3, dtype=int)[GOLD] if multi_label else GOLD, 3)
    return loss


def some_logits(rows: int = 8) -> Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_focal_loss_by_hand() -> None:
    """Probabilities 1/4 and 3/4: (1 - 1/4)^2 * log 4 for the first class, (1 - 3/4)^2 * log(4/3) for the second."""
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64).expand(2, 2)
    summed, count = make_loss(loss="focal")(logits, torch.tensor([0, 1]))
    assert summed.item() == pytest.approx(9 / 16 * math.log(4) + 1 / 16 * math.log(4 / 3), rel=1e-12)
    assert count.item() == 2


def test_smoothed_labels_by_hand() -> None:
    """Of 0.2 each of two classes gets 0.1: 0.9 * log 4 + 0.1 * log(4/3)."""
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    summed, _ = make_loss(label_smoothing=0.2)(logits, torch.tensor([0]))
    assert summed.item() == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3), rel=1e-12)


def test_inverse_frequencies_by_hand() -> None:
    """8 texts of 3 classes: 8 / (3 * 4), 8 / (3 * 2), 8 / (3 * 2); every class weighs 8 / 3, a text 1 on average."""
    weights = balanced_weights(GOLD, 3)
    assert weights.tolist() == [8 / 12, 8 / 6, 8 / 6]
    assert weights[GOLD].mean() == pytest.approx(1)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=GOLD))
    assert balanced_weights(GOLD, 4).tolist() == [8 / 12, 8 / 6, 8 / 6, 0], "a class without texts has no weight"


def test_inverse_frequencies_of_several_labels_by_hand() -> None:
    """Label a on 1 of 4 texts: no 4 / (2 * 3), yes 4 / (2 * 1). Label b on all: yes 1. Label c on none: no 1."""
    hot = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    weights = balanced_weights(hot, 3)
    assert weights.tolist() == [[4 / 6, 0, 1], [2, 1, 0]]
    assert text_weights(hot, 3).tolist() == [[2, 1, 1], [4 / 6, 1, 1], [4 / 6, 1, 1], [4 / 6, 1, 1]]
    assert text_weights(np.array([0, 1, 1, 1]), 2).tolist() == [[2, 2], *[[4 / 6, 4 / 6]] * 3]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_sum_is_that_of_torch(weighted: bool, smoothing: float) -> None:
    logits, labels = some_logits().float(), torch.from_numpy(GOLD).clone()
    labels[3] = -100
    loss = make_loss(weighted, label_smoothing=smoothing)
    summed, count = loss(logits, labels)
    theirs = F.cross_entropy(logits, labels, loss.weights, label_smoothing=smoothing, reduction="sum")
    assert torch.equal(summed, theirs) and count.item() == 7


def test_over_all_training_texts_our_mean_is_the_weighted_mean_of_torch() -> None:
    loss = make_loss(weighted=True)
    summed, count = loss(some_logits().float(), torch.from_numpy(GOLD))
    theirs = F.cross_entropy(some_logits().float(), torch.from_numpy(GOLD), loss.weights, reduction="mean")
    assert (summed / count).item() == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("multi_label", [False, True])
def test_focal_loss_with_gamma_0_is_cross_entropy(weighted: bool, smoothing: float, multi_label: bool) -> None:
    labels = torch.from_numpy(np.eye(3, dtype=int)[GOLD] if multi_label else GOLD)
    plain = make_loss(weighted, multi_label, label_smoothing=smoothing)(some_logits().float(), labels)
    focal = make_loss(weighted, multi_label, label_smoothing=smoothing, loss="focal", focal_gamma=1e-9)
    torch.testing.assert_close(focal(some_logits().float(), labels), plain)


def test_one_label_with_focus_smoothing_and_weights_is_the_formula_spelled_out() -> None:
    loss, gamma, smoothing = make_loss(weighted=True, loss="focal", focal_gamma=1.5, label_smoothing=0.1), 1.5, 0.1
    weights = balanced_weights(GOLD, 3)
    by_hand = 0.0
    for row, label in zip(some_logits().softmax(dim=1).tolist(), GOLD.tolist(), strict=True):
        for c, p in enumerate(row):
            q = (1 - smoothing) * (c == label) + smoothing / 3
            by_hand += q * weights[c] * (1 - p) ** gamma * -math.log(p)
    summed, _ = loss(some_logits(), torch.from_numpy(GOLD))
    assert summed.item() == pytest.approx(by_hand, rel=1e-6)  # the weights are float32


def test_several_labels_with_focus_smoothing_and_weights_are_the_formula_spelled_out() -> None:
    hot = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    loss = make_loss(multi_label=True, loss="focal", focal_gamma=1.5, label_smoothing=0.1)
    loss.weigh_by(hot, 3)
    weights = balanced_weights(hot, 3)
    by_hand = 0.0
    for row, yes in zip(some_logits(5).sigmoid().tolist(), hot.tolist(), strict=True):
        for c, p in enumerate(row):
            for answer, share in ((p, 0.9 * yes[c] + 0.05), (1 - p, 0.9 * (1 - yes[c]) + 0.05)):
                side = 1 if answer is p else 0
                by_hand += share * weights[side, c] * (1 - answer) ** 1.5 * -math.log(answer) / 3
    summed, count = loss(some_logits(5), torch.from_numpy(hot))
    assert summed.item() == pytest.approx(by_hand, rel=1e-6) and count.item() == 5


def test_several_labels_without_anything_are_the_binary_cross_entropy_of_torch() -> None:
    hot = torch.tensor([[1.0, 0, 1], [0, 0, 0], [-100, 0, 0], [0, 1, 0]])
    logits = some_logits(4).float()
    summed, count = make_loss(multi_label=True)(logits, hot)
    kept = [0, 1, 3]
    theirs = F.binary_cross_entropy_with_logits(logits[kept], hot[kept], reduction="none").mean(dim=1).sum()
    torch.testing.assert_close(summed, theirs)
    assert count.item() == 3


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_micro_batches_add_up_to_the_whole(multi_label: bool, loss: str) -> None:
    labels = torch.from_numpy(np.eye(3, dtype=int)[GOLD] if multi_label else GOLD)
    cost = make_loss(True, multi_label, loss=loss, label_smoothing=0.1).double()
    whole = cost(some_logits(), labels)
    parts = [cost(some_logits()[rows], labels[rows]) for rows in (slice(0, 3), slice(3, 4), slice(4, 8))]
    torch.testing.assert_close(sum(part[0] for part in parts), whole[0], rtol=0, atol=1e-12)
    assert sum(part[1] for part in parts) == whole[1]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_gradient_is_right_and_finite_where_the_answer_is_certain(multi_label: bool, gamma: float) -> None:
    labels = torch.from_numpy(np.eye(3, dtype=int)[GOLD] if multi_label else GOLD)
    loss = make_loss(False, multi_label, loss="focal", focal_gamma=gamma, label_smoothing=0.1)
    logits = some_logits().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels)[0], logits)
    certain = torch.tensor([[900.0, 0, 0], [0, -900.0, 0]], requires_grad=True)
    summed, _ = loss(certain, labels[:2])
    summed.backward()
    assert certain.grad is not None and torch.isfinite(certain.grad).all() and torch.isfinite(summed)


def test_the_weights_are_no_part_of_a_saved_model() -> None:
    assert make_loss(weighted=True).state_dict() == {}
