"""How a run keeps its folder: alone in it, what it is written down first, gone on with or left alone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from wenmo.errors import InputError, JobError
from wenmo.files import write_aside
from wenmo.training.checkpointing import load_checkpoint, remove_checkpoints, run_lock
from wenmo.training.distribution import World, joined_world
from wenmo.training.recipe import read_toml

_RUN = "run.toml"
_MAY_CHANGE = (
    "max_epochs", "max_steps", "max_seconds", "patience", "save_steps", "log_steps", "tensorboard", "sharding",
    "recompute",
)  # fmt: skip
"""How long a run takes and what it writes may differ when it is resumed; what it computes may not."""


@contextmanager
def joined_run(
    out: Path, device: torch.device, is_finished: Callable[[Path], bool], *, resume: bool, deterministic: bool
) -> Iterator[World | None]:
    """The processes of a run, alone in its folder; None where the run that shall be resumed has ended already.

    Args:
        out: the folder.
        device: that of this process.
        is_finished: whether a folder holds what a run ends with.
        resume: go on with what stands there.
        deterministic: torch's own switch, put back at the end, as is the state of its generator.

    Raises:
        InputError: the folder is taken, by another process or by what stands there and shall not be gone on with.
    """
    with joined_world(device) as world, run_lock(out if world.is_main else out / f"rank-{world.rank}"):
        finished = is_finished(out)
        if finished and not resume:
            raise InputError(f"{out}: a model stands there already; choose another --out")
        if not resume and load_checkpoint(out) is not None:
            raise InputError(f"{out}: an unfinished run stands there; go on with --resume or choose another --out")
        with torch.random.fork_rng(devices=[]), _deterministic(deterministic):
            yield None if finished else world


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def hold_to(described: Mapping[str, Any], out: Path, resume: bool, world: World) -> None:
    """Write down what a run is; when it is resumed, make sure that it is still the same.

    Raises:
        InputError: it would be another run than was begun.
        JobError: nothing can be written.
    """
    import tomli_w

    place = out / _RUN
    if resume and place.exists():
        difference = first_difference(read_toml(place), described)
        if difference:
            raise InputError(f"{out}: --resume would change {difference}; start anew in another --out")
    if not world.is_main:
        return
    try:
        write_aside(place, tomli_w.dumps(described))
    except OSError as error:
        raise JobError(f"{place}: cannot be written ({error}); free some space or choose another --out") from error


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> str | None:
    """Where nested settings begin to differ, in words; how long a run takes may change."""
    for name in {**old, **new}:
        here = f"{path}.{name}" if path else name
        if here.startswith("training.") and name in _MAY_CHANGE:
            continue
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if found := first_difference(a, b, here):
                return found
        elif a != b:
            return f"{here} from {a!r} to {b!r}"
    return None


def let_go(out: Path) -> None:
    """Remove what a folder has only while its run goes on."""
    (out / _RUN).unlink(missing_ok=True)
    remove_checkpoints(out)
