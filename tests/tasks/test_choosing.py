"""Multiple choice: how questions are read, the scores and losses by hand and against transformers, and the verbs."""

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
from wenmo.data.choices import read_choices
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.folder import load_folder
from wenmo.models.gpt import Gpt, GptConfig
from wenmo.tasks.choosing import Choosing, ChoosingConfig
from wenmo.tasks.language_loss import next_token_loss
from wenmo.tasks.task import Example
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.training.progress import Silent

QUESTIONS: list[dict[str, Any]] = [
    {"context": "a good film", "choices": ["good", "bad", "a"], "label": 0},
    {"context": "the plot", "choices": ["bad", "the plot"], "label": "the plot"},
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*questions: Any, name: str = "questions.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((q if isinstance(q, str) else json.dumps(q)) + "\n" for q in questions))
        return path

    return write


@pytest.fixture
def gpt(tmp_path: Path) -> Path:
    """A GPT-2 of whole words, with random weights."""
    words = ["<unk>", "a", "b", "c", "d", "good", "bad", "film", "plot", "the"]
    torch.manual_seed(0)
    sizes = {"vocab_size": len(words), "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(tmp_path / "gpt2")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "gpt2" / "tokenizer.json"))
    return tmp_path / "gpt2"


def learnable(number: int = 24) -> list[dict[str, Any]]:
    """The right answer is the good one."""
    rows = []
    for i in range(number):
        right, wrong = (f"{word} {('film', 'plot')[i % 2]}" for word in ("good", "bad"))
        choices = [right, wrong] if i % 3 else [wrong, right]
        rows.append({"context": f"the {'abcd'[i % 4]} {'abcd'[i // 6]}", "choices": choices, "label": i % 3 == 0})
    return [{**row, "label": int(row["label"])} for row in rows]


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_questions_are_lines_of_json_with_a_place_or_a_text_as_label(write: Callable[..., Path]) -> None:
    rows = read_choices(write(*QUESTIONS, "", {"context": "x", "choices": ["y", "z"]})).rows
    assert [(row.text, row.choices, row.right) for row in rows] == [
        ("a good film", ("good", "bad", "a"), 0),
        ("the plot", ("bad", "the plot"), 1),
        ("x", ("y", "z"), None),
    ]
    assert rows[2].source.endswith("questions.jsonl:4")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"questions.jsonl:1: not JSON"),
        ("[1]", "a context with two choices or more is wanted"),
        ({"context": "x", "choices": ["y"]}, "two choices or more"),
        ({"context": 1, "choices": ["y", "z"]}, "a context with"),
        ({"context": "x", "choices": ["y", "y"]}, "choices are different texts"),
        ({"context": "x", "choices": ["y", 2]}, "choices are different texts"),
        ({"context": "x", "choices": ["y", "z"], "label": 2}, "nor a place from 0 to 1"),
        ({"context": "x", "choices": ["y", "z"], "label": "w"}, "'w' is none of the choices"),
        ({"context": "x", "choices": ["y", "z"], "label": True}, "True is none of the choices"),
    ],
)
def test_a_line_that_is_no_question_is_named(line: Any, message: str, write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=message):
        read_choices(write(line))
    with pytest.raises(InputError, match="there is nothing in it"):
        read_choices(write(""))


