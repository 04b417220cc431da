"""Layers and stacks against their equations, and by their properties."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.models.embeddings import TokenEmbeddings, sinusoids
from wenmo.models.transformer_layers import FeedForward, TransformerLayer, TransformerStack

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_random_weights(module: nn.Module) -> Any:
    module = module.double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=i + 7) / 2)
    return module


def stack(num_hidden_layers: int = 2, **kinds: Any) -> Any:
    return with_random_weights(TransformerStack(TransformerLayer(8, 2, 16, **kinds) for _ in range(num_hidden_layers)))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_sinusoids_are_those_of_section_3_5() -> None:
    waves = sinusoids(torch.arange(3), 4, torch.float64)
    for position in range(3):
        slow = position / 10000 ** (2 / 4)
        expected = [math.sin(position), math.cos(position), math.sin(slow), math.cos(slow)]
        close(waves[position], torch.tensor(expected, dtype=torch.float64))
    far = torch.tensor(511)  # in float32 an angle of hundreds is exact to some 1e-5
    torch.testing.assert_close(sinusoids(far, 64).double(), sinusoids(far, 64, torch.float64), rtol=0, atol=1e-4)


def test_embeddings_are_scaled_words_plus_positions() -> None:
    embeddings = with_random_weights(TokenEmbeddings(9, 4, max_position_embeddings=5, scale=True))
    ids = torch.tensor([[3, 8, 3]])
    expected = 2 * embeddings.words.words.weight[ids] + sinusoids(torch.arange(3), 4, torch.float64)
    close(embeddings(ids), expected)  # the root of 4
    close(embeddings(ids[:, 1:], past_length=1), expected[:, 1:])
    close(embeddings(ids[:, [2]], position_ids=torch.tensor([[2]])), expected[:, 2:])
    close(embeddings(inputs_embeds=embeddings.words(ids)), expected)


def test_embeddings_of_bert_and_ernie_add_segments_and_tasks_and_normalise() -> None:
    embeddings = with_random_weights(
        TokenEmbeddings(
            9,
            4,
            max_position_embeddings=5,
            position_embedding_type="learned",
            type_vocab_size=2,
            task_type_vocab_size=3,
            layer_norm_eps=1e-12,
        )
    )
    ids, segments, tasks = torch.tensor([[3, 8, 3]]), torch.tensor([[0, 1, 1]]), torch.tensor([[2, 2, 2]])
    words, norm = embeddings.words.words.weight[ids], embeddings.norm
    total = words + embeddings.positions.weight[:3] + embeddings.segments.weight[segments]
    expected = F.layer_norm(total + embeddings.tasks.weight[2], (4,), norm.weight, norm.bias, 1e-12)
    close(embeddings(ids, token_type_ids=segments, task_type_ids=tasks), expected)
    zeros = torch.zeros_like(ids)  # what is not told is 0
    close(embeddings(ids), embeddings(ids, token_type_ids=zeros, task_type_ids=zeros))


def test_word_vectors_of_another_width_are_projected() -> None:
    embeddings = with_random_weights(TokenEmbeddings(9, 4, max_position_embeddings=5, embedding_size=6))
    matrix = draw(9, 6)
    embeddings.load_vectors(matrix)
    ids = torch.tensor([[3, 8]])
    close(embeddings(ids), matrix[ids] @ embeddings.projection.weight.T + sinusoids(torch.arange(2), 4, torch.float64))


def test_every_id_can_be_a_word() -> None:
    """GPT's id 0 is a word like any other, and so it is trained."""
    for padding_id, trained in ((0, False), (None, True)):
        embeddings = TokenEmbeddings(9, 4, max_position_embeddings=5, padding_id=padding_id)
        embeddings(torch.tensor([[0, 3]])).sum().backward()
        gradient = embeddings.words.words.weight.grad
        assert gradient is not None and bool(gradient[0].any()) is trained and bool(gradient[3].any())


