"""The one table of presets: what a name on the command line stands for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.models.shapes import shapes_only

ENTRY_POINT_GROUP = "wenmo.models"
"""Third parties declare entry points in this group; each names a `Preset`."""


@dataclass(frozen=True)
class Preset:
    """A name, the classes behind it, and the field values it sets."""

    name: str
    module: str
    config_class: str
    model_class: str
    paper: str
    use: str
    values: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the tokenizer that this model wants unless a person says otherwise."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the data that suit this model."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training that suit this model."""

    def load_config_class(self) -> type[ModelConfig]:
        """Import the class of the settings."""
        loaded: type[ModelConfig] = getattr(importlib.import_module(self.module), self.config_class)
        return loaded

    def default_config(self) -> ModelConfig:
        """The settings with the values of this preset."""
        return self.load_config_class().from_dict(self.values)

    @property
    def model_type(self) -> str:
        """What the settings call the model in files; presets of one class share it."""
        return str(self.load_config_class().__dataclass_fields__["model_type"].default)

    def load_model_class(self) -> type[nn.Module]:
        """Import the class of the extractor."""
        loaded: type[nn.Module] = getattr(importlib.import_module(self.module), self.model_class)
        return loaded


# Without dropout a recurrent model knows some thousand texts by heart within a few epochs.
_RECURRENT_TRAINING = {"learning_rate": 1e-3, "max_grad_norm": 5.0}
_RECURRENT_DROPOUT = {"embedding_dropout_prob": 0.5, "recurrent_dropout_prob": 0.2}


def _recurrent(name: str, values: Mapping[str, Any], paper: str, use: str) -> "Preset":
    return Preset(
        name=name,
        module="wenmo.models.recurrent",
        config_class="RecurrentConfig",
        model_class="Recurrent",
        paper=paper,
        use=use,
        values={**values, **_RECURRENT_DROPOUT},
        training=_RECURRENT_TRAINING,
    )


# A published size is no start from random weights: it comes with its checkpoint.
_SMALL_GPT = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_GPT_TRAINING = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "beta2": 0.99,
    "schedule": "cosine",
    "warmup_steps": 100,
    "max_grad_norm": 1.0,
}
_AS_WRITTEN = {"lowercase": False, "fold_width": False}
_SMALL_ELMO = {
    "filters": ((1, 16), (2, 32), (3, 64), (4, 64), (5, 80)),
    "num_highways": 1,
    "num_units": 256,
    "projection_size": 64,
    # A task has its own dropout on what the model says.
    "mix_dropout_prob": 0.0,
}
_WRITING_TRAINING = {"schedule": "noam", "max_grad_norm": 1.0, "batch_tokens": 2000, "max_epochs": 30, "patience": 5}

_READING_TRAINING = {
    "learning_rate": 5e-4,
    "schedule": "linear",
    "warmup_steps": 100,
    "max_grad_norm": 1.0,
    "batch_size": 32,
}
_SMALL_BERT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}

_NGRAMS = {"word_ngrams": (1, 2), "character_ngrams": (2, 5), "min_frequency": 2}
# A text has several n-grams for each word, the characters' behind those of the words: a limit would cut those off.
_WHOLE_TEXTS = {"max_length": 0}

