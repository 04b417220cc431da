"""The whole of a run as one validated object: data, model, task, training.

A recipe is read from TOML, overridden by what stands on the command line, and saved resolved beside the model. Running
a saved recipe again gives the same model. Its parts are the very dataclasses that models and tasks take.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from wenmo.errors import InputError
from wenmo.interchange.hub import place_of
from wenmo.models.config import ModelConfig
from wenmo.models.registry import Preset, config_class, preset
from wenmo.models.stacked import StackedConfig, on_vectors
from wenmo.tasks.classification import ClassificationConfig
from wenmo.tasks.registry import task_config_class, task_of_source
from wenmo.tasks.task import TaskConfig
from wenmo.training.settings import (
    DataSettings,
    FeatureSettings,
    Settings,
    TrainingSettings,
    config_to_dict,
    listed,
    model_settings,
)
from wenmo.training.starting import (
    model_type_of_checkpoint,
    name_and_features,
    name_and_folder,
    settings_of_checkpoint,
    settings_of_features,
)

_SUITS_ONE_MODEL = ("tokenizer", "max_length", "long_texts", "window_overlap", "bucket")
"""Fields of the data that a model's preset, or a recipe about a model, sets for this model."""
_OF_ANY_TRAINING = ("seed", "deterministic", "precision", "tensorboard", "max_seconds")
"""Fields of the training that say nothing about a model."""


def _task(value: Any) -> Any:
    """The settings of the task that ``task`` names, classification where it names none."""
    if isinstance(value, TaskConfig):
        return value
    kind = task_config_class(value.get("task", "classify"))
    kind.check_names(value)
    return TypeAdapter(kind).validate_python(value)


