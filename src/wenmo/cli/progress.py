"""What a person sees while a model is trained: a bar in a terminal, a line for each look at dev anywhere else."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from wenmo.cli.output import messages, print_message
from wenmo.reports import quantities
from wenmo.training.progress import Silent

_SECONDS_BETWEEN_FRAMES = 0.2
_SMOOTHING = 0.98
"""Of the loss that is shown: about the mean of the last 50 updates."""


def training_progress(title: str) -> "Progressing":
    """An observer that shows the progress of one training on standard error, inside a ``with`` block.

    ``title`` is the name of its model; of a checkpoint's folder, only the last part is shown.
    """
    name, colon, folder = title.partition(":")
    title = f"{name}{colon}{Path(folder).name}" if folder else Path(title).name
    return Bar(title) if messages().is_terminal else Lines(title)


class SmoothedLoss:
    """The loss without its jumps: a running mean that forgets, and is exact from the first value on."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, loss: float) -> None:
        """Take in the loss of an update."""
        self._sum = _SMOOTHING * self._sum + (1 - _SMOOTHING) * loss
        self._weight = _SMOOTHING * self._weight + (1 - _SMOOTHING)

    @property
    def value(self) -> float | None:
        """The mean; None where nothing was taken in."""
        return self._sum / self._weight if self._weight else None


class Progressing(Silent):
    """An observer that may hold the terminal, and gives it back at the end of its ``with`` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finished()


class Bar(Progressing):
    """A bar with the step, the time that is left, the loss and the last figure on dev.

    It draws when an update is made and not on a clock of its own, so that no thread stands in the way of the training.
    """

    def __init__(self, title: str) -> None:
        self._loss = SmoothedLoss()
        self._last_frame = 0.0
        self._dev = ""
        self._progress = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=None, complete_style="cyan", pulse_style="dim"),
            _StepAndTimeLeft(),
            TextColumn("{task.fields[figures]}"),
            console=messages(),
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task(title, start=False, total=None, figures="preparing")

    def __enter__(self) -> Self:
        self._progress.start()
        self._progress.refresh()
        return self

    def started(self, total_steps: int, step: int) -> None:
        """See `Observer`."""
        self._progress.update(self._task, total=total_steps, completed=step)
        self._progress.start_task(self._task)
        self._draw(step)

    def stepped(self, step: int, loss: float) -> None:
        """See `Observer`."""
        self._loss.add(loss)
        if time.monotonic() - self._last_frame >= _SECONDS_BETWEEN_FRAMES:
            self._draw(step)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """See `Observer`."""
        self._dev = _dev_figure(record)
        self._draw(record["step"])

    def finished(self) -> None:
        """See `Observer`."""
        self._progress.stop()

    def _draw(self, step: int) -> None:
        self._last_frame = time.monotonic()
        loss = "" if self._loss.value is None else f"loss {self._loss.value:.3f}"
        self._progress.update(self._task, completed=step, figures="  ".join(filter(None, (loss, self._dev))))
        self._progress.refresh()


class Lines(Progressing):
    """A line for each look at dev, for files and for programs that wait."""

    def __init__(self, title: str) -> None:
        self._title, self._total, self._begun, self._first = title, 0, 0.0, 0

    def started(self, total_steps: int, step: int) -> None:
        """See `Observer`."""
        self._total, self._first, self._begun = total_steps, step, time.monotonic()
        going_on = f", going on behind step {step:,}" if step else ""
        print_message(f"{self._title}: at most {total_steps:,} steps{going_on}")

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """See `Observer`."""
        step, spent = record["step"], time.monotonic() - self._begun
        left = spent / max(1, step - self._first) * (self._total - step)
        parts = [
            f"{self._title}: step {step:,} of {self._total:,}",
            f"loss {record['loss']:.3f}",
            _dev_figure(record),
            quantities.seconds(record["seconds"]),
            f"at most {quantities.seconds(left)} left" if left > 0 else "",
        ]
        print_message(", ".join(filter(None, parts)))


class _StepAndTimeLeft(ProgressColumn):
    """The time is an upper bound: training stops earlier when dev does not get better."""

    def __init__(self) -> None:
        super().__init__()
        self._estimate = TimeRemainingColumn(compact=True)

    def render(self, task: Task) -> Text:
        """See `rich.progress.ProgressColumn`."""
        if task.total is None:
            return Text()
        return Text.assemble(
            f"{task.completed:,.0f}/{task.total:,.0f}", ("  ≤ ", "dim"), (self._estimate.render(task).plain, "dim")
        )


def _dev_figure(record: Mapping[str, Any]) -> str:
    name = next((name for name in record if name.startswith("dev_")), None)
    if name is None:
        return ""
    metric = quantities.metric_named(name.removeprefix("dev_"))
    figure = f"dev {metric.name} {metric.in_text(record[name])}"
    return f"{record['task'].replace('_', ' ')}: {figure}" if "task" in record else figure
