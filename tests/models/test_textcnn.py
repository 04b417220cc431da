"""TextCNN against equation 2 worked by hand, against torch's convolution, and by its properties."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wenmo.features import TokenBatch
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.models.tracing import trace

PADDINGS: tuple[Literal["valid", "same", "wide"], ...] = ("valid", "same", "wide")


def test_textcnn_is_equation_2_worked_by_hand(batch_of: Callable[..., TokenBatch]) -> None:
    model = TextCnn(TextCnnConfig(vocab_size=4, embedding_size=1, kernel_sizes=(2,), num_filters=1))
    with torch.no_grad():
        # 7 is the padding: never seen
        model.embeddings.words.weight.copy_(torch.tensor([[7.0], [1.0], [2.0], [-5.0]]))
        model.convs[0].weight.copy_(torch.tensor([[[10.0, 1.0]]]))
        model.convs[0].bias.fill_(0.5)
    features = model(batch_of([[1, 2, 1], [2]]))
    # "1 2 1": 10*1 + 1*2 + 0.5 = 12.5 and 10*2 + 1*1 + 0.5 = 21.5. "2", then a zero vector: 10*2 + 0.5 = 20.5.
    assert features.last_hidden_state[..., 0].tolist() == [[12.5, 21.5, 0.0], [20.5, 0.0, 0.0]]
    assert features.pooler_output.tolist() == [[21.5], [20.5]]


def conv1d_features(model: TextCnn, text: list[int]) -> torch.Tensor:
    """One text through torch.nn.Conv1d, with the zero vectors of each kind of padding put there by hand."""
    config = model.config
    x = model.embeddings(torch.tensor([text])).transpose(1, 2)  # (1, embedding_size, length)
    pooled = []
    for width, conv in zip(config.kernel_sizes, model.convs, strict=True):
        if config.padding == "valid":
            around = (0, max(0, width - len(text)))
        elif config.padding == "same":
            around = ((width - 1) // 2, width - 1 - (width - 1) // 2)
        else:
            around = (max(config.kernel_sizes) - 1, max(config.kernel_sizes) - 1)
        answers = F.relu(conv(F.pad(x, around)))[0]  # (num_filters, n-grams)
        if config.pooling == "max":
            pooled.append(answers.amax(dim=1))
        elif config.pooling == "average":
            pooled.append(answers.mean(dim=1))
        else:
            answers = F.pad(answers, (0, max(0, config.num_maxima - answers.size(1))))
            best = answers.sort(dim=1, descending=True, stable=True).indices[:, : config.num_maxima]
            where = best.sort(dim=1).values
            pooled.append(answers.gather(1, where).t().flatten())
    return torch.cat(pooled)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("pooling", ["max", "average", "kmax"])
@pytest.mark.parametrize("channels", ["rand", "multichannel"])
def test_every_form_equals_torchs_convolution(
    padding: str, pooling: str, channels: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    num_maxima = 3 if pooling == "kmax" else 1
    model = tiny("textcnn", padding=padding, pooling=pooling, num_maxima=num_maxima, channels=channels)
    assert isinstance(model, TextCnn)
    texts = [[1, 2, 3, 4, 5, 6, 7, 8], [3, 3, 3], [5], [9, 2, 9, 2, 9, 2]]
    features = model(batch_of(texts)).pooler_output
    for row, text in enumerate(texts):
        # float64: only the order of sums differs
        torch.testing.assert_close(features[row], conv1d_features(model, text), rtol=0, atol=1e-12)


def test_the_gradients_equal_those_of_torchs_convolution(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("textcnn").train()
    assert isinstance(model, TextCnn)
    texts = [[1, 2, 3, 4, 5, 6, 7, 8], [3, 3, 3], [5]]
    weigh = torch.randn(3, model.config.hidden_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (model(batch_of(texts)).pooler_output * weigh).sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    torch.stack([conv1d_features(model, text) for text in texts]).mul(weigh).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=0, atol=1e-12, msg=name)


def test_sparse_gradients_of_the_word_vectors_equal_dense_ones(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("textcnn").train()
    assert isinstance(model, TextCnn)
    batch = batch_of([[1, 2, 3, 2, 2], [4, 1]])
    model(batch).pooler_output.sum().backward()
    dense = model.embeddings.words.weight.grad.clone()
    model.zero_grad()
    model.embeddings.words.sparse = True
    model(batch).pooler_output.sum().backward()
    assert model.embeddings.words.weight.grad.is_sparse
    torch.testing.assert_close(model.embeddings.words.weight.grad.to_dense(), dense, rtol=0, atol=1e-12)


def test_static_vectors_are_not_trained_and_multichannel_trains_one_of_two_tables() -> None:
    static = TextCnn(TextCnnConfig(vocab_size=5, embedding_size=2, channels="static"))
    assert not static.embeddings.words.weight.requires_grad
    both = TextCnn(TextCnnConfig(vocab_size=5, embedding_size=2, channels="multichannel"))
    vectors = torch.randn(5, 2)
    both.embeddings.load_vectors(vectors)
    ids = torch.tensor([[1, 2]])
    torch.testing.assert_close(both.embeddings(ids), 2 * vectors[ids])
    assert both.embeddings.words.weight.requires_grad and not both.embeddings.fixed_weight.requires_grad


def test_the_initialisation_is_that_of_kims_code() -> None:
    model = TextCnn(TextCnnConfig(vocab_size=400, embedding_size=30))
    model.initialize(torch.Generator().manual_seed(0))
    words = model.embeddings.words.weight
    assert words[0].abs().max() == 0 and 0.249 < words.abs().max() <= 0.25
    assert all(0.0099 < conv.weight.abs().max() <= 0.01 and conv.bias.abs().max() == 0 for conv in model.convs)


def test_given_vectors_stand_in_the_place_of_ids(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("textcnn")
    batch = batch_of([[1, 2, 3, 4, 5], [6, 7]])
    given = TokenBatch(inputs_embeds=model.embeddings(batch.input_ids), attention_mask=batch.attention_mask)
    torch.testing.assert_close(model(given).pooler_output, model(batch).pooler_output, rtol=0, atol=1e-12)


def test_the_trace_shows_the_way_from_words_to_the_vector_of_the_text(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    with trace() as steps:
        tiny("textcnn")(batch_of([[1, 2, 3, 4, 5, 6]]))
    shapes = {step.name: step.shape for step in steps}
    assert shapes["vectors of the distinct words"] == (6, 6)
    assert shapes["answers of the filters of width 3"][2] == 4
    assert steps[-1].name == "vector of the text" and steps[-1].shape == (1, 12)


def test_dropout_takes_the_same_numbers_of_a_word_wherever_it_stands(batch_of: Callable[..., TokenBatch]) -> None:
    config = TextCnnConfig(
        vocab_size=4, embedding_size=64, kernel_sizes=(1,), num_filters=64, embedding_dropout_prob=0.5
    )
    model = TextCnn(config)
    with torch.no_grad():
        model.embeddings.words.weight.fill_(1.0)
        model.convs[0].weight.copy_(torch.eye(64).unsqueeze(-1))
        model.convs[0].bias.zero_()
    answers = model.train()(batch_of([[1, 2, 1], [1]])).last_hidden_state
    assert set(answers[0].unique().tolist()) == {0.0, 2.0}  # kept numbers are scaled by 1 / (1 - 0.5)
    assert torch.equal(answers[0, 0], answers[0, 2]) and torch.equal(answers[0, 0], answers[1, 0])
    assert not torch.equal(answers[0, 0], answers[0, 1])
    assert model.eval()(batch_of([[1, 2, 1]])).last_hidden_state.unique().tolist() == [1.0]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel_sizes must be widths"):
        TextCnnConfig(kernel_sizes=())
    with pytest.raises(ValueError, match="needs pooling='kmax'"):
        TextCnnConfig(num_maxima=3)
    with pytest.raises(ValueError, match="length 0"):
        empty = torch.zeros(1, 0, dtype=torch.long)
        TextCnn(TextCnnConfig(vocab_size=4))(TokenBatch(input_ids=empty, attention_mask=empty))
