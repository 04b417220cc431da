"""Checkpoints that appear whole or not at all, and the lock of a run.

``checkpoints/step-N/`` holds the model, the best model so far and the optimizers as safetensors, and where the run
stands as JSON. Nothing in it can run code. There is no random state: what an update draws follows from the seed and the
number of the update.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from wenmo.errors import InputError, JobError
from wenmo.files import only_one, write_json
from wenmo.folder import write_weights

_KEPT = 2


@dataclass
class RunState:
    """Where a run stands."""

    step: int = 0
    epoch: int = 0
    epoch_step: int = 0
    """The update with which this epoch began."""
    batch: int = 0
    """Batches of this epoch that are done."""
    seconds: float = 0.0
    """Spent so far, over all parts of an interrupted run."""
    best_score: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    loss_sums: list[float] = field(default_factory=list)
    """Of each loss, since the last line of the log."""
    loss_counts: list[float] = field(default_factory=list)
    first_loss: float | None = None
    finished: bool = False
    log_bytes: int = 0
    """Length of ``training.jsonl`` at this state; later lines are dropped on resuming."""
    processes: int = 1
    """Of the run; a batch of each counts as one in ``batch``, unless they share every batch."""


@dataclass
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped."""

    state: RunState
    model: Mapping[str, Tensor]
    best: Mapping[str, Tensor] | None
    optimizer: Mapping[str, Tensor]
    average: Mapping[str, Tensor] | None = None
    """The moving mean of the weights, where a run keeps one."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write ``checkpoints/step-N`` aside, rename it, and drop older ones.

    Raises:
        JobError: it could not be written; the last checkpoint is still there.
    """
    parent = folder / "checkpoints"
    place = parent / f"step-{checkpoint.state.step}"
    aside = parent / f"step-{checkpoint.state.step}.tmp"
    try:
        for left_over in parent.glob("step-*.tmp"):  # by a process that was killed: the lock of the run is ours
            shutil.rmtree(left_over, ignore_errors=True)
        aside.mkdir(parents=True)
        write_weights(aside / "model.safetensors", checkpoint.model)
        if checkpoint.best is not None:
            write_weights(aside / "best.safetensors", checkpoint.best)
        if checkpoint.average is not None:
            write_weights(aside / "average.safetensors", checkpoint.average)
        write_weights(aside / "optimizer.safetensors", checkpoint.optimizer)
        write_json(aside / "state.json", asdict(checkpoint.state))
        if place.exists():
            shutil.rmtree(place)
        os.replace(aside, place)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise JobError(
            f"{place}: could not save a checkpoint ({error}); free some space, then go on with --resume"
        ) from error
    for old in _checkpoints(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The latest checkpoint of a run; None where there is none.

    Raises:
        InputError: a file of it is missing or cut short.
    """
    places = _checkpoints(folder)
    if not places:
        return None
    place = places[-1]
    try:
        state = RunState(**json.loads((place / "state.json").read_text(encoding="utf-8")))
        best, average = place / "best.safetensors", place / "average.safetensors"
        return Checkpoint(
            state=state,
            model=load_file(place / "model.safetensors"),
            best=load_file(best) if best.exists() else None,
            optimizer=load_file(place / "optimizer.safetensors"),
            average=load_file(average) if average.exists() else None,
        )
    except Exception as error:
        raise InputError(
            f"{place}: cannot be read ({error}); remove this folder, and --resume goes on from the one before"
        ) from error


def remove_checkpoints(folder: Path) -> None:
    """A finished run needs none."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def run_lock(folder: Path) -> AbstractContextManager[None]:
    """Keep every other process out of a run's folder, as `wenmo.files.only_one`."""
    return only_one(folder, "run.lock", "another run works in this folder", "another --out")


def _checkpoints(folder: Path) -> list[Path]:
    found = [p for p in (folder / "checkpoints").glob("step-*") if p.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("step-")))
