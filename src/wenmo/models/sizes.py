"""What `--size` stands for when a model is pre-trained from random weights.

Transformers: the compact BERTs of Turc et al. 2019, https://arxiv.org/abs/1908.08962 (tiny, mini, small), and the two
models of Devlin et al. 2019; 64 numbers a head and four times the width inside, as there. ELMo: tiny and mini are ours,
small, base and large the three releases that AllenNLP calls small, medium and original. Recurrent models are ours.
"""

from collections.abc import Mapping
from typing import Any, Literal

from wenmo.errors import InputError
from wenmo.models.config import ModelConfig
from wenmo.models.registry import preset

Size = Literal["tiny", "mini", "small", "base", "large"]

_STACKS = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768), "large": (24, 1024)}
"""Layers and width."""
_ELMO_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
_ELMO: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "num_units": 256,
        "projection_size": 64,
        "num_highways": 1,
        "filters": ((1, 16), (2, 32), (3, 64), (4, 64)),
    },
    "mini": {"num_units": 512, "projection_size": 64, "num_highways": 1, "filters": _ELMO_FILTERS[:5]},
    "small": {"num_units": 1024, "projection_size": 128, "num_highways": 1, "filters": _ELMO_FILTERS},
    "base": {"num_units": 2048, "projection_size": 256, "num_highways": 1, "filters": _ELMO_FILTERS},
    "large": {"num_units": 4096, "projection_size": 512, "num_highways": 2, "filters": _ELMO_FILTERS},
}
_RECURRENT = {"tiny": (1, 128), "mini": (2, 256), "small": (2, 512), "base": (2, 1024), "large": (3, 1536)}
"""Layers and units; word vectors have half the width."""

# As both papers have it.
_DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def sizes_of(model: str) -> tuple[str, ...]:
    """The sizes that a model comes in; none where it is not pre-trained on raw text."""
    table = _table(model)
    return tuple(table) if table else ()


def sized_config(model: str, size: str) -> ModelConfig:
    """The settings of a model of ours in a size; the vocabulary is not known yet.

    Raises:
        InputError: there is no such model or size, or the model is not pre-trained on raw text.
    """
    chosen = preset(model)
    known = sizes_of(model)
    if not known:
        raise InputError(
            f"--model {model}: it is not pre-trained on raw text; take elmo, gpt, gpt2, bert, ernie, ernie2, rnn, lstm "
            "or gru"
        )
    if size not in known:
        raise InputError(f"--size {size}: the sizes are {', '.join(known)}")
    values = {**chosen.values, **_values(model, size)}
    return chosen.load_config_class().from_dict(values)


def _table(model: str) -> Mapping[str, Any]:
    return {
        **dict.fromkeys(("bert", "ernie", "ernie2", "gpt", "gpt2"), _STACKS),
        **dict.fromkeys(("rnn", "lstm", "gru"), _RECURRENT),
        "elmo": _ELMO,
    }.get(model, {})


def _values(model: str, size: str) -> Mapping[str, Any]:
    if model == "elmo":
        return _ELMO[size]
    if model in ("rnn", "lstm", "gru"):
        layers, units = _RECURRENT[size]
        undropped = {"embedding_dropout_prob": 0.0, "recurrent_dropout_prob": 0.0}
        return {"num_hidden_layers": layers, "num_units": units, "embedding_size": units // 2, **undropped}
    layers, width = _STACKS[size]
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width}
    return {**sizes, "num_attention_heads": width // 64, **_DROPOUT}
