"""Tiny models with random weights, saved as folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wenmo.folder import ModelFolder, save_folder
from wenmo.models.bag import BagConfig
from wenmo.models.config import ModelConfig
from wenmo.models.elmo import ElmoConfig
from wenmo.models.linear import LinearConfig
from wenmo.models.recurrent import RecurrentConfig
from wenmo.models.registry import build_model
from wenmo.models.textcnn import TextCnnConfig
from wenmo.models.transformer import TransformerConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

WORDS = "the film is a good bad long short story with great poor acting and no plot at all but fun"
VOCABULARY = WORDS.split(" ")
SIZES: dict[str, dict[str, Any]] = {
    "textcnn": {"embedding_size": 6, "num_filters": 5, "kernel_sizes": (2, 3, 4)},
    "bag": {"embedding_size": 6, "num_buckets": 32},
    "linear": {},
    "recurrent": {"embedding_size": 6, "num_units": 5, "bidirectional": True},
    "transformer": {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12},
    "elmo": {"projection_size": 4, "num_units": 5, "filters": ((1, 3), (2, 4))},
}
CONFIGS: dict[str, type[ModelConfig]] = {
    "textcnn": TextCnnConfig,
    "bag": BagConfig,
    "linear": LinearConfig,
    "recurrent": RecurrentConfig,
    "transformer": TransformerConfig,
    "elmo": ElmoConfig,
}


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Save a model with random weights that knows the words of `VOCABULARY`."""

    def make(
        model: str = "textcnn",
        *,
        labels: tuple[str, ...] = ("negative", "neutral", "positive"),
        multi_label: bool = False,
        data: dict[str, Any] | None = None,
        name: str = "model",
        **fields: Any,
    ) -> Path:
        settings = TokenizerConfig(segmenter="words", word_bytes=CONFIGS[model].reads_bytes)
        tokenizer = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", *VOCABULARY], settings)
        sizes = SIZES[model] | ({"num_outputs": len(labels)} if model == "linear" else {})
        config = CONFIGS[model](**{"vocab_size": tokenizer.vocab_size, **sizes, **fields})
        task_config = ClassificationConfig(labels=labels, multi_label=multi_label)
        task = Classification(build_model(config), config, task_config)
        generator = torch.Generator().manual_seed(0)
        task.initialize(generator)
        with torch.no_grad():
            for parameter in task.parameters():
                parameter.normal_(generator=generator)
        recipe = {
            "data": data or {},
            "model": config.to_dict(),
            "task": {"multi_label": multi_label},
            "training": {},
        }
        path = tmp_path / name
        save_folder(path, ModelFolder(task, tokenizer, recipe))
        return path

    return make


@pytest.fixture
def some_texts() -> Callable[[int], list[str]]:
    """That many texts of 1 to 12 words, in no order of length, all different in their words."""

    def texts(number: int) -> list[str]:
        generator = torch.Generator().manual_seed(1)
        lengths = torch.randint(1, 13, (number,), generator=generator).tolist()
        words = torch.randint(0, len(VOCABULARY), (sum(lengths),), generator=generator).tolist()
        return [" ".join(VOCABULARY[words.pop()] for _ in range(length)) for length in lengths]

    return texts
