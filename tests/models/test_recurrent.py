"""Recurrent models by their properties: what reads what, dropout, pooling, states, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from wenmo.features import TokenBatch
from wenmo.models.packing import Packing
from wenmo.models.pooling import AttentionPooling
from wenmo.models.recurrent import Recurrent, RecurrentConfig, RecurrentStack, RecurrentState
from wenmo.models.registry import build_model, num_parameters, preset, presets
from wenmo.models.scan import tanh_
from wenmo.models.tracing import trace

TEXTS = [[5, 6, 7, 8, 9, 10, 11, 5], [5, 6], [7], [3, 3, 3, 4]]
EVERY_OPTION: list[dict[str, Any]] = [
    {"num_hidden_layers": 2, "bidirectional": True, "residual": True, "hidden_dropout_prob": 0.3},
    {"pooling": "attention", "bidirectional": True, "normalization": "batch"},
    {"pooling": "mean", "normalization": "layer", "num_hidden_layers": 2},
    {"pooling": "last", "bidirectional": True, "output_tanh": False},
    {"cell": "gru", "reset_gate": "before", "num_biases": 2, "recurrent_dropout_prob": 0.3},
    {"cell": "rnn", "activation": "elu", "word_dropout_prob": 0.3, "window_size": 2},
]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_presets_are_what_they_are_called() -> None:
    cells = {name: each.default_config() for name, each in presets().items() if each.model_type == "recurrent"}
    shapes = {name: (config.cell, config.bidirectional) for name, config in cells.items()}  # type: ignore[attr-defined]
    assert shapes == {
        "rnn": ("rnn", False),
        "lstm": ("lstm", False),
        "gru": ("gru", False),
        "bilstm": ("lstm", True),
        "bigru": ("gru", True),
    }


@pytest.mark.parametrize(("name", "num_gates"), [("rnn", 1), ("lstm", 4), ("gru", 3), ("bilstm", 8), ("bigru", 6)])
@pytest.mark.parametrize("num_biases", [1, 2])
def test_the_parameters_of_a_model_are_those_of_the_closed_formula(name: str, num_gates: int, num_biases: int) -> None:
    n, m, vocab_size = 5, 7, 11
    values = {"vocab_size": vocab_size, "embedding_size": n, "num_units": m, "num_biases": num_biases}
    config = preset(name).load_config_class().from_dict({**preset(name).values, **values})
    assert num_parameters(config) == vocab_size * n + num_gates * (n * m + m * m + num_biases * m)


@pytest.mark.parametrize("values", EVERY_OPTION, ids=str)
def test_company_and_padding_never_change_a_text_with_any_option(
    values: dict[str, Any], tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("rnn", **{"cell": "lstm", **values})
    together, dirty = model(batch_of([*TEXTS, []]), use_cache=True), model(batch_of([*TEXTS, []], garbage=9))
    close(together.pooler_output, dirty.pooler_output)
    for row, text in enumerate([*TEXTS, []]):
        alone = model(batch_of([text]), use_cache=True)
        close(alone.pooler_output[0], together.pooler_output[row])
        close(alone.last_hidden_state[0, : len(text)], together.last_hidden_state[row, : len(text)])
        for one, other in zip(alone.past_key_values.tensors(), together.past_key_values.tensors(), strict=True):
            close(one[:, 0], other[:, row])
    assert together.pooler_output[4].abs().sum() == 0


@pytest.mark.parametrize("values", EVERY_OPTION, ids=str)
def test_every_weight_gets_a_gradient_with_any_option(
    values: dict[str, Any], tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("rnn", **{"cell": "lstm", **values}).train()
    model(batch_of(TEXTS)).pooler_output.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_direction_sees_only_what_stands_on_its_side(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("bilstm")
    one = model(batch_of([[4, 5, 6, 7], [8]])).last_hidden_state[0]
    other = model(batch_of([[4, 9, 6, 7], [8]])).last_hidden_state[0]
    changed = (one - other).abs() > 1e-9
    assert changed[:, :5].any(dim=1).tolist() == [False, True, True, True]
    assert changed[:, 5:].any(dim=1).tolist() == [True, True, False, False]


def test_the_second_direction_is_the_first_over_the_text_turned_round(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("bigru")
    forward, backward = model.stack.cells()
    backward.load_state_dict(forward.state_dict())
    there = model(batch_of(TEXTS)).last_hidden_state
    back = model(batch_of([text[::-1] for text in TEXTS])).last_hidden_state
    for row, text in enumerate(TEXTS):
        close(there[row, : len(text), 5:], back[row, : len(text), :5].flip(0))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_text_in_pieces_with_the_state_carried_is_the_text_in_one(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name, num_hidden_layers=2)
    whole = model(batch_of(TEXTS), use_cache=True)
    first = model(batch_of([text[:3] for text in TEXTS]), use_cache=True)
    rest = batch_of([text[3:] for text in TEXTS])
    second = model(
        TokenBatch(input_ids=rest.input_ids, attention_mask=rest.attention_mask, past_key_values=first.past_key_values),
        use_cache=True,
    )
    close(whole.last_hidden_state[0, 3:], second.last_hidden_state[0])
    for one, other in zip(whole.past_key_values.tensors(), second.past_key_values.tensors(), strict=True):
        close(one, other)  # also those of texts that ended in the first piece


@pytest.mark.parametrize("values", [{}, {"bidirectional": True, "num_hidden_layers": 2}, {"normalization": "layer"}])
def test_windows_leave_every_result_as_it_is(
    values: dict[str, Any], tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    whole, windowed = (tiny("lstm", window_size=size, **values)(batch_of(TEXTS)) for size in (0, 3))
    assert torch.equal(whole.last_hidden_state, windowed.last_hidden_state)


@pytest.mark.parametrize("values", [{}, {"bidirectional": True}, {"normalization": "layer", "bidirectional": True}])
def test_a_window_stops_gradients_where_it_ends_whatever_the_company(
    values: dict[str, Any], tiny: Callable[..., nn.Module]
) -> None:
    model = tiny("lstm", window_size=2, pooling="mean", **values)
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    states = model(TokenBatch(inputs_embeds=x, attention_mask=mask)).last_hidden_state
    (gradient,) = torch.autograd.grad(states[1, :2].sum(), x, retain_graph=True)
    assert gradient.abs().sum(dim=2).gt(0).tolist() == [[False] * 5, [True, True, False, False, False]]
    (gradient,) = torch.autograd.grad(states[0, 2:4].sum(), x)
    assert gradient.abs().sum(dim=2).gt(0).tolist() == [[False, False, True, True, False], [False] * 5]


def test_recurrent_dropout_drops_the_same_connections_at_every_step(tiny: Callable[..., nn.Module]) -> None:
    # Without inputs, and with the identity for U, a unit only repeats itself. With p = 0.5 its one connection is
    # dropped, and the state is 0 from the first step on; or it is kept and doubled at every step.
    model = tiny("rnn", activation="relu", recurrent_dropout_prob=0.5, embedding_dropout_prob=0.0).train()
    (cell,) = model.stack.cells()
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.zero_()
        cell.weight_hh.copy_(torch.eye(5))
    ones = RecurrentState(torch.ones(1, 1, 5, dtype=torch.float64))
    seen = set()
    for _ in range(20):
        states, _ = model.stack(torch.zeros(1, 3, 6, dtype=torch.float64), torch.ones(1, 3), ones)
        for unit in states[0].T.tolist():
            assert unit in ([0.0, 0.0, 0.0], [2.0, 4.0, 8.0])
            seen.add(unit[0])
    assert seen == {0.0, 2.0}
    states, _ = model.eval().stack(torch.zeros(1, 3, 6, dtype=torch.float64), torch.ones(1, 3), ones)
    assert states.unique().tolist() == [1.0]


def test_embedding_dropout_drops_the_same_numbers_wherever_a_word_stands(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("gru", embedding_dropout_prob=0.5).train()
    batch = batch_of([[3, 4, 3, 5, 3], [4, 3]])
    packing = Packing.of(batch.attention_mask)
    vectors = packing.unpack(model._vectors(batch, packing))
    close(vectors[0, 0], vectors[0, 2])
    close(vectors[0, 1], vectors[1, 0])
    factors = (vectors[0, :2] / model.embeddings(torch.tensor([3, 4]))).flatten()
    assert factors.unique().tolist() == [0.0, 2.0]


def test_word_dropout_drops_all_that_stand_for_a_word(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("rnn", word_dropout_prob=0.5, embedding_dropout_prob=0.0).train()
    batch = batch_of([[3, 4, 3, 5, 3], [4, 3]])
    dropped = 0
    for _ in range(10):
        packing = Packing.of(batch.attention_mask)
        vectors = packing.unpack(model._vectors(batch, packing))
        close(vectors[0, 0], vectors[0, 2])
        close(vectors[0, 0], vectors[1, 1])
        close(vectors[0, 1], vectors[1, 0])
        factor = vectors[0, 0] / model.embeddings(torch.tensor(3))
        assert factor.unique().tolist() in ([0.0], [2.0])
        dropped += int(factor[0] == 0)
    assert 0 < dropped < 10


def test_dropout_stands_on_word_vectors_and_between_layers_and_only_in_training(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    for values in ({"embedding_dropout_prob": 0.5}, {"hidden_dropout_prob": 0.5, "num_hidden_layers": 2}):
        model = tiny("gru", **{"embedding_dropout_prob": 0.0, "recurrent_dropout_prob": 0.0, **values})
        batch = batch_of(TEXTS)
        assert torch.equal(model(batch).pooler_output, model(batch).pooler_output)
        model.train()
        assert not torch.equal(model(batch).pooler_output, model(batch).pooler_output)
        first_layers = [_first_layer(model, batch) for _ in range(2)]
        assert torch.equal(*first_layers) == ("hidden_dropout_prob" in values)


def _first_layer(model: nn.Module, batch: TokenBatch) -> torch.Tensor:
    packing = Packing.of(batch.attention_mask)
    zeros = [cell.first_states(torch.zeros(1).double(), 4) for cell in model.stack.cells()[:1]]  # type: ignore[operator, union-attr]
    output: torch.Tensor = model.stack.layers[0](model._vectors(batch, packing), packing, zeros)[0]  # type: ignore[operator, union-attr, index]
    return output


def test_a_residual_layer_adds_its_input() -> None:
    plain, residual = (
        RecurrentStack(RecurrentConfig(embedding_size=4, num_units=2, bidirectional=True, residual=residual)).double()
        for residual in (False, True)
    )
    residual.load_state_dict(plain.state_dict())
    x, mask = torch.randn(2, 3, 4, dtype=torch.float64), torch.tensor([[1, 1, 1], [1, 0, 0]])
    close(residual(x, mask)[0], plain(x, mask)[0] + x * mask.unsqueeze(-1))


def test_last_is_what_each_direction_knows_behind_its_last_step(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    features = tiny("bilstm", pooling="last")(batch_of(TEXTS), use_cache=True)
    close(features.pooler_output, features.past_key_values.hidden.transpose(0, 1).flatten(1))


def test_attention_is_equations_5_to_7_worked_by_hand() -> None:
    pooling = AttentionPooling(1)
    with torch.no_grad():
        pooling.projection.weight.fill_(2.0)
        pooling.projection.bias.fill_(-1.0)
        pooling.query.weight.fill_(3.0)
    states = torch.tensor([[[1.0], [0.5], [99.0]], [[7.0], [7.0], [7.0]]])
    vector, weights = pooling(states, torch.tensor([[1, 1, 0], [0, 0, 0]]))
    first = torch.tensor(1.0).tanh().mul(3).exp()  # against exp(3 tanh(0)) = 1
    torch.testing.assert_close(weights[0], torch.stack([first, torch.tensor(1.0), torch.tensor(0.0)]) / (first + 1))
    torch.testing.assert_close(vector[0, 0], (first * 1.0 + 0.5) / (first + 1))
    assert weights[1].tolist() == [0.0, 0.0, 0.0] and vector[1].tolist() == [0.0]


def test_initialisation_is_a_function_of_the_generator() -> None:
    models = [Recurrent(RecurrentConfig(vocab_size=9, num_units=4, pooling="attention")) for _ in range(2)]
    for model in models:
        model.initialize(torch.Generator().manual_seed(3))
    for one, other in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(one, other)
    assert models[0].embeddings.words.weight[0].abs().sum() == 0


def test_a_state_of_another_model_is_refused(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    state = tiny("gru")(batch_of(TEXTS), use_cache=True).past_key_values
    batch = batch_of(TEXTS)
    with pytest.raises(ValueError, match=r"this lstm wants 2 of \(1, 4, 5\)"):
        tiny("lstm")(TokenBatch(input_ids=batch.input_ids, attention_mask=batch.attention_mask, past_key_values=state))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"activation": "relu"}, "activation is for cell='rnn', and the cell is 'lstm'"),
        ({"cell": "gru", "output_tanh": False}, "output_tanh is for cell='lstm'"),
        ({"cell": "gru", "forget_bias": 1.0}, "forget_bias is for cell='lstm'"),
        ({"reset_gate": "before"}, "reset_gate is for cell='gru'"),
        ({"cell": "gru", "reset_gate": "before", "normalization": "layer"}, "needs reset_gate='after'"),
        ({"num_units": 0}, "must be at least 1"),
        ({"num_biases": 3}, "num_biases must be 1 or 2"),
        ({"word_dropout_prob": 1.0}, "word_dropout_prob must be at least 0 and below 1"),
        ({"hidden_dropout_prob": 0.5}, "set num_hidden_layers=2"),
        ({"residual": True}, "embedding_size is 300, hidden_size 150"),
    ],
)
def test_settings_that_cannot_work_or_would_do_nothing_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RecurrentConfig(**values)


def test_a_trace_shows_the_steps(batch_of: Callable[..., TokenBatch]) -> None:
    model = build_model(RecurrentConfig(vocab_size=20, num_units=4, bidirectional=True, pooling="attention"))
    with torch.no_grad(), trace() as steps:
        model(batch_of([[2, 3, 4], [5]]))
    shapes = {step.name: step.shape for step in steps}
    assert shapes["vectors of the words, without padding"] == (4, 300)
    assert shapes["W x + b of all gates, all steps at once"] == (4, 16)
    assert shapes["states behind every token, layer 1"] == (4, 8)
    assert shapes["attention"] == (2, 3)
    assert shapes["vector of the text, by attention"] == (2, 8)


def test_a_batch_without_any_token_gives_zeros(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    for name in ("rnn", "bilstm", "gru"):
        assert tiny(name)(batch_of([[], []])).pooler_output.tolist() == [[0.0] * tiny(name).config.hidden_size] * 2


def test_the_fast_tanh_is_tanh_but_for_a_rounding_error() -> None:
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.tensor([0.0, 1e-30, -1e-8, 100.0, -100.0])])
    torch.testing.assert_close(tanh_(x.clone()), torch.tanh(x), rtol=0, atol=2e-7)
    exact = x.double()
    assert torch.equal(tanh_(exact.clone()), torch.tanh(exact))
