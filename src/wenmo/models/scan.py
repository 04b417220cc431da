"""Recurrences as one loop over time with its way back written out, equal to the steps of `wenmo.models.cells`.

Automatic differentiation of the written steps would multiply the recurrent matrix's gradient together step by step and
keep a dozen tensors for each. Here the loop keeps only the gates; all derivatives that need no gradient from above are
computed for all steps at once; going back, a step is one small product; and the matrix's gradient is one product over
all steps at the end. Texts are packed (`wenmo.models.packing`), so nothing is computed for padding.

The equations are those of the cells; ``a`` stands for what enters a gate. σ' = σ (1 - σ), tanh' = 1 - tanh².
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from wenmo.models.packing import Packing
from wenmo.models.products import Multiplier, multiplier, weight_gradient

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,  # slope 0.01 below 0
    "elu": F.elu,
}
_DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda value: 1 - value.square(),
    "relu": lambda value: (value > 0).to(value.dtype),
    "leaky_relu": lambda value: torch.full_like(value, 0.01).masked_fill_(value > 0, 1),
    "elu": lambda value: (value + 1).masked_fill_(value > 0, 1),
}
"""From the value of an activation, all of which rise."""

States = list[Tensor]
"""``[hidden]``, or ``[hidden, cell]`` for an LSTM: each ``(batch, num_units)``, the longest text first."""


def tanh_(x: Tensor) -> Tensor:
    """tanh in place; in float32 on the CPU as 2 σ(2x) - 1, which torch computes three times as fast there.

    Both differ by roundings of numbers near 1, by at most 2e-7.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x.tanh_()


class Kernel(Protocol):
    """One cell's step and its way back over packed rows."""

    num_kept: int
    """Tensors ``(tokens, num_units)`` that the way back needs besides the gates."""
    is_sum: bool
    """Whether ``U h`` is only added to ``W x + b``, so that both have one gradient."""

    def step(self, gates: Tensor, recurrent: Tensor, states: States, kept: States) -> None:
        """Advance the states in place. ``gates`` holds ``W x + b`` and becomes the gates' values."""
        ...

    def derivatives(self, gates: Tensor, before: States, kept: States) -> States:
        """What of the way back needs no gradient from above, for all steps at once."""
        ...

    def step_back(self, states: States, derivatives: States, into: States) -> None:
        """From the gradients of the states behind a step to those before it, in place, the hidden state's without the
        part that comes through the recurrent product; ``into`` gets the gradients of ``U h`` and of ``W x + b``."""
        ...


class RnnKernel:
    """``h' = φ(W x + b + U h)``."""

    num_kept = 0
    is_sum = True

    def __init__(self, activation: str) -> None:
        self._activation = activation

    def step(self, gates: Tensor, recurrent: Tensor, states: States, kept: States) -> None:
        """See `Kernel`."""
        gates.add_(recurrent)
        gates.copy_(ACTIVATIONS[self._activation](gates))
        states[0].copy_(gates)

    def derivatives(self, gates: Tensor, before: States, kept: States) -> States:
        """φ' from the value of φ."""
        return [_DERIVATIVES[self._activation](gates)]

    def step_back(self, states: States, derivatives: States, into: States) -> None:
        """See `Kernel`."""
        torch.mul(states[0], derivatives[0], out=into[0])
        states[0].zero_()


