"""What a pre-training learns from: its corpus with a tokenizer, the tasks over it, and the model with its heads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wenmo.data.encoding import Tell
from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.models.registry import build_model
from wenmo.pretraining.catalogue import CorpusFacts, work_for
from wenmo.pretraining.corpus import TOKENIZER, Corpus, make_corpus
from wenmo.pretraining.documents import DocumentKind
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard
from wenmo.pretraining.source import (
    CorpusSource,
    Lengths,
    Names,
    Planned,
    PretrainingTask,
    Reading,
    Staged,
    held_out_batches,
)
from wenmo.pretraining.vocabulary import train_corpus_tokenizer
from wenmo.text.loading import AnyTokenizer, load_tokenizer
from wenmo.text.spans import Annotator
from wenmo.text.special_tokens import Surroundings
from wenmo.text.tokenizer_config import has_settings
from wenmo.training.distribution import World
from wenmo.training.handover import load_heads, refuse_unwritable
from wenmo.training.pretraining_recipe import PretrainingRecipe
from wenmo.training.pretraining_schedule import corpus_facts, schedule_of
from wenmo.training.recipe import checkpoint_place, located
from wenmo.training.starting import load_start, tokenizer_of_checkpoint, tokenizer_settings_of

_KINDS: dict[str, DocumentKind] = {"dialogue_lm": "dialogue", "ir_relevance": "query"}
"""Of the shards that an objective is learnt from, where it is not running text."""


@dataclass(frozen=True)
class ShardsOf:
    """The shards of a corpus that are of one kind."""

    corpus: Corpus
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Shard:
        return self.corpus.shard(self.numbers[number])


@dataclass(frozen=True)
class Prepared:
    """A pre-training whose corpus is there."""

    recipe: PretrainingRecipe
    """With every size known."""
    corpus: Corpus
    tokenizer: AnyTokenizer
    reading: Reading
    tasks: dict[Staged, PretrainingTask]

    @property
    def source(self) -> CorpusSource:
        """What the loop learns from."""
        assert self.recipe.schedule is not None, "a recipe whose corpus is there has a table"
        return CorpusSource(self.tasks, self.recipe.schedule, self.reading)

    def held_out(self) -> list[Planned]:
        """Sequences of text that is not learnt from, of every task; none where there is no such text."""
        found = []
        seen: set[str] = set()
        # Each objective once, as the last stage has it.
        for (_, names), task in sorted(self.tasks.items(), key=lambda item: (-len(item[0][1]), -item[0][0])):
            shard = None if seen >= set(names) else self.corpus.held_out(_kind_of(names))
            if shard is not None:
                seen |= set(names)
                found += held_out_batches(task, shard, self.reading, self.recipe.corpus.held_out_sequences)
        return found

    def learner(self, tell: Tell) -> Pretraining:
        """The model with its heads and first weights: random ones, or those of a checkpoint."""
        recipe = self.recipe
        objectives = {each.name: each for task in self.tasks.values() for each in task.objectives}
        learner = Pretraining(build_model(recipe.model), recipe.model, list(objectives.values()))
        learner.initialize(torch.Generator().manual_seed(recipe.training.seed))
        if recipe.checkpoint:
            place = checkpoint_place(recipe.checkpoint)
            load_start(learner.extractor, recipe.model, place)
            new = load_heads(learner, place)
            if new:
                tell(f"{recipe.checkpoint}: it has no head for {', '.join(new)}, which begins anew")
        return learner


def prepared(recipe: PretrainingRecipe, out: Path, world: World, annotate: Annotator | None, tell: Tell) -> Prepared:
    """Make the corpus, or open it where it is there; the first process makes it and the others wait.

    Raises:
        InputError: the text cannot be read, or there is nothing to be learnt from it; the corpus is another one than
            the run was begun with; states shall be carried where they cannot.
        JobError: the disk is full, or a process that made it died.
    """
    _refuse_carried(recipe, world)
    folder = Path(recipe.corpus.folder).expanduser() if recipe.corpus.folder else out / "corpus"
    if world.is_main:
        _make(recipe, folder, annotate, tell)
    world.barrier()
    corpus = Corpus.open(folder)
    tokenizer = corpus.tokenizer()
    config = replace(recipe.model, vocab_size=_vocab_size(recipe, tokenizer))
    refuse_unwritable(config)
    schedule = schedule_of(recipe, corpus, tokenizer, tell)
    recipe = recipe.model_copy(update={"model": config, "schedule": schedule})
    together = dict.fromkeys((schedule.stage(update), schedule.names(update)) for update in range(schedule.total))
    facts = corpus_facts(tokenizer)
    tasks = {(stage, names): _task(names, stage, recipe, corpus, facts) for stage, names in together}
    return Prepared(recipe, corpus, tokenizer, _reading(recipe, tokenizer), tasks)


def _refuse_carried(recipe: PretrainingRecipe, world: World) -> None:
    if getattr(recipe.model, "stateful", False):
        raise InputError(
            "model.stateful is for a model that answers; to carry states from sentence to sentence in training, say "
            "objectives.streams=128 (rows of a batch) and model.stateful=false"
        )
    if recipe.objectives.streams and world.size > 1:
        raise InputError(
            f"objectives.streams: states that go on from batch to batch live on one process, and this run has "
            f"{world.size}; run it on one, or set objectives.streams=0"
        )


def _make(recipe: PretrainingRecipe, folder: Path, annotate: Annotator | None, tell: Tell) -> None:
    section = recipe.corpus
    sources = [located(source) for source in section.sources]
    if not sources:
        if not (folder / TOKENIZER).is_dir():
            raise InputError("no text is named; give files, for example wenmo pretrain books.txt, or corpus.folder")
        return  # a corpus that was made before, whose sources need not be there any more
    tokenizer = _tokenizer(recipe, sources, folder, tell)
    make_corpus(sources, folder, tokenizer, section.settings, annotate, section.workers, tell)


def _tokenizer(recipe: PretrainingRecipe, sources: Sequence[str], folder: Path, tell: Tell) -> AnyTokenizer:
    """That of the model to go on from, the one that the corpus was begun with, or a new one."""
    if recipe.checkpoint:
        place = checkpoint_place(recipe.checkpoint)
        return tokenizer_of_checkpoint(place, tokenizer_settings_of(place))
    if has_settings(folder / TOKENIZER):
        return load_tokenizer(folder / TOKENIZER)
    section = recipe.corpus
    tokenizer = train_corpus_tokenizer(sources, section.settings, section.tokenizer, tell=tell)
    tokenizer.save(folder / TOKENIZER)
    return tokenizer


def _vocab_size(recipe: PretrainingRecipe, tokenizer: AnyTokenizer) -> int:
    """That of the tokenizer; a checkpoint's table stays as it is."""
    if not recipe.checkpoint or recipe.model.reads_bytes:
        return tokenizer.vocab_size
    known = recipe.model.vocab_size
    if tokenizer.vocab_size > known:
        raise InputError(
            f"{recipe.checkpoint}: the corpus was made with {tokenizer.vocab_size:,} tokens and the model knows "
            f"{known:,}; make the corpus in a folder of its own"
        )
    return known


