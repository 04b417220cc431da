"""What extractors say of their depths: nothing is named twice, and what is higher changes nothing that is lower."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from wenmo.features import TokenBatch
from wenmo.models.depths import depths_of

TEXTS = [[5, 6, 7, 8], [5, 6], [7]]


@pytest.mark.parametrize("name", ["bert", "ernie", "ernie2", "gpt", "gpt2", "transformer", "bilstm"])
def test_each_depth_is_an_embedding_or_a_layer(name: str, tiny: Callable[..., nn.Module]) -> None:
    model = tiny(name, num_hidden_layers=3)
    depths = depths_of(model)
    assert len(depths) == 4
    held = [id(p) for modules in depths for module in modules for p in module.parameters()]
    assert len(held) == len(set(held))
    on_top = {each for each, p in model.named_parameters() if id(p) not in held}
    dense = {"pooler.dense.weight", "pooler.dense.bias"}
    assert on_top == (dense if name in ("bert", "ernie", "ernie2") else set())


@pytest.mark.parametrize("name", ["bert", "ernie", "gpt", "gpt2", "transformer"])
@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_what_is_at_a_depth_is_seen_from_there_on(
    name: str, changed: int, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model, batch = tiny(name, num_hidden_layers=3), batch_of(TEXTS)
    before = model(batch, output_hidden_states=True).hidden_states
    with torch.no_grad():
        for module in depths_of(model)[changed]:
            for parameter in module.parameters():
                parameter.mul_(1.5)
    after = model(batch, output_hidden_states=True).hidden_states
    assert [bool((x == y).all()) for x, y in zip(before, after, strict=True)] == [i < changed for i in range(4)]


def test_elmo_has_characters_and_layers_below_its_mixture() -> None:
    from wenmo.models.elmo import Elmo, ElmoConfig

    model = Elmo(ElmoConfig(filters=((1, 4),), projection_size=4, num_units=6))
    assert depths_of(model) == [
        [model.characters],
        [model.forward_cells[0], model.backward_cells[0]],
        [model.forward_cells[1], model.backward_cells[1]],
    ]


def test_a_model_that_says_nothing_is_of_one_depth(tiny: Callable[..., nn.Module]) -> None:
    model = tiny("textcnn")
    assert depths_of(model) == [[model]]
