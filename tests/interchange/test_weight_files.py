"""Files of weights: what is read, and what is refused with the file and the fix."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from wenmo.errors import InputError
from wenmo.interchange.weight_files import modern_name, read_weights

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(4)}


def same(weights: dict[str, torch.Tensor]) -> bool:
    return weights.keys() == WEIGHTS.keys() and all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


def shards(folder: Path, places: dict[str, str], kind: str = "model.safetensors") -> None:
    for file in set(places.values()):
        held = {name: WEIGHTS[name] for name, place in places.items() if place == file}
        if "/" not in file and "\\" not in file:
            save_file(held, folder / file) if kind == "model.safetensors" else torch.save(held, folder / file)
    (folder / f"{kind}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_and_its_shards_hold_the_same(kind: str, tmp_path: Path) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir(), many.mkdir()
    save_file(WEIGHTS, one / kind) if kind == "model.safetensors" else torch.save(WEIGHTS, one / kind)
    shards(many, {"a.weight": "part-1.safetensors" if "model.s" in kind else "part-1.bin", "b.bias": "part-2"}, kind)
    if "model.s" in kind:  # a name says how a file is read
        (many / "part-2").rename(many / "part-2.safetensors")
        index = many / f"{kind}.index.json"
        index.write_text(index.read_text().replace('"part-2"', '"part-2.safetensors"'))
    assert same(read_weights(one))
    assert same(read_weights(many))


def test_what_cannot_hold_code_is_read_first(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not looked at")
    assert same(read_weights(tmp_path))


def test_half_precision_becomes_float32_and_other_numbers_stay(tmp_path: Path) -> None:
    given = {"half": torch.float16, "brain": torch.bfloat16, "single": torch.float32, "double": torch.float64}
    save_file({name: torch.ones(2, dtype=dtype) for name, dtype in given.items()}, tmp_path / "model.safetensors")
    read = {name: tensor.dtype for name, tensor in read_weights(tmp_path).items()}
    assert read == {**dict.fromkeys(given, torch.float32), "double": torch.float64}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
        ("module.h.0.ln_1.weight", "h.0.ln_1.weight"),
        ("gamma", "gamma"),
    ],
)
def test_old_spellings_are_known(old: str, new: str) -> None:
    assert modern_name(old) == new


def test_a_weight_in_two_spellings_is_refused(tmp_path: Path) -> None:
    save_file({"norm.weight": torch.ones(2), "norm.gamma": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"norm.weight stands there twice, in two spellings"):
        read_weights(tmp_path)


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kept", [0, 3, 40, -3])
def test_a_file_that_is_cut_short_is_named(kind: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / kind
    save_file(WEIGHTS, path) if kind == "model.safetensors" else torch.save(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"{kind}: cut short.*copy it again"):
        read_weights(tmp_path)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_under_the_name_of_safetensors_is_recognised(new: bool, tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "model.safetensors", _use_new_zipfile_serialization=new)
    with pytest.raises(InputError, match=r"not safetensors but a pickle under that name; call it pytorch_model.bin"):
        read_weights(tmp_path)


class Bomb:
    """What runs code when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_that_would_run_code_is_refused_and_does_not(how: str, tmp_path: Path) -> None:
    held, path = {"a.weight": torch.ones(2), "b": Bomb(tmp_path / "burnt")}, tmp_path / "pytorch_model.bin"
    torch.save(held, path) if how == "torch" else path.write_bytes(pickle.dumps(held["b"]))
    said = "it holds more than tensors and would run getattr" if how == "torch" else "not a table of tensors"
    with pytest.raises(InputError, match=rf"pytorch_model.bin: .*{said}.*bring the model's model.safetensors"):
        read_weights(tmp_path)
    assert not (tmp_path / "burnt").exists()


def test_a_checkpoint_of_a_trainer_is_no_table_of_weights(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS, "step": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="not a plain table of tensors"):
        read_weights(tmp_path)


def test_a_folder_without_weights_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights; looked for model.safetensors, .*pytorch_model.bin.index.json"):
        read_weights(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards(tmp_path, {"a.weight": "one.safetensors", "b.bias": "two.safetensors"})
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(InputError, match=r"1 of 2 shards missing: two.safetensors"):
        read_weights(tmp_path)


def test_a_weight_that_the_index_promises_and_the_shard_lacks_is_named(tmp_path: Path) -> None:
    shards(tmp_path, {"a.weight": "one.safetensors"})
    index = {"weight_map": {"a.weight": "one.safetensors", "c": "one.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"one.safetensors: it lacks 1 weights that .* promises, first c"):
        read_weights(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": ["a"]}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none_is_refused(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index.json.*copy it again"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", "..\\x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(WEIGHTS, tmp_path / "x.safetensors")
    shards(folder, {"a.weight": name} if "/" in name or "\\" in name else {})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": name}}))
    with pytest.raises(InputError, match="is not the plain name of a file in this folder"):
        read_weights(folder)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(WEIGHTS, tmp_path / "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors: a link that leaves the folder, to .*elsewhere"):
        read_weights(folder)


def test_links_inside_a_folder_and_inside_the_cache_of_the_hub_are_followed(tmp_path: Path) -> None:
    revision, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    revision.mkdir(parents=True), blobs.mkdir()
    save_file(WEIGHTS, blobs / "0123")
    (revision / "model.safetensors").symlink_to(Path("../../blobs/0123"))
    assert same(read_weights(revision))
    inner = tmp_path / "inner"
    inner.mkdir()
    save_file(WEIGHTS, inner / "true.safetensors")
    (inner / "model.safetensors").symlink_to("true.safetensors")
    assert same(read_weights(inner))
