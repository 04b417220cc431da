"""OpenAI's own files of GPT against transformers' model with the same weights; the release itself cannot be brought."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, OpenAIGPTConfig, OpenAIGPTLMHeadModel

import wenmo
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.interchange.openai_gpt import read_openai_gpt
from wenmo.models.registry import build_model

LETTERS = "abcdefghinopst"
MERGES = [("t", "h"), ("th", "e</w>"), ("o", "n</w>"), ("a", "t</w>")]
# As TensorFlow made the variables of `block` in the original's train.py; the names are those of its scopes.
ORDER = ["attn/c_attn/w", "attn/c_attn/b", "attn/c_proj/w", "attn/c_proj/b", "ln_1/g", "ln_1/b"]
ORDER += ["mlp/c_fc/w", "mlp/c_fc/b", "mlp/c_proj/w", "mlp/c_proj/b", "ln_2/g", "ln_2/b"]
KINDS = {"w": "weight", "g": "weight", "b": "bias"}
TEXT = "the cat is on the bed"


@pytest.fixture(scope="module")
def oracle() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 1 + 2 * len(LETTERS) + len(MERGES), "n_embd": 128, "n_layer": 2, "n_head": 2}
    model: Any = OpenAIGPTLMHeadModel(OpenAIGPTConfig(**sizes, n_positions=16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


@pytest.fixture
def release(oracle: Any, tmp_path: Path) -> Path:
    """A folder with the files of the release."""
    folder, state = tmp_path / "model", oracle.transformer.state_dict()
    folder.mkdir()
    arrays = [state["positions_embed.weight"].numpy(), state["tokens_embed.weight"].numpy()]
    for layer in range(2):
        for scope in ORDER:
            *module, kind = scope.split("/")
            array = state[f"h.{layer}.{'.'.join(module)}.{KINDS[kind]}"].numpy()
            arrays.append(array[None] if kind == "w" else array)
    (folder / "params_shapes.json").write_text(json.dumps([array.shape for array in arrays]))
    numbers = np.concatenate([array.ravel() for array in arrays])
    for number, part in enumerate(np.array_split(numbers, 10)):
        np.save(folder / f"params_{number}.npy", part)
    tokens = ["<unk>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), *("".join(pair) for pair in MERGES)]
    (folder / "encoder_bpe_40000.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "vocab_40000.bpe").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    return folder


def test_the_states_are_those_of_transformers(oracle: Any, release: Path) -> None:
    checkpoint = read_openai_gpt(release)
    assert not checkpoint.heads and not checkpoint.left_out
    ours = build_model(checkpoint.config).double().eval()
    ours.load_state_dict(checkpoint.weights)
    ids = torch.tensor([[3, 4, 5, 6, 7], [1, 2, 3, 0, 0]])
    mask = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    found = ours(TokenBatch(input_ids=ids, attention_mask=mask), output_hidden_states=True)
    theirs = oracle.double().transformer(ids, output_hidden_states=True)
    oracle.float()
    for layer, expected in zip(found.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(layer[0], expected[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(layer[1, :3], expected[1, :3], rtol=0, atol=1e-10)


def test_the_folder_is_loaded_and_taken_over_for_transformers(oracle: Any, release: Path, tmp_path: Path) -> None:
    model = wenmo.load(release)
    ids = model.tokenizer.encode_batch([TEXT])[0].tolist()
    assert model.tokenizer.tokenize("the cat") == ["the</w>", "c", "at</w>"]
    told = wenmo.import_checkpoint(release, out=tmp_path / "taken")
    assert told["family"] == "openai-gpt" and not told["left_out"]
    again, tokenizer = (kind.from_pretrained(tmp_path / "taken") for kind in (OpenAIGPTLMHeadModel, AutoTokenizer))
    assert tokenizer(TEXT)["input_ids"] == ids
    with torch.no_grad():
        expected = oracle(torch.tensor([ids])).logits
        torch.testing.assert_close(again(torch.tensor([ids])).logits, expected, rtol=0, atol=0)
    torch.testing.assert_close(wenmo.load(tmp_path / "taken").task.state_dict(), model.task.state_dict())


def test_a_classifier_starts_from_it(release: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text(
        "text\tlabel\n" + "".join(f"the cat {a}\tgood\na bed {a}\tbad\n" for a in LETTERS)
    )
    run = wenmo.train(
        tmp_path / "rows.tsv", model=f"gpt:{release}", out=tmp_path / "run", overrides=["training.max_steps=1"]
    )
    assert wenmo.load(run.model).predict("the bed")[0].label in ("good", "bad")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("params_3.npy", None, "params_3.npy: missing among 9"),
        ("params_4.npy", b"\x93NUMPY\x01\x00", "params_4.npy: not plain numbers, or cut short"),
        ("params_5.npy", np.array([{}], dtype=object), "params_5.npy: not plain numbers.*Python objects"),
        ("params_6.npy", np.zeros((2, 2), np.float32), "2 axes of float32"),
        ("params_7.npy", np.zeros(3, np.float32), "wants"),
        ("params_shapes.json", b"[[1, 2]", "not JSON"),
        ("params_shapes.json", b'{"a": 1}', "not a list of shapes"),
        ("params_shapes.json", b"[[8, 64], [9, 64], [64]]", "3 shapes, and a GPT has two tables"),
        ("params_shapes.json", json.dumps([[8, 60], [9, 60], *[[60]] * 12]).encode(), "a multiple of 64"),
    ],
)
def test_files_that_are_not_as_they_should_be_are_named(name: str, content: Any, said: str, release: Path) -> None:
    if content is None:
        (release / name).unlink()
    elif isinstance(content, bytes):
        (release / name).write_bytes(content)
    else:
        np.save(release / name, content, allow_pickle=True)
    with pytest.raises(InputError, match=said):
        wenmo.load(release)


def test_shapes_of_another_model_are_refused(release: Path) -> None:
    shapes = json.loads((release / "params_shapes.json").read_text())
    shapes[4], shapes[5] = [128 * 64], [shapes[5][0] + 128 * 64]
    (release / "params_shapes.json").write_text(json.dumps(shapes))
    with pytest.raises(InputError, match=r"of another shape are h\.0\.attn\.c_proj\.weight"):
        wenmo.load(release)
    with pytest.raises(InputError, match="transformers does not read the files"):
        wenmo.import_checkpoint(release, out=release / "out", verify=True)
