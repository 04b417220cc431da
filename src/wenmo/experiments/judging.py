"""What a trained model says to labelled texts, and what follows: paired tests, the test score, the worst errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wenmo.data.rows import Row
from wenmo.files import write_aside, write_json
from wenmo.folder import CARD, METRICS, load_folder
from wenmo.tasks.classification import Classification
from wenmo.tasks.metrics import confusion_matrix, per_class
from wenmo.tasks.task import Task
from wenmo.training.card import model_card
from wenmo.training.corpus import Corpus, encode
from wenmo.training.recipe import Recipe
from wenmo.training.settings import DataSettings

_NUM_HARDEST = 20


@dataclass(frozen=True, eq=False)
class Judged:
    """A model's answers to the texts that models are chosen by; of several folds, the answers of all, one seed each."""

    task: Task
    gold: Any
    answers: Any
    said: Any
    """What was said: each fold's model has thresholds of its own."""

    @classmethod
    def together(cls, parts: Sequence["Judged"]) -> "Judged":
        """Those of several folds, as if they were one."""
        joined = (_joined([getattr(part, name) for part in parts]) for name in ("gold", "answers", "said"))
        return cls(parts[0].task, *joined)

    @property
    def value(self) -> float:
        """Of the metric by which models are chosen."""
        return self.task.score(self.gold, self.answers)

    def differs_by_chance(self, other: "Judged") -> float:
        """The p-value of a paired test of that metric."""
        return self.task.differs_by_chance(self.gold, self.said, other.said)


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return list(chain.from_iterable(parts))


def judge(place: Path, rows: Sequence[Row]) -> Judged:
    """Ask the model of a folder."""
    folder = load_folder(place)
    data = DataSettings.model_validate(folder.recipe["data"])
    store = encode(rows, folder.tokenizer, folder.task.config, data.reading)
    answers = folder.task.answer_store(store, torch.device("cpu"))
    return Judged(folder.task, folder.task.gold(store), answers, folder.task.decide(answers))


def score_test(place: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Every metric, and of classifiers which labels they take for which (not where a text may have several)."""
    judged = judge(place, rows)
    task, gold = judged.task, judged.gold
    scored: dict[str, Any] = {"metrics": task.measure(gold, judged.answers), "labels": [], "confusion": None}
    if isinstance(task, Classification):
        labels = list(task.config.labels)
        scored["labels"] = labels
        if not task.config.multi_label:
            predicted = judged.said.argmax(axis=1)
            scored["confusion"] = confusion_matrix(gold, predicted, len(labels)).tolist()
            scored["per_class"] = per_class(gold, predicted, labels)
    return scored


def write_down_test(place: Path, metrics: Mapping[str, Any], corpus: Corpus) -> None:
    """The winner's own folder tells its test figure too."""
    folder = load_folder(place)
    recipe = Recipe.from_dict(folder.recipe)
    told = {**folder.metrics, "test": dict(metrics)}
    store = encode(corpus.train, folder.tokenizer, folder.task.config, recipe.data.reading)
    card = model_card(
        recipe,
        corpus,
        parameters=told["parameters"],
        metrics=told,
        vocabulary=f"{folder.tokenizer.vocab_size:,} tokens by the segmenter `{folder.tokenizer.config.segmenter}`",
        num_cut=recipe.task.count_cut(store, recipe.data.reading),
    )
    write_json(place / METRICS, told)
    write_aside(place / CARD, card)


def hardest_errors(judged: Judged, rows: Sequence[Row], no_texts: bool) -> list[dict[str, Any]]:
    """The dev texts that the model gets wrong and is surest of."""
    task, answers = judged.task, judged.answers
    if not isinstance(task, Classification) or task.config.multi_label:
        return []
    labels = task.config.labels
    predicted = judged.said.argmax(axis=1)
    wrong = [i for i, row in enumerate(rows) if labels[predicted[i]] != row.label]
    wrong.sort(key=lambda i: -answers[i, predicted[i]])
    return [
        {
            "text": None if no_texts else rows[i].text,
            "text_b": None if no_texts else rows[i].text_b,
            "label": str(rows[i].label),
            "predicted": labels[predicted[i]],
            "probability": float(answers[i, predicted[i]]),
            "source": rows[i].source,
        }
        for i in wrong[:_NUM_HARDEST]
    ]