class LstmKernel:
    """``c' = f c + i g``, ``h' = o tanh(c')``, or ``h' = o c'`` without ``output_tanh``.

    With ``cell_clip`` c' stays between that number and its negative; no gradient goes through what was cut.
    """

    is_sum = True

    def __init__(self, output_tanh: bool, cell_clip: float = 0.0) -> None:
        self._output_tanh = output_tanh
        self._cell_clip = cell_clip
        self.num_kept = 2 if cell_clip else 1

    def step(self, gates: Tensor, recurrent: Tensor, states: States, kept: States) -> None:
        """See `Kernel`; keeps what the output gate multiplies, and the cell where it may be clipped."""
        hidden, cell = states
        size = hidden.size(1)
        gates.add_(recurrent)
        gates[:, : 2 * size].sigmoid_()
        tanh_(gates[:, 2 * size : 3 * size])
        gates[:, 3 * size :].sigmoid_()
        i, f, g, o = gates.chunk(4, dim=1)
        cell.mul_(f).addcmul_(i, g)
        if self._cell_clip:
            kept[1].copy_(cell.clamp_(-self._cell_clip, self._cell_clip))
        shown = tanh_(kept[0].copy_(cell)) if self._output_tanh else kept[0].copy_(cell)
        torch.mul(o, shown, out=hidden)

    def derivatives(self, gates: Tensor, before: States, kept: States) -> States:
        """Of the cell by the hidden state; of i, f and g by the cell; of o by the hidden state; and f."""
        i, f, g, o = gates.chunk(4, dim=1)
        shown = kept[0]
        by_hidden = o * (1 - shown.square()) if self._output_tanh else o
        by_cell = torch.cat([g * i * (1 - i), before[1] * f * (1 - f), i * (1 - g.square())], dim=1)
        by_cell = by_cell.view(len(gates), 3, -1)
        if self._cell_clip:
            clipped = kept[1].abs() >= self._cell_clip
            f = f.masked_fill(clipped, 0)
            by_cell.masked_fill_(clipped.unsqueeze(1), 0)
        return [by_hidden, by_cell, shown * o * (1 - o), f]

    def step_back(self, states: States, derivatives: States, into: States) -> None:
        """See `Kernel`."""
        hidden, cell = states
        by_hidden, by_cell, of_output, forget = derivatives
        gates = into[0].view(len(hidden), 4, -1)
        cell.addcmul_(hidden, by_hidden)
        torch.mul(cell.unsqueeze(1), by_cell, out=gates[:, :3])
        torch.mul(hidden, of_output, out=gates[:, 3])
        cell.mul_(forget)
        hidden.zero_()


class GruKernel:
    """``n = tanh(W x + b + r (U h + c))``, ``h' = (1 - z) n + z h``: the reset gate after the product."""

    num_kept = 1
    is_sum = False

    def step(self, gates: Tensor, recurrent: Tensor, states: States, kept: States) -> None:
        """See `Kernel`; keeps the product that the reset gate multiplies."""
        hidden = states[0]
        size = hidden.size(1)
        gates[:, : 2 * size].add_(recurrent[:, : 2 * size]).sigmoid_()
        r, z, n = gates.chunk(3, dim=1)
        kept[0].copy_(recurrent[:, 2 * size :])
        tanh_(n.addcmul_(r, kept[0]))
        hidden.sub_(n).mul_(z).add_(n)

    def derivatives(self, gates: Tensor, before: States, kept: States) -> States:
        """By the hidden state: of r, z and U h + c; of n; and z."""
        r, z, n = gates.chunk(3, dim=1)
        of_n = (1 - z) * (1 - n.square())
        of_r = of_n * kept[0] * r * (1 - r)
        of_z = (before[0] - n) * z * (1 - z)
        return [torch.stack([of_r, of_z, of_n * r], dim=1), of_n, z]

    def step_back(self, states: States, derivatives: States, into: States) -> None:
        """See `Kernel`."""
        hidden = states[0]
        recurrent, of_n, update = derivatives
        size = hidden.size(1)
        torch.mul(hidden.unsqueeze(1), recurrent, out=into[0].view(len(hidden), 3, -1))
        into[1][:, : 2 * size] = into[0][:, : 2 * size]
        torch.mul(hidden, of_n, out=into[1][:, 2 * size :])
        hidden.mul_(update)


@dataclass(frozen=True)
class Course:
    """Over which steps a recurrence runs, and where its gradient stops."""

    packing: Packing
    reverse: bool = False
    """From each text's last token to its first."""
    window_size: int = 0
    """No gradient goes through a state that is carried past a multiple of so many tokens; 0: it always does."""

    @property
    def cuts_gradients(self) -> bool:
        """Whether a text is long enough for that."""
        return 0 < self.window_size < self.packing.shape[1]

    def rows(self) -> list[tuple[int, int, int]]:
        """Of each step in the order of the recurrence: the first packed row, how many there are, and how many of them
        get their state from another window."""
        steps = self.packing.steps
        found = []
        for t, (start, size) in enumerate(steps):
            before = t + 1 if self.reverse else t - 1
            crosses = self.window_size and max(t, before) % self.window_size == 0 and 0 <= before < len(steps)
            found.append((start, size, min(size, steps[before][1]) if crosses else 0))
        return found[::-1] if self.reverse else found


