"""Many processes as one run: started by torchrun, each with its share of every update.

Losses are sums and every rank says how many labels it counted; gradients and counts are summed over the ranks and then
divided once, so that an update is the same however its texts are spread.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from wenmo.errors import InputError


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def sum_(self, tensors: list[Tensor]) -> None:
        """Sum each tensor over all processes, in place, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; alone where there is no torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        if started:
            dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process speaks for all that torchrun started; true where there is no torchrun."""
    return os.environ.get("RANK", "0") == "0"


def choose_device(name: str = "") -> torch.device:
    """The device of this process: the one named, else its own GPU, else the CPU.

    Raises:
        InputError: the named device is not there.
    """
    own = os.environ.get("LOCAL_RANK", "0")
    if name:
        try:
            return torch.empty(0, device=f"cuda:{own}" if name == "cuda" else name).device
        except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
            why = str(error).splitlines()[0]
            raise InputError(f"the device {name!r} cannot be used: {why}; leave it out, or name cpu") from error
    if torch.cuda.is_available():
        return torch.device("cuda", int(own))
    return torch.device("cpu")
