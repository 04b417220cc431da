"""The whole family on one data set: train each model, measure it, choose on dev, score the chosen one once on test."""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wenmo.errors import InputError, JobError
from wenmo.experiments.budget import Plan, parse_bytes, parse_seconds, plan_network
from wenmo.experiments.choosing import choose, sentences
from wenmo.experiments.entries import Entry, curve, describe, empty_row, fold_parts, folder_names
from wenmo.experiments.judging import Judged, hardest_errors, judge, score_test, write_down_test
from wenmo.experiments.measuring import machine, measure_speed
from wenmo.files import read_json_object, write_json
from wenmo.folder import folder_bytes, wenmo_version
from wenmo.inference.loading import load
from wenmo.tasks.metrics import mean_and_interval, pareto_front
from wenmo.training.building import with_labels
from wenmo.training.checkpointing import run_lock
from wenmo.training.corpus import Corpus, read_corpus
from wenmo.training.progress import Observer
from wenmo.training.recipe import Recipe
from wenmo.training.run import TrainingResult, run
from wenmo.training.run_folder import first_difference

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
        self._first = next(iter(recipes.values()))
        if num_folds and self._first.data.time_column:
            raise InputError("folds would train on texts newer than those they test on; leave --folds or the time out")
        self._recipes, self._out, self._watcher = dict(recipes), out, watcher
        self._folders = folder_names(recipes)
        self._seeds, self._num_folds = seeds, num_folds
        self._no_texts, self._resume, self._device = no_texts, resume, device
        self._budget, self._max_size = parse_seconds(budget), parse_bytes(max_size)
        self._asked = {
            "recipes": {name: _as_json(recipe.to_dict()) for name, recipe in recipes.items()},
            "seeds": seeds,
            "folds": num_folds,
            "budget_seconds": self._budget,
            "max_size_bytes": self._max_size,
        }

    def run(self) -> dict[str, Any]:
        """Compare, choose, score on test once, and write ``winner/`` and ``comparison.json``."""
        if (self._out / "comparison.json").exists():
            if not self._resume:
                raise InputError(f"{self._out}: a comparison stands there already; choose another --out")
            return self._finished()
        with run_lock(self._out):
            corpus = read_corpus(self._first.data, self._first.task)
            if not corpus.dev and not self._num_folds:
                raise InputError("there are no dev texts to choose by; name --dev, or leave data.dev_share as it is")
            if self._num_folds and len(corpus.train) == 1:
                raise InputError("--folds: one stream of text has no folds; leave it out")
            with_labels(self._first, corpus, None)  # labels that no model can learn are said once, before any starts
            if self._num_folds:  # a rare label may be missing in a fold, and is an answer all the same
                whole = Corpus(train=[*corpus.train, *corpus.dev])
                self._recipes = {name: with_labels(recipe, whole, None) for name, recipe in self._recipes.items()}
            kept = self._kept_plans(corpus)
            for note in corpus.notes:
                self._watcher.message(note)
            linear = {name: recipe for name, recipe in self._recipes.items() if recipe.model.fitting != "gradient"}
            entries = [self._entry(name, Plan(recipe, 0, 0), corpus) for name, recipe in linear.items()]
            plans, impossible = self._plan(corpus, kept)
            entries += [self._entry(name, plan, corpus) for name, plan in plans.items()]
            entries += impossible
            result = self._result(entries, corpus)
            write_json(self._out / "comparison.json", result)
            return result

    def _finished(self) -> dict[str, Any]:
        """What a finished comparison came to; its texts are taken out for good where they are not to be shown."""
        place = self._out / "comparison.json"
        finished = read_json_object(place)
        if self._no_texts and any(example["text"] is not None for example in finished["hardest"]):
            finished["hardest"] = [example | {"text": None} for example in finished["hardest"]]
            write_json(place, finished)
        return finished

    def _hold_to_what_was_asked(self, kept: Mapping[str, Any]) -> None:
        difference = first_difference(kept["asked"], self._asked) if "asked" in kept else None
        if difference:
            raise InputError(f"{self._out}: --resume would change {difference}; start anew in another --out")

    def _plan(self, corpus: Corpus, kept: Mapping[str, Plan]) -> tuple[dict[str, Plan], list[Entry]]:
        """What each network will take, told before the first of them starts; and those that fail at once."""
        networks = {name: recipe for name, recipe in self._recipes.items() if recipe.model.fitting == "gradient"}
        repeats = self._seeds * (self._num_folds or 1)
        share = self._budget / (len(networks) * repeats) if self._budget and networks else None
        plans, impossible = {}, []
        for name, recipe in networks.items():
            try:
                plans[name] = kept.get(name) or plan_network(recipe, corpus, share)
            except (InputError, JobError) as error:
                row = empty_row(name, recipe, f"models/{self._folders[name]}", 0) | {"failed": str(error)}
                impossible.append(Entry(name, recipe, row))
                self._watcher.row(row)
        self._watcher.planned(
            [{"model": n, "epochs": plan.epochs, "seconds": plan.seconds * repeats} for n, plan in plans.items()]
        )
        described = {
            n: {"recipe": p.recipe.to_dict(), "epochs": p.epochs, "seconds": p.seconds} for n, p in plans.items()
        }
        plan = {"data_sha256": corpus.digest(), "asked": self._asked, "networks": described}
        write_json(self._out / "plan.json", plan)
        return plans, impossible

    def _kept_plans(self, corpus: Corpus) -> dict[str, Plan]:
        """What an interrupted comparison had planned: timed anew, it would come out a little different."""
        place = self._out / "plan.json"
        fresh: dict[str, Any] = {"data_sha256": corpus.digest(), "asked": self._asked, "networks": {}}
        kept = read_json_object(place) if self._resume and place.exists() else fresh
        if kept["data_sha256"] != fresh["data_sha256"]:
            raise InputError(f"{self._out}: --resume would mix models of other texts with these; choose another --out")
        self._hold_to_what_was_asked(kept)
        write_json(place, kept)
        return {n: Plan(Recipe.from_dict(p["recipe"]), p["epochs"], p["seconds"]) for n, p in kept["networks"].items()}

    def _entry(self, name: str, plan: Plan, corpus: Corpus) -> Entry:
        recipe = plan.recipe
        folder = self._out / "models" / self._folders[name]
        entry = Entry(name, recipe, empty_row(name, recipe, f"models/{folder.name}", plan.epochs))
        try:
            self._train_all(entry, recipe, corpus, folder)
        except (InputError, JobError) as error:
            entry.row["failed"] = str(error)
        self._watcher.row(entry.row)
        return entry

    def _train_all(self, entry: Entry, recipe: Recipe, corpus: Corpus, folder: Path) -> None:
        """Every seed, or every fold; the first stands for the model.

        The best seed would enter the paired test with luck that a model of one run, like the linear ones, lacks.
        """
        linear = recipe.model.fitting != "gradient"
        parts = fold_parts(corpus, self._num_folds, recipe) if self._num_folds else [corpus]
        seconds, found = [], []
        for fold, part in enumerate(parts):
            for seed in range(1 if linear else self._seeds):
                seeded = recipe.training.model_copy(update={"seed": recipe.training.seed + seed})
                place = folder.with_name(
                    folder.name + (f"-fold{fold}" if fold else "") + (f"-seed{seed}" if seed else "")
                )
                observer = self._watcher.training(entry.model, seed)
                result = run(
                    recipe.model_copy(update={"training": seeded}),
                    place,
                    corpus=Corpus(train=part.train, dev=part.dev, notes=part.notes, calibration=part.calibration),
                    resume=self._resume,
                    device=self._device,
                    observers=[observer] if observer else [],
                )
                judged = judge(place, part.test if self._num_folds else part.dev)
                entry.values.append(judged.value)
                seconds.append(result.seconds)
                found.append((place, result, judged))
        self._summarize(entry, found, seconds, corpus, len(parts))

    def _summarize(
        self,
        entry: Entry,
        found: list[tuple[Path, TrainingResult, Judged]],
        seconds: list[float],
        corpus: Corpus,
        num_parts: int,
    ) -> None:
        place, result, judged = found[0]
        metric = judged.task.metric
        if self._num_folds:
            # Seeds on the same texts are no new evidence: a fold counts once.
            interval = mean_and_interval(np.reshape(entry.values, (num_parts, -1)).mean(axis=1).tolist())
            first_seeds = [judged for _, _, judged in found[:: len(found) // num_parts]]
            entry.judged = Judged.together(first_seeds)
        else:
            interval = judged.task.measure(judged.gold, judged.answers)[metric]
            entry.judged = judged
            if len(entry.values) > 1:
                # Seeds say how much training scatters, dev texts how much their choice does: the wider one is told.
                over_seeds = mean_and_interval(entry.values)
                half = max(over_seeds["high"] - over_seeds["low"], interval["high"] - interval["low"]) / 2
                value = over_seeds["value"]
                interval = {"value": value, "low": value - half, "high": value + half}
        low, high = max(judged.task.bounds[0], interval["low"]), min(judged.task.bounds[1], interval["high"])
        texts = judged.task.config.asked((corpus.dev or corpus.train)[:_TEXTS_TIMED])
        speed = measure_speed(load(place, device=self._device), texts)
        entry.row |= {
            "folder": str(place.relative_to(self._out).as_posix()),
            "metric": metric,
            "value": float(interval["value"]),
            "low": low,
            "high": high,
            "values": entry.values,
            "spread": statistics.stdev(entry.values) if len(entry.values) > 1 else None,
            "parameters": result.parameters,
            "bytes": folder_bytes(place),
            "train_seconds": statistics.mean(seconds),
            "latency_ms_p50": speed.latency_ms_p50,
            "latency_ms_p95": speed.latency_ms_p95,
            "texts_per_second": speed.texts_per_second,
            "curve": curve(place / "training.jsonl", metric),
        }

    def _result(self, entries: list[Entry], corpus: Corpus) -> dict[str, Any]:
        alive = [entry for entry in entries if not entry.failed]
        if not alive:
            raise JobError("no model could be trained: " + "; ".join(entry.row["failed"] for entry in entries))
        worse = -1 if alive[0].lower_is_better else 1
        alive.sort(key=lambda entry: -worse * entry.row["value"])
        for entry in alive:
            entry.row["too_large"] = bool(self._max_size) and entry.row["bytes"] > self._max_size
        best = next((entry for entry in alive if not entry.row["too_large"]), None)
        if best is None:
            raise InputError(
                f"no model is as small as --max-size; the smallest has {min(e.row['bytes'] for e in alive):,} bytes"
            )
        for entry in alive:
            assert entry.judged is not None and best.judged is not None
            entry.row["paired_p"] = None if entry is best else best.judged.differs_by_chance(entry.judged)
            entry.row["tied_with_best"] = entry is best or entry.row["paired_p"] >= 0.05
        points = [(worse * e.row["value"], e.row["latency_ms_p50"]) for e in alive]
        front = pareto_front(points, ("max", "min"))
        for entry, on_front in zip(alive, front, strict=True):
            entry.row["pareto"] = on_front
        rows = [entry.row for entry in [*alive, *(entry for entry in entries if entry.failed)]]
        winners, reason = choose([row for row in rows if row["failed"] is None and not row["too_large"]])
        test, hardest = self._winner_folder(best, alive, corpus)
        result = {
            "format_version": 1,
            "wenmo_version": wenmo_version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": describe(corpus, self._first),
            "settings": {
                "models": list(self._recipes),
                "seeds": self._seeds,
                "folds": self._num_folds,
                "budget_seconds": self._budget,
                "max_size_bytes": self._max_size,
                "metric": best.row["metric"],
                "lower_is_better": best.lower_is_better,
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
            whole = Corpus(train=corpus.train, dev=corpus.dev, notes=corpus.notes, calibration=corpus.calibration)
            run(best.recipe, target, corpus=whole, device=self._device)
        else:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("run.lock", "checkpoints"))
        hardest = hardest_errors(judge(target, corpus.dev), corpus.dev, self._no_texts) if corpus.dev else []
        if not corpus.test:
            return None, hardest
        linear = next((entry for entry in alive if entry.row["is_linear"]), None)
        test = score_test(target, corpus.test) | {"model": best.model}
        if linear is not None and linear is not best:
            place = self._out / linear.row["folder"]
            test["linear"] = {"model": linear.model, "metrics": score_test(place, corpus.test)["metrics"]}
        write_down_test(target, test["metrics"], corpus)
        return test, hardest


def _as_json(values: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(values))
