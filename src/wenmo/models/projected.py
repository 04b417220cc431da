"""An LSTM whose hidden state is a narrow projection of what its wide cell shows, both of them clipped.

Sak et al., Interspeech 2014, https://arxiv.org/abs/1402.1128, equations 7 to 13 without peepholes, with the clipping of
TensorFlow's `LSTMCell`, as ELMo has it. The gates are those of `wenmo.models.cells`, and h has the projection's width:

    i = σ(W_i x + b_i + U_i h)      f = σ(W_f x + b_f + U_f h)
    g = tanh(W_g x + b_g + U_g h)   o = σ(W_o x + b_o + U_o h)
    c' = clip(f c + i g)            into [-cell_clip, cell_clip]
    h' = clip(P (o tanh(c')))       into [-projection_clip, projection_clip]

W, U, b and P stand for ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``weight_hr``, as in `torch.nn.LSTM` with
``proj_size``, which clips nothing. Each step is written once as these equations (`ProjectedLstmCell.step`); `run` goes
through packed texts as `wenmo.models.scan` does, with its way back written out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from wenmo.models.products import Multiplier, linear, multiplier, weight_gradient
from wenmo.models.scan import Course, LstmKernel, States, computed_in


class ProjectedLstmCell(nn.Module):
    """``c' = clip(f c + i g)``, ``h' = clip(P (o tanh(c')))``."""

    def __init__(
        self,
        input_size: int,
        num_units: int,
        projection_size: int,
        *,
        cell_clip: float = 0.0,
        projection_clip: float = 0.0,
    ) -> None:
        """A clip of 0 does not clip."""
        super().__init__()
        self.num_units = num_units
        self.projection_size = projection_size
        self.cell_clip = cell_clip
        self.projection_clip = projection_clip
        self.weight_ih = nn.Parameter(torch.empty(4 * num_units, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * num_units, projection_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * num_units))
        self.weight_hr = nn.Parameter(torch.empty(projection_size, num_units))
        self.initialize(None)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None) -> None:
        """W and U as one matrix, and P: uniform as of Glorot and Bengio, AISTATS 2010; biases 0, of the forget gate 1.

        These are TensorFlow's, with which ELMo was trained; there the 1 is added at run time.
        """
        fan = self.weight_ih.size(1) + self.projection_size + 4 * self.num_units
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -((6 / fan) ** 0.5), (6 / fan) ** 0.5, generator)
        nn.init.xavier_uniform_(self.weight_hr, generator=generator)
        nn.init.zeros_(self.bias_ih)
        self.bias_ih[self.num_units : 2 * self.num_units] = 1

    def first_states(self, like: Tensor, num_texts: int) -> States:
        """Zeros: h ``(num_texts, projection_size)`` and c ``(num_texts, num_units)``."""
        return [like.new_zeros(num_texts, self.projection_size), like.new_zeros(num_texts, self.num_units)]

    def products(self, x: Tensor) -> Tensor:
        """``W x + b`` of many steps at once: ``(rows, input_size)`` to ``(rows, 4 * num_units)``."""
        return linear(x, self.weight_ih, self.bias_ih)

    def step(self, products: Tensor, states: Sequence[Tensor]) -> States:
        """The equations: from ``W x + b`` ``(batch, 4 * num_units)``, h and c before the step to those behind it."""
        h, c = states
        i, f, g, o = (products + F.linear(h, self.weight_hh)).chunk(4, dim=1)
        c = _clip(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g), self.cell_clip)
        h = _clip(F.linear(torch.sigmoid(o) * torch.tanh(c), self.weight_hr), self.projection_clip)
        return [h, c]

    def forward(self, x: Tensor, states: Sequence[Tensor] | None = None) -> States:
        """One step: ``(batch, input_size)`` and h and c before it to those behind it."""
        return self.step(self.products(x), states if states is not None else self.first_states(x, len(x)))

    def run(self, products: Tensor, states: Sequence[Tensor], course: Course) -> tuple[Tensor, States]:
        """Every step over packed texts.

        Args:
            products: ``(tokens, 4 * num_units)``, of `products`.
            states: h and c of each text before its first step, the longest text first.
            course: the texts, and which way to go through them.

        Returns:
            h behind every token, ``(tokens, projection_size)``; h and c of each text behind its last step.
        """
        inputs = (products, self.weight_hh, self.weight_hr, *states)
        if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
            clips = (self.cell_clip, self.projection_clip)
            outputs, *after = _Scan.apply(*clips, course, *inputs)  # type: ignore[no-untyped-call]
            return outputs, after
        recur, project = (multiplier(w.to(products.dtype), len(states[0])) for w in (self.weight_hh, self.weight_hr))
        return self.run_prepared(products, states, course, recur, project)

    def run_prepared(
        self,
        products: Tensor,
        states: Sequence[Tensor],
        course: Course,
        recur: Multiplier,
        project: Multiplier,
        rows_of_tokens: Tensor | None = None,
    ) -> tuple[Tensor, States]:
        """As `run`, without gradients; ``recur`` multiplies by U and ``project`` by P, in the type of ``products``.

        With ``rows_of_tokens`` ``(tokens,)`` the products are a table, and these are the rows that the tokens want.
        """
        kernel = LstmKernel(output_tanh=True, cell_clip=self.cell_clip)
        after = [state.to(computed_in(products), copy=True) for state in states]
        num_tokens = len(products) if rows_of_tokens is None else len(rows_of_tokens)
        outputs = products.new_empty(num_tokens, self.projection_size)
        for start, size, _ in course.rows():
            block = slice(start, start + size)
            rows = products[block] if rows_of_tokens is None else products.index_select(0, rows_of_tokens[block])
            gates = rows.to(after[0].dtype, copy=True)
            kept = [gates.new_empty(size, self.num_units) for _ in range(kernel.num_kept)]
            h, c = (state[:size] for state in after)
            shown = torch.empty_like(c)
            kernel.step(gates, recur(h.to(products.dtype)), [shown, c], kept)
            h.copy_(_clip(project(shown.to(products.dtype)), self.projection_clip))
            outputs[block] = h
        return outputs, after

    def run_step_by_step(self, products: Tensor, states: Sequence[Tensor], course: Course) -> tuple[Tensor, States]:
        """As `run`, by the written step and automatic differentiation."""
        outputs: list[tuple[int, Tensor]] = []
        states = list(states)
        for start, size, crossing in course.rows():
            rows = [torch.cat([state[:crossing].detach(), state[crossing:size]]) for state in states]
            behind = self.step(products[start : start + size], rows)
            outputs.append((start, behind[0]))
            states = [torch.cat([new, old[size:]]) for new, old in zip(behind, states, strict=True)]
        if not outputs:
            return products.new_empty(0, self.projection_size), states
        return torch.cat([rows for _, rows in sorted(outputs, key=lambda found: found[0])]), states


