"""GPT's forms of input and its loss beside the task's, by hand and against transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers

import wenmo
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.folder import load_folder
from wenmo.interchange.huggingface import read_checkpoint
from wenmo.models.bert import BertConfig
from wenmo.models.config import ModelConfig
from wenmo.models.gpt import Gpt, GptConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.language_loss import next_token_loss
from wenmo.tasks.pairs import encode_texts
from wenmo.tasks.task import Example
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe

WORDS = ["a", "b", "c", "d", "good", "bad", "film", "plot", "of", "the", "<unk>"]
A, B, C, D = range(4)
START, DELIMITER, EXTRACT = range(11, 14)
STILL = ["training.learning_rate=0.0", "training.max_epochs=1", "training.batch_size=4"]
QUICK = ["training.learning_rate=0.01", "training.max_epochs=2", "training.batch_size=4"]


@pytest.fixture
def gpt(tmp_path: Path) -> Path:
    """A GPT-2 of whole words, with random weights; its table has one row more than there are words."""
    folder = tmp_path / "gpt2"
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS) + 1, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write labelled texts, or labelled pairs."""

    def write(pairs: bool = False) -> Path:
        path = tmp_path / ("pairs.tsv" if pairs else "texts.tsv")
        rows = [(f"good film {x} {y}", f"bad plot {y} {z}", x) for x in "abcd" for y in "abcd" for z in "ab"]
        texts = [f"{a}\t{b}\t{x in 'ab'}" if pairs else f"{a} {b}\t{x in 'ab'}" for a, b, x in rows]
        path.write_text("\n".join([("text_a\ttext_b" if pairs else "text") + "\tlabel", *texts]) + "\n")
        return path

    return write


def ids_of(columns: Any, name: str = "input_ids") -> list[list[int]]:
    return [row.tolist() for row in columns[name]]


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_texts_stand_between_three_new_tokens_by_hand(gpt: Path) -> None:
    plain = PretrainedTokenizer.load(gpt)
    marked = plain.with_markers()
    assert (plain.vocab_size, marked.vocab_size) == (11, 14)
    assert marked.vocabulary[11:] == ["_start_", "_delimiter_", "_classify_"]
    reading, pair = LongTexts(0, "head"), [("a b", "c"), ("", "d")]
    assert ids_of(encode_texts(["a b", ""], marked, "none", reading).columns) == [
        [START, A, B, EXTRACT],
        [START, EXTRACT],
    ]
    joined = encode_texts(pair, marked, "joined", reading).columns
    assert ids_of(joined) == [[START, A, B, DELIMITER, C, EXTRACT], [START, DELIMITER, D, EXTRACT]]
    assert ids_of(joined, "token_type_ids") == [[0] * 6, [0] * 4]
    both = encode_texts(pair, marked, "symmetric", reading).columns
    assert ids_of(both) == ids_of(joined)
    assert ids_of(both, "input_ids_b") == [[START, C, DELIMITER, A, B, EXTRACT], [START, D, DELIMITER, EXTRACT]]
    assert ids_of(encode_texts(["_start_"], marked, "none", reading).columns) != [[START, START, EXTRACT]]
    assert marked.with_markers().fingerprint() == marked.fingerprint() != plain.fingerprint()


def test_what_is_cut_leaves_room_for_them(gpt: Path) -> None:
    marked = PretrainedTokenizer.load(gpt).with_markers()
    cut = encode_texts(["a b c d"], marked, "none", LongTexts(4, "head"))
    assert (ids_of(cut.columns), cut.cut) == ([[START, A, B, EXTRACT]], [0])
    cut = encode_texts([("a b c d", "d")], marked, "symmetric", LongTexts(6, "head"))
    assert ids_of(cut.columns) == [[START, A, B, DELIMITER, D, EXTRACT]]
    assert ids_of(cut.columns, "input_ids_b") == [[START, D, DELIMITER, A, B, EXTRACT]]
    with pytest.raises(InputError, match="leaves no room"):
        encode_texts([("a", "b")], marked, "symmetric", LongTexts(3, "head"))


