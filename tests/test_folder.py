"""Model folders: the round trip, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from wenmo.errors import InputError
from wenmo.folder import ModelFolder, is_model_folder, load_folder, save_folder, weights_digest, write_weights
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

TEXTS = ["好看 的 书", "难看 的 书", "very good indeed", "01 NA None"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a small model of labels that look like other things."""
    tokenizer = Tokenizer.train(TEXTS, TokenizerConfig(segmenter="whitespace"))
    config = TextCnnConfig(vocab_size=tokenizer.vocab_size, embedding_size=4, num_filters=3, channels="multichannel")
    task_config = ClassificationConfig(labels=("01", "NA", "好"), dropout_prob=0.25, max_norm=2.0)
    task = Classification(TextCnn(config), config, task_config)
    task.initialize(torch.Generator().manual_seed(0))
    recipe = {"task": task_config.to_dict(), "data": {"max_length": 512}, "model": config.to_dict(), "training": {}}
    save_folder(tmp_path / "model", ModelFolder(task, tokenizer, recipe, {"dev": {}}, "# card\n"))
    return tmp_path / "model"


def test_a_saved_model_comes_back_equal(saved: Path) -> None:
    first = load_folder(saved)
    save_folder(saved.parent / "again", first)
    again = load_folder(saved.parent / "again")
    for name, weight in first.task.state_dict().items():
        assert torch.equal(weight, again.task.state_dict()[name])
    assert again.task.config == first.task.config and again.task.config.labels == ("01", "NA", "好")
    assert again.task.extractor_config == first.task.extractor_config
    assert again.tokenizer.vocabulary == first.tokenizer.vocabulary
    assert (again.recipe, again.metrics, again.card) == (first.recipe, first.metrics, first.card)
    assert weights_digest(saved / "model.safetensors") == weights_digest(saved.parent / "again" / "model.safetensors")
    assert again.task.extractor.embeddings.words.weight.requires_grad  # type: ignore[union-attr]


def test_whoever_may_read_the_config_may_read_the_weights(saved: Path) -> None:
    assert (saved / "model.safetensors").stat().st_mode == (saved / "config.json").stat().st_mode


def test_nothing_is_left_behind_by_saving(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "recipe.toml", "metrics.json",
        "README.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "recipe.toml"]
)
def test_a_missing_or_truncated_file_is_refused_by_name(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_folder(saved)
    (saved / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_folder(saved)


def test_weights_of_another_model_are_refused_by_name(saved: Path) -> None:
    described = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**described, "num_filters": 5}))
    with pytest.raises(InputError, match=r"weight is \(3, 9\), but config\.json describes \(3, 15\)"):
        load_folder(saved)
    (saved / "config.json").write_text(json.dumps({**described, "kernel_sizes": [3, 4]}))
    with pytest.raises(InputError, match=r"has .*convs\.2\.bias"):
        load_folder(saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id2label", {"1": "a", "2": "b"}),
        ("id2label", ["a", "b"]),
        ("id2label", {"0": "a", "1": "a"}),
        ("format_version", "new"),
        ("embedding_size", "4"),
        ("number_of_filters", 3),
        ("vocab_size", 10**14),
    ],
)
def test_a_config_that_describes_no_model_is_refused(saved: Path, name: str, value: object) -> None:
    described = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**described, name: value}))
    with pytest.raises(InputError, match=r"config\.json|format"):
        load_folder(saved)


def test_the_tokenizer_of_another_model_is_refused(saved: Path) -> None:
    other = Tokenizer.train([*TEXTS, "more words"], TokenizerConfig(segmenter="whitespace"))
    other.save(saved)
    with pytest.raises(InputError, match="tokenizer"):
        load_folder(saved)


def test_a_pickle_in_the_place_of_the_weights_is_refused(saved: Path) -> None:
    torch.save({"x": torch.zeros(1)}, saved / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_folder(saved)


def test_a_newer_format_is_refused_and_an_older_one_is_read(saved: Path) -> None:
    described = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**described, "format_version": 99}))
    with pytest.raises(InputError, match="update wenmo"):
        load_folder(saved)
    for name in ("format_version", "tokenizer_fingerprint"):
        del described[name]
    (saved / "config.json").write_text(json.dumps(described))
    assert load_folder(saved).task.config.labels == ("01", "NA", "好")


def test_a_folder_that_was_not_saved_to_the_end_is_no_model(saved: Path, tmp_path: Path) -> None:
    (saved / "config.json").unlink()
    assert not is_model_folder(saved)
    with pytest.raises(InputError, match="--resume"):
        load_folder(saved)
    with pytest.raises(InputError, match="no such folder"):
        load_folder(tmp_path / "nowhere")
    shutil.rmtree(saved)


def test_a_digest_tells_single_numbers_apart(tmp_path: Path) -> None:
    digests = set()
    for value in (1.0, 2.0):
        write_weights(tmp_path / "w.safetensors", {"gamma": torch.tensor(value), "weights": torch.zeros(3)})
        digests.add(weights_digest(tmp_path / "w.safetensors"))
    assert len(digests) == 2
