"""Figures against seqeval, against arithmetic, and against what an interval must be."""

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES

from wenmo.data.tag_schemes import SchemeName, tags_of_types
from wenmo.tasks.tagging_metrics import entity_f1, per_type, tagging_metrics, token_accuracy

SEQEVAL = {"BIO": IOB2, "IOB1": IOB1, "BIOES": IOBES, "BILOU": BILOU}
Sentences = list[list[str]]


def random_sentences(scheme: SchemeName, seed: int = 0, rows: int = 60) -> tuple[Sentences, Sentences]:
    """Gold and answers of any tags in any order; a third of the answers are right."""
    rng = np.random.default_rng(seed)
    tags = tags_of_types(["PER", "LOC", "ORG"], scheme)
    gold = [rng.choice(tags, rng.integers(1, 9)).tolist() for _ in range(rows)]
    answers = [each if rng.random() < 0.33 else rng.choice(tags, len(each)).tolist() for each in gold]
    return gold, answers


@pytest.mark.filterwarnings("ignore")  # of sklearn, about types that nobody said
@pytest.mark.parametrize("scheme", SEQEVAL)
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_seqeval_in_its_strict_mode(scheme: SchemeName, seed: int) -> None:
    gold, answers = random_sentences(scheme, seed)
    strictly = {"mode": "strict", "scheme": SEQEVAL[scheme]}
    found = tagging_metrics(gold, answers, scheme, resamples=2)
    assert found["f1"]["value"] == pytest.approx(seqeval.metrics.f1_score(gold, answers, **strictly), abs=1e-12)
    assert found["precision"]["value"] == pytest.approx(
        seqeval.metrics.precision_score(gold, answers, **strictly), abs=1e-12
    )
    assert found["recall"]["value"] == pytest.approx(seqeval.metrics.recall_score(gold, answers, **strictly), abs=1e-12)
    assert found["accuracy"]["value"] == pytest.approx(seqeval.metrics.accuracy_score(gold, answers), abs=1e-12)
    assert entity_f1(gold, answers, scheme) == found["f1"]["value"]
    report = seqeval.metrics.classification_report(gold, answers, output_dict=True, **strictly)
    for kind, scores in per_type(gold, answers, scheme).items():
        for name in ("precision", "recall", "support"):
            assert scores[name] == pytest.approx(report[kind][name], abs=1e-12)
        assert scores["f1"] == pytest.approx(report[kind]["f1-score"], abs=1e-12)


def test_bmes_has_the_figures_of_the_same_entities_in_bioes() -> None:
    gold, answers = random_sentences("BMES")
    other = [[[tag.replace("M-", "I-") for tag in tags] for tags in each] for each in (gold, answers)]
    assert tagging_metrics(gold, answers, "BMES") == tagging_metrics(*other, "BIOES")


def test_figures_worked_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O"], ["B-LOC", "O"]]
    answers = [["B-PER", "O", "O"], ["B-LOC", "B-PER"]]
    found = {name: each["value"] for name, each in tagging_metrics(gold, answers, "BIO").items()}
    # 1 of 3 said is right, 1 of 2 wanted is found; 3 of 5 tokens
    assert found == pytest.approx({"f1": 0.4, "precision": 1 / 3, "recall": 0.5, "accuracy": 0.6})


def test_plain_tags_have_accuracy_alone_and_scores_for_each_tag() -> None:
    gold, answers = [["DT", "NN"], ["NN"]], [["DT", "VB"], ["NN"]]
    assert list(tagging_metrics(gold, answers, "none")) == ["accuracy"]
    assert token_accuracy(gold, answers) == pytest.approx(2 / 3)
    assert per_type(gold, answers, "none")["VB"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert per_type(gold, answers, "none")["NN"]["f1"] == pytest.approx(2 / 3)


def test_the_interval_is_that_of_drawing_sentences() -> None:
    # 100 sentences of one token, 80 right: the share of right ones is binomial, its deviation 0.04.
    gold = [["B-A"]] * 100
    answers = [["B-A"]] * 80 + [["O"]] * 20
    found = tagging_metrics(gold, answers, "BIO")["accuracy"]
    assert found["low"] == pytest.approx(0.8 - 1.96 * 0.04, abs=0.015)
    assert found["high"] == pytest.approx(0.8 + 1.96 * 0.04, abs=0.015)
    assert tagging_metrics(gold, answers, "BIO") == tagging_metrics(gold, answers, "BIO")


def test_without_entities_the_scores_are_zero() -> None:
    found = tagging_metrics([["O", "O"]], [["O", "O"]], "BIO")
    assert found["f1"]["value"] == 0 and found["accuracy"]["value"] == 1


@given(st.integers(0, 1000))
def test_the_interval_holds_the_value(seed: int) -> None:
    gold, answers = random_sentences("BIO", seed, rows=3)
    for each in tagging_metrics(gold, answers, "BIO", resamples=20).values():
        assert 0 <= each["low"] <= each["value"] <= each["high"] <= 1


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="sentence 0 has 2 tokens and 1 predicted"):
        tagging_metrics([["O", "O"]], [["O"]], "BIO")
    with pytest.raises(ValueError, match="1 sentences and 0 answers"):
        tagging_metrics([["O"]], [], "BIO")
