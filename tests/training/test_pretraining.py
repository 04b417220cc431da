"""From raw text to a folder that others go on from."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

import wenmo
from wenmo.errors import InputError
from wenmo.folder import load_folder, weights_digest
from wenmo.inference.annotating import make_annotator
from wenmo.pretraining.source import example_of
from wenmo.training.checkpointing import load_checkpoint
from wenmo.training.distribution import World
from wenmo.training.pretraining_data import prepared
from wenmo.training.pretraining_recipe import PretrainingRecipe
from wenmo.training.progress import Silent
from wenmo.training.run import TrainingResult

TINY = [
    "training.max_steps=6", "training.log_steps=2", "training.eval_steps=3", "training.save_steps=2",
    "training.batch_size=8", "corpus.length=24", "corpus.long_length=32", "corpus.held_out_share=0.1",
    "corpus.tokenizer.vocab_size=300", "corpus.shard_characters=3000", "corpus.window=2",
]  # fmt: skip
SMALL_STACK = [
    "model.num_hidden_layers=1", "model.hidden_size=16", "model.num_attention_heads=2", "model.intermediate_size=64",
]  # fmt: skip
SMALL_LSTM = ["model.num_units=16", "model.embedding_size=8"]
OF_MODEL = {
    **dict.fromkeys(("bert", "ernie", "gpt", "gpt2"), SMALL_STACK),
    **dict.fromkeys(("lstm", "gru"), SMALL_LSTM),
    "elmo": ["model.num_units=16", "model.projection_size=8", "model.filters=[[1, 4], [2, 4]]"],
}


def write_corpus(path: Path, documents: int = 60, seed: int = 0) -> Path:
    """Documents of sentences in which each word tells the next."""
    rng = random.Random(seed)

    def sentence() -> str:
        first = rng.randrange(60)
        return " ".join(f"w{(first + 7 * i) % 60}" for i in range(rng.randint(4, 10))) + "."

    text = "\n\n".join("\n".join(sentence() for _ in range(rng.randint(2, 6))) for _ in range(documents))
    path.write_text(text + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "text.txt")


def pretrain(corpus: Path, model: str, out: Path, *overrides: str, **arguments: Any) -> TrainingResult:
    given = [*TINY, *OF_MODEL[model], *overrides]
    return wenmo.pretrain(corpus, model=model, size="tiny", out=out, overrides=given, **arguments)


@pytest.fixture(scope="module")
def folders(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of each model, made when it is first asked for."""
    parent, results = tmp_path_factory.mktemp("models"), {}

    def folder(model: str) -> Path:
        if model not in results:
            results[model] = pretrain(corpus, model, parent / model)
        return parent / model

    return folder


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def test_each_line_of_the_log_tells_step_loss_and_task(folders: Callable[[str], Path]) -> None:
    records = log_of(folders("bert"))
    assert {record["task"] for record in records} == {"masked_lm", "next_sentence"}
    assert sorted({record["step"] for record in records}) == [2, 3, 4, 6]
    assert all(record["loss"] > 0 for record in records)
    looks = [record for record in records if "dev_loss" in record]
    assert sorted({record["step"] for record in looks}) == [3, 6] and len(looks) == 4


