"""Tiny batches and tiny models."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from wenmo.features import WORD_BEGIN_ID, WORD_END_ID, TokenBatch
from wenmo.models.registry import build_model, preset

VOCAB_SIZE = 20


def make_batch(texts: Sequence[Sequence[int]], garbage: int = 0) -> TokenBatch:
    """Ids padded on the right, with ``garbage`` where there is no text; each id is the one byte of a word, too."""
    length = max(1, *(len(text) for text in texts))
    ids = torch.full((len(texts), length), garbage)
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text, dtype=torch.long)
        mask[row, : len(text)] = 1
    begin, end = torch.full_like(ids, WORD_BEGIN_ID), torch.full_like(ids, WORD_END_ID)
    characters = torch.stack([begin, ids, end], dim=2)
    return TokenBatch(input_ids=ids, character_ids=characters, attention_mask=mask)


@pytest.fixture
def batch_of() -> Callable[..., TokenBatch]:
    """Make a `TokenBatch` of lists of ids."""
    return make_batch


@pytest.fixture
def tiny() -> Callable[..., nn.Module]:
    """Build a small model of a preset, in float64, with random weights everywhere."""

    def build(name: str, **values: Any) -> nn.Module:
        config_class = preset(name).load_config_class()
        sizes = {
            "vocab_size": VOCAB_SIZE,
            "num_outputs": 3,
            "embedding_size": 6,
            "num_filters": 4,
            "num_buckets": 16,
            "num_units": 5,
            "projection_size": 4,
            "filters": ((1, 3), (2, 4)),
            "hidden_size": 8,
            "num_attention_heads": 2,
            "intermediate_size": 12,
        }
        known = {f.name for f in fields(config_class)}  # type: ignore[arg-type]
        sizes = {key: value for key, value in sizes.items() if key in known}
        model = build_model(config_class.from_dict({**preset(name).values, **sizes, **values})).double()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            for buffer in model.buffers():
                buffer.copy_(torch.rand(buffer.shape, generator=generator, dtype=torch.float64))
        return model.eval()

    return build
