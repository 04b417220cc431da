"""The Transformer by its properties: as an extractor, and as one that writes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.embeddings import sinusoids
from wenmo.models.shapes import shapes_only
from wenmo.models.tracing import trace
from wenmo.models.transformer import (
    EncoderDecoderConfig,
    Transformer,
    TransformerConfig,
    TransformerEncoder,
    transformer_base,
    transformer_big,
)

TEXTS = [[5, 6, 7, 8, 9], [5, 6], [7]]
TINY = EncoderDecoderConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_decoder_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def writer(**fields: Any) -> Transformer:
    model = Transformer(replace(TINY, **fields)).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return model


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_the_vector_of_a_text_is_pooled_from_its_own_tokens(
    pooling: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    features = tiny("transformer", pooling=pooling)(batch_of(TEXTS))
    for row, text in enumerate(TEXTS):
        states = features.last_hidden_state[row, : len(text)]
        expected = {"mean": states.mean(dim=0), "max": states.amax(dim=0), "first": states[0]}[pooling]
        close(features.pooler_output[row], expected)
        assert features.last_hidden_state[row, len(text) :].abs().sum() == 0


def test_the_extractor_is_embeddings_then_layers(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model: Any = tiny("transformer", embedding_size=0)
    batch = batch_of([[5, 6, 7]])
    features = model(batch, output_hidden_states=True, output_attentions=True)
    words = model.embeddings.words(batch.input_ids) * 8**0.5
    placed = words + sinusoids(torch.arange(3), 8, torch.float64)
    segments = model.embeddings.segments.weight
    close(features.hidden_states[0], placed + segments[0])
    second = replace(batch, token_type_ids=torch.tensor([[0, 1, 1]]))
    close(model(second, output_hidden_states=True).hidden_states[0], placed + segments[[0, 1, 1]])
    expected = features.hidden_states[0]
    for layer in model.encoder.layers:
        expected = layer(expected).hidden_states
    close(features.last_hidden_state, expected)
    assert [weights.shape for weights in features.attentions] == [(1, 2, 3, 3)] * 2
    assert model(batch).attentions is None and model(batch).hidden_states is None


@pytest.mark.parametrize("position_embedding_type", ["sinusoidal", "learned"])
def test_the_order_of_the_words_matters_through_the_positions(
    position_embedding_type: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model: Any = tiny("transformer", position_embedding_type=position_embedding_type)
    there, back = batch_of([[3, 4, 5, 6]]), batch_of([[6, 5, 4, 3]])
    assert (model(there).pooler_output - model(back).pooler_output).abs().max() > 1e-3
    same = torch.zeros(1, 4, dtype=torch.long)  # all words at one place: a bag
    there, back = (replace(batch, position_ids=same) for batch in (there, back))
    close(model(there).pooler_output, model(back).pooler_output)


@pytest.mark.parametrize(
    "fields",
    [
        {"norm_first": True},
        {"hidden_act": "gelu", "position_embedding_type": "learned", "pooling": "first"},
        {"embedding_size": 6, "channels": "multichannel", "pooling": "max", "attention_probs_dropout_prob": 0.2},
    ],
)
def test_every_form_keeps_what_every_model_promises(
    fields: dict[str, Any], tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("transformer", **fields)
    together = model(batch_of(TEXTS, garbage=4))
    for row, text in enumerate(TEXTS):
        close(model(batch_of([text])).pooler_output[0], together.pooler_output[row])
    model.train()(batch_of(TEXTS)).pooler_output.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_settings_reach_every_layer() -> None:
    config = TransformerConfig(
        vocab_size=9,
        hidden_act="gelu",
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
        layer_norm_eps=1e-3,
    )
    model: Any = TransformerEncoder(config)
    assert model.embeddings.dropout.prob == 0.2
    for layer in model.encoder.layers:
        assert layer.feed_forward.activation is nn.functional.gelu
        assert layer.dropout.prob == 0.2 and layer.attention.attention_probs_dropout_prob == 0.3
        assert {layer.attention_norm.eps, layer.feed_forward_norm.eps} == {1e-3}


def test_given_vectors_take_the_place_of_words(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model: Any = tiny("transformer", embedding_size=6)
    batch = batch_of(TEXTS)
    vectors = TokenBatch(inputs_embeds=model.embeddings.words(batch.input_ids), attention_mask=batch.attention_mask)
    close(model(vectors).pooler_output, model(batch).pooler_output)


def test_the_first_weights_are_those_of_the_table() -> None:
    config = TransformerConfig(vocab_size=300, position_embedding_type="learned", embedding_size=100)
    model = TransformerEncoder(config)
    model.initialize(torch.Generator().manual_seed(0))
    weights = model.state_dict()
    words = weights["embeddings.words.words.weight"]
    assert words[0].abs().max() == 0 and abs(float(words[1:].std()) * 128**0.5 - 1) < 0.05
    assert abs(float(weights["embeddings.positions.weight"].std()) * 128**0.5 - 1) < 0.05
    bounds = {
        "embeddings.projection.weight": 6 / (100 + 128),
        "encoder.layers.0.feed_forward.intermediate.weight": 6 / (128 + 512),
        "encoder.layers.1.attention.query_key_value.weight": 6 / (128 + 128),
    }
    for name, bound in bounds.items():
        assert 0.95 < float(weights[name].abs().max()) / bound**0.5 <= 1, name
    for name in ("feed_forward.intermediate.bias", "attention.output.bias", "attention_norm.bias"):
        assert weights[f"encoder.layers.0.{name}"].abs().max() == 0, name
    again = TransformerEncoder(config)
    again.initialize(torch.Generator().manual_seed(0))
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, weights[name]), name


def test_a_text_over_the_limit_is_refused_with_the_fix(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    with pytest.raises(InputError, match="length 5 is over max_position_embeddings 4; cut the text"):
        tiny("transformer", max_position_embeddings=4)(batch_of(TEXTS))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 10}, "multiple of num_attention_heads"),
        ({"hidden_size": 9, "num_attention_heads": 3}, "make it even"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1; got 0"),
        ({"hidden_dropout_prob": 1.0}, r"must be in \[0, 1\)"),
        ({"embedding_size": -1}, "embedding_size"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(vocab_size=5, **fields)


def test_settings_of_a_decoder_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="num_decoder_layers must be at least 1"):
        replace(TINY, num_decoder_layers=0)
    with pytest.raises(ValueError, match="decoder_vocab_size"):
        replace(TINY, decoder_vocab_size=-1)


def test_a_trace_shows_each_step(tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]) -> None:
    with trace() as steps:
        tiny("transformer")(batch_of([[5, 6, 7]]))
    shapes = {step.name: step.shape for step in steps}
    assert shapes["queries of each head"] == (1, 2, 3, 4)
    assert shapes["inside the feed-forward network"] == (1, 3, 12)
    assert shapes["layer 2"] == (1, 3, 8) and steps[-1].name == "mean over the text"


def parameters_by_hand(config: EncoderDecoderConfig) -> int:
    """The weights of figure 1: with biases, two numbers a width for each layer norm, one table of words."""
    width, inner = config.hidden_size, config.intermediate_size
    attention, norm = 4 * (width * width + width), 2 * width
    feed_forward = width * inner + inner + inner * width + width
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    return config.vocab_size * width + 6 * encoder + 6 * decoder


@pytest.mark.parametrize(("config", "millions"), [(transformer_base(37_000), 65), (transformer_big(37_000), 213)])
def test_the_papers_models_have_as_many_weights_as_it_says(config: EncoderDecoderConfig, millions: int) -> None:
    with shapes_only():
        found = sum(parameter.numel() for parameter in Transformer(config).parameters())
    assert found == parameters_by_hand(config)
    assert 0.96 < found / (millions * 1e6) < 1.01  # "about 37,000" word pieces, and the paper rounds


def test_the_logits_are_products_with_the_words_that_are_written(batch_of: Callable[..., TokenBatch]) -> None:
    batch, ids = batch_of(TEXTS), torch.tensor([[2, 5], [2, 6], [2, 7]])
    shared, apart = writer(), writer(decoder_vocab_size=11, tie_word_embeddings=False)
    assert shared(batch, ids).logits.shape == (3, 2, 20)
    assert apart(batch, ids).logits.shape == (3, 2, 11)
    assert {"classifier.weight", "decoder_embeddings.words.words.weight"} <= apart.state_dict().keys()
    memory = shared.encode(batch).last_hidden_state
    embedded = shared.embeddings(ids)
    states = shared.decoder(embedded, encoder_hidden_states=memory, encoder_attention_mask=batch.attention_mask)
    close(shared(batch, ids).logits, states.last_hidden_state @ shared.embeddings.words.words.weight.T)


@pytest.mark.parametrize("norm_first", [False, True])
def test_writing_step_by_step_is_all_at_once(norm_first: bool, batch_of: Callable[..., TokenBatch]) -> None:
    model = writer(norm_first=norm_first, position_embedding_type="learned")
    batch = batch_of(TEXTS)
    ids = torch.tensor([[2, 5, 9, 4], [2, 6, 6, 3], [2, 7, 19, 1]])
    expected = model(batch, ids).logits
    step = model.decode(
        ids[:, :1],
        encoder_hidden_states=model.encode(batch).last_hidden_state,
        encoder_attention_mask=batch.attention_mask,
        use_cache=True,
    )
    close(step.logits, expected[:, :1])
    for i in range(1, 4):
        step = model.decode(
            ids[:, i : i + 1],
            encoder_attention_mask=batch.attention_mask,
            past_key_values=step.past_key_values,
            use_cache=True,
            output_attentions=i == 3,
        )
        close(step.logits, expected[:, i : i + 1])
    assert step.attentions is not None and step.attentions[0].shape == (3, 2, 1, 4)
    assert step.cross_attentions is not None and step.cross_attentions[1].shape == (3, 2, 1, 5)
    assert step.cross_attentions[1][2, :, :, 1:].abs().max() == 0  # the padding of the text that is read


def test_neither_padding_nor_later_tokens_reach_the_logits(batch_of: Callable[..., TokenBatch]) -> None:
    model = writer()
    ids = torch.tensor([[2, 5, 9], [2, 6, 0], [2, 0, 0]])
    together = model(batch_of(TEXTS, garbage=8), ids).logits
    for row, length in enumerate((3, 2, 1)):
        alone = model(batch_of([TEXTS[row]]), ids[row : row + 1, :length]).logits
        close(alone[0], together[row, :length])
    changed = ids.clone()
    changed[:, 2] = 15
    after = model(batch_of(TEXTS), changed).logits
    close(after[:, :2], together[:, :2])
    assert (after[:, 2] - together[:, 2]).abs().amax(dim=-1).min() > 1e-3
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]])  # said or not, padding on the right is not seen
    close(model(batch_of(TEXTS), ids, decoder_attention_mask=mask).logits[mask.bool()], together[mask.bool()])


def test_writing_over_the_limit_is_refused(batch_of: Callable[..., TokenBatch]) -> None:
    with pytest.raises(InputError, match="length 10 is over max_position_embeddings 9"):
        writer()(batch_of(TEXTS), torch.ones(3, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="pass encoder_hidden_states"):
        writer().decode(torch.ones(3, 1, dtype=torch.long))


def test_every_weight_of_a_writer_is_trained_and_it_learns_to_copy(batch_of: Callable[..., TokenBatch]) -> None:
    torch.manual_seed(0)
    model = Transformer(replace(TINY, hidden_dropout_prob=0.0))
    model.initialize(torch.Generator().manual_seed(0))
    batch, told = batch_of([[5, 6, 7], [8, 9, 5]]), torch.tensor([[2, 5, 6], [2, 8, 9]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    assert batch.input_ids is not None
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch, told).logits.flatten(0, 1), batch.input_ids.flatten())
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        optimizer.step()
    assert loss < 0.01
