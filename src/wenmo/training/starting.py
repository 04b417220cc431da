"""A run that starts from a checkpoint: its model, its tokenizer, its weights, and the settings that suit fine-tuning.

``--model bert:FOLDER``, or the folder alone. What is new is the head on it, and the pooler where the checkpoint has
none. The settings are those of Devlin et al. 2019, appendix A.3, whose code decays neither norms nor biases and warms
up over a tenth of the updates; classifiers on a model that reads from left to right have those of Radford et al. 2018,
whose texts stand between tokens of their own (`wenmo.text.special_tokens.MARKERS`). An ELMo stays as it is (Peters et
al. 2018, section 3.3): what is learnt is the head and the mixture of its layers. A recurrent model that was trained
here to foretell words has the settings of one from random weights, its dropout too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wenmo.errors import InputError
from wenmo.files import read_json_object
from wenmo.folder import CONFIG, load_folder
from wenmo.interchange.hub import cached_folder, may_be_name, place_of
from wenmo.interchange.opening import config_of_checkpoint, is_checkpoint, read_tokenizer, weights_of_checkpoint
from wenmo.interchange.task_weights import classifier_has_bias
from wenmo.models.config import ModelConfig
from wenmo.models.depths import depths_of
from wenmo.models.registry import preset, presets
from wenmo.tasks.choosing import Choosing
from wenmo.tasks.classification import Classification
from wenmo.tasks.task import Task
from wenmo.text.loading import AnyTokenizer, load_tokenizer
from wenmo.text.pretrained import AS_IT_CAME, PretrainedTokenizer
from wenmo.text.tokenizer_config import PRETRAINED, TokenizerConfig, has_settings, read_settings

_MOST_TOKENS = 512
"""Of a text, unless a person says otherwise; attention over longer ones takes its time."""

_TRAINING: Mapping[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 3e-5,
    "weight_decay": 0.01,
    "decay": "matrices",
    "schedule": "linear",
    "warmup_share": 0.1,
    "max_epochs": 3,
    "batch_size": 32,
    "max_grad_norm": 1.0,
}
_CAUSAL_TRAINING: Mapping[str, Any] = {"learning_rate": 6.25e-5, "warmup_share": 0.002}
"""Where a classifier of Radford et al. 2018 (section 4.1) is trained differently."""
_TASKS: Mapping[str, Mapping[str, Any]] = {
    "classify": {"dropout_prob": 0.1},
    "choose": {"dropout_prob": 0.1},
    # A field over the tags learns too little at the rate of a finished model, and opens in no other tool.
    "tag": {"dropout_prob": 0.1, "decoder": "softmax"},
    # Reimers and Gurevych, EMNLP 2019, table 6: better than the first token, which is trained for other ends.
    "similarity": {"pooling": "mean"},
}
_RECURRENT = "recurrent"
_STD = 0.02
_POOLED = ("classify", "choose")
"""Tasks that read the vector of a text."""


def name_and_folder(model: str) -> tuple[str, str]:
    """What ``--model`` says: the name of a model, the folder of a checkpoint, or both; empty where one is missing.

    Raises:
        InputError: a checkpoint is named and there is no such folder.
    """
    name, colon, folder = model.partition(":")
    if not (colon and name in presets()):
        is_there = model not in presets() and (is_checkpoint(Path(model).expanduser()) or _is_on_the_hub(model))
        return ("", model) if is_there else (model, "")
    if not (is_checkpoint(Path(folder).expanduser()) or may_be_name(folder)):
        raise InputError(
            f"--model {model}: there is no folder {folder!r}; behind {name}: stands the folder of a checkpoint, or its "
            "name on the hub"
        )
    return name, folder


def _is_on_the_hub(model: str) -> bool:
    """Whether what names no model here names one there; without an owner, it has to be in the cache."""
    return may_be_name(model) and ("/" in model or cached_folder(model) is not None)


def name_and_features(model: str) -> tuple[str, str]:
    """What stands before and behind the ``@`` of ``textcnn@bert:FOLDER``: the model, and the checkpoint it reads."""
    name, at, features = model.partition("@")
    return (name, features) if at and name in presets() else (model, "")


def settings_of_features(located: Callable[[str], str], checkpoint: str) -> dict[str, Any]:
    """What a recipe says whose model reads the layers of a checkpoint, unless a person says otherwise.

    Args:
        located: finds a folder.
        checkpoint: what a person calls it: a folder, or with the name of its model, ``bert:FOLDER``.

    Raises:
        InputError: it is no checkpoint that can be read, or of another model than it is called.
    """
    name, folder = name_and_folder(checkpoint)
    folder = folder or located(checkpoint)
    place = place_of(located(folder))
    if not is_checkpoint(place):
        raise InputError(
            f"--features {checkpoint}: there is no such folder; features are those of a checkpoint, as in bert:FOLDER"
        )
    start = settings_of_checkpoint(str(place), name, "")
    return {"features": {"checkpoint": folder, "model": start["model"]}, "data": start["data"]}


def settings_of_checkpoint(folder: str, name: str, task: str) -> dict[str, Any]:
    """What a recipe says that starts from a checkpoint, unless a person says otherwise.

    Args:
        folder: of the checkpoint.
        name: what a person calls its model; empty: nothing.
        task: what is to be learnt.

    Raises:
        InputError: it is no checkpoint that can be read, or of another model than it is called.
    """
    config = config_of_start(Path(folder).expanduser())
    if name and not _is_called(name, config):
        kind = getattr(config, "cell", config.model_type)
        raise InputError(f"--model {name}:{folder}: the checkpoint is a {kind}; write --model {kind}:{folder}")
    frozen = config.as_start()
    if frozen is not None:
        suits = preset(config.model_type)
        return {
            "checkpoint": folder,
            "model": frozen.to_dict(),
            "data": {"tokenizer": dict(suits.tokenizer)},
            "training": dict(suits.training),
        }
    tokenizer = _tokenizer_settings(Path(folder).expanduser())
    if config.model_type == _RECURRENT:
        usual = preset(getattr(config, "cell", "lstm"))
        dropped = {field: value for field, value in usual.values.items() if field.endswith("_dropout_prob")}
        return {
            "checkpoint": folder,
            "model": replace(config, **dropped).to_dict(),
            "data": {"tokenizer": tokenizer, "max_length": _MOST_TOKENS},
            "training": dict(usual.training),
        }
    if task not in _POOLED and hasattr(config, "pooler"):
        config = replace(config, pooler="first")  # type: ignore[call-arg]
    of_task, training = dict(_TASKS.get(task, {})), dict(_TRAINING)
    if config.causal and task in _POOLED:
        of_task["markers"] = tokenizer["segmenter"] == PRETRAINED
        training |= _CAUSAL_TRAINING
    positions = getattr(config, "max_position_embeddings", _MOST_TOKENS)
    return {
        "checkpoint": folder,
        "model": config.to_dict(),
        "data": {"tokenizer": tokenizer, "max_length": min(positions, _MOST_TOKENS)},
        "task": of_task,
        "training": training,
    }


def model_type_of_checkpoint(folder: str) -> str:
    """What we call the model of a checkpoint.

    Raises:
        InputError: as `settings_of_checkpoint`.
    """
    return config_of_start(Path(folder).expanduser()).model_type


def config_of_start(place: Path) -> ModelConfig:
    """The settings of the extractor of a checkpoint, or of a recurrent model that was trained here.

    Raises:
        InputError: it cannot be read, or is another model that only wenmo has.
    """
    return _extractor_of(place)[0] if _is_recurrent(place) else config_of_checkpoint(place)


def weights_of_start(place: Path) -> Mapping[str, Tensor]:
    """The weights of the extractor.

    Raises:
        InputError: they cannot be read.
    """
    return _extractor_of(place)[1] if _is_recurrent(place) else weights_of_checkpoint(place)


def _is_recurrent(place: Path) -> bool:
    return (place / CONFIG).is_file() and read_json_object(place / CONFIG).get("model_type") == _RECURRENT


def _extractor_of(place: Path) -> tuple[ModelConfig, Mapping[str, Tensor]]:
    task = load_folder(place).task
    return task.extractor_config, task.extractor.state_dict()


def _is_called(name: str, config: ModelConfig) -> bool:
    """Whether a model may be called so; those of one class differ in what their presets set."""
    chosen = preset(name)
    kinds = {field: value for field, value in chosen.values.items() if field in ("cell", "bidirectional")}
    return chosen.model_type == config.model_type and all(getattr(config, field) == kinds[field] for field in kinds)


def tokenizer_settings_of(place: Path) -> TokenizerConfig:
    """Of a checkpoint; that of another system leaves texts as they came."""
    return read_settings(place).config if has_settings(place) else AS_IT_CAME


def _tokenizer_settings(place: Path) -> dict[str, Any]:
    told = tokenizer_settings_of(place)
    if told.segmenter == PRETRAINED:
        return {field: getattr(told, field) for field in ("segmenter", "lowercase", "fold_width", "chinese_conversion")}
    return {name: value for name, value in asdict(told).items() if value is not None}


def tokenizer_of_checkpoint(folder: Path, settings: TokenizerConfig) -> AnyTokenizer:
    """The tokenizer that came with a checkpoint, with what is asked to be done to texts before; one of ours is what it
    is.

    Raises:
        InputError: the settings name another one, or its files cannot be read.
    """
    own = tokenizer_settings_of(folder)
    if settings.segmenter != own.segmenter or (settings != own and own.segmenter != PRETRAINED):
        raise InputError(
            f"data.tokenizer.segmenter={settings.segmenter}: a model that starts from a checkpoint reads with the "
            "checkpoint's tokenizer; leave it out"
        )
    if own.segmenter != PRETRAINED:
        return load_tokenizer(folder)
    tokenizer = read_tokenizer(folder)
    return tokenizer if settings == tokenizer.config else tokenizer.with_settings(settings)


def new_tokens(folder: Path, tokenizer: AnyTokenizer) -> range:
    """Ids that the checkpoint's own tokenizer does not have."""
    if not isinstance(tokenizer, PretrainedTokenizer):
        return range(0)
    return range(read_tokenizer(folder).vocab_size, tokenizer.vocab_size)


