"""One step of an RNN, an LSTM and a GRU, as the equations stand.

Elman, Cognitive Science 1990; Hochreiter and Schmidhuber, Neural Computation 1997, with the forget gate of Gers et al.,
Neural Computation 2000; Cho et al., EMNLP 2014, https://arxiv.org/abs/1406.1078. ``x`` is the input of the step,
``h`` and ``c`` the state before it, ``h'`` and ``c'`` the state behind it, σ the logistic function; W, U, b stand for
``weight_ih``, ``weight_hh``, ``bias_ih``, whose gates lie in the order of `torch.nn`.

    RNN     h' = φ(W x + b + U h)

    LSTM    i = σ(W_i x + b_i + U_i h)      update (or input) gate
            f = σ(W_f x + b_f + U_f h)      forget gate
            g = tanh(W_g x + b_g + U_g h)   candidate
            o = σ(W_o x + b_o + U_o h)      output gate
            c' = f c + i g
            h' = o tanh(c')                 or o c', without ``output_tanh``

    GRU     r = σ(W_r x + b_r + U_r h)      reset gate
            z = σ(W_z x + b_z + U_z h)      update gate
            n = tanh(W_n x + b_n + r (U_n h))   as in `torch.nn`, or with U_n (r h) as in Cho et al.: ``reset_gate``
            h' = (1 - z) n + z h

With two biases, as in `torch.nn`, ``bias_hh`` is added to ``U h``: for the GRU whose gate stands behind the product
that is another model, for all others another way of writing the same. With n inputs and m units a gate has
``n m + m m + m`` parameters, and m more with two biases; an RNN has 1 gate, a GRU 3, an LSTM 4.

``normalization="layer"`` is Ba et al., 2016, https://arxiv.org/abs/1607.06450: both products are normalised, and the
LSTM's cell before the output (equations 20 to 22); an RNN's sum (equation 4). ``"batch"`` is Laurent et al., 2016,
https://arxiv.org/abs/1510.01378: ``W x`` is normalised over all texts and time steps (equation 8).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models import fused
from wenmo.models.products import linear
from wenmo.models.scan import ACTIVATIONS, Course, GruKernel, Kernel, LstmKernel, RnnKernel, States, scan

Activation = Literal["tanh", "relu", "leaky_relu", "elu"]
Initialization = Literal["orthogonal", "uniform"]
Normalization = Literal["none", "layer", "batch"]
ResetGate = Literal["after", "before"]


class Cell(nn.Module, ABC):
    """What the cells share: the weights, their first values, and the way through packed texts."""

    num_gates: ClassVar[int]
    num_states: ClassVar[int]
    kernel: Kernel | None
    """What runs all steps at once; None where there is only the written step."""

    def __init__(
        self, input_size: int, num_units: int, num_biases: Literal[1, 2], normalization: Normalization, norms: int
    ) -> None:
        super().__init__()
        self.num_units = num_units
        rows = self.num_gates * num_units
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, num_units))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows)) if num_biases == 2 else None
        self.norm_ih = _TokenBatchNorm(rows) if normalization == "batch" else None
        # Of W x and U h, or of their sum alone; biases are the cell's own, so the norms only scale.
        self.norms = nn.ModuleList(
            nn.LayerNorm(rows, bias=False) for _ in range(norms if normalization == "layer" else 0)
        )
        for parameter in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh):
            if parameter is not None:
                nn.init.uniform_(parameter, -1 / math.sqrt(num_units), 1 / math.sqrt(num_units))

    def initialize(self, generator: torch.Generator, how: Initialization = "orthogonal") -> None:
        """First values.

        ``orthogonal``: the U of each gate orthogonal (Saxe et al., 2014, arXiv 1312.6120), the W of each gate uniform
        as of Glorot and Bengio, AISTATS 2010, biases 0. ``uniform``: everything uniform in ±1/sqrt(num_units), as in
        `torch.nn`. Norms start at 1.
        """
        biases = [bias for bias in (self.bias_ih, self.bias_hh) if bias is not None]
        if how == "uniform":
            for parameter in (self.weight_ih, self.weight_hh, *biases):
                nn.init.uniform_(parameter, -1 / math.sqrt(self.num_units), 1 / math.sqrt(self.num_units), generator)
            return
        for gate in range(self.num_gates):
            rows = slice(gate * self.num_units, (gate + 1) * self.num_units)
            nn.init.xavier_uniform_(self.weight_ih.data[rows], generator=generator)
            nn.init.orthogonal_(self.weight_hh.data[rows], generator=generator)
        for bias in biases:
            nn.init.zeros_(bias)

    def first_states(self, like: Tensor, num_texts: int) -> States:
        """Zeros, ``(num_texts, num_units)`` each."""
        return [like.new_zeros(num_texts, self.num_units) for _ in range(self.num_states)]

    def products(self, x: Tensor) -> Tensor:
        """``W x + b`` of many steps at once: ``(rows, input_size)`` to ``(rows, num_gates * num_units)``."""
        bias = self.input_bias()
        if self.norm_ih is not None:
            return cast(Tensor, self.norm_ih(linear(x, self.weight_ih))) + bias
        if len(self.norms) == 2:
            return cast(Tensor, self.norms[0](linear(x, self.weight_ih))) + bias
        return linear(x, self.weight_ih, bias)

    @abstractmethod
    def step(self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor) -> States:
        """The equations: from ``W x + b`` and the states before the step to those behind it.

        Args:
            products: ``(batch, num_gates * num_units)``.
            states: h, and c of an LSTM: ``(batch, num_units)`` each.
            weight_hh: U, which may have connections dropped.
        """

    def forward(self, x: Tensor, states: Sequence[Tensor] | None = None) -> States:
        """One step: ``(batch, input_size)`` and the states before it to the states behind it; h is the first."""
        states = states if states is not None else self.first_states(x, len(x))
        return self.step(self.products(x), states, self.weight_hh)

    def run(
        self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor, course: Course
    ) -> tuple[Tensor, States]:
        """Every step over packed texts: h behind every token, and the states of each text behind its last step.

        Args:
            products: ``(tokens, num_gates * num_units)``.
            states: of each text before its first step, the longest text first.
            weight_hh: as for `step`.
            course: the texts, and which way to go through them.
        """
        if self.kernel is None:
            return self.run_step_by_step(products, states, weight_hh, course)
        return scan(self.kernel, products, weight_hh, self.recurrent_bias(), states, course)

    def run_step_by_step(
        self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor, course: Course
    ) -> tuple[Tensor, States]:
        """As `run`, by the written step and automatic differentiation."""
        outputs: list[tuple[int, Tensor]] = []
        states = list(states)
        for start, size, crossing in course.rows():
            rows = [torch.cat([state[:crossing].detach(), state[crossing:size]]) for state in states]
            behind = self.step(products[start : start + size], rows, weight_hh)
            outputs.append((start, behind[0]))
            states = [torch.cat([new, old[size:]]) for new, old in zip(behind, states, strict=True)]
        if not outputs:
            return products.new_empty(0, self.num_units), states
        return torch.cat([rows for _, rows in sorted(outputs, key=lambda found: found[0])]), states

    def run_fused(self, x: Tensor, weight_hh: Tensor, course: Course) -> Tensor | None:
        """h behind every token of packed inputs ``(tokens, input_size)``, from zeros and by torch's own layer; None
        where that has no such cell or would not be faster."""
        return None

    def recurrent_bias(self) -> Tensor | None:
        """What is added to ``U h`` and cannot be added to ``W x`` instead."""
        return None

    @torch.no_grad()
    def prepared_input(self) -> tuple[Tensor, Tensor]:
        """W and b for answering: with batch normalisation, which then is one scale and one shift a row, inside them."""
        if self.norm_ih is None:
            return self.weight_ih, self.input_bias()
        mean, variance = cast(Tensor, self.norm_ih.running_mean), cast(Tensor, self.norm_ih.running_var)
        scale = self.norm_ih.weight / (variance + self.norm_ih.eps).sqrt()
        return self.weight_ih * scale.unsqueeze(1), self.input_bias() - mean * scale

    def input_bias(self) -> Tensor:
        """What is added to ``W x``: both biases, where it makes no difference which product they follow."""
        return self.bias_ih if self.bias_hh is None else self.bias_ih + self.bias_hh

    def _recurrent(self, hidden: Tensor, weight_hh: Tensor) -> Tensor:
        """``U h``, normalised if both products are."""
        product = F.linear(hidden, weight_hh)
        return cast(Tensor, self.norms[1](product)) if len(self.norms) == 2 else product


class RnnCell(Cell):
    """``h' = φ(W x + b + U h)``."""

    num_gates = 1
    num_states = 1

    def __init__(
        self,
        input_size: int,
        num_units: int,
        *,
        activation: Activation = "tanh",
        num_biases: Literal[1, 2] = 1,
        normalization: Normalization = "none",
    ) -> None:
        super().__init__(input_size, num_units, num_biases, normalization, norms=1)
        self.activation = activation
        self.kernel = RnnKernel(activation) if normalization != "layer" else None

    def products(self, x: Tensor) -> Tensor:
        """See `Cell`; where the sum of both products is normalised, the bias comes behind that."""
        return linear(x, self.weight_ih) if len(self.norms) else super().products(x)

    def step(self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor) -> States:
        """See `Cell`."""
        (h,) = states
        a = products + F.linear(h, weight_hh)
        if len(self.norms):
            a = self.norms[0](a) + self.input_bias()
        return [ACTIVATIONS[self.activation](a)]


