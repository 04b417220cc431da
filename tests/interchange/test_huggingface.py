"""Checkpoints that are not as they should be, and settings both ways; the numbers stand in tests/parity."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wenmo.errors import InputError
from wenmo.interchange.huggingface import config_from_huggingface, from_huggingface, read_checkpoint, to_huggingface
from wenmo.interchange.huggingface_config import config_to_huggingface, with_pooler
from wenmo.models.bert import BertConfig
from wenmo.models.config import ModelConfig
from wenmo.models.ernie import ErnieConfig, ernie2_base, ernie_base
from wenmo.models.gpt import GptConfig, gpt2_small
from wenmo.models.registry import build_model
from wenmo.models.textcnn import TextCnnConfig

SIZES: dict[str, Any] = {
    "vocab_size": 13,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 9,
}
BERT = BertConfig(**SIZES)
HEADS = {
    "masked_lm.dense.weight": (8, 8),
    "masked_lm.dense.bias": (8,),
    "masked_lm.norm.weight": (8,),
    "masked_lm.norm.bias": (8,),
    "masked_lm.bias": (13,),
    "next_sentence.weight": (2, 8),
    "next_sentence.bias": (2,),
}


def state_of(config: ModelConfig, **heads: tuple[int, ...]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    shapes = {name: tuple(weight.shape) for name, weight in build_model(config).state_dict().items()}
    return {name: torch.randn(shape) for name, shape in (shapes | heads).items()}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder with a BERT and the heads of its pre-training."""
    described, weights = to_huggingface(BERT, state_of(BERT, **HEADS))
    (tmp_path / "config.json").write_text(json.dumps(described))
    save_file(weights, tmp_path / "model.safetensors")
    return tmp_path


def change(
    folder: Path, drop: str = "", add: dict[str, Tensor] | None = None, rename: tuple[str, str] = ("", "")
) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {name.replace(*rename) if rename[0] else name: w.clone() for name, w in weights.items()}
    weights = {name: weight for name, weight in weights.items() if not drop or drop not in name}
    save_file(weights | (add or {}), folder / "model.safetensors")


def describe(folder: Path, **values: Any) -> None:
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | values))


def test_what_is_written_is_read_again_bit_for_bit(bert: Path) -> None:
    checkpoint = read_checkpoint(bert)
    written = state_of(BERT, **HEADS)
    assert checkpoint.config == BERT and checkpoint.family == "bert" and checkpoint.left_out == []
    assert (checkpoint.weights | checkpoint.heads).keys() == written.keys()
    for name, weight in (checkpoint.weights | checkpoint.heads).items():
        assert torch.equal(weight, written[name]), name


def test_old_files_are_read_as_new_ones(bert: Path) -> None:
    # As bert-base-uncased was published: gamma and beta, buffers of positions, and the words' table a second time.
    new = read_checkpoint(bert)
    table = new.weights["embeddings.words.words.weight"].clone()
    bias = new.heads["masked_lm.bias"].clone()
    change(bert, rename=("LayerNorm.weight", "LayerNorm.gamma"))
    change(bert, rename=("LayerNorm.bias", "LayerNorm.beta"))
    copies = {"cls.predictions.decoder.weight": table, "cls.predictions.decoder.bias": bias}
    change(bert, add={**copies, "bert.embeddings.position_ids": torch.arange(9)[None]})
    old = read_checkpoint(bert)
    assert old.left_out == []
    assert all(torch.equal(old.weights[name], weight) for name, weight in new.weights.items())
    assert all(torch.equal(old.heads[name], weight) for name, weight in new.heads.items())
    # Of two that repeat each other it does not matter which one is there.
    change(bert, drop="word_embeddings")
    assert torch.equal(read_checkpoint(bert).weights["embeddings.words.words.weight"], table)


def test_a_missing_weight_is_named(bert: Path) -> None:
    change(bert, drop="layer.1.attention.self.key.bias")
    with pytest.raises(InputError, match=r"not the bert of its config.json: it lacks encoder.layer.1.*self.key.bias\."):
        read_checkpoint(bert)


def test_a_weight_that_is_left_over_is_named(bert: Path) -> None:
    change(bert, add={"bert.encoder.layer.2.output.dense.bias": torch.ones(8)})
    with pytest.raises(InputError, match=r"has besides encoder.layer.2.output.dense.bias. .*another number of layers"):
        read_checkpoint(bert)


def test_a_config_of_another_size_is_said_to_be_of_another_model(bert: Path) -> None:
    describe(bert, vocab_size=14)
    with pytest.raises(InputError, match=r"word_embeddings.weight \(13, 8\) for \(14, 8\).*of different models"):
        read_checkpoint(bert)


