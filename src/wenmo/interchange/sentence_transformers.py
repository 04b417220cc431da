"""What a folder of sentence-transformers says of how a text's vector is made (Reimers and Gurevych, EMNLP 2019,
https://arxiv.org/abs/1908.10084): ``modules.json`` lists the steps, of which each may have a folder of its own."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from wenmo.errors import InputError
from wenmo.interchange.weight_files import inside, read_json

MODULES = "modules.json"
_TRANSFORMER, _POOLING, _NORMALIZE = "Transformer", "Pooling", "Normalize"
_LIMITS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")
BESIDE = (MODULES, *_LIMITS, "config_sentence_transformers.json")
"""Files of values in such a folder, beside those of the transformer itself."""
_POOLINGS = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
"""Theirs to ours."""
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
    normalize: bool = False
    """To length 1."""
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


def module_folders(folder: Path) -> list[Path]:
    """Where the steps stand that have settings of their own.

    Raises:
        InputError: as `model_folder`.
    """
    return [place for kind, place in _modules(folder) if kind != _NORMALIZE]


def sentence_vectors(folder: Path) -> SentenceVectors:
    """What the folder says; the model's own vector where it says nothing.

    Raises:
        InputError: a file is damaged, or a name leads out of the folder.
    """
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    beyond = [kind for kind in kinds if kind not in (_TRANSFORMER, _POOLING, _NORMALIZE)]
    pooling = None
    for kind, place in modules:
        if kind == _POOLING:
            pooling, unknown = _pooling(read_json(inside(place, "config.json")))
            beyond += unknown
    limits: dict[str, Any] = {}
    if modules:
        root = model_folder(folder)
        limits = next((read_json(inside(root, name)) for name in _LIMITS if (root / name).is_file()), {})
    return SentenceVectors(
        pooling=pooling,
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
        listed = json.loads(inside(folder, MODULES).read_text(encoding="utf-8"))
        # The last part of the type is enough: the packages before it have changed, and nothing is imported.
        return [(str(each["type"]).rpartition(".")[2], _below(folder, str(each["path"]))) for each in listed]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a list of modules ({error}); copy the folder again") from error


def _below(folder: Path, path: str) -> Path:
    for part in PurePosixPath(path).parts:
        folder = inside(folder, part)
    return folder


def _pooling(described: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Our name of the pooling, or else the names that are not ours."""
    modes = described.get("pooling_mode") or [name for field, name in _OLD.items() if described.get(field)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) == 1 and modes[0] in _POOLINGS:
        return _POOLINGS[modes[0]], []
    return None, [f"the pooling {' with '.join(modes)}"]
