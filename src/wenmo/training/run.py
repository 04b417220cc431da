"""From a recipe to a model folder."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from wenmo.data.store import TokenStore
from wenmo.folder import ModelFolder, is_model_folder, load_folder, save_folder
from wenmo.models.stacked import Stacked
from wenmo.tasks.classification import Classification
from wenmo.tasks.metrics import Interval
from wenmo.tasks.task import Task
from wenmo.text.loading import AnyTokenizer
from wenmo.training.building import build_task, train_tokenizer, with_labels
from wenmo.training.card import model_card
from wenmo.training.continuation import forgetting, settings_of
from wenmo.training.corpus import Corpus, encode, read_corpus
from wenmo.training.distribution import World, choose_device
from wenmo.training.feature_cache import fits, with_vectors
from wenmo.training.fitting import refuse_what_cannot_apply
from wenmo.training.linear import fit_linear
from wenmo.training.loop import Loop
from wenmo.training.progress import Observer, TensorBoard
from wenmo.training.recipe import Recipe
from wenmo.training.run_folder import hold_to, joined_run, let_go
from wenmo.training.sources import LabelledDev, LabelledRows
from wenmo.training.trust import Trust, before_choosing, settle

Metrics = dict[str, Interval]


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to."""

    model: Path
    task: str
    parameters: int
    steps: int
    seconds: float
    dev: Metrics
    test: Metrics
    notes: list[str]
    forgotten: dict[str, Any] | None = None
    mixture: dict[str, Any] | None = None
    """Of a model that reads several layers of another one: their ``weights``, the embeddings first, and ``gamma``."""
    calibration: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        shown = {
            "model": str(self.model),
            "task": self.task,
            "parameters": self.parameters,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "dev": self.dev,
            "test": self.test,
            "notes": self.notes,
        }
        said = {"forgotten": self.forgotten, "calibration": self.calibration, "mixture": self.mixture}
        return shown | {name: value for name, value in said.items() if value}


def train(
    data: str | Path | None = None,
    *,
    out: str | Path,
    model: str | None = None,
    features: str | None = None,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    target: str | Path | None = None,
    dev_target: str | Path | None = None,
    test_target: str | Path | None = None,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    seed: int | None = None,
    vectors: str | Path | None = None,
    task: str | None = None,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    hierarchy_separator: str | None = None,
    repair: bool = False,
    group_column: str | None = None,
    time_column: str | None = None,
    encoding: str | None = None,
    precision: str | None = None,
    loss: str | None = None,
    label_smoothing: float | None = None,
    class_weights: str | None = None,
    sampling: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "",
    observers: Sequence[Observer] = (),
) -> TrainingResult:
    """Train a model on labelled texts and save its folder.

    Args:
        data: the labelled texts: a file, a folder per label, ``hf://`` and a name.
        out: the folder to make.
        model: a name from `wenmo.list_models`, the folder of a checkpoint to start from, or both, ``bert:FOLDER``.
        features: the checkpoint whose layers the model reads in the place of words: its folder, or ``bert:FOLDER``. It
            does not learn.
        dev: by which the best epoch is chosen; a share of ``data`` where it is left out.
        test: scored once, at the end.
        target: for translation, the file whose n-th line is what the n-th line of ``data`` shall become.
        dev_target: the same for ``dev``.
        test_target: the same for ``test``.
        recipe: a TOML file with the settings; what stands in the call wins over it.
        overrides: ``path.to.field=value``.
        values: nested settings, like a recipe.
        task: what is to be learnt, such as ``classify``; left out: read off the data.
        hierarchy_separator: what stands between the levels of a label; left out: labels have no levels.
        repair: tags that break their scheme are written as it wants them; else they are refused.
        loss: ``cross_entropy`` or ``focal``.
        label_smoothing: the share of a label that is spread over all labels.
        class_weights: ``balanced``: every label counts the same, however rare it is.
        sampling: ``balanced``: every label is drawn equally often, however rare it is.
        start: a model folder to go on from, with new data or new labels.
        resume: go on with an interrupted run; a finished one is left alone.

    Raises:
        InputError: the data or the settings cannot work, or the folder is taken.
        JobError: the loss exploded, or the disk is full.
    """
    below = settings_of(Path(start), model) if start is not None else None
    settings: dict[str, Any] = {
        "data": {
            "train": _text(data),
            "dev": _text(dev),
            "test": _text(test),
            "target": _text(target),
            "dev_target": _text(dev_target),
            "test_target": _text(test_target),
            "vectors": _text(vectors),
            "text_column": text_column,
            "text_b_column": text_b_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "group_column": group_column,
            "time_column": time_column,
            "encoding": encoding,
        },
        "task": {
            "task": task,
            "loss": loss,
            "label_smoothing": label_smoothing,
            "class_weights": class_weights,
            "hierarchy_separator": hierarchy_separator,
            "repair": repair or None,
        },
        "training": {"seed": seed, "precision": precision, "sampling": sampling},
    }
    for name, section in (values or {}).items():
        settings[name] = {**section, **{k: v for k, v in settings.get(name, {}).items() if v is not None}}
    file = Path(recipe) if recipe else None
    built = Recipe.build(model=model, below=below, file=file, values=settings, overrides=overrides, features=features)
    return run(
        built,
        Path(out),
        start=Path(start) if start else None,
        resume=resume,
        device=device,
        observers=observers,
    )


