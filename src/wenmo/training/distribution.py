"""Many processes as one run: started by torchrun, each with its share of every update.

Every rank says how many labels it will count, and losses are divided by the sum of these numbers before they go back
through the model, so that the gradients of all ranks add up to those of the update, however its texts are spread. Torch
adds them up: with ``training.sharding = "none"`` every rank holds the whole model (`DistributedDataParallel`); with
``"full"`` each holds its share of every parameter, of its gradient and of what the optimizer keeps of it, and the
layers come together when they are needed (`fully_shard`).
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from wenmo.errors import InputError
from wenmo.models.depths import depths_of
from wenmo.models.transformer_layers import TransformerLayer
from wenmo.tasks.task import Learner

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule

    from wenmo.training.settings import TrainingSettings


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


class Spread:
    """A learner on all processes of a run."""

    def __init__(self, learner: Learner, world: World, settings: "TrainingSettings", device: torch.device) -> None:
        """Spread it; its parameters may be others afterwards, so the optimizer is made behind this.

        Raises:
            InputError: a setting cannot be had where parameters are shared out.
        """
        self.learner = learner
        self.is_sharded = world.size > 1 and settings.sharding == "full"
        self._world, self._kept = world, None
        self._model: nn.Module = learner
        if self.is_sharded:
            _refuse_unshardable(learner, settings)
            # What comes out is an ordinary model again; sharding changes the classes of modules for good.
            self._kept = deepcopy(learner).cpu()
            _shard(learner, world, device)
        elif world.size > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames the argument, 2.8 has no other
                model = _WithIdleParameter(learner)
                self._model = DistributedDataParallel(model, find_unused_parameters=True, broadcast_buffers=False)

    @contextmanager
    def batch(self, *, last: bool) -> Iterator[nn.Module]:
        """The model for one batch of an update, both ways; behind the last one the gradients are summed."""
        if self.is_sharded:
            for_all = cast("FSDPModule", self.learner)
            for_all.set_requires_gradient_sync(last)
            for_all.set_is_last_backward(last)
            with warnings.catch_warnings():
                # What a layer keeps for later tokens is a view, and nobody changes it.
                warnings.filterwarnings("ignore", message=".*returned a view tensor")
                yield self.learner
            if last:
                self._world.sum_(
                    [p.grad.div_(self._world.size) for p in _single_numbers(self.learner) if p.grad is not None]
                )
        elif isinstance(self._model, DistributedDataParallel):
            with nullcontext() if last else self._model.no_sync():
                yield self._model
        else:
            yield self._model

    @contextmanager
    def together(self) -> Iterator[None]:
        """What stands above the layers is whole on every process, so that parts of the model can be called."""
        if not self.is_sharded:
            yield
            return
        root = cast("FSDPModule", self.learner)
        root.unshard()
        # Moving the model, even to where it is, would part it again.
        self.learner.to = lambda *_, **__: self.learner  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self.learner.__dict__["to"]
            root.reshard()

    def backward(self, loss: Tensor) -> None:
        """Send the loss of a batch, divided by the labels of the whole update, back through the model."""
        # Torch takes the mean over the processes, and the sum is wanted.
        (loss * self._world.size).backward()  # type: ignore[no-untyped-call]

    def norm(self, gradients: list[Tensor]) -> float:
        """The norm of all gradients, of which this process may hold a share."""
        if self.is_sharded and not self._world.is_main:  # single numbers are whole everywhere
            gradients = [gradient for gradient in gradients if gradient.dim()]
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
        if not self.is_sharded:
            return float(norm)
        squared = norm.square()
        self._world.sum_([squared])
        return float(squared.sqrt())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put whole weights, or shares of them, into the model."""
        own = self.learner.state_dict()
        self.learner.load_state_dict({name: as_like(weight, own[name]) for name, weight in weights.items()})

    def finish(self) -> Learner:
        """The learner as it was brought, whole, with the weights that were found."""
        if self._kept is None:
            return self.learner
        self._kept.load_state_dict(whole(self.learner.state_dict()))
        return self._kept


class _WithIdleParameter(nn.Module):
    """A learner of which not every batch touches all: torch looks for what is untouched, and would warn of the work
    where it first finds nothing. Here it always finds one number."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner
        self.idle = nn.Parameter(torch.zeros((), device=next(learner.parameters()).device))

    def forward(self, example: Any) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.learner(example)
        return found


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that may be shared out, whole; every process has to ask."""
    if not dist.is_initialized():
        return dict(tensors)
    from torch.distributed.tensor import DTensor

    return {name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor for name, tensor in tensors.items()}


def own_share(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; changes in place change the tensor."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def as_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor shared out as another one is, on its device."""
    if not dist.is_initialized():
        return tensor.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor.to(like.device)
    on_device = tensor.to(like.device_mesh.device_type)
    return distribute_tensor(on_device, like.device_mesh, like.placements, src_data_rank=None)


def _shard(learner: Learner, world: World, device: torch.device) -> None:
    """Each layer comes together by itself, all else at once: the vectors of words, which the losses read too."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world.size,))
    for module in (module for modules in depths_of(learner.extractor) for module in modules):
        if isinstance(module, TransformerLayer):  # others are parts that their model calls in ways of its own
            fully_shard(module, mesh=mesh)
    fully_shard(learner, mesh=mesh, ignored_params=set(_single_numbers(learner)))


def _single_numbers(learner: Learner) -> list[nn.Parameter]:
    """Parameters that cannot be shared out, such as the scale of a mixture of layers."""
    return [parameter for parameter in learner.parameters() if not parameter.dim()]


def _refuse_unshardable(learner: Learner, settings: "TrainingSettings") -> None:
    if settings.unfreeze_epochs:
        raise InputError(
            'training.unfreeze_epochs: with training.sharding="full" all learn from the start; leave it out'
        )
    if getattr(getattr(learner, "config", None), "max_norm", 0):
        raise InputError("task.max_norm: with training.sharding=full no process has whole rows; leave it out")


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
