"""Folders that transformers opens with the same answers, and folders of transformers that open here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import wenmo
from wenmo.errors import InputError
from wenmo.folder import load_folder, save_folder, write_weights

TEXTS = ["good film", "bad plot", "a great story", "the film is poor", "film 好看 unknown words", ""]
TRAIN = "".join(f"{text} {i}\t{label}\n" for i in "bcde" for text, label in (("good film", "yes"), ("bad plot", "no")))
QUICK = ["training.max_epochs=1", "training.batch_size=4", "training.learning_rate=0.01"]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    (tmp_path / "reviews.tsv").write_text("text\tlabel\n" + TRAIN)
    return tmp_path / "reviews.tsv"


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


def their_logits(folder: Path, texts: list[Any], **settings: Any) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        pair = text if isinstance(text, tuple) else (text,)
        with torch.no_grad():
            rows.append(model(**tokenizer(*pair, return_tensors="pt", truncation=True, max_length=40)).logits[0])
    return torch.stack(rows)


def test_a_fine_tuned_classifier_opens_in_transformers_with_the_same_logits(
    bert: Path, reviews: Path, tmp_path: Path
) -> None:
    wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "out", overrides=QUICK)
    ours = torch.from_numpy(wenmo.load(tmp_path / "out").probabilities(TEXTS))
    torch.testing.assert_close(their_logits(tmp_path / "out", TEXTS).softmax(dim=1), ours, rtol=0, atol=1e-5)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == {0: "no", 1: "yes"}
    assert not (tmp_path / "out" / "head.safetensors").exists()


def test_a_fine_tuned_classifier_of_joined_pairs_too(bert: Path, tmp_path: Path) -> None:
    pairs = [("good film", "great film", "same"), ("bad plot", "good film", "other")]
    rows = "".join(f"{a} {i}\t{b}\t{label}\n" for i in "bcde" for a, b, label in pairs)
    (tmp_path / "pairs.tsv").write_text("text_a\ttext_b\tlabel\n" + rows)
    wenmo.train(tmp_path / "pairs.tsv", model=str(bert), out=tmp_path / "out", overrides=QUICK)
    asked = [(a, b) for a, b, _ in pairs] + [("a", "film is poor " * 20), ("the plot " * 30, "x")]
    ours = torch.from_numpy(wenmo.load(tmp_path / "out").probabilities(asked))
    torch.testing.assert_close(their_logits(tmp_path / "out", asked).softmax(dim=1), ours, rtol=0, atol=1e-5)


def test_a_bert_from_random_weights_with_our_tokenizer_has_their_names(reviews: Path, tmp_path: Path) -> None:
    sizes = ["hidden_size=8", "num_attention_heads=2", "intermediate_size=12"]
    overrides = [*QUICK, *(f"model.{size}" for size in sizes), "training.warmup_steps=0"]
    wenmo.train(reviews, model="bert", out=tmp_path / "out", overrides=overrides)
    folder = load_folder(tmp_path / "out")
    ids = torch.tensor([folder.tokenizer.encode_batch(["good film b"])[0].tolist()])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        theirs = model(ids).logits.softmax(dim=1)
    ours = torch.from_numpy(wenmo.load(tmp_path / "out").probabilities(["good film b"]))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_what_transformers_has_no_place_for_stands_beside_its_weights(bert: Path, tmp_path: Path) -> None:
    rows = "".join(f"good film {i}\tbad plot {i}\t{label}\n" for i in "bcdefg" for label in ("same", "other"))
    (tmp_path / "pairs.tsv").write_text("text_a\ttext_b\tlabel\n" + rows)
    overrides = [*QUICK, "task.pair=siamese"]
    wenmo.train(tmp_path / "pairs.tsv", model=str(bert), out=tmp_path / "out", overrides=overrides)
    assert (tmp_path / "out" / "head.safetensors").exists()
    first = wenmo.load(tmp_path / "out").probabilities([("good", "bad")])
    save_folder(tmp_path / "again", load_folder(tmp_path / "out"))
    assert (wenmo.load(tmp_path / "again").probabilities([("good", "bad")]) == first).all()
    transformers.AutoModel.from_pretrained(tmp_path / "out")


def test_a_model_goes_on_from_its_folder(bert: Path, reviews: Path, tmp_path: Path) -> None:
    wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "out", overrides=QUICK)
    wenmo.train(reviews, start=tmp_path / "out", out=tmp_path / "more", overrides=["training.max_epochs=1"])
    assert load_folder(tmp_path / "more").tokenizer.config.segmenter == "pretrained"
    assert wenmo.train(reviews, model=str(tmp_path / "out"), out=tmp_path / "anew", overrides=QUICK).steps > 0


@pytest.mark.parametrize("several", [False, True])
def test_a_classifier_of_transformers_opens_here(tmp_path: Path, save_bert: Callable[..., Any], several: bool) -> None:
    kind = {"problem_type": "multi_label_classification"} if several else {}
    names = {0: "low", 1: "high", 2: "none"}
    labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    save_bert(tmp_path / "cls", "BertForSequenceClassification", **labels, **kind)
    model = wenmo.load(tmp_path / "cls")
    logits = their_logits(tmp_path / "cls", TEXTS)
    wanted = logits.sigmoid() if several else logits.softmax(dim=1)
    torch.testing.assert_close(torch.from_numpy(model.probabilities(TEXTS)), wanted, rtol=0, atol=1e-5)
    assert model.labels == ("low", "high", "none")


def test_a_language_model_of_transformers_opens_here(tmp_path: Path) -> None:
    import tokenizers

    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(["good film", "bad film"], 300, 1, False, ["<|endoftext|>"])
    trained.save_model(str(tmp_path))
    torch.manual_seed(0)
    sizes = {"vocab_size": trained.get_vocab_size(), "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 32}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.5)
    theirs.save_pretrained(tmp_path)
    written = wenmo.load(tmp_path).generate("good", max_new_tokens=8, temperature=0)
    ids = torch.tensor([trained.encode("good").ids])
    wanted = theirs.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert written.text == trained.decode(wanted[0, ids.size(1) :].tolist())


def test_a_model_without_a_head_says_what_it_is_for(bert: Path) -> None:
    with pytest.raises(InputError, match=r"gives texts vectors \(wenmo embed\) and answers nothing"):
        load_folder(bert)


def test_a_regression_head_is_refused(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path / "cls", "BertForSequenceClassification", num_labels=1)
    with pytest.raises(InputError, match="gives one number"):
        wenmo.load(tmp_path / "cls")


def test_no_name_in_a_folder_leads_out_of_it(bert: Path) -> None:
    (bert / "modules.json").write_text(json.dumps([{"type": "a.Pooling", "path": "../other"}]))
    with pytest.raises(InputError, match="not the plain name of a file"):
        load_folder(bert)


def test_a_long_text_is_the_mean_of_its_windows_each_with_special_tokens(
    bert: Path, reviews: Path, tmp_path: Path
) -> None:
    overrides = [*QUICK, "data.long_texts=windows", "data.max_length=6", "data.window_overlap=0.0"]
    wenmo.train(reviews, model=str(bert), out=tmp_path / "out", overrides=overrides)
    model = wenmo.load(tmp_path / "out")
    words = ["good", "film", "bad", "plot", "great", "story", "the", "poor"]
    windows = [" ".join(words[:4]), " ".join(words[4:])]
    ours = torch.from_numpy(model.probabilities([" ".join(words)]))
    torch.testing.assert_close(
        their_logits(tmp_path / "out", windows).mean(dim=0, keepdim=True).softmax(dim=1), ours, rtol=0, atol=1e-5
    )


def test_a_classifier_of_transformers_goes_on_with_more_labels(
    reviews: Path, tmp_path: Path, save_bert: Callable[..., Any]
) -> None:
    names = {0: "yes", 1: "never"}
    labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    save_bert(tmp_path / "cls", "BertForSequenceClassification", **labels)
    overrides = ["training.learning_rate=0.0", "training.max_epochs=1"]
    wenmo.train(reviews, start=tmp_path / "cls", out=tmp_path / "more", overrides=overrides)
    before, after = load_folder(tmp_path / "cls").task, load_folder(tmp_path / "more").task
    assert after.config.labels == ("yes", "never", "no")  # type: ignore[attr-defined]
    assert torch.equal(after.state_dict()["classifier.weight"][:2], before.state_dict()["classifier.weight"])


def test_a_link_out_of_the_folder_is_refused(bert: Path, tmp_path: Path) -> None:
    (bert / "vocab.txt").rename(tmp_path / "vocab.txt")
    (bert / "vocab.txt").symlink_to(tmp_path / "vocab.txt")
    with pytest.raises(InputError, match="a link that leaves the folder"):
        wenmo.load(bert)


def test_a_model_that_only_wenmo_has_is_no_checkpoint(reviews: Path, tmp_path: Path) -> None:
    small = ["model.embedding_size=4", "model.num_filters=2", "training.max_epochs=1"]
    wenmo.train(reviews, model="textcnn", out=tmp_path / "cnn", overrides=small)
    with pytest.raises(InputError, match="go on with it by --from"):
        wenmo.train(reviews, model=str(tmp_path / "cnn"), out=tmp_path / "next")


def test_a_folder_of_the_first_format_still_loads(reviews: Path, tmp_path: Path) -> None:
    sizes = ["model.hidden_size=8", "model.num_attention_heads=2", "model.intermediate_size=12"]
    wenmo.train(reviews, model="gpt2", out=tmp_path / "new", overrides=[*QUICK, *sizes, "training.warmup_steps=0"])
    new = load_folder(tmp_path / "new")
    save_folder(tmp_path / "old", new)
    facts = {"format_version": 1, "wenmo_version": "0.1.0", "tokenizer_fingerprint": new.tokenizer.fingerprint()}
    described = {**new.task.extractor_config.to_dict(), **new.task.config.described(), **facts}
    (tmp_path / "old" / "config.json").write_text(json.dumps(described))
    (tmp_path / "old" / "head.safetensors").unlink(missing_ok=True)
    write_weights(tmp_path / "old" / "model.safetensors", new.task.state_dict())
    old = load_folder(tmp_path / "old")
    assert all(weight.equal(new.task.state_dict()[name]) for name, weight in old.task.state_dict().items())
    assert json.loads((tmp_path / "new" / "config.json").read_text())["format_version"] == 2


def test_a_truncated_head_and_another_models_weights_are_refused(bert: Path, tmp_path: Path) -> None:
    rows = "".join(f"good film {i}\tbad plot {i}\t{label}\n" for i in "bcdefg" for label in ("same", "other"))
    (tmp_path / "pairs.tsv").write_text("text_a\ttext_b\tlabel\n" + rows)
    out = tmp_path / "out"
    wenmo.train(tmp_path / "pairs.tsv", model=str(bert), out=out, overrides=[*QUICK, "task.pair=siamese"])
    whole = (out / "head.safetensors").read_bytes()
    (out / "head.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"head\.safetensors: cut short"):
        load_folder(out)
    (out / "head.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks classifier\.bias, classifier\.weight"):
        load_folder(out)
