"""The whole of a pre-training as one validated object: corpus, model, objectives, schedule, training.

It is read and saved as a `wenmo.training.recipe.Recipe` is; running a saved one again gives the same model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, ValidationError, model_validator

from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.models.registry import preset
from wenmo.models.sizes import sized_config
from wenmo.pretraining.catalogue import ObjectivesConfig
from wenmo.pretraining.schedule import Schedule
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.tokenizer_config import WORD_PIECES, TokenizerConfig
from wenmo.training.recipe import checkpoint_place, explain, merge, parse_override, read_toml, without_none
from wenmo.training.settings import (
    Settings,
    TrainingSettings,
    config_to_dict,
    model_settings,
    tokenizer_settings,
)
from wenmo.training.starting import config_of_start

_SPAN_READERS = ("ernie", "ernie2")
"""Models whose text has its words, phrases and entities marked, unless a person says otherwise."""
_RATES = {"tiny": 1e-3, "mini": 1e-3, "small": 5e-4, "base": 1e-4, "large": 1e-4}
_TRAINING: Mapping[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "decay": "matrices",
    "epsilon": 1e-6,
    "max_grad_norm": 1.0,
    "schedule": "linear",
    "warmup_share": 0.05,
    "batch_size": 32,
    "max_steps": 10_000,
    "eval_steps": 500,
    "log_steps": 100,
    "save_steps": 500,
    "patience": 0,
    "lazy_rows": False,
}
"""Of Devlin et al. 2019, appendix A.2, and their code; for fewer updates, with higher rates for smaller models."""
_GOING_ON: Mapping[str, Any] = {"learning_rate": 5e-5}
"""Of a model that is trained already (Gururangan et al., ACL 2020, https://arxiv.org/abs/2004.10964)."""


@dataclass(frozen=True, kw_only=True)
class CorpusSection(CorpusSettings):
    """What a model is pre-trained on, and how it reads it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    sources: tuple[str, ...] = ()
    """Files, folders and names on the hub."""
    folder: str = ""
    """Where the corpus is made, or stands already; empty: beside the run."""
    tokenizer: Annotated[TokenizerConfig, BeforeValidator(tokenizer_settings), PlainSerializer(config_to_dict)] = field(
        default_factory=TokenizerConfig
    )
    """Learnt from the corpus, unless a run goes on from a model."""
    spans: bool = False
    """Its words, phrases and entities are marked, as `wenmo annotate` shows them: for masking that goes by them."""
    lexica: tuple[str, ...] = ()
    """Files of entities, for `spans`."""
    phrases: tuple[str, ...] = ()
    """Files of phrases."""
    tagger: str = ""
    """The folder of a tagger that finds entities."""
    workers: int = 1
    """Processes that make the corpus."""
    window: int = 8
    """Shards whose sequences are shuffled together."""
    length: int = 128
    """Tokens of a sequence, the special ones among them."""
    long_length: int = 512
    """Tokens of a sequence in the last updates."""
    long_share: float = 0.1
    """Of the updates: the last ones have long sequences; 0: none has."""
    held_out_sequences: int = 500
    """Most sequences of held-out text that each look is at."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.workers, self.window, self.length, self.long_length, self.held_out_sequences) < 1:
            raise InputError(
                "corpus.workers, corpus.window, corpus.length, corpus.long_length and corpus.held_out_sequences are at "
                "least 1"
            )
        if not 0 <= self.long_share <= 1:
            raise InputError(f"corpus.long_share is a share of the updates, from 0 to 1; got {self.long_share}")

    @property
    def settings(self) -> CorpusSettings:
        """What the corpus follows from."""
        return CorpusSettings(**{each.name: getattr(self, each.name) for each in fields(CorpusSettings)})

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.length, self.long_length if self.long_share else 0)


def _corpus(value: Any) -> Any:
    return value if isinstance(value, CorpusSection) else TypeAdapter(CorpusSection).validate_python(value)


def _schedule(value: Any) -> Any:
    return value if isinstance(value, Schedule | None) else Schedule.from_dict(value)


