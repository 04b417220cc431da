"""GPT as an extractor: no token sees a later one, and a cache changes nothing."""

import pytest
import torch

from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.gpt import Gpt, GptConfig, gpt2_small
from wenmo.models.registry import num_parameters

SIZES = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def tiny(*, norm_first: bool = False, max_position_embeddings: int = 8) -> Gpt:
    config = GptConfig(**SIZES, norm_first=norm_first, max_position_embeddings=max_position_embeddings)  # type: ignore[arg-type]
    model = Gpt(config)
    model.initialize(torch.Generator().manual_seed(0))
    return model.double().eval()


def batch(rows: list[list[int]], past: object = None) -> TokenBatch:
    length = max(map(len, rows))
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    return TokenBatch(input_ids=ids, attention_mask=mask, past_key_values=past)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_later_token_changes_nothing_before_it(norm_first: bool) -> None:
    model = tiny(norm_first=norm_first)
    one, other = (model(batch([[2, 3, 4, 5, last]])).last_hidden_state for last in (6, 9))
    assert torch.equal(one[:, :4], other[:, :4])
    assert not torch.allclose(one[:, 4], other[:, 4])


@pytest.mark.parametrize("norm_first", [False, True])
def test_reading_on_with_a_cache_is_reading_at_once(norm_first: bool) -> None:
    model = tiny(norm_first=norm_first)
    whole = model(batch([[2, 3, 4, 5, 6], [7, 8, 9, 2, 3]])).last_hidden_state
    past, parts = None, []
    for ids in ([[2, 3], [7, 8]], [[4], [9]], [[5, 6], [2, 3]]):
        features = model(batch(ids, past), use_cache=True)
        past = features.past_key_values
        parts.append(features.last_hidden_state)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)
    assert model(batch([[2]])).past_key_values is None


def test_padding_is_zero_and_the_vector_is_that_of_the_last_token() -> None:
    model = tiny()
    features = model(batch([[2, 3, 4], [5]]))
    assert (features.last_hidden_state[1, 1:] == 0).all()
    assert torch.equal(features.pooler_output[1], features.last_hidden_state[1, 0])
    assert torch.equal(features.pooler_output[0], features.last_hidden_state[0, 2])


def test_a_text_that_is_too_long_is_refused_also_behind_a_cache() -> None:
    model = tiny(max_position_embeddings=4)
    past = model(batch([[2, 3, 4]]), use_cache=True).past_key_values
    with pytest.raises(InputError, match="length 5 is over max_position_embeddings 4"):
        model(batch([[5, 6]], past))


def test_published_sizes_have_the_published_number_of_weights() -> None:
    # Radford et al. 2018: 117 million, as counted with the 40,478 words of the released vocabulary.
    assert num_parameters(GptConfig(vocab_size=40_478)) == 116_534_784
    # GPT-2: 124,439,808 in the released smallest checkpoint.
    assert num_parameters(gpt2_small()) == 124_439_808


def test_first_weights_are_those_of_the_papers() -> None:
    wide = GptConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=8,
        num_attention_heads=2,
        intermediate_size=128,
        norm_first=True,
    )
    model = Gpt(wide)
    model.initialize(torch.Generator().manual_seed(0))
    assert model.word_table().std().item() == pytest.approx(0.02, rel=0.02)
    outputs = torch.cat([layer.feed_forward.output.weight.flatten() for layer in model.decoder.layers])  # type: ignore[union-attr, arg-type]
    assert outputs.std().item() == pytest.approx(0.02 / 4, rel=0.02)  # the root of 16 parts
