"""A model folder: saved so that other tools understand it, loaded so that nothing in it can run code.

``config.json`` holds the extractor's fields and the labels, ``model.safetensors`` the weights, ``tokenizer*.json``
the tokenizer, ``recipe.toml`` the whole run, ``metrics.json`` what was measured, ``README.md`` the model card,
``calibration.json``, where there is one, what promises rest on. Every
file is written aside and renamed; ``config.json`` comes last, so that a folder with it is whole.

A model that transformers has is kept as transformers keeps it: ``config.json`` and the weights have its fields and
names (`wenmo.interchange`), the extractor's own settings stand in ``recipe.toml``, and what it has no place for in
``head.safetensors``. A folder that transformers wrote is opened too.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from wenmo.errors import InputError, JobError
from wenmo.files import read_json, write_aside, write_json
from wenmo.interchange.huggingface import read_checkpoint
from wenmo.interchange.openai_gpt import holds_openai_gpt
from wenmo.interchange.opening import OpenedFolder, open_folder
from wenmo.interchange.sentence_transformers import MODULES
from wenmo.interchange.task_weights import as_ours, as_theirs
from wenmo.models.registry import build_model, config_from_dict
from wenmo.models.shapes import shapes_only
from wenmo.models.windows import Windows, windows_of
from wenmo.tasks.abstention import CalibrationRows
from wenmo.tasks.registry import task_config_class
from wenmo.tasks.task import Task
from wenmo.text.loading import AnyTokenizer, load_tokenizer

FORMAT_VERSION = 2
"""Raised when a folder changes so that an older wenmo could not read it; older folders stay readable."""
_OWN_NAMES, _THEIR_NAMES = 1, 2
"""The formats in which fields and weights have the names of wenmo, or those of transformers."""

CONFIG, WEIGHTS, RECIPE, METRICS, CARD = "config.json", "model.safetensors", "recipe.toml", "metrics.json", "README.md"
CALIBRATION, HEAD = "calibration.json", "head.safetensors"
_METADATA = {"format": "pt"}
"""Older versions of transformers open no file of weights without it."""
_OF_THE_FOLDER = ("format_version", "wenmo_version", "tokenizer_fingerprint")


@dataclass
class ModelFolder:
    """What a model folder holds."""

    task: Task
    tokenizer: AnyTokenizer
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    card: str = ""
    place: str = ""
    """Where it was read."""
    calibration: CalibrationRows | None = None
    """What the model said to labelled rows that no choice has seen."""


def save_folder(path: Path, folder: ModelFolder) -> None:
    """Write a model folder; until its last file stands there, nobody takes it for a whole one.

    Raises:
        JobError: a file could not be written, for example because the disk is full.
    """
    import tomli_w

    theirs = as_theirs(folder.task)
    described = {
        **(folder.task.extractor_config.to_dict() if theirs is None else theirs.described),
        **folder.task.config.described(),
        "tokenizer_fingerprint": folder.tokenizer.fingerprint(),
        "format_version": _OWN_NAMES if theirs is None else _THEIR_NAMES,
        "wenmo_version": wenmo_version(),
    }
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG).unlink(missing_ok=True)
        write_weights(path / WEIGHTS, folder.task.state_dict() if theirs is None else theirs.weights)
        (path / HEAD).unlink(missing_ok=True)
        if theirs is not None and theirs.own:
            write_weights(path / HEAD, theirs.own)
        folder.tokenizer.save(path)
        write_aside(path / RECIPE, tomli_w.dumps(folder.recipe))
        write_json(path / METRICS, folder.metrics)
        write_aside(path / CARD, folder.card)
        (path / CALIBRATION).unlink(missing_ok=True)
        if folder.calibration is not None:
            write_aside(path / CALIBRATION, json.dumps(folder.calibration.to_dict(), ensure_ascii=False) + "\n")
        write_json(path / CONFIG, described)
    except OSError as error:
        raise JobError(
            f"{path}: could not save the model ({error}); free some space or choose another --out"
        ) from error


def load_folder(path: Path) -> ModelFolder:
    """Read a model folder and make sure that its parts belong together; one of transformers, if its head is ours too.

    Raises:
        InputError: a file is missing, cut short or of another model; the message names it. Or the model does nothing
            but read.
    """
    found = open_any(path)
    if isinstance(found, ModelFolder):
        return found
    raise InputError(
        f"{path}: a model without a head: it gives texts vectors (wenmo embed) and answers nothing; train it with "
        f"--model {path}"
    )


def open_any(path: Path) -> ModelFolder | OpenedFolder:
    """A model folder, or one of transformers whose model does nothing but read.

    Raises:
        InputError: as `load_folder`.
    """
    if (path / MODULES).is_file() or _is_of_transformers(path):
        opened = open_folder(path)
        if opened.task is None:
            return opened
        return ModelFolder(opened.task.eval(), opened.tokenizer, opened.recipe, place=str(path))
    described = _read_config(path)
    recipe = _read_recipe(path / RECIPE)
    tokenizer = load_tokenizer(path)
    if described.get("tokenizer_fingerprint") not in (None, tokenizer.fingerprint()):
        raise InputError(
            f"{path}: tokenizer.json is not the one this model was trained with; copy the whole folder again"
        )
    in_theirs = described.get("format_version") == _THEIR_NAMES
    try:
        kind = task_config_class(recipe["task"].get("task", "classify"))
        of_others = {*_OF_THE_FOLDER, *kind.in_folder}
        ours = {name: value for name, value in described.items() if name not in of_others}
        config = config_from_dict(recipe["model"] if in_theirs else ours)
        task_config = kind.from_folder(recipe["task"], described)
        with shapes_only():
            task = task_config.build(build_model(config), config, windows_for(recipe["data"], tokenizer))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: {CONFIG} or {RECIPE} does not describe a model ({error}); copy the whole folder again"
        ) from error
    _fill(task, _their_weights(path, task) if in_theirs else _read_weights(path / WEIGHTS), path / WEIGHTS)
    task.take_tokenizer(tokenizer)
    metrics = read_json(path / METRICS) if (path / METRICS).exists() else {}
    card = _read(path / CARD) if (path / CARD).exists() else ""
    kept = _read_calibration(path / CALIBRATION)
    return ModelFolder(task.eval(), tokenizer, recipe, metrics, card, place=str(path), calibration=kept)


def _is_of_transformers(path: Path) -> bool:
    """Whether a folder has a ``config.json`` that wenmo did not write, or none because it is OpenAI's."""
    if holds_openai_gpt(path):
        return True
    if not (path / CONFIG).is_file():
        return False
    described = read_json(path / CONFIG)
    return isinstance(described, dict) and "model_type" in described and "wenmo_version" not in described