class _Scan(torch.autograd.Function):
    """`ProjectedLstmCell.run` with its way back: two small products a step, those of the weights over all steps."""

    @staticmethod
    def forward(
        ctx: Any,
        cell_clip: float,
        projection_clip: float,
        course: Course,
        products: Tensor,
        weight_hh: Tensor,
        weight_hr: Tensor,
        *states: Tensor,
    ) -> tuple[Tensor, ...]:
        dtype, num_tokens = computed_in(products), len(products)
        projection_size, num_units = weight_hr.shape
        kernel = LstmKernel(output_tanh=True, cell_clip=cell_clip)
        ctx.kernel, ctx.course = kernel, course
        gates = products.to(dtype, copy=True)
        outputs = products.new_empty(num_tokens, projection_size)
        hidden, cell = (gates.new_empty(num_tokens, size) for size in (projection_size, num_units))
        clipped = torch.zeros(outputs.shape, dtype=torch.bool, device=outputs.device)
        kept = [gates.new_empty(num_tokens, num_units) for _ in range(kernel.num_kept)]
        after = [state.to(dtype, copy=True) for state in states]
        recur, project = (multiplier(w.to(products.dtype), len(after[0])) for w in (weight_hh, weight_hr))
        for start, size, _ in course.rows():
            block = slice(start, start + size)
            h, c = (state[:size] for state in after)
            hidden[block], cell[block] = h, c
            shown = torch.empty_like(c)
            kernel.step(gates[block], recur(h.to(products.dtype)), [shown, c], [each[block] for each in kept])
            h.copy_(project(shown.to(products.dtype)))
            if projection_clip:
                clipped[block] = h.abs() >= projection_clip
            outputs[block] = h.copy_(_clip(h, projection_clip))
        ctx.save_for_backward(weight_hh, weight_hr, products.new_empty(0), gates, hidden, cell, clipped, *kept)
        return (outputs, *after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        kernel: LstmKernel = ctx.kernel
        weight_hh, weight_hr, like_products, gates, hidden, cell, clipped, *kept = ctx.saved_tensors
        dtype = like_products.dtype
        of_outputs, *of_after = above
        derivatives = kernel.derivatives(gates, [hidden, cell], kept)
        carried = [gradient.to(gates.dtype, copy=True) for gradient in of_after]
        into, of_projected = torch.empty_like(gates), torch.empty_like(hidden)
        recur_back, project_back = (multiplier(w.to(dtype).t(), len(carried[0])) for w in (weight_hh, weight_hr))
        for start, size, crossing in reversed(ctx.course.rows()):
            block = slice(start, start + size)
            h, c = (state[:size] for state in carried)
            of_projected[block] = h.add_(of_outputs[block]).masked_fill_(clipped[block], 0)
            of_shown = project_back(h.to(dtype)).to(gates.dtype)
            kernel.step_back([of_shown, c], [each[block] for each in derivatives], [into[block]])
            h.copy_(recur_back(into[block].to(dtype)))
            h[:crossing], c[:crossing] = 0, 0
        shown = gates[:, 3 * cell.size(1) :] * kept[0]
        of_products = into.to(dtype)
        return (
            *(None, None, None),
            of_products,
            weight_gradient(of_products, hidden.to(dtype)).to(weight_hh.dtype),
            weight_gradient(of_projected.to(dtype), shown.to(dtype)).to(weight_hr.dtype),
            *carried,
        )


def _clip(x: Tensor, limit: float) -> Tensor:
    return x.clamp(-limit, limit) if limit else x
