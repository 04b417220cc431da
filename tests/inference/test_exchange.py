"""Checkpoints taken over, and models for other tools: both open where they should, with the same answers."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

import wenmo
from wenmo.errors import InputError

TEXTS = ["good film", "bad plot", "a great story", ""]
TRAIN = "".join(f"{text} {i}\t{label}\n" for i in "bcde" for text, label in (("good film", "yes"), ("bad plot", "no")))
QUICK = ["training.max_epochs=1", "training.batch_size=4", "training.learning_rate=0.01"]


def as_it_was_years_ago(folder: Path) -> None:
    """Weights in two pickles, layer norms with gamma and beta, in half precision."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): w.half()
        for name, w in weights.items()
    }
    places = {name: f"pytorch_model-{i % 2 + 1}-of-2.bin" for i, name in enumerate(old)}
    for file in set(places.values()):
        torch.save({name: weight for name, weight in old.items() if places[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_an_old_checkpoint_becomes_a_new_one_for_both(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    names = {"id2label": {0: "low", 1: "high"}, "label2id": {"low": 0, "high": 1}}
    theirs = save_bert(tmp_path / "old", "BertForSequenceClassification", **names).half().float()
    as_it_was_years_ago(tmp_path / "old")
    result = wenmo.import_checkpoint(tmp_path / "old", out=tmp_path / "new", verify=True)
    assert (result["family"], result["left_out"]) == ("bert", [])
    assert (result["verified"], result["first_difference"]) == (True, None)
    assert result["weights"] == sum(parameter.numel() for parameter in theirs.parameters())
    again, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "new", output_loading_info=True
    )
    assert not any(info.values()), info
    ids = torch.tensor([[2, 5, 9, 3]])
    torch.testing.assert_close(again.eval()(ids).logits, theirs(ids).logits)
    assert again.config.id2label == {0: "low", 1: "high"}
    model = wenmo.load(tmp_path / "new")
    assert model.labels == ("low", "high")
    assert (model.probabilities(TEXTS) == wenmo.load(tmp_path / "old").probabilities(TEXTS)).all()


def test_a_checkpoint_may_be_named_by_one_of_its_files(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path / "bert", "BertForPreTraining")
    result = wenmo.import_checkpoint(tmp_path / "bert" / "config.json", out=tmp_path / "new")
    assert result["verified"] is None and (tmp_path / "new" / "vocab.txt").is_file()
    described = json.loads((tmp_path / "new" / "config.json").read_text())
    assert described["architectures"] == ["BertForPreTraining"]


def test_a_folder_in_the_cache_of_the_hub_is_read_through_its_links(
    tmp_path: Path, save_bert: Callable[..., Any]
) -> None:
    save_bert(tmp_path / "bert")
    blobs, revision = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True), revision.mkdir(parents=True)
    for i, path in enumerate(sorted((tmp_path / "bert").iterdir())):
        path.rename(blobs / str(i))
        (revision / path.name).symlink_to(Path("../../blobs") / str(i))
    assert len(wenmo.load(revision).embed(TEXTS)) == len(TEXTS)
    wenmo.import_checkpoint(revision, out=tmp_path / "new")
    assert not any(path.is_symlink() for path in (tmp_path / "new").iterdir())
    assert (wenmo.load(tmp_path / "new").embed(TEXTS) == wenmo.load(revision).embed(TEXTS)).all()


def test_a_folder_of_sentence_transformers_keeps_how_its_vectors_are_made(
    tmp_path: Path, save_bert: Callable[..., Any]
) -> None:
    folder = tmp_path / "sentences"
    save_bert(folder / "0_Transformer")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "1_Pooling" / "extra.py").write_text("raise SystemExit")
    steps = [{"type": "x.Transformer", "path": "0_Transformer"}, {"type": "x.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(steps))
    wenmo.import_checkpoint(folder, out=tmp_path / "new", verify=True)
    assert (wenmo.load(tmp_path / "new").embed(TEXTS[:3]) == wenmo.load(folder).embed(TEXTS[:3])).all()
    assert not list((tmp_path / "new").rglob("*.py"))


def test_code_and_what_is_no_longer_true_stay_behind(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    folder = tmp_path / "bert"
    save_bert(folder)
    described = json.loads((folder / "config.json").read_text())
    described |= {"auto_map": {"AutoModel": "modeling.Evil"}, "torch_dtype": "float16", "secret": 3}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "modeling.py").write_text("raise SystemExit")
    result = wenmo.import_checkpoint(folder, out=tmp_path / "new")
    assert any("secret" in each for each in result["left_out"])
    copied = json.loads((tmp_path / "new" / "config.json").read_text())
    assert "auto_map" not in copied and "torch_dtype" not in copied
    assert not (tmp_path / "new" / "modeling.py").exists()


def test_nothing_is_written_over(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path / "bert")
    for verb in (wenmo.import_checkpoint, wenmo.export_model):
        with pytest.raises(InputError, match="a model stands there already; choose another --out"):
            verb(tmp_path / "bert", out=tmp_path / "bert")


def test_a_checkpoint_that_cannot_be_read_makes_no_folder(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path / "bert")
    path = tmp_path / "bert" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="cut short"):
        wenmo.import_checkpoint(tmp_path / "bert", out=tmp_path / "new")
    with pytest.raises(InputError, match="there is no such folder"):
        wenmo.import_checkpoint(tmp_path / "nowhere", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_without_transformers_nothing_is_verified_and_nothing_made(
    tmp_path: Path, save_bert: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bert(tmp_path / "bert")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="not installed: pip install transformers, or leave it out"):
        wenmo.import_checkpoint(tmp_path / "bert", out=tmp_path / "new", verify=True)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def trained(tmp_path: Path, save_bert: Callable[..., Any]) -> Callable[..., Path]:
    """Fine-tune a tiny BERT for a second."""

    def train(*overrides: str, columns: str = "text\tlabel", rows: str = TRAIN) -> Path:
        save_bert(tmp_path / "bert")
        (tmp_path / "rows.tsv").write_text(f"{columns}\n{rows}")
        wenmo.train(
            tmp_path / "rows.tsv", model=str(tmp_path / "bert"), out=tmp_path / "m", overrides=[*QUICK, *overrides]
        )
        return tmp_path / "m"

    return train


def test_an_exported_classifier_is_a_folder_of_transformers(trained: Callable[..., Path], tmp_path: Path) -> None:
    model = trained()
    result = wenmo.export_model(model, out=tmp_path / "out")
    assert (result["architecture"], result["notes"]) == ("BertForSequenceClassification", [])
    described = json.loads((tmp_path / "out" / "config.json").read_text())
    assert described["id2label"] == {"0": "no", "1": "yes"} and "wenmo_version" not in described
    assert not (tmp_path / "out" / "recipe.toml").exists()
    with pytest.raises(InputError, match="a model of wenmo already; `wenmo export"):
        wenmo.import_checkpoint(model, out=tmp_path / "new")
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), device="cpu", top_k=None)
    answers = wenmo.load(model).predict(TEXTS[:3])
    for theirs, ours in zip(pipe(TEXTS[:3]), answers, strict=True):
        assert {each["label"]: each["score"] for each in theirs} == pytest.approx(ours.probabilities, abs=1e-5)
    assert (wenmo.load(tmp_path / "out").probabilities(TEXTS) == wenmo.load(model).probabilities(TEXTS)).all()


def test_a_head_that_transformers_does_not_have_is_not_exported(trained: Callable[..., Path], tmp_path: Path) -> None:
    rows = "".join(f"good film {i}\tbad plot {i}\t{label}\n" for i in "bcdefg" for label in ("same", "other"))
    model = trained("task.pair=siamese", columns="text_a\ttext_b\tlabel", rows=rows)
    with pytest.raises(InputError, match=r"transformers has no place for classifier\.bias, classifier\.weight"):
        wenmo.export_model(model, out=tmp_path / "out")


def test_a_model_that_transformers_does_not_have_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text(f"text\tlabel\n{TRAIN}")
    wenmo.train(tmp_path / "rows.tsv", model="textcnn", out=tmp_path / "m", overrides=QUICK[:2])
    with pytest.raises(InputError, match="transformers has no textcnn; it has bert, ernie, gpt and gpt2"):
        wenmo.export_model(tmp_path / "m", out=tmp_path / "out")


def test_a_tokenizer_that_cuts_words_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text(f"text\tlabel\n{TRAIN}")
    sizes = ["model.hidden_size=8", "model.num_attention_heads=2", "model.intermediate_size=12"]
    wenmo.train(tmp_path / "rows.tsv", model="ernie2", out=tmp_path / "m", overrides=[*QUICK, *sizes])
    result = wenmo.export_model(tmp_path / "m", out=tmp_path / "out")
    assert result["family"] == "ernie" and "which AutoTokenizer does not do" in result["notes"][0]
    assert (wenmo.load(tmp_path / "out").probabilities(TEXTS) == wenmo.load(tmp_path / "m").probabilities(TEXTS)).all()
    wenmo.train(tmp_path / "rows.tsv", model=str(tmp_path / "out"), out=tmp_path / "more", overrides=QUICK)
    first, more = (wenmo.load(tmp_path / name).tokenizer for name in ("m", "more"))
    assert more.fingerprint() == first.fingerprint(), "a model that starts from it reads as it does"
