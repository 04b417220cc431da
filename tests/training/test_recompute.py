"""Layers that compute twice keep less and change nothing."""

import pytest
import torch
from torch import nn

from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.bert import Bert, BertConfig
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.training.recompute import compute_once, recompute_layers

SMALL = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}


def gradients(model: nn.Module) -> tuple[list[torch.Tensor], int]:
    """With dropout drawn from a seed; and how many numbers are kept for the way back."""
    torch.manual_seed(3)
    ids, kept = torch.arange(12).view(2, 6), 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        states = model(TokenBatch(input_ids=ids, attention_mask=torch.ones_like(ids))).last_hidden_state
    states.square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None], kept


def test_gradients_and_dropout_are_the_same_and_less_is_kept() -> None:
    model = Bert(BertConfig(vocab_size=20, **SMALL)).double().train()  # type: ignore[arg-type]
    before, all_kept = gradients(model)
    layers = recompute_layers(model)
    assert len(layers) == 3
    again, some_kept = gradients(model)
    assert some_kept < all_kept / 3
    compute_once(layers)
    after, kept = gradients(model)
    assert kept == all_kept
    for one, other, third in zip(before, again, after, strict=True):
        assert torch.equal(one, other) and torch.equal(one, third)


def test_a_model_without_layers_of_a_transformer_is_refused() -> None:
    with pytest.raises(InputError, match="no layers of a Transformer"):
        recompute_layers(TextCnn(TextCnnConfig(vocab_size=5)))
