"""Checkpoints by their name on Hugging Face's hub: out of its cache where they lie there whole, else fetched.

The cache is that of huggingface_hub, read by its layout: ``models--OWNER--NAME/refs/main`` names the revision whose
files, as links, stand in ``snapshots/REVISION``. What is there is used without a call and without the library. Else the
library fetches what is read here and nothing besides: settings, tokenizer, and weights as safetensors or, where there
are none, as PyTorch's file, of which tensors alone are read.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from wenmo.errors import InputError
from wenmo.interchange.sentence_transformers import BESIDE, DENSE, model_folder, module_folders
from wenmo.interchange.weight_files import SHARDED, SINGLE, holds_all_weights
from wenmo.text.pretrained_files import FILES, MERGES, PAIRS, TOKENIZER, WORD_PIECES

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_VALUES = frozenset({"config.json", *FILES, *BESIDE})
_WEIGHTS = ((SINGLE[0], SHARDED[0], ".safetensors"), (SINGLE[1], SHARDED[1], ".bin"))
"""What cannot hold code comes first: a file, the index of several, and how those end."""
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "ON", "YES", "TRUE")


def place_of(checkpoint: str | Path, *, fetch_plain: bool = True) -> Path:
    """Where a checkpoint lies: a path as it is, or the folder of the hub's cache for a name such as ``owner/name``.

    Args:
        checkpoint: what a person names. A path that is there is never taken for a name, nor one in a folder that is.
        fetch_plain: whether a name without an owner is fetched too; else it is only looked for in the cache.

    Raises:
        InputError: it can be a name alone, and the model is neither in the cache nor can it be fetched.
    """
    path = Path(checkpoint).expanduser()
    if path.exists() or not may_be_name(checkpoint):
        return path
    name = str(checkpoint)
    found = cached_folder(name)
    if found is not None:
        return found
    return _fetched(name) if fetch_plain or "/" in name else path


def may_be_name(checkpoint: str | Path) -> bool:
    """Whether something reads like a name on the hub, and not like a path of this machine."""
    name = str(checkpoint)
    owner, slash, _ = name.partition("/")
    if slash and Path(owner).exists():
        return False
    return bool(_NAME.fullmatch(name)) and "--" not in name and ".." not in name


def cached_folder(name: str) -> Path | None:
    """The folder of a model in the cache; None where it is not there, or not whole."""
    kept = cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = (kept / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    folder = kept / "snapshots" / revision
    return folder if re.fullmatch(r"\w+", revision) and _is_whole(folder) else None


def cache() -> Path:
    """Where huggingface_hub keeps what it fetched, as its variables say."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.path.expandvars(os.environ[variable])).expanduser()
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{above}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def _is_whole(folder: Path) -> bool:
    """Whether settings, weights and a tokenizer are there, and the settings of the steps that follow the model."""
    if not folder.is_dir():
        return False
    place = model_folder(folder)
    has_tokenizer = any((place / name).is_file() for name in (TOKENIZER, WORD_PIECES)) or all(
        (place / name).is_file() for name in (PAIRS, MERGES)
    )
    steps = [(kind, step) for kind, step in module_folders(folder) if step != folder]
    return (
        (place / "config.json").is_file()
        and holds_all_weights(place)
        and has_tokenizer
        and all((step / "config.json").is_file() for _, step in steps)
        and all(holds_all_weights(step) for kind, step in steps if kind == DENSE)
    )


def _fetched(name: str) -> Path:
    missing = f"{name}: there is no such folder, and no whole model of this name in the hub's cache, {cache()}"
    instead = "copy its folder here and name that, or set HF_HOME to a cache that has it"
    offline = next((each for each in _OFFLINE if os.environ.get(each, "").upper() in _YES), "")
    if offline:
        raise InputError(f"{missing}; {offline} forbids to fetch it: {instead}")
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise InputError(f'{missing}; pip install "wenmo[hf]" to fetch it, or {instead}') from error
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        # One call, which fails at once where there is no network; the list of a tree is asked for again and again.
        there = [each.rfilename for each in HfApi(endpoint=endpoint).model_info(name).siblings or ()]
        folder = snapshot_download(name, cache_dir=cache(), allow_patterns=_wanted(there), endpoint=endpoint)
    except Exception as error:  # the library's own, those of its HTTP client and of the system have no class in common
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(
            f"{missing}; it could not be fetched ({reason}): check the name and the network, or {instead}"
        ) from error
    return Path(folder)


def _wanted(there: Iterable[str]) -> list[str]:
    """Of the files of a model those that are read here, in its folder and in those of its steps."""
    files = [PurePosixPath(name) for name in there]
    chosen = [file for file in files if file.name in _VALUES and _is_near(file)]
    for folder in {file.parent for file in chosen}:
        beside = [file for file in files if file.parent == folder]
        for single, index, ending in _WEIGHTS:
            names = {file.name for file in beside}
            if single in names:
                chosen.append(folder / single)
                break
            if index in names:
                stem = single.removesuffix(ending)
                chosen += [file for file in beside if file.name == index or file.match(f"{stem}-*{ending}")]
                break
    return [str(file) for file in chosen]


def _is_near(file: PurePosixPath) -> bool:
    """Whether it stands in the folder itself, or in that of a step, such as ``1_Pooling``."""
    return len(file.parts) == 1 or (len(file.parts) == 2 and file.parts[0][0].isdigit())
