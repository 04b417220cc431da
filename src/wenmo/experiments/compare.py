"""The whole family on one data set: train each model, measure it, choose on dev, score the chosen one once on test."""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.data.rows import Row
from wenmo.data.splits import folds as make_folds
from wenmo.errors import InputError, JobError
from wenmo.experiments.budget import Plan, parse_bytes, parse_seconds, plan_network
from wenmo.experiments.choosing import choose, sentences
from wenmo.experiments.measuring import machine, measure_speed
from wenmo.folder import folder_bytes, load_folder, save_folder, wenmo_version, write_json
from wenmo.inference.predictor import load
from wenmo.tasks.classification import Classification, find_labels
from wenmo.tasks.metrics import confusion_matrix, mcnemar, mean_and_interval, pareto_front, per_class
from wenmo.training.building import with_labels
from wenmo.training.card import model_card
from wenmo.training.checkpointing import run_lock
from wenmo.training.corpus import Corpus, count_cut, encode, read_corpus
from wenmo.training.loop import answer_store
from wenmo.training.progress import Observer
from wenmo.training.recipe import Recipe
from wenmo.training.run import run

BASELINES = ("tfidf", "nbsvm")
"""Always among the models, and first: they answer in seconds."""
_NUM_HARDEST = 20
_TEXTS_TIMED = 2000


