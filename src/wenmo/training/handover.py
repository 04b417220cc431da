"""A model that was pre-trained, as a folder that others go on with.

A model that transformers has is written as transformers writes it, with the heads that it knows under its names, so
that `BertForPreTraining` and its like go on with it and the folder opens here as any checkpoint does. Heads that it has
no place for stand beside them, in ``head.safetensors``. An ELMo is written as its options and weights. Recurrent
language models are models of ours (`wenmo.folder`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wenmo.errors import InputError, JobError
from wenmo.files import write_aside, write_json
from wenmo.folder import (
    CARD,
    CONFIG,
    HEAD,
    METRICS,
    RECIPE,
    WEIGHTS,
    ModelFolder,
    load_folder,
    save_folder,
    write_weights,
)
from wenmo.interchange.allennlp import OPTIONS, holds_elmo, options_of
from wenmo.interchange.family import Family
from wenmo.interchange.huggingface import read_checkpoint, to_huggingface
from wenmo.interchange.huggingface_config import config_to_huggingface, family_of
from wenmo.interchange.weight_files import read_weight_file
from wenmo.models.config import ModelConfig
from wenmo.models.elmo import ElmoConfig
from wenmo.pretraining.model import Pretraining
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.text.loading import AnyTokenizer
from wenmo.training.settings import config_to_dict


def save_pretrained(
    out: Path,
    learner: Pretraining,
    tokenizer: AnyTokenizer,
    *,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    card: str,
    max_length: int,
) -> None:
    """Write the folder; what makes it one comes last.

    Args:
        max_length: tokens that the model has learnt to read.

    Raises:
        JobError: a file could not be written.
    """
    import tomli_w

    config, theirs = learner.extractor_config, _parted(learner)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if theirs is None and not isinstance(config, ElmoConfig):
            settings = config_to_dict(tokenizer.config)
            read = {"tokenizer": settings, "max_length": max_length, "long_texts": "head"}
            task = _as_language_model(learner)
            whole = {**recipe, "data": read, "task": task.config.to_dict()}
            save_folder(out, ModelFolder(task, tokenizer, whole, dict(metrics), card))
            return
        (out / HEAD).unlink(missing_ok=True)
        own = learner.heads.state_dict() if theirs is None else theirs[2]
        if own:
            write_weights(out / HEAD, own)
        write_aside(out / RECIPE, tomli_w.dumps(recipe))
        write_aside(out / CARD, card)
        write_json(out / METRICS, metrics)
        if theirs is not None:
            _save_as_transformers(out, tokenizer, theirs[0], theirs[1])
        else:
            assert isinstance(config, ElmoConfig)
            write_weights(out / WEIGHTS, learner.extractor.state_dict())
            write_json(out / OPTIONS, options_of(config))
    except OSError as error:
        raise JobError(f"{out}: could not save the model ({error}); free some space and go on with --resume") from error


def is_pretrained(out: Path) -> bool:
    """Whether a whole model stands there."""
    return (out / METRICS).is_file() and ((out / CONFIG).is_file() or (out / OPTIONS).is_file())


def load_heads(learner: Pretraining, place: Path) -> list[str]:
    """Take over the heads of a checkpoint that the learner has too, and say which of its own begin anew.

    Raises:
        InputError: a file cannot be read.
    """
    wanted = learner.heads.state_dict()
    found: dict[str, Tensor] = {}
    if family_of_config(learner.extractor_config) is not None:
        found |= read_checkpoint(place).heads
    elif (place / RECIPE).is_file() and not holds_elmo(place):
        task = load_folder(place).task
        found |= {name.replace("output.", "causal_lm."): tensor for name, tensor in task.state_dict().items()}
    if (place / HEAD).is_file():
        found |= read_weight_file(place / HEAD)
    taken = {name: tensor for name, tensor in found.items() if name in wanted and tensor.shape == wanted[name].shape}
    learner.heads.load_state_dict(wanted | taken)
    return sorted(name for name in learner.heads if not any(each.startswith(f"{name}.") for each in taken))


def refuse_unwritable(config: ModelConfig) -> None:
    """Say before a training what could not be written behind it.

    Raises:
        InputError: a model of a family that transformers has is set up as none there is.
    """
    if family_of_config(config) is not None:
        config_to_huggingface(config)


def _save_as_transformers(
    out: Path, tokenizer: AnyTokenizer, described: dict[str, Any], weights: dict[str, Tensor]
) -> None:
    ids = {name: getattr(tokenizer, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    tokenizer.save(out)
    write_weights(out / WEIGHTS, weights)
    write_json(out / CONFIG, {**described, **{name: value for name, value in ids.items() if value not in (None, -1)}})


def _parted(learner: Pretraining) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]] | None:
    """What transformers says of the model, the weights under its names, and the heads that it has no place for; None
    where it has no such model."""
    family = family_of_config(learner.extractor_config)
    if family is None:
        return None
    heads = learner.heads.state_dict()
    known = {name: tensor for name, tensor in heads.items() if name.split(".")[0] in family.heads}
    own = {name: tensor for name, tensor in heads.items() if name not in known}
    described, weights = to_huggingface(learner.extractor_config, learner.extractor.state_dict() | known)
    return described, weights, own


def family_of_config(config: ModelConfig) -> Family | None:
    """The architecture of transformers that a model is; None: there is none."""
    try:
        return family_of(config)
    except InputError:
        return None


def _as_language_model(learner: Pretraining) -> Generation:
    """A recurrent model with its output as the task that writes on."""
    config = learner.extractor_config
    task = GenerationConfig(unit="stream").build(learner.extractor, config, None)
    assert task.output is not None
    task.output.load_state_dict(learner.heads["causal_lm"].state_dict())
    return task
