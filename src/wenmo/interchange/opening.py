"""A folder of another system, opened for use: its model, its tokenizer, and what it can do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wenmo.data.tag_schemes import infer_scheme
from wenmo.errors import InputError
from wenmo.files import read_json_object
from wenmo.interchange.allennlp import holds_elmo, read_config, read_elmo
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.huggingface import CONFIG, read_checkpoint
from wenmo.interchange.huggingface_config import config_from_huggingface
from wenmo.interchange.openai_gpt import describe_openai_gpt, holds_openai_gpt, read_openai_gpt
from wenmo.interchange.sentence_transformers import SentenceVectors, model_folder, sentence_vectors
from wenmo.interchange.task_weights import as_ours
from wenmo.interchange.weight_files import inside
from wenmo.models.config import ModelConfig
from wenmo.models.registry import build_model
from wenmo.models.shapes import shapes_only
from wenmo.tasks.choosing import ChoosingConfig
from wenmo.tasks.classification import ClassificationConfig
from wenmo.tasks.generation import GenerationConfig
from wenmo.tasks.tagging import TaggingConfig
from wenmo.tasks.task import Task, TaskConfig
from wenmo.text.loading import AnyTokenizer, load_tokenizer
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.pretrained_files import FILES
from wenmo.text.tokenizer_config import PRETRAINED, has_settings, read_settings

_WORDS = "words"
"""What cuts raw texts for a tagger whose folder does not say how its data was cut."""


@dataclass
class OpenedFolder:
    """A model of another system."""

    extractor: nn.Module
    config: ModelConfig
    tokenizer: AnyTokenizer
    task: Task | None
    """What its head does, over the same extractor; None: it has none that is ours."""
    recipe: dict[str, Any]
    """The settings under which it reads, as a model of ours would keep them."""
    vectors: SentenceVectors
    checkpoint: Checkpoint


def open_folder(folder: Path) -> OpenedFolder:
    """Read a model of another system.

    Raises:
        InputError: it cannot be read, or its parts do not belong together.
    """
    place = model_folder(folder)
    checkpoint = read_any(place)
    vectors = sentence_vectors(folder)
    tokenizer = _tokenizer_of(place, checkpoint.config, vectors)
    task_config = _task_of(checkpoint, folder)
    with shapes_only():
        extractor = build_model(checkpoint.config)
        task = None if task_config is None else task_config.build(extractor, checkpoint.config, None)
    if task is None:
        extractor.load_state_dict(checkpoint.weights, assign=True)
    else:
        task.load_state_dict(as_ours(checkpoint, task.shared_heads) | _missing_bias(task, checkpoint), assign=True)
        task.take_tokenizer(tokenizer)
    settings = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(tokenizer.config).items()
    }
    limit = _limit(checkpoint.config, tokenizer, vectors)
    recipe = {
        "data": {"tokenizer": settings, "max_length": limit, "long_texts": "head"},
        "model": checkpoint.config.to_dict(),
        "task": {} if task_config is None else task_config.to_dict(),
        "training": {},
    }
    return OpenedFolder(extractor.eval(), checkpoint.config, tokenizer, task, recipe, vectors, checkpoint)


def read_any(folder: Path) -> Checkpoint:
    """The model of a folder of transformers, or of OpenAI's first files.

    Raises:
        InputError: it cannot be read.
    """
    return read_openai_gpt(folder) if holds_openai_gpt(folder) else read_checkpoint(folder)


def is_checkpoint(place: Path) -> bool:
    """Whether something stands there that may be a checkpoint: a folder, or the options of an ELMo."""
    return place.is_dir() or holds_elmo(place)


def config_of_checkpoint(place: Path) -> ModelConfig:
    """The settings of our extractor for a checkpoint, whose weights are not read.

    Raises:
        InputError: it cannot be read, or is a model that only wenmo has.
    """
    if holds_elmo(place):
        return read_config(place)
    if holds_openai_gpt(place):
        return config_from_huggingface(describe_openai_gpt(place))
    described = read_json_object(inside(model_folder(place), CONFIG))
    if "wenmo_version" in described and "architectures" not in described:
        raise InputError(f"{place}: a model that only wenmo has; go on with it by --from {place}")
    return config_from_huggingface(described)


def weights_of_checkpoint(place: Path) -> dict[str, Tensor]:
    """The weights of our extractor out of a checkpoint.

    Raises:
        InputError: they cannot be read.
    """
    return (read_elmo(place) if holds_elmo(place) else read_any(model_folder(place))).weights


def _tokenizer_of(place: Path, config: ModelConfig, vectors: SentenceVectors) -> AnyTokenizer:
    """The one that came with the checkpoint; in a model that was exported from here it may be one of ours."""
    if has_settings(place) and read_settings(place).config.segmenter != PRETRAINED:
        return load_tokenizer(place)
    tokenizer = read_tokenizer(place)
    tokenizer.check_fits(config.vocab_size, place)
    if vectors.lowercase:
        tokenizer = tokenizer.with_settings(replace(tokenizer.config, lowercase=True))
    return tokenizer


def read_tokenizer(folder: Path) -> PretrainedTokenizer:
    """The tokenizer of a model of another system.

    Raises:
        InputError: there is none, a file is damaged, or a link leads out of the folder.
    """
    place = model_folder(folder)
    for name in FILES:
        if (place / name).is_symlink():
            inside(place, name)
    return PretrainedTokenizer.load(place)


def _task_of(checkpoint: Checkpoint, folder: Path) -> TaskConfig | None:
    """What the checkpoint's head does."""
    described = checkpoint.described
    if "classifier.weight" in checkpoint.heads:
        labels = _labels(described, len(checkpoint.heads["classifier.weight"]))
        if len(labels) < 2:
            raise InputError(f"{folder}: its head gives one number and no label; wenmo has classifiers alone")
        several = described.get("problem_type") == "multi_label_classification"
        return ClassificationConfig(labels=labels, multi_label=several, dropout_prob=0.1)
    if "chooser.weight" in checkpoint.heads:
        return ChoosingConfig(dropout_prob=0.1)
    if "tagger.weight" in checkpoint.heads:
        labels = _labels(described, len(checkpoint.heads["tagger.weight"]))
        return _tagging_of(labels)
    if any("LMHead" in str(name) for name in described.get("architectures") or ()):
        return GenerationConfig(unit="stream")
    return None