def scan(
    kernel: Kernel, products: Tensor, weight: Tensor, bias: Tensor | None, states: Sequence[Tensor], course: Course
) -> tuple[Tensor, States]:
    """Run a recurrence over packed texts.

    Args:
        kernel: the cell.
        products: ``(tokens, num_gates * num_units)``: ``W x + b`` of every packed row.
        weight: U, ``(num_gates * num_units, num_units)``.
        bias: ``(num_gates * num_units,)``, added to ``U h`` if it is not None.
        states: of each text before its first step, ``(batch, num_units)`` each, the longest text first.
        course: the texts, and which way the recurrence runs through them.

    Returns:
        The hidden state behind every token, ``(tokens, num_units)``, and the states of each text behind its last step.
    """
    inputs = (products, weight, bias, *states)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs):
        outputs, *after = _Scan.apply(kernel, course, *inputs)  # type: ignore[no-untyped-call]
        return outputs, after
    recur = multiplier(weight.to(products.dtype), len(states[0]), None if bias is None else bias.to(products.dtype))
    return scan_without_gradients(kernel, products, recur, states, course)


def scan_without_gradients(
    kernel: Kernel,
    products: Tensor,
    recur: Multiplier,
    states: Sequence[Tensor],
    course: Course,
    rows_of_tokens: Tensor | None = None,
) -> tuple[Tensor, States]:
    """As `scan`; ``recur`` gives ``U h`` with its bias, from and to the type of ``products``.

    With ``rows_of_tokens`` ``(tokens,)`` the products are a table, and these are the rows that the packed tokens want.
    """
    after = [state.to(computed_in(products), copy=True) for state in states]
    num_units = after[0].size(1)
    outputs = products.new_empty(len(products) if rows_of_tokens is None else len(rows_of_tokens), num_units)
    for start, size, _ in course.rows():
        if rows_of_tokens is None:
            gates = products[start : start + size].to(after[0].dtype, copy=True)
        else:
            gates = products.index_select(0, rows_of_tokens[start : start + size]).to(after[0].dtype)
        rows = [state[:size] for state in after]
        kept = [gates.new_empty(size, num_units) for _ in range(kernel.num_kept)]
        kernel.step(gates, recur(rows[0].to(products.dtype)), rows, kept)
        outputs[start : start + size] = rows[0]
    return outputs, after


class _Scan(torch.autograd.Function):
    """`scan` with its way back."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, course: Course, products: Tensor, weight: Tensor, bias: Tensor | None, *states: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.kernel, ctx.course, ctx.has_bias, dtype = kernel, course, bias is not None, computed_in(products)
        num_tokens, num_units = len(products), weight.size(1)
        gates = products.to(dtype, copy=True)
        outputs = products.new_empty(num_tokens, num_units)
        before = [gates.new_empty(num_tokens, num_units) for _ in states]
        kept = [gates.new_empty(num_tokens, num_units) for _ in range(kernel.num_kept)]
        after = [state.to(dtype, copy=True) for state in states]
        recur = multiplier(weight.to(products.dtype), len(after[0]), None if bias is None else bias.to(products.dtype))
        for start, size, _ in course.rows():
            block = slice(start, start + size)
            rows = [state[:size] for state in after]
            for earlier, state in zip(before, rows, strict=True):
                earlier[block] = state
            kernel.step(gates[block], recur(rows[0].to(products.dtype)), rows, [each[block] for each in kept])
            outputs[block] = rows[0]
        ctx.save_for_backward(weight, products.new_empty(0), gates, *before, *kept)
        return (outputs, *after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        kernel: Kernel = ctx.kernel
        weight, like_products, gates, *rest = ctx.saved_tensors
        of_outputs, *of_after = above
        before, kept = rest[: len(of_after)], rest[len(of_after) :]
        derivatives = kernel.derivatives(gates, before, kept)
        carried = [gradient.to(gates.dtype, copy=True) for gradient in of_after]
        into = [torch.empty_like(gates) for _ in range(1 if kernel.is_sum else 2)]
        recur_back = multiplier(weight.to(like_products.dtype).t(), len(carried[0]))
        for start, size, crossing in reversed(ctx.course.rows()):
            block = slice(start, start + size)
            rows = [state[:size] for state in carried]
            rows[0].add_(of_outputs[block])
            kernel.step_back(rows, [each[block] for each in derivatives], [each[block] for each in into])
            rows[0].add_(recur_back(into[0][block].to(like_products.dtype)))
            for state in rows:
                state[:crossing] = 0
        of_recurrent = into[0].to(like_products.dtype)
        of_weight = weight_gradient(of_recurrent, before[0].to(like_products.dtype)).to(weight.dtype)
        of_bias = into[0].sum(dim=0).to(weight.dtype) if ctx.has_bias else None
        return (None, None, into[-1].to(like_products.dtype), of_weight, of_bias, *carried)


def computed_in(products: Tensor) -> torch.dtype:
    """States and gates are never in half precision: their sums run over the whole text."""
    return torch.float32 if products.dtype in (torch.bfloat16, torch.float16) else products.dtype
