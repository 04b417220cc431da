"""ELMo as AllenNLP publishes it: an ``options.json`` and an HDF5 file that TensorFlow's bilm-tf wrote.

The layout is that of bilm-tf's `dump_bilm_embeddings` and AllenNLP's `modules/elmo.py` and `modules/elmo_lstm.py`. Four
things differ from ours: matrices are multiplied from the other side; W and U of an LSTM are one matrix, whose gates are
in the order input, candidate, forget, output; TensorFlow adds 1 to the forget gate's bias when it runs; and characters
have no row for what is no character. The gate of a highway is ours; it is AllenNLP's module that turns it round.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.errors import InputError
from wenmo.features import NUM_BYTE_IDS
from wenmo.files import read_json_object
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.weight_files import read_weight_file
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.models.shapes import shapes_only

Array = NDArray[np.float32]

OPTIONS, WEIGHTS = "options.json", "model.safetensors"
_MOST_NUMBERS = 1 << 28
"""Of an array; the largest of the original has 2 ** 24. A file can say of itself what would fill any memory."""
_SUFFIXES = (".hdf5", ".h5")
_SOFTMAX = "softmax"
"""The language model's own head; no release has one in this file."""

_LSTM = {
    "dim": "num_units",
    "projection_dim": "projection_size",
    "n_layers": "num_hidden_layers",
    "cell_clip": "cell_clip",
    "proj_clip": "projection_clip",
    "use_skip_connections": "residual",
}
_CHARACTERS = {
    "filters": "filters",
    "n_highway": "num_highways",
    "max_characters_per_token": "max_characters",
    "activation": "character_activation",
}
_REQUIRED = (("lstm", ("dim", "projection_dim")), ("char_cnn", ("embedding", "filters")))
_LEFT_OUT = {"num_hidden_layers": 1, "residual": False, "num_highways": 0, "cell_clip": 0.0, "projection_clip": 0.0}
_SIZES = (
    *("num_units", "projection_size", "num_hidden_layers", "num_highways", "max_characters"),
    "character_embedding_size",
)
_OF_CHARACTERS_BESIDE = ("embedding", "n_characters")


def read_elmo(options: Path, weights: Path | None = None) -> Checkpoint:
    """Read an ELMo.

    Args:
        options: the options file, or the folder in which it stands as ``options.json``.
        weights: the HDF5 file; None: what `wenmo import` made of one, or the one beside the options that has a group
            ``CNN``.

    Raises:
        InputError: a file is missing or is not what it should be, or the two do not describe the same model.
    """
    options, described, config = _read_description(options)
    ours = options.parent / WEIGHTS
    if weights is None and ours.is_file():
        return Checkpoint(config=config, weights=_taken_over(ours, config), family="elmo", described=described)
    weights = weights or find_weights(options)
    arrays, of_head = read_arrays(weights)
    left_out = [f"{name}: the language model's own head" for name in of_head]
    left_out += [f"{name}: about its training" for name in sorted(described.keys() - {"lstm", "char_cnn"})]
    return Checkpoint(
        config=config,
        weights=_converted(arrays, config, str(weights)),
        family="elmo",
        described=described,
        left_out=left_out,
    )


def read_config(options: Path) -> ElmoConfig:
    """The settings of an ELMo, without its weights.

    Raises:
        InputError: as `read_elmo`.
    """
    return _read_description(options)[2]


def holds_elmo(path: Path) -> bool:
    """Whether a path is ELMo's options, or a folder with them that is no model of another kind."""
    if path.is_dir():
        return (path / OPTIONS).is_file() and not (path / "config.json").exists()
    return path.is_file() and path.name.endswith(OPTIONS)


def config_from_options(options: Mapping[str, Any], source: str = OPTIONS) -> ElmoConfig:
    """The settings that an options file describes.

    Raises:
        InputError: something is missing, unknown or cannot work.
    """
    lstm, characters = (_section(options, name, source) for name in ("lstm", "char_cnn"))
    values = {
        **_renamed(lstm, _LSTM, (), "lstm", source),
        **_renamed(characters, _CHARACTERS, _OF_CHARACTERS_BESIDE, "char_cnn", source),
    }
    for name, fields in _REQUIRED:
        for field in fields:
            if field not in options[name]:
                raise InputError(f"{source}: {name}.{field} is missing; download the file again")
    # Left out, bilm-tf has one layer, no residual, no highway and no clipping; null means the same.
    values = {**_LEFT_OUT, **{name: value for name, value in values.items() if value is not None}}
    known = characters.get("n_characters", NUM_BYTE_IDS)
    if known not in (NUM_BYTE_IDS - 1, NUM_BYTE_IDS):  # without and with the id of what is no character
        raise InputError(
            f"{source}: char_cnn.n_characters is {known}, and ELMo's bytes and markers are {NUM_BYTE_IDS}; only such "
            "models can be read"
        )
    try:
        values["character_embedding_size"] = characters["embedding"]["dim"]
        for field, size in values.items():
            if field in _SIZES and not (isinstance(size, int) and size >= 0):
                raise ValueError(f"{field} is {size!r}, and a whole number is wanted")
        return ElmoConfig.from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source}: these options describe no ELMo: {error}; download the file again") from error


