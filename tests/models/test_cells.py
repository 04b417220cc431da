"""The written steps by hand, and the loop over packed texts against them."""

import math
from typing import Any

import pytest
import torch

from wenmo.models.cells import Cell, GruCell, LstmCell, RnnCell
from wenmo.models.packing import Packing
from wenmo.models.products import linear, multiplier, weight_gradient
from wenmo.models.scan import Course, scan

FAST: list[tuple[type[Cell], dict[str, Any]]] = [
    (RnnCell, {"activation": "tanh"}),
    (RnnCell, {"activation": "relu", "num_biases": 2}),
    (RnnCell, {"activation": "leaky_relu"}),
    (RnnCell, {"activation": "elu", "normalization": "batch"}),
    (LstmCell, {}),
    (LstmCell, {"num_biases": 2, "output_tanh": False}),
    (LstmCell, {"normalization": "batch"}),
    (GruCell, {}),
    (GruCell, {"num_biases": 2}),
]
SLOW: list[tuple[type[Cell], dict[str, Any]]] = [
    (RnnCell, {"normalization": "layer"}),
    (LstmCell, {"normalization": "layer"}),
    (GruCell, {"normalization": "layer", "num_biases": 2}),
    (GruCell, {"reset_gate": "before", "num_biases": 2}),
]
LENGTHS = [2, 5, 0, 4, 5]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def cell_of(kind: type[Cell], fields: dict[str, Any], input_size: int = 3, num_units: int = 4) -> Cell:
    """In float64, with random weights everywhere."""
    cell = kind(input_size, num_units, **fields).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return cell


def packing_of(lengths: list[int]) -> Packing:
    return Packing.of((torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long())


def set_weights(cell: Cell, w: list[float], u: list[float], b: list[float]) -> None:
    """Of a cell of one unit with one input."""
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(w)[:, None])
        cell.weight_hh.copy_(torch.tensor(u)[:, None])
        cell.bias_ih.copy_(torch.tensor(b))


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


@pytest.mark.parametrize(
    ("activation", "value"),
    [("tanh", math.tanh(-1.0)), ("relu", 0.0), ("leaky_relu", -0.01), ("elu", math.exp(-1) - 1)],
)
def test_a_step_of_an_rnn_is_its_equation_worked_by_hand(activation: Any, value: float) -> None:
    cell = RnnCell(1, 1, activation=activation)
    set_weights(cell, [2.0], [-3.0], [0.5])
    (h,) = cell(torch.tensor([[0.75]]), [torch.tensor([[1.0]])])
    assert h.item() == pytest.approx(value)  # 2 * 0.75 + 0.5 - 3 * 1 = -1


@pytest.mark.parametrize("output_tanh", [True, False])
def test_a_step_of_an_lstm_is_its_equations_worked_by_hand(output_tanh: bool) -> None:
    cell = LstmCell(1, 1, output_tanh=output_tanh)
    set_weights(cell, [1.0, 2.0, 3.0, 4.0], [0.5, -0.5, 1.5, -1.5], [0.1, 0.2, 0.3, 0.4])
    h, c = cell(torch.tensor([[0.5]]), [torch.tensor([[2.0]]), torch.tensor([[-1.0]])])
    i, f, g, o = sigmoid(1.6), sigmoid(0.2), math.tanh(4.8), sigmoid(-0.6)
    expected = f * -1 + i * g
    assert c.item() == pytest.approx(expected)
    assert h.item() == pytest.approx(o * (math.tanh(expected) if output_tanh else expected))


@pytest.mark.parametrize("reset_gate", ["after", "before"])
def test_a_step_of_a_gru_is_its_equations_worked_by_hand(reset_gate: Any) -> None:
    cell = GruCell(1, 1, reset_gate=reset_gate, num_biases=2)
    set_weights(cell, [1.0, 2.0, 3.0], [0.5, -0.5, 1.5], [0.1, 0.2, 0.3])
    assert cell.bias_hh is not None
    with torch.no_grad():
        cell.bias_hh.copy_(torch.tensor([0.0, 0.0, 0.7]))
    (h,) = cell(torch.tensor([[0.5]]), [torch.tensor([[2.0]])])
    r, z = sigmoid(1.6), sigmoid(0.2)
    through = r * (1.5 * 2 + 0.7) if reset_gate == "after" else 1.5 * (r * 2) + 0.7
    n = math.tanh(1.8 + through)
    assert h.item() == pytest.approx((1 - z) * n + z * 2)


