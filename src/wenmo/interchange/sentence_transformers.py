"""What a folder of sentence-transformers says of how a text's vector is made (Reimers and Gurevych, EMNLP 2019,
https://arxiv.org/abs/1908.10084): ``modules.json`` lists the steps, of which each may have a folder of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.files import read_json, read_json_object
from wenmo.interchange.weight_files import inside, read_weights

MODULES = "modules.json"
DENSE = "Dense"
_TRANSFORMER, _POOLING, _NORMALIZE = "Transformer", "Pooling", "Normalize"
_LIMITS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")
BESIDE = (MODULES, *_LIMITS, "config_sentence_transformers.json")
"""Files of values in such a folder, beside those of the transformer itself."""
_POOLINGS = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
"""Theirs to ours."""
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": F.relu,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "Sigmoid": torch.sigmoid,
}
"""Of a dense layer, by the last part of what theirs is called."""
_SENTENCE = "sentence_embedding"
_OLD = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


@dataclass(frozen=True)
class SentenceVectors:
    """How a text's vector is made where nobody says otherwise."""

    pooling: str | None = None
    """None: the model's own."""
    dense: tuple["Dense", ...] = ()
    """Layers over the pooled vector."""
    normalize: bool = False
    """To length 1, at the end."""
    max_length: int = 0
    """Tokens of a text that are read; 0: the folder does not say."""
    lowercase: bool = False
    """Capitals are made small before the tokenizer sees a text."""
    beyond: str = ""
    """What the folder wants done besides and is not done here; empty: nothing."""


def model_folder(folder: Path) -> Path:
    """Where the transformer itself stands: the folder, or one in it that ``modules.json`` names.

    Raises:
        InputError: it is not a list of modules, or a name leads out of the folder.
    """
    return next((place for kind, place in _modules(folder) if kind == _TRANSFORMER), folder)


def module_folders(folder: Path) -> list[tuple[str, Path]]:
    """The steps that have settings of their own: what each is, and where it stands.

    Raises:
        InputError: as `model_folder`.
    """
    return [(kind, place) for kind, place in _modules(folder) if kind != _NORMALIZE]


def sentence_vectors(folder: Path) -> SentenceVectors:
    """What the folder says; the model's own vector where it says nothing.

    Raises:
        InputError: a file is damaged, or a name leads out of the folder.
    """
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    beyond = [kind for kind in kinds if kind not in (_TRANSFORMER, _POOLING, DENSE, _NORMALIZE)]
    if _NORMALIZE in kinds[:-1]:
        beyond.append(f"{_NORMALIZE} in front of {kinds[-1]}")
    pooling = None
    dense: list[Dense] = []
    for kind, place in modules:
        if kind == _POOLING:
            pooling, unknown = _pooling(read_json_object(inside(place, "config.json")))
            beyond += unknown
        elif kind == DENSE:
            unknown = _beyond_dense(read_json_object(inside(place, "config.json")))
            beyond += unknown
            dense += [] if unknown else [_read_dense(place)]
    limits: dict[str, Any] = {}
    if modules:
        root = model_folder(folder)
        limits = next((read_json_object(inside(root, name)) for name in _LIMITS if (root / name).is_file()), {})
    return SentenceVectors(
        pooling=pooling,
        dense=tuple(dense),
        normalize=_NORMALIZE in kinds,
        max_length=int(limits.get("max_seq_length") or 0),
        lowercase=bool(limits.get("do_lower_case")),
        beyond=", ".join(beyond),
    )


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """The kind of each step and its folder; none where the folder is not of sentence-transformers."""
    path = folder / MODULES
    if not path.is_file():
        return []
    try:
        listed = read_json(inside(folder, MODULES))
        # The last part of the type is enough: the packages before it have changed, and nothing is imported.
        return [(str(each["type"]).rpartition(".")[2], _below(folder, str(each["path"]))) for each in listed]
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: not a list of modules ({error}); copy the folder again") from error


def _below(folder: Path, path: str) -> Path:
    for part in PurePosixPath(path).parts:
        folder = inside(folder, part)
    return folder


class Dense(nn.Module):
    """A linear layer with an activation, over the vector of a text."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, activation: str, residual: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self._activation = _ACTIVATIONS[activation]
        self._adds = residual
        projects = residual and in_features != out_features
        self.residual = nn.Linear(in_features, out_features, bias=False) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_features)`` to ``(batch, out_features)``."""
        made = self._activation(self.linear(x))
        if not self._adds:
            return made
        return made + (x if self.residual is None else self.residual(x))


def _beyond_dense(described: dict[str, Any]) -> list[str]:
    """What a dense layer does that is not done here."""
    activation = str(described.get("activation_function", "torch.Tanh"))
    unknown = []
    if not activation.startswith("torch.") or activation.rpartition(".")[2] not in _ACTIVATIONS:
        unknown.append(f"{DENSE} with the activation {activation}")
    names = {described.get("module_input_name") or _SENTENCE, described.get("module_output_name") or _SENTENCE}
    return unknown + ([f"{DENSE} over {' and '.join(sorted(names))}"] if names != {_SENTENCE} else [])


def _read_dense(place: Path) -> Dense:
    described = read_json_object(inside(place, "config.json"))
    width, size = described.get("in_features"), described.get("out_features")
    if not (isinstance(width, int) and isinstance(size, int) and min(width, size) > 0):
        raise InputError(
            f"{place / 'config.json'}: in_features and out_features are {width!r} and {size!r}; copy the folder again"
        )
    layer = Dense(
        width,
        size,
        bias=bool(described.get("bias", True)),
        activation=str(described.get("activation_function", "torch.Tanh")).rpartition(".")[2],
        residual=bool(described.get("use_residual", False)),
    )
    try:
        layer.load_state_dict(read_weights(place))
    except RuntimeError as error:
        raise InputError(
            f"{place}: its weights are not those of its config.json ({error}); copy the folder again"
        ) from error
    return layer.requires_grad_(False)


def _pooling(described: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Our name of the pooling, or else the names that are not ours."""
    modes = described.get("pooling_mode") or [name for field, name in _OLD.items() if described.get(field)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) == 1 and modes[0] in _POOLINGS:
        return _POOLINGS[modes[0]], []
    return None, [f"the pooling {' with '.join(modes)}"]
