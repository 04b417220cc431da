"""Vectors of words from their characters: by hand, against torch's own layers, and whatever stands beside them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wenmo.features import TokenBatch
from wenmo.models.characters import CharacterCnn, CharacterLstm
from wenmo.models.recurrent import Recurrent, RecurrentConfig

IDS = torch.tensor([[2, 3, 4, 5], [3, 3, 0, 0], [5, 0, 0, 0], [1, 2, 3, 0]])


def randomized(module: nn.Module) -> Any:
    generator = torch.Generator().manual_seed(0)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module.eval()


def models() -> list[Any]:
    return [
        randomized(CharacterCnn(6, embedding_size=3, size=4)),
        randomized(CharacterCnn(6, embedding_size=3, size=4, width=4)),
        randomized(CharacterLstm(6, embedding_size=3, size=4)),
    ]


def test_the_cnn_worked_by_hand() -> None:
    model = CharacterCnn(4, embedding_size=1, size=1)
    with torch.no_grad():
        model.embeddings.weight.copy_(torch.tensor([[9.0], [1.0], [2.0], [-5.0]]))  # 9 is the padding: never seen
        model.conv.weight.copy_(torch.tensor([[[100.0, 10.0, 1.0]]]))
        model.conv.bias.fill_(0.5)
    # "1 2 1": 0*100 + 1*10 + 2 = 12, 100 + 20 + 1 = 121, 200 + 10 + 0 = 210. "3": -50. No characters: zeros.
    found = model(torch.tensor([[1, 2, 1], [3, 0, 0], [0, 0, 0]]))
    assert found.tolist() == [[210.5], [-49.5], [0.5]]


def test_the_cnn_is_a_convolution_of_torch_and_its_maximum() -> None:
    model = models()[0]
    for row in IDS:
        word = model.embeddings(row[row != 0]).t().unsqueeze(0)  # (1, embedding_size, characters)
        wanted = model.conv(torch.nn.functional.pad(word, (1, 1))).amax(dim=2)[0]
        torch.testing.assert_close(model(row.unsqueeze(0))[0], wanted, rtol=0, atol=1e-12)


def test_the_lstm_is_that_of_torch_at_the_ends_of_the_word() -> None:
    model = models()[2]
    oracle = nn.LSTM(3, 2, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for suffix, cell in zip(("", "_reverse"), model.cells, strict=True):
            for name in ("weight_ih", "weight_hh", "bias_ih"):
                getattr(oracle, f"{name}_l0{suffix}").copy_(getattr(cell, name))
            getattr(oracle, f"bias_hh_l0{suffix}").zero_()
    for row in IDS:
        _, (hidden, _) = oracle(model.embeddings(row[row != 0]).unsqueeze(0))
        torch.testing.assert_close(model(row.unsqueeze(0))[0], hidden.flatten(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", models())
def test_neither_padding_nor_company_changes_a_word(model: Callable[[Tensor], Tensor]) -> None:
    together = model(torch.nn.functional.pad(IDS, (0, 3)))
    for row, word in enumerate(IDS):
        torch.testing.assert_close(model(word[word != 0].unsqueeze(0))[0], together[row], rtol=0, atol=1e-12)
    assert torch.isfinite(model(torch.zeros(2, 3, dtype=torch.long))).all()


@pytest.mark.parametrize("model", models())
def test_every_weight_gets_a_gradient(model: nn.Module) -> None:
    model.train()
    model(IDS).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CharacterCnn(6, width=0)
    with pytest.raises(ValueError, match="even"):
        CharacterLstm(6, size=5)
    with pytest.raises(ValueError, match="even"):
        RecurrentConfig(character_features="lstm", character_size=5)


CONFIG = RecurrentConfig(
    vocab_size=9,
    embedding_size=4,
    num_units=3,
    bidirectional=True,
    character_features="cnn",
    character_vocab_size=6,
    character_embedding_size=3,
    character_size=4,
)


def sentence_batch() -> TokenBatch:
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    characters = torch.stack([IDS[:3], IDS[1:]])
    return TokenBatch(input_ids=torch.tensor([[5, 6, 1], [7, 0, 0]]), character_ids=characters, attention_mask=mask)


@pytest.mark.parametrize("features", ["cnn", "lstm"])
def test_a_recurrent_model_reads_words_and_their_characters_beside_each_other(features: Any) -> None:
    model: Recurrent = randomized(Recurrent(replace(CONFIG, character_features=features)))
    batch = sentence_batch()
    found = model(batch)
    assert batch.input_ids is not None and batch.character_ids is not None and model.characters is not None
    vectors = torch.cat(
        [
            model.embeddings(batch.input_ids),
            model.characters(batch.character_ids.flatten(0, 1)).view(2, 3, -1),
        ],
        dim=2,
    )
    states, _ = model.stack(vectors, batch.attention_mask)
    torch.testing.assert_close(found.last_hidden_state, states, rtol=0, atol=1e-12)
    model.train()(batch).pooler_output.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_that_looks_into_words_wants_their_characters() -> None:
    model = Recurrent(CONFIG)
    with pytest.raises(ValueError, match="give character_ids beside input_ids"):
        model(TokenBatch(input_ids=torch.tensor([[5]]), attention_mask=torch.tensor([[1]])))
    with pytest.raises(ValueError, match="character_vocab_size is 0"):
        Recurrent(replace(CONFIG, character_vocab_size=0))
