"""ELMo against outputs of the original TensorFlow model, and its LSTM against torch's with a projection."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wenmo.features import TokenBatch
from wenmo.interchange.allennlp import read_elmo
from wenmo.models.elmo import Elmo
from wenmo.models.packing import Packing
from wenmo.models.projected import ProjectedLstmCell
from wenmo.models.scan import Course
from wenmo.text.word_bytes import word_byte_ids

# What the original's own test holds to. Its outputs are those of float32: exact arithmetic is up to 1.4e-6 away from
# them, of numbers up to 9.
TOLERANCE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def reference(data_folder: Path) -> Path:
    """The folder of reference outputs beside the data sets."""
    folder = data_folder.parent / "reference" / "elmo"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {folder} is not a folder")
    return folder


def model_of(folder: Path, **fields: Any) -> Elmo:
    checkpoint = read_elmo(folder)
    model = Elmo(replace(checkpoint.config, **fields))  # type: ignore[arg-type]
    model.load_state_dict(checkpoint.weights)
    return model.eval()


def read_array(path: Path, name: str) -> Any:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        return file[name][...]


def batch_of(sentences: list[list[str]]) -> TokenBatch:
    length = max(map(len, sentences))
    ids = torch.zeros(len(sentences), length, 50, dtype=torch.long)
    mask = torch.zeros(len(sentences), length, dtype=torch.long)
    for row, words in enumerate(sentences):
        ids[row, : len(words)] = torch.from_numpy(word_byte_ids(words)).long()
        mask[row, : len(words)] = 1
    return TokenBatch(character_ids=ids, attention_mask=mask)


@torch.no_grad()
def test_words_by_themselves_have_the_vectors_of_the_original(reference: Path) -> None:
    words = (reference / "vocab_test.txt").read_text(encoding="utf-8").split("\n")
    expected = read_array(reference / "elmo_token_embeddings.hdf5", "embedding")
    found = model_of(reference).word_vectors(torch.from_numpy(word_byte_ids(words)).long())
    torch.testing.assert_close(found, torch.from_numpy(expected), **TOLERANCE)


@torch.no_grad()
def test_stateful_batches_give_the_states_of_the_original(reference: Path) -> None:
    lists = [[text.split() for text in texts] for texts in json.loads((reference / "sentences.json").read_text())]
    model = model_of(reference, stateful=True)
    stateless = model_of(reference)
    for i, sentences in enumerate(zip(*lists, strict=True)):
        batch = batch_of(list(sentences))
        _, _, top = model(batch, output_hidden_states=True).hidden_states
        _, _, reset = stateless(batch, output_hidden_states=True).hidden_states
        for row, words in enumerate(sentences):
            forward, backward = read_array(reference / f"lm_embeddings_{row}.hdf5", str(i))
            expected = torch.from_numpy(np.concatenate([forward, backward], axis=1))
            torch.testing.assert_close(top[row, : len(words)], expected, **TOLERANCE)
            # The first batch has no batch before it; from the second on, the state tells.
            difference = (reset[row, : len(words)] - expected).abs().max().item()
            assert difference <= 1e-6 if i == 0 else difference > 1e-4


@pytest.mark.parametrize("reverse", [False, True])
def test_without_clipping_the_cell_is_torchs_with_a_projection(reverse: bool) -> None:
    torch.manual_seed(0)
    oracle = nn.LSTM(5, 7, proj_size=3, batch_first=True, bidirectional=reverse, dtype=torch.float64)
    ending = "_l0_reverse" if reverse else "_l0"
    cell = ProjectedLstmCell(5, 7, 3).double()
    theirs = {name: getattr(oracle, name + ending) for name in ("weight_ih", "weight_hh", "weight_hr")}
    bias = getattr(oracle, "bias_ih" + ending) + getattr(oracle, "bias_hh" + ending)
    with torch.no_grad():
        for name, weight in theirs.items():
            getattr(cell, name).copy_(weight)
        cell.bias_ih.copy_(bias)
    lengths = torch.tensor([4, 6, 1, 6, 2])
    x = torch.randn(5, 6, 5, dtype=torch.float64)
    mask = (torch.arange(6) < lengths.unsqueeze(1)).long()
    expected, (h, c) = oracle(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    expected = pad_packed_sequence(expected, batch_first=True)[0][..., -3:]
    packing = Packing.of(mask)
    found, after = cell.run(cell.products(packing.pack(x)), cell.first_states(x, 5), Course(packing, reverse=reverse))
    states = [packing.restore_texts(each) for each in after]
    weight = torch.randn_like(expected)
    pairs: list[tuple[Tensor, Tensor]] = [(packing.unpack(found), expected), (states[0], h[-1]), (states[1], c[-1])]
    of_ours, of_theirs = ([*side] for side in zip(*pairs, strict=True))
    ours, oracles = (
        torch.autograd.grad((each[0] * weight).sum() + each[2].sin().sum(), weights)
        for each, weights in (
            (of_ours, [getattr(cell, name) for name in theirs] + [cell.bias_ih]),
            (of_theirs, [*theirs.values(), getattr(oracle, "bias_ih" + ending)]),
        )
    )
    for one, other in zip([*of_ours, *ours], [*of_theirs, *oracles], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