def test_what_stood_around_texts_gives_way_to_them(tmp_path: Path, save_bert: Callable[..., Any]) -> None:
    save_bert(tmp_path / "bert")
    marked = PretrainedTokenizer.load(tmp_path / "bert").with_markers()
    around = marked.surroundings(pair=True)
    assert (around.before, around.between, around.behind) == ((71,), (72,), (73,))


def test_a_vocabulary_that_leaves_ids_out_is_refused(tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 7}, "a"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"leaves ids out.* set task\.markers=false"):
        PretrainedTokenizer.load(tmp_path).with_markers()


# ---- what is started from --------------------------------------------------------------------------------------------


def test_a_checkpoint_that_reads_to_the_right_is_read_like_this(gpt: Path, write: Callable[..., Path]) -> None:
    recipe = Recipe.build(model=str(gpt), values={"data": {"train": str(write())}})
    assert isinstance(recipe.task, ClassificationConfig)
    assert (recipe.task.markers, ClassificationConfig().markers) == (True, False)
    training = recipe.training
    assert (training.learning_rate, training.warmup_share, training.batch_size) == (6.25e-5, 0.002, 32)
    assert Recipe.build(model=str(gpt), values={"task": {"task": "tag"}}).training.learning_rate == 3e-5
    assert not hasattr(Recipe.build(model=str(gpt), values={"task": {"task": "tag"}}).task, "markers")


@pytest.mark.parametrize(
    ("settings", "model", "wanted"),
    [
        ({"markers": True}, GptConfig(), 0.5),
        ({"markers": True}, GptConfig(tie_word_embeddings=False), 0.0),
        ({"markers": True, "lm_weight": 0.0}, GptConfig(), 0.0),
        ({}, GptConfig(), 0.0),
        ({}, BertConfig(), 0.0),
    ],
)
def test_half_of_the_language_loss_comes_with_them(settings: dict[str, Any], model: ModelConfig, wanted: float) -> None:
    rows = [Row("a", label) for label in "xy"]
    assert ClassificationConfig(**settings).settled(rows, model, None, "").lm_weight == wanted


def test_what_was_left_out_is_no_value_in_a_file() -> None:
    assert "lm_weight" not in ClassificationConfig().to_dict()
    assert ClassificationConfig(lm_weight=0.0).to_dict()["lm_weight"] == 0.0