def load_start(
    extractor: nn.Module, config: ModelConfig, folder: Path, *, new_layers: int = 0, new_tokens: Sequence[int] = ()
) -> None:
    """Put the weights of a checkpoint into an extractor with first weights, which keeps them where it has more.

    Args:
        extractor: with first weights.
        config: its settings.
        folder: of the checkpoint.
        new_layers: so many of the top layers keep their first weights, and all that stands on them (Zhang et al., ICLR
            2021, https://arxiv.org/abs/2006.05987, section 5).
        new_tokens: ids whose vectors keep their first weights; they may stand behind those of the checkpoint.

    Raises:
        InputError: the weights cannot be read, or are of other sizes than the settings; there are not so many layers.
    """
    weights = dict(weights_of_start(folder))
    wanted = extractor.state_dict()
    if new_tokens:
        table = extractor.word_table()  # type: ignore[operator]
        name = next(name for name, parameter in extractor.named_parameters() if parameter is table)
        weights = weights | {name: _with_new_rows(weights[name], wanted[name], new_tokens)}
    missing = [name for name in wanted if name not in weights and not name.startswith("pooler.")]
    misshapen = [n for n, weight in weights.items() if n in wanted and weight.shape != wanted[n].shape]
    if missing or misshapen:
        raise InputError(
            f"{folder}: model.* asks for another {config.model_type} than the checkpoint, beginning with "
            f"{(missing or misshapen)[0]}; leave the sizes out"
        )
    new = _names_of_top(extractor, new_layers)
    taken = {name: weight for name, weight in weights.items() if name in wanted and name not in new}
    extractor.load_state_dict(wanted | taken)


