"""Optimizers, learning-rate schedules and clipping.

Tables of word vectors get their gradient as the rows that a batch touches, and only these rows are updated: a table
is by far the largest part of a small model, and a batch touches a few hundredths of it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wenmo.models.embeddings import WordEmbeddings
from wenmo.training.distribution import as_like, own_share, whole
from wenmo.training.layers import learning_rates
from wenmo.training.settings import TrainingSettings


class RowOptimizer(torch.optim.Optimizer):
    """Updates the rows of tables that have a gradient, by the rule of a dense optimizer.

    Adadelta: exact. Its step is 0 where the gradient is 0, so a row that was not touched only owes the decay of its two
    averages, ``rho`` to the number of updates missed, which is paid when the row is touched again.
    Adam and AdamW: the averages of a row move only when it is touched (as in `torch.optim.SparseAdam`), and so does the
    decay of its weights.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], settings: TrainingSettings) -> None:
        super().__init__(list(groups), {"lr": settings.learning_rate})
        self._rule: Callable[..., None] = {
            "adadelta": _adadelta_rows,
            "adam": _adam_rows,
            "adamw": _adam_rows,
            "sgd": _sgd_rows,
        }[settings.optimizer]
        self._settings = settings

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every table that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                gradient = table.grad.coalesce()
                state = self.state[table]
                state["step"] = state.get("step", torch.zeros((), dtype=torch.int64)) + 1
                self._rule(table, gradient.indices()[0], gradient.values(), state, group["lr"], self._settings)


def _adadelta_rows(
    table: Tensor, rows: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float, settings: TrainingSettings
) -> None:
    """Zeiler 2012, arXiv 1212.5701, algorithm 1, with the decay of the updates missed."""
    if "square_avg" not in state:
        state["square_avg"] = torch.zeros_like(table)
        state["acc_delta"] = torch.zeros_like(table)
        state["touched"] = torch.zeros(len(table), dtype=torch.int64, device=table.device)
    if settings.weight_decay:
        gradient = gradient + settings.weight_decay * table[rows]
    rho, epsilon, step = settings.rho, settings.epsilon, state["step"]
    missed = step - 1 - state["touched"][rows]
    owed = torch.pow(rho, missed.to(table.dtype)).unsqueeze(1)  # (rows, 1)
    square_avg = (state["square_avg"][rows] * owed).mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
    acc_delta = state["acc_delta"][rows] * owed
    delta = (acc_delta + epsilon).sqrt_().div_((square_avg + epsilon).sqrt_()).mul_(gradient)
    state["square_avg"][rows] = square_avg
    state["acc_delta"][rows] = acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
    state["touched"][rows] = step
    table.index_add_(0, rows, delta, alpha=-rate)


def _adam_rows(
    table: Tensor, rows: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float, settings: TrainingSettings
) -> None:
    """Kingma and Ba 2015, algorithm 1, on the rows touched; AdamW decays them apart (Loshchilov and Hutter 2019)."""
    if "exp_avg" not in state:
        state["exp_avg"] = torch.zeros_like(table)
        state["exp_avg_sq"] = torch.zeros_like(table)
    step = int(state["step"])
    values = table[rows]
    if settings.weight_decay:
        if settings.optimizer == "adamw":
            values = values * (1 - rate * settings.weight_decay)
        else:
            gradient = gradient + settings.weight_decay * values
    exp_avg = state["exp_avg"][rows].lerp_(gradient, 1 - settings.beta1)
    exp_avg_sq = state["exp_avg_sq"][rows].mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
    state["exp_avg"][rows] = exp_avg
    state["exp_avg_sq"][rows] = exp_avg_sq
    scale = math.sqrt(1 - settings.beta2**step)
    denominator = exp_avg_sq.sqrt_().div_(scale).add_(settings.epsilon)
    table[rows] = values.addcdiv_(exp_avg, denominator, value=-rate / (1 - settings.beta1**step))


def _sgd_rows(
    table: Tensor, rows: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float, settings: TrainingSettings
) -> None:
    if settings.weight_decay:
        gradient = gradient + settings.weight_decay * table[rows]
    if settings.beta1:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(table)
        gradient = state["momentum_buffer"][rows].mul_(settings.beta1).add_(gradient)
        state["momentum_buffer"][rows] = gradient
    table.index_add_(0, rows, gradient, alpha=-rate)


def build_optimizers(task: nn.Module, settings: TrainingSettings, lazy_rows: bool) -> list[torch.optim.Optimizer]:
    """One optimizer for the tables of vectors whose rows are updated lazily, one for everything else.

    Each group of parameters keeps the highest rate that it may have as ``peak_rate``.

    Raises:
        InputError: as `wenmo.training.layers.learning_rates`.
    """
    rates = learning_rates(task, settings)
    tables = _tables(task) if lazy_rows else []
    for table in tables:
        table.sparse = True
    rows = [parameter for table in tables for parameter in table.parameters()]
    held = {id(parameter) for parameter in rows}
    dense = [p for p in task.parameters() if p.requires_grad and id(p) not in held]
    groups = _decayed_apart(dense, task) if settings.decay == "matrices" else [{"params": dense}]
    optimizers: list[torch.optim.Optimizer] = [_dense(_by_rate(groups, rates), settings)] if dense else []
    return [*optimizers, RowOptimizer(_by_rate([{"params": rows}], rates), settings)] if rows else optimizers