_PRESETS = (
    Preset(
        name="textcnn",
        module="wenmo.models.textcnn",
        config_class="TextCnnConfig",
        model_class="TextCnn",
        paper="Kim, EMNLP 2014, arXiv 1408.5882",
        use="short texts and reviews: phrases that decide, wherever they stand; small and fast",
    ),
    Preset(
        name="bag",
        module="wenmo.models.bag",
        config_class="BagConfig",
        model_class="Bag",
        paper="Joulin et al., EACL 2017, arXiv 1607.01759",
        use="topics; the fastest to train and to answer; word order only through n-grams",
        training={"learning_rate": 3e-3},
    ),
    _recurrent(
        "rnn",
        {"cell": "rnn"},
        "Elman, Cognitive Science 1990",
        "the simplest recurrence: short texts, and to see what gates add",
    ),
    _recurrent(
        "lstm",
        {"cell": "lstm", "forget_bias": 1.0},
        "Hochreiter and Schmidhuber, Neural Computation 1997",
        "word order over longer stretches: negation, contrast, what came before",
    ),
    _recurrent(
        "gru",
        {"cell": "gru"},
        "Cho et al., EMNLP 2014, arXiv 1406.1078",
        "as lstm with three quarters of its weights",
    ),
    _recurrent(
        "bilstm",
        {"cell": "lstm", "forget_bias": 1.0, "bidirectional": True},
        "Graves and Schmidhuber, Neural Networks 2005",
        "each word with what stands before and behind it; the recurrent model to try first",
    ),
    _recurrent(
        "bigru",
        {"cell": "gru", "bidirectional": True},
        "Cho et al., EMNLP 2014, arXiv 1406.1078",
        "as bilstm with three quarters of its weights",
    ),
    Preset(
        name="transformer",
        module="wenmo.models.transformer",
        config_class="TransformerConfig",
        model_class="TransformerEncoder",
        paper="Vaswani et al., NeurIPS 2017, arXiv 1706.03762",
        use="every word in the light of all others; from random weights it wants many texts",
        training=_READING_TRAINING,
    ),
    Preset(
        name="gpt",
        module="wenmo.models.gpt",
        config_class="GptConfig",
        model_class="Gpt",
        paper="Radford et al., 2018",
        use="writes on, token by token; reads from left to right alone",
        values=_SMALL_GPT,
        training=_GPT_TRAINING,
    ),
    Preset(
        name="gpt2",
        module="wenmo.models.gpt",
        config_class="GptConfig",
        model_class="Gpt",
        paper="Radford et al., 2019",
        use="as gpt, with layer norms in front of each part: the one to train from random weights",
        values={**_SMALL_GPT, "norm_first": True},
        training=_GPT_TRAINING,
    ),
    Preset(
        name="bert",
        module="wenmo.models.bert",
        config_class="BertConfig",
        model_class="Bert",
        paper="Devlin et al., NAACL 2019, arXiv 1810.04805",
        use="reads both directions at once; its strength is in published checkpoints, small from random weights",
        values=_SMALL_BERT,
        training=_READING_TRAINING,
    ),
    Preset(
        name="ernie",
        module="wenmo.models.ernie",
        config_class="ErnieConfig",
        model_class="Ernie",
        paper="Sun et al., 2019, arXiv 1904.09223",
        use="as bert, for Chinese: pre-trained on masked phrases and entities and on dialogues",
        values=_SMALL_BERT,
        training=_READING_TRAINING,
    ),
    Preset(
        name="ernie2",
        module="wenmo.models.ernie",
        config_class="ErnieConfig",
        model_class="Ernie",
        paper="Sun et al., AAAI 2020, arXiv 1907.12412",
        use="as ernie, with a vector for the pre-training task: many tasks, learnt one upon the other",
        values={**_SMALL_BERT, "hidden_act": "gelu", "type_vocab_size": 4, "task_type_vocab_size": 16},
        training=_READING_TRAINING,
    ),
    Preset(
        name="elmo",
        module="wenmo.models.elmo",
        config_class="ElmoConfig",
        model_class="Elmo",
        paper="Peters et al., NAACL 2018, arXiv 1802.05365",
        use="each word by its characters, in the light of all words before it and of all words behind it",
        values=_SMALL_ELMO,
        tokenizer=_AS_WRITTEN,
        training={"learning_rate": 3e-3, "max_grad_norm": 5.0},
    ),
    Preset(
        name="seq2seq",
        module="wenmo.models.seq2seq",
        config_class="Seq2SeqConfig",
        model_class="Seq2Seq",
        paper="Bahdanau et al., ICLR 2015, arXiv 1409.0473",
        use="text to text: a GRU reads in both directions, another one writes and looks back by attention",
        training={**_WRITING_TRAINING, "learning_rate": 1e-3, "warmup_steps": 200},
    ),
    Preset(
        name="seq2seq-transformer",
        module="wenmo.models.transformer",
        config_class="EncoderDecoderConfig",
        model_class="Transformer",
        paper="Vaswani et al., NeurIPS 2017, arXiv 1706.03762",
        use="text to text by attention alone, at the size of Wu et al., ACL 2021, for some ten thousand pairs",
        values={
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_decoder_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "hidden_dropout_prob": 0.3,
            "norm_first": True,
        },
        # With layer norms in front of each part it learns to look at the text within a fraction of the updates.
        training={**_WRITING_TRAINING, "learning_rate": 5e-3, "warmup_steps": 1000, "beta2": 0.98},
    ),
    Preset(
        name="tfidf",
        module="wenmo.models.linear",
        config_class="LinearConfig",
        model_class="Linear",
        paper="TF-IDF and logistic regression",
        use="the linear baseline: every network is shown beside it",
        values={"solver": "logistic", "counts": "logarithmic", "use_idf": True, "normalize": True},
        tokenizer=_NGRAMS,
        data=_WHOLE_TEXTS,
    ),
    Preset(
        name="nbsvm",
        module="wenmo.models.linear",
        config_class="LinearConfig",
        model_class="Linear",
        paper="Wang and Manning, ACL 2012, section 2.3",
        use="the stronger linear baseline for sentiment",
        values={"solver": "naive-bayes-svm", "counts": "binary", "use_idf": False, "normalize": False},
        tokenizer=_NGRAMS,
        data=_WHOLE_TEXTS,
    ),
    Preset(
        name="majority",
        module="wenmo.models.majority",
        config_class="MajorityConfig",
        model_class="Majority",
        paper="the most frequent tag of each word",
        use="the baseline of taggers: each of them is shown beside it",
    ),
)