def _with_new_rows(given: Tensor, first: Tensor, new: Sequence[int]) -> Tensor:
    """A checkpoint's table with the first weights of new tokens; as it is where it cannot be the model's."""
    if given.shape[1:] != first.shape[1:] or len(first) != max(len(given), new[-1] + 1):
        return given
    rows = first.clone()
    rows[: len(given)] = given
    rows[list(new)] = first[list(new)]
    return rows


def _names_of_top(extractor: nn.Module, num_layers: int) -> set[str]:
    """The weights of the top layers, and of what stands on them; none where no layer is asked for."""
    if not num_layers:
        return set()
    depths = depths_of(extractor)
    if num_layers >= len(depths):
        there = f"has {len(depths) - 1} layers" if len(depths) > 1 else "does not tell its layers apart"
        raise InputError(f"training.reinitialize_layers={num_layers}: the model {there}; ask for fewer")
    kept = {id(p) for modules in depths[:-num_layers] for module in modules for p in module.parameters()}
    return {name for name, parameter in extractor.named_parameters() if id(parameter) not in kept}


def start_head(task: Task, seed: int) -> None:
    """Weights of a classifier, or of the scores of choices, as in Devlin et al.'s code, normal(0, 0.02).

    From zero, as classifiers start elsewhere, it would say almost nothing to the layers below at the rate of
    fine-tuning: a few hundred updates would be lost. On a model that stays as it is the head keeps its first weights.
    """
    if task.extractor_config.as_start() is not None:
        return
    if isinstance(task, Choosing):
        nn.init.normal_(task.score_layer.weight, std=_STD, generator=torch.Generator().manual_seed(seed))
    if isinstance(task, Classification):
        nn.init.normal_(task.classifier.weight, std=_STD, generator=torch.Generator().manual_seed(seed))
        if not classifier_has_bias(task.extractor_config):  # it stays 0, and so the model opens in transformers
            task.classifier.bias.requires_grad_(False)