def test_weights_of_another_family_are_said_to_be_theirs(bert: Path) -> None:
    change(bert, rename=("bert.", "roberta."))
    with pytest.raises(InputError, match=r"The weights are those of a roberta; bring its config.json"):
        read_checkpoint(bert)
    described, _ = to_huggingface(BERT, {})
    distilled = replace(BERT, type_vocab_size=0, pooler="first", pooler_act="relu")
    _, weights = to_huggingface(distilled, state_of(distilled))
    with pytest.raises(InputError, match=r"The weights are those of a distilbert"):
        from_huggingface(described, weights)
    gpt = GptConfig(**SIZES)
    _, weights = to_huggingface(gpt, state_of(gpt))
    with pytest.raises(InputError, match=r"The weights are those of a openai-gpt"):
        from_huggingface(to_huggingface(replace(gpt, norm_first=True), {})[0], weights)


def test_weights_that_are_no_numbers_of_a_model_are_named(bert: Path) -> None:
    change(bert, add={"bert.pooler.dense.bias": torch.ones(8, dtype=torch.int8)})
    with pytest.raises(InputError, match=r"of another shape are pooler.dense.bias \(8,\) of torch.int8 for \(8,\)"):
        read_checkpoint(bert)


def test_a_number_of_layers_that_cannot_be_is_refused_before_they_are_built(bert: Path) -> None:
    describe(bert, num_hidden_layers=10**12)
    with pytest.raises(InputError, match=r"says 1000000000000 layers, but there are \d+ weights"):
        read_checkpoint(bert)


def test_a_strange_prefix_is_shown(bert: Path) -> None:
    change(bert, rename=("bert.", "encoder_q.bert."))
    with pytest.raises(InputError, match=r"behind a prefix; the first is called '(encoder_q|cls)"):
        read_checkpoint(bert)


def test_an_incomplete_head_is_named(bert: Path) -> None:
    change(bert, drop="transform.dense.bias")
    with pytest.raises(InputError, match=r"it lacks cls.predictions.transform.dense.bias"):
        read_checkpoint(bert)


def test_a_head_that_wenmo_does_not_have_is_left_out_and_said(bert: Path) -> None:
    change(bert, add={"qa_outputs.weight": torch.ones(2, 8)})
    assert read_checkpoint(bert).left_out == ["qa_outputs.weight: of a head that wenmo does not have"]


def test_a_head_with_a_matrix_of_its_own_is_left_out_and_said(bert: Path) -> None:
    change(bert, add={"cls.predictions.decoder.weight": torch.ones(13, 8)})
    checkpoint = read_checkpoint(bert)
    assert {name.split(".")[0] for name in checkpoint.heads} == {"next_sentence"}
    assert len(checkpoint.left_out) == 6
    assert "cls.predictions.bias: the head for masked words has a matrix of its own, not the words'" in (
        checkpoint.left_out
    )


def test_a_release_of_ernie_2_without_vectors_of_tasks_is_read_and_it_is_said() -> None:
    config = ErnieConfig(**SIZES, task_type_vocab_size=3)
    described, weights = to_huggingface(config, state_of(config))
    without = {name: weight for name, weight in weights.items() if "task_type" not in name}
    checkpoint = from_huggingface(described, without)
    assert checkpoint.config == replace(config, task_type_vocab_size=0)
    assert checkpoint.left_out == ["config.json: use_task_id, because the weights hold no vectors of tasks"]
    assert from_huggingface(described, weights).config == config


def test_fields_that_nobody_knows_are_left_out_and_said(bert: Path) -> None:
    describe(bert, secret_sauce=3, transformers_version="5")
    assert read_checkpoint(bert).left_out == ["config.json: secret_sauce, which wenmo does not know"]


@pytest.mark.parametrize(
    ("model_type", "hint"),
    [("robreta", "the nearest known is roberta"), ("gpt_2", "the nearest known is gpt2"), (None, "known are bert")],
)
def test_an_unknown_architecture_is_refused_before_its_weights_are_read(
    model_type: Any, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(InputError, match=rf"{tmp_path}/config.json: model_type is {model_type!r}; .*{hint}"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "bert", "hidden_act": "swish"}, "activation 'swish'"),
        ({"model_type": "bert", "is_decoder": True}, "is_decoder is True"),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "relative_key"),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"model_type": "bert", "hidden_size": "768"}, "hidden_size is '768', and has to be a value like 768"),
        ({"model_type": "bert", "hidden_act": ["gelu"]}, "has to be a value like gelu"),
        ({"model_type": "gpt2", "n_inner": 2.5}, "n_inner is 2.5"),
        ({"model_type": "bert", "num_hidden_layers": 2.0}, "num_hidden_layers is 2.0"),
        ({"model_type": "bert", "layer_norm_eps": "1e-12"}, "layer_norm_eps is '1e-12'"),
        ({"model_type": "roberta", "pad_token_id": None}, "not the description of a roberta"),
        ({"model_type": "bert", "hidden_size": 770}, "cannot be shared by 12 heads"),
        ({"model_type": "gpt2", "n_embd": None}, "n_embd is None, and has to be a value like 768"),
    ],
)
def test_a_description_that_we_do_not_compute_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        config_from_huggingface(values)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x80"])
def test_a_config_that_is_not_json_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"config.json: not "):
        read_checkpoint(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"config.json: missing"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (BERT, "bert"),
        (replace(BERT, hidden_act="gelu_new"), "bert"),
        (replace(BERT, position_offset=2, type_vocab_size=1), "roberta"),
        (replace(BERT, type_vocab_size=0, pooler_act="relu"), "distilbert"),
        (replace(BERT, embedding_size=4, pooler_act="gelu"), "electra"),
        (replace(BERT, embedding_size=8, pooler_act="gelu"), "electra"),
        (ernie_base(), "ernie"),
        (ernie2_base(), "ernie"),
        (GptConfig(vocab_size=9), "openai-gpt"),
        (gpt2_small(), "gpt2"),
    ],
)
def test_settings_make_the_way_there_and_back(config: ModelConfig, family: str) -> None:
    values = json.loads(json.dumps(config_to_huggingface(config)))
    assert values["model_type"] == family
    assert config_from_huggingface(values) == config


