"""What every task is to the training loop and to the predictor."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.store import TokenStore
from wenmo.features import TokenBatch
from wenmo.tasks.metrics import Interval


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Example:
    """A batch with its gold answers; what is not counted is -100."""

    batch: TokenBatch
    labels: Tensor
    batch_b: TokenBatch | None = None
    """The second texts of pairs that are read each by itself."""
    decoder_input_ids: Tensor | None = None
    """What a decoder reads while it is trained."""


class Task(Protocol):
    """Head, loss, metric and decoding over any extractor."""

    metric: str
    """The metric by which models are chosen; larger is better."""

    def __call__(self, example: Example) -> tuple[Tensor, Tensor]:
        """The summed loss and the number of labels it counts."""
        ...

    def example(self, store: TokenStore, rows: NDArray[np.int64]) -> Example:
        """Some rows of a store as tensors."""
        ...

    def constrain(self) -> None:
        """Called after each update of the weights: bring them back to where they must be."""
        ...

    def gold(self, store: TokenStore) -> Any:
        """The right answers of a store, as `score` takes them."""
        ...

    def score(self, gold: Any, answers: NDArray[np.float32]) -> float:
        """The value of ``metric``."""
        ...

    def measure(self, gold: Any, answers: NDArray[np.float32]) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""
        ...

    def answers(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """What the model says to each text, or to each pair, as one row of a tensor."""
        ...