class PretrainingRecipe(Settings):
    """The whole of a pre-training."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    corpus: Annotated[CorpusSection, BeforeValidator(_corpus), PlainSerializer(config_to_dict)] = CorpusSection()
    model: Annotated[ModelConfig, BeforeValidator(model_settings), PlainSerializer(config_to_dict)]
    objectives: Annotated[ObjectivesConfig, PlainSerializer(config_to_dict)] = ObjectivesConfig()
    schedule: Annotated[
        Schedule | None, BeforeValidator(_schedule), PlainSerializer(lambda value: value and value.to_dict())
    ] = None
    """The updates of each objective in each stage; left out: what suits the model, in every update."""
    training: TrainingSettings = TrainingSettings()
    checkpoint: str | None = None
    """The folder of a model to go on from, with its tokenizer and its weights."""

    @model_validator(mode="after")
    def _sequences_fit_the_model(self) -> Self:
        limit = getattr(self.model, "max_position_embeddings", None)
        if limit and self.corpus.longest > limit:
            raise ValueError(
                f"sequences of {self.corpus.longest} tokens are over model.max_position_embeddings={limit}; lower "
                "corpus.length and corpus.long_length (corpus.long_share=0: no long ones), or set a larger model"
            )
        if not self.training.max_steps:
            raise ValueError("training.max_steps is 0; a pre-training has a number of updates, over all its stages")
        return self

    @classmethod
    def build(
        cls,
        *,
        model: str | None = None,
        size: str = "",
        start: str = "",
        file: Path | None = None,
        values: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
    ) -> Self:
        """Put a recipe together; later ones win: model and size, file, values, overrides.

        Raises:
            InputError: a field is unknown, a value cannot work, or no model is named.
        """
        from_file = read_toml(file) if file else {}
        # What only the reader of a finished model asks for.
        from_file = {name: value for name, value in from_file.items() if name not in ("data", "task", "run")}
        over = [from_file, values or {}, *map(parse_override, overrides)]
        start = start or str(reduce(merge, over).get("checkpoint") or "")
        said = reduce(merge, over)
        below = _of_model(model, size, start, said.get("model", {}))
        merged = merge(below, said)
        if (schedule := said.get("schedule")) and "max_steps" not in said.get("training", {}):
            merged["training"]["max_steps"] = Schedule.from_dict(schedule).total
        if _masks_units(said):
            merged["corpus"] = {"spans": True, **merged["corpus"]}
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise InputError(explain(error, {"": cls, "training": TrainingSettings})) from error
        except ValueError as error:
            raise InputError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Nested values that TOML can hold: what is not set is left out."""
        values: dict[str, Any] = without_none(self.model_dump())
        return values


def _of_model(model: str | None, size: str, start: str, whole: Mapping[str, Any]) -> dict[str, Any]:
    """What suits the model: that of a checkpoint, of a name and a size, or of a file that says all of it."""
    if start:
        if size:
            raise InputError(f"--size {size}: with --from, the sizes are those of {start}; leave it out")
        config = config_of_start(checkpoint_place(start))
        name = model or config.model_type
        if model and preset(model).model_type != config.model_type:
            raise InputError(f"--model {model}: {start} is a {config.model_type}; leave --model out")
        training = {**_TRAINING, **_GOING_ON}
        return {**_common(name, config), "model": config.to_dict(), "training": training, "checkpoint": start}
    if model is None and "model_type" in whole:
        return {"model": {}, "corpus": {}, "training": dict(_TRAINING)}
    if model is None:
        raise InputError("no model is named; use --model, for example --model bert --size tiny, or --from FOLDER")
    size = size or "tiny"
    config = sized_config(model, size)
    return {
        **_common(model, config),
        "model": config.to_dict(),
        "training": {**_TRAINING, "learning_rate": _RATES[size]},
    }


def _common(model: str, config: ModelConfig) -> dict[str, Any]:
    """How text is read, whatever the size."""
    if config.reads_bytes:
        tokenizer = {"segmenter": "words", "lowercase": False, "vocab_size": 50_000, "boundaries": True}
        return {"corpus": {"tokenizer": tokenizer, "word_bytes": True, "long_share": 0.0}}
    if config.model_type == "gpt":
        return {"corpus": {"tokenizer": {"segmenter": "bpe", "lowercase": False, "boundaries": True}}}
    corpus: dict[str, Any] = {"tokenizer": {"segmenter": WORD_PIECES}}
    if model in _SPAN_READERS:
        corpus["spans"] = True
    if model == "ernie2":
        corpus |= {"capitals": True, "connectives": True}
    return {"corpus": corpus}


def _masks_units(said: Mapping[str, Any]) -> bool:
    """Whether words, spans, phrases or entities are masked."""
    masking = said.get("objectives", {}).get("masking", {})
    return masking.get("unit", "token") != "token" or bool(masking.get("mixture"))
