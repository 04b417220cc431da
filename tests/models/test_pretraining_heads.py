"""The heads of pre-training, worked by hand; against transformers they stand in tests/parity."""

import pytest
import torch

from wenmo.models.pretraining_heads import MaskedLanguageModelHead, NextSentenceHead, ReplacedTokenHead


def test_a_masked_word_is_foretold_by_the_vectors_of_the_words() -> None:
    head = MaskedLanguageModelHead(2, 3, hidden_act="relu", layer_norm_eps=0.0).double()
    with torch.no_grad():
        head.dense.weight.copy_(torch.eye(2))
        head.dense.bias.copy_(torch.tensor([0.0, 1.0]))
        head.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    states = torch.tensor([[[4.0, 1.0], [-7.0, 0.0]]], dtype=torch.float64)
    # (4, 1 + 1) and (0, 1) behind relu; two numbers normalised are (1, -1) where the first is larger, else (-1, 1).
    assert head(states, table).tolist() == [[[1.5, -1.0, -1.5], [-0.5, 1.0, 0.5]]]


def test_only_the_places_asked_for_are_foretold() -> None:
    head = MaskedLanguageModelHead(8, 5, embedding_size=3).double()
    table, states = torch.randn(5, 3, dtype=torch.float64), torch.randn(2, 4, 8, dtype=torch.float64)
    places = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0]])
    some = head(states, table, places)
    assert some.shape == (3, 5)
    torch.testing.assert_close(some, head(states, table)[places.bool()], rtol=0, atol=1e-12)
    assert head(states, table, torch.zeros_like(places)).shape == (0, 5)


def test_the_matrix_of_the_words_is_trained_by_what_is_foretold() -> None:
    head = MaskedLanguageModelHead(4, 5)
    table = torch.randn(5, 4, requires_grad=True)
    head(torch.randn(1, 3, 4), table).square().sum().backward()
    assert table.grad is not None and (table.grad.abs().sum(dim=1) > 0).all()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("size", [4, 8])
def test_the_other_heads_say_one_thing_of_a_text_and_of_each_token(size: int) -> None:
    assert NextSentenceHead(size)(torch.randn(3, size)).shape == (3, 2)
    assert ReplacedTokenHead(size)(torch.randn(3, 7, size)).shape == (3, 7)
