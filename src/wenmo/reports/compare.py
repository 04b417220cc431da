"""Compare models on one data set and write the page about it: the verb ``compare``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wenmo.experiments.compare import Comparison, Watcher
from wenmo.reports.comparison import write_comparison_report
from wenmo.training.fitting import without_what_cannot_apply
from wenmo.training.progress import Observer
from wenmo.training.recipe import Recipe


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison came to."""

    values: dict[str, Any]
    out: Path

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.out / str(self.values["report"])

    @property
    def winner(self) -> Path:
        """The folder to use."""
        return self.out / str(self.values["winner_folder"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return self.values | {"report": str(self.report), "winner_folder": str(self.winner)}


class Unwatched:
    """A watcher that says nothing."""

    def planned(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """See `Watcher`."""

    def row(self, row: Mapping[str, Any]) -> None:
        """See `Watcher`."""

    def message(self, text: str) -> None:
        """See `Watcher`."""

    def training(self, model: str, seed: int) -> Observer | None:
        """See `Watcher`."""
        return None


def compare(
    data: str | Path,
    *,
    out: str | Path,
    models: Sequence[str] = ("textcnn", "bag"),
    dev: str | Path | None = None,
    test: str | Path | None = None,
    seeds: int = 1,
    folds: int | None = None,
    budget: str | float | None = None,
    max_size: str | float | None = None,
    no_texts: bool = False,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    vectors: str | Path | None = None,
    task: str | None = None,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    hierarchy_separator: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    encoding: str | None = None,
    resume: bool = False,
    device: str = "",
    watcher: Watcher | None = None,
) -> ComparisonResult:
    """Train every model on the same texts, choose on dev, score the winner once on test, and write the report.

    Args:
        data: the labelled texts; what ``dev`` and ``test`` do not give is a share of them, a tenth each.
        models: names from `wenmo.list_models`, folders of checkpoints, or both, ``bert:FOLDER``; the linear baselines
            are always among them.
        seeds: trainings of each network, to see how much chance is in them.
        folds: cross-validation in place of one dev part.
        budget: time for training all networks, like ``"10m"``; epochs, then sizes, follow it.
        max_size: no larger model wins, like ``"20MB"``.
        task: what is to be learnt, such as ``classify``; left out: read off the data.
        hierarchy_separator: what stands between the levels of a label; left out: labels have no levels.
        no_texts: the report shows no text of the data.

    Raises:
        InputError: the data or the settings cannot work, or the folder is taken.
        JobError: no model could be trained, or the disk is full.
    """
    shared: dict[str, Any] = {
        "data": {
            "train": str(data),
            "dev": str(dev) if dev else None,
            "test": str(test) if test else None,
            "vectors": str(vectors) if vectors else None,
            "text_column": text_column,
            "text_b_column": text_b_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "group_column": group_column,
            "time_column": time_column,
            "encoding": encoding,
        },
        "task": {"task": task, "hierarchy_separator": hierarchy_separator},
        "training": {"seed": seed},
    }
    below, file = {"data": {"test_share": 0.1}}, Path(recipe) if recipe else None
    baselines = Recipe.build(model=[*models, "tfidf"][0], below=below, file=file, values=shared).task.baselines
    names = list(dict.fromkeys([*baselines, *models]))
    recipes = {}
    for name in names:
        plain = Recipe.build(model=name, below=below, file=file, values=shared)
        fitting = [override for override in overrides if _holds_for(plain, override)]
        recipes[name] = Recipe.build(model=name, below=below, file=file, values=shared, overrides=fitting)
        recipes[name] = without_what_cannot_apply(recipes[name])
        if not hasattr(plain.model, "channels"):  # it takes no word vectors
            without = recipes[name].data.model_copy(update={"vectors": ""})
            recipes[name] = recipes[name].model_copy(update={"data": without})
    comparison = Comparison(
        recipes,
        Path(out),
        seeds=seeds,
        num_folds=folds,
        budget=budget,
        max_size=max_size,
        no_texts=no_texts,
        resume=resume,
        device=device,
        watcher=watcher or Unwatched(),
    )
    result = ComparisonResult(comparison.run(), Path(out))
    write_comparison_report(result.values, result.report, no_texts=no_texts)
    return result


def _holds_for(recipe: Recipe, override: str) -> bool:
    """An override of a model's field holds for the models that have it; a checkpoint brings sizes and tokenizer."""
    path = override.partition("=")[0].strip()
    section, _, field = path.partition(".")
    if recipe.pretrained and path.startswith("data.tokenizer"):
        return False
    if section == "features":
        return recipe.features is not None
    return section != "model" or (hasattr(recipe.model, field) and (not recipe.checkpoint or field.endswith("_prob")))
