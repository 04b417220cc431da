"""One run on one process, on two that hold the whole model, and on two that hold a share of it.

torchrun runs this very file: `main` is what each of its processes does.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import token_batch
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.bert import Bert, BertConfig
from wenmo.models.pretraining_heads import MaskedLanguageModelHead
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.task import Learner
from wenmo.training.checkpointing import load_checkpoint
from wenmo.training.distribution import World, joined_world
from wenmo.training.loop import Loop
from wenmo.training.progress import Silent
from wenmo.training.settings import TrainingSettings
from wenmo.training.sources import LabelledDev, LabelledRows

CPU = torch.device("cpu")
CONFIG = BertConfig(
    vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=16,
)  # fmt: skip
STEPS = 50


class TwoLosses(Learner):
    """Words everywhere, and of one half of the batches a class as well, whose head the other half does not touch."""

    losses = ("words", "classes")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.extractor = Bert(CONFIG)
        self.extractor.embeddings.words.tied = True
        self.words = MaskedLanguageModelHead(CONFIG.hidden_size, CONFIG.vocab_size)
        self.classes = nn.Linear(CONFIG.hidden_size, 3)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)
        self.scale = nn.Parameter(torch.tensor(0.5))  # which cannot be shared out

    def counts(self, example: "Batch") -> Tensor:
        return torch.stack([(example.words != IGNORED_LABEL).sum(), (example.classes != IGNORED_LABEL).sum()])

    def forward(self, example: "Batch") -> tuple[Tensor, Tensor]:
        features = self.extractor(example.batch)
        counted = example.words != IGNORED_LABEL
        logits = self.words(features.last_hidden_state, self.extractor.word_table(), counted)  # type: ignore[operator]
        words, classes = F.cross_entropy(logits, example.words[counted], reduction="sum"), torch.zeros(())
        if (example.classes != IGNORED_LABEL).any():
            classes = F.cross_entropy(
                self.scale * self.classes(features.pooler_output), example.classes, reduction="sum"
            )
        return torch.stack([words, classes]), self.counts(example)


class Batch:
    def __init__(self, batch: TokenBatch, words: Tensor, classes: Tensor) -> None:
        self.batch, self.words, self.classes = batch, words, classes

    def to(self, device: torch.device) -> Self:
        return self


class Numbers:
    """Batches of ten rows, every row a function of its number."""

    splits_batches = True
    is_slow = True

    def batches(self, epoch: int, step: int, rank: int, world_size: int) -> list[tuple[list[int], bool]]:
        first = [epoch * 100 + i * 10 for i in range(7)]
        return [(list(range(start, start + 10))[rank::world_size], True) for start in first]

    def example(self, batch: Sequence[int], epoch: int) -> Batch:
        rows = [np.random.default_rng(row).integers(1, 30, 4 + row % 9).astype(np.int32) for row in batch]
        texts = token_batch(rows)
        assert texts.input_ids is not None
        masked = texts.input_ids % 3 == 0
        words = texts.input_ids.masked_fill(~masked | (texts.attention_mask == 0), IGNORED_LABEL)
        with_class = (min(batch) // 10) % 2 == 0
        classes = torch.tensor([row % 3 if with_class else IGNORED_LABEL for row in batch])
        return Batch(texts, words, classes)


class StopAt(Silent):
    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("stopped")


def settings(**values: Any) -> TrainingSettings:
    wanted = {"learning_rate": 0.01, "max_steps": STEPS, "save_steps": 10, "log_steps": 1, "accumulation_steps": 2}
    more = {"max_grad_norm": 1.0, "average_decay": 0.9, "lazy_rows": False}
    return TrainingSettings.model_validate({**wanted, **more, **values})


def learn(folder: Path, world: World, *, stop: int = 0, resume: bool = False, **values: Any) -> Loop:
    """Train in a folder, to the end or to a step at which it is killed."""
    if world.is_main:
        folder.mkdir(exist_ok=True)
    world.barrier()
    watching = [StopAt(stop)] if stop else []
    loop = Loop(
        TwoLosses(), Numbers(), None, settings(**values), folder=folder, device=CPU, world=world, observers=watching
    )
    if resume:
        assert loop.resume(), "there is no checkpoint to go on from"
    try:
        loop.run()
    except RuntimeError:
        assert stop
    return loop


def classify(folder: Path, world: World) -> None:
    """Labelled rows, of which each process takes batches of its own, with looks at dev on the way."""
    if world.is_main:
        folder.mkdir(exist_ok=True)
    world.barrier()
    task = Classification(Bert(CONFIG), CONFIG, ClassificationConfig(labels=("a", "b"), dropout_prob=0.0))
    task.initialize(torch.Generator().manual_seed(0))
    rows = TokenStore.from_rows(
        input_ids=[[1 + i % 7, 3, 4 + i % 2] for i in range(16)], labels=[[i % 2] for i in range(16)]
    )
    given = settings(
        batch_size=8 // world.size, accumulation_steps=1, max_steps=6, eval_steps=2, log_steps=0,
        sharding="full" if world.size > 1 else "none", average_decay=0.0,
    )  # fmt: skip
    dev = LabelledDev(task, rows, CPU, "float32")
    loop = Loop(task, LabelledRows(task, rows, given, 0), dev, given, folder=folder, device=CPU, world=world)
    loop.run()


def shares(loop: Loop) -> dict[str, list[int]]:
    """Of each parameter how many numbers this process holds, and how many there are."""
    return {
        name: [parameter.to_local().numel(), parameter.numel()]  # type: ignore[operator]
        for name, parameter in loop.learner.named_parameters()
        if parameter.dim()
    }


def main(folder: Path) -> None:
    """Two processes: whole models, shares, and what goes from one number of processes to another."""
    with joined_world(CPU) as world:
        learn(folder / "two", world)
        learn(folder / "recomputed", world, recompute=True, sharding="full")
        before = learn(folder / "begun-on-shares", world, sharding="full", stop=24)
        (folder / f"shares-{world.rank}.json").write_text(json.dumps(shares(before)))
        moments = [
            [value.to_local().numel(), value.numel()]
            for state in before.optimizers[0].state.values()
            for name, value in state.items()
            if name != "step" and value.dim()
        ]
        (folder / f"moments-{world.rank}.json").write_text(json.dumps(moments))
        classify(folder / "classified-by-two", world)
        loop = learn(folder / "shares", world, sharding="full")
        assert not any(hasattr(p, "to_local") for p in loop.learner.parameters()), "what comes out is not whole"
        if world.is_main:
            torch.save(loop.learner.state_dict(), folder / "shares.pt")
        learn(folder / "begun-alone", world, resume=True)
        learn(folder / "begun-alone-too", world, resume=True, sharding="full")


def losses(folder: Path) -> list[tuple[int, str, float]]:
    records = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [(record["step"], record["task"], record["loss"]) for record in records]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run of this file: those of one process, then those of two."""
    folder = tmp_path_factory.mktemp("runs")
    alone = learn(folder / "one", World())
    torch.save(alone.learner.state_dict(), folder / "one.pt")
    classify(folder / "classified", World())
    learn(folder / "begun-alone", World(), stop=24)
    shutil.copytree(folder / "begun-alone", folder / "begun-alone-too")
    script = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", script, folder],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return folder


