"""ELMo's published files: gates in their order, what is missing by its name, options of another model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.errors import InputError
from wenmo.interchange.allennlp import config_from_options, find_weights, holds_elmo, read_elmo
from wenmo.models.elmo import Elmo, ElmoConfig, elmo_medium, elmo_original, elmo_small

h5py = pytest.importorskip("h5py")

OPTIONS: dict[str, Any] = {
    "lstm": {
        "cell_clip": 3,
        "use_skip_connections": True,
        "n_layers": 2,
        "proj_clip": 3,
        "projection_dim": 3,
        "dim": 5,
    },
    "char_cnn": {
        "embedding": {"dim": 2},
        "filters": [[1, 3], [2, 4]],
        "n_highway": 1,
        "n_characters": 262,
        "max_characters_per_token": 50,
        "activation": "relu",
    },
}
RELEASED_FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]


def shapes_of_file() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "char_embed": (261, 2),
        "CNN/W_cnn_0": (1, 1, 2, 3),
        "CNN/b_cnn_0": (3,),
        "CNN/W_cnn_1": (1, 2, 2, 4),
        "CNN/b_cnn_1": (4,),
        "CNN_high_0/W_carry": (7, 7),
        "CNN_high_0/b_carry": (7,),
        "CNN_high_0/W_transform": (7, 7),
        "CNN_high_0/b_transform": (7,),
        "CNN_proj/W_proj": (7, 3),
        "CNN_proj/b_proj": (3,),
    }
    for direction in range(2):
        for layer in range(2):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes |= {f"{cell}/W_0": (6, 20), f"{cell}/B": (20,), f"{cell}/W_P_0": (5, 3)}
    return shapes


def write(folder: Path, arrays: dict[str, Any], options: Any = OPTIONS, name: str = "weights.hdf5") -> Path:
    (folder / "options.json").write_text(json.dumps(options))
    with h5py.File(folder / name, "w") as file:
        for each, array in arrays.items():
            file[each] = array
    return folder


def arrays_of_file() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes_of_file().items()}


def test_every_weight_stands_where_it_belongs(tmp_path: Path) -> None:
    arrays = arrays_of_file()
    checkpoint = read_elmo(write(tmp_path, arrays))
    assert checkpoint.family == "elmo" and checkpoint.described == OPTIONS
    assert checkpoint.left_out == [] and checkpoint.heads == {}
    model = Elmo(checkpoint.config)  # type: ignore[arg-type]
    model.load_state_dict(checkpoint.weights)  # strict: all of them, no others
    weights = {name: tensor.numpy() for name, tensor in checkpoint.weights.items()}
    embeddings = weights["characters.embeddings.weight"]
    assert not embeddings[0].any() and np.array_equal(embeddings[1:], arrays["char_embed"])
    assert np.array_equal(weights["characters.convs.1.weight"][2, 1], arrays["CNN/W_cnn_1"][0, :, 1, 2])
    assert np.array_equal(weights["characters.highways.0.gate.weight"], arrays["CNN_high_0/W_carry"].T)
    assert np.array_equal(weights["characters.highways.0.transform.bias"], arrays["CNN_high_0/b_transform"])
    cell = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"
    both, bias = arrays[f"{cell}/W_0"], arrays[f"{cell}/B"]
    theirs = {"i": slice(0, 5), "g": slice(5, 10), "f": slice(10, 15), "o": slice(15, 20)}
    for gate, rows in {"i": slice(0, 5), "f": slice(5, 10), "g": slice(10, 15), "o": slice(15, 20)}.items():
        assert np.array_equal(weights["backward_cells.1.weight_ih"][rows], both[:3, theirs[gate]].T)
        assert np.array_equal(weights["backward_cells.1.weight_hh"][rows], both[3:, theirs[gate]].T)
        added = np.float32(1 if gate == "f" else 0)
        assert np.array_equal(weights["backward_cells.1.bias_ih"][rows], bias[theirs[gate]] + added)
    assert np.array_equal(weights["backward_cells.1.weight_hr"], arrays[f"{cell}/W_P_0"].T)
    assert torch.equal(checkpoint.weights["mix.weights"], torch.zeros(3)) and checkpoint.weights["mix.gamma"] == 1


@pytest.mark.parametrize(
    ("cells", "projection", "highways", "expected"),
    [(1024, 128, 1, elmo_small()), (2048, 256, 1, elmo_medium()), (4096, 512, 2, elmo_original())],
)
def test_released_options_are_the_sizes_by_name(cells: int, projection: int, highways: int, expected: Any) -> None:
    lstm = {**OPTIONS["lstm"], "dim": cells, "projection_dim": projection}
    characters = {**OPTIONS["char_cnn"], "embedding": {"dim": 16}, "filters": RELEASED_FILTERS, "n_highway": highways}
    assert config_from_options({"lstm": lstm, "char_cnn": characters}) == expected


def test_options_left_out_or_null_are_those_of_the_original_code() -> None:
    lstm = {"dim": 5, "projection_dim": 3, "cell_clip": None}
    characters = {"embedding": {"dim": 2}, "filters": [[1, 3]], "n_characters": 261, "n_highway": None}
    found = config_from_options({"lstm": lstm, "char_cnn": characters, "dropout": 0.1})
    assert found == ElmoConfig(
        num_units=5, projection_size=3, num_hidden_layers=1, residual=False, cell_clip=0.0, projection_clip=0.0,
        character_embedding_size=2, filters=((1, 3),), num_highways=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("lstm", {"peepholes": True}, "unknown options lstm.peepholes"),
        ("char_cnn", {"activation": "gelu"}, "character_activation"),
        ("char_cnn", {"n_characters": 500}, "n_characters is 500"),
        ("char_cnn", {"embedding": {}}, "'dim'"),
        ("char_cnn", {"n_highway": 1.5}, "num_highways is 1.5, and a whole number"),
        ("lstm", {"dim": 5.0}, "num_units is 5.0"),
        ("char_cnn", {"filters": [[60, 3]]}, "max_characters=50"),
        ("lstm", {"dim": "wide"}, "describe no ELMo"),
    ],
)
def test_options_that_describe_no_elmo_are_refused(section: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_options({**OPTIONS, section: {**OPTIONS[section], **change}}, "options.json")


@pytest.mark.parametrize(("section", "name"), [("lstm", "dim"), ("lstm", "projection_dim"), ("char_cnn", "filters")])
def test_a_size_that_is_missing_is_named(section: str, name: str) -> None:
    rest = {each: value for each, value in OPTIONS[section].items() if each != name}
    with pytest.raises(InputError, match=f"{section}.{name} is missing"):
        config_from_options({**OPTIONS, section: rest})


def test_options_without_characters_say_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"no section 'char_cnn'.*reads whole words"):
        config_from_options({"lstm": OPTIONS["lstm"]})


@pytest.mark.parametrize("content", ["[]", "{", '{"lstm": 3}'])
def test_a_file_of_options_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "options.json").write_text(content)
    with pytest.raises(InputError, match=r"options\.json"):
        read_elmo(tmp_path)


def test_a_missing_group_and_a_stranger_are_named(tmp_path: Path) -> None:
    arrays = arrays_of_file()
    del arrays["CNN_high_0/W_carry"], arrays["RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B"]
    arrays["CNN_high_1/W_carry"] = np.zeros((7, 7), np.float32)
    names = r"missing: CNN_high_0/W_carry, RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B; left over: CNN_high_1/W_carry"
    with pytest.raises(InputError, match=names):
        read_elmo(write(tmp_path, arrays))


def test_the_head_of_the_language_model_is_left_out_by_name(tmp_path: Path) -> None:
    arrays = {**arrays_of_file(), "softmax/W": np.zeros((4, 3)), "softmax/b": np.zeros(4)}
    checkpoint = read_elmo(write(tmp_path, arrays, {**OPTIONS, "dropout": 0.1}))
    assert checkpoint.left_out == [
        "softmax/W: the language model's own head",
        "softmax/b: the language model's own head",
        "dropout: about its training",
    ]


@pytest.mark.parametrize(
    ("section", "change", "name"),
    [
        ("lstm", {"dim": 6}, "LSTMCell/W_0"),
        ("lstm", {"projection_dim": 4}, "CNN_proj/W_proj"),
        ("char_cnn", {"filters": [[1, 3], [3, 4]]}, "CNN/W_cnn_1"),
        ("char_cnn", {"embedding": {"dim": 3}}, "char_embed"),
    ],
)
def test_options_of_another_size_are_refused(tmp_path: Path, section: str, change: dict[str, Any], name: str) -> None:
    options = {**OPTIONS, section: {**OPTIONS[section], **change}}
    with pytest.raises(InputError, match=rf"{name} has the shape .*the options describe another size"):
        read_elmo(write(tmp_path, arrays_of_file(), options))


def test_the_weights_beside_the_options_are_the_file_with_a_group_cnn(tmp_path: Path) -> None:
    write(tmp_path, {"0": np.zeros(3)}, name="embeddings.hdf5")
    with pytest.raises(InputError, match=r"0 files hold the weights of an ELMo \(there is embeddings.hdf5\)"):
        find_weights(tmp_path / "options.json")
    with pytest.raises(InputError, match=r"a group CNN \(there is 0\)"):
        read_elmo(tmp_path, tmp_path / "embeddings.hdf5")
    write(tmp_path, arrays_of_file(), name="elmo.hdf5")
    assert find_weights(tmp_path / "options.json").name == "elmo.hdf5"
    write(tmp_path, arrays_of_file(), name="weights2.hdf5")
    with pytest.raises(InputError, match="2 files hold"):
        find_weights(tmp_path / "options.json")
    write(tmp_path, arrays_of_file(), name="small_weights.hdf5")
    assert find_weights(tmp_path / "small_options.json").name == "small_weights.hdf5"
    assert read_elmo(tmp_path / "options.json", tmp_path / "weights2.hdf5").family == "elmo"


def test_an_elmo_is_told_by_its_options(tmp_path: Path) -> None:
    assert not holds_elmo(tmp_path) and not holds_elmo(tmp_path / "options.json")
    write(tmp_path, arrays_of_file())
    assert holds_elmo(tmp_path) and holds_elmo(tmp_path / "options.json")
    (tmp_path / "elmo_2x1024_options.json").touch()  # as the released ones are called
    assert holds_elmo(tmp_path / "elmo_2x1024_options.json")
    (tmp_path / "config.json").touch()
    assert not holds_elmo(tmp_path)


def test_an_array_that_is_no_weight_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, {**arrays_of_file(), "note": np.array([1, 2])})
    with pytest.raises(InputError, match=r"note is no weight of an ELMo \(int64"):
        read_elmo(tmp_path)
    write(tmp_path, arrays_of_file())
    with h5py.File(tmp_path / "weights.hdf5", "a") as file:
        file.create_dataset("huge", (1 << 40,), np.float32, chunks=(1 << 10,))  # takes no room until it is read
    with pytest.raises(InputError, match="huge is no weight"):
        read_elmo(tmp_path)


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, arrays_of_file())
    whole = (tmp_path / "weights.hdf5").read_bytes()
    for content in (b"PK not hdf5", whole[: len(whole) // 2]):
        (tmp_path / "weights.hdf5").write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.hdf5: not an HDF5 file, or not a whole one"):
            read_elmo(tmp_path)
    with pytest.raises(InputError, match=r"gone\.hdf5: no such file"):
        read_elmo(tmp_path, tmp_path / "gone.hdf5")