class Recipe(Settings):
    """The whole of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    data: DataSettings = DataSettings()
    model: Annotated[ModelConfig, BeforeValidator(model_settings), PlainSerializer(config_to_dict)]
    task: Annotated[TaskConfig, BeforeValidator(_task), PlainSerializer(config_to_dict)] = ClassificationConfig()
    training: TrainingSettings = TrainingSettings()
    checkpoint: str | None = None
    """The folder of a pre-trained model to start from, with its tokenizer and its weights, or its name on the hub."""
    features: FeatureSettings | None = None
    """What ``model`` reads in the place of words."""

    @property
    def extractor(self) -> ModelConfig:
        """What is built: ``model``, or the stack of it on the features that it reads."""
        if self.features is None:
            return self.model
        frozen = self.features.model
        top = on_vectors(self.model, frozen.hidden_size) if self.model.reads_vectors else self.model
        return StackedConfig(vocab_size=frozen.vocab_size, frozen=frozen, top=top, layers=self.features.layers)

    @property
    def pretrained(self) -> str:
        """The folder whose tokenizer reads the texts; empty: there is none."""
        return self.checkpoint or (self.features.checkpoint if self.features else "")

    @model_validator(mode="after")
    def _one_pretrained_model(self) -> Self:
        if self.checkpoint and self.features:
            raise ValueError("a model that reads features does not start from a checkpoint; leave one of them out")
        if self.features and self.data.vectors:
            raise ValueError("data.vectors: a model that reads features has no word vectors; leave them out")
        return self

    @model_validator(mode="after")
    def _texts_fit_the_model(self) -> Self:
        limit, length = getattr(self.extractor, "max_position_embeddings", None), self.data.max_length
        if limit and not 0 < length <= limit:
            what = f"data.max_length is {length}" if length else "data.max_length is 0, so that no text is cut"
            raise ValueError(
                f"{what}, but the model reads at most model.max_position_embeddings={limit} tokens; "
                f"set data.max_length={limit}, or a larger model.max_position_embeddings"
            )
        return self

    @classmethod
    def build(
        cls,
        *,
        model: str | None = None,
        below: Mapping[str, Any] | None = None,
        file: Path | None = None,
        values: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
        features: str | None = None,
    ) -> Self:
        """Put a recipe together; later ones win: preset, the task's defaults, what is below, file, values, overrides.

        The task is read off the data where nothing names it.

        Args:
            model: the name of a preset, the folder of a checkpoint, or both, ``name:FOLDER``; may be left out where the
                file or what is below it names a model.
            below: nested like ``values``: what holds unless the file says otherwise. A model in it is whole and takes
                the place of the preset.
            values: nested, like the recipe itself; ``None`` stands for "not said".
            overrides: ``path.to.field=value``, the value as in TOML or a bare string.
            features: the checkpoint whose layers the model reads, as it may stand in ``model`` behind an ``@``.

        Raises:
            InputError: a field is unknown, a value cannot work, or no model is named.
        """
        from_file, below = read_toml(file) if file else {}, below or {}
        in_file = dict(from_file.get("model", {}))
        named = in_file.pop("name", None)
        whole = below.get("model", {}).get("model_type")
        over = [values or {}, *map(parse_override, overrides)]
        model, below_it = name_and_features(model or "")
        features = features or below_it or reduce(merge, over, from_file).get("features", {}).get("checkpoint")
        name, checkpoint = name_and_folder(model or named or "")
        if not (model or whole):  # a model that the call names is not that of the file
            checkpoint = checkpoint or reduce(merge, over, from_file).get("checkpoint") or ""
        else:
            from_file = {section: value for section, value in from_file.items() if section != "checkpoint"}
        merged: dict[str, Any] = {}
        if whole:
            wanted = {"model_type": whole}
        elif checkpoint:
            wanted = {"model_type": model_type_of_checkpoint(str(checkpoint_place(checkpoint)))}
        elif name:
            chosen = preset(name)
            wanted = _model_values(chosen)
            merged = {
                "model": wanted,
                "data": {**chosen.data, "tokenizer": dict(chosen.tokenizer)},
                "training": dict(chosen.training),
            }
        else:
            wanted = {}
        if named is None or named != (model or named):
            told = {**in_file, **(_model_values(preset(named)) if named else {})}
            if any(listed(told.get(field, value)) != listed(value) for field, value in wanted.items()):
                from_file, in_file = _for_any_model(from_file), {}
        said = [below, {**from_file, "model": in_file}, *over]
        task = _task_of(reduce(merge, said, merged))
        of_task = {**task_config_class(task).defaults, "task": {"task": task}}
        of_start = settings_of_checkpoint(str(checkpoint_place(checkpoint)), name, task) if checkpoint else {}
        start = of_start | ({"checkpoint": checkpoint} if checkpoint else {})
        of_features = settings_of_features(located, features) if features else {}
        merged = reduce(merge, [of_task, start, of_features, *said], merged)
        if features:
            merged["features"] |= {"checkpoint": of_features["features"]["checkpoint"]}
        elif merged.get("features") and "model" not in merged["features"]:
            raise InputError("features: no checkpoint is named; give --features, for example --features bert:FOLDER")
        if "model_type" not in merged.get("model", {}):
            raise InputError("no model is named; use --model, for example --model textcnn")
        kind = config_class(merged["model"]["model_type"])
        if features and not kind.reads_vectors:
            raise InputError(
                f"a {merged['model']['model_type']} model does not read vectors in the place of words; take textcnn, "
                "bag, a recurrent model or transformer"
            )
        if merged.get("data", {}).get("train") and kind.fitting == "convex":
            refuse_unable(kind, task)  # before its n-grams are held against the tokens of the task
        return cls.from_dict(merged)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Validate nested values.

        Raises:
            InputError: the message names the field and what is wrong with it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(explain(error)) from error
        except ValueError as error:
            raise InputError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Nested values that TOML can hold: what is not set is left out."""
        values: dict[str, Any] = without_none(self.model_dump())
        return values


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a recipe file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def _model_values(chosen: Preset) -> dict[str, Any]:
    """What tells a preset's model from others: presets of one class differ in the values they set."""
    return {"model_type": chosen.model_type, **chosen.values}


