"""The baseline by counting: worked by hand."""

from collections.abc import Callable

import pytest
import torch

from wenmo.features import TokenBatch
from wenmo.models.majority import Majority, MajorityConfig


def test_each_word_has_its_most_frequent_tag_and_the_others_that_of_all(batch_of: Callable[..., TokenBatch]) -> None:
    model = Majority(MajorityConfig(vocab_size=6, num_outputs=3))
    # 3 is tagged 1, 2, 2; 4 is tagged 0; 1, which is unknown, is tagged 1; of all tags 2 is the commonest
    model.count(torch.tensor([3, 3, 3, 4, 1, 3]), torch.tensor([1, 2, 2, 0, 1, 2]))
    features = model(batch_of([[3, 4, 5, 1], [4]]))
    assert features.last_hidden_state.argmax(dim=2)[0].tolist() == [2, 0, 2, 2]
    assert features.last_hidden_state[1, 1:].sum() == 0
    assert features.pooler_output.tolist() == [[0.25, 0.0, 0.75], [1.0, 0.0, 0.0]]


def test_sizes_have_to_be_known() -> None:
    with pytest.raises(ValueError, match="vocab_size and num_outputs are 0"):
        Majority(MajorityConfig())
