"""How well a model answers labelled texts."""

from pathlib import Path
from typing import Any

from wenmo.data.readers import read_rows
from wenmo.data.store import TokenStore
from wenmo.inference.predictor import Predictor, TextCounts, loaded
from wenmo.inference.texts import checked_texts
from wenmo.tasks.classification import label_ids
from wenmo.tasks.metrics import confusion_matrix, decide, per_class


def evaluate(
    model: Predictor | str | Path,
    data: str | Path,
    *,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    device: str = "",
    precision: str = "float32",
    runtime: str = "auto",
) -> dict[str, Any]:
    """Answer labelled texts and compare with their labels.

    Args:
        model: a model folder, or a loaded model; the last three arguments are for loading a folder.
        data: what `wenmo.data.readers.read_rows` reads.
        text_column: the column of the texts, if the reader does not find it.
        text_b_column: the column of the second texts of pairs, if the reader does not find it.
        label_column: the column of the labels, if the reader does not find it.
        label_separator: what stands between several labels in one cell; left out: as in training.
        encoding: of a text file, if the reader does not find it.
        device: as in `wenmo.load`.
        precision: as in `wenmo.load`.
        runtime: as in `wenmo.load`.

    Returns:
        ``task``, ``rows``, ``metrics`` (each with ``value``, ``low`` and ``high``, the 95 % interval), ``labels``,
        ``per_class``, ``confusion`` (rows: right labels, columns: answers; None where a text may have several), and
        what to know about the texts: how many were ``dropped`` (no text or no label), ``cut`` or ``unknown``, and
        ``notes``.

    Raises:
        InputError: the data cannot be read, or has labels that the model does not know.
    """
    predictor = loaded(model, device=device, precision=precision, runtime=runtime)
    task = predictor.task
    separator = label_separator or predictor.folder.recipe.get("data", {}).get("label_separator") or None
    read = read_rows(
        data,
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=separator,
        encoding=encoding,
    )
    gold = task.gold(TokenStore.from_rows(labels=label_ids(read.rows, task.config)))
    counts = TextCounts()
    probabilities = predictor.probabilities(checked_texts(read.rows, predictor.pair), counts=counts)
    predicted = decide(probabilities, task.config.multi_label)
    confusion = None
    if not task.config.multi_label:
        confusion = confusion_matrix(gold, predicted.argmax(axis=1), len(predictor.labels)).tolist()
    return {
        "task": task.config.task,
        "rows": len(read.rows),
        "metrics": task.measure(gold, probabilities),
        "labels": list(predictor.labels),
        "per_class": per_class(gold, predicted, predictor.labels),
        "confusion": confusion,
        "dropped": len(read.dropped),
        "cut": counts.cut,
        "unknown": counts.unknown,
        "notes": [*read.notes, *counts.warnings(predictor.max_length)],
    }