class Watcher(Protocol):
    """Who watches a comparison."""

    def planned(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """What each network will take: model, epochs, seconds; before it starts."""
        ...

    def row(self, row: Mapping[str, Any]) -> None:
        """A model is done."""
        ...

    def message(self, text: str) -> None:
        """Something a person should know."""
        ...

    def training(self, model: str, seed: int) -> Observer | None:
        """Who watches the training of one model."""
        ...


@dataclass
class Entry:
    """One model of a comparison: its runs, and what was measured."""

    model: str
    row: dict[str, Any]
    answers: NDArray[np.float32] | None = None
    """Of the run that stands for the model, on dev."""
    right: NDArray[np.bool_] | None = None
    values: list[float] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether there is nothing to compare."""
        return self.row["failed"] is not None


class Comparison:
    """Runs the models one after the other and keeps what came out."""

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        out: Path,
        *,
        seeds: int,
        num_folds: int | None,
        budget: str | float | None,
        max_size: str | float | None,
        no_texts: bool,
        resume: bool,
        device: str,
        watcher: Watcher,
    ) -> None:
        if seeds < 1 or (num_folds is not None and num_folds < 2):
            raise InputError("--seeds must be at least 1 and --folds at least 2")
        self._recipes, self._out, self._watcher = dict(recipes), out, watcher
        self._seeds, self._num_folds, self._no_texts, self._resume, self._device = (
            seeds,
            num_folds,
            no_texts,
            resume,
            device,
        )
        self._budget, self._max_size = parse_seconds(budget), parse_bytes(max_size)
        self._first = next(iter(recipes.values()))

    def run(self) -> dict[str, Any]:
        """Compare, choose, score on test once, and write ``winner/`` and ``comparison.json``."""
        if (self._out / "comparison.json").exists():
            if self._resume:
                finished: dict[str, Any] = json.loads((self._out / "comparison.json").read_text(encoding="utf-8"))
                return finished
            raise InputError(f"{self._out}: a comparison stands there already; choose another --out")
        with run_lock(self._out):
            corpus = read_corpus(self._first.data)
            with_labels(self._first, corpus, None)  # labels that no model can learn are said once, before any starts
            for note in corpus.notes:
                self._watcher.message(note)
            linear = {name: recipe for name, recipe in self._recipes.items() if recipe.model.fitting == "convex"}
            entries = [self._entry(name, Plan(recipe, 0, 0), corpus) for name, recipe in linear.items()]
            plans, impossible = self._plan(corpus)
            entries += [self._entry(name, plan, corpus) for name, plan in plans.items()]
            entries += impossible
            result = self._result(entries, corpus)
            write_json(self._out / "comparison.json", result)
            return result

    def _plan(self, corpus: Corpus) -> tuple[dict[str, Plan], list[Entry]]:
        """What each network will take, told before the first of them starts; and those that fail at once."""
        networks = {name: recipe for name, recipe in self._recipes.items() if recipe.model.fitting == "gradient"}
        repeats = self._seeds * (self._num_folds or 1)
        share = self._budget / (len(networks) * repeats) if self._budget and networks else None
        plans, impossible = {}, []
        kept = self._kept_plans() if self._resume else {}
        for name, recipe in networks.items():
            try:
                plans[name] = kept.get(name) or plan_network(recipe, corpus, share)
            except (InputError, JobError) as error:
                impossible.append(Entry(name, _empty_row(name, recipe, f"models/{name}", 0) | {"failed": str(error)}))
                self._watcher.row(impossible[-1].row)
        self._watcher.planned(
            [{"model": n, "epochs": plan.epochs, "seconds": plan.seconds * repeats} for n, plan in plans.items()]
        )
        described = {
            n: {"recipe": p.recipe.to_dict(), "epochs": p.epochs, "seconds": p.seconds} for n, p in plans.items()
        }
        write_json(self._out / "plan.json", described)
        return plans, impossible

    def _kept_plans(self) -> dict[str, Plan]:
        """What an interrupted comparison had planned: timed anew, it would come out a little different."""
        place = self._out / "plan.json"
        kept = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        return {n: Plan(Recipe.from_dict(p["recipe"]), p["epochs"], p["seconds"]) for n, p in kept.items()}

    def _entry(self, name: str, plan: Plan, corpus: Corpus) -> Entry:
        recipe = plan.recipe
        folder = self._out / "models" / name
        entry = Entry(name, _empty_row(name, recipe, f"models/{name}", plan.epochs))
        try:
            self._train_all(entry, recipe, corpus, folder)
        except (InputError, JobError) as error:
            entry.row["failed"] = str(error)
        self._watcher.row(entry.row)
        return entry

    def _train_all(self, entry: Entry, recipe: Recipe, corpus: Corpus, folder: Path) -> None:
        """Every seed, or every fold; the best seed on dev, or the first fold, stands for the model."""
        linear = recipe.model.fitting == "convex"
        parts = _fold_parts(corpus, self._num_folds, recipe) if self._num_folds else [corpus]
        seconds, found = [], []
        for fold, part in enumerate(parts):
            for seed in range(1 if linear else self._seeds):
                seeded = recipe.training.model_copy(update={"seed": recipe.training.seed + seed})
                place = folder if fold == seed == 0 else folder.with_name(f"{folder.name}-fold{fold}-seed{seed}")
                observer = self._watcher.training(entry.model, seed)
                result = run(
                    recipe.model_copy(update={"training": seeded}),
                    place,
                    corpus=Corpus(train=part.train, dev=part.dev, notes=part.notes),
                    resume=self._resume,
                    device=self._device,
                    observers=[observer] if observer else [],
                )
                held_out = part.test if self._num_folds else part.dev
                task, answers = _answers(place, held_out)
                gold = _gold(task, held_out, place)
                entry.values.append(task.score(gold, answers))
                seconds.append(result.seconds)
                found.append((place, task, gold, answers, result))
        self._summarize(entry, found, seconds, corpus)

    def _summarize(self, entry: Entry, found: list[Any], seconds: list[float], corpus: Corpus) -> None:
        best = 0 if self._num_folds else int(np.argmax(entry.values))
        place, task, gold, answers, result = found[best]
        metric = task.metric
        if len(entry.values) > 1:
            interval = mean_and_interval(entry.values)
            if not self._num_folds:
                # Seeds say how much training scatters, dev texts how much their choice does: the wider one is told.
                own = task.measure(gold, answers)[metric]
                half = max(interval["high"] - interval["low"], own["high"] - own["low"]) / 2
                interval = {
                    "value": interval["value"],
                    "low": interval["value"] - half,
                    "high": interval["value"] + half,
                }
        else:
            interval = task.measure(gold, answers)[metric]
        right = [t.is_right(g, a) for _, t, g, a, _ in found] if self._num_folds else [task.is_right(gold, answers)]
        entry.answers, entry.right = answers, np.concatenate(right)
        texts = [row.text for row in (corpus.dev or corpus.train)[:_TEXTS_TIMED]]
        speed = measure_speed(load(place, device=self._device), texts)
        entry.row |= {
            "folder": str(place.relative_to(self._out).as_posix()),
            "metric": metric,
            **{name: float(interval[name]) for name in ("value", "low", "high")},
            "values": entry.values,
            "spread": statistics.stdev(entry.values) if len(entry.values) > 1 else None,
            "parameters": result.parameters,
            "bytes": folder_bytes(place),
            "train_seconds": statistics.mean(seconds),
            "latency_ms_p50": speed.latency_ms_p50,
            "latency_ms_p95": speed.latency_ms_p95,
            "texts_per_second": speed.texts_per_second,
            "curve": _curve(place / "training.jsonl", metric),
        }

    def _result(self, entries: list[Entry], corpus: Corpus) -> dict[str, Any]:
        alive = [entry for entry in entries if not entry.failed]
        if not alive:
            raise JobError("no model could be trained: " + "; ".join(entry.row["failed"] for entry in entries))
        alive.sort(key=lambda entry: -entry.row["value"])
        for entry in alive:
            entry.row["too_large"] = bool(self._max_size) and entry.row["bytes"] > self._max_size
        best = next((entry for entry in alive if not entry.row["too_large"]), None)
        if best is None:
            raise InputError(
                f"no model is as small as --max-size; the smallest has {min(e.row['bytes'] for e in alive):,} bytes"
            )
        for entry in alive:
            assert entry.right is not None and best.right is not None
            entry.row["paired_p"] = None if entry is best else mcnemar(best.right, entry.right)
            entry.row["tied_with_best"] = entry is best or entry.row["paired_p"] >= 0.05
        front = pareto_front([(e.row["value"], e.row["latency_ms_p50"]) for e in alive], ("max", "min"))
        for entry, on_front in zip(alive, front, strict=True):
            entry.row["pareto"] = on_front
        rows = [entry.row for entry in [*alive, *(entry for entry in entries if entry.failed)]]
        winners, reason = choose([row for row in rows if row["failed"] is None and not row["too_large"]])
        test, hardest = self._winner_folder(best, alive, corpus)
        result = {
            "format_version": 1,
            "wenmo_version": wenmo_version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": _describe(corpus, self._first),
            "settings": {
                "models": list(self._recipes),
                "seeds": self._seeds,
                "folds": self._num_folds,
                "budget_seconds": self._budget,
                "max_size_bytes": self._max_size,
                "metric": best.row["metric"],
            },
            "machine": machine(),
            "rows": rows,
            "winners": winners,
            "winner_reason": reason,
            "test": test,
            "hardest": hardest,
            "report": "report.html",
            "winner_folder": "winner",
        }
        result["sentences"] = sentences(result)
        return result

    def _winner_folder(
        self, best: Entry, alive: Sequence[Entry], corpus: Corpus
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """Copy the winner, score it once on test beside the best linear model, and find its worst errors on dev."""
        source, target = self._out / best.row["folder"], self._out / "winner"
        shutil.rmtree(target, ignore_errors=True)
        if self._num_folds:
            recipe = self._recipes[best.model]
            run(recipe, target, corpus=Corpus(train=corpus.train, dev=corpus.dev, notes=corpus.notes))
        else:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("run.lock", "checkpoints"))
        task, answers = _answers(target, corpus.dev) if corpus.dev else (load_folder(target).task, None)
        hardest = _hardest(task, corpus.dev, answers, self._no_texts) if answers is not None else []
        if not corpus.test:
            return None, hardest
        linear = next((entry for entry in alive if entry.row["is_linear"]), None)
        test = _score_test(target, corpus.test) | {"model": best.model}
        if linear is not None and linear is not best:
            place = self._out / linear.row["folder"]
            test["linear"] = {"model": linear.model, "metrics": _score_test(place, corpus.test)["metrics"]}
        _write_down_test(target, test["metrics"], corpus)
        return test, hardest


def _empty_row(name: str, recipe: Recipe, folder: str, epochs: float) -> dict[str, Any]:
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


def _fold_parts(corpus: Corpus, num_folds: int, recipe: Recipe) -> list[Corpus]:
    """Each fold with the fold held out as its test, and a share of the rest as its dev."""
    from wenmo.data.splits import split_rows

    rows = [*corpus.train, *corpus.dev]
    parts = []
    for train, held_out in make_folds(rows, num_folds, seed=recipe.data.split_seed):
        inside = [rows[i] for i in train]
        share = recipe.data.dev_share
        kept, dev = split_rows(inside, [1 - share, share], seed=recipe.data.split_seed)
        parts.append(
            Corpus(
                train=[inside[i] for i in kept],
                dev=[inside[i] for i in dev],
                test=[rows[i] for i in held_out],
                notes=corpus.notes,
            )
        )
    return parts


def _answers(place: Path, rows: Sequence[Row]) -> tuple[Classification, NDArray[np.float32]]:
    folder = load_folder(place)
    store = encode(rows, folder.tokenizer, folder.task.config, folder.recipe["data"]["max_length"])
    return folder.task, answer_store(folder.task, store, torch.device("cpu"), "float32")


def _gold(task: Classification, rows: Sequence[Row], place: Path) -> NDArray[Any]:
    folder = load_folder(place)
    return task.gold(encode(rows, folder.tokenizer, task.config, 1))


def _score_test(place: Path, rows: Sequence[Row]) -> dict[str, Any]:
    task, answers = _answers(place, rows)
    gold = _gold(task, rows, place)
    labels = list(task.config.labels)
    scored: dict[str, Any] = {"metrics": task.measure(gold, answers), "labels": labels, "confusion": None}
    if not task.config.multi_label:
        predicted = answers.argmax(axis=1)
        scored["confusion"] = confusion_matrix(gold, predicted, len(labels)).tolist()
        scored["per_class"] = per_class(gold, predicted, labels)
    return scored


def _write_down_test(place: Path, metrics: Mapping[str, Any], corpus: Corpus) -> None:
    """The winner's own folder tells its test figure too."""
    folder = load_folder(place)
    folder.metrics = {**folder.metrics, "test": dict(metrics)}
    recipe = Recipe.from_dict(folder.recipe)
    store = encode(corpus.train, folder.tokenizer, folder.task.config, recipe.data.max_length)
    vocabulary = f"{folder.tokenizer.vocab_size:,} tokens by the segmenter `{folder.tokenizer.config.segmenter}`"
    folder.card = model_card(
        recipe,
        corpus,
        parameters=folder.metrics["parameters"],
        metrics=folder.metrics,
        vocabulary=vocabulary,
        num_cut=count_cut(store, recipe.data.max_length),
    )
    save_folder(place, folder)


def _hardest(
    task: Classification, rows: Sequence[Row], answers: NDArray[np.float32], no_texts: bool
) -> list[dict[str, Any]]:
    """The dev texts that the model gets wrong and is surest of."""
    if task.config.multi_label:
        return []
    labels = task.config.labels
    predicted = answers.argmax(axis=1)
    wrong = [i for i, row in enumerate(rows) if labels[predicted[i]] != row.label]
    wrong.sort(key=lambda i: -answers[i, predicted[i]])
    return [
        {
            "text": None if no_texts else rows[i].text,
            "label": str(rows[i].label),
            "predicted": labels[predicted[i]],
            "probability": float(answers[i, predicted[i]]),
            "source": rows[i].source,
        }
        for i in wrong[:_NUM_HARDEST]
    ]


def _curve(path: Path, metric: str) -> list[dict[str, float]]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {"step": x["step"], "epoch": x["epoch"], "seconds": x["seconds"], "loss": x["loss"], "dev": x[f"dev_{metric}"]}
        for x in lines
        if f"dev_{metric}" in x
    ]


def _describe(corpus: Corpus, recipe: Recipe) -> dict[str, Any]:
    parts = {"train": corpus.train, "dev": corpus.dev, "test": corpus.test}
    labels, _ = find_labels(corpus.train)
    counts: dict[str, dict[str, int]] = {}
    for name, rows in parts.items():
        counts[name] = dict.fromkeys(labels, 0)
        for row in rows:
            for label in row.label if isinstance(row.label, tuple) else (row.label,):
                if label is not None:
                    counts[name][label] = counts[name].get(label, 0) + 1
    lengths = sorted(len(row.text) for row in corpus.train)
    return {
        "sources": {name: getattr(recipe.data, name) or None for name in parts},
        "sha256": corpus.digest(),
        "task": recipe.task.task,
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