def test_each_answer_stands_behind_its_context_by_hand(gpt: Path, write: Callable[..., Path]) -> None:
    tokenizer = PretrainedTokenizer.load(gpt).with_markers()
    config = ChoosingConfig(markers=True)
    rows = read_choices(write(*QUESTIONS)).rows
    columns = config.columns(rows, tokenizer, LongTexts(0, "head"))
    start, delimiter, extract = 10, 11, 12
    context, other = [start, 1, 5, 7, delimiter], [start, 9, 8, delimiter]
    assert [ids.tolist() for ids in columns["input_ids"]] == [
        [*context, 5, extract, *context, 6, extract, *context, 1, extract],
        [*other, 6, extract, *other, 9, 8, extract],
    ]
    assert [ids.tolist() for ids in columns["choice_lengths"]] == [[7, 7, 7], [6, 7]]
    assert columns["labels"] == [[0], [1]]
    store = TokenStore.from_rows(**columns)
    assert (config.count_cut(store, LongTexts(7, "head")), config.count_cut(store, LongTexts(8, "head"))) == (2, 0)
    example = make_task().example(store, np.array([1, 0]))
    assert example.choice_sizes is not None
    assert (example.choice_sizes.tolist(), example.labels.tolist()) == ([2, 3], [1, 0])
    assert example.batch.input_ids is not None
    assert example.batch.input_ids.tolist()[:2] == [[*other, 6, extract, 0], [*other, 9, 8, extract]]


# ---- scores and losses -----------------------------------------------------------------------------------------------


