"""From settings to a task with its first weights."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import torch

from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.models.config import ModelConfig
from wenmo.models.registry import build_model, with_sizes
from wenmo.models.windows import windows_of
from wenmo.tasks.classification import Classification, find_labels
from wenmo.tasks.pairs import Pair, resolved_pair, single_texts
from wenmo.text.tokenizers import Tokenizer
from wenmo.text.vectors import Coverage, WordVectors, initial_embeddings, read_vectors
from wenmo.training.corpus import Corpus, located
from wenmo.training.recipe import Recipe


def with_labels(recipe: Recipe, corpus: Corpus, before: ModelFolder | None) -> Recipe:
    """The recipe with what the data tells: the labels, behind those of the model that the run goes on from, and pairs.

    Raises:
        InputError: there is only one label, or none; some rows are pairs and others are not.
    """
    found, several = find_labels(corpus.train)
    known = before.task.config.labels if before else recipe.task.labels
    if not known and not found:
        raise InputError(f"{recipe.data.train}: no row has a label; a classifier needs some to learn")
    if not known and len(found) < 2 and not several:
        raise InputError(f"{recipe.data.train}: every row has the label {found[0]!r}; a classifier needs two")
    if before and recipe.task.hierarchy_separator != before.task.config.hierarchy_separator:
        raise InputError("task.hierarchy_separator: with --from, it is the model's own; leave it out")
    if recipe.task.hierarchy_separator and several:
        raise InputError(
            f"{recipe.data.train}: rows have several labels, and task.hierarchy_separator is for one; leave it out"
        )
    new = tuple(label for label in found if label not in known)
    labels = (*known, *new) if before or not known else known
    pair = _pair(recipe, corpus.train, before)
    task = replace(recipe.task, labels=labels, multi_label=recipe.task.multi_label or several, pair=pair)
    return recipe.model_copy(update={"task": task})


def train_tokenizer(recipe: Recipe, rows: Sequence[Row]) -> Tokenizer:
    """The tokenizer of these texts, with a separator where pairs are joined."""
    config = recipe.data.tokenizer
    if recipe.task.pair == "joined":
        config = replace(config, separator=True)
    return Tokenizer.train(single_texts(rows), config)


def _pair(recipe: Recipe, rows: Sequence[Row], before: ModelFolder | None) -> Pair:
    are_pairs = any(row.text_b is not None for row in rows)
    asked = recipe.task.pair if before is None or are_pairs else "none"  # with --from, nobody asked for it here
    pair = resolved_pair(asked, rows, recipe.model.pair)
    if before is not None and pair != before.task.config.pair:
        raise InputError(
            f"{recipe.data.train}: with --from, texts are read as before, task.pair={before.task.config.pair}, "
            f"and here it would be {pair}; bring data of the same kind, or train anew"
        )
    return pair


def build_task(
    recipe: Recipe, rows: Sequence[Row], tokenizer: Tokenizer, before: ModelFolder | None
) -> tuple[Recipe, Classification, Coverage | None]:
    """The task with its first weights, the recipe with every size known, and how many words have given vectors.

    Raises:
        InputError: the word vectors do not fit the model, or the run goes on from another one than is described.
    """
    if before is None:
        vectors = _read_vectors(recipe, tokenizer)
    else:
        _refuse_another_model(recipe, tokenizer)
        vectors = None
    compares = recipe.task.pair == "siamese"
    config = with_sizes(recipe.model, tokenizer.vocab_size, len(recipe.task.labels), compares=compares)
    config = replace(config, **_sizes_of_vectors(recipe, vectors))
    data = recipe.data.model_copy(update={"tokenizer": tokenizer.config})
    recipe = recipe.model_copy(update={"model": config, "data": data})
    task = Classification(build_model(config), config, recipe.task)
    task.windows = windows_of(recipe.data.model_dump())
    task.initialize(torch.Generator().manual_seed(recipe.training.seed))
    coverage = None
    if vectors is not None:
        counts = Counter(token for text in single_texts(rows) for token in tokenizer.tokenize(text))
        matrix, _, coverage = initial_embeddings(
            tokenizer.vocabulary, vectors, vectors.matrix.shape[1], seed=recipe.training.seed, token_counts=counts
        )
        task.extractor.embeddings.load_vectors(torch.from_numpy(matrix))  # type: ignore[union-attr, operator]
    if before is not None:
        _take_over(task, before)
    return recipe, task, coverage


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


def _read_vectors(recipe: Recipe, tokenizer: Tokenizer) -> WordVectors | None:
    channels = getattr(recipe.model, "channels", None)
    if recipe.data.vectors and channels is None:
        kind = recipe.model.model_type
        raise InputError(f"{recipe.data.vectors}: a {kind} model takes no word vectors; leave them out")
    if not recipe.data.vectors:
        if channels not in (None, "rand"):
            raise InputError(f"model.channels={channels!r} needs word vectors; name a file with --vectors")
        return None
    return read_vectors(Path(located(recipe.data.vectors)), wanted=set(tokenizer.vocabulary))


def _refuse_another_model(recipe: Recipe, tokenizer: Tokenizer) -> None:
    """A run that goes on reads texts as the model did before."""
    if recipe.data.vectors:
        raise InputError(f"{recipe.data.vectors}: with --from, the word vectors are the model's own; leave them out")
    if recipe.data.tokenizer != tokenizer.config:
        raise InputError("data.tokenizer: with --from, the tokenizer is the model's own; leave it out")


@torch.no_grad()
def _take_over(task: Classification, before: ModelFolder) -> None:
    """The weights of an earlier model; of its head, the rows of the labels or nodes it knew."""
    try:
        task.extractor.load_state_dict(before.task.extractor.state_dict())
    except RuntimeError as error:
        raise InputError("with --from, the sizes of the model are those of its folder; leave model.* out") from error
    places = [task.outputs.index(name) for name in before.task.outputs]
    task.classifier.weight[places] = before.task.classifier.weight
    task.classifier.bias[places] = before.task.classifier.bias


def _default(config: ModelConfig, name: str) -> Any:
    return next((f.default for f in fields(config) if f.name == name and f.default is not MISSING), None)
