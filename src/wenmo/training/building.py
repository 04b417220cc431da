"""From settings to a task with its first weights."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.folder import ModelFolder, windows_for
from wenmo.models.config import ModelConfig
from wenmo.models.registry import build_model, with_sizes
from wenmo.models.stacked import StackedConfig
from wenmo.tasks.tag_sets import choose_word_segmenter
from wenmo.tasks.tagging import TaggingConfig
from wenmo.tasks.task import Task
from wenmo.text.loading import AnyTokenizer
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.tokenizer_config import PRETRAINED
from wenmo.text.tokenizers import Tokenizer
from wenmo.text.vectors import Coverage, WordVectors, initial_embeddings, read_vectors
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe, checkpoint_place, located, refuse_unable
from wenmo.training.starting import load_start, new_tokens, start_head, tokenizer_of_checkpoint


def with_labels(recipe: Recipe, corpus: Corpus, before: ModelFolder | None) -> Recipe:
    """The recipe with what the data tells its task: labels, behind those of the model that a run goes on from.

    Raises:
        InputError: nothing can be learnt from the data.
    """
    refuse_unable(type(recipe.model), recipe.task.task)
    if recipe.features:
        refuse_unable(type(recipe.features.model), recipe.task.task)
    if getattr(recipe.model, "character_features", "none") != "none" and recipe.task.task != "tag":
        raise InputError("model.character_features is for taggers; leave it out")
    known = before.task.config if before else None
    if known is not None and known.task != recipe.task.task:
        raise InputError(f"with --from, the task is that of the model, {known.task}, not {recipe.task.task}")
    task = recipe.task.settled(corpus.train, recipe.extractor, known, recipe.data.train)
    if isinstance(task, TaggingConfig) and recipe.data.tokenizer.segmenter == PRETRAINED and not task.word_segmenter:
        task = replace(task, word_segmenter=choose_word_segmenter(corpus.train))
    return recipe.model_copy(update={"task": task})


def train_tokenizer(recipe: Recipe, rows: Sequence[Row]) -> AnyTokenizer:
    """The tokenizer of the checkpoint that a run starts from, or of these texts and, where wanted, the word vectors."""
    marked = getattr(recipe.task, "markers", False)
    if (recipe.checkpoint or (recipe.features and not marked)) and not recipe.extractor.reads_bytes:
        found = tokenizer_of_checkpoint(checkpoint_place(recipe.pretrained), recipe.data.tokenizer)
        if marked and not isinstance(found, PretrainedTokenizer):
            raise InputError("task.markers: this checkpoint's tokenizer has no room for new tokens; leave it out")
        return found.with_markers() if marked and isinstance(found, PretrainedTokenizer) else found
    if marked:
        raise InputError("task.markers: they are put around the texts of a checkpoint; name one, or leave it out")
    settings, by_bytes = recipe.data.tokenizer, recipe.extractor.reads_bytes
    if settings.word_bytes and not by_bytes:
        kind = recipe.model.model_type
        raise InputError(f"data.tokenizer.word_bytes: a {kind} model does not read words as their bytes; leave it out")
    tokenizer = recipe.task.make_tokenizer(rows, replace(settings, word_bytes=by_bytes))
    if not recipe.data.keep_vector_words:
        return tokenizer
    if not recipe.data.vectors:
        raise InputError("data.keep_vector_words: no vectors are named; give --vectors, or leave it out")
    if not isinstance(tokenizer, Tokenizer):
        raise InputError("data.keep_vector_words: vectors are of whole words, and these tokens are not; leave it out")
    return tokenizer.with_words(read_vectors(Path(located(recipe.data.vectors))).words)


def build_task(
    recipe: Recipe, rows: Sequence[Row], tokenizer: AnyTokenizer, before: ModelFolder | None
) -> tuple[Recipe, Task, Coverage | None]:
    """The task with its first weights, the recipe with every size known, and how many words have given vectors.

    Raises:
        InputError: the word vectors do not fit the model, or the run goes on from another one than is described.
    """
    if before is None:
        vectors = _read_vectors(recipe, tokenizer)
    else:
        _refuse_another_model(recipe, tokenizer)
        vectors = None
    wanted = recipe.task
    config = with_sizes(
        recipe.extractor,
        _vocab_size(recipe, tokenizer),
        wanted.num_labels,
        compares=wanted.compares,
        num_characters=wanted.num_characters,
    )
    config = replace(config, **_sizes_of_vectors(recipe, vectors))
    data = recipe.data.model_copy(update={"tokenizer": tokenizer.config})
    own = config.top if isinstance(config, StackedConfig) else config
    recipe = recipe.model_copy(update={"model": own, "data": data})
    task = wanted.build(build_model(config), config, windows_for(recipe.data.model_dump(), tokenizer))
    task.take_tokenizer(tokenizer)
    task.initialize(torch.Generator().manual_seed(recipe.training.seed))
    if recipe.checkpoint:
        place = checkpoint_place(recipe.checkpoint)
        load_start(
            task.extractor,
            config,
            place,
            new_layers=recipe.training.reinitialize_layers,
            new_tokens=new_tokens(place, tokenizer),
        )
        start_head(task, recipe.training.seed)
    if recipe.features and before is None:
        frozen = cast(nn.Module, task.extractor.frozen)
        load_start(frozen, recipe.features.model, checkpoint_place(recipe.features.checkpoint))
    coverage = None
    if vectors is not None:
        counts = Counter(token for text in recipe.task.texts(rows) for token in tokenizer.tokenize(text))
        matrix, _, coverage = initial_embeddings(
            tokenizer.vocabulary, vectors, vectors.matrix.shape[1], seed=recipe.training.seed, token_counts=counts
        )
        task.extractor.embeddings.load_vectors(torch.from_numpy(matrix))  # type: ignore[union-attr, operator]
    if before is not None:
        task.take_over(before.task)
    return recipe, task, coverage


def _vocab_size(recipe: Recipe, tokenizer: AnyTokenizer) -> int:
    """Ids that the model has vectors for: those of the tokenizer, or the whole table of a checkpoint."""
    wanted = recipe.task.vocab_size(tokenizer)
    if not isinstance(tokenizer, PretrainedTokenizer):
        return wanted
    place, size = recipe.pretrained or "the model", recipe.extractor.vocab_size
    if getattr(recipe.task, "markers", False):  # which stand behind the vocabulary
        size = max(size, tokenizer.vocab_size)
    tokenizer.check_fits(size, place)
    if wanted > size:
        raise InputError(
            f"{place}: texts are asked for by labels, for which a checkpoint has no vectors; bring texts without labels"
        )
    return size


def _sizes_of_vectors(recipe: Recipe, vectors: WordVectors | None) -> dict[str, Any]:
    """The fields of the model that follow the word vectors."""
    sizes: dict[str, Any] = {}
    if vectors is not None:
        width, asked = vectors.matrix.shape[1], getattr(recipe.model, "embedding_size", 0)
        if asked not in (width, _default(recipe.model, "embedding_size")):
            raise InputError(
                f"{recipe.data.vectors}: its vectors have {width} numbers, but model.embedding_size is {asked}; "
                f"leave the size out, or bring other vectors"
            )
        sizes["embedding_size"] = width
        if getattr(recipe.model, "channels", "") == "rand":
            sizes["channels"] = "non-static"
    return sizes


def _read_vectors(recipe: Recipe, tokenizer: AnyTokenizer) -> WordVectors | None:
    channels = getattr(recipe.model, "channels", None)
    if recipe.data.vectors and channels is None:
        kind = recipe.model.model_type
        raise InputError(f"{recipe.data.vectors}: a {kind} model takes no word vectors; leave them out")
    if not recipe.data.vectors:
        if channels not in (None, "rand"):
            raise InputError(f"model.channels={channels!r} needs word vectors; name a file with --vectors")
        return None
    return read_vectors(Path(located(recipe.data.vectors)), wanted=set(tokenizer.vocabulary))


def _refuse_another_model(recipe: Recipe, tokenizer: AnyTokenizer) -> None:
    """A run that goes on reads texts as the model did before."""
    if recipe.checkpoint:
        raise InputError(f"{recipe.checkpoint}: with --from, the run goes on from that model; leave the checkpoint out")
    if recipe.data.vectors:
        raise InputError(f"{recipe.data.vectors}: with --from, the word vectors are the model's own; leave them out")
    if recipe.data.tokenizer != tokenizer.config:
        raise InputError("data.tokenizer: with --from, the tokenizer is the model's own; leave it out")


def _default(config: ModelConfig, name: str) -> Any:
    return next((f.default for f in fields(config) if f.name == name and f.default is not MISSING), None)
