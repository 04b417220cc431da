"""The loop: averages over labels, stops and goes on bit for bit, refuses nonsense."""

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wenmo.data.batching import BatchOrder
from wenmo.data.store import TokenStore
from wenmo.errors import JobError
from wenmo.folder import weights_digest
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.training.checkpointing import load_checkpoint
from wenmo.training.corpus import read_corpus
from wenmo.training.loop import Loop
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.run import run
from wenmo.training.settings import TrainingSettings
from wenmo.training.sources import LabelledDev, LabelledRows

LABELS = ("a", "b")
ROWS = [[2, 3, 4], [5, 6], [2, 2, 7, 8], [9], [3, 9, 9], [4, 4], [8, 2], [6, 7, 5, 5, 5]]
GOLD = [[0], [1], [0], [1], [1], [0], [0], [1]]


def make_task(dropout: float = 0.0, max_norm: float = 0.0) -> Classification:
    config = TextCnnConfig(vocab_size=10, embedding_size=6, num_filters=8)
    task = Classification(
        TextCnn(config), config, ClassificationConfig(labels=LABELS, dropout_prob=dropout, max_norm=max_norm)
    )
    task.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for conv in task.extractor.convs:  # type: ignore[union-attr]
            nn.init.normal_(conv.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    return task


def make_loop(folder: Path, task: Classification | None = None, **settings: object) -> Loop:
    values = {"learning_rate": 0.02, "batch_size": 4, "max_epochs": 30, "patience": 0, **settings}
    store = TokenStore.from_rows(input_ids=ROWS, labels=GOLD)
    folder.mkdir(exist_ok=True)
    task, training, cpu = task or make_task(), TrainingSettings.model_validate(values), torch.device("cpu")
    dev = LabelledDev(task, store, cpu, training.precision)
    return Loop(task, LabelledRows(task, store, training, 0), dev, training, folder=folder, device=cpu)


def test_eight_rows_are_learnt_by_heart(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, max_epochs=60)
    loop.run()
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.01
    assert loop.state.best_score == 1.0


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "adadelta", "sgd"])
def test_every_optimizer_lowers_the_loss(optimizer: str, tmp_path: Path) -> None:
    rate = {"adadelta": 1.0, "sgd": 0.1}.get(optimizer, 0.02)
    make_loop(tmp_path, optimizer=optimizer, learning_rate=rate, epsilon=1e-6, max_epochs=40).run()
    losses = [json.loads(line)["loss"] for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.5 * losses[0]


def test_accumulated_batches_make_the_update_of_one_large_batch(tmp_path: Path) -> None:
    whole, parts = make_task(), make_task()
    make_loop(tmp_path / "whole", whole, batch_size=8, max_steps=3, optimizer="sgd", learning_rate=0.5).run()
    loop = make_loop(
        tmp_path / "parts", parts, batch_size=3, accumulation_steps=3, max_steps=3, optimizer="sgd", learning_rate=0.5
    )
    loop.run()  # 3 + 3 + 2 rows: the mean is over all rows, not the mean of three means
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)  # float32, another order of sums


class StopAt(Silent):
    """Stops the run as Ctrl-C or a crash would, after a given step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("killed")


@pytest.mark.parametrize("optimizer", ["adamw", "adadelta"])
@pytest.mark.parametrize("killed_at", [3, 14, 22])
def test_a_killed_run_goes_on_to_the_very_weights_of_one_that_was_not(
    optimizer: str, killed_at: int, small_recipe: Recipe, tmp_path: Path
) -> None:
    training = small_recipe.training.model_copy(update={"optimizer": optimizer, "save_steps": 5})
    recipe = small_recipe.model_copy(update={"training": training})
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[StopAt(killed_at)])
    assert (load_checkpoint(tmp_path / "killed") is None) == (killed_at < 5)
    result = run(recipe, tmp_path / "killed", resume=True)
    whole, resumed = tmp_path / "whole", tmp_path / "killed"
    assert weights_digest(whole / "model.safetensors") == weights_digest(resumed / "model.safetensors")
    logs = [(folder / "training.jsonl").read_text().splitlines() for folder in (whole, resumed)]
    records = [[{**json.loads(line), "seconds": None} for line in log] for log in logs]
    assert records[0] == records[1]
    assert not (resumed / "checkpoints").exists() and result.steps == records[0][-1]["step"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.sampling=balanced", "task.loss=focal", "task.label_smoothing=0.1"],
        ["task.class_weights=balanced", "data.max_length=4", "data.long_texts=windows"],
    ],
)
def test_a_killed_run_goes_on_so_with_rare_labels_and_long_texts_too(
    overrides: list[str], small_recipe: Recipe, tmp_path: Path
) -> None:
    values = {**small_recipe.to_dict(), "model": small_recipe.model.to_dict()}
    recipe = Recipe.build(values=values, overrides=["training.save_steps=5", *overrides])
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[StopAt(22)])
    run(recipe, tmp_path / "killed", resume=True)
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert weights[0] == weights[1]


class InterruptAt(Silent):
    """Presses Ctrl-C behind a given step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [14, 28])  # inside an epoch of 14 updates, and at the end of one