def run(
    recipe: Recipe,
    out: Path,
    *,
    corpus: Corpus | None = None,
    start: Path | None = None,
    resume: bool = False,
    device: str = "",
    observers: Sequence[Observer] = (),
) -> TrainingResult:
    """Train what a recipe says; ``corpus`` may be brought along where it is read already."""
    chosen = choose_device(device)
    exactly = recipe.training.deterministic
    with joined_run(out, chosen, is_model_folder, resume=resume, deterministic=exactly) as world:
        if world is None:
            return _finished(out)
        corpus = corpus or read_corpus(recipe.data, recipe.task)
        return _run(recipe, corpus, out, start, resume, chosen, world, observers)


def _run(
    recipe: Recipe,
    corpus: Corpus,
    out: Path,
    start: Path | None,
    resume: bool,
    device: torch.device,
    world: World,
    observers: Sequence[Observer],
) -> TrainingResult:
    begun, earlier = time.monotonic(), 0.0
    before = load_folder(start) if start else None
    recipe = with_labels(recipe, corpus, before)
    refuse_what_cannot_apply(recipe)
    recipe = before_choosing(recipe, corpus)
    tokenizer = before.tokenizer if before else train_tokenizer(recipe, corpus.train)
    place = out / "stores"
    stores = {
        name: encode(rows, tokenizer, recipe.task, recipe.data.reading, place / f"{name}-{world.rank}.arrow")
        for name in ("train", "dev", "test", "calibration")
        if (rows := getattr(corpus, name))
    }
    recipe, task, coverage = build_task(recipe, corpus.train, tokenizer, before)
    task.prepare(stores["train"])
    if isinstance(task.extractor, Stacked):
        stores = _with_features(recipe, task.extractor, stores, place, device)
    described = recipe.to_dict() | {"run": {"data_sha256": corpus.digest(), "from": str(start or "")}}
    hold_to(described, out, resume, world)
    steps = 0
    if recipe.model.fitting == "convex":
        assert isinstance(task, Classification), "a linear model was refused for other tasks before"
        fit_linear(task, stores["train"], stores.get("dev"))
        recipe = recipe.model_copy(update={"model": task.extractor_config})
    elif recipe.model.fitting == "gradient":
        watching = list(observers) if world.is_main else []
        if world.is_main and recipe.training.tensorboard:
            watching.append(TensorBoard(out))
        settings = recipe.training
        dev = LabelledDev(task, stores["dev"], device, settings.precision) if "dev" in stores else None
        loop = Loop(
            task,
            LabelledRows(task, stores["train"], settings, recipe.data.bucket),
            dev,
            settings,
            folder=out,
            device=device,
            world=world,
            observers=watching,
        )
        if resume and loop.resume():
            earlier = loop.state.seconds
        steps = loop.run().step
        task = cast(Task, loop.learner)
    trust = settle(task, stores.get("dev"), stores.get("calibration"), tokenizer, device)
    recipe = recipe.model_copy(update={"task": task.config})
    seconds = earlier + time.monotonic() - begun
    measured = {name: _measure(task, stores[name], device) for name in ("dev", "test") if name in stores}
    notes = [*corpus.notes, *trust.notes, *([coverage.as_sentence()] if coverage else [])]
    if num_cut := recipe.task.count_cut(stores["train"], recipe.data.reading):
        subject = "text is" if num_cut == 1 else "texts are"
        notes.append(f"{num_cut:,} training {subject} {recipe.data.reading.participle} (data.max_length)")
    result = TrainingResult(
        model=out,
        task=recipe.task.task,
        parameters=sum(p.numel() for p in task.parameters()),
        steps=steps,
        seconds=seconds,
        dev=measured.get("dev", {}),
        test=measured.get("test", {}),
        notes=notes,
        forgotten=forgetting(before, task.to("cpu"), tokenizer) if before else None,
        calibration=trust.calibration,
        mixture=task.extractor.mixture() if isinstance(task.extractor, Stacked) else None,
    )
    if world.is_main:
        _save(out, task.to("cpu"), tokenizer, recipe, corpus, result, stores["train"], start, trust)
    return result