def test_new_tokens_have_new_vectors_behind_those_of_the_words(
    gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    for seed in (0, 1):
        wenmo.train(write(), model=str(gpt), out=tmp_path / f"out{seed}", overrides=STILL, seed=seed)
    old = read_checkpoint(gpt).weights
    first, second = (load_folder(tmp_path / f"out{seed}").task.extractor for seed in (0, 1))
    tables = [model.word_table().detach() for model in (first, second)]  # type: ignore[operator]
    assert tables[0].shape == (14, 8)
    assert tables[0][:11].equal(old["embeddings.words.words.weight"][:11])
    assert not tables[0][11:].eq(tables[1][11:]).any()
    assert tables[0][11:].std() < 0.05
    assert all(first.state_dict()[name].equal(old[name]) for name in old if name != "embeddings.words.words.weight")


def test_a_folder_that_has_them_already_keeps_their_vectors(
    gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    wenmo.train(write(), model=str(gpt), out=tmp_path / "first", overrides=QUICK)
    wenmo.train(write(), model=str(tmp_path / "first"), out=tmp_path / "second", overrides=STILL, seed=5)
    first, second = (load_folder(tmp_path / name).task.extractor for name in ("first", "second"))
    assert all(x.equal(y) for x, y in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    on = wenmo.train(write(), start=tmp_path / "first", out=tmp_path / "third", overrides=STILL)
    assert on.task == "classify"


@pytest.mark.parametrize("pair", ["none", "joined", "symmetric"])
def test_the_folder_opens_in_transformers_with_the_same_ids_and_logits(
    pair: str, gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    overrides = [*QUICK, f"task.pair={pair}"] if pair == "symmetric" else QUICK
    wenmo.train(write(pairs=pair != "none"), model=str(gpt), out=tmp_path / "out", overrides=overrides)
    ours = wenmo.load(tmp_path / "out")
    assert ours.task.config.pair == pair
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.vocab_size == len(tokenizer) == 14

    def logits(*texts: str) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = theirs(tokenizer(*texts, return_tensors="pt").input_ids).logits
            return found

    assert tokenizer("a b", "c").input_ids == [START, A, B, DELIMITER, C, EXTRACT]
    assert tokenizer("a b").input_ids == [START, A, B, EXTRACT]
    asked: list[Any] = ["a good film", "bad"] if pair == "none" else [("a good film", "bad"), ("bad", "a good film")]
    texts = [(each,) if isinstance(each, str) else each for each in asked]
    wanted = [logits(*each) + (logits(*each[::-1]) if pair == "symmetric" else 0) for each in texts]
    answers = ours.probabilities(asked)
    np.testing.assert_allclose(answers, torch.cat(wanted).softmax(dim=1).numpy(), rtol=0, atol=1e-5)
    same = np.allclose(answers[0], answers[1], atol=1e-6)
    assert same == (pair == "symmetric")
    assert ours.embed(asked).shape == (2, 8)
    assert ours.embed(asked, pooling="mean").shape == (2, 8)


# ---- the loss --------------------------------------------------------------------------------------------------------

SIZES: dict[str, Any] = {
    "vocab_size": 9,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ROWS = [[1, 2, 3, 4], [5, 6], [7], [8, 7, 6, 5, 4]]


def make_task(**settings: Any) -> Classification:
    config = GptConfig(**SIZES)
    values = {"labels": ("x", "y"), "dropout_prob": 0.0, "markers": True, **settings}
    task = Classification(Gpt(config), config, ClassificationConfig(**values)).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return task


def test_each_token_is_foretold_by_hand() -> None:
    table = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    states = torch.tensor([[[1.0], [-1.0], [9.0]], [[5.0], [5.0], [5.0]]], dtype=torch.float64)
    batch = TokenBatch(
        input_ids=torch.tensor([[0, 2, 1], [1, 0, 0]]), attention_mask=torch.tensor([[1, 1, 1], [1, 0, 0]])
    )
    e = np.e
    # Behind the first token the logits are 0, 1, 2 and token 2 comes; behind the second 0, -1, -2, and token 1 comes.
    wanted = (-np.log(e**2 / (1 + e + e**2)) - np.log(e**-1 / (1 + e**-1 + e**-2))) / 2
    found = next_token_loss(states, batch, table)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, [wanted, 0.0], rtol=1e-6)


def test_the_language_loss_of_a_text_is_transformers(gpt: Path) -> None:
    theirs = transformers.GPT2LMHeadModel.from_pretrained(gpt).eval()
    checkpoint = read_checkpoint(gpt)
    ours = Gpt(checkpoint.config).eval()  # type: ignore[arg-type]
    ours.load_state_dict(checkpoint.weights)
    store = TokenStore.from_rows(input_ids=ROWS, labels=[[0]] * 4)
    batch = make_task().example(store, np.arange(4)).batch
    with torch.no_grad():
        found = next_token_loss(ours(batch).last_hidden_state, batch, ours.word_table())
        for row, ids in enumerate(ROWS):
            given = torch.tensor([ids])
            wanted = theirs(given, labels=given).loss if len(ids) > 1 else torch.tensor(0.0)
            torch.testing.assert_close(found[row], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pair", ["none", "siamese", "symmetric"])
def test_the_loss_is_the_tasks_and_a_share_of_each_texts_language_loss(pair: str) -> None:
    columns: dict[str, Any] = {"input_ids": ROWS, "labels": [[0], [1], [1], [0]]}
    if pair != "none":
        columns["input_ids_b"] = ROWS[::-1]
    store, rows = TokenStore.from_rows(**columns), np.arange(4)
    plain, with_language = (make_task(pair=pair, lm_weight=weight) for weight in (0.0, 0.5))
    example = plain.example(store, rows)
    summed, count = plain(example)
    total, same_count = with_language(example)

    def nats(ids: list[int]) -> float:
        states = plain.extractor(TokenBatch(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))))
        logs = (states.last_hidden_state[0] @ plain.extractor.word_table().t()).log_softmax(dim=1)  # type: ignore[operator]
        return -sum(logs[i, ids[i + 1]].item() for i in range(len(ids) - 1)) / max(1, len(ids) - 1)

    each = [nats(ids) for ids in ROWS]
    if pair != "none":  # a pair has two rows of ids, and the mean of their losses
        each = [(one + other) / 2 for one, other in zip(each, each[::-1], strict=True)]
    assert (count, same_count) == (4, 4)
    torch.testing.assert_close(total.double(), summed.double() + 0.5 * sum(each), rtol=0, atol=1e-5)
    some = Example(batch=example.batch, batch_b=example.batch_b, labels=torch.tensor([0, -100, -100, -100]))
    alone = plain(some)[0].double() + 0.5 * each[0]
    torch.testing.assert_close(with_language(some)[0].double(), alone, rtol=0, atol=1e-5)


def test_texts_with_several_labels_have_it_too() -> None:
    store = TokenStore.from_rows(input_ids=ROWS, labels=[[0, 1], [], [1], [0]])
    plain, with_language = (make_task(multi_label=True, lm_weight=weight) for weight in (0.0, 0.5))
    example = plain.example(store, np.arange(4))
    batch = example.batch
    nats = next_token_loss(plain.extractor(batch).last_hidden_state, batch, plain.extractor.word_table())  # type: ignore[operator]
    torch.testing.assert_close(with_language(example)[0], plain(example)[0] + 0.5 * nats.sum(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("bert", ["task.markers=true"], "task.markers: a bert sees all tokens"),
        ("bert", ["task.lm_weight=0.5"], r"task.lm_weight=0.5: this bert foretells nothing"),
        ("gpt", ["model.tie_word_embeddings=false", "task.lm_weight=1"], r"task.lm_weight=1: this gpt foretells"),
        ("gpt", ["task.markers=true"], "task.markers: they are put around the texts of a checkpoint"),
        ("gpt", ["task.lm_weight=-1"], "lm_weight must not be negative"),
        ("gpt", ["task.pair=symmetric"], "adds up the vectors of both orders"),
        ("{}", ["data.long_texts=windows"], "read in windows is not foretold"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    model: str, overrides: list[str], message: str, gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        wenmo.train(write(), model=model.format(gpt), out=tmp_path / "out", overrides=overrides)


def test_a_model_that_goes_on_keeps_its_form(gpt: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    wenmo.train(write(), model=str(gpt), out=tmp_path / "out", overrides=STILL)
    with pytest.raises(InputError, match=r"task.markers: with --from"):
        wenmo.train(write(), start=tmp_path / "out", out=tmp_path / "on", overrides=["task.markers=false"])


class StopsAt(Silent):
    """As Ctrl-C, but at a known step."""

    def stepped(self, step: int, loss: float) -> None:
        if step == 7:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_bit_for_bit_and_its_recipe_makes_it_again(
    gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    overrides = [*QUICK, "training.save_steps=3", "task.pair=symmetric"]
    pairs = write(pairs=True)
    wenmo.train(pairs, model=str(gpt), out=tmp_path / "whole", overrides=overrides)
    with pytest.raises(KeyboardInterrupt):
        wenmo.train(pairs, model=str(gpt), out=tmp_path / "stopped", overrides=overrides, observers=[StopsAt()])
    wenmo.train(pairs, model=str(gpt), out=tmp_path / "stopped", overrides=overrides, resume=True)
    wenmo.train(recipe=tmp_path / "whole" / "recipe.toml", out=tmp_path / "again")
    whole, *others = (load_folder(tmp_path / name).task.state_dict() for name in ("whole", "stopped", "again"))
    for other in others:
        assert all(whole[name].equal(other[name]) for name in whole)