def same(folder: Path, other: Path) -> None:
    ours, theirs = losses(folder), losses(other)
    assert [line[:2] for line in ours] == [line[:2] for line in theirs]
    torch.testing.assert_close(
        torch.tensor([line[2] for line in ours]), torch.tensor([line[2] for line in theirs]), rtol=0, atol=1e-4
    )  # float32: sums in other orders, over 50 updates


@pytest.mark.parametrize("name", ["two", "shares", "recomputed"])
def test_the_same_recipe_gives_the_same_losses_however_many_processes_there_are(name: str, runs: Path) -> None:
    alone = losses(runs / "one")
    assert max(step for step, _, _ in alone) == STEPS and alone[-1][2] < 0.9 * alone[0][2]
    assert {task for _, task, _ in alone} == {"words", "classes"}
    same(runs / name, runs / "one")


@pytest.mark.parametrize("name", ["begun-alone", "begun-alone-too"])
def test_a_run_that_was_begun_on_one_process_goes_on_on_two(name: str, runs: Path) -> None:
    same(runs / name, runs / "one")


def test_a_run_that_was_begun_on_two_processes_that_held_shares_goes_on_on_one(runs: Path) -> None:
    checkpoint = load_checkpoint(runs / "begun-on-shares")
    assert checkpoint is not None and checkpoint.state.step == 20 and checkpoint.state.processes == 2
    whole = TwoLosses().state_dict()
    assert {name: tensor.shape for name, tensor in checkpoint.model.items()} == {n: t.shape for n, t in whole.items()}
    learn(runs / "begun-on-shares", World(), resume=True)
    same(runs / "begun-on-shares", runs / "one")


def test_a_classifier_is_looked_at_while_it_is_shared_out(runs: Path) -> None:
    logs = [(runs / name / "training.jsonl").read_text().splitlines() for name in ("classified", "classified-by-two")]
    records = [[json.loads(line) for line in log] for log in logs]
    assert [record["step"] for record in records[0]] == [2, 4, 6]
    for alone, shared in zip(*records, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-4)
        assert shared["dev_accuracy"] == alone["dev_accuracy"]


def test_a_process_of_two_holds_half_of_every_parameter_and_of_its_moments(runs: Path) -> None:
    held = [json.loads((runs / f"shares-{rank}.json").read_text()) for rank in (0, 1)]
    assert set(held[0]) == {name for name, p in TwoLosses().named_parameters() if p.dim()}
    for name, (first, number) in held[0].items():
        rows = 3 if name.startswith("classes") else 2  # of three rows, one process has two
        assert first == number * (2 if rows == 3 else 1) // rows, name
        assert first + held[1][name][0] == number
    moments = [json.loads((runs / f"moments-{rank}.json").read_text()) for rank in (0, 1)]
    assert sum(number for number, _ in moments[0]) == 2 * sum(number for number, _ in held[0].values())


def test_what_comes_out_of_shares_is_the_model_of_one_process(runs: Path) -> None:
    shared, alone = torch.load(runs / "shares.pt"), torch.load(runs / "one.pt")
    for name, weight in alone.items():
        torch.testing.assert_close(shared[name], weight, rtol=0, atol=1e-3)


def test_rows_that_one_process_alone_updates_are_no_start_for_two(tmp_path: Path) -> None:
    learn(tmp_path, World(), stop=12, lazy_rows=True)
    loop = learn(tmp_path, World(), stop=1, lazy_rows=True)
    loop.world, loop.optimizers = World(0, 2), loop.optimizers[:1] * 3
    with pytest.raises(InputError, match="lazy_rows is for one process alone"):
        loop.resume()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
