"""A model on the layers of one that stays as it is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from wenmo.features import TokenBatch
from wenmo.models.bert import BertConfig
from wenmo.models.registry import build_model, config_from_dict, preset, with_sizes
from wenmo.models.stacked import Stacked, StackedConfig, on_vectors

FROZEN = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    pooler="first",
    max_position_embeddings=9,
)
TOPS = {
    "textcnn": {"num_filters": 4},
    "bag": {},
    "bilstm": {"num_units": 5},
    "gru": {"num_units": 5},
    "transformer": {"hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 6},
}
TEXTS = [[5, 6, 7, 8], [9, 10], [11]]


def stacked(top: str = "textcnn", layers: str = "all", **values: Any) -> Stacked:
    config = preset(top).load_config_class().from_dict({**preset(top).values, **TOPS[top], **values})
    model = Stacked(StackedConfig(frozen=FROZEN, top=on_vectors(config, 8), layers=layers)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model.eval()


def test_the_upper_model_reads_the_weighted_sum_of_the_layers(batch_of: Callable[..., TokenBatch]) -> None:
    model, batch = stacked(), batch_of(TEXTS)
    assert model.mix is not None
    layers = model.frozen(batch, output_hidden_states=True).hidden_states
    weights = model.mix.weights.exp() / model.mix.weights.exp().sum()
    vectors = model.mix.gamma * (weights[0] * layers[0] + weights[1] * layers[1] + weights[2] * layers[2])
    expected = model.top(TokenBatch(inputs_embeds=vectors, attention_mask=batch.attention_mask))
    found = model(batch)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state, rtol=0, atol=1e-12)
    mixture = model.mixture()
    assert mixture is not None and mixture["weights"] == pytest.approx(weights.tolist())


@pytest.mark.parametrize(("layers", "place"), [("last", -1), ("0", 0), ("1", 1)])
def test_one_layer_is_read_as_it_is(layers: str, place: int, batch_of: Callable[..., TokenBatch]) -> None:
    model, batch = stacked(layers=layers), batch_of(TEXTS)
    layer = model.frozen(batch, output_hidden_states=True).hidden_states[place]
    expected = model.top(TokenBatch(inputs_embeds=layer, attention_mask=batch.attention_mask)).pooler_output
    torch.testing.assert_close(model(batch).pooler_output, expected, rtol=0, atol=1e-12)
    assert model.mixture() is None


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("layers", ["all", "last"])
def test_states_that_were_kept_give_the_same(top: str, layers: str, batch_of: Callable[..., TokenBatch]) -> None:
    model, batch = stacked(top, layers), batch_of(TEXTS)
    kept = TokenBatch(inputs_embeds=model.states(batch), attention_mask=batch.attention_mask)
    assert torch.equal(model(kept).pooler_output, model(batch).pooler_output)
    assert torch.equal(model(kept).last_hidden_state, model(batch).last_hidden_state)


@pytest.mark.parametrize("top", TOPS)
def test_company_and_padding_never_change_a_text(top: str, batch_of: Callable[..., TokenBatch]) -> None:
    model = stacked(top)
    together = model(batch_of(TEXTS, garbage=3))
    for row, text in enumerate(TEXTS):
        alone = model(batch_of([text]))
        torch.testing.assert_close(alone.pooler_output[0], together.pooler_output[row], rtol=0, atol=1e-12)
        tokens = together.last_hidden_state[row, : len(text)]
        torch.testing.assert_close(alone.last_hidden_state[0], tokens, rtol=0, atol=1e-12)


@pytest.mark.parametrize("top", TOPS)
def test_everything_that_may_learn_has_a_gradient_and_nothing_else(
    top: str, batch_of: Callable[..., TokenBatch]
) -> None:
    model = stacked(top).train()
    features = model(batch_of(TEXTS))
    (features.pooler_output.square().sum() + features.last_hidden_state.square().sum()).backward()
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == learning
    assert not any(name.startswith("frozen.") for name in learning)
    assert {"mix.weights", "mix.gamma"} <= learning


def test_the_lower_model_has_no_dropout_while_the_upper_one_learns(batch_of: Callable[..., TokenBatch]) -> None:
    model, batch = stacked(), batch_of(TEXTS)
    before = model.states(batch)
    model.train()
    assert model.top.training and not any(module.training for module in model.frozen.modules())
    assert torch.equal(model.states(batch), before)


def test_settings_hold_both_models_and_come_back() -> None:
    config = stacked("bilstm", "1").config
    assert config_from_dict(config.to_dict()) == config
    assert isinstance(build_model(config), Stacked)
    assert (config.hidden_size, config.max_position_embeddings, config.reads_bytes) == (10, 9, False)
    assert with_sizes(config, 20, 2).vocab_size == 20


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": "3"}, "all, last, or 0"),
        ({"layers": "first"}, "all, last, or 0"),
        ({"top": FROZEN}, "bert model does not read vectors"),
        ({"top": preset("bilstm").load_config_class()(character_features="cnn")}, "character_features"),
    ],
)
def test_what_cannot_be_stacked_is_refused(fields: dict[str, Any], message: str) -> None:
    top = on_vectors(preset("textcnn").default_config(), 8)
    with pytest.raises(ValueError, match=message):
        StackedConfig(**{"frozen": FROZEN, "top": top, **fields})


def test_a_model_that_does_not_show_its_layers_is_no_lower_one() -> None:
    top = on_vectors(preset("textcnn").default_config(), 10)
    lower = preset("bilstm").load_config_class()(vocab_size=4, num_units=5)
    with pytest.raises(ValueError, match="does not show its layers"):
        Stacked(StackedConfig(frozen=lower, top=top))


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "last"])
def test_a_bag_of_given_vectors_is_what_its_pooling_says(pooling: str, batch_of: Callable[..., TokenBatch]) -> None:
    model: nn.Module = stacked("bag", "last", pooling=pooling)
    states = model.states(batch_of([TEXTS[0]]))[0]
    expected = {"mean": states.mean(0), "max": states.amax(0), "first": states[0], "last": states[-1]}[pooling]
    torch.testing.assert_close(model(batch_of(TEXTS)).pooler_output[0], expected, rtol=0, atol=1e-12)
