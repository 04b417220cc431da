"""The whole of a run as one validated object: data, model, task, training.

A recipe is read from TOML, overridden by what stands on the command line, and saved resolved beside the model. Running
a saved recipe again gives the same model. Its parts are the very dataclasses that models and tasks take.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from wenmo.data.long_texts import LongTexts, Reading
from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.models.registry import Preset, config_class, preset
from wenmo.models.stacked import StackedConfig, on_vectors
from wenmo.tasks.classification import ClassificationConfig
from wenmo.tasks.registry import task_config_class, task_of_source
from wenmo.tasks.task import TaskConfig
from wenmo.text.tokenizers import TokenizerConfig
from wenmo.training.starting import (
    model_type_of_checkpoint,
    name_and_features,
    name_and_folder,
    settings_of_checkpoint,
    settings_of_features,
)

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[int, Field(ge=1)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


_SUITS_ONE_MODEL = ("tokenizer", "max_length", "long_texts", "window_overlap", "bucket")
"""Fields of the data that a model's preset, or a recipe about a model, sets for this model."""
_OF_ANY_TRAINING = ("seed", "deterministic", "precision", "tensorboard", "max_seconds")
"""Fields of the training that say nothing about a model."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _tokenizer(value: Any) -> Any:
    """``data.tokenizer = "words"`` is short for ``data.tokenizer.segmenter = "words"``."""
    if isinstance(value, TokenizerConfig):
        return value
    values: dict[str, Any] = {"segmenter": value} if isinstance(value, str) else dict(value)
    known = [f.name for f in fields(TokenizerConfig)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"the tokenizer has no field {unknown[0]!r}; its fields are {', '.join(known)}")
    return TypeAdapter(TokenizerConfig).validate_python(values)


def _config_to_dict(config: Any) -> dict[str, Any]:
    return {name: _listed(value) for name, value in asdict(config).items()}


class DataSettings(_Settings):
    """Where the texts come from and how they become batches."""

    train: str = ""
    """The texts to learn from: a file, a folder, a name."""
    dev: str = ""
    """The texts to choose by; empty: a share of train."""
    test: str = ""
    """The texts to score at the end; empty: a share of train, if ``test_share`` says so."""
    target: str = ""
    """For translation, the file whose n-th line is what the n-th line of ``train`` shall become; empty: ``train`` is a
    table."""
    dev_target: str = ""
    """The same for ``dev``."""
    test_target: str = ""
    """The same for ``test``."""
    text_column: str = ""
    """Empty: found by its name."""
    text_b_column: str = ""
    """The second text of a pair; empty: found by its name."""
    label_column: str = ""
    """Empty: found by its name."""
    label_separator: str = ""
    """What stands between several labels in one cell."""
    group_column: str = ""
    """Rows of one group stay on one side of a split."""
    time_column: str = ""
    """Dev and test are the latest rows."""
    encoding: str = ""
    """Of text files, such as big5; empty: found."""
    dev_share: _Share = 0.1
    """Of the rows of train, where ``dev`` names no file."""
    test_share: _Share = 0.0
    """Of the rows of train, where ``test`` names no file."""
    split_seed: _Count = 0
    """Another seed gives other shares and folds."""
    calibration: str = ""
    """Labelled texts that nothing is chosen by, kept for promises: answers with an error of at most so much."""
    calibration_share: _Share = 0.0
    """Of the rows of train for the same, where ``calibration`` names no file."""
    tokenizer: Annotated[TokenizerConfig, BeforeValidator(_tokenizer), PlainSerializer(_config_to_dict)] = (
        TokenizerConfig()
    )
    vectors: str = ""
    """A file of word vectors: word2vec, GloVe or fastText."""
    keep_vector_words: bool = False
    """Words that stand in the file of vectors alone are known too, so that later texts have theirs."""
    max_length: _Count = 512
    """Of a longer text is read what ``long_texts`` says, and it is counted; 0: no text is too long."""
    long_texts: Reading = "head"
    """The first ``max_length`` tokens, the last ones, some of both (a quarter from the head: Sun et al. 2019), or all
    in windows of that length whose vectors are averaged."""
    window_overlap: _Share = 0.25
    """Share of a window that the next one repeats."""
    bucket: _Count = 50
    """Batches among which texts are sorted by length; 0: not at all."""

    @property
    def reading(self) -> LongTexts:
        """How texts over ``max_length`` are read."""
        return LongTexts(self.max_length, self.long_texts)


class TrainingSettings(_Settings):
    """How the weights are found."""

    optimizer: Literal["adamw", "adam", "adadelta", "sgd"] = "adamw"
    learning_rate: _Amount = 1e-3
    """At its highest: behind the warm-up, before the decay."""
    head_learning_rate: _Amount = 0.0
    """The same of what stands on the extractor's layers: classifier, pooler; 0: ``learning_rate``."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the rate, from each layer to the one below it: the top layer has this share of it, the next one its square,
    and the vectors of tokens have the least (Clark et al. 2020, with 0.8); 1: all have the same."""
    freeze: Literal["none", "embeddings"] | _Number = "none"
    """What does not learn: ``embeddings``, the vectors of tokens; or a number: those and so many lowest layers."""
    unfreeze_epochs: _Count = 0
    """At first the head learns alone, and every so many epochs one layer more, from the top (Howard and Ruder 2018);
    0: all learn from the start."""
    reinitialize_layers: _Count = 0
    """So many of a checkpoint's top layers, and its pooler, start from new weights (Zhang et al. 2021)."""
    weight_decay: _Amount = 0.0
    """AdamW shrinks the weights by it; the others add it to the gradient."""
    decay: Literal["all", "matrices"] = "all"
    """Which weights decay: all of them, or neither biases nor norms."""
    beta1: _Share = 0.9
    """Of Adam; the momentum of SGD."""
    beta2: _Share = 0.999
    """Of Adam."""
    rho: _Share = 0.95
    """Of Adadelta."""
    epsilon: _Amount = 1e-8
    """Of Adam and Adadelta."""
    lazy_rows: bool = True
    """Word vectors that a batch does not touch are left alone. Exact for Adadelta and for SGD without momentum and
    decay; for Adam it is the rule of `torch.optim.SparseAdam`. One process only."""
    schedule: Literal["constant", "linear", "cosine", "noam"] = "constant"
    """How the rate falls after the warm-up: not, to 0 linearly or along a cosine, or with the root of the step."""
    warmup_steps: _Count = 0
    """Updates over which the rate rises from 0."""
    warmup_share: _Share = 0.0
    """The same as a share of all updates; instead of ``warmup_steps``."""
    batch_size: _Number | None = None
    """Texts of a batch, in each process; 50 where neither is set."""
    batch_tokens: _Number | None = None
    """Tokens of a batch, padding included; instead of ``batch_size``."""
    sampling: Literal["natural", "balanced"] = "natural"
    """``balanced``: an epoch has as many texts as ever, but the same number of each label."""
    accumulation_steps: _Number = 1
    """Batches of an update."""
    max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20
    """Passes over the texts; a half is half a pass."""
    max_steps: _Count = 0
    """Updates; 0: as many as ``max_epochs`` take."""
    max_seconds: _Amount = 0.0
    """Training stops after this long and keeps the best model so far; 0: never."""
    max_grad_norm: _Amount = 0.0
    """Longer gradients are scaled down to it; 0: not at all."""
    max_grad_value: _Amount = 0.0
    """Every partial derivative is cut to plus or minus this; 0: not at all."""
    average_decay: _Share = 0.0
    """What dev is asked and what is kept is a moving mean of the weights, which forgets at this rate, such as 0.999
    an update; 0: the weights themselves."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the arithmetic; the weights are float32."""
    eval_steps: _Count = 0
    """Updates between two looks at dev; 0: an epoch."""
    save_steps: _Count = 0
    """Updates between two checkpoints; 0: at every look at dev, but not twice within a minute."""
    patience: _Count = 3
    """Looks at dev without a better one after which training stops; 0: never."""
    seed: _Count = 0
    """Of first weights, order and dropout."""
    deterministic: bool = False
    """Refuse operations whose result may differ from run to run."""
    tensorboard: bool = False
    """Write events for TensorBoard beside the model."""

    @model_validator(mode="after")
    def _one_kind_of_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_share:
            raise ValueError("set training.warmup_steps (updates) or training.warmup_share, not both")
        return self

    @model_validator(mode="before")
    @classmethod
    def _one_kind_of_batch(cls, values: Any) -> Any:
        if isinstance(values, dict):
            if values.get("batch_size") and values.get("batch_tokens"):
                raise ValueError("set training.batch_size (texts) or training.batch_tokens (tokens), not both")
            if not values.get("batch_size") and not values.get("batch_tokens"):
                return {**values, "batch_size": 50}
        return values


