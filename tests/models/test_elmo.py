"""ELMo: its sizes, what a word depends on, states from batch to batch, and characters against all 50 places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wenmo.features import Features, TokenBatch
from wenmo.models.elmo import Elmo, ElmoConfig, elmo_medium, elmo_original, elmo_small
from wenmo.models.recurrent import RecurrentState
from wenmo.models.shapes import shapes_only
from wenmo.text.word_bytes import word_byte_ids

TEXTS = [["the", "cat", "sat", "on", "a", "mat"], ["Hi"], ["naïve", "文墨", "the", "the"], []]
TINY: dict[str, Any] = {
    "character_embedding_size": 3,
    "filters": ((1, 3), (2, 4), (4, 2)),
    "num_units": 6,
    "projection_size": 4,
    "hidden_dropout_prob": 0.0,
    "mix_dropout_prob": 0.0,
    "cell_clip": 0.5,
    "projection_clip": 0.8,
}


def elmo_of(**fields: Any) -> Elmo:
    """In float64, with random weights everywhere."""
    model = Elmo(ElmoConfig(**{**TINY, **fields})).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def batch_of(texts: Sequence[Sequence[str]], length: int = 0, garbage: int = 0) -> TokenBatch:
    length = max(length, *map(len, texts))
    ids = torch.full((len(texts), length, 50), garbage)
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.from_numpy(word_byte_ids(text)).long()
        mask[row, : len(text)] = 1
    return TokenBatch(character_ids=ids, attention_mask=mask)


def layers_of(features: Features) -> Tensor:
    assert features.hidden_states is not None
    return torch.stack(features.hidden_states)


@pytest.mark.parametrize(
    ("config", "parameters", "millions"),
    [(elmo_small(), 13_593_316, 13.6), (elmo_medium(), 28_027_748, 28.0), (elmo_original(), 93_600_868, 93.6)],
)
def test_released_sizes_have_their_parameters(config: ElmoConfig, parameters: int, millions: float) -> None:
    assert round(parameters / 1e6, 1) == millions
    # Filters of 12,320 characters in all, highways of 2 x 2048 x 2048, four cells with W, U, b and P, the mixture.
    p, n = config.projection_size, config.num_units
    characters = 262 * 16 + 12_320 * 16 + 2048 + config.num_highways * 2 * 2048 * 2049 + 2048 * p + p
    assert characters + 4 * (4 * n * (p + p + 1) + p * n) + 4 == parameters
    with shapes_only():
        assert sum(weight.numel() for weight in Elmo(config).parameters()) == parameters


def test_the_layers_are_word_vectors_twice_and_both_directions() -> None:
    model = elmo_of()
    batch = batch_of(TEXTS[:1])
    features = model(batch, output_hidden_states=True)
    words, first, second = layers_of(features)
    assert words.shape == (1, 6, 8) and torch.equal(words[..., :4], words[..., 4:])
    torch.testing.assert_close(words[..., :4], model.word_vectors(batch.character_ids), rtol=0, atol=1e-12)
    # By the written steps, over <S>, the words and </S>: the second layer adds its input.
    marked = torch.from_numpy(word_byte_ids(["<S>", *TEXTS[0], "</S>"])).long()
    for half, cells in enumerate(zip(*model.layers(), strict=True)):
        x = model.word_vectors(marked)
        x = x.flip(0) if half else x
        for layer, (cell, found) in enumerate(zip(cells, (first, second), strict=True)):
            states, outputs = cell.first_states(x, 1), []
            for step in x:
                states = cell(step.unsqueeze(0), states)
                outputs.append(states[0])
            output = torch.cat(outputs)
            x = output + x if layer else output
            inner = (x.flip(0) if half else x)[1:-1]
            torch.testing.assert_close(found[0, :, 4 * half : 4 * half + 4], inner, rtol=0, atol=1e-12)


def test_the_mixture_and_the_mean_are_those_of_the_layers() -> None:
    model = elmo_of()
    features = model(batch_of(TEXTS), output_hidden_states=True)
    layers, shares = layers_of(features), model.mix.weights.softmax(0)
    mixed = model.mix.gamma * torch.einsum("k,kbld->bld", shares, layers)
    torch.testing.assert_close(features.last_hidden_state, mixed, rtol=0, atol=1e-12)
    assert model(batch_of(TEXTS)).hidden_states is None
    for row, text in enumerate(TEXTS[:3]):
        mean = mixed[row, : len(text)].mean(dim=0)
        torch.testing.assert_close(features.pooler_output[row], mean, rtol=0, atol=1e-12)
    model.mix.initialize()
    of_a_text = layers[:, 0, : len(TEXTS[0])].mean(dim=(0, 1))
    torch.testing.assert_close(model(batch_of(TEXTS)).pooler_output[0], of_a_text, rtol=0, atol=1e-12)
    assert features.pooler_output[3].tolist() == [0.0] * 8  # a text without words


@pytest.mark.parametrize("garbage", [0, 261, 5])
def test_company_and_padding_never_change_a_text(garbage: int) -> None:
    model = elmo_of()
    together = model(batch_of(TEXTS, length=9, garbage=garbage), output_hidden_states=True)
    for row, text in enumerate(TEXTS):
        alone = model(batch_of([text]), output_hidden_states=True)
        found = layers_of(together)[:, row]
        torch.testing.assert_close(found[:, : len(text)], layers_of(alone)[:, 0, : len(text)], rtol=0, atol=1e-12)
        assert not found[:, len(text) :].any() and not together.last_hidden_state[row, len(text) :].any()
        torch.testing.assert_close(together.pooler_output[row], alone.pooler_output[0], rtol=0, atol=1e-12)


def test_each_direction_sees_one_side_only() -> None:
    model = elmo_of(cell_clip=0.0, projection_clip=0.0)  # what is clipped forgets
    before = layers_of(model(batch_of([TEXTS[0]]), output_hidden_states=True))[:, 0]
    changed = [*TEXTS[0][:3], "under", *TEXTS[0][4:]]
    after = layers_of(model(batch_of([changed]), output_hidden_states=True))[:, 0]
    same = torch.isclose(before, after, rtol=0, atol=1e-12)
    assert same[0].all(dim=1).tolist() == [True, True, True, False, True, True]
    assert same[1:, :3, :4].all() and not same[1:, 3:, :4].all(dim=2).any()  # forward: from the word on
    assert same[1:, 4:, 4:].all() and not same[1:, :4, 4:].all(dim=2).any()  # backward: up to the word


def test_stateful_goes_on_where_the_batch_before_ended() -> None:
    model = elmo_of()
    stateful = Elmo(replace(model.config, stateful=True)).double().eval()
    stateful.load_state_dict(model.state_dict())
    first, second = batch_of([TEXTS[0], TEXTS[1]]), batch_of([TEXTS[2], TEXTS[0]])
    fresh = [model(batch).last_hidden_state for batch in (first, second)]
    assert torch.equal(stateful(first).last_hidden_state, fresh[0])
    carried = stateful(second).last_hidden_state
    assert not torch.allclose(carried, fresh[1])
    given = replace_state(second, model(first).past_key_values)
    torch.testing.assert_close(carried, model(given).last_hidden_state, rtol=0, atol=1e-12)
    stateful.reset()
    assert torch.equal(stateful(second).last_hidden_state, fresh[1])


def replace_state(batch: TokenBatch, state: RecurrentState) -> TokenBatch:
    return replace(batch, past_key_values=state)


def test_rows_of_a_stateful_model_keep_their_states() -> None:
    model = elmo_of(stateful=True)
    model(batch_of([TEXTS[0], TEXTS[2]]))
    state_of_second = model._carried.hidden[:, 1]  # type: ignore[union-attr]
    model(batch_of([TEXTS[1]]))  # one row: the second keeps its state
    assert torch.equal(model._carried.hidden[:, 1], state_of_second)  # type: ignore[union-attr]
    features = model(batch_of([TEXTS[1], TEXTS[1], TEXTS[1]]))  # a third row begins at zeros
    alone = elmo_of()(batch_of([TEXTS[1]]))
    torch.testing.assert_close(features.last_hidden_state[2], alone.last_hidden_state[0], rtol=0, atol=1e-12)
    assert not features.past_key_values.hidden.equal(alone.past_key_values.hidden.expand(-1, 3, -1))
    assert not model._carried.hidden.requires_grad  # type: ignore[union-attr]


def test_a_state_of_another_shape_is_refused() -> None:
    model = elmo_of()
    state = model(batch_of(TEXTS[:1])).past_key_values
    with pytest.raises(ValueError, match="bring the state of the same model"):
        model(replace_state(batch_of(TEXTS[:2]), state))


def test_word_vectors_given_are_read_as_the_words_are() -> None:
    model = elmo_of()
    batch = batch_of(TEXTS)
    vectors = model.word_vectors(batch.character_ids)
    given = TokenBatch(inputs_embeds=vectors, attention_mask=batch.attention_mask)
    expected, found = model(batch).last_hidden_state, model(given).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_word_is_read_with_all_its_padding(activation: str) -> None:
    model = elmo_of(character_activation=activation, filters=((1, 3), (3, 4), (7, 5)))
    words = ["", "a", "word", "x" * 43, "x" * 44, "x" * 47, "x" * 60]
    network, ids = model.characters, torch.from_numpy(word_byte_ids(words)).long()
    x = F.embedding(ids, network.embeddings.weight).transpose(1, 2)
    assert x.shape[2] == 50
    y = torch.cat([F.conv1d(x, conv.weight, conv.bias).max(dim=2).values for conv in network.convs], dim=1)
    y = F.relu(y) if activation == "relu" else y.tanh()
    for highway in network.highways:
        g = torch.sigmoid(-highway.gate(y))  # AllenNLP's gate: what of y goes on
        y = g * y + (1 - g) * F.relu(highway.transform(y))
    expected = network.projection(y)
    torch.testing.assert_close(network(ids), expected, rtol=0, atol=1e-12)
    for row in range(3):  # short words: alone, and with their padding cut off
        torch.testing.assert_close(network(ids[row : row + 1]), expected[row : row + 1], rtol=0, atol=1e-12)
        torch.testing.assert_close(network(ids[row : row + 1, :8]), expected[row : row + 1], rtol=0, atol=1e-12)


def test_more_characters_than_a_word_has_are_refused() -> None:
    with pytest.raises(ValueError, match="51 characters a word, and the model reads 50"):
        elmo_of().word_vectors(torch.ones(1, 51, dtype=torch.long))


def test_a_batch_of_ids_of_words_is_refused() -> None:
    with pytest.raises(ValueError, match="character_ids"):
        elmo_of()(TokenBatch(input_ids=torch.ones(1, 2, dtype=torch.long), attention_mask=torch.ones(1, 2)))


def test_every_weight_gets_a_gradient_and_the_fast_path_is_that_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for step_by_step in (False, True):
        model = elmo_of().train()
        if step_by_step:
            for pair in model.layers():
                for cell in pair:
                    monkeypatch.setattr(cell, "run", cell.run_step_by_step)
        model(batch_of(TEXTS)).last_hidden_state.square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, fast in gradients[0].items():
        assert fast is not None and fast.any(), name
        torch.testing.assert_close(fast, gradients[1][name], rtol=1e-12, atol=1e-12)


def test_dropout_is_on_the_input_of_each_layer_and_only_in_training() -> None:
    model = elmo_of(hidden_dropout_prob=0.5)
    torch.manual_seed(0)
    evaluated = layers_of(model(batch_of(TEXTS), output_hidden_states=True))
    assert torch.equal(evaluated, layers_of(model(batch_of(TEXTS), output_hidden_states=True)))
    trained = layers_of(model.train()(batch_of(TEXTS), output_hidden_states=True))
    torch.testing.assert_close(trained[0], evaluated[0], rtol=0, atol=1e-12)
    assert not torch.allclose(trained[1], evaluated[1])


def test_a_frozen_model_learns_its_mixture_alone_and_drops_nothing_below_it() -> None:
    frozen = elmo_of(frozen=True, hidden_dropout_prob=0.5).train()
    features = frozen(batch_of(TEXTS), output_hidden_states=True)
    expected = layers_of(elmo_of()(batch_of(TEXTS), output_hidden_states=True))
    torch.testing.assert_close(layers_of(features), expected, rtol=0, atol=1e-12)
    features.last_hidden_state.square().sum().backward()
    learnt = {name for name, parameter in frozen.named_parameters() if parameter.grad is not None}
    assert learnt == {"mix.weights", "mix.gamma"}


def test_the_mixture_may_be_normalised_with_the_markers_of_the_texts() -> None:
    model = elmo_of(mix_layer_norm=True)
    words = ["<S>", *TEXTS[1], "</S>"]
    plain = elmo_of()
    marked = plain.word_vectors(torch.from_numpy(word_byte_ids(words)).long())
    mean, variance = marked.mean(), marked.var(correction=0)
    with torch.no_grad():
        model.mix.weights.copy_(torch.tensor([100.0, 0.0, 0.0]))
        model.mix.gamma.fill_(1.0)
    expected = (marked[1:2] - mean) / variance.sqrt()
    found = model(batch_of([TEXTS[1]])).last_hidden_state[0]
    torch.testing.assert_close(found, torch.cat([expected, expected], dim=1), rtol=0, atol=1e-9)


def test_initialisation_is_that_of_the_original() -> None:
    model = Elmo(ElmoConfig(**{**TINY, "filters": ((1, 64), (3, 64))}))
    model.initialize(torch.Generator().manual_seed(0))
    network = model.characters
    assert not network.embeddings.weight[0].any() and 0.9 < network.embeddings.weight.abs().max() <= 1
    assert 0.045 < network.convs[1].weight.abs().max() <= 0.05
    assert network.highways[0].gate.bias.unique().tolist() == [-2.0]
    assert network.highways[0].transform.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    again = Elmo(model.config)
    again.initialize(torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"filters": ()}, "filters are pairs"),
        ({"filters": ((51, 3),)}, "up to max_characters=50"),
        ({"num_units": 0}, "num_units"),
        ({"cell_clip": -1.0}, "cell_clip"),
        ({"mix_dropout_prob": 1.0}, "mix_dropout_prob"),
        ({"character_vocab_size": 100}, "262"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElmoConfig(**fields)