def test_layer_normalisation_is_equations_20_to_22_worked_by_hand() -> None:
    cell = cell_of(LstmCell, {"normalization": "layer"}, num_units=2)
    assert isinstance(cell, LstmCell) and cell.cell_norm is not None
    x, h, c = (torch.randn(1, size, dtype=torch.float64) for size in (3, 2, 2))
    weights = {name: value.detach() for name, value in cell.named_parameters()}

    def norm(a: torch.Tensor) -> torch.Tensor:
        return (a - a.mean()) / (a.var(unbiased=False) + 1e-5).sqrt()

    a = norm(h @ weights["weight_hh"].T) * weights["norms.1.weight"]
    a = a + norm(x @ weights["weight_ih"].T) * weights["norms.0.weight"] + weights["bias_ih"]
    i, f, g, o = a.chunk(4, dim=1)
    c_next = f.sigmoid() * c + i.sigmoid() * g.tanh()
    shown = norm(c_next) * weights["cell_norm.weight"] + weights["cell_norm.bias"]
    h_next = o.sigmoid() * shown.tanh()
    found = cell(x, [h, c])
    torch.testing.assert_close(found[0], h_next, rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], c_next, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell_class", [LstmCell, GruCell])
def test_layer_normalisation_forgets_the_scale_of_the_weights(cell_class: type[Cell]) -> None:
    cell = cell_of(cell_class, {"normalization": "layer"}, num_units=32)
    x = torch.randn(2, 3, dtype=torch.float64)
    states = [torch.rand(2, 32, dtype=torch.float64) for _ in range(cell.num_states)]
    before = cell(x, states)
    with torch.no_grad():
        cell.weight_ih.mul_(1000)
        cell.weight_hh.mul_(1000)
    for one, other in zip(before, cell(x, states), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


def test_batch_normalisation_takes_mean_and_variance_over_all_texts_and_steps() -> None:
    cell = cell_of(LstmCell, {"normalization": "batch"}).train()
    x = torch.randn(50, 3, dtype=torch.float64)
    products = cell.products(x) - cell.bias_ih
    assert cell.norm_ih is not None
    torch.testing.assert_close(products.mean(dim=0), torch.zeros(16, dtype=torch.float64), rtol=0, atol=1e-9)
    scale = cell.norm_ih.weight.abs()
    torch.testing.assert_close(products.std(dim=0, unbiased=False), scale, rtol=1e-3, atol=1e-3)
    one = cell.products(x[:1])  # has no variance; the running one serves
    assert torch.isfinite(one).all() and one.abs().max() < 1e3


@pytest.mark.parametrize("window_size", [0, 2])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("kind", "fields"), FAST, ids=str)
def test_the_fast_loop_is_the_written_step_with_all_gradients(
    kind: type[Cell], fields: dict[str, Any], reverse: bool, window_size: int
) -> None:
    cell = cell_of(kind, fields).eval()
    packing = packing_of(LENGTHS)
    x = torch.randn(sum(LENGTHS), 3, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(cell.num_states)]
    course = Course(packing, reverse, window_size)
    leaves = [x, *states, *(p for p in cell.parameters())]

    def everything(run: Any) -> list[torch.Tensor]:
        outputs, after = run(cell.products(x), states, cell.weight_hh, course)
        looked_at = [outputs, *after]
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in looked_at]
        loss = sum((y * w).sum() for y, w in zip(looked_at, weights, strict=True))
        return [*looked_at, *torch.autograd.grad(loss, leaves)]

    assert cell.kernel is not None
    for fast, written in zip(everything(cell.run), everything(cell.run_step_by_step), strict=True):
        torch.testing.assert_close(fast, written, rtol=0, atol=1e-12)
    with torch.no_grad():
        outputs, after = cell.run(cell.products(x), states, cell.weight_hh, course)
    for fast, written in zip([outputs, *after], everything(cell.run_step_by_step), strict=False):
        torch.testing.assert_close(fast, written.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "fields"), [*FAST, *SLOW], ids=str)
def test_each_text_is_read_by_itself_one_step_after_the_other(kind: type[Cell], fields: dict[str, Any]) -> None:
    cell = cell_of(kind, fields).eval()
    packing = packing_of(LENGTHS)
    padded = torch.randn(5, 5, 3, dtype=torch.float64)
    for reverse in (False, True):
        zeros = cell.first_states(padded, 5)
        outputs, after = cell.run(cell.products(packing.pack(padded)), zeros, cell.weight_hh, Course(packing, reverse))
        found = packing.unpack(outputs)
        for row, length in enumerate(LENGTHS):
            states = cell.first_states(padded, 1)
            for t in reversed(range(length)) if reverse else range(length):
                states = cell(padded[row : row + 1, t], states)
                torch.testing.assert_close(found[row, t], states[0][0], rtol=0, atol=1e-12)
            for state, last in zip(after, states, strict=True):
                torch.testing.assert_close(packing.restore_texts(state)[row], last[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "fields"), FAST, ids=str)