class LstmCell(Cell):
    """``c' = f c + i g``, ``h' = o tanh(c')``."""

    num_gates = 4
    num_states = 2

    def __init__(
        self,
        input_size: int,
        num_units: int,
        *,
        output_tanh: bool = True,
        num_biases: Literal[1, 2] = 1,
        normalization: Normalization = "none",
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(input_size, num_units, num_biases, normalization, norms=2)
        self.output_tanh = output_tanh
        self.forget_bias = forget_bias
        self.cell_norm = nn.LayerNorm(num_units) if normalization == "layer" else None
        self.kernel = LstmKernel(output_tanh) if normalization != "layer" else None

    def initialize(self, generator: torch.Generator, how: Initialization = "orthogonal") -> None:
        """See `Cell`; ``forget_bias`` comes on top: 1 lets gradients through (Jozefowicz et al., ICML 2015)."""
        super().initialize(generator, how)
        self.bias_ih.data[self.num_units : 2 * self.num_units] += self.forget_bias

    def step(self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor) -> States:
        """See `Cell`."""
        h, c = states
        i, f, g, o = (products + self._recurrent(h, weight_hh)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        shown = self.cell_norm(c) if self.cell_norm is not None else c
        h = torch.sigmoid(o) * (torch.tanh(shown) if self.output_tanh else shown)
        return [h, c]

    def run_fused(self, x: Tensor, weight_hh: Tensor, course: Course) -> Tensor | None:
        """See `Cell`."""
        is_theirs = self.output_tanh and self.cell_norm is None and self.norm_ih is None and not course.cuts_gradients
        if not is_theirs or not fused.is_faster(x, self.num_units, course.packing):
            return None
        return fused.lstm(x, course.packing, self.weight_ih, weight_hh, self.input_bias(), reverse=course.reverse)


class GruCell(Cell):
    """``h' = (1 - z) n + z h``."""

    num_gates = 3
    num_states = 1

    def __init__(
        self,
        input_size: int,
        num_units: int,
        *,
        reset_gate: ResetGate = "after",
        num_biases: Literal[1, 2] = 1,
        normalization: Normalization = "none",
    ) -> None:
        if normalization == "layer" and reset_gate == "before":
            raise ValueError("normalization='layer' normalises U h, so it needs reset_gate='after'")
        super().__init__(input_size, num_units, num_biases, normalization, norms=2)
        self.reset_gate = reset_gate
        # With the gate before the product a step has two products, one behind the other.
        self.kernel = GruKernel() if normalization != "layer" and reset_gate == "after" else None

    def step(self, products: Tensor, states: Sequence[Tensor], weight_hh: Tensor) -> States:
        """See `Cell`."""
        (h,) = states
        m = self.num_units
        recurrent = self._recurrent(h, weight_hh)
        r = torch.sigmoid(products[:, :m] + recurrent[:, :m])
        z = torch.sigmoid(products[:, m : 2 * m] + recurrent[:, m : 2 * m])
        if self.reset_gate == "before":
            through_r = F.linear(r * h, weight_hh[2 * m :], None if self.bias_hh is None else self.bias_hh[2 * m :])
        else:
            through_r = r * recurrent[:, 2 * m :]
        n = torch.tanh(products[:, 2 * m :] + through_r)
        return [(1 - z) * n + z * h]

    def _recurrent(self, hidden: Tensor, weight_hh: Tensor) -> Tensor:
        """``U h`` and its bias; with the gate before the product, of r and z alone."""
        rows = slice(2 * self.num_units) if self.reset_gate == "before" else slice(None)
        product = super()._recurrent(hidden, weight_hh[rows])
        return product if self.bias_hh is None else product + self.bias_hh[rows]

    def input_bias(self) -> Tensor:
        return self.bias_ih

    def recurrent_bias(self) -> Tensor | None:
        """See `Cell`."""
        return self.bias_hh


class _TokenBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the tokens of a batch; one token alone has no variance and takes the running one."""

    def __init__(self, size: int) -> None:
        super().__init__(size, affine=True)
        # The shift would be a second bias beside the cell's.
        del self.bias
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """``(tokens, size)`` to the same."""
        if self.training and len(x) < 2:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, None, eps=self.eps)
        return super().forward(x)