def test_a_run_that_was_interrupted_is_not_taken_for_finished(step: int, small_recipe: Recipe, tmp_path: Path) -> None:
    rows = len(read_corpus(small_recipe.data, small_recipe.task).train)
    assert math.ceil(rows / 20) == 14
    run(small_recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=f"stopped at step {step}"):
        run(small_recipe, tmp_path / "stopped", observers=[InterruptAt(step)])
    result = run(small_recipe, tmp_path / "stopped", resume=True)
    assert result.steps == 4 * 14
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_a_resumed_run_ends_where_it_would_have_though_epochs_differ_in_their_batches(
    small_recipe: Recipe, tmp_path: Path
) -> None:
    tokens = {"batch_tokens": 60, "batch_size": None, "schedule": "linear", "save_steps": 1}
    training = small_recipe.training.model_copy(update=tokens)
    data = small_recipe.data.model_copy(update={"bucket": 2})
    recipe = small_recipe.model_copy(update={"training": training, "data": data})
    lengths = np.array([len(row.text.split()) for row in read_corpus(data, ClassificationConfig()).train])
    order = BatchOrder(batch_tokens=60, bucket=2)
    batches = [len(order.epoch(lengths, epoch)) for epoch in range(4)]
    killed_in = next(epoch for epoch in range(1, 4) if batches[epoch] != batches[0])
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[StopAt(sum(batches[:killed_in]) + 5)])
    run(recipe, tmp_path / "killed", resume=True)
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(small_recipe: Recipe, tmp_path: Path) -> None:
    def digest(name: str, seed: int) -> str:
        training = small_recipe.training.model_copy(update={"seed": seed})
        run(small_recipe.model_copy(update={"training": training}), tmp_path / name)
        return weights_digest(tmp_path / name / "model.safetensors")

    first = digest("first", 1)
    assert digest("again", 1) == first
    assert digest("other", 2) != first


def test_training_leaves_the_random_numbers_of_the_caller_alone(small_recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(small_recipe, tmp_path / "model")
    assert torch.equal(torch.rand(3), expected)


def test_an_exploding_loss_stops_with_the_step_and_the_cause(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"step \d+: the loss is .* learning rate of 1e\+06 is too high"):
        make_loop(tmp_path, optimizer="sgd", learning_rate=1e6, max_epochs=50).run()


def test_training_stops_when_dev_gets_no_better(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, learning_rate=1e-9, patience=2, max_epochs=50)
    loop.run()
    assert loop.state.step == 2 * 3  # one look that is the best so far, two that are not


def test_the_best_weights_on_dev_are_kept(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, max_epochs=12)
    seen: list[float] = []

    class Watch(Silent):
        def evaluated(self, record: object) -> None:
            seen.append(record["dev_accuracy"])  # type: ignore[index]

    loop._observers = [Watch()]
    loop.run()
    assert loop.state.best_score == max(seen)


def test_max_norm_holds_after_every_update(tmp_path: Path) -> None:
    task = make_task(max_norm=0.3)
    make_loop(tmp_path, task, learning_rate=0.5, max_epochs=5).run()
    norms = task.classifier.weight.norm(dim=1)
    assert norms.max() <= 0.3 + 1e-5 and norms.max() > 0.29


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    make_loop(tmp_path, precision="bfloat16", max_epochs=60).run()
    losses = [json.loads(line)["loss"] for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.1 and math.isfinite(losses[-1])


def test_deterministic_training_runs(small_recipe: Recipe, tmp_path: Path) -> None:
    training = small_recipe.training.model_copy(update={"deterministic": True, "max_steps": 3})
    result = run(small_recipe.model_copy(update={"training": training}), tmp_path / "model")
    assert result.steps == 3
    assert not torch.are_deterministic_algorithms_enabled(), "the caller's switch was left turned"
