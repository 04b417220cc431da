"""From a recipe and raw text to a model folder."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from wenmo.files import read_json_object
from wenmo.folder import METRICS
from wenmo.pretraining.model import Pretraining
from wenmo.text.spans import Annotator
from wenmo.training.distribution import World, choose_device
from wenmo.training.handover import is_pretrained, save_pretrained
from wenmo.training.held_out import HeldOut
from wenmo.training.loop import Loop
from wenmo.training.pretraining_card import pretraining_card
from wenmo.training.pretraining_data import Prepared, prepared
from wenmo.training.pretraining_recipe import PretrainingRecipe
from wenmo.training.progress import Observer, TensorBoard
from wenmo.training.run import TrainingResult
from wenmo.training.run_folder import hold_to, joined_run, let_go

PRETRAIN = "pretrain"
LAST = "last"
"""The folder beside the best model with that of the last update, where it is another one."""


def run_pretraining(
    recipe: PretrainingRecipe,
    out: Path,
    *,
    annotate: Annotator | None = None,
    resume: bool = False,
    device: str = "",
    observers: Sequence[Observer] = (),
) -> TrainingResult:
    """Pre-train what a recipe says.

    Args:
        annotate: finds words, phrases and entities, where the recipe asks for them.

    Raises:
        InputError: the text or the settings cannot work, or the folder is taken.
        JobError: the loss exploded, or the disk is full.
    """
    chosen = choose_device(device)
    exactly = recipe.training.deterministic
    with joined_run(out, chosen, is_pretrained, resume=resume, deterministic=exactly) as world:
        if world is None:
            return _finished(out)
        return _Run(recipe, out, chosen, world, annotate).run(resume, observers)


@dataclass(frozen=True)
class _Run:
    """One pre-training."""

    recipe: PretrainingRecipe
    out: Path
    device: torch.device
    world: World
    annotate: Annotator | None

    def run(self, resume: bool, observers: Sequence[Observer]) -> TrainingResult:
        """From text to the folder."""
        begun, earlier = time.monotonic(), 0.0
        notes: list[str] = []
        settings, source = (
            self.recipe.training,
            prepared(self.recipe, self.out, self.world, self.annotate, notes.append),
        )
        recipe = source.recipe
        hold_to(recipe.to_dict() | {"run": {"corpus": source.corpus.fingerprint}}, self.out, resume, self.world)
        learner = source.learner(notes.append)
        judge = HeldOut(
            learner, source.held_out(), source.reading,
            world=self.world, device=self.device, precision=settings.precision,
        )  # fmt: skip
        watching = list(observers) if self.world.is_main else []
        if self.world.is_main and settings.tensorboard:
            watching.append(TensorBoard(self.out))
        loop = Loop(
            learner,
            source.source,
            judge if judge.has_text else None,
            settings,
            folder=self.out,
            device=self.device,
            world=self.world,
            observers=watching,
        )
        if resume and loop.resume():
            earlier = loop.state.seconds
        loop.keeps_last = True
        steps = loop.run().step
        learner = cast(Pretraining, loop.learner)
        seconds = earlier + time.monotonic() - begun
        result = TrainingResult(
            model=self.out,
            task=PRETRAIN,
            parameters=sum(parameter.numel() for parameter in learner.parameters()),
            steps=steps,
            seconds=seconds,
            dev=judge.measure(learner),
            test={},
            notes=notes,
        )
        if self.world.is_main:
            self._save(source, learner.to("cpu"), result, loop)
        self.world.barrier()
        return result

    def _save(self, source: Prepared, learner: Pretraining, result: TrainingResult, loop: Loop) -> None:
        corpus = source.corpus
        metrics = result.to_dict() | {
            "corpus": corpus.fingerprint,
            "best_step": loop.state.best_step,
            "seconds_waited_for_data": round(loop.seconds_waited, 3),
        }
        card = pretraining_card(source.recipe, corpus, learner, metrics)

        def save(folder: Path) -> None:
            save_pretrained(
                folder,
                learner,
                source.tokenizer,
                recipe=source.recipe.to_dict(),
                metrics=metrics,
                card=card,
                max_length=source.recipe.corpus.longest,
            )

        if loop.last is not None:
            best = {name: weight.clone() for name, weight in learner.state_dict().items()}
            learner.load_state_dict(dict(loop.last))
            save(self.out / LAST)
            learner.load_state_dict(best)
        save(self.out)
        let_go(self.out)


def _finished(out: Path) -> TrainingResult:
    """What a finished run had come to."""
    metrics = read_json_object(out / METRICS)
    known = {name: metrics[name] for name in ("task", "parameters", "steps", "seconds", "dev", "test", "notes")}
    return TrainingResult(model=out, **known)
