"""The parts of a recipe: what is said of the data, of the training, and of features that are read.

A string under a field says what its name leaves open.
"""

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    field_validator,
    model_validator,
)

from wenmo.data.long_texts import LongTexts, Reading
from wenmo.models.config import ModelConfig
from wenmo.models.registry import config_class
from wenmo.text.tokenizers import TokenizerConfig

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[int, Field(ge=1)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Values that are checked, never changed, and refuse a name that they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def tokenizer_settings(value: Any) -> Any:
    """``data.tokenizer = "words"`` is short for ``data.tokenizer.segmenter = "words"``."""
    if isinstance(value, TokenizerConfig):
        return value
    values: dict[str, Any] = {"segmenter": value} if isinstance(value, str) else dict(value)
    known = [f.name for f in fields(TokenizerConfig)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"the tokenizer has no field {unknown[0]!r}; its fields are {', '.join(known)}")
    return TypeAdapter(TokenizerConfig).validate_python(values)


def config_to_dict(config: Any) -> dict[str, Any]:
    """The fields of a dataclass as values that TOML can hold."""
    return {name: listed(value) for name, value in asdict(config).items()}


class DataSettings(Settings):
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
    tokenizer: Annotated[TokenizerConfig, BeforeValidator(tokenizer_settings), PlainSerializer(config_to_dict)] = (
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


class TrainingSettings(Settings):
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
    log_steps: _Count = 0
    """Updates between two lines of ``training.jsonl``; 0: at every look at dev."""
    eval_steps: _Count = 0
    """Updates between two looks at dev; 0: an epoch."""
    save_steps: _Count = 0
    """Updates between two checkpoints; 0: at every look at dev, but not twice within a minute."""
    patience: _Count = 3
    """Looks at dev without a better one after which training stops; 0: never."""
    seed: _Count = 0
    """Of first weights, order and dropout."""
    sharding: Literal["none", "full"] = "none"
    """Of several processes: each holds the whole model, or its share of every parameter, gradient and moment."""
    recompute: bool = False
    """What the layers of a Transformer compute on the way up is computed again on the way back and not kept: a third
    more time, far less memory."""
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


def model_settings(value: Any) -> Any:
    """The settings of the class that ``model_type`` names, the type of every field checked."""
    if isinstance(value, ModelConfig):
        return value
    kind = config_class(value.get("model_type"))
    kind.check_names(value)
    return TypeAdapter(kind).validate_python(value)


class FeatureSettings(Settings):
    """The model whose layers are read in the place of words: it stays as it is."""

    checkpoint: str
    """The folder of a pre-trained model."""
    model: Annotated[ModelConfig, BeforeValidator(model_settings), PlainSerializer(config_to_dict)]
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


def listed(value: Any) -> Any:
    """Tuples as lists, inner ones too."""
    return [listed(each) for each in value] if isinstance(value, list | tuple) else value
