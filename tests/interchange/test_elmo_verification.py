"""The verification of an ELMo: TensorFlow's equations in NumPy find what is wrong, and nothing where nothing is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.errors import InputError
from wenmo.inference.exchange import import_checkpoint
from wenmo.interchange.allennlp import find_weights, read_arrays, read_elmo
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.elmo_verification import first_difference, layers_of


@pytest.fixture(scope="module")
def reference(data_folder: Path) -> Path:
    """The folder of reference outputs beside the data sets."""
    pytest.importorskip("h5py")
    folder = data_folder.parent / "reference" / "elmo"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {folder} is not a folder")
    return folder


@pytest.fixture(scope="module")
def read(reference: Path) -> tuple[Checkpoint, dict[str, Any]]:
    return read_elmo(reference), read_arrays(find_weights(reference / "options.json"))[0]


def test_the_equations_are_those_of_the_original(read: tuple[Checkpoint, dict[str, Any]], reference: Path) -> None:
    import h5py

    checkpoint, arrays = read
    words = (reference / "vocab_test.txt").read_text(encoding="utf-8").split("\n")[:20]
    with h5py.File(reference / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][:20]
    found = layers_of(words, arrays, checkpoint.config)[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(found[:, :16], expected, rtol=0, atol=2e-6)


def test_what_was_read_right_has_no_first_difference(read: tuple[Checkpoint, dict[str, Any]]) -> None:
    assert first_difference(*read) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("characters.highways.1.gate.bias", "words: by"),
        ("forward_cells.0.bias_ih", "layer 1: by"),
        ("backward_cells.1.weight_hr", "layer 2: by"),
    ],
)
def test_a_weight_that_was_read_wrong_is_found_in_its_layer(
    read: tuple[Checkpoint, dict[str, Any]], name: str, said: str
) -> None:
    checkpoint, arrays = read
    wrong = replace(checkpoint, weights={**checkpoint.weights, name: checkpoint.weights[name] + 1e-4})
    assert first_difference(wrong, arrays).startswith(said)


def test_an_import_keeps_options_and_weights_without_hdf5(reference: Path, tmp_path: Path) -> None:
    result = import_checkpoint(reference / "options.json", out=tmp_path / "elmo", verify=True)
    assert result["family"] == "elmo" and result["weights"] == 105_128
    assert result["verified"] is True and result["first_difference"] is None
    assert sorted(path.name for path in (tmp_path / "elmo").iterdir()) == ["model.safetensors", "options.json"]
    kept, published = read_elmo(tmp_path / "elmo"), read_elmo(reference)
    assert kept.config == published.config and kept.described == published.described
    assert all(torch.equal(kept.weights[name], weight) for name, weight in published.weights.items())
    with pytest.raises(InputError, match="choose another --out"):
        import_checkpoint(reference, out=tmp_path / "elmo")
    again = import_checkpoint(tmp_path / "elmo", out=tmp_path / "again")
    assert again["verified"] is None and again["weights"] == result["weights"]
    with pytest.raises(InputError, match="0 files hold the weights"):
        import_checkpoint(tmp_path / "elmo", out=tmp_path / "third", verify=True)
    assert not (tmp_path / "third").exists()


def test_the_command_says_against_what_it_was_verified(reference: Path, run_wenmo: Any) -> None:
    answer = run_wenmo("import", reference, "--out", "elmo", "--verify")
    assert answer.code == 0 and "every layer equals the original's" in answer.stdout


def test_weights_that_do_not_fit_the_options_are_refused(reference: Path, tmp_path: Path) -> None:
    import_checkpoint(reference, out=tmp_path / "elmo")
    options = tmp_path / "elmo" / "options.json"
    options.write_text(options.read_text().replace('"n_highway": 2', '"n_highway": 1'))
    with pytest.raises(InputError, match=r"model\.safetensors: not the weights of the model"):
        read_elmo(tmp_path / "elmo")