def options_of(config: ElmoConfig) -> dict[str, Any]:
    """What an options file says of a model of these settings."""
    lstm = {theirs: getattr(config, ours) for theirs, ours in _LSTM.items()}
    characters = {theirs: getattr(config, ours) for theirs, ours in _CHARACTERS.items()}
    beside = {"embedding": {"dim": config.character_embedding_size}, "n_characters": NUM_BYTE_IDS}
    return {"lstm": lstm, "char_cnn": {**characters, "filters": [list(each) for each in config.filters], **beside}}


def find_weights(options: Path) -> Path:
    """The HDF5 file beside the options that holds an ELMo: the one that is named as they are, ``X_weights.hdf5`` beside
    ``X_options.json``, or else the only one that has a group ``CNN``.

    Raises:
        InputError: there is none, or more than one.
    """
    folder = options.parent
    named = folder / f"{options.name.removesuffix(OPTIONS)}weights.hdf5"
    if options.name.endswith(OPTIONS) and named.is_file():
        return named
    candidates = sorted(each for each in folder.iterdir() if each.suffix in _SUFFIXES)
    found = [each for each in candidates if _has_characters(each)]
    if len(found) != 1:
        seen = ", ".join(each.name for each in found or candidates) or "no .hdf5 file"
        raise InputError(
            f"{folder}: {len(found)} files hold the weights of an ELMo (there is {seen}); name the one to read"
        )
    return found[0]


def _read_description(options: Path) -> tuple[Path, dict[str, Any], ElmoConfig]:
    """The file of options, what stands in it, and that as settings of ours."""
    options = options / OPTIONS if options.is_dir() else options
    described = _read_options(options)
    return options, described, config_from_options(described, str(options))


