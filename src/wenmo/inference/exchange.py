"""The verbs ``import`` and ``export``: checkpoints of other systems into a folder of ours, and models for other tools.

The folder that an import makes is transformers' own in its newest form, whatever the checkpoint was: safetensors under
the names of today, nothing that could run code. It opens in wenmo and in transformers.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wenmo.errors import InputError, JobError
from wenmo.files import write_aside, write_json
from wenmo.folder import CARD, CONFIG, WEIGHTS, ModelFolder, open_any, write_weights
from wenmo.interchange import elmo_verification
from wenmo.interchange.allennlp import OPTIONS, find_weights, holds_elmo, read_arrays, read_elmo
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.hub import place_of
from wenmo.interchange.huggingface import read_checkpoint, to_huggingface
from wenmo.interchange.openai_gpt import holds_openai_gpt
from wenmo.interchange.opening import read_any
from wenmo.interchange.sentence_transformers import DENSE, model_folder, module_folders, sentence_vectors
from wenmo.interchange.task_weights import as_theirs
from wenmo.interchange.verification import first_difference, load_transformers
from wenmo.interchange.weight_files import inside, read_weights
from wenmo.text.pretrained_files import OPENAI_NAMES

_COPIED = frozenset(
    """
    tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.txt vocab.json merges.txt
    modules.json sentence_bert_config.json sentence_roberta_config.json sentence_distilbert_config.json
    config_sentence_transformers.json generation_config.json LICENSE README.md
    """.split()  # noqa: SIM905
)
"""Files beside a model that are values and texts: taken as they are."""
_NOT_KEPT = ("auto_map", "torch_dtype", "dtype", "_name_or_path", "transformers_version", "custom_pipelines")
"""Fields of ``config.json`` that name code, or that are no longer true of the copy."""


def import_elmo(options: Path, made: Path, *, verify: bool = False) -> dict[str, Any]:
    """As `import_checkpoint`, of AllenNLP's ``options.json`` with its HDF5 file.

    The folder holds the options and, as safetensors, the weights. ``verify`` compares with TensorFlow's equations over
    the file as it is.
    """
    if (made / OPTIONS).exists():
        raise InputError(f"{made}: a model stands there already; choose another --out")
    read = read_elmo(options)
    file = options / OPTIONS if options.is_dir() else options
    arrays = read_arrays(find_weights(file))[0] if verify else {}
    try:
        made.mkdir(parents=True, exist_ok=True)
        write_weights(made / WEIGHTS, read.weights)
        write_json(made / OPTIONS, read.described)
    except OSError as error:
        raise JobError(
            f"{made}: could not write the model ({error}); free some space or choose another --out"
        ) from error
    difference = elmo_verification.first_difference(read_elmo(made), arrays) if verify else ""
    return {
        "model": str(made),
        "family": read.family,
        "weights": sum(tensor.numel() for tensor in read.weights.values()),
        "left_out": read.left_out,
        "verified": not difference if verify else None,
        "first_difference": difference or None,
    }


def import_checkpoint(checkpoint: str | Path, *, out: str | Path, verify: bool = False) -> dict[str, Any]:
    """Take a checkpoint of transformers over into a folder, for wenmo and for transformers; or an ELMo, for wenmo.

    Args:
        checkpoint: the folder, or the file of its weights or settings, or its name on the hub; also a folder of
            sentence-transformers, and the ``options.json`` of an ELMo.
        out: the folder to make.
        verify: compare what the new folder gives with what transformers makes of the checkpoint, layer by layer.

    Returns:
        ``model``, ``family``, ``weights`` (how many numbers), ``left_out``, ``verified`` (None: nobody asked) and
        ``first_difference``, the first layer that differs (None: none does).

    Raises:
        InputError: the checkpoint cannot be read, or a model stands in ``out`` already.
        JobError: a file could not be written.
    """
    _refuse_to_write_over(Path(out))
    source = place_of(checkpoint)
    if holds_elmo(source):
        return import_elmo(source, Path(out), verify=verify)
    folder, made = _folder_of(source), Path(out)
    if verify and holds_openai_gpt(folder):
        raise InputError(f"--verify: transformers does not read the files of {checkpoint}; leave it out")
    if verify:
        load_transformers()  # before a folder is made
    place = model_folder(folder)
    read = read_any(place)
    if "wenmo_version" in read.described:
        raise InputError(
            f"{checkpoint}: a model of wenmo already; `wenmo export {checkpoint} --format huggingface` makes one for "
            f"other tools"
        )
    described, weights = to_huggingface(read.config, read.weights | read.heads, named=read.family)
    kept = {name: value for name, value in read.described.items() if name not in _NOT_KEPT}
    target = made / place.relative_to(folder)
    try:
        _copy_beside(folder, made)
        _write(target, _with_labels(kept | described, read), weights)
    except OSError as error:
        raise JobError(
            f"{made}: could not write the model ({error}); free some space or choose another --out"
        ) from error
    difference = first_difference(read_checkpoint(target), place) if verify else None
    return {
        "model": str(out),
        "family": read.family,
        "weights": sum(tensor.numel() for tensor in weights.values()),
        "left_out": read.left_out
        + ([f"modules.json: {beyond}"] if (beyond := sentence_vectors(folder).beyond) else []),
        "verified": not difference if verify else None,
        "first_difference": difference or None,
    }


def export_model(model: str | Path, *, out: str | Path) -> dict[str, Any]:
    """Write a trained model as transformers keeps it, without what only wenmo needs.

    Args:
        model: what `wenmo.train` made.
        out: the folder to make.

    Returns:
        ``model``, ``format``, ``family``, ``architecture``, ``weights`` (how many numbers) and ``notes``.

    Raises:
        InputError: transformers has no such model or no such head, or a model stands in ``out`` already.
        JobError: a file could not be written.
    """
    made = Path(out)
    _refuse_to_write_over(made)
    folder = open_any(Path(model))
    if not isinstance(folder, ModelFolder):
        raise InputError(f"{model}: already a folder of transformers; `wenmo import {model}` makes a clean copy")
    theirs = as_theirs(folder.task)
    if theirs is None:
        raise InputError(
            f"{model}: transformers has no {folder.task.extractor_config.model_type}; it has bert, ernie, gpt and gpt2"
        )
    if theirs.own:
        raise InputError(
            f"{model}: transformers has no place for {', '.join(sorted(theirs.own))}; train it with another head, for "
            f"example a tagger with -o task.decoder=softmax"
        )
    try:
        made.mkdir(parents=True, exist_ok=True)
        folder.tokenizer.save(made)
        write_aside(made / CARD, folder.card)
        _write(made, theirs.described | folder.task.config.described(), theirs.weights)
    except OSError as error:
        raise JobError(
            f"{made}: could not write the model ({error}); free some space or choose another --out"
        ) from error
    return {
        "model": str(out),
        "format": "huggingface",
        "family": theirs.described["model_type"],
        "architecture": theirs.described["architectures"][0],
        "weights": sum(tensor.numel() for tensor in theirs.weights.values()),
        "notes": _notes(folder),
    }


def _folder_of(checkpoint: Path) -> Path:
    if checkpoint.is_file():
        return checkpoint.parent
    if not checkpoint.is_dir():
        raise InputError(f"{checkpoint}: there is no such folder; a checkpoint is a folder with {CONFIG} and weights")
    return checkpoint


def _refuse_to_write_over(out: Path) -> None:
    if any((out / name).exists() for name in (CONFIG, WEIGHTS, "modules.json")):
        raise InputError(f"{out}: a model stands there already; choose another --out")


def _copy_beside(folder: Path, made: Path, depth: int = 0) -> None:
    """The files that are no weights, and those of the folders below, in which sentence-transformers keeps its steps."""
    made.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.name in _COPIED or path.name in OPENAI_NAMES or (depth and path.name == CONFIG):
            shutil.copyfile(inside(folder, path.name), made / OPENAI_NAMES.get(path.name, path.name))
        elif path.is_dir() and not depth and (folder / "modules.json").is_file() and path.name[0].isdigit():
            _copy_beside(inside(folder, path.name), made / path.name, depth + 1)
    for kind, step in module_folders(folder) if not depth else ():
        if kind == DENSE:
            write_weights(made / step.relative_to(folder) / WEIGHTS, read_weights(step))


def _write(folder: Path, described: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """The description comes last, so that a folder with it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, described)


def _with_labels(described: dict[str, Any], read: Checkpoint) -> dict[str, Any]:
    """The labels as they were called before, where there are any."""
    return described | {name: read.described[name] for name in ("id2label", "label2id") if name in read.described}


def _notes(folder: ModelFolder) -> list[str]:
    segmenter = getattr(folder.tokenizer.config, "segmenter", "")
    if segmenter in ("", "pretrained"):
        return []
    return [
        f"its words are cut by {segmenter!r}, which AutoTokenizer does not do; bring other tools the ids of "
        f"wenmo's tokenizer"
    ]
