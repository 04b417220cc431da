"""The projected LSTM by hand, its clipping against a plain loop, and its fast path against the written step."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from wenmo.models.packing import Packing
from wenmo.models.projected import ProjectedLstmCell
from wenmo.models.scan import Course

INPUT, UNITS, PROJECTION = 3, 5, 4
LENGTHS = [2, 5, 0, 4, 5]
CLIPS = [{}, {"cell_clip": 0.6}, {"projection_clip": 0.7}, {"cell_clip": 0.6, "projection_clip": 0.7}]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def cell_of(**clips: float) -> ProjectedLstmCell:
    """In float64, with random weights everywhere."""
    cell = ProjectedLstmCell(INPUT, UNITS, PROJECTION, **clips).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    return cell


def packed(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Packing]:
    mask = (torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)).long()
    return torch.randn(sum(LENGTHS), INPUT, dtype=dtype), Packing.of(mask)


def random_states(requires_grad: bool = True) -> list[Tensor]:
    sizes = (PROJECTION, UNITS)
    return [torch.randn(len(LENGTHS), size, dtype=torch.float64, requires_grad=requires_grad) for size in sizes]


def test_a_step_is_the_equations_worked_by_hand() -> None:
    cell = ProjectedLstmCell(1, 2, 1, cell_clip=0.5, projection_clip=0.3).double()
    with torch.no_grad():
        # Gates i, f, g, o of two units each; every gate but g is σ(0) = 1/2, and g = tanh(1), tanh(-0.1).
        cell.weight_ih.copy_(torch.tensor([[0.0], [0], [0], [0], [1], [-0.1], [0], [0]], dtype=torch.float64))
        cell.weight_hh.zero_()
        cell.bias_ih.zero_()
        cell.weight_hr.copy_(torch.tensor([[2.0, 1.0]]))
    one = torch.ones(1, 1, dtype=torch.float64)
    h, c = cell(one, [torch.zeros_like(one), torch.tensor([[0.4, 0.2]], dtype=torch.float64)])
    # c' = 0.5 * 0.4 + 0.5 * tanh(1) = 0.58, clipped to 0.5; and 0.5 * 0.2 - 0.5 * tanh(0.1)
    second = 0.1 - 0.5 * math.tanh(0.1)
    assert c[0].tolist() == pytest.approx([0.5, second], abs=1e-15)
    # h' = 2 * 0.5 tanh(0.5) + 0.5 tanh(0.0502) = 0.487, clipped to 0.3
    assert h.tolist() == [[0.3]]
    cell.projection_clip = 0.0
    h, _ = cell(one, [torch.zeros_like(one), torch.tensor([[0.4, 0.2]], dtype=torch.float64)])
    assert h.item() == pytest.approx(math.tanh(0.5) + 0.5 * math.tanh(second), abs=1e-15)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_clipping_is_that_of_a_loop_over_numbers() -> None:
    cell = cell_of(cell_clip=0.6, projection_clip=0.7)
    x = torch.randn(6, INPUT, dtype=torch.float64)
    weights = {name: parameter.tolist() for name, parameter in cell.named_parameters()}
    h, c, expected, clipped = [0.0] * PROJECTION, [0.0] * UNITS, [], 0
    for row in x.tolist():
        a = [
            b + sum(w * v for w, v in zip(of_x, row, strict=True)) + sum(u * v for u, v in zip(of_h, h, strict=True))
            for of_x, of_h, b in zip(weights["weight_ih"], weights["weight_hh"], weights["bias_ih"], strict=True)
        ]
        for unit in range(UNITS):
            i, f, g, o = (a[gate * UNITS + unit] for gate in range(4))
            c[unit] = _sigmoid(f) * c[unit] + _sigmoid(i) * math.tanh(g)
            clipped += abs(c[unit]) > 0.6
            c[unit] = min(0.6, max(-0.6, c[unit]))
            a[unit] = _sigmoid(o) * math.tanh(c[unit])  # i is not needed any more
        h = [sum(p * v for p, v in zip(of_c, a[:UNITS], strict=True)) for of_c in weights["weight_hr"]]
        clipped += sum(abs(value) > 0.7 for value in h)
        h = [min(0.7, max(-0.7, value)) for value in h]
        expected.append(h)
    assert clipped > 5, "these weights clip nothing, so this test shows nothing"
    packing = Packing.of(torch.ones(1, 6, dtype=torch.long))
    with torch.no_grad():
        found, (last, cell_state) = cell.run(cell.products(x), cell.first_states(x, 1), Course(packing))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert last[0].tolist() == found[-1].tolist()
    torch.testing.assert_close(cell_state[0], torch.tensor(c, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("clips", CLIPS, ids=str)
@pytest.mark.parametrize("course", [{}, {"reverse": True}, {"window_size": 2}], ids=str)
def test_the_loop_is_the_written_step_gradients_too(clips: dict[str, float], course: dict[str, Any]) -> None:
    cell = cell_of(**clips)
    x, packing = packed()
    x.requires_grad_()
    states = random_states()
    inputs = [x, *states, *cell.parameters()]
    weight = torch.randn(len(x), PROJECTION, dtype=torch.float64)
    found = []
    for run in (cell.run, cell.run_step_by_step):
        outputs, after = run(cell.products(x), states, Course(packing, **course))
        loss = (outputs * weight).sum() + after[0].square().sum() + after[1].sin().sum()
        found.append([outputs, *after, *torch.autograd.grad(loss, inputs)])
    with torch.no_grad():
        outputs, after = cell.run(cell.products(x), states, Course(packing, **course))
    for fast, slow in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    for without_gradients, slow in zip([outputs, *after], found[1], strict=False):
        torch.testing.assert_close(without_gradients, slow.detach(), rtol=0, atol=1e-12)


def test_clipping_cuts_the_gradient_where_something_was_clipped() -> None:
    x, packing = packed()
    gradients = []
    for clips in ({}, {"cell_clip": 0.6}, {"projection_clip": 0.7}):
        torch.manual_seed(1)
        cell = cell_of(**clips)
        outputs, _ = cell.run(cell.products(x), random_states(), Course(packing))
        gradients.append(torch.autograd.grad(outputs.sum(), cell.weight_hr)[0])
    assert not torch.allclose(gradients[0], gradients[1]) and not torch.allclose(gradients[0], gradients[2])


def test_the_way_back_passes_gradcheck() -> None:
    cell = cell_of(cell_clip=0.6, projection_clip=0.7)
    x, packing = packed()

    def run(x: Tensor, h: Tensor, c: Tensor, weight_hh: Tensor, weight_hr: Tensor) -> tuple[Tensor, ...]:
        del weight_hh, weight_hr  # the cell's own, which gradcheck moves in place
        outputs, after = cell.run(cell.products(x), [h, c], Course(packing))
        return (outputs, *after)

    inputs = (x.requires_grad_(), *random_states(), cell.weight_hh, cell.weight_hr)
    assert torch.autograd.gradcheck(run, inputs)


def test_in_bfloat16_states_stay_float32() -> None:
    cell = cell_of(cell_clip=3.0, projection_clip=3.0).float()
    x, packing = packed(torch.float32)
    exact, _ = cell.run(cell.products(x), cell.first_states(x, len(LENGTHS)), Course(packing))
    with torch.autocast("cpu", torch.bfloat16):
        products = cell.products(x)
        rough, (h, c) = cell.run(products, cell.first_states(x, len(LENGTHS)), Course(packing))
    assert products.dtype == rough.dtype == torch.bfloat16 and h.dtype == c.dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    rough.float().sum().backward()
    assert cell.weight_hr.grad is not None and cell.weight_hr.grad.dtype == torch.float32


def test_the_forget_gate_starts_open() -> None:
    cell = ProjectedLstmCell(INPUT, UNITS, PROJECTION)
    assert cell.bias_ih.tolist() == [0.0] * UNITS + [1.0] * UNITS + [0.0] * 2 * UNITS
    limit = math.sqrt(6 / (INPUT + PROJECTION + 4 * UNITS))
    assert 0.9 * limit < cell.weight_hh.abs().max() <= limit