def test_what_was_measured_stands_in_the_folder(folders: Callable[[str], Path]) -> None:
    metrics = json.loads((folders("gpt2") / "metrics.json").read_text())
    assert metrics["task"] == "pretrain" and metrics["steps"] == 6
    assert set(metrics["dev"]) == {"cross_entropy", "perplexity"}
    assert metrics["dev"]["cross_entropy"]["value"] == pytest.approx(log_of(folders("gpt2"))[-1]["dev_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("model", "architecture"),
    [("bert", "BertForPreTraining"), ("gpt2", "GPT2LMHeadModel"), ("gpt", "OpenAIGPTLMHeadModel")],
)
def test_transformers_goes_on_with_the_folder(model: str, architecture: str, folders: Callable[[str], Path]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folders(model)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [architecture]
    theirs, report = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    opened = wenmo.load(folder) if model != "bert" else None
    ids = torch.tensor([[5, 6, 7, 8]])
    if opened is not None:
        task = load_folder(folder).task
        from wenmo.features import TokenBatch

        states = task.extractor(TokenBatch(input_ids=ids, attention_mask=torch.ones_like(ids))).last_hidden_state
        torch.testing.assert_close(task.logits(states), theirs(input_ids=ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["bert", "ernie", "gpt2"])
def test_transformers_has_the_losses_that_were_measured(model: str, folders: Callable[[str], Path]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folders(model)
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    theirs = getattr(transformers, architecture).from_pretrained(folder).eval()
    recipe = PretrainingRecipe.build(file=folder / "recipe.toml")
    data = prepared(recipe, folder, World(), make_annotator() if recipe.corpus.spans else None, print)
    sums: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for batch in data.held_out():
        example = example_of(batch, data.reading)
        read = {name: getattr(example.batch, name) for name in ("input_ids", "attention_mask")}
        if model != "gpt2":
            read["token_type_ids"] = example.batch.token_type_ids
        with torch.no_grad():
            said = theirs(**read)
        for name, labels in example.labels.items():
            logits = said[{"masked_lm": 0, "next_sentence": 1}.get(name, 0)] if model == "bert" else said.logits
            loss = cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")
            sums[name] += float(loss)
            counts[name] += int((labels != -100).sum())
    measured = json.loads((folder / "metrics.json").read_text())["dev"]
    for name, total in sums.items():
        prefix = f"{name}_" if len(sums) > 1 else ""
        assert measured[f"{prefix}cross_entropy"]["value"] == pytest.approx(total / counts[name], abs=1e-5)


def test_a_classifier_starts_from_each(folders: Callable[[str], Path], tmp_path: Path) -> None:
    data = tmp_path / "labelled.tsv"
    rows = "".join(f"{'ab'[i % 2]}\tw{i % 60} w{(i + 7) % 60} {'w3' if i % 2 else 'w4'}\n" for i in range(40))
    data.write_text("label\ttext\n" + rows)
    for model in ("bert", "gpt2", "lstm", "gru"):
        called = {"gpt2": "gpt"}.get(model, model)
        for name in (str(folders(model)), f"{called}:{folders(model)}"):
            out = tmp_path / f"{model}-{name.count(':')}"
            result = wenmo.train(data, model=name, out=out, overrides=["training.max_steps=2", "training.batch_size=8"])
            assert result.task == "classify" and result.steps == 2
        task = load_folder(out).task
        assert task.extractor_config.hidden_size == 16
    with pytest.raises(InputError, match="write --model gru:"):
        wenmo.train(data, model=f"lstm:{folders('gru')}", out=tmp_path / "wrong")


def test_a_run_goes_on_from_the_weights_of_another_and_of_its_heads(
    corpus: Path, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    for model in ("bert", "gpt2", "lstm"):
        start = folders(model)
        given = [override for override in TINY if "tokenizer" not in override]
        given += ["training.learning_rate=1e-30", "training.weight_decay=0", "training.max_steps=2"]
        wenmo.pretrain(corpus, start=start, out=tmp_path / model, overrides=given)
        before, after = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / model))
        assert before.keys() == after.keys()
        for name, weight in before.items():
            torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-9)
        assert (tmp_path / model / "tokenizer.json").read_text() == (start / "tokenizer.json").read_text()


def test_the_last_model_is_kept_beside_the_best(corpus: Path, tmp_path: Path) -> None:
    wild = ["training.learning_rate=0.5", "training.schedule=constant", "training.warmup_share=0"]
    given = [*wild, "training.eval_steps=1", "training.max_steps=8", "training.max_grad_norm=0"]
    pretrain(corpus, "gru", tmp_path / "run", *given)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    looks = {record["step"]: record["dev_loss"] for record in log_of(tmp_path / "run") if "dev_loss" in record}
    assert metrics["best_step"] == min(looks, key=lambda step: looks[step]) < 8, looks
    best, last = (load_folder(tmp_path / "run" / name).task for name in (".", "last"))
    assert not torch.equal(best.output.weight, last.output.weight)


def test_elmo_is_pretrained_and_read_again(corpus: Path, tmp_path: Path) -> None:
    result = pretrain(corpus, "elmo", tmp_path / "elmo", "training.batch_size=4")
    assert set(result.dev) == {"cross_entropy", "perplexity"}
    assert {record["task"] for record in log_of(tmp_path / "elmo")} == {"bidirectional_lm"}
    assert wenmo.load(tmp_path / "elmo").embed(["a word"]).shape == (1, 16)


def test_the_stages_of_a_table_come_one_after_the_other(corpus: Path, tmp_path: Path) -> None:
    table = {"masked_lm": [3, 2], "sentence_reordering": [0, 4]}
    given = [*TINY, *SMALL_STACK, "training.log_steps=1", "corpus.long_share=0.25"]
    given.remove("training.max_steps=6")
    result = wenmo.pretrain(corpus, model="ernie2", out=tmp_path / "run", overrides=given, values={"schedule": table})
    assert result.steps == 3 + 4  # a token objective and one of sequences share updates
    told = [(record["step"], record["task"]) for record in log_of(tmp_path / "run")]
    assert [step for step, task in told if task == "sentence_reordering"] == [4, 5, 6, 7]
    assert [step for step, task in told if task == "masked_lm"][:3] == [1, 2, 3] and len(told) == 3 + 2 + 4
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["architectures"] == ["ErnieForMaskedLM"] and described["use_task_id"]
    assert list(load_file(tmp_path / "run" / "head.safetensors")) == [
        "sentence_reordering.bias", "sentence_reordering.weight",
    ]  # fmt: skip
    assert "sentence reordering" in (tmp_path / "run" / "report.html").read_text()


def test_a_saved_recipe_gives_the_same_model(folders: Callable[[str], Path], tmp_path: Path) -> None:
    wenmo.pretrain(recipe=folders("lstm") / "recipe.toml", out=tmp_path / "again")
    digests = [weights_digest(folder / "model.safetensors") for folder in (folders("lstm"), tmp_path / "again")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text"),
        ("one sentence alone.\n\n" * 1, "vocabulary|drawn for evaluation|one document|follows"),
        ("\n\n".join(f"sentence number {i} alone." for i in range(30)), "masked words alone"),
    ],
)
def test_text_that_nothing_can_be_learnt_from(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        pretrain(tmp_path / "text.txt", "bert", tmp_path / "run")


def test_sentences_by_themselves_are_enough_for_masked_words(tmp_path: Path) -> None:
    text = "\n\n".join(f"sentence number {i} stands alone." for i in range(60))
    (tmp_path / "text.txt").write_text(text)
    result = pretrain(tmp_path / "text.txt", "bert", tmp_path / "run", "schedule.masked_lm=6")
    assert set(result.dev) == {"cross_entropy"}


def test_what_could_not_be_written_is_refused_before_it_is_trained(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="intermediate_size"):
        pretrain(corpus, "gpt", tmp_path / "run", "model.intermediate_size=48")
    with pytest.raises(InputError, match=r"over model\.max_position_embeddings=512"):
        pretrain(corpus, "bert", tmp_path / "run", "corpus.long_length=600")
    with pytest.raises(InputError, match="--size medium: the sizes are tiny"):
        wenmo.pretrain(corpus, model="bert", size="medium", out=tmp_path / "run")
    with pytest.raises(InputError, match="not pre-trained on raw text"):
        wenmo.pretrain(corpus, model="textcnn", out=tmp_path / "run")
    with pytest.raises(InputError, match="no model is named"):
        wenmo.pretrain(corpus, out=tmp_path / "run")


def test_two_processes_are_one_run(corpus: Path, tmp_path: Path) -> None:
    still = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0", "training.log_steps=1"]
    given = [*TINY, *SMALL_STACK, *still, "training.max_steps=8", "training.accumulation_steps=2"]
    wenmo.pretrain(corpus, model="bert", out=tmp_path / "one", overrides=given)
    options = [part for override in [*given, "training.sharding=full"] for part in ("-o", override)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "wenmo"),
            *("pretrain", corpus, "--model", "bert", "--out", tmp_path / "two", "--json", *options),
        ],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 8
    for alone, shared in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert (alone["step"], alone["task"]) == (shared["step"], shared["task"])
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-4)
        assert shared.get("dev_loss") == pytest.approx(alone.get("dev_loss"), abs=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-4)


