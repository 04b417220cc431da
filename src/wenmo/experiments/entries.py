"""What stands in a comparison: an entry for each model with its row, the folds, and the data described."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from wenmo.data.splits import folds as make_folds
from wenmo.data.splits import split_rows
from wenmo.experiments.judging import Judged
from wenmo.tasks.labels import find_labels
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe

_LONGEST_NAME = 80
"""Characters of a folder's name."""


@dataclass
class Entry:
    """One model of a comparison: its runs, and what was measured."""

    model: str
    recipe: Recipe
    row: dict[str, Any]
    judged: Judged | None = None
    values: list[float] = field(default_factory=list)

    @property
    def lower_is_better(self) -> bool:
        """Whether the best model has the smallest value."""
        return self.judged is not None and self.judged.task.lower_is_better

    @property
    def failed(self) -> bool:
        """Whether there is nothing to compare."""
        return self.row["failed"] is not None


def folder_names(models: Iterable[str]) -> dict[str, str]:
    """Of each model, which may be named by a checkpoint's folder, a name that no other has and any disk takes."""
    names: dict[str, str] = {}
    for model in models:
        plain = re.sub(r"[^\w.-]+", "-", model).strip("-.")[-_LONGEST_NAME:] or "model"
        number = next(n for n in count() if (plain if n == 0 else f"{plain}-{n}") not in names.values())
        names[model] = f"{plain}-{number}" if number else plain
    return names


def empty_row(name: str, recipe: Recipe, folder: str, epochs: float) -> dict[str, Any]:
    """A model before it was trained: every value that a row has, unknown."""
    names = ("value", "low", "high", "spread", "paired_p", "parameters", "bytes", "train_seconds")
    speeds = ("latency_ms_p50", "latency_ms_p95", "texts_per_second")
    return {
        "model": name,
        "folder": folder,
        "metric": recipe.task.metric,
        **dict.fromkeys((*names, *speeds)),
        "values": [],
        "curve": [],
        "epochs": epochs,
        "tied_with_best": False,
        "pareto": False,
        "too_large": False,
        "failed": None,
        "is_linear": recipe.model.fitting == "convex",
    }


def fold_parts(corpus: Corpus, num_folds: int, recipe: Recipe) -> list[Corpus]:
    """Each fold with the fold held out as its test, and a share of the rest as its dev."""
    rows = [*corpus.train, *corpus.dev]
    parts = []
    for train, held_out in make_folds(rows, num_folds, seed=recipe.data.split_seed):
        inside = [rows[i] for i in train]
        share, everything = recipe.data.dev_share, list(range(len(inside)))
        kept, dev = split_rows(inside, [1 - share, share], seed=recipe.data.split_seed) if share else (everything, [])
        parts.append(
            Corpus(
                train=[inside[i] for i in kept],
                dev=[inside[i] for i in dev],
                test=[rows[i] for i in held_out],
                notes=corpus.notes,
            )
        )
    return parts


def curve(path: Path, metric: str) -> list[dict[str, float]]:
    """The looks at dev of a run, out of its log; none where it wrote none."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {"step": x["step"], "epoch": x["epoch"], "seconds": x["seconds"], "loss": x["loss"], "dev": x[f"dev_{metric}"]}
        for x in lines
        if f"dev_{metric}" in x
    ]


def describe(corpus: Corpus, recipe: Recipe) -> dict[str, Any]:
    """The data of a comparison, as its page tells of it."""
    parts = {"train": corpus.train, "dev": corpus.dev, "test": corpus.test}
    labels, _ = find_labels(corpus.train)
    counts: dict[str, dict[str, int]] = {}
    for name, rows in parts.items():
        counts[name] = dict.fromkeys(labels, 0)
        for row in rows:
            for label in row.label if isinstance(row.label, tuple) else (row.label,):
                if label is not None:
                    counts[name][label] = counts[name].get(label, 0) + 1
    lengths = sorted(len(row.text) + len(row.text_b or "") for row in corpus.train)
    return {
        "sources": {name: getattr(recipe.data, name) or None for name in parts},
        "sha256": corpus.digest(),
        "task": recipe.task.task,
        "pairs": corpus.train[0].text_b is not None,
        "labels": list(labels),
        "sizes": {name: len(rows) for name, rows in parts.items()},
        "label_counts": counts,
        "notes": corpus.notes,
        "character_lengths": {
            "p50": lengths[len(lengths) // 2],
            "p95": lengths[int(0.95 * (len(lengths) - 1))],
            "max": lengths[-1],
        },
    }