def test_the_way_back_passes_gradcheck(kind: type[Cell], fields: dict[str, Any]) -> None:
    cell = cell_of(kind, fields, num_units=2)
    assert cell.kernel is not None
    kernel, course = cell.kernel, Course(packing_of([3, 1, 2]))
    products = torch.randn(6, 2 * cell.num_gates, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2 * cell.num_gates, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2 * cell.num_gates, dtype=torch.float64, requires_grad=True) if kind is GruCell else None
    states = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(cell.num_states)]

    def run(products: torch.Tensor, weight: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs, after = scan(kernel, products, weight, bias, states, course)
        return outputs, *after

    assert torch.autograd.gradcheck(run, (products, weight, *states))


def test_a_window_stops_the_gradient_and_nothing_else() -> None:
    cell = cell_of(LstmCell, {})
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    outputs = {}
    for window_size in (0, 2):
        course = Course(packing_of([6]), window_size=window_size)
        y, _ = cell.run(cell.products(x), cell.first_states(x, 1), cell.weight_hh, course)
        (gradient,) = torch.autograd.grad(y[5].sum(), x)
        outputs[window_size] = (y, gradient)
    assert torch.equal(outputs[0][0], outputs[2][0])
    assert outputs[0][1].abs().sum(dim=1).gt(0).all()
    assert outputs[2][1].abs().sum(dim=1).gt(0).tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize(("kind", "num_gates"), [(RnnCell, 1), (GruCell, 3), (LstmCell, 4)])
@pytest.mark.parametrize("num_biases", [1, 2])
def test_the_parameters_are_those_of_the_closed_formula(kind: Any, num_gates: int, num_biases: int) -> None:
    m, n = 7, 5
    counted = sum(parameter.numel() for parameter in kind(n, m, num_biases=num_biases).parameters())
    assert counted == num_gates * (n * m + m * m + num_biases * m)


def test_orthogonal_recurrent_weights_and_the_forget_bias() -> None:
    cell = LstmCell(6, 5, forget_bias=1.0, num_biases=2)
    cell.initialize(torch.Generator().manual_seed(0))
    for gate in cell.weight_hh.detach().split(5):
        torch.testing.assert_close(gate @ gate.T, torch.eye(5), rtol=0, atol=1e-5)
    assert cell.bias_hh is not None
    assert (cell.bias_ih + cell.bias_hh).tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10
    cell.initialize(torch.Generator().manual_seed(0), "uniform")
    assert 0.3 < cell.weight_hh.abs().max() <= 1 / math.sqrt(5)
    again = LstmCell(6, 5, forget_bias=1.0, num_biases=2)
    again.initialize(torch.Generator().manual_seed(0), "uniform")
    assert torch.equal(cell.weight_hh, again.weight_hh)


def test_layer_normalisation_of_a_gru_needs_the_gate_behind_the_product() -> None:
    with pytest.raises(ValueError, match="reset_gate='after'"):
        GruCell(2, 2, normalization="layer", reset_gate="before")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_those_of_torch(dtype: torch.dtype) -> None:
    x, weight = torch.randn(9, 5, dtype=dtype, requires_grad=True), torch.randn(7, 5, dtype=dtype, requires_grad=True)
    bias = torch.randn(7, dtype=dtype, requires_grad=True)
    above = torch.randn(9, 7, dtype=dtype)
    ours = torch.autograd.grad(linear(x, weight, bias), (x, weight, bias), above)
    theirs = torch.autograd.grad(torch.nn.functional.linear(x, weight, bias), (x, weight, bias), above)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(multiplier(weight, 3)(x.detach()[:2]), x.detach()[:2] @ weight.detach().T)
    torch.testing.assert_close(weight_gradient(above, x.detach()), above.T @ x.detach())


def test_the_scan_in_bfloat16_is_near_the_one_in_float32() -> None:
    cell = LstmCell(8, 16)
    x = torch.randn(12, 8)
    course = Course(packing_of([5, 4, 3]))
    exact, _ = cell.run(cell.products(x), cell.first_states(x, 3), cell.weight_hh, course)
    with torch.autocast("cpu", torch.bfloat16):
        rough, states = cell.run(cell.products(x), cell.first_states(x, 3), cell.weight_hh, course)
    assert rough.dtype == torch.bfloat16 and states[1].dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.02)
    of_exact, of_rough = (torch.autograd.grad(y.float().square().sum(), cell.weight_hh)[0] for y in (exact, rough))
    assert torch.cosine_similarity(of_exact.flatten(), of_rough.flatten(), dim=0) > 0.999