def _their_weights(path: Path, task: Task) -> dict[str, torch.Tensor]:
    """The weights of a task of which transformers has the most."""
    shared = as_ours(read_checkpoint(path), task.shared_heads)
    return shared | (_read_weights(path / HEAD) if (path / HEAD).exists() else {})


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file.

    Raises:
        InputError: it is missing or cut short.
    """
    if not path.is_file():
        raise InputError(f"{path}: there are no weights; copy the whole folder again, or train the model anew")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: cut short or not a safetensors file ({error}); copy it again") from error


def _fill(task: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put the weights of a file into a module, each exactly where it belongs.

    Raises:
        InputError: a weight is missing, left over or of another shape.
    """
    wanted = task.state_dict()
    missing, extra = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    if missing or extra:
        raise InputError(f"{path}: lacks {_few(missing)} and has {_few(extra)} beyond the model of {CONFIG}")
    for name, weight in weights.items():
        if weight.shape != wanted[name].shape:
            raise InputError(
                f"{path}: {name} is {tuple(weight.shape)}, but {CONFIG} describes {tuple(wanted[name].shape)}; "
                f"the two files are of different models"
            )
    trained = {name: parameter.requires_grad for name, parameter in task.named_parameters()}
    task.load_state_dict(weights, assign=True)
    for name, parameter in task.named_parameters():
        parameter.requires_grad_(trained[name])


def windows_for(data: Mapping[str, Any], tokenizer: AnyTokenizer) -> Windows | None:
    """The windows that the settings of the data want, each with the special tokens that the tokenizer puts there."""
    around = tokenizer.surroundings()
    return windows_of(data, before=len(around.before), behind=len(around.behind))


def folder_bytes(path: Path) -> int:
    """Size of what is needed to answer: config, weights and tokenizer."""
    needed = (CONFIG, WEIGHTS, HEAD, RECIPE, "tokenizer.json", "tokenizer_config.json")
    return sum((path / name).stat().st_size for name in needed if (path / name).exists())


def is_model_folder(path: Path) -> bool:
    """Whether a whole model stands there."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write safetensors aside and rename them into place."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        aside.touch()
        mode = aside.stat().st_mode  # that of any new file; safetensors makes one that nobody else may read
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, aside, _METADATA)
        aside.chmod(mode)
        os.replace(aside, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        aside.unlink(missing_ok=True)


def weights_digest(path: Path) -> str:
    """SHA-256 over names, shapes and values, whatever the order in the file."""
    digest = hashlib.sha256()
    with safe_open(path, framework="pt") as weights:
        for name in sorted(weights.keys()):
            digest.update(weight_as_bytes(name, weights.get_tensor(name)))
    return digest.hexdigest()


def weight_as_bytes(name: str, weight: torch.Tensor) -> bytes:
    """Name, shape, type and values of a weight, for a digest."""
    said = f"{name}{tuple(weight.shape)}{weight.dtype}".encode()
    # A single number, such as the gamma of a mixture, has no last axis to be seen as bytes.
    return said + weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()


def wenmo_version() -> str:
    """The installed version, or that of a source tree that is not installed."""
    try:
        return installed_version("wenmo")
    except PackageNotFoundError:
        return "0+unknown"


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise InputError(f"{path}: there is no such folder; a model folder is what `wenmo train --out` made")
    if not (path / CONFIG).is_file():
        raise InputError(
            f"{path / CONFIG}: missing; the folder is not a model or was not saved to the end (use --resume to go on "
            "with a run)"
        )
    described = read_json(path / CONFIG)
    if not isinstance(described, dict) or "model_type" not in described or "wenmo_version" not in described:
        raise InputError(f"{path / CONFIG}: not a model of wenmo: it has no model_type, or no wenmo_version")
    version = described.get("format_version", 1)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputError(f"{path}: format {version} is newer than this wenmo reads ({FORMAT_VERSION}); update wenmo")
    return described


def _read_calibration(path: Path) -> CalibrationRows | None:
    if not path.exists():
        return None
    try:
        return CalibrationRows.from_dict(read_json(path))
    except ValueError as error:
        raise InputError(f"{path}: not what a model keeps of its calibration rows: {error}; copy it again") from error


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({error}); copy the folder again") from error
    missing = [name for name in ("data", "model", "task", "training") if name not in recipe]
    if missing:
        raise InputError(f"{path}: cut short: it lacks {', '.join(missing)}; copy the folder again")
    return recipe


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: missing; copy the whole folder again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; copy the folder again") from error


def _few(names: list[str]) -> str:
    return "nothing" if not names else ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
