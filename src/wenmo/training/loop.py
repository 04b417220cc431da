"""The training loop: the only one.

It knows learners and sources, not models and stores. How many labels an update counts, over all its batches and
processes, is known before its losses are computed; each loss is divided by its own number on the way back. So several
losses are several means, however the texts are spread. What it needs to go on after a stop is in
`RunState` and the checkpoint, so that a run that was killed and resumed gives the weights of one that was not.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wenmo.errors import InputError, JobError
from wenmo.tasks.answering import autocast
from wenmo.tasks.task import Learner
from wenmo.training import checkpointing as ckpt
from wenmo.training.ahead import Ahead
from wenmo.training.averaging import WeightAverage
from wenmo.training.distribution import Spread, World, as_like, whole
from wenmo.training.layers import GradualUnfreezing, freeze, hold_statistics
from wenmo.training.optimization import (
    build_optimizers,
    clip,
    gradients_of,
    load_optimizer_tensors,
    optimizer_tensors,
    rate_factor,
)
from wenmo.training.progress import JsonLog, Observer
from wenmo.training.recompute import compute_once, recompute_layers
from wenmo.training.settings import TrainingSettings
from wenmo.training.sources import Judge, Look, Source

Batches = Sequence[tuple[Any, bool]]
"""Of a source, and whether they count."""
Examples = Sequence[tuple[Any, bool]]
"""The same as tensors."""
_SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True)
class _Group:
    """The batches of an update."""

    epoch: int
    first: int
    batches: Batches = field(compare=False)


class Loop:
    """Finds the weights of a learner on what a source gives."""

    def __init__(
        self,
        learner: Learner,
        source: Source,
        dev: Judge | None,
        settings: TrainingSettings,
        *,
        folder: Path,
        device: torch.device,
        world: World | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.learner: Learner = learner.to(device)
        self.settings, self.device = settings, device
        self.world = world or World()
        self._source, self._dev, self._folder, self._observers = source, dev, folder, observers
        freeze(learner, settings)
        # What learns later, layer by layer, is not among them.
        self._never_learns = {name for name, each in learner.named_parameters() if not each.requires_grad}
        self._recomputed = recompute_layers(learner.extractor) if settings.recompute else []
        self._spread = Spread(learner, self.world, settings, device)
        self.optimizers = build_optimizers(learner, settings, settings.lazy_rows and self.world.size == 1)
        self._unfreezing = GradualUnfreezing(learner, settings.unfreeze_epochs) if settings.unfreeze_epochs else None
        self.state = ckpt.RunState(processes=self.world.size)
        self._best: dict[str, Tensor] | None = None
        self._average = WeightAverage(learner, settings.average_decay) if settings.average_decay else None
        self._log = JsonLog(folder / "training.jsonl") if self.world.is_main else None
        self._norm = 0.0
        self._rate = 0.0
        self.keeps_last = False
        """Whether the weights behind the last update are wanted too, where others were better."""
        self.last: Mapping[str, Tensor] | None = None
        self.seconds_waited = 0.0
        """For data."""
        self._batches_of_epoch = 1
        self._last_save = time.monotonic()

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one; it may be of another number of processes.

        Raises:
            InputError: the run updated only the rows that were touched, which one process alone can.
        """
        checkpoint = ckpt.load_checkpoint(self._folder)
        if checkpoint is None:
            return False
        self._refuse_other_optimizers(checkpoint)
        self.state = checkpoint.state
        if not self._source.splits_batches:
            self.state.batch = self.state.batch * self.state.processes // self.world.size
        self.state.processes = self.world.size
        self._spread.load(checkpoint.model)
        own = self.learner.state_dict()
        if checkpoint.best is not None:
            self._best = {name: as_like(value, own[name]) for name, value in checkpoint.best.items()}
        if self._average is not None and checkpoint.average is not None:
            self._average.load({name: as_like(value, own[name]) for name, value in checkpoint.average.items()})
        load_optimizer_tensors(self.optimizers, dict(checkpoint.optimizer))
        return True

    def _refuse_other_optimizers(self, checkpoint: ckpt.Checkpoint) -> None:
        """One process may have an optimizer for the rows of tables, several have none."""
        before, theirs = checkpoint.state.processes, {key.split("/")[0] for key in checkpoint.optimizer}
        if before != self.world.size and theirs and len(theirs) != len(self.optimizers):
            raise InputError(
                f"this run was on {before} processes and is on {self.world.size}: training.lazy_rows is for one process"
                " alone; go on with as many as before, or start anew with training.lazy_rows=false"
            )

    def run(self) -> ckpt.RunState:
        """Train to the end and leave the best model in ``learner``: the one that was brought, or a copy of it where
        the processes held shares.

        Raises:
            JobError: the loss is no number or exploded; the message names the step and the likely cause.
            KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
        """
        batches = self._batches()
        total = self.settings.max_steps or math.ceil(self.updates_of_an_epoch() * self.settings.max_epochs)
        before, begun = self.state.seconds, time.monotonic()
        if self._log is not None:
            self._log.cut(self.state.log_bytes)
        for observer in self._observers:
            observer.started(total, self.state.step)
        try:
            with _interrupts() as interrupted, Ahead(self._make) as ahead:
                while self.state.step < total and not self.state.finished:
                    examples = self._examples(batches, ahead)
                    loss = self._update(examples, total)
                    self._advance(len(examples), len(batches))
                    if self.state.batch == 0:
                        batches = self._batches()
                    self.state.seconds = before + time.monotonic() - begun
                    for observer in self._observers:
                        observer.stepped(self.state.step, loss)
                    late, stopped, unsaved = self._any_says(
                        self._is_late(), interrupted.is_set(), self._has_waited_to_save()
                    )
                    looked = self._is_time_to_look(total) or (late and not stopped)
                    if looked:
                        self._tell(self._look(late and not stopped))
                    elif self.settings.log_steps and self.state.step % self.settings.log_steps == 0:
                        self._tell(None)
                    every = self.settings.save_steps
                    if stopped or (self.state.step % every == 0 if every else looked and unsaved):
                        self._save()
                    if stopped:
                        raise KeyboardInterrupt(f"stopped at step {self.state.step}; go on with --resume")
        finally:
            for observer in self._observers:
                observer.finished()
        if self._best is not None:
            if self.keeps_last and self.state.best_step != self.state.step:
                last = whole(self.learner.state_dict())
                self.last = {name: value.detach().clone() for name, value in last.items()}
            self._spread.load(self._best)
        elif self._average is not None:
            self._spread.load(self._average.weights)
        compute_once(self._recomputed)
        self.learner = self._spread.finish().eval()
        return self.state

    def updates_of_an_epoch(self) -> int:
        """Of the first epoch: with ``batch_tokens`` they differ a little, and a resumed run must not notice."""
        return math.ceil(len(self._batches_of(0, 0)) / self.settings.accumulation_steps)

    def _batches(self) -> Batches:
        begun = time.monotonic()
        batches = self._batches_of(self.state.epoch, self.state.epoch_step)
        self.seconds_waited += time.monotonic() - begun
        self._batches_of_epoch = max(1, len(batches))
        return batches

    def _batches_of(self, epoch: int, step: int) -> Batches:
        return self._source.batches(epoch, step, self.world.rank, self.world.size)

    def _examples(self, batches: Batches, ahead: Ahead[_Group, Examples]) -> Examples:
        """Those of the next update; a slow source makes those of the one after it in the meantime."""
        begin = self.state.batch
        groups = [
            _Group(self.state.epoch, start, batches[start : start + self.settings.accumulation_steps])
            for start in (begin, begin + self.settings.accumulation_steps)
        ]
        if not self._source.is_slow:
            return self._make(groups[0])
        begun = time.monotonic()
        examples = ahead.get(groups[0], groups[1] if groups[1].batches else None)
        self.seconds_waited += time.monotonic() - begun
        return examples

    def _make(self, group: _Group) -> Examples:
        return [(self._source.example(batch, group.epoch), counts) for batch, counts in group.batches]

    def _advance(self, num_batches: int, batches_of_epoch: int) -> None:
        self.state.step += 1
        self.state.batch += num_batches
        if self.state.batch >= batches_of_epoch:
            self.state.epoch += 1
            self.state.epoch_step = self.state.step
            self.state.batch = 0

    def _update(self, examples: Examples, total: int) -> float:
        """One step of the optimizer over some batches; the loss, each of several the mean over its counted labels."""
        self.learner.train()
        if self._unfreezing is not None:
            self._unfreezing.begin(self.state.epoch)
        hold_statistics(self.learner)
        self._seed_update()
        labels = sum(self.learner.counts(example).reshape(-1) * float(counts) for example, counts in examples)
        assert isinstance(labels, Tensor), "an update has a batch"
        labels = labels.float().to(self.device)
        self.world.sum_([labels])
        sums = self._losses(examples, labels.clamp(min=1))
        gradients = gradients_of(self.learner)
        self._norm = self._spread.norm(gradients)
        loss = float((sums / labels.clamp(min=1)).sum())
        self._refuse_nonsense(loss)
        clip(gradients, self._norm, self.settings)
        self._step(rate_factor(self.state.step + 1, total, self.settings))
        self._count(sums.tolist(), labels.tolist())
        return loss

    def _losses(self, examples: Examples, labels: Tensor) -> Tensor:
        """``(losses,)``: their sums over the update, the gradients of their means left in the parameters."""
        sums = torch.zeros_like(labels)
        for i, (example, counts) in enumerate(examples):
            with self._spread.batch(last=i == len(examples) - 1) as model:
                with autocast(self.device, self.settings.precision):
                    found, _ = model(example.to(self.device))
                found = found.reshape(-1) * float(counts)
                self._spread.backward((found / labels).sum())
            sums += found.detach()
        self.world.sum_([sums])
        return sums

    def _step(self, factor: float) -> None:
        self._rate = self.settings.learning_rate * factor
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = parameters["peak_rate"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.learner.constrain()
        if self._average is not None:
            self._average.update(self.state.step + 1)

    def _count(self, sums: list[float], labels: list[float]) -> None:
        state = self.state
        state.loss_sums = [a + b for a, b in zip(state.loss_sums or [0.0] * len(sums), sums, strict=True)]
        state.loss_counts = [a + b for a, b in zip(state.loss_counts or [0.0] * len(labels), labels, strict=True)]

    def _seed_update(self) -> None:
        """What an update draws, such as dropout, is a function of seed, process and update, as the data's order is."""
        numbers = (self.settings.seed, self.world.rank, self.state.step)
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))

    def _refuse_nonsense(self, loss: float) -> None:
        if self.state.first_loss is None:
            self.state.first_loss = loss
        step, rate = self.state.step + 1, self.settings.learning_rate
        if math.isfinite(loss) and math.isfinite(self._norm) and loss <= 100 * max(1.0, self.state.first_loss):
            return
        what = f"the loss is {loss:g} and the gradient's norm {self._norm:g}"
        if self.settings.precision == "bfloat16":
            cause = "numbers too large for the precision; try training.precision=float32 or a smaller learning rate"
        elif not (self.settings.max_grad_norm or self.settings.max_grad_value):
            cause = f"a learning rate of {rate:g} is too high; lower it, or set training.max_grad_norm=1"
        else:
            cause = f"a learning rate of {rate:g} is too high; lower it or warm up with training.warmup_steps"
        raise JobError(f"step {step}: {what}; the likely cause: {cause}. The last checkpoint and the log are kept")

    def _is_time_to_look(self, total: int) -> bool:
        if self.state.step >= total:
            return True
        every = self.settings.eval_steps
        return self.state.step % every == 0 if every else self.state.batch == 0

    def _is_late(self) -> bool:
        return bool(self.settings.max_seconds) and self.state.seconds >= self.settings.max_seconds

    def _any_says(self, *answers: bool) -> list[bool]:
        """Whether any process says yes, to each of some questions; all of them hear the same."""
        if self.world.size == 1:
            return list(answers)
        voices = torch.tensor(answers, dtype=torch.float32, device=self.device)
        self.world.sum_([voices])
        return [voice > 0 for voice in voices.tolist()]

    def _look(self, late: bool) -> Look | None:
        """Ask dev, remember the best model, and see whether it is time to stop."""
        look = None
        if self._dev is not None:
            with self._average.in_place() if self._average is not None else nullcontext(), self._spread.together():
                look = self._dev.look()
                self._remember(look.score, self._dev.lower_is_better)
        patience = self.settings.patience
        self.state.finished = late or bool(patience and self.state.evaluations_since_best >= patience)
        return look

    def _tell(self, look: Look | None) -> None:
        """A line of the log for each loss that was learnt from since the last one, and what dev says of it."""
        state = self.state
        common = {
            "epoch": round(state.epoch + state.batch / self._batches_of_epoch, 3),
            "learning_rate": self._rate,
            "gradient_norm": self._norm,
            "seconds": round(state.seconds, 3),
        }
        names = self.learner.losses
        for name, loss, count in zip(names, state.loss_sums, state.loss_counts, strict=True):
            if not count and len(names) > 1:
                continue
            task = {"task": name} if name else {}
            record = {"step": state.step, **task, "loss": loss / max(1.0, count), **common}
            if look is not None:
                record |= look.figures.get(name, {})
            if self._log is not None:
                self._log.evaluated(record)
            for observer in self._observers:
                observer.evaluated(record)
        state.loss_sums, state.loss_counts = [], []

    def _remember(self, score: float, lower_is_better: bool) -> None:
        sign = -1 if lower_is_better else 1
        if self.state.best_score is None or sign * score > sign * self.state.best_score:
            self.state.best_score, self.state.best_step = score, self.state.step
            self.state.evaluations_since_best = 0
            # What never learns is kept once: below frozen features it is the most of a model.
            self._best = {
                name: value.detach() if name in self._never_learns else value.detach().clone()
                for name, value in self.learner.state_dict().items()
            }
        else:
            self.state.evaluations_since_best += 1

    def _save(self) -> None:
        """Every process brings what it holds; the first one writes."""
        model, optimizer = whole(self.learner.state_dict()), optimizer_tensors(self.optimizers)
        best = whole(self._best) if self._best is not None else None
        average = whole(self._average.weights) if self._average is not None else None
        if self._log is not None:
            self.state.log_bytes = self._log.num_bytes
            ckpt.save_checkpoint(self._folder, ckpt.Checkpoint(self.state, model, best, optimizer, average))
        self._last_save = time.monotonic()

    def _has_waited_to_save(self) -> bool:
        return time.monotonic() - self._last_save > _SECONDS_BETWEEN_SAVES


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that the step that runs is finished and saved before the program stops."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(_signal: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
