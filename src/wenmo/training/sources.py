"""What the training loop learns from, and what it is judged by: batches by epoch, and looks at texts that it is not
trained on.

The loop knows neither stores nor corpora. What a batch is, a source says, and what stands in it is a function of seed,
epoch and batch alone, so that a run goes on from the number of the epoch and of the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from wenmo.data.batching import BatchOrder, Rows, row_places, shared_out
from wenmo.data.sampling import rows_of_classes
from wenmo.data.store import TokenStore
from wenmo.tasks.task import Example, Task
from wenmo.training.settings import TrainingSettings


class Source(Protocol):
    """Batches, epoch by epoch."""

    splits_batches: bool
    """Whether the processes of a run share each batch, so that an update is the same however many they are; else each
    takes batches of its own."""
    is_slow: bool
    """Whether examples take so long to make that the next ones are made while these are learnt from."""

    def batches(self, epoch: int, step: int, rank: int, world_size: int) -> Sequence[tuple[Any, bool]]:
        """What one process learns from in an epoch that begins behind so many updates, and whether it counts; all
        processes have the same number."""
        ...

    def example(self, batch: Any, epoch: int) -> Any:
        """A batch as tensors, which can be brought ``to`` a device. It draws from no generator but its own."""
        ...


@dataclass(frozen=True)
class Look:
    """What was seen of a model on texts that it is not trained on."""

    score: float
    """By which the best model is chosen."""
    figures: Mapping[str, Mapping[str, float]]
    """Of each loss of the model, named as in `Learner.losses`, what is told of it in the log."""


class Judge(Protocol):
    """Looks at a model while it learns."""

    lower_is_better: bool
    """Of the score."""

    def look(self) -> Look:
        """Ask the model as it is now. It need not be in training mode behind it."""
        ...


class LabelledRows:
    """The rows of a store, each once an epoch or every label equally often."""

    splits_batches = False
    is_slow = False

    def __init__(self, task: Task, store: TokenStore, settings: TrainingSettings, bucket: int) -> None:
        self._task, self._store = task, store
        self._lengths = row_places(store.columns)
        self._classes = rows_of_classes(task.gold(store)) if settings.sampling == "balanced" else None
        self._order = BatchOrder(
            batch_size=settings.batch_size, batch_tokens=settings.batch_tokens, bucket=bucket, seed=settings.seed
        )

    def batches(self, epoch: int, step: int, rank: int, world_size: int) -> list[tuple[Rows, bool]]:
        """See `Source`: whole batches, one process after the other."""
        return shared_out(self._order.epoch(self._lengths, epoch, classes=self._classes), rank, world_size)

    def example(self, batch: Rows, epoch: int) -> Example:
        """See `Source`."""
        return self._task.example(self._store, batch)


class LabelledDev:
    """The metric of a task on a store."""

    def __init__(self, task: Task, store: TokenStore, device: torch.device, precision: str) -> None:
        self.lower_is_better = task.lower_is_better
        self._task, self._store, self._device, self._precision = task, store, device, precision

    def look(self) -> Look:
        """See `Judge`."""
        score = self._task.look(self._store, self._device, self._precision)
        return Look(score, {"": {f"dev_{self._task.metric}": score}})
