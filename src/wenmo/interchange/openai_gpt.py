"""GPT as OpenAI published it: ten files of numbers, a list of shapes, and no names.

The layout is that of github.com/openai/finetune-transformer-lm, whose `train.py` puts the numbers of ``params_0.npy``
to ``params_9.npy`` behind each other and cuts them by ``params_shapes.json``: the table of positions, that of words,
then for each layer twelve tensors in the order in which TensorFlow made them. Matrices are inputs by outputs, with an
axis of length 1 in front. How many heads share a layer stands nowhere; those of the release are 64 wide. The
vocabulary is ``encoder_bpe_40000.json`` with ``vocab_40000.bpe`` (`wenmo.text.pretrained_files`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.errors import InputError
from wenmo.files import read_json
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.huggingface import from_huggingface
from wenmo.interchange.weight_files import inside

SHAPES = "params_shapes.json"
_HEAD_SIZE = 64
_OF_A_LAYER = (
    *("attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias"),
    *("ln_1.weight", "ln_1.bias"),
    *("mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"),
    *("ln_2.weight", "ln_2.bias"),
)
"""Under the names of transformers, which tell the same apart."""


def holds_openai_gpt(place: Path) -> bool:
    """Whether OpenAI's files of a GPT stand in a folder."""
    return (place / SHAPES).is_file()


def read_openai_gpt(folder: Path) -> Checkpoint:
    """Read them.

    Raises:
        InputError: a file is missing, cut short or would run code, or the shapes are not those of a GPT.
    """
    described, weights = _as_huggingface(folder, _shapes(folder))
    return from_huggingface(described, weights, str(folder))


def describe_openai_gpt(folder: Path) -> dict[str, Any]:
    """What transformers' ``config.json`` would say of them, from the shapes alone.

    Raises:
        InputError: as `read_openai_gpt`.
    """
    return _described(folder, _shapes(folder))


def _shapes(folder: Path) -> list[list[int]]:
    path = inside(folder, SHAPES)
    shapes = read_json(path)
    is_list = isinstance(shapes, list) and all(isinstance(shape, list) and shape for shape in shapes)
    if not is_list or not all(type(size) is int and size > 0 for shape in shapes for size in shape):
        raise InputError(f"{path}: not a list of shapes, such as [[512, 768], [40478, 768]]; copy it again")
    return [shape[1:] if len(shape) == 3 and shape[0] == 1 else shape for shape in shapes]


def _described(folder: Path, shapes: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The numbers that tell one GPT from another, out of the shapes."""
    num_layers, more = divmod(len(shapes) - 2, len(_OF_A_LAYER))
    if num_layers < 1 or more or any(len(shape) != 2 for shape in shapes[:2]):
        raise InputError(
            f"{folder / SHAPES}: {len(shapes)} shapes, and a GPT has two tables and {len(_OF_A_LAYER)} tensors for "
            "each layer; copy it again"
        )
    (num_positions, width), (num_words, _) = shapes[:2]
    if width % _HEAD_SIZE:
        raise InputError(f"{folder / SHAPES}: vectors of {width} numbers; GPT's are a multiple of {_HEAD_SIZE}")
    return {
        "model_type": "openai-gpt",
        "architectures": ["OpenAIGPTLMHeadModel"],
        "n_positions": num_positions,
        "vocab_size": num_words,
        "n_embd": width,
        "n_layer": num_layers,
        "n_head": width // _HEAD_SIZE,
        "afn": "gelu",
    }


def _as_huggingface(folder: Path, shapes: list[list[int]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    described = _described(folder, shapes)
    numbers = np.concatenate(list(_parts(folder)))
    wanted = sum(int(np.prod(shape)) for shape in shapes)
    if numbers.size != wanted:
        raise InputError(
            f"{folder}: {numbers.size:,} numbers in its params files, and {SHAPES} wants {wanted:,}; copy the whole "
            "folder again"
        )
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [f"h.{layer}.{name}" for layer in range(described["n_layer"]) for name in _OF_A_LAYER]
    weights, start = {}, 0
    for name, shape in zip(names, shapes, strict=True):
        size = int(np.prod(shape))
        weights[name] = torch.from_numpy(numbers[start : start + size].reshape(shape))
        start += size
    return described, weights


def _parts(folder: Path) -> Iterator[NDArray[np.float32]]:
    """The numbers of each file, in their order.

    Raises:
        InputError: one is missing in between, cut short, no vector of numbers, or a pickle.
    """
    count = len(list(folder.glob("params_*.npy")))
    if not count:
        raise InputError(f"{folder}: {SHAPES} without params_0.npy and its like; copy the whole folder")
    for number in range(count):
        path = inside(folder, f"params_{number}.npy")
        try:
            # Mapped, so that a header which promises more than the file holds is refused before memory is asked for.
            part = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise InputError(f"{path}: missing among {count} such files; copy the whole folder again") from None
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{path}: not plain numbers, or cut short ({error}); copy it again") from error
        if part.ndim != 1 or part.dtype.kind != "f":
            raise InputError(f"{path}: {part.ndim} axes of {part.dtype}, wanted a vector of numbers; copy it again")
        yield part.astype(np.float32)
