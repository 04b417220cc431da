"""Labels in a tree: ``NUM:date`` is a kind of ``NUM``.

One softmax over the labels, as without a tree; the weights of a label are the sum of the weights of all nodes on its
path (the prior of Shahbaba and Neal, "Improving classification when a class hierarchy is available using a
hierarchy-based prior", Bayesian Analysis 2007, https://arxiv.org/abs/math/0510449; in the survey of Silla and Freitas
2011 a global classifier). Labels of one branch share what they have in common, so that rare ones learn from their
siblings, and a node is as likely as all labels below it together, so that the levels never contradict each other. A
softmax at each inner node (Morin and Bengio 2005) does the same at the price of many small softmaxes whose errors
multiply along the path; a label that is itself an inner node needs no special case here.

Metrics: the accuracy of each level, and hierarchical F1 over the nodes on the paths of the right label and the answer
(Kiritchenko et al., Canadian AI 2006): a wrong answer in the right branch is partly right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wenmo.errors import InputError
from wenmo.tasks.metrics import Interval, wilson_interval

_RESAMPLES = 1000


@dataclass(frozen=True)
class Hierarchy:
    """The tree that the labels spell out.

    Raises:
        InputError: a label has a level without a name.
    """

    labels: tuple[str, ...]
    separator: str

    def __post_init__(self) -> None:
        for label in self.labels:
            if not all(part.strip() for part in label.split(self.separator)):
                raise InputError(
                    f"the label {label!r} has a level without a name; its levels stand between {self.separator!r}, "
                    "like a/b/c; correct the label or the separator (task.hierarchy_separator)"
                )

    @cached_property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """For each label the nodes from the root's child down to itself: ``("a", "a/b", "a/b/c")``."""
        parts = (label.split(self.separator) for label in self.labels)
        return tuple(tuple(self.separator.join(p[: i + 1]) for i in range(len(p))) for p in parts)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node but the root, sorted."""
        return tuple(sorted({node for path in self.paths for node in path}))

    @property
    def depth(self) -> int:
        """Levels of the deepest label."""
        return max(map(len, self.paths), default=0)

    @cached_property
    def on_path(self) -> NDArray[np.float32]:
        """``(num_labels, num_nodes)``: 1 where the node is on the path of the label."""
        place = {node: i for i, node in enumerate(self.nodes)}
        matrix = np.zeros((len(self.labels), len(self.nodes)), np.float32)
        for row, path in enumerate(self.paths):
            matrix[row, [place[node] for node in path]] = 1
        return matrix

    def of_nodes(self, of_labels: Tensor) -> Tensor:
        """``(num_labels, ...)`` to ``(num_nodes, ...)`` whose sums along the paths are these; 0 for what is no label.

        A label's own node comes last on its path, so from the top down there is one solution.
        """
        place = {node: i for i, node in enumerate(self.nodes)}
        found = of_labels.new_zeros(len(self.nodes), *of_labels.shape[1:])
        for row in sorted(range(len(self.labels)), key=lambda row: len(self.paths[row])):
            *above, own = (place[node] for node in self.paths[row])
            found[own] = of_labels[row] - found[above].sum(dim=0)
        return found

    def levels(self, probabilities: NDArray[np.float32], chosen: Sequence[int]) -> list[tuple[tuple[str, float], ...]]:
        """The path of each answer, each node with its probability.

        Args:
            probabilities: ``(rows, num_labels)``.
            chosen: the label of each row.
        """
        place = {node: i for i, node in enumerate(self.nodes)}
        of_nodes = np.minimum(probabilities @ self.on_path, 1).tolist()
        return [
            tuple((node, row[place[node]]) for node in self.paths[label])
            for label, row in zip(chosen, of_nodes, strict=True)
        ]

    def measure(self, gold: NDArray[np.int64], predicted: NDArray[np.int64], *, seed: int = 0) -> dict[str, Interval]:
        """``accuracy_level_1`` and so on, and ``hierarchical_f1``.

        A label that ends above a level counts there with all of its path. The intervals are Wilson's for a share, and
        the percentile bootstrap over rows for F1.

        Args:
            gold: ``(rows,)`` label ids; likewise ``predicted``.
            seed: of the bootstrap.
        """
        found = {}
        for level in range(1, self.depth + 1):
            # Equal numbers for labels whose paths are the same down to this level.
            _, branch = np.unique([path[:level][-1] for path in self.paths], return_inverse=True)
            right = int((branch[gold] == branch[predicted]).sum())
            found[f"accuracy_level_{level}"] = wilson_interval(right, len(gold))
        return found | {"hierarchical_f1": self._hierarchical_f1(gold, predicted, seed)}

    def _hierarchical_f1(self, gold: NDArray[np.int64], predicted: NDArray[np.int64], seed: int) -> Interval:
        shared = (self.on_path[gold] * self.on_path[predicted]).sum(axis=1)
        lengths = self.on_path.sum(axis=1)
        rows = np.stack([shared, lengths[predicted] + lengths[gold]], axis=1)
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        drawn = np.random.default_rng(seed).multinomial(len(rows), counts / len(rows), size=_RESAMPLES)
        value, samples = float(_f1(rows.sum(axis=0))), _f1(drawn @ kinds)
        low, high = np.quantile(samples, [0.025, 0.975])
        return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def _f1(sums: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of sums ``(..., 2)``: nodes that are shared, and those predicted and gold together."""
    return np.asarray(2 * sums[..., 0] / sums[..., 1])
