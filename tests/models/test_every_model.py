"""Properties that hold for every registered model, and for those added later."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from wenmo.features import TokenBatch
from wenmo.inference.engines import choose_engine
from wenmo.inference.poolings import TokenPooling
from wenmo.models.pooling import Pooling
from wenmo.models.registry import build_model, config_from_dict, list_models, preset, presets, with_sizes

MODELS = sorted(name for name, each in presets().items() if "classify" in each.load_config_class().tasks)
"""Those that make features of a text."""
OF_IDS = [name for name in MODELS if not preset(name).load_config_class().reads_bytes]
"""Those that have a vocabulary."""
TEXTS = [[5, 6, 7, 8, 9, 10, 11, 5], [5, 6], [7], [3, 3, 3, 4]]


@pytest.mark.parametrize("name", MODELS)
def test_company_never_changes_a_text(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name)
    together = model(batch_of(TEXTS))
    for row, text in enumerate(TEXTS):
        alone = model(batch_of([text]))
        # float64: only the order of sums may differ
        torch.testing.assert_close(alone.pooler_output[0], together.pooler_output[row], rtol=0, atol=1e-12)
        torch.testing.assert_close(
            alone.last_hidden_state[0], together.last_hidden_state[row, : len(text)], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_in_the_padding_is_not_seen(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name)
    clean, dirty = model(batch_of(TEXTS, garbage=0)), model(batch_of(TEXTS, garbage=9))
    torch.testing.assert_close(clean.pooler_output, dirty.pooler_output, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_sizes_are_those_the_config_says(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name)
    features = model(batch_of(TEXTS))
    assert features.last_hidden_state.shape == (4, 8, model.config.hidden_size)
    assert features.pooler_output.shape == (4, model.config.pooler_size)


@pytest.mark.parametrize("name", MODELS)
def test_a_text_without_tokens_has_finite_features(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    features = tiny(name)(batch_of([[], [4, 5]]))
    assert torch.isfinite(features.pooler_output).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_order_of_the_rows_does_not_matter(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name)
    forward, backward = model(batch_of(TEXTS)), model(batch_of(TEXTS[::-1]))
    torch.testing.assert_close(forward.pooler_output, backward.pooler_output.flip(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", [None, "mean", "max", "first", "last"])
@pytest.mark.parametrize("name", OF_IDS)
def test_what_auto_takes_to_run_it_gives_what_the_model_gives(
    name: str, how: Pooling | None, tiny: Callable[..., nn.Module]
) -> None:
    model = tiny(name)
    rows = [np.array(text, np.int32) for text in [*TEXTS, []]]
    types = [(np.arange(len(row)) > 1).astype(np.int32) for row in rows]
    pooling = None if how is None else TokenPooling(how)
    engine, itself = (choose_engine(model, runtime, torch.device("cpu"), "float32") for runtime in ("auto", "torch"))
    for given in (None, types):
        with torch.no_grad():
            together = engine.pooled(rows, given, pooling)
            alone = [itself.pooled([row], given and [given[i]], pooling) for i, row in enumerate(rows)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_every_trainable_weight_gets_a_gradient(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if trained:  # one that only counts has none
        model(batch_of(TEXTS)).pooler_output.sum().backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_a_config_makes_the_round_trip_through_plain_values(name: str, tiny: Callable[..., nn.Module]) -> None:
    config = tiny(name).config
    assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", MODELS)
def test_a_misspelt_field_is_refused_with_the_nearest(name: str) -> None:
    config_class = preset(name).load_config_class()
    with pytest.raises(ValueError, match="did you mean 'vocab_size'"):
        config_class.from_dict({"vocabsize": 3})


@pytest.mark.parametrize("name", OF_IDS)
def test_a_model_without_a_vocabulary_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="vocab_size"):
        build_model(preset(name).load_config_class()())


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_listed_are_those_of_a_model_that_is_built(name: str) -> None:
    listed = next(line for line in list_models(vocab_size=50, num_labels=3) if line["name"] == name)
    model = build_model(with_sizes(preset(name).default_config(), 50, 3))
    assert listed["parameters"] == sum(parameter.numel() for parameter in model.parameters()) > 50
