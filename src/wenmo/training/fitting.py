"""Which settings belong to which way of finding the weights."""

from typing import Any

from wenmo.errors import InputError
from wenmo.tasks.classification import ClassificationConfig
from wenmo.tasks.pairs import AS_ONE_TEXT
from wenmo.training.recipe import Recipe
from wenmo.training.settings import TrainingSettings

_OF_THE_LOOP = {
    "task.loss": "fits its own convex loss",
    "task.label_smoothing": "is fitted on whole labels",
    "training.sampling": "is fitted on all texts at once; task.class_weights=balanced has the same end",
}
"""Settings that a convex fit has no place for, and what a linear model does instead."""


def refuse_what_cannot_apply(recipe: Recipe) -> None:
    """Say what asks for the impossible before anything is computed.

    Raises:
        InputError: a setting cannot apply to the model, or two settings would correct the same thing twice.
    """
    task = recipe.task
    if recipe.training.reinitialize_layers and not recipe.checkpoint:
        raise InputError(
            f"training.reinitialize_layers={recipe.training.reinitialize_layers}: layers start anew where the others "
            "come from a checkpoint; name one, as --model bert:FOLDER, or leave it out"
        )
    _refuse_for_language(recipe)
    if not isinstance(task, ClassificationConfig):
        if recipe.training.sampling == "balanced":
            raise InputError("training.sampling=balanced is for texts with a label; leave it out")
        return
    balanced = task.class_weights == "balanced"
    if balanced and recipe.training.sampling == "balanced":
        raise InputError(
            "task.class_weights=balanced and training.sampling=balanced each make all labels count the same; together "
            "the rare ones would count most. Set one of them"
        )
    if task.pair in AS_ONE_TEXT and recipe.data.max_length and recipe.data.long_texts != "head":
        raise InputError(
            f"data.long_texts={recipe.data.long_texts}: of texts that are joined the longer one gives way at its end; "
            "leave it out, or read them with task.pair=siamese"
        )
    if recipe.model.fitting != "convex":
        return
    for field, why in _OF_THE_LOOP.items():
        if (value := _value(recipe, field)) != _default(field):
            raise InputError(f"{field}={value}: a linear model {why}; leave it out, or choose a network")
    if recipe.data.max_length and recipe.data.long_texts != "head":
        raise InputError(
            f"data.long_texts={recipe.data.long_texts}: a linear model counts n-grams, which stand in no order that "
            "could be cut; set data.max_length=0, and it reads texts to their end"
        )


def _refuse_for_language(recipe: Recipe) -> None:
    """Refuse what only a language model can do, where the model is none."""
    kind = recipe.model.model_type
    lm_weight = getattr(recipe.task, "lm_weight", None)
    if getattr(recipe.task, "markers", False) and not recipe.model.causal:
        raise InputError(
            f"task.markers: a {kind} sees all tokens at each, and has special tokens of its own; leave it out"
        )
    if not lm_weight:
        return
    if not recipe.model.foretells:
        raise InputError(
            f"task.lm_weight={lm_weight:g}: this {kind} foretells nothing with the vectors of its words; leave it out"
        )
    if recipe.data.max_length and recipe.data.long_texts == "windows":
        raise InputError(
            f"task.lm_weight={lm_weight:g}: a text that is read in windows is not foretold; set task.lm_weight=0, "
            "or leave data.long_texts out"
        )


def without_what_cannot_apply(recipe: Recipe) -> Recipe:
    """The recipe of a linear baseline where the settings are meant for the networks beside it."""
    if recipe.model.fitting != "convex":
        return recipe
    values = recipe.to_dict()
    for field in _OF_THE_LOOP:
        section, name = field.split(".")
        values[section].pop(name, None)
    if recipe.data.long_texts != "head":  # the networks see more of a text than its first n-grams: so do these
        values["data"] |= {"max_length": 0, "long_texts": "head"}
    return Recipe.from_dict(values)


def _value(recipe: Recipe, field: str) -> Any:
    section, name = field.split(".")
    return getattr(getattr(recipe, section), name)


def _default(field: str) -> Any:
    section, name = field.split(".")
    return getattr({"task": ClassificationConfig(), "training": TrainingSettings()}[section], name)