def test_what_is_not_written_has_the_value_of_transformers() -> None:
    assert config_from_huggingface({"model_type": "bert"}) == BertConfig(vocab_size=30_522)
    assert config_from_huggingface({"model_type": "gpt2"}) == gpt2_small()
    assert config_from_huggingface({"model_type": "openai-gpt"}) == GptConfig(vocab_size=40_478)
    ernie = config_from_huggingface({"model_type": "ernie"})
    assert isinstance(ernie, ErnieConfig) and (ernie.hidden_act, ernie.layer_norm_eps) == ("gelu", 1e-12)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TextCnnConfig(vocab_size=9), "textcnn has no counterpart in transformers"),
        (replace(BERT, norm_first=True), "model.norm_first is True, and bert of transformers has only False"),
        (replace(BERT, pooler_act="relu"), "model.pooler_act is 'relu'"),
        (replace(BERT, type_vocab_size=0), "model.pooler_act is 'tanh', and distilbert"),
        (GptConfig(**{**SIZES, "intermediate_size": 12}), "4 \\* model.hidden_size"),
        (GptConfig(**SIZES, hidden_act="gelu"), "openai-gpt of transformers does not have"),
    ],
)
def test_a_model_that_transformers_does_not_have_is_refused(config: ModelConfig, said: str) -> None:
    with pytest.raises(InputError, match=said):
        to_huggingface(config, {})


def test_heads_that_transformers_does_not_have_are_refused() -> None:
    label = {"classifier.weight": (3, 8), "classifier.bias": (3,)}
    first = replace(BERT, pooler="first")
    with pytest.raises(InputError, match=r"train it with model.pooler='dense'"):
        to_huggingface(first, state_of(first, **label))
    with pytest.raises(InputError, match="no bert with next_sentence and masked_lm and classifier at once"):
        to_huggingface(BERT, state_of(BERT, **HEADS, **label))
    with pytest.raises(InputError, match=r"no place for crf.transitions"):
        to_huggingface(BERT, state_of(BERT, **{"crf.transitions": (3, 3)}))
    gpt = GptConfig(**SIZES)
    with pytest.raises(InputError, match="the classifier has a bias, and GPT's in transformers has none"):
        to_huggingface(gpt, state_of(gpt, **label))
    electra = replace(BERT, embedding_size=4, pooler_act="gelu")
    with pytest.raises(InputError, match=r"electra of transformers has no place for pooler.dense.bias"):
        to_huggingface(electra, state_of(electra))


def test_labels_of_tokens_and_of_texts_are_told_apart() -> None:
    label = {"classifier.weight": (3, 8), "classifier.bias": (3,)}
    described, weights = to_huggingface(BERT, state_of(BERT, **label))
    assert described["architectures"] == ["BertForSequenceClassification"]
    assert described["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    silent = {name: value for name, value in described.items() if name != "architectures"}
    assert {name.split(".")[0] for name in from_huggingface(silent, weights).heads} == {"classifier"}
    # Older taggers were saved with a pooler that nothing reads.
    of_tokens = described | {"architectures": ["BertForTokenClassification"]}
    assert {name.split(".")[0] for name in from_huggingface(of_tokens, weights).heads} == {"tagger"}
    without = {name: weight for name, weight in weights.items() if "pooler" not in name}
    checkpoint = from_huggingface(silent, without)
    assert {name.split(".")[0] for name in checkpoint.heads} == {"tagger"}
    assert checkpoint.config == replace(BERT, pooler="first")
    assert with_pooler(checkpoint.config, True) == BERT


def test_numbers_are_written_under_names_of_their_own_memory(tmp_path: Path) -> None:
    _, weights = to_huggingface(BERT, state_of(BERT))
    save_file(weights, tmp_path / "model.safetensors")
    assert len({weight.data_ptr() for weight in weights.values()}) == len(weights)
    assert not any(re.match(r"(bert|cls)\.", name) for name in weights)