def _model(value: Any) -> Any:
    """The settings of the class that ``model_type`` names, the type of every field checked."""
    if isinstance(value, ModelConfig):
        return value
    kind = config_class(value.get("model_type"))
    kind.check_names(value)
    return TypeAdapter(kind).validate_python(value)


def _task(value: Any) -> Any:
    """The settings of the task that ``task`` names, classification where it names none."""
    if isinstance(value, TaskConfig):
        return value
    kind = task_config_class(value.get("task", "classify"))
    kind.check_names(value)
    return TypeAdapter(kind).validate_python(value)


class FeatureSettings(_Settings):
    """The model whose layers are read in the place of words: it stays as it is."""

    checkpoint: str
    """The folder of a pre-trained model."""
    model: Annotated[ModelConfig, BeforeValidator(_model), PlainSerializer(_config_to_dict)]
    layers: str = "all"
    """``all``: a learnt mixture of the embeddings and all layers. ``last``, or the number of one, 0 being the
    embeddings."""
    cached: bool = True
    """The layers are computed once and kept on disk while the run lasts; else they are computed for every batch."""
    folder: str = ""
    """Where they are kept for other runs too; empty: beside the run, until its end."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the numbers that are kept."""

    @field_validator("layers", mode="before")
    @classmethod
    def _number_of_a_layer(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class Recipe(_Settings):
    """The whole of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    data: DataSettings = DataSettings()
    model: Annotated[ModelConfig, BeforeValidator(_model), PlainSerializer(_config_to_dict)]
    task: Annotated[TaskConfig, BeforeValidator(_task), PlainSerializer(_config_to_dict)] = ClassificationConfig()
    training: TrainingSettings = TrainingSettings()
    checkpoint: str | None = None
    """The folder of a pre-trained model to start from, with its tokenizer and its weights."""
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
        over = [values or {}, *map(_parse_override, overrides)]
        model, below_it = name_and_features(model or "")
        features = features or below_it or reduce(_merge, over, from_file).get("features", {}).get("checkpoint")
        name, checkpoint = name_and_folder(model or named or "")
        if not (model or whole):  # a model that the call names is not that of the file
            checkpoint = checkpoint or reduce(_merge, over, from_file).get("checkpoint") or ""
        else:
            from_file = {section: value for section, value in from_file.items() if section != "checkpoint"}
        merged: dict[str, Any] = {}
        if whole:
            wanted = {"model_type": whole}
        elif checkpoint:
            wanted = {"model_type": model_type_of_checkpoint(located(checkpoint))}
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
            if any(_listed(told.get(field, value)) != _listed(value) for field, value in wanted.items()):
                from_file, in_file = _for_any_model(from_file), {}
        said = [below, {**from_file, "model": in_file}, *over]
        task = _task_of(reduce(_merge, said, merged))
        of_task = {**task_config_class(task).defaults, "task": {"task": task}}
        of_start = settings_of_checkpoint(located(checkpoint), name, task) if checkpoint else {}
        start = of_start | ({"checkpoint": checkpoint} if checkpoint else {})
        of_features = settings_of_features(located, features) if features else {}
        merged = reduce(_merge, [of_task, start, of_features, *said], merged)
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
            raise InputError(_explain(error)) from error
        except ValueError as error:
            raise InputError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Nested values that TOML can hold: what is not set is left out."""
        values: dict[str, Any] = _without_none(self.model_dump())
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


def _listed(value: Any) -> Any:
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value


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


def _parse_override(text: str) -> dict[str, Any]:
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


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        if value is None:
            continue
        inner = merged.get(name)
        if isinstance(value, Mapping):
            merged[name] = _merge(inner if isinstance(inner, Mapping) else {}, value)
        elif name == "tokenizer" and isinstance(value, str):
            merged[name] = {**(inner or {}), "segmenter": value}
        else:
            merged[name] = value
        if name == "batch_tokens":
            merged.pop("batch_size", None)
        elif name == "batch_size":
            merged.pop("batch_tokens", None)
    return merged


def _without_none(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _without_none(value) for name, value in values.items() if value is not None}
    return [_without_none(value) for value in values] if isinstance(values, list | tuple) else values


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "recipe"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            problems.append(f"{field}: there is no such field{_nearest_field(item['loc'])}")
            continue
        problems.append(f"{field}: {message}" + (f" (got {item['input']!r})" if item["type"] != "value_error" else ""))
    return "; ".join(problems)


def _nearest_field(path: tuple[int | str, ...]) -> str:
    """What may have been meant by the last name of a path that leads nowhere."""
    rooms: dict[str, type[BaseModel]] = {
        "": Recipe,
        "data": DataSettings,
        "training": TrainingSettings,
        "features": FeatureSettings,
    }
    settings = rooms.get(".".join(str(name) for name in path[:-1]))
    nearest = difflib.get_close_matches(str(path[-1]), settings.model_fields, n=1) if settings else []
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