def _read_options(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; ELMo comes with an options file beside its weights")
    return read_json_object(path)


def _section(options: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    section = options.get(name)
    if not isinstance(section, dict):
        has = ", ".join(options) or "nothing"
        why = "; a model that reads whole words is not supported" if name == "char_cnn" and "lstm" in options else ""
        raise InputError(f"{source}: no section {name!r}, as ELMo's options have (there is {has}){why}")
    return section


def _renamed(
    section: Mapping[str, Any], names: Mapping[str, str], beside: tuple[str, ...], title: str, source: str
) -> dict[str, Any]:
    """The values under our names; what is neither named nor ``beside`` them could change the model."""
    unknown = sorted(section.keys() - names.keys() - set(beside))
    if unknown:
        raise InputError(f"{source}: unknown options {', '.join(f'{title}.{name}' for name in unknown)}")
    return {names[name]: value for name, value in section.items() if name in names}


def _open(path: Path) -> Any:
    """An open HDF5 file.

    Raises:
        InputError: h5py is not installed, or the file is not such a one.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f'{path}: pip install "wenmo[elmo]" to read HDF5 files') from error
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: not an HDF5 file, or not a whole one ({error}); download it again") from error


def _has_characters(path: Path) -> bool:
    with _open(path) as file:
        return "CNN" in file


def read_arrays(path: Path) -> tuple[dict[str, Array], list[str]]:
    """Every array of a file by its name, and the names of those that belong to the head, which are not read.

    Raises:
        InputError: the file holds no weights of an ELMo.
    """
    import h5py

    arrays: dict[str, Array] = {}
    of_head: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and name.split("/")[0] == _SOFTMAX:
            of_head.append(name)
        elif isinstance(item, h5py.Dataset):
            if item.dtype.kind != "f" or item.size > _MOST_NUMBERS:
                raise InputError(
                    f"{path}: {name} is no weight of an ELMo ({item.dtype}, {item.shape}); download it again"
                )
            arrays[name] = np.asarray(item[...], np.float32)

    with _open(path) as file:
        if "CNN" not in file:
            groups = ", ".join(sorted(file)[:5]) or "nothing"
            raise InputError(f"{path}: not the weights of an ELMo, which have a group CNN (there is {groups})")
        file.visititems(visit)
    return arrays, of_head


def _taken_over(path: Path, config: ElmoConfig) -> dict[str, torch.Tensor]:
    """Weights under our names.

    Raises:
        InputError: the file cannot be read, or is that of another model.
    """
    weights = read_weight_file(path)
    with shapes_only():
        wanted = {name: tuple(each.shape) for name, each in Elmo(config).state_dict().items()}
    if {name: tuple(each.shape) for name, each in weights.items()} != wanted:
        raise InputError(f"{path}: not the weights of the model that {OPTIONS} describes; import it again")
    return weights


def _converted(arrays: Mapping[str, Array], config: ElmoConfig, source: str) -> dict[str, torch.Tensor]:
    """Our weights from the arrays of a file.

    Raises:
        InputError: an array is missing, has another shape, or belongs to nothing.
    """
    with shapes_only():
        wanted = {name: tuple(each.shape) for name, each in Elmo(config).state_dict().items()}
    sources = {ours: (theirs, change) for ours, theirs, change in _table(config)}
    missing = sorted({theirs for theirs, _ in sources.values()} - arrays.keys())
    left_over = sorted(arrays.keys() - {theirs for theirs, _ in sources.values()})
    if missing or left_over:
        listed = (("missing", missing), ("left over", left_over))
        parts = [f"{what}: {', '.join(names)}" for what, names in listed if names]
        raise InputError(f"{source}: not the model that the options describe; {'; '.join(parts)}")
    weights: dict[str, torch.Tensor] = {}
    for ours, (theirs, change) in sources.items():
        try:
            found = np.ascontiguousarray(change(arrays[theirs]), np.float32)
        except (ValueError, IndexError):
            found = np.empty(0, np.float32)
        if found.shape != wanted[ours]:
            raise InputError(
                f"{source}: {theirs} has the shape {arrays[theirs].shape}, and the options describe another size, of "
                f"which {ours} would be {wanted[ours]}; bring the options of these weights"
            )
        weights[ours] = torch.from_numpy(found)
    mix = {"mix.weights": torch.zeros(wanted["mix.weights"]), "mix.gamma": torch.ones(())}  # no file has them
    return {**weights, **mix}


def _table(config: ElmoConfig) -> Iterator[tuple[str, str, Callable[[Array], Array]]]:
    """Our name of each weight, the array it comes from, and what has to be done with that."""
    yield "characters.embeddings.weight", "char_embed", lambda rows: np.pad(rows, ((1, 0), (0, 0)))
    for i in range(len(config.filters)):
        # (1, width, embedding_size, filters) to (filters, embedding_size, width)
        yield f"characters.convs.{i}.weight", f"CNN/W_cnn_{i}", lambda w: w[0].transpose(2, 1, 0)
        yield f"characters.convs.{i}.bias", f"CNN/b_cnn_{i}", _as_it_is
    for i in range(config.num_highways):
        for ours, theirs in (("transform", "transform"), ("gate", "carry")):
            yield f"characters.highways.{i}.{ours}.weight", f"CNN_high_{i}/W_{theirs}", np.transpose
            yield f"characters.highways.{i}.{ours}.bias", f"CNN_high_{i}/b_{theirs}", _as_it_is
    yield "characters.projection.weight", "CNN_proj/W_proj", np.transpose
    yield "characters.projection.bias", "CNN_proj/b_proj", _as_it_is
    width = config.projection_size
    for direction, ours in enumerate(("forward_cells", "backward_cells")):
        for i in range(config.num_hidden_layers):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{i}/LSTMCell"
            yield f"{ours}.{i}.weight_ih", f"{cell}/W_0", lambda w: _our_gates(w.T)[:, :width]
            yield f"{ours}.{i}.weight_hh", f"{cell}/W_0", lambda w: _our_gates(w.T)[:, width:]
            yield f"{ours}.{i}.bias_ih", f"{cell}/B", _our_bias
            yield f"{ours}.{i}.weight_hr", f"{cell}/W_P_0", np.transpose


def _our_gates(rows: Array) -> Array:
    """From TensorFlow's order input, candidate, forget, output to ours: input, forget, candidate, output."""
    i, g, f, o = np.split(rows, 4)
    return np.concatenate([i, f, g, o])


def _our_bias(bias: Array) -> Array:
    """In our order, with the 1 that TensorFlow adds to the forget gate's."""
    i, g, f, o = np.split(bias, 4)
    return np.concatenate([i, f + 1, g, o])


def _as_it_is(array: Array) -> Array:
    return array
