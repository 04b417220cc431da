"""Language models that start from a checkpoint, and what they may write."""

from pathlib import Path

import pytest
import tokenizers
import torch
import transformers

import wenmo
from wenmo.errors import InputError

TEXT = "good film, bad film, the plot of the film is good.\n" * 12
QUICK = ["training.max_epochs=1", "training.batch_size=4", "data.max_length=16"]


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    folder = tmp_path / "gpt2"
    folder.mkdir()
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator([TEXT], 280, 1, False, ["<|endoftext|>"])
    trained.save_model(str(folder))
    torch.manual_seed(0)
    sizes = {"vocab_size": trained.get_vocab_size(), "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(folder)
    return folder


def test_a_language_model_goes_on_from_a_checkpoint_and_opens_in_transformers(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(TEXT)
    out = tmp_path / "out"
    assert wenmo.train(tmp_path / "train.txt", model=f"gpt2:{gpt2}", out=out, overrides=QUICK).task == "generate"
    written = wenmo.load(out).generate("good film", max_new_tokens=6, temperature=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    ids = tokenizer("good film", return_tensors="pt").input_ids
    found = theirs.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert written.text == tokenizer.decode(found[0, ids.size(1) :], skip_special_tokens=True)
    assert wenmo.load(out).generate("", max_new_tokens=2).tokens > 0


def test_texts_end_as_the_checkpoint_has_it_and_labels_have_no_vectors(gpt2: Path, tmp_path: Path) -> None:
    rows = [f"good film {i}" for i in range(20)]
    (tmp_path / "plain.tsv").write_text("text\n" + "".join(f"{row}\n" for row in rows))
    wenmo.train(tmp_path / "plain.tsv", model=str(gpt2), task="generate", out=tmp_path / "out", overrides=QUICK)
    (tmp_path / "labels.tsv").write_text("text\tlabel\n" + "".join(f"{row}\tx\n" for row in rows))
    with pytest.raises(InputError, match="for which a checkpoint has no vectors"):
        wenmo.train(tmp_path / "labels.tsv", model=str(gpt2), task="generate", out=tmp_path / "no", overrides=QUICK)


def test_the_first_two_ids_of_a_checkpoint_are_words_like_others(gpt2: Path) -> None:
    model = wenmo.load(gpt2, runtime="torch")  # packed matrices would not see the change below
    assert model.task._never == []
    first = int(model.tokenizer.encode_batch(["!"])[0][0])
    with torch.no_grad():
        table = model.task.extractor.embeddings.words.words.weight
        table.zero_()
        table[first] = 1.0
        model.task.extractor.decoder.final_norm.bias.fill_(1.0)
    assert model.generate("good", max_new_tokens=3, temperature=0).text == "!!!"


def test_a_classifier_over_gpt2_opens_in_transformers_with_the_same_logits(gpt2: Path, tmp_path: Path) -> None:
    rows = "".join(f"good film {i}\tyes\nbad plot {i}\tno\n" for i in range(12))
    (tmp_path / "reviews.tsv").write_text("text\tlabel\n" + rows)
    overrides = ["training.learning_rate=0.01", "training.max_epochs=1", "training.batch_size=4"]
    wenmo.train(tmp_path / "reviews.tsv", model=str(gpt2), out=tmp_path / "out", overrides=overrides)
    assert not (tmp_path / "out" / "head.safetensors").exists()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    texts = ["good film", "bad plot of the film", "x"]
    with torch.no_grad():
        wanted = torch.cat([theirs(**tokenizer(text, return_tensors="pt")).logits for text in texts]).softmax(dim=1)
    ours = torch.from_numpy(wenmo.load(tmp_path / "out").probabilities(texts))
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-5)
    assert (ours[0] - ours[1]).abs().max() > 1e-3


def test_words_of_the_first_gpt_have_a_space_between_them(tmp_path: Path) -> None:
    trained = tokenizers.CharBPETokenizer(lowercase=True, bert_normalizer=True)
    trained.train_from_iterator([TEXT], 120, 1, ["<unk>"], show_progress=False)
    trained.save_model(str(tmp_path))
    torch.manual_seed(0)
    sizes = {"vocab_size": trained.get_vocab_size(), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**sizes)).save_pretrained(tmp_path)
    model = wenmo.load(tmp_path, runtime="torch")  # packed matrices would not see the change below
    film = int(model.tokenizer.encode_batch(["film"])[0][0])
    with torch.no_grad():
        model.task.extractor.embeddings.words.words.weight.zero_()
        model.task.extractor.embeddings.words.words.weight[film] = 1.0
        model.task.extractor.decoder.layers[-1].feed_forward_norm.bias.fill_(1.0)
    assert model.generate("good", max_new_tokens=2, temperature=0).text == " film film"
    with pytest.raises(InputError, match="give a prompt"):
        model.generate("")