def make_task(**settings: Any) -> Choosing:
    sizes = {"vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GptConfig(**sizes, intermediate_size=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)  # type: ignore[arg-type]
    task = Choosing(Gpt(config), config, ChoosingConfig(dropout_prob=0.0, **settings))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return task


def test_a_softmax_goes_over_the_answers_of_one_context_by_hand() -> None:
    task = make_task()
    with torch.no_grad():
        task.score_layer.weight.copy_(torch.eye(8)[:1])
        task.score_layer.bias.zero_()
    vectors = torch.zeros(5, 8)
    vectors[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    logits = task.logits(vectors, torch.tensor([2, 3]))
    assert logits.tolist() == [[1.0, 2.0, -np.inf], [3.0, 4.0, 5.0]]


def test_the_loss_is_that_of_each_question_alone_and_a_share_of_the_language_loss() -> None:
    columns: dict[str, Any] = {
        "input_ids": [[1, 2, 3, 4, 5, 6], [1, 2, 7, 8, 9]],
        "token_type_ids": [[0] * 6, [0] * 5],
        "choice_lengths": [[2, 3, 1], [2, 3]],
        "labels": [[1], [0]],
    }
    answers = [[[1, 2], [3, 4, 5], [6]], [[1, 2], [7, 8, 9]]]
    plain, with_language = make_task(lm_weight=0.0), make_task(lm_weight=0.5)
    example = plain.example(TokenStore.from_rows(**columns), np.arange(2))
    wanted, language = torch.zeros(2), torch.zeros(2)
    for row, (choices, right) in enumerate(zip(answers, [1, 0], strict=True)):
        scores, nats = [], []
        for ids in choices:
            batch = TokenBatch(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
            features = plain.extractor(batch)
            scores.append(plain.score_layer(features.pooler_output)[0, 0])
            nats.append(next_token_loss(features.last_hidden_state, batch, plain.extractor.word_table())[0])  # type: ignore[operator]
        wanted[row] = -torch.stack(scores).log_softmax(dim=0)[right]
        language[row] = torch.stack(nats).mean()
    torch.testing.assert_close(plain(example), (wanted.sum(), torch.tensor(2)), rtol=0, atol=1e-5)
    total = (wanted + 0.5 * language).sum()
    torch.testing.assert_close(with_language(example), (total, torch.tensor(2)), rtol=0, atol=1e-5)
    some = Example(batch=example.batch, labels=torch.tensor([-100, 0]), choice_sizes=example.choice_sizes)
    torch.testing.assert_close(with_language(some), (wanted[1] + 0.5 * language[1], torch.tensor(1)), rtol=0, atol=1e-5)
    with_language(example)[0].backward()
    trained = {name: p.grad for name, p in with_language.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in trained.values())
    assert {name for name, _ in with_language.named_parameters()} - trained.keys() == {"score_layer.bias"}


def test_scores_are_those_of_transformers_multiple_choice(
    tmp_path: Path, save_bert: Callable[..., Any], write: Callable[..., Path]
) -> None:
    theirs = save_bert(tmp_path / "bert", "BertForMultipleChoice")
    model = wenmo.load(tmp_path / "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    choices = ["bad plot", "good", "the story"]
    given = tokenizer(["a great film"] * 3, choices, return_tensors="pt", padding=True)
    with torch.no_grad():
        wanted = theirs(**{name: x.unsqueeze(0) for name, x in given.items()}).logits[0]
    torch.testing.assert_close(scores_of(model, "a great film", choices), wanted, rtol=0, atol=1e-5)
    found = model.predict([("a great film", choices)])[0].probabilities
    np.testing.assert_allclose(found, wanted.softmax(dim=0).numpy(), rtol=0, atol=1e-5)
    data = write(*learnable())
    wenmo.train(data, dev=data, model=str(tmp_path / "bert"), out=tmp_path / "out", overrides=["training.max_steps=3"])
    assert wenmo.export_model(tmp_path / "out", out=tmp_path / "back")["architecture"] == "BertForMultipleChoice"
    again = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "back").eval()
    with torch.no_grad():
        wanted = again(**{name: x.unsqueeze(0) for name, x in given.items()}).logits[0]
    trained = wenmo.load(tmp_path / "out")
    torch.testing.assert_close(scores_of(trained, "a great film", choices), wanted, rtol=0, atol=1e-5)
    assert wenmo.import_checkpoint(tmp_path / "back", out=tmp_path / "taken", verify=True)["verified"]


def scores_of(model: Any, context: str, choices: list[str]) -> torch.Tensor:
    """Before the softmax."""
    columns = model.task.config.columns([Row(context, choices=tuple(choices))], model.tokenizer, LongTexts())
    example = model.task.example(TokenStore.from_rows(**columns), np.arange(1))
    with torch.no_grad():
        return model.task.logits(model.task.extractor(example.batch).pooler_output, example.choice_sizes)[0]


def test_a_gpt_that_chooses_is_one_of_two_heads_in_transformers(
    gpt: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    data = write(*learnable())
    wenmo.train(data, dev=data, model=str(gpt), out=tmp_path / "out", overrides=["training.max_steps=3"])
    assert wenmo.export_model(tmp_path / "out", out=tmp_path / "back")["architecture"] == "GPT2DoubleHeadsModel"
    theirs, info = transformers.GPT2DoubleHeadsModel.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(info.values()), info
    model, choices = wenmo.load(tmp_path / "out"), ["good film", "the bad"]
    columns = model.task.config.columns([Row("a plot", choices=tuple(choices))], model.tokenizer, LongTexts())
    ids = torch.from_numpy(columns["input_ids"][0].astype(np.int64)).view(1, 2, -1)
    assert ids[0, :, -1].tolist() == [12, 12]  # [extract], off which an answer is read
    with torch.no_grad():
        said = theirs.eval()(ids, mc_token_ids=torch.full((1, 2), ids.size(2) - 1))
    torch.testing.assert_close(scores_of(model, "a plot", choices), said.mc_logits[0], rtol=0, atol=1e-5)
    opened = wenmo.load(tmp_path / "back")
    torch.testing.assert_close(scores_of(opened, "a plot", choices), said.mc_logits[0], rtol=0, atol=1e-5)
    described = json.loads((tmp_path / "back" / "config.json").read_text()) | {"summary_type": "mean"}
    (tmp_path / "back" / "config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="summary_type is 'mean', and of GPT2DoubleHeadsModel"):
        wenmo.load(tmp_path / "back")


def test_models_that_choose_are_compared(gpt: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    data, quick = write(*learnable()), ["training.max_epochs=1"]
    found = wenmo.compare(data, models=["transformer", f"gpt2:{gpt}"], out=tmp_path / "cmp", overrides=quick)
    assert [row["metric"] for row in found.values["rows"]] == ["accuracy", "accuracy"]
    assert len(wenmo.load(found.winner).predict([("the a", ["good film", "bad film"])])[0].probabilities) == 2


# ---- from data to answers --------------------------------------------------------------------------------------------


def test_a_chooser_learns_and_answers_files(gpt: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    data = write(*learnable())
    quick = ["training.learning_rate=0.01", "training.max_epochs=15", "training.batch_size=8", "training.patience=0"]
    result = wenmo.train(data, dev=data, model=str(gpt), out=tmp_path / "out", overrides=quick)
    assert (result.task, result.dev["accuracy"]["value"]) == ("choose", 1.0)
    task = load_folder(tmp_path / "out").task.config
    assert isinstance(task, ChoosingConfig)
    assert (task.markers, task.lm_weight) == (True, 0.5)
    model = wenmo.load(tmp_path / "out")
    first = learnable()[0]
    answer = model.predict([(first["context"], first["choices"])])[0]
    assert answer.index == first["label"]
    assert answer.choice == first["choices"][first["label"]]
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-6)
    evaluated = wenmo.evaluate(tmp_path / "out", data)
    assert (evaluated["rows"], evaluated["metrics"]["accuracy"]["value"]) == (24, 1.0)
    assert list(model.stream([(first["context"], first["choices"])])) == [answer]
    assert wenmo.check(data).to_dict()["parts"]["train"]["rows"] == 24
    written = model.predict_file(data, tmp_path / "answers.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert (written["rows"], [line["index"] for line in lines]) == (24, [row["label"] for row in learnable()])
    wenmo.train(data, start=tmp_path / "out", out=tmp_path / "on", overrides=["training.max_epochs=1"])


def test_a_model_from_nothing_and_one_that_cannot(write: Callable[..., Path], tmp_path: Path) -> None:
    data = write(*learnable())
    quick = ["training.max_epochs=1"]
    wenmo.train(data, model="transformer", out=tmp_path / "out", overrides=quick)
    assert len(wenmo.load(tmp_path / "out").predict([("good", ["bad", "good", "film"])])[0].probabilities) == 3
    with pytest.raises(InputError, match="cannot choose"):
        wenmo.train(data, model="textcnn", out=tmp_path / "no")


def test_what_is_no_question_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    data, unknown = write(*learnable()), write({"context": "x", "choices": ["y", "z"]}, name="unknown.jsonl")
    wenmo.train(data, model="transformer", out=tmp_path / "out", overrides=["training.max_epochs=1"])
    model = wenmo.load(tmp_path / "out")
    for question in ("text", ("x", "yz"), ("x", ["y"]), ("x", ["y", 1])):
        with pytest.raises(InputError, match="question 1 is"):
            model.predict([question])
    with pytest.raises(InputError, match="it has no label, and answers"):
        model.evaluate(unknown)
    with pytest.raises(InputError, match="which choice is right has to be known"):
        wenmo.train(unknown, dev=data, model="transformer", out=tmp_path / "no")
    with pytest.raises(InputError, match=r"choices go to \.jsonl"):
        model.predict_file(data, tmp_path / "answers.tsv")
    with pytest.raises(InputError, match="of texts that are joined"):
        wenmo.train(data, model="transformer", out=tmp_path / "no", overrides=["data.long_texts=windows"])


class StopsAt(Silent):
    """As Ctrl-C, but at a known step."""

    def stepped(self, step: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_bit_for_bit(gpt: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    data = write(*learnable())
    settings = ["learning_rate=0.01", "max_epochs=2", "batch_size=5", "save_steps=2", "unfreeze_epochs=1"]
    overrides = [f"training.{setting}" for setting in settings]
    wenmo.train(data, model=str(gpt), out=tmp_path / "whole", overrides=overrides)
    with pytest.raises(KeyboardInterrupt):
        wenmo.train(data, model=str(gpt), out=tmp_path / "stopped", overrides=overrides, observers=[StopsAt()])
    wenmo.train(data, model=str(gpt), out=tmp_path / "stopped", overrides=overrides, resume=True)
    whole, stopped = (load_folder(tmp_path / name).task.state_dict() for name in ("whole", "stopped"))
    assert all(whole[name].equal(stopped[name]) for name in whole)
