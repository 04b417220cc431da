"""Contexts with their choices to the likeliest of them: in order, and in flat memory."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from wenmo.data.choices import read_choices
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import ModelFolder
from wenmo.inference.engines import known_precision
from wenmo.inference.writers import format_of, open_output, refuse_to_overwrite
from wenmo.tasks.choosing import Choosing
from wenmo.training.distribution import choose_device

Question = tuple[str, Sequence[str]]
"""A context and the answers to choose from."""

_QUESTIONS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model chose."""

    choice: str
    index: int
    """Its place among the choices, counted from 0."""
    probability: float
    probabilities: tuple[float, ...]
    """Of all choices, in their order."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        told = [float(f"{each:.6g}") for each in self.probabilities]
        return {"choice": self.choice, "index": self.index, "probability": told[self.index], "probabilities": told}


class Chooser:
    """A model that chooses among answers."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        """Use `wenmo.load`.

        Raises:
            InputError: there is no such precision, or the runtime does not run it.
        """
        if runtime not in ("auto", "torch"):
            raise InputError(f"runtime={runtime!r} does not run a model that chooses; use 'auto' or 'torch'")
        self.folder = folder
        self.task = cast(Choosing, folder.task.eval())
        self.tokenizer = folder.tokenizer
        self._reading = LongTexts.of_recipe(folder.recipe)
        self._device, self._precision = choose_device(device), known_precision(precision)

    def predict(self, questions: Iterable[Question]) -> list[Choice]:
        """The likeliest answer to each question, in their order.

        Args:
            questions: ``(context, choices)`` each, such as ``("Tom was hungry.", ["He ate.", "He flew."])``.

        Raises:
            InputError: one is no context with two choices or more.
        """
        return list(self.stream(questions))

    def stream(self, questions: Iterable[Question]) -> Iterator[Choice]:
        """As `predict`, one after the other, with some thousand questions in memory."""
        return self._answers(_as_row(question, number) for number, question in enumerate(questions, 1))

    def predict_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        file_format: str = "",
        text_column: str | None = None,
        encoding: str | None = None,
    ) -> dict[str, Any]:
        """Answer every question of a source, as JSON lines.

        Raises:
            InputError: the source cannot be read, or the call is wrong.
            JobError: the result could not be written; there is no half-written file.
        """
        _refuse_column(text_column)
        refuse_to_overwrite(source, out)
        if (file_format or format_of(out, ("jsonl",), "jsonl", "choices")) != "jsonl":
            raise InputError(f"there is no format {file_format!r} for choices; write .jsonl")
        rows = read_choices(source, encoding).rows
        with open_output(out) as file:
            for answer in self._answers(rows):
                file.write(json.dumps(answer.to_dict(), ensure_ascii=False) + "\n")
        return {"rows": len(rows), "file": str(out)}

    def evaluate(
        self, source: str | Path, *, text_column: str | None = None, encoding: str | None = None
    ) -> dict[str, Any]:
        """Answer questions whose right answers are known: ``task``, ``rows``, ``metrics`` and ``notes``.

        Raises:
            InputError: the source cannot be read, or a question has no label.
        """
        _refuse_column(text_column)
        found = read_choices(source, encoding)
        unknown = next((row for row in found.rows if row.right is None), None)
        if unknown is not None:
            raise InputError(f"{unknown.source}: it has no label, and answers are compared with labels; add it")
        store = self._store(found.rows)
        answers = self.task.answer_store(store, self._device, self._precision)
        return {
            "task": self.task.config.task,
            "rows": len(found.rows),
            "metrics": self.task.measure(self.task.gold(store), answers),
            "notes": found.notes,
        }

    def _answers(self, rows: Iterable[Row]) -> Iterator[Choice]:
        remaining = iter(rows)
        while window := list(islice(remaining, _QUESTIONS_AT_ONCE)):
            answers = self.task.answer_store(self._store(window), self._device, self._precision)
            for row, probabilities, index in zip(window, answers, self.task.decide(answers).tolist(), strict=True):
                told = tuple(probabilities.tolist())
                yield Choice((row.choices or ())[index], index, told[index], told)

    def _store(self, rows: Sequence[Row]) -> TokenStore:
        return TokenStore.from_rows(**self.task.config.columns(rows, self.tokenizer, self._reading))


def _as_row(question: Question, number: int) -> Row:
    is_pair = isinstance(question, tuple | list) and len(question) == 2 and isinstance(question[0], str)
    choices = list(question[1]) if is_pair and isinstance(question[1], tuple | list) else []
    if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
        raise InputError(
            f"question {number:,} is {question!r:.60}; a context and two choices or more are wanted, such as "
            "('Tom was hungry.', ['He ate.', 'He flew.'])"
        )
    return Row(question[0], choices=tuple(choices), source=f"question {number:,}")


def _refuse_column(text_column: str | None) -> None:
    if text_column is not None:
        raise InputError("--text-column: questions stand in JSON lines with context and choices; leave it out")