def _tagging_of(labels: tuple[str, ...]) -> TaggingConfig:
    """The settings of a tagger by a softmax, of which nothing is known but its tags."""
    scheme = infer_scheme([labels])
    return TaggingConfig(
        labels=labels,
        scheme=scheme,
        trained_scheme=scheme,
        metric="accuracy" if scheme == "none" else "f1",
        decoder="softmax",
        dropout_prob=0.1,
        word_segmenter=_WORDS,
    )


def _labels(described: Mapping[str, Any], number: int) -> tuple[str, ...]:
    """As they stand in ``id2label``, or else as transformers calls labels without names."""
    named = described.get("id2label")
    names = {str(i): str(name) for i, name in named.items()} if isinstance(named, dict) else {}
    return tuple(names.get(str(i), f"LABEL_{i}") for i in range(number))


def _missing_bias(task: Task, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Of an output with its own matrix: transformers' has no bias."""
    if "causal_lm.weight" not in checkpoint.heads:
        return {}
    return {"output.bias": torch.zeros(len(checkpoint.heads["causal_lm.weight"]))}


def _limit(config: ModelConfig, tokenizer: AnyTokenizer, vectors: SentenceVectors) -> int:
    """Tokens of a text, the special ones among them; 0: any number."""
    of_tokenizer = getattr(tokenizer, "described", {}).get("model_max_length")
    limits = [vectors.max_length, getattr(config, "max_position_embeddings", 0)]
    if isinstance(of_tokenizer, int):  # a very large number there stands for none
        limits.append(of_tokenizer)
    return min((limit for limit in limits if limit > 0), default=0)
