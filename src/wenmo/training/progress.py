"""Who watches a run: observers that get each event of the loop."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Observer(Protocol):
    """Gets what happens in a run."""

    def started(self, total_steps: int, step: int) -> None:
        """The run begins, or goes on behind ``step``."""
        ...

    def stepped(self, step: int, loss: float) -> None:
        """An update was made; ``loss`` is the mean over its labels."""
        ...

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Dev was looked at; the record is a line of ``training.jsonl``."""
        ...

    def finished(self) -> None:
        """The run is over, whatever the reason."""
        ...


class Silent:
    """An observer that says nothing; others begin here."""

    def started(self, total_steps: int, step: int) -> None:
        """See `Observer`."""

    def stepped(self, step: int, loss: float) -> None:
        """See `Observer`."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """See `Observer`."""

    def finished(self) -> None:
        """See `Observer`."""


class JsonLog(Silent):
    """Writes ``training.jsonl``: a line for each look at dev."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def cut(self, num_bytes: int) -> None:
        """Keep what stands in the first ``num_bytes``: what came behind them belongs to a run that was lost."""
        self._path.touch()
        os.truncate(self._path, min(num_bytes, self._path.stat().st_size))

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    @property
    def num_bytes(self) -> int:
        """Length of the log so far."""
        return self._path.stat().st_size


class TensorBoard(Silent):
    """Writes TensorBoard events beside the model."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            from wenmo.errors import InputError

            raise InputError('training.tensorboard needs TensorBoard; pip install "wenmo[tensorboard]"') from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def stepped(self, step: int, loss: float) -> None:
        """The loss of each update."""
        self._writer.add_scalar("train/loss", loss, step)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Every number of the record."""
        for name, value in record.items():
            if isinstance(value, int | float) and name not in ("step", "epoch"):
                self._writer.add_scalar(f"dev/{name}", value, record["step"])

    def finished(self) -> None:
        """Write what is left."""
        self._writer.close()
