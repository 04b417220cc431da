"""The model card: what a model is, what it was trained on, how good it is, where it ends, how to make it again."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from wenmo.folder import wenmo_version
from wenmo.tasks.task import in_markdown
from wenmo.text.tokenizer_config import CODE_POINTS, PRETRAINED
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe


def model_card(
    recipe: Recipe,
    corpus: Corpus,
    *,
    parameters: int,
    metrics: Mapping[str, Any],
    vocabulary: str,
    num_cut: int,
    start: Path | None = None,
) -> str:
    """Markdown for the ``README.md`` of a model folder; ``start`` is the model that the run went on from."""
    said, noun = recipe.task.card(recipe.model.model_type), recipe.task.noun()
    lines = [
        f"# {said.title}",
        "",
        f"Trained with wenmo {wenmo_version()}; {parameters:,} parameters; {vocabulary}.",
        *([f"It started from the checkpoint `{in_markdown(recipe.checkpoint)}`."] if recipe.checkpoint else []),
        *(
            [f"It reads the layers of `{in_markdown(recipe.features.checkpoint)}`, unchanged."]
            if recipe.features
            else []
        ),
        "",
        *chain.from_iterable((section, "") for section in said.sections),
        "## Data",
        "",
        f"Train {len(corpus.train):,} {noun}s, dev {len(corpus.dev):,}, test {len(corpus.test):,}{_kept(corpus)}; "
        f"SHA-256 of texts and labels `{corpus.digest()}`.",
        "",
        *[f"- {in_markdown(note)}" for note in corpus.notes],
        "",
        "## Metrics",
        "",
        "| part | metric | value | 95 % interval |",
        "|---|---|---|---|",
        *_metric_rows(metrics),
        "",
        "Choices (the best epoch, regularization) were made on dev, so its figures are a little too good; test was "
        "looked at once.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in (*said.limits, *_unknown(recipe))),
        f"- Longer texts are {recipe.data.reading.participle}; {num_cut} of the training texts reached that length."
        if recipe.data.max_length
        else "- Texts are read to their end.",
        *([f"- {_probabilities(metrics)}"] if recipe.task.task == "classify" else []),
        "",
        "## Make it again",
        "",
        "```",
        f"wenmo train --recipe recipe.toml {f'--from {start} ' if start else ''}--out AGAIN",
        "```",
        "",
    ]
    return "\n".join(lines)


def _probabilities(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("calibration")
    if not found:
        return "Probabilities are not calibrated."
    rows, method = found["rows"], found["method"]
    return f"Probabilities were calibrated on {rows:,} labelled texts ({method}); they hold for texts like those."


def _unknown(recipe: Recipe) -> list[str]:
    """What is said of new words, where all that a model knows of a text are whole words."""
    tokens = recipe.data.tokenizer
    of_parts = tokens.has_subwords or tokens.segmenter in (CODE_POINTS, PRETRAINED) or tokens.character_ngrams[1] > 0
    if of_parts or tokens.word_bytes:
        return []
    looks_inside = bool(getattr(recipe.task, "characters", ""))
    return [f"Words that were not in the training data are unknown to it{' but for their characters' * looks_inside}."]


def _kept(corpus: Corpus) -> str:
    return f", {len(corpus.calibration):,} kept for promises" if corpus.calibration else ""


def _metric_rows(metrics: Mapping[str, Any]) -> list[str]:
    return [
        f"| {part} | {name} | {value['value']:.4f} | {value['low']:.4f} to {value['high']:.4f} |"
        for part in ("dev", "test")
        for name, value in (metrics.get(part) or {}).items()
    ]
