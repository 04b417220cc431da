"""Training of recurrent models: an interrupted run, and precision."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from wenmo.training.progress import Silent
from wenmo.training.run import train

SMALL = [
    *("model.embedding_size=8", "model.num_units=6", "model.num_hidden_layers=2", "model.hidden_dropout_prob=0.2"),
    *("model.normalization=batch", "model.recurrent_dropout_prob=0.3", "model.word_dropout_prob=0.1"),
    *("training.max_epochs=2", "training.batch_size=20", "training.patience=0", "training.save_steps=5"),
]


class StopsAt(Silent):
    """As Ctrl-C, but at a known step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        """Raise when it is time."""
        if step == self._step:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_bit_for_bit_with_all_its_dropouts(reviews: Path, tmp_path: Path) -> None:
    train(reviews, model="bilstm", out=tmp_path / "whole", overrides=SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(reviews, model="bilstm", out=tmp_path / "stopped", overrides=SMALL, observers=[StopsAt(13)])
    train(reviews, model="bilstm", out=tmp_path / "stopped", overrides=SMALL, resume=True)
    whole, stopped = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(whole[name].equal(stopped[name]) for name in whole)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_model_learns_in_bfloat16(name: str, reviews: Path, tmp_path: Path) -> None:
    small = ["model.embedding_size=16", "model.num_units=16", "training.learning_rate=0.02", "training.max_epochs=5"]
    result = train(reviews, model=name, out=tmp_path / "m", overrides=small, precision="bfloat16")
    assert result.dev["accuracy"]["value"] > 0.8
