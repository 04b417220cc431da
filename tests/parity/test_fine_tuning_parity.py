"""Fine-tuned classifiers of every family that reads both ways: the same logits in transformers, for texts and pairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers

import wenmo

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "DistilBert": ("DistilBertModel", DISTIL),
    "Electra": ("ElectraModel", {**SIZES, "embedding_size": 8, "max_position_embeddings": 40}),
    "Ernie": ("ErnieModel", {**SIZES, "max_position_embeddings": 40}),
    "Roberta": ("RobertaModel", {**SIZES, "max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}),
}
PAIRS = [
    ("good film", "great film"),
    ("bad plot", "good film"),
    ("the film is bad " * 20, "poor"),
    ("a", "story " * 60),
]


def save(folder: Path, family: str, vocabulary: Path) -> None:
    """A tiny checkpoint with random weights and the tokenizer that its family has."""
    architecture, sizes = FAMILIES[family]
    folder.mkdir()
    if family == "Roberta":
        trained = tokenizers.ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator([" ".join(pair) for pair in PAIRS], 290, 1, False, special)
        trained.save_model(str(folder))
        size = trained.get_vocab_size()
    else:
        (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
        size = len(vocabulary.read_text().splitlines())
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=size, **sizes)
    model = getattr(transformers, architecture)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float("LayerNorm.weight" in name or "layer_norm.weight" in name), std=0.3)
    model.save_pretrained(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fine_tuned_classifier_has_the_logits_of_transformers(
    family: str, tmp_path: Path, save_bert: Callable[..., Any]
) -> None:
    save_bert(tmp_path / "bert")
    save(tmp_path / "checkpoint", family, tmp_path / "bert" / "vocab.txt")
    rows = "".join(f"{a} {i}\t{b}\t{'yn'[i % 2]}\n" for i in range(8) for a, b in PAIRS[:2])
    (tmp_path / "pairs.tsv").write_text("text_a\ttext_b\tlabel\n" + rows)
    overrides = ["training.learning_rate=0.003", "training.max_epochs=1", "training.batch_size=4"]
    out = tmp_path / "out"
    wenmo.train(tmp_path / "pairs.tsv", model=str(tmp_path / "checkpoint"), out=out, overrides=overrides)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    found = []
    for pair in PAIRS:
        batch = tokenizer(*pair, return_tensors="pt", truncation=True, max_length=40)
        with torch.no_grad():
            found.append(theirs(**batch).logits[0].softmax(dim=0))
    ours = torch.from_numpy(wenmo.load(out).probabilities(PAIRS))
    torch.testing.assert_close(ours, torch.stack(found), rtol=0, atol=1e-5)
    assert (ours - ours[0]).abs().max() > 5e-5  # the answers differ by more than what is allowed above
