"""The moving mean of weights: the recurrence by hand, a run that goes on, and what stands in the folder."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from wenmo.folder import weights_digest
from wenmo.training.averaging import WeightAverage
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.run import run


def test_the_mean_is_its_recurrence() -> None:
    module = nn.BatchNorm1d(1)
    average = WeightAverage(module, decay=0.25)
    weights = [4.0, 8.0, 2.0]
    for step, weight in enumerate(weights, start=1):
        module.weight.data.fill_(weight)
        module.num_batches_tracked.fill_(step)  # an integer is no mean
        average.update(step)
    # From 1: d is 2/11 at first, then 3/12 and 0.25.
    by_hand = 2 / 11 * 1 + 9 / 11 * 4
    by_hand = 0.25 * by_hand + 0.75 * 8
    by_hand = 0.25 * by_hand + 0.75 * 2
    assert average.weights["weight"].item() == pytest.approx(by_hand)
    assert average.weights["num_batches_tracked"].item() == 3
    with average.in_place():
        assert module.weight.item() == pytest.approx(by_hand)
    assert module.weight.item() == 2.0


class Killed(Silent):
    def stepped(self, step: int, loss: float) -> None:
        if step == 14:
            raise RuntimeError("killed")


def test_a_killed_run_with_a_mean_goes_on_to_the_same_weights(small_recipe: Recipe, tmp_path: Path) -> None:
    training = small_recipe.training.model_copy(update={"average_decay": 0.9, "save_steps": 5})
    recipe = small_recipe.model_copy(update={"training": training})
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[Killed()])
    assert (tmp_path / "killed" / "checkpoints" / "step-10" / "average.safetensors").exists()
    run(recipe, tmp_path / "killed", resume=True)
    run(small_recipe, tmp_path / "without")
    digests = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed", "without")]
    assert digests[0] == digests[1] != digests[2]
    first = [
        json.loads((tmp_path / name / "training.jsonl").read_text().splitlines()[0])["loss"]
        for name in ("whole", "without")
    ]
    assert first[0] == first[1], "the mean takes no part in learning"


def test_without_dev_the_mean_is_what_is_kept(small_recipe: Recipe, tmp_path: Path) -> None:
    data = small_recipe.data.model_copy(update={"dev_share": 0.0})
    kept = []
    for decay in (0.0, 0.9):
        training = small_recipe.training.model_copy(update={"average_decay": decay, "max_steps": 8})
        run(small_recipe.model_copy(update={"training": training, "data": data}), tmp_path / str(decay))
        kept.append(weights_digest(tmp_path / str(decay) / "model.safetensors"))
    assert kept[0] != kept[1]
    assert torch.is_grad_enabled()
