"""What a size stands for."""

import pytest

from wenmo.errors import InputError
from wenmo.models.elmo import elmo_medium, elmo_original, elmo_small
from wenmo.models.registry import num_parameters, with_sizes
from wenmo.models.sizes import sized_config, sizes_of


def millions(model: str, size: str, vocab_size: int = 30_522) -> float:
    return num_parameters(with_sizes(sized_config(model, size), vocab_size, 0)) / 1e6


@pytest.mark.parametrize(
    ("size", "wanted"), [("tiny", 4.4), ("mini", 11.3), ("small", 29.1), ("base", 110), ("large", 340)]
)
def test_berts_have_the_parameters_that_their_papers_tell(size: str, wanted: float) -> None:
    assert millions("bert", size) == pytest.approx(wanted, rel=0.03)  # Turc et al. 2019, table 1; Devlin et al. 2019


@pytest.mark.parametrize(("size", "release"), [("small", elmo_small), ("base", elmo_medium), ("large", elmo_original)])
def test_elmos_are_the_releases(size: str, release: object) -> None:
    ours, theirs = sized_config("elmo", size), release()  # type: ignore[operator]
    names = ("num_units", "projection_size", "num_highways", "filters")
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


@pytest.mark.parametrize("model", ["gpt", "gpt2", "ernie", "ernie2", "rnn", "lstm", "gru", "elmo"])
def test_every_model_grows_from_size_to_size(model: str) -> None:
    grown = [millions(model, size, 1000) for size in sizes_of(model)]
    assert len(grown) == 5 and grown == sorted(grown) and grown[0] < grown[-1] / 20


def test_other_models_and_sizes_are_named() -> None:
    assert sizes_of("textcnn") == ()
    with pytest.raises(InputError, match="the sizes are tiny, mini, small, base, large"):
        sized_config("bert", "huge")
    with pytest.raises(InputError, match="not pre-trained on raw text"):
        sized_config("textcnn", "tiny")