class KilledAt(Silent):
    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("killed")


def test_a_corpus_that_changed_is_no_corpus_to_go_on_with(tmp_path: Path) -> None:
    text = write_corpus(tmp_path / "text.txt")
    with pytest.raises(RuntimeError, match="killed"):
        pretrain(text, "lstm", tmp_path / "run", observers=[KilledAt(5)])
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint is not None and checkpoint.state.step == 4
    with text.open("a") as file:
        file.write("\none more document. it has two sentences.\n")
    with pytest.raises(InputError, match="holds a corpus with"):
        pretrain(text, "lstm", tmp_path / "run", resume=True)


def test_states_that_are_carried_go_on_behind_a_stop(corpus: Path, tmp_path: Path) -> None:
    whole, stopped, alone = (tmp_path / name for name in ("whole", "stopped", "alone"))
    carried = ["objectives.streams=4", "model.hidden_dropout_prob=0"]
    pretrain(corpus, "elmo", whole, *carried)
    with pytest.raises(RuntimeError, match="killed"):
        pretrain(corpus, "elmo", stopped, *carried, observers=[KilledAt(5)])
    checkpoint = load_checkpoint(stopped)
    assert checkpoint is not None and checkpoint.model["carried.hidden"].abs().sum() > 0
    pretrain(corpus, "elmo", stopped, *carried, resume=True)
    vectors = [wenmo.load(folder).embed(["a word w7"]) for folder in (whole, stopped)]
    assert (vectors[0] == vectors[1]).all()
    with pytest.raises(InputError, match=r"objectives\.streams=128"):
        pretrain(corpus, "elmo", alone, "model.stateful=true")


