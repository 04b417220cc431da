"""Files of weights: safetensors, and PyTorch's own files where they hold nothing but tensors; whole or in shards.

Nothing here runs what is in a file, and no file is read that lies outside the folder.
"""

import pickle
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wenmo.errors import InputError
from wenmo.files import read_json_object

SINGLE = ("model.safetensors", "pytorch_model.bin")
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LOOKED_FOR = (SINGLE[0], SHARDED[0], SINGLE[1], SHARDED[1])
"""In this order: what cannot hold code comes first."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the folder under the name it has there, in float32 at least.

    Raises:
        InputError: there are no weights, a file is cut short or would run code, a shard is missing, a name leads out of
            the folder, or a weight stands there twice.
    """
    for name in _LOOKED_FOR:
        if (folder / name).exists() or (folder / name).is_symlink():
            weights = _read_shards(folder, name) if name in SHARDED else read_weight_file(inside(folder, name))
            names = [modern_name(each) for each in weights]
            twice = [each for each, number in Counter(names).items() if number > 1]
            if twice:
                raise InputError(f"{folder / name}: {twice[0]} stands there twice, in two spellings; copy it again")
            return {each: _at_least_float32(tensor) for each, tensor in zip(names, weights.values(), strict=True)}
    raise InputError(f"{folder}: there are no weights; looked for {', '.join(_LOOKED_FOR)}; copy the whole folder")


def holds_all_weights(folder: Path) -> bool:
    """Whether weights are there, and of several files all that their index names.

    Raises:
        InputError: an index is damaged, or a name leads out of the folder.
    """
    for name in _LOOKED_FOR:
        if (folder / name).is_file():
            return name in SINGLE or all(path.is_file() for path in _shards(folder, name)[1].values())
    return False


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """The tensors of one file.

    Raises:
        InputError: it is missing, cut short, not what its name says, or would run code.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; copy the whole folder again")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def inside(folder: Path, name: str) -> Path:
    """A file of the folder by its plain name.

    Raises:
        InputError: the name, or the link that stands there, leads out of the folder.
    """
    if Path(name).name != name or name in ("", "..") or "\\" in name:
        raise InputError(f"{folder}: {name!r} is not the plain name of a file in this folder; do not trust its files")
    path = folder / name
    target, root = path.resolve(), folder.resolve()
    # The hub's cache keeps each file once, in `blobs`, and links to it from `snapshots/REVISION` and folders there.
    snapshots = next((each for each in root.parents if each.name == "snapshots"), None)
    blobs = root if snapshots is None else snapshots.parent / "blobs"
    if not (target.is_relative_to(root) or target.is_relative_to(blobs)):
        raise InputError(f"{path}: a link that leaves the folder, to {target}; copy the file itself into the folder")
    return path


def modern_name(name: str) -> str:
    """The name of a weight as it is spelt now: layer norms once had gamma and beta, and `DataParallel` says module."""
    name = name.removeprefix("module.")
    stem, _, kind = name.rpartition(".")
    return f"{stem}.{'weight' if kind == 'gamma' else 'bias'}" if stem and kind in ("gamma", "beta") else name


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        if _is_pickle(path):
            raise InputError(
                f"{path}: not safetensors but a pickle under that name; call it pytorch_model.bin, and it is read "
                f"without running code"
            ) from error
        raise InputError(f"{path}: cut short or not a safetensors file ({error}); copy it again") from error


def _is_pickle(path: Path) -> bool:
    """Whether it begins like a zip file, as PyTorch writes since 1.6, or like a bare pickle. The length at the head of
    a safetensors file may do so by chance, but behind it stands a brace."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:9] != b"{" and head[:2] in (b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6)))


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        runs = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        if runs:
            raise InputError(
                f"{path}: it holds more than tensors and would run {runs[1]} when read; bring the model's "
                f"model.safetensors, or where you trust the file save its tensors anew as one"
            ) from error
        raise InputError(
            f"{path}: cut short, or not a table of tensors as PyTorch saves it; copy it again, or bring the model's "
            f"model.safetensors"
        ) from error
    if not isinstance(weights, Mapping) or not all(isinstance(each, Tensor) for each in weights.values()):
        raise InputError(
            f"{path}: not a plain table of tensors, perhaps a checkpoint of a trainer; bring the model's own weights, "
            f"as save_pretrained writes them"
        )
    return dict(weights)


def _shards(folder: Path, index: str) -> tuple[dict[str, str], dict[str, Path]]:
    """In which file each weight stands, and the files."""
    places = read_json_object(inside(folder, index)).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(each, str) for each in places.values()):
        raise InputError(f"{folder / index}: it has no weight_map from weights to files; copy it again")
    return places, {name: inside(folder, name) for name in sorted(set(places.values()))}


def _read_shards(folder: Path, index: str) -> dict[str, Tensor]:
    places, files = _shards(folder, index)
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        raise InputError(f"{folder / index}: {len(missing)} of {len(files)} shards missing: {', '.join(missing)}")
    weights: dict[str, Tensor] = {}
    for name, path in files.items():
        shard = read_weight_file(path)
        wanted = [each for each, place in places.items() if place == name]
        absent = [each for each in wanted if each not in shard]
        if absent:
            raise InputError(f"{path}: it lacks {len(absent)} weights that {index} promises, first {absent[0]}")
        weights |= {each: shard[each] for each in wanted}
    return weights


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
