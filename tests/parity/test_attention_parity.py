"""Attention against `torch.nn` and `transformers`, with their weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import MarianConfig
from transformers.models.marian.modeling_marian import MarianAttention

from wenmo.models.attention import MultiHeadAttention, Use, causal_mask

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def with_weights(attention: MultiHeadAttention, weights: dict[str, Tensor]) -> MultiHeadAttention:
    """Three matrices of another implementation, or their one, under our names."""
    if attention.use == "cross":
        query, key, value = (weights[f"{kind}.weight"] for kind in ("query", "key", "value"))
        query_bias, key_bias, value_bias = (weights[f"{kind}.bias"] for kind in ("query", "key", "value"))
        joint = {
            "query.weight": query,
            "query.bias": query_bias,
            "key_value.weight": torch.cat([key, value]),
            "key_value.bias": torch.cat([key_bias, value_bias]),
        }
    else:
        joint = {
            f"query_key_value.{kind}": torch.cat([weights[f"{part}.{kind}"] for part in ("query", "key", "value")])
            for kind in ("weight", "bias")
        }
    output = {f"output.{kind}": weights[f"output.{kind}"] for kind in ("weight", "bias")}
    attention.load_state_dict({**joint, **output})
    return attention.eval()


@pytest.mark.parametrize("use", ["self", "causal", "cross"])
def test_equals_torchs_multi_head_attention(use: Use) -> None:
    oracle = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64).eval()
    nn.init.normal_(oracle.in_proj_bias)
    weights = {"output.weight": oracle.out_proj.weight, "output.bias": oracle.out_proj.bias}
    for i, part in enumerate(("query", "key", "value")):
        weights[f"{part}.weight"] = oracle.in_proj_weight.split(8)[i]
        weights[f"{part}.bias"] = oracle.in_proj_bias.split(8)[i]
    ours = with_weights(MultiHeadAttention(8, 2, use=use).double(), weights)
    x = draw(2, 5, 8)
    keys = draw(2, 5, 8) if use == "cross" else x
    # torch's masks say what is hidden
    hidden = ~causal_mask(5, 5) if use == "causal" else None
    expected, shares = oracle(x, keys, keys, key_padding_mask=MASK == 0, attn_mask=hidden, average_attn_weights=False)
    others = {"encoder_hidden_states": keys} if use == "cross" else {}
    close(ours(x, attention_mask=MASK, **others).context, expected)
    close(ours(x, attention_mask=MASK, output_attentions=True, **others).attentions, shares)


@pytest.mark.parametrize("use", ["self", "cross"])
def test_equals_the_attention_of_marian(use: Use) -> None:
    config = MarianConfig(vocab_size=9, d_model=8, attn_implementation="eager")
    oracle: Any = MarianAttention(8, 2, is_decoder=use == "cross", config=config, layer_idx=0).double().eval()
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    weights = {
        f"{name}.{kind}": getattr(getattr(oracle, theirs), kind)
        for name, theirs in names.items()
        for kind in ("weight", "bias")
    }
    ours = with_weights(MultiHeadAttention(8, 2, use=use).double(), weights)
    x, memory = draw(2, 5, 8), draw(2, 5, 8)
    added = torch.zeros(2, 1, 1, 5, dtype=torch.float64).masked_fill(MASK[:, None, None] == 0, -1e30)
    theirs = {"key_value_states": memory} if use == "cross" else {}
    others = {"encoder_hidden_states": memory} if use == "cross" else {}
    expected, shares = oracle(x, attention_mask=added, **theirs)
    given = ours(x, attention_mask=MASK, output_attentions=True, **others)
    close(given.context, expected)
    close(given.attentions, shares)