KILLS = """
import os, random, signal, sys, threading
import pandas, pyarrow, torch._dynamo
from pathlib import Path
import wenmo
from wenmo.training.progress import Silent

class Kill(Silent):
    def __init__(self, steps, delay):
        self.left, self.delay = steps, delay
    def stepped(self, step, loss):
        self.left -= 1
        if self.left == 0:
            threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

def run(out, observers):
    wenmo.pretrain(corpus, model="bert", size="tiny", out=out, overrides=overrides, resume=True, observers=observers)

wenmo.pretrain, pandas, pyarrow, torch._dynamo  # whatever is imported once is imported for all children
corpus, parent, *overrides = sys.argv[1:]
parent, rng, ends = Path(parent), random.Random(int(os.environ["SEED"])), []
for out, kills in ((parent / "whole", 0), (parent / "killed", 10)):
    for kill in range(kills + 1):
        observers = [Kill(rng.randrange(1, 4), rng.random() * 0.01)] if kill < kills else []
        child = os.fork()
        if child == 0:
            run(out, observers)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ends)
"""


def test_ten_kills_change_no_bit(corpus: Path, tmp_path: Path) -> None:
    given = [*TINY, *SMALL_STACK, "training.max_steps=70", "training.average_decay=0.9", "training.save_steps=1"]
    seed = random.randrange(1 << 30)
    done = subprocess.run(
        [sys.executable, "-c", KILLS, corpus, tmp_path, *given],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "SEED": str(seed), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert ends == [0, *[-signal.SIGKILL] * 10, 0], (seed, ends, done.stderr)
    digests = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert digests[0] == digests[1], seed
    logs = [[{**line, "seconds": 0} for line in log_of(tmp_path / name)] for name in ("whole", "killed")]
    assert logs[0] == logs[1], seed