def _with_features(
    recipe: Recipe, model: Stacked, stores: dict[str, TokenStore], place: Path, device: torch.device
) -> dict[str, TokenStore]:
    """The stores with the features of their texts, unless they are to be computed for every batch, or have to be."""
    settings = recipe.features
    assert settings is not None, "nothing else makes a stack"
    windows = recipe.data.max_length if recipe.data.long_texts == "windows" else 0
    if not settings.cached or not all(fits(store, windows) for store in stores.values()):
        return stores
    folder = Path(settings.folder).expanduser() if settings.folder else place
    return {name: with_vectors(store, model, folder, settings.precision, device) for name, store in stores.items()}


def _measure(task: Task, store: TokenStore, device: torch.device) -> Metrics:
    return task.measure(task.gold(store), task.answer_store(store, device))


def _save(
    out: Path,
    task: Task,
    tokenizer: AnyTokenizer,
    recipe: Recipe,
    corpus: Corpus,
    result: TrainingResult,
    train_store: TokenStore,
    start: Path | None,
    trust: Trust,
) -> None:
    metrics = result.to_dict() | {"data_sha256": corpus.digest()}
    num_cut = recipe.task.count_cut(train_store, recipe.data.reading)
    vocabulary = f"{tokenizer.vocab_size:,} tokens by the segmenter `{tokenizer.config.segmenter}`"
    card = model_card(
        recipe,
        corpus,
        parameters=result.parameters,
        metrics=metrics,
        vocabulary=vocabulary,
        num_cut=num_cut,
        start=start,
    )
    save_folder(out, ModelFolder(task, tokenizer, recipe.to_dict(), metrics, card, calibration=trust.rows))
    let_go(out)
    shutil.rmtree(out / "stores", ignore_errors=True)


def _finished(out: Path) -> TrainingResult:
    """What a finished run had come to."""
    metrics = load_folder(out).metrics
    known = {name: metrics[name] for name in ("task", "parameters", "steps", "seconds", "dev", "test", "notes")}
    calibration = metrics.get("calibration")
    told = {name: metrics.get(name) for name in ("forgotten", "mixture")}
    return TrainingResult(model=out, **known | told, calibration=calibration)


def _text(path: str | Path | None) -> str | None:
    return str(path) if path is not None else None
