"""Pre-train a model on raw text and write the page about it: the verb ``pretrain``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wenmo.inference.annotating import make_annotator
from wenmo.reports.pretraining import write_pretraining_report
from wenmo.training.distribution import is_first_process
from wenmo.training.pretraining import run_pretraining
from wenmo.training.pretraining_recipe import CorpusSection, PretrainingRecipe
from wenmo.training.progress import Observer
from wenmo.training.recipe import located
from wenmo.training.run import TrainingResult


def pretrain(
    corpus: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path,
    model: str | None = None,
    size: str = "",
    start: str | Path | None = None,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    seed: int | None = None,
    precision: str | None = None,
    resume: bool = False,
    device: str = "",
    observers: Sequence[Observer] = (),
) -> TrainingResult:
    """Pre-train a model on raw text and save its folder, from which `wenmo.train` goes on.

    Args:
        corpus: files and folders of raw text, and names on the hub; a recipe may name them instead.
        out: the folder to make; ``report.html`` in it has the curves.
        model: elmo, gpt, gpt2, bert, ernie, ernie2, rnn, lstm or gru.
        size: tiny, mini, small, base or large; left out: tiny.
        start: a checkpoint or a model folder to go on from, with its tokenizer.
        recipe: a TOML file with the settings; what stands in the call wins over it.
        overrides: ``path.to.field=value``.
        values: nested settings, like a recipe.
        resume: go on with an interrupted run; a finished one is left alone.

    Raises:
        InputError: the text or the settings cannot work, or the folder is taken.
        JobError: the loss exploded, or the disk is full.
    """
    sources = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    said: dict[str, Any] = dict(values or {})
    said["training"] = {**said.get("training", {}), "seed": seed, "precision": precision}
    if sources:
        said["corpus"] = {**said.get("corpus", {}), "sources": [str(source) for source in sources]}
    built = PretrainingRecipe.build(
        model=model,
        size=size,
        start=str(start or ""),
        file=Path(recipe) if recipe else None,
        values=said,
        overrides=overrides,
    )
    annotate = _annotator(built.corpus)
    result = run_pretraining(built, Path(out), annotate=annotate, resume=resume, device=device, observers=observers)
    if is_first_process():
        write_pretraining_report(Path(out))
    return result


def _annotator(section: CorpusSection) -> Any:
    """What finds words, phrases and entities, where the recipe asks for them."""
    if not (section.spans or section.lexica or section.phrases or section.tagger):
        return None
    lexica, phrases = ([located(path) for path in paths] for paths in (section.lexica, section.phrases))
    return make_annotator(lexica=lexica, phrases=phrases, tagger=located(section.tagger) if section.tagger else None)
