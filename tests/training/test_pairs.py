"""Training on pairs and on labels in a tree: bit for bit, from real data, and what the linear baselines see."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wenmo.data.long_texts import LongTexts
from wenmo.data.parts import check
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import load_folder, weights_digest
from wenmo.models.linear import Linear, LinearConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig
from wenmo.training.corpus import encode
from wenmo.training.linear import fit_linear
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.run import run, train

SMALL = [
    *("model.embedding_size=8", "model.num_filters=6", "training.max_epochs=3", "training.batch_tokens=200"),
    *("training.save_steps=4", "training.patience=0"),
]

WORDS_ALONE = ["data.tokenizer.character_ngrams=[0,0]"]
"""A third of the n-grams, and of the time."""


class KillAt(Silent):
    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("killed")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["label\ttext_a\ttext_b\n"]
    for i in range(150):
        words = [" ".join(rng.choice(["a", "b", "c", "d"], rng.integers(1, 9))) for _ in range(2)]
        lines.append(f"{i % 2}\t{words[0]} n{i}\t{words[1]} m{i}\n")
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("pair", ["siamese", "joined"])
def test_a_killed_run_on_pairs_goes_on_to_the_very_same_weights(pairs: Path, tmp_path: Path, pair: str) -> None:
    values = {"data": {"train": str(pairs), "bucket": 2}, "task": {"pair": pair}}
    recipe = Recipe.build(model="textcnn", values=values, overrides=SMALL)
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[KillAt(9)])
    run(recipe, tmp_path / "killed", resume=True)
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_pairs_from_a_file_of_ids_train_as_from_memory(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.build(model="textcnn", values={"data": {"train": str(pairs)}}, overrides=SMALL)
    run(recipe, tmp_path / "memory")
    monkeypatch.setattr("wenmo.training.corpus._CHARACTERS_IN_MEMORY", 0)
    run(recipe, tmp_path / "file")
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("memory", "file")]
    assert weights[0] == weights[1]


def test_the_words_of_both_texts_are_in_the_vocabulary(pairs: Path, tmp_path: Path) -> None:
    recipe = Recipe.build(model="bag", values={"data": {"train": str(pairs), "dev_share": 0.0}}, overrides=SMALL[2:])
    run(recipe, tmp_path / "m")
    assert {"n7", "m7"} <= set(load_folder(tmp_path / "m").tokenizer.vocabulary)


def test_a_pair_is_cut_if_either_text_is(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["a b c"], TokenizerConfig(segmenter="whitespace"))
    task = ClassificationConfig(labels=("x", "y"), pair="siamese")
    rows = [Row("a", "x", "a b c"), Row("a b c", "y", "a"), Row("a", "x", "b")]
    assert task.count_cut(encode(rows, tokenizer, task, LongTexts(3)), LongTexts(3)) == 2


def test_dev_of_another_kind_than_train_is_an_error_with_its_place(pairs: Path, tmp_path: Path) -> None:
    single = tmp_path / "dev.tsv"
    single.write_text("label\ttext\n0\ta b\n1\tc\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"dev\.tsv:2 is a single text, and this model reads pairs"):
        train(pairs, dev=single, model="bag", out=tmp_path / "m")


# ---- the linear comparison -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["logistic", "naive-bayes-svm"])
def test_the_order_of_the_texts_matters_where_dev_says_so(solver: str) -> None:
    config = LinearConfig(vocab_size=8, num_outputs=2, compares=True, solver=solver)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    labels = [[int(i % 2)] for i in range(60)]
    noise = [[int(x) for x in rng.integers(3, 8, 3)] for _ in range(60)]
    columns = {  # the label says which of the two texts has the word 2
        "input_ids": [[2, *n] if label == [0] else n for label, n in zip(labels, noise, strict=True)],
        "input_ids_b": [[2, *n] if label == [1] else n for label, n in zip(labels, reversed(noise), strict=True)],
    }
    store = TokenStore.from_rows(**columns, labels=labels)
    task = _comparing(config)
    fit_linear(task, store, store)
    assert task.extractor_config.comparison == "directed"  # type: ignore[attr-defined]
    answers = task.answer_store(store, torch.device("cpu"))
    assert (answers.argmax(axis=1) == np.ravel(labels)).all()


def test_a_symmetric_comparison_gives_both_orders_one_answer() -> None:
    config = LinearConfig(vocab_size=8, num_outputs=2, compares=True, comparison="symmetric", regularization=3.0)
    rng = np.random.default_rng(0)
    first, second = ([[int(x) for x in rng.integers(2, 8, 4)] for _ in range(40)] for _ in range(2))
    labels = [[int(bool(set(a) & set(b) - {2, 3}))] for a, b in zip(first, second, strict=True)]
    task = _comparing(config)
    fit_linear(task, TokenStore.from_rows(input_ids=first, input_ids_b=second, labels=labels), None)
    there, back = (
        task.answer_store(TokenStore.from_rows(input_ids=a, input_ids_b=b, labels=labels), torch.device("cpu"))
        for a, b in ((first, second), (second, first))
    )
    np.testing.assert_allclose(there, back, rtol=0, atol=1e-6)
    assert np.ptp(there[:, 0]) > 0.1


def _comparing(config: LinearConfig) -> Classification:
    return Classification(Linear(config), config, ClassificationConfig(labels=("a", "b"), pair="siamese"))


# ---- real data -------------------------------------------------------------------------------------------------------


def test_mrpc_by_what_two_sentences_share(data_folder: Path, tmp_path: Path) -> None:
    """The commoner label stands on 66.5 % of test."""
    fixed = [*WORDS_ALONE, "model.regularization=3", "model.comparison=symmetric"]
    folder = data_folder / "mrpc"
    result = train(folder / "train.tsv", test=folder / "test.tsv", model="tfidf", out=tmp_path / "m", overrides=fixed)
    assert result.test["accuracy"]["low"] > 0.70


def test_what_follows_from_what_needs_the_order(data_folder: Path, tmp_path: Path) -> None:
    folder, values = data_folder / "csnli_sample_zh", {}
    for way in ("symmetric", "directed"):
        fixed = [*WORDS_ALONE, "model.regularization=10", f"model.comparison={way}"]
        result = train(folder / "train.tsv", dev=folder / "dev.tsv", model="tfidf", out=tmp_path / way, overrides=fixed)
        values[way] = result.dev["accuracy"]["value"]
    assert values["directed"] > values["symmetric"] + 0.03


def test_afqmc_has_no_pair_twice_and_trains_a_siamese_network(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "afqmc"
    found = {finding.kind for finding in check(folder / "dev.tsv", tokenizer=TokenizerConfig()).findings}
    assert "duplicates" not in found
    lines = (folder / "train.tsv").read_text(encoding="utf-8").splitlines()[:2001]
    part = tmp_path / "part.tsv"
    part.write_text("\n".join([*lines, ""]), encoding="utf-8")
    result = train(part, model="textcnn", out=tmp_path / "m", overrides=[*SMALL[:2], "training.max_epochs=1"])
    assert result.dev["accuracy"]["value"] > 0.6
    assert load_folder(tmp_path / "m").tokenizer.config.segmenter == "characters"


def test_the_fine_questions_of_trec_are_a_tree(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "trec"
    result = train(
        folder / "train.fine.tsv",
        test=folder / "test.fine.tsv",
        model="tfidf",
        out=tmp_path / "m",
        hierarchy_separator=":",
        overrides=[*WORDS_ALONE, "model.regularization=10"],
    )
    test = result.test
    assert test["accuracy_level_2"] == test["accuracy"]
    assert test["accuracy_level_1"]["value"] > 0.85 > test["accuracy"]["value"] > 0.75
    assert test["accuracy"]["value"] < test["hierarchical_f1"]["value"] < test["accuracy_level_1"]["value"]


def test_single_texts_for_a_model_of_pairs_are_refused_in_the_words_of_from(pairs: Path, tmp_path: Path) -> None:
    train(pairs, model="textcnn", out=tmp_path / "model", overrides=[*SMALL, "training.max_steps=1"])
    single = tmp_path / "single.tsv"
    single.write_text("label\ttext\n" + "a\tone n\nb\ttwo n\n" * 10, encoding="utf-8")
    with pytest.raises(InputError, match=r"with --from, texts .* task\.pair=siamese, and here"):
        train(single, start=tmp_path / "model", out=tmp_path / "on", overrides=["data.dev_share=0"])