def _for_any_model(from_file: Mapping[str, Any]) -> dict[str, Any]:
    """What a file about another model says of the data, the task and the run; what suits that model does not hold."""
    data = {name: value for name, value in from_file.get("data", {}).items() if name not in _SUITS_ONE_MODEL}
    training = {name: value for name, value in from_file.get("training", {}).items() if name in _OF_ANY_TRAINING}
    return {**from_file, "data": data, "training": training}


def refuse_unable(model: type[ModelConfig], task: str) -> None:
    """Refuse a model that cannot learn a task.

    Raises:
        InputError: it cannot; the message says what it can.
    """
    if task not in model.tasks:
        kind = model.__dataclass_fields__["model_type"].default
        raise InputError(f"a {kind} model cannot {task}; it can {' or '.join(model.tasks)}")


def _task_of(values: Mapping[str, Any]) -> str:
    """What is named, or else what the training data is for."""
    data = values.get("data", {})
    named = values.get("task", {}).get("task")
    if named:
        return str(named)
    if data.get("target"):
        return "translate"
    if data.get("text_column") or not data.get("train"):
        return str(ClassificationConfig.task)
    return task_of_source(located(str(data["train"])))


def located(source: str) -> str:
    """A relative path that is not here, but below the folder that WENMO_DATA names, as it stands there.

    So a recipe can name a published data set without saying where it lies on one machine.
    """
    folder = os.environ.get("WENMO_DATA", "")
    there = Path(folder) / source
    return str(there) if folder and not Path(source).exists() and there.exists() else source


def checkpoint_place(checkpoint: str) -> Path:
    """Where the checkpoint of a recipe lies: as `located`, or else by its name on the hub.

    Raises:
        InputError: it has such a name, and is neither in the hub's cache nor can it be fetched.
    """
    return place_of(located(checkpoint))


def parse_override(text: str) -> dict[str, Any]:
    """``path.to.field=value`` as nested values.

    Raises:
        InputError: it is not written so.
    """
    path, separator, literal = text.partition("=")
    if not separator or not path.strip():
        raise InputError(f"-o {text!r}: write path.to.field=value, for example -o training.learning_rate=0.001")
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except tomllib.TOMLDecodeError:
        value = literal
    for name in reversed(path.strip().split(".")):
        value = {name: value}
    return dict(value)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with others over them; None stands for what was not said."""
    merged = dict(below)
    for name, value in above.items():
        if value is None:
            continue
        inner = merged.get(name)
        if isinstance(value, Mapping):
            merged[name] = merge(inner if isinstance(inner, Mapping) else {}, value)
        elif name == "tokenizer" and isinstance(value, str):
            merged[name] = {**(inner or {}), "segmenter": value}
        else:
            merged[name] = value
        if name == "batch_tokens":
            merged.pop("batch_size", None)
        elif name == "batch_size":
            merged.pop("batch_tokens", None)
    return merged


def without_none(values: Any) -> Any:
    """Nested values that TOML can hold."""
    if isinstance(values, dict):
        return {name: without_none(value) for name, value in values.items() if value is not None}
    return [without_none(value) for value in values] if isinstance(values, list | tuple) else values


def explain(error: ValidationError, rooms: Mapping[str, type[BaseModel]] | None = None) -> str:
    """What is wrong with which field; ``rooms`` are the parts of the recipe, whose fields are guessed at."""
    problems = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "recipe"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            problems.append(f"{field}: there is no such field{_nearest_field(item['loc'], rooms)}")
            continue
        problems.append(f"{field}: {message}" + (f" (got {item['input']!r})" if item["type"] != "value_error" else ""))
    return "; ".join(problems)


def _nearest_field(path: tuple[int | str, ...], rooms: Mapping[str, type[BaseModel]] | None) -> str:
    """What may have been meant by the last name of a path that leads nowhere."""
    known: dict[str, type[BaseModel]] = {
        "": Recipe,
        "data": DataSettings,
        "training": TrainingSettings,
        "features": FeatureSettings,
    }
    settings = (rooms or known).get(".".join(str(name) for name in path[:-1]))
    nearest = difflib.get_close_matches(str(path[-1]), settings.model_fields, n=1) if settings else []
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