def _task(names: Names, stage: int, recipe: PretrainingRecipe, corpus: Corpus, facts: CorpusFacts) -> PretrainingTask:
    """What an update is for.

    Raises:
        InputError: the corpus has no text for it.
    """
    work = work_for(names, recipe.objectives, facts, stage)
    kind = _kind_of(names)
    numbers = tuple(number for number, shard in enumerate(corpus.shards) if shard.kind == kind)
    if not numbers:
        raise InputError(f"{names[0]}: the corpus has no {_NEEDED[kind]}; bring some, or leave the objective out")
    if "next_sentence" in names and not corpus.connected_documents:
        raise InputError(
            "next_sentence: every document is one sentence, so that none follows another; part documents by blank "
            f"lines, or train on masked words alone: -o schedule.masked_lm={recipe.training.max_steps}"
        )
    return PretrainingTask("+".join(names), work.cutter, work.objectives, ShardsOf(corpus, numbers))


_NEEDED = {"text": "running text", "dialogue": "dialogues (*.dialogues.txt)", "query": "queries with titles"}


def _kind_of(names: Names) -> DocumentKind:
    return next((_KINDS[name] for name in names if name in _KINDS), "text")


def _reading(recipe: PretrainingRecipe, tokenizer: AnyTokenizer) -> Reading:
    section, training = recipe.corpus, recipe.training
    return Reading(
        frame=_frame(recipe.model, tokenizer),
        lengths=Lengths(length=section.length, long_length=section.long_length, long_share=section.long_share),
        batch_size=training.batch_size,
        batch_tokens=training.batch_tokens,
        bucket=50,
        seed=training.seed,
        accumulation_steps=training.accumulation_steps,
        padding_id=max(0, tokenizer.pad_token_id),
        num_tasks=getattr(recipe.model, "task_type_vocab_size", 0),
        window=section.window,
        duplicates=recipe.objectives.duplicates,
    )


def _frame(config: ModelConfig, tokenizer: AnyTokenizer) -> Frame:
    """What stands around the parts of a sequence: what will stand around texts later, or between those of a stream."""
    if config.reads_bytes:
        return Frame()
    around: Surroundings = tokenizer.surroundings(pair=True)
    if "generate" not in config.tasks:
        return Frame.of(around, getattr(config, "type_vocab_size", 0))
    ends = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return Frame(before=around.before, between=() if ends is None else (ends,))