def test_a_text_that_is_too_long_or_empty_is_refused_with_the_fix() -> None:
    embeddings = TokenEmbeddings(9, 4, max_position_embeddings=5)
    with pytest.raises(
        InputError, match=r"length 6 is over max_position_embeddings 5; cut the text \(data.max_length\)"
    ):
        embeddings(torch.zeros(1, 6, dtype=torch.long))
    with pytest.raises(InputError, match="length 6"):
        embeddings(torch.zeros(1, 1, dtype=torch.long), past_length=5)
    with pytest.raises(ValueError, match="length 0"):
        embeddings(torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize(
    ("hidden_act", "at_one"),
    [
        ("relu", 1.0),
        ("gelu", 0.5 * (1 + math.erf(1 / math.sqrt(2)))),
        ("gelu_new", 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (1 + 0.044715)))),
    ],
)
def test_a_feed_forward_network_is_equation_2(hidden_act: Any, at_one: float) -> None:
    network = with_random_weights(FeedForward(1, 1, hidden_act))
    with torch.no_grad():
        network.intermediate.weight.fill_(2.0)
        network.intermediate.bias.fill_(-1.0)
        network.output.weight.fill_(3.0)
        network.output.bias.fill_(0.25)
    # 2 * 1 - 1 = 1
    close(network(torch.ones(1, 1).double()), torch.tensor([[3 * at_one + 0.25]], dtype=torch.float64))


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_layer_is_its_sublayers_with_residuals_and_norms(norm_first: bool) -> None:
    layer: Any = with_random_weights(
        TransformerLayer(8, 2, 16, causal=True, cross_attention=True, norm_first=norm_first)
    )
    x, memory = draw(2, 5, 8), draw(2, 5, 8, seed=1)

    def attend(x: Tensor) -> Tensor:
        return layer.attention(x).context

    def cross(x: Tensor) -> Tensor:
        return layer.cross_attention(x, encoder_hidden_states=memory, attention_mask=MASK).context

    expected = x
    sublayers = [
        (attend, layer.attention_norm),
        (cross, layer.cross_attention_norm),
        (layer.feed_forward, layer.feed_forward_norm),
    ]
    for sublayer, norm in sublayers:
        expected = expected + sublayer(norm(expected)) if norm_first else norm(expected + sublayer(expected))
    given = layer(x, encoder_hidden_states=memory, encoder_attention_mask=MASK)
    close(given.hidden_states, expected)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_stack_normalises_at_its_end_only_where_nothing_else_did(norm_first: bool) -> None:
    layers, x = stack(norm_first=norm_first, layer_norm_eps=1e-3), draw(2, 5, 8)
    output = layers(x, attention_mask=MASK, output_hidden_states=True, output_attentions=True, use_cache=True)
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2 and len(output.past_key_values) == 2
    close(output.hidden_states[0], x)
    close(output.hidden_states[2], output.last_hidden_state)
    inner = layers.layers[1](output.hidden_states[1], attention_mask=MASK).hidden_states
    assert (layers.final_norm is not None) == norm_first
    close(output.last_hidden_state, layers.final_norm(inner) if norm_first else inner)
    if norm_first:
        assert layers.final_norm.eps == 1e-3


def test_what_is_not_asked_for_is_not_given() -> None:
    output = stack()(draw(2, 5, 8))
    given = (output.hidden_states, output.attentions, output.cross_attentions, output.past_key_values)
    assert given == (None, None, None, None)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing_in_a_stack(norm_first: bool, causal: bool) -> None:
    layers, x = stack(norm_first=norm_first, causal=causal), draw(2, 5, 8)
    x[1, 3:] = 1e3
    together = layers(x, attention_mask=MASK).last_hidden_state
    close(together[1:, :3], layers(x[1:, :3]).last_hidden_state)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_later_token_changes_nothing_before_it_in_a_causal_stack(norm_first: bool) -> None:
    x = draw(1, 5, 8)
    changed = x.clone()
    changed[:, 3] = draw(8, seed=9)
    for causal in (True, False):
        layers = stack(norm_first=norm_first, causal=causal)
        difference = (layers(changed).last_hidden_state - layers(x).last_hidden_state).abs()
        assert difference[:, 3:].amax(dim=-1).min() > 1e-4
        assert (difference[:, :3].max() < 1e-12) if causal else (difference[:, :3].amax(dim=-1).min() > 1e-4)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("cross_attention", [False, True])
def test_step_by_step_is_all_at_once(norm_first: bool, cross_attention: bool) -> None:
    layers = stack(norm_first=norm_first, causal=True, cross_attention=cross_attention)
    x, more = draw(2, 5, 8), {}
    if cross_attention:
        more = {"encoder_hidden_states": draw(2, 5, 8, seed=1), "encoder_attention_mask": MASK}
    expected, past, steps = layers(x, **more).last_hidden_state, None, []
    for i in range(5):
        step = layers(x[:, i : i + 1], past_key_values=past, use_cache=True, **more)
        more.pop("encoder_hidden_states", None)  # from the second step on, the cache knows it
        past = step.past_key_values
        steps.append(step.last_hidden_state)
    close(torch.cat(steps, dim=1), expected)


def test_dropout_stands_on_every_sublayer_in_training_alone() -> None:
    layer: Any = with_random_weights(TransformerLayer(8, 2, 16, cross_attention=True, hidden_dropout_prob=0.5))
    seen: list[Tensor] = []
    layer.dropout.register_forward_hook(lambda module, given, made: seen.append(made))
    x = draw(2, 5, 8)
    layer.train()(x, encoder_hidden_states=x)
    assert len(seen) == 3 and all(0 < (each == 0).sum() < each.numel() for each in seen)
    close(*(layer.eval()(x, encoder_hidden_states=x).hidden_states for _ in range(2)))


def test_a_stack_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="num_hidden_layers"):
        TransformerStack([])
