"""What a wrong answer costs: cross entropy or focal loss, with smoothed labels and weighted classes.

Focal loss: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002,
equations 4 and 5. Label smoothing: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016,
https://arxiv.org/abs/1512.00567, section 7. All of them are one formula. With the answer's probabilities ``p``, the
gold distribution ``q`` (smoothed), the weights ``w`` of the classes and the focus ``gamma``, a text costs

    sum over classes c of  q_c * w_c * (1 - p_c)^gamma * -log p_c

``gamma = 0`` is cross entropy, and then the sum is that of `torch.nn.functional.cross_entropy` with its arguments
``weight`` and ``label_smoothing``. The paper's ``alpha`` is ``w``. Where a text may have several labels, each label is
a question with the two classes yes and no, which has these costs, and a text costs the mean over its questions.

How weights are counted: the loop divides the summed costs of an update by the number of its texts, not by the sum of
their weights as ``reduction="mean"`` does. So what a text pulls on the model does not depend on the texts that happen
to stand beside it in the batch, and micro-batches and processes add up. Over the training texts the weights have the
mean 1, so over all of them the two ways are one.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import IGNORED_LABEL

LossName = Literal["cross_entropy", "focal"]


class ClassificationLoss(nn.Module):
    """The costs of a batch, summed, and the number of texts that they are of."""

    weights: Tensor | None

    def __init__(self, *, loss: LossName, focal_gamma: float, label_smoothing: float, multi_label: bool) -> None:
        super().__init__()
        self._gamma = focal_gamma if loss == "focal" else 0.0
        self._smoothing, self._multi_label = label_smoothing, multi_label
        # Made from the training texts whenever a run begins or goes on, and no part of a saved model.
        self.register_buffer("weights", None, persistent=False)

    def weigh_by(self, gold: NDArray[Any], num_labels: int) -> None:
        """From now on every class counts the same: see `balanced_weights`."""
        weights = torch.from_numpy(balanced_weights(gold, num_labels)).float()
        self.weights = weights if self.weights is None else weights.to(self.weights.device)

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The summed costs of the texts that are counted, and how many they are.

        Args:
            logits: ``(batch, num_labels)``.
            labels: ``(batch,)`` label ids, -100 where a text is not counted; or, where a text may have several,
                ``(batch, num_labels)`` zeros and ones, -100 in the first place where a text is not counted.
        """
        if self._multi_label:
            counted = labels[:, 0] != IGNORED_LABEL
            return self._several(logits[counted], labels[counted]).sum(), counted.sum()
        counted = labels != IGNORED_LABEL
        if not self._gamma:
            summed = F.cross_entropy(
                logits,
                labels,
                self.weights,
                reduction="sum",
                ignore_index=IGNORED_LABEL,
                label_smoothing=self._smoothing,
            )
            return summed, counted.sum()
        return self._one(logits[counted], labels[counted]).sum(), counted.sum()

    def _one(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(batch, num_labels)``: what each class adds where a text has one label."""
        gold = F.one_hot(labels, logits.size(1)) * (1 - self._smoothing) + self._smoothing / logits.size(1)
        if self.weights is not None:
            gold = gold * self.weights
        log_p = logits.log_softmax(dim=1)
        # The clamp is for a gamma below 1, whose power has no gradient where p is 1.
        return gold * (-torch.expm1(log_p)).clamp(min=1e-12) ** self._gamma * -log_p

    def _several(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(batch,)``: the mean over the yes-or-no questions, one for each label."""
        yes = labels.to(logits.dtype) * (1 - self._smoothing) + self._smoothing / 2
        no = 1 - yes
        if self.weights is not None:
            no, yes = no * self.weights[0], yes * self.weights[1]
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        if self._gamma:
            yes, no = yes * (self._gamma * log_not_p).exp(), no * (self._gamma * log_p).exp()
        return -(yes * log_p + no * log_not_p).mean(dim=1)


def penalized(loss: Tensor, count: Tensor, extractor: nn.Module) -> Tensor:
    """A summed loss with the penalty that a model which mixes its layers puts on their weights.

    It stands beside the mean over what is counted, so the sum has it ``count`` times.
    """
    mix = getattr(extractor, "mix", None)
    return loss if mix is None else loss + count * mix.penalty()


def balanced_weights(gold: NDArray[Any], num_labels: int) -> NDArray[np.float64]:
    """Inverse frequencies, with which every class weighs the same in the sum over the texts; their mean is 1.

    A class of which there are ``m`` among ``n`` texts of ``k`` classes gets ``n / (k * m)``, as scikit-learn's
    ``class_weight="balanced"`` has it. A class without texts gets 0 and is not among the ``k``.

    Args:
        gold: ``(texts,)`` label ids, or ``(texts, num_labels)`` zeros and ones.
        num_labels: classes that there are.

    Returns:
        ``(num_labels,)``; or ``(2, num_labels)``, the weights of no and of yes to each label.
    """
    if gold.ndim == 1:
        counts = np.bincount(gold.astype(np.int64), minlength=num_labels)
    else:
        yes = (gold > 0).sum(axis=0)
        counts = np.stack([len(gold) - yes, yes])
    present = counts > 0
    share = counts.sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(present, share / np.maximum(counts, 1), 0.0)


def text_weights(gold: NDArray[Any], num_labels: int) -> NDArray[np.float64]:
    """``(texts, num_labels)``: what each text weighs where each label is asked for by itself, as linear solvers do."""
    weights = balanced_weights(gold, num_labels)
    if gold.ndim == 1:
        return np.repeat(weights[gold.astype(np.int64)][:, None], num_labels, axis=1)
    chosen: NDArray[np.float64] = np.where(gold > 0, weights[1], weights[0])
    return chosen
