"""Settings as frozen dataclasses that refuse what they do not know."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

PairMode = Literal["siamese", "joined"]
"""How a model reads a pair of texts: each by itself with the same weights, or both as one text."""


class Config:
    """Base of every settings dataclass: values only, from and to plain dictionaries.

    Subclasses are ``@dataclass(frozen=True, kw_only=True)``. Pydantic would drop unknown keys of a dataclass unless
    told otherwise, hence ``__pydantic_config__``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the settings from plain values, as JSON and TOML hold them.

        Raises:
            ValueError: a name is not a field; the message says which field is nearest.
        """
        cls.check_names(values)
        return cls(**{name: _frozen(value) for name, value in values.items()})

    @classmethod
    def check_names(cls, names: Iterable[str]) -> None:
        """Refuse a name that is not a field, and say which field is nearest.

        Raises:
            ValueError: one is not.
        """
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in names:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {nearest[0]!r}?" if nearest else f"its fields are {', '.join(known)}"
                raise ValueError(f"{cls.__name__} has no field {name!r}; {hint}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON and TOML can hold; None, which TOML has not, is a default and left out."""
        values = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Base of the extractors' settings. Each subclass has a literal field ``model_type`` that names it in files."""

    fitting: ClassVar[Literal["gradient", "convex", "counted"]] = "gradient"
    """How the weights are found: by the training loop, by a convex solver over n-grams, or by counting alone."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity")
    """What it can be trained to do: ``tag`` wants a vector for each token."""

    reads_bytes: ClassVar[bool] = False
    """Whether it reads each word as its bytes (`wenmo.text.word_bytes`) and has no vocabulary of words."""

    causal: ClassVar[bool] = False
    """Whether no token sees a later one, and a text is read off its last token."""

    reads_vectors: ClassVar[bool] = False
    """Whether it can read vectors in the place of words: of another model (`wenmo.models.stacked`)."""

    pair: ClassVar[PairMode] = "siamese"
    """How it reads pairs unless a person says otherwise."""

    model_type: str
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""

    @property
    def hidden_size(self) -> int:
        """Width of the features."""
        raise TypeError(f"{type(self).__name__} does not say its hidden_size")

    @property
    def foretells(self) -> bool:
        """Whether the vectors of its words also foretell what comes next."""
        return self.causal and bool(getattr(self, "tie_word_embeddings", False))

    def as_start(self) -> Self | None:
        """The settings of a checkpoint that stays as it is while a task learns on it; None: all of it learns."""
        return None

    @property
    def pooler_size(self) -> int:
        """Width of the one vector a text; that of the features unless a model pools to another."""
        return self.hidden_size


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
