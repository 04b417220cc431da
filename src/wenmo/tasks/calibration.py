"""Probabilities that mean what they say: the logits are rescaled, and the rescaling becomes part of the classifier.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599, section 4.2. The
logits of a finished model are divided by a temperature that maximises the likelihood of labels which the model was not
fitted on. A temperature leaves every answer as it is. Where it is too little, each label gets a shift as well, or a
scale and a shift (the paper's vector scaling). All three are linear in the logits, so they go into the weights and the
bias of the classifier: whatever opens the model sees the calibrated answer. We differ in one way: a weak prior holds
the scale finite where a model makes no mistake at all on the rows.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.tasks.hierarchy import Hierarchy

Method = Literal["temperature", "shift", "vector"]
METHODS: tuple[Method, ...] = ("temperature", "shift", "vector")
"""By rising number of what is fitted: 1, 1 + labels, 2 * labels."""

_NUM_FOLDS = 5
_PRIOR_DEVIATION = 3.0
"""Of the logarithm of a scale, and of a shift: a scale of 20 is one deviation away."""


@dataclass(frozen=True)
class Rescaling:
    """What the logits are multiplied with, and what is added to them: one number each for every label."""

    method: Method
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    loss_before: float
    """Nats a row, on the rows it was found on."""
    loss_after: float

    @property
    def temperature(self) -> float | None:
        """What all logits are divided by; None where each label has a scale of its own."""
        return None if self.method == "vector" else 1 / self.scale[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``metrics.json``."""
        return {
            "method": self.method,
            "temperature": self.temperature,
            "scale": list(self.scale),
            "shift": list(self.shift),
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
        }


def fit_rescaling(logits: NDArray[Any], gold: NDArray[Any], multi_label: bool, method: Method) -> Rescaling:
    """The rescaling under which the labels are likeliest.

    Args:
        logits: ``(rows, labels)``.
        gold: ``(rows,)`` label ids, or ``(rows, labels)`` zeros and ones where a text may have several.
        multi_label: then every label is a probability of its own, else they sum to 1.
        method: what is fitted.

    Raises:
        ValueError: there is no row.
    """
    if not len(logits):
        raise ValueError("calibration needs labelled rows; got none")
    scores, truth = _tensors(logits, gold, multi_label)
    num_labels = scores.shape[1]
    log_scale = torch.zeros(num_labels if method == "vector" else 1, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(num_labels, dtype=torch.float64, requires_grad=method != "temperature")
    fitted = [log_scale] if method == "temperature" else [log_scale, shift]
    optimizer = torch.optim.LBFGS(fitted, max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        prior = (log_scale.square().sum() + shift.square().sum()) / (2 * _PRIOR_DEVIATION**2)
        loss = _losses(scores * log_scale.exp() + shift, truth, multi_label).mean() + prior / len(scores)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        scale = log_scale.exp().expand(num_labels)
        after = _losses(scores * scale + shift, truth, multi_label).mean()
    return Rescaling(
        method=method,
        scale=tuple(scale.tolist()),
        shift=tuple(shift.detach().tolist()),
        loss_before=float(_losses(scores, truth, multi_label).mean()),
        loss_after=float(after),
    )


def choose_rescaling(logits: NDArray[Any], gold: NDArray[Any], multi_label: bool, *, seed: int = 0) -> Rescaling:
    """The simplest rescaling that is not clearly worse than the best one, by cross-validation on the rows.

    A method with more to fit is taken only where it lowers the loss of held-out rows by more than one standard error of
    the difference, row by row; so a small dev part gets a temperature.

    Raises:
        ValueError: there is no row.
    """
    chosen: Method = "temperature"
    if len(logits) >= 10 * _NUM_FOLDS:
        held_out = {method: _held_out_losses(logits, gold, multi_label, method, seed) for method in METHODS}
        for method in METHODS[1:]:
            gain = held_out[chosen] - held_out[method]
            if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
                chosen = method
    return fit_rescaling(logits, gold, multi_label, chosen)


@torch.no_grad()
def fold_into(classifier: nn.Linear, rescaling: Rescaling, tree: Hierarchy | None = None) -> None:
    """Make the rescaling a part of the classifier: its logits are the rescaled ones from now on.

    Args:
        classifier: gives each label its logit, or each node of a tree, whose sum along a path is the label's logit.
        rescaling: one scale and one shift for each label.
        tree: of the labels, where the classifier has a row for each node.
    """
    scale, shift = (
        torch.tensor(values, dtype=torch.float64, device=classifier.weight.device)
        for values in (rescaling.scale, rescaling.shift)
    )
    weight, bias = classifier.weight.double(), classifier.bias.double()
    if tree is None:
        weight, bias = weight * scale[:, None], bias * scale + shift
    else:
        if rescaling.temperature is None:
            on_path = torch.from_numpy(tree.on_path).to(weight)
            weight = tree.of_nodes(on_path @ weight * scale[:, None])
            bias = tree.of_nodes(on_path @ bias * scale + shift)
        else:  # every node keeps what the labels below it share: a label that is learnt later begins with it
            weight, bias = weight * scale[0], bias * scale[0] + tree.of_nodes(shift)
    classifier.weight.copy_(weight)
    classifier.bias.copy_(bias)


def _held_out_losses(
    logits: NDArray[Any], gold: NDArray[Any], multi_label: bool, method: Method, seed: int
) -> NDArray[np.float64]:
    """``(rows,)``: the loss of each row under the rescaling that was fitted without its fold."""
    fold = np.random.default_rng(seed).permutation(len(logits)) % _NUM_FOLDS
    losses = np.empty(len(logits))
    for each in range(_NUM_FOLDS):
        inside = fold == each
        found = fit_rescaling(logits[~inside], gold[~inside], multi_label, method)
        scores, truth = _tensors(logits[inside], gold[inside], multi_label)
        rescaled = scores * torch.tensor(found.scale) + torch.tensor(found.shift)
        losses[inside] = _losses(rescaled, truth, multi_label).numpy()
    return losses


def _tensors(logits: NDArray[Any], gold: NDArray[Any], multi_label: bool) -> tuple[Tensor, Tensor]:
    truth = torch.from_numpy(np.asarray(gold))
    return torch.from_numpy(np.asarray(logits, np.float64)), truth.double() if multi_label else truth.long()


def _losses(scores: Tensor, truth: Tensor, multi_label: bool) -> Tensor:
    """``(rows,)``: of several labels the mean, as in training."""
    if multi_label:
        return F.binary_cross_entropy_with_logits(scores, truth, reduction="none").mean(dim=1)
    return F.cross_entropy(scores, truth, reduction="none")