_STACKED = Preset(
    name="stacked",
    module="wenmo.models.stacked",
    config_class="StackedConfig",
    model_class="Stacked",
    paper="Peters et al., RepL4NLP 2019, arXiv 1903.05987",
    use="a model on the layers of a frozen one; made of two others, so no name of its own asks for it",
)


@cache
def presets() -> dict[str, Preset]:
    """Every known preset by name, those of other packages behind our own."""
    found = {preset.name: preset for preset in _PRESETS}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, entry.load())
    return found


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    known = presets()
    if name not in known:
        raise InputError(f"there is no model {name!r}; the models are {', '.join(known)}")
    return known[name]


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """Build the settings of the class that ``model_type`` names.

    Raises:
        InputError: ``model_type`` is missing or unknown.
        ValueError: a field is unknown or its value cannot work.
    """
    return config_class(values.get("model_type")).from_dict(values)


def config_class(model_type: object) -> type[ModelConfig]:
    """The class of the settings that ``model_type`` names.

    Raises:
        InputError: ``model_type`` is unknown.
    """
    return _by_model_type(model_type).load_config_class()


def build_model(config: ModelConfig) -> nn.Module:
    """The extractor of these settings, its weights not yet initialised."""
    return _by_model_type(config.model_type).load_model_class()(config)


def list_models(vocab_size: int = 10_000, num_labels: int = 2) -> list[dict[str, Any]]:
    """Name, parameters, paper and use of every model.

    Args:
        vocab_size: with which the parameters are counted.
        num_labels: the same for models whose size follows the labels.
    """
    return [
        {
            "name": each.name,
            "parameters": num_parameters(with_sizes(each.default_config(), vocab_size, num_labels)),
            "paper": each.paper,
            "use": each.use,
        }
        for each in presets().values()
    ]


def with_sizes(
    config: ModelConfig, vocab_size: int, num_labels: int, *, compares: bool = False, num_characters: int = 0
) -> ModelConfig:
    """The settings with the sizes that only the data can tell, and whether two texts are compared."""
    sizes: dict[str, Any] = {"vocab_size": vocab_size}
    if hasattr(config, "num_outputs"):
        sizes["num_outputs"] = num_labels
    if hasattr(config, "compares"):
        sizes["compares"] = compares
    if getattr(config, "character_features", "none") != "none":
        sizes["character_vocab_size"] = num_characters
    return replace(config, **sizes)


def num_parameters(config: ModelConfig) -> int:
    """Parameters of the extractor of these settings, which is not built for it."""
    with shapes_only():
        return sum(parameter.numel() for parameter in build_model(config).parameters())


def _by_model_type(model_type: object) -> Preset:
    for candidate in (*presets().values(), _STACKED):
        if candidate.model_type == model_type:
            return candidate
    raise InputError(f"model_type is {model_type!r}; known are {', '.join(sorted(presets()))}")
