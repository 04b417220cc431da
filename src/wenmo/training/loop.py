"""The training loop: the only one.

It knows tasks, not models: a task gives summed losses with the number of labels they count, and the loop averages over
all counted labels of an update, over all its batches and processes. What it needs to go on after a stop is in
`RunState` and the checkpoint, so that a run that was killed and resumed gives the weights of one that was not.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wenmo.data.batching import BatchOrder, Rows, row_places
from wenmo.data.sampling import rows_of_classes
from wenmo.data.store import TokenStore
from wenmo.errors import JobError
from wenmo.features import IGNORED_LABEL
from wenmo.tasks.answering import autocast
from wenmo.tasks.task import Example, Task
from wenmo.training import checkpointing as ckpt
from wenmo.training.averaging import WeightAverage
from wenmo.training.distribution import World
from wenmo.training.layers import GradualUnfreezing, freeze, hold_statistics
from wenmo.training.optimization import (
    build_optimizers,
    gradients_of,
    load_optimizer_tensors,
    optimizer_tensors,
    rate_factor,
    scale_and_clip,
)
from wenmo.training.progress import JsonLog, Observer
from wenmo.training.settings import TrainingSettings

_SECONDS_BETWEEN_SAVES = 60.0


class Loop:
    """Finds the weights of a task on a store of examples."""

    def __init__(
        self,
        task: Task,
        train: TokenStore,
        dev: TokenStore | None,
        settings: TrainingSettings,
        *,
        bucket: int,
        folder: Path,
        device: torch.device,
        world: World | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.task: Task = task.to(device)
        self.settings, self.device = settings, device
        self.world = world or World()
        self._train, self._dev, self._folder, self._observers = train, dev, folder, observers
        self._lengths = row_places(train.columns)
        balanced = settings.sampling == "balanced"
        self._classes = rows_of_classes(self.task.gold(train)) if balanced else None
        self._order = BatchOrder(
            batch_size=settings.batch_size, batch_tokens=settings.batch_tokens, bucket=bucket, seed=settings.seed
        )
        freeze(self.task, settings)
        # What learns later, layer by layer, is not among them.
        self._never_learns = {name for name, each in self.task.named_parameters() if not each.requires_grad}
        self.optimizers = build_optimizers(task, settings, settings.lazy_rows and self.world.size == 1)
        self._unfreezing = GradualUnfreezing(task, settings.unfreeze_epochs) if settings.unfreeze_epochs else None
        self.state = ckpt.RunState()
        self._best: dict[str, Tensor] | None = None
        self._average = WeightAverage(self.task, settings.average_decay) if settings.average_decay else None
        self._log = JsonLog(folder / "training.jsonl") if self.world.is_main else None
        self._norm = 0.0
        self._rate = 0.0
        self._batches_of_epoch = 1
        self._last_save = time.monotonic()

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one."""
        checkpoint = ckpt.load_checkpoint(self._folder)
        if checkpoint is None:
            return False
        self.state = checkpoint.state
        self.task.load_state_dict(dict(checkpoint.model))
        self._best = dict(checkpoint.best) if checkpoint.best is not None else None
        if self._average is not None and checkpoint.average is not None:
            self._average.load(checkpoint.average)
        load_optimizer_tensors(self.optimizers, dict(checkpoint.optimizer))
        return True

    def run(self) -> ckpt.RunState:
        """Train to the end and leave the best model in the task.

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
            with _interrupts() as interrupted:
                while self.state.step < total and not self.state.finished:
                    group = batches[self.state.batch : self.state.batch + self.settings.accumulation_steps]
                    loss = self._update(group, total)
                    self._advance(len(group), len(batches))
                    if self.state.batch == 0:
                        batches = self._batches()
                    self.state.seconds = before + time.monotonic() - begun
                    for observer in self._observers:
                        observer.stepped(self.state.step, loss)
                    late, stopped = self._any_says(self._is_late(), interrupted.is_set())
                    looked = self._is_time_to_look(total) or (late and not stopped)
                    if looked:
                        with self._average.in_place() if self._average is not None else nullcontext():
                            self._look_at_dev(late and not stopped)
                    self._save_if_due(looked, force=stopped)
                    if stopped:
                        raise KeyboardInterrupt(f"stopped at step {self.state.step}; go on with --resume")
        finally:
            for observer in self._observers:
                observer.finished()
        if self._best is not None:
            self.task.load_state_dict(self._best)
        elif self._average is not None:
            self.task.load_state_dict(self._average.weights)
        self.task.eval()
        return self.state

    def updates_of_an_epoch(self) -> int:
        """Of the first epoch: with ``batch_tokens`` they differ a little, and a resumed run must not notice."""
        return math.ceil(len(self._batches_of(0)) / self.settings.accumulation_steps)

    def _batches(self) -> list[tuple[Rows, bool]]:
        batches = self._batches_of(self.state.epoch)
        self._batches_of_epoch = max(1, len(batches))
        return batches

    def _batches_of(self, epoch: int) -> list[tuple[Rows, bool]]:
        whole = self._order.epoch(self._lengths, epoch, classes=self._classes)
        return self._order.shard(whole, self.world.rank, self.world.size)

    def _advance(self, num_batches: int, batches_of_epoch: int) -> None:
        self.state.step += 1
        self.state.batch += num_batches
        if self.state.batch >= batches_of_epoch:
            self.state.epoch += 1
            self.state.batch = 0

    def _update(self, group: Sequence[tuple[Rows, bool]], total: int) -> float:
        """One step of the optimizer over some batches; the mean loss of their counted labels."""
        self.task.train()
        if self._unfreezing is not None:
            self._unfreezing.begin(self.state.epoch)
        hold_statistics(self.task)
        self._seed_update()
        losses, count = torch.zeros(1, device=self.device), torch.zeros(1, device=self.device)
        for rows, counts in group:
            example = _to_device(self.task.example(self._train, rows), self.device, counts)
            with autocast(self.device, self.settings.precision):
                loss, number = self.task(example)
            loss.backward()
            losses += loss.detach()
            count += number
        self._whole_gradients()
        gradients = gradients_of(self.task)
        self.world.sum_([*gradients, losses, count])
        loss_value, labels = float(losses), max(1.0, float(count))
        self._norm = scale_and_clip(gradients, labels, self.settings)
        self._refuse_nonsense(loss_value / labels)
        factor = rate_factor(self.state.step + 1, total, self.settings)
        self._rate = self.settings.learning_rate * factor
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = parameters["peak_rate"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.task.constrain()
        if self._average is not None:
            self._average.update(self.state.step + 1)
        self.state.loss_sum += loss_value
        self.state.loss_count += labels
        return loss_value / labels

    def _seed_update(self) -> None:
        """What an update draws, such as dropout, is a function of seed, process and update, as the data's order is."""
        numbers = (self.settings.seed, self.world.rank, self.state.step)
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))

    def _whole_gradients(self) -> None:
        """Every process sums the same tensors, so a parameter without a gradient gets zeros."""
        if self.world.size > 1:
            for parameter in self.task.parameters():
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

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

    def _look_at_dev(self, late: bool) -> None:
        record: dict[str, Any] = {
            "step": self.state.step,
            "epoch": round(self.state.epoch + self.state.batch / self._batches_of_epoch, 3),
            "loss": self.state.loss_sum / max(1.0, self.state.loss_count),
            "learning_rate": self._rate,
            "gradient_norm": self._norm,
            "seconds": round(self.state.seconds, 3),
        }
        self.state.loss_sum = self.state.loss_count = 0.0
        if self._dev is not None:
            score = self.task.look(self._dev, self.device, self.settings.precision)
            record[f"dev_{self.task.metric}"] = score
            self._remember(score)
        patience = self.settings.patience
        self.state.finished = late or bool(patience and self.state.evaluations_since_best >= patience)
        if self._log is not None:
            self._log.evaluated(record)
        for observer in self._observers:
            observer.evaluated(record)

    def _remember(self, score: float) -> None:
        sign = -1 if self.task.lower_is_better else 1
        if self.state.best_score is None or sign * score > sign * self.state.best_score:
            self.state.best_score, self.state.best_step = score, self.state.step
            self.state.evaluations_since_best = 0
            # What never learns is kept once: below frozen features it is the most of a model.
            self._best = {
                name: value.detach() if name in self._never_learns else value.detach().clone()
                for name, value in self.task.state_dict().items()
            }
        else:
            self.state.evaluations_since_best += 1

    def _save_if_due(self, looked: bool, force: bool) -> None:
        every = self.settings.save_steps
        due = self.state.step % every == 0 if every else looked and self._seconds_unsaved() > _SECONDS_BETWEEN_SAVES
        if (due or force) and self._log is not None:
            self.state.log_bytes = self._log.num_bytes
            ckpt.save_checkpoint(
                self._folder,
                ckpt.Checkpoint(
                    state=self.state,
                    model=self.task.state_dict(),
                    best=self._best,
                    average=self._average.weights if self._average is not None else None,
                    optimizer=optimizer_tensors(self.optimizers),
                ),
            )
            self._last_save = time.monotonic()

    def _seconds_unsaved(self) -> float:
        return time.monotonic() - self._last_save


def _to_device(example: Example, device: torch.device, counts: bool) -> Example:
    labels = example.labels if counts else torch.full_like(example.labels, IGNORED_LABEL)
    second = example.batch_b.to(device) if example.batch_b else None
    written = example.decoder_input_ids.to(device) if example.decoder_input_ids is not None else None
    return replace(
        example,
        batch=example.batch.to(device),
        batch_b=second,
        labels=labels.to(device),
        decoder_input_ids=written,
        word_starts=example.word_starts.to(device) if example.word_starts is not None else None,
    )


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
