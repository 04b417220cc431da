"""The bag of vectors and the linear model against their formulas."""

from collections.abc import Callable

import torch
from torch import nn

from wenmo.features import TokenBatch
from wenmo.models.bag import Bag, BagConfig
from wenmo.models.linear import Linear, LinearConfig


def test_a_bag_is_the_mean_of_the_vectors_of_words_and_n_grams(batch_of: Callable[..., TokenBatch]) -> None:
    model = Bag(BagConfig(vocab_size=5, embedding_size=1, max_ngram=2, num_buckets=1)).double()
    with torch.no_grad():
        model.embeddings.words.weight.copy_(torch.tensor([[9.0], [1.0], [2.0], [4.0], [8.0]]))
        model.ngrams.weight.fill_(100.0)  # one bucket: every bigram has this vector
    features = model(batch_of([[1, 2, 3], [4], []]))
    # three words and two bigrams: (1 + 2 + 4 + 2 * 100) / 5; one word and no bigram: 8 / 1; nothing: 0
    assert features.pooler_output.flatten().tolist() == [41.4, 8.0, 0.0]
    assert features.last_hidden_state[0].flatten().tolist() == [101.0, 102.0, 4.0]


def test_the_order_of_words_reaches_a_bag_through_its_n_grams_alone(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    words = tiny("bag", max_ngram=1)
    pairs = tiny("bag", max_ngram=2, num_buckets=997)
    there, back = batch_of([[3, 4, 5, 6]]), batch_of([[6, 5, 4, 3]])
    torch.testing.assert_close(words(there).pooler_output, words(back).pooler_output)
    assert (pairs(there).pooler_output - pairs(back).pooler_output).abs().max() > 1e-3


def test_a_linear_model_adds_idf_weighted_normalised_counts(batch_of: Callable[..., TokenBatch]) -> None:
    model = Linear(LinearConfig(vocab_size=4, num_outputs=2)).double()
    with torch.no_grad():
        model.idf.copy_(torch.tensor([9.0, 9.0, 2.0, 3.0]))
        model.weights.weight.copy_(torch.tensor([[9.0, 9.0], [9.0, 9.0], [1.0, -1.0], [10.0, 0.0]]))
    features = model(batch_of([[2, 3, 2]]))
    two = (1 + torch.log(torch.tensor(2.0, dtype=torch.float64))) * 2  # occurs twice, idf 2
    three = torch.tensor(3.0, dtype=torch.float64)  # occurs once, idf 3
    norm = torch.sqrt(two**2 + three**2)
    expected = torch.stack([(two * 1 + three * 10) / norm, -two / norm])
    torch.testing.assert_close(features.pooler_output[0], expected, rtol=0, atol=1e-12)
    assert features.last_hidden_state[0, 2].abs().sum() == 0  # the second 2 is counted at the first


def test_binary_counts_do_not_see_repetition(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("nbsvm")
    once, often = model(batch_of([[3, 4]])), model(batch_of([[4, 3, 3, 4, 3]]))
    torch.testing.assert_close(once.pooler_output, often.pooler_output, rtol=0, atol=1e-12)


def test_unknown_n_grams_add_nothing_and_leave_the_norm_alone(
    tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny("tfidf")
    known, mixed = model(batch_of([[3, 4]])), model(batch_of([[1, 3, 1, 4, 1]]))
    torch.testing.assert_close(known.pooler_output, mixed.pooler_output, rtol=0, atol=1e-12)