def _by_rate(groups: list[dict[str, Any]], rates: Mapping[int, float]) -> list[dict[str, Any]]:
    """Groups of parameters, each as one group for each rate, the highest first."""
    found = []
    for group in groups:
        parameters = group["params"]
        for rate in sorted({rates[id(p)] for p in parameters}, reverse=True):
            mine = [p for p in parameters if rates[id(p)] == rate]
            found.append({**group, "params": mine, "lr": rate, "peak_rate": rate})
    return found


def _tables(task: nn.Module) -> list[nn.Embedding]:
    """The tables of vectors that nothing else shares: one that also is an output layer has a gradient in every row."""
    uses = Counter(id(p) for module in task.modules() for p in module.parameters(recurse=False))
    uses.update(id(m.words.weight) for m in task.modules() if isinstance(m, WordEmbeddings) and m.tied)
    return [
        m for m in task.modules() if isinstance(m, nn.Embedding) and m.weight.requires_grad and uses[id(m.weight)] == 1
    ]


def _dense(groups: list[dict[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    betas = (settings.beta1, settings.beta2)
    if settings.optimizer == "adadelta":
        return torch.optim.Adadelta(groups, lr=rate, rho=settings.rho, eps=settings.epsilon, weight_decay=decay)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.beta1, weight_decay=decay)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    # On a CPU the fused kernel takes a third to a quarter of the default loop's time.
    return kind(groups, lr=rate, betas=betas, eps=settings.epsilon, weight_decay=decay, fused=True)


def _decayed_apart(parameters: list[nn.Parameter], task: nn.Module) -> list[dict[str, Any]]:
    """The matrices, and behind them biases and norms, which do not decay (Devlin et al. 2019, their code)."""
    biases = {id(p) for name, p in task.named_parameters() if name.endswith("bias")}
    norms = {id(p) for m in task.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters(recurse=False)}
    kept = biases | norms
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if id(p) not in kept]},
        {"params": [p for p in parameters if id(p) in kept], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def rate_factor(step: int, total_steps: int, settings: TrainingSettings) -> float:
    """What the learning rate is multiplied with at an update, counted from 1.

    ``noam`` (Vaswani et al. 2017, equation 3) is scaled so that its peak, at the end of the warm-up, is the learning
    rate itself; the paper's peak is ``hidden_size ** -0.5 * warmup_steps ** -0.5``.
    """
    warmup = settings.warmup_steps or math.ceil(settings.warmup_share * total_steps)
    if settings.schedule == "noam":
        warmup = max(1, warmup)
        return min(step / warmup, math.sqrt(warmup / step))
    if step <= warmup:
        return step / warmup
    if settings.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - 1 - warmup) / max(1, total_steps - warmup))  # the last update still moves
    return 1 - progress if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))


def gradients_of(task: nn.Module) -> list[Tensor]:
    """The values of all gradients; of a table, those of the rows touched, each row once; of what is shared out over
    processes, the own share."""
    found = []
    for parameter in task.parameters():
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            found.append(parameter.grad._values())
        else:
            found.append(own_share(parameter.grad))
    return found


@torch.no_grad()
def clip(gradients: list[Tensor], norm: float, settings: TrainingSettings) -> None:
    """Scale gradients of this norm down, and cut single numbers, as the settings say."""
    if settings.max_grad_norm and norm > settings.max_grad_norm:
        for gradient in gradients:
            gradient.mul_(settings.max_grad_norm / norm)
    if settings.max_grad_value:
        for gradient in gradients:
            gradient.clamp_(-settings.max_grad_value, settings.max_grad_value)


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of the optimizers as named tensors, whole; where they are shared out, every process has to ask."""
    return whole(
        {
            f"{i}/{index}/{name}": value
            for i, optimizer in enumerate(optimizers)
            for index, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
            if isinstance(value, Tensor)
        }
    )


def load_optimizer_tensors(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; not through ``load_state_dict``, which makes counters floating."""
    for key, value in tensors.items():
        i, index, name = key.split("/")
        optimizer = optimizers[int(i)]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        parameter = parameters[int(index)]
        # Fused kernels count the updates on the device, all others on the CPU.
        counter = name == "step" and not optimizer.defaults.get("fused")
        if counter:
            optimizer.state[parameter][name] = value
        else:
            of_parameter = value.shape == parameter.shape and name != "step"
            optimizer.state[parameter][name] = as_like(value, parameter) if of_parameter else value.to(parameter.device)
