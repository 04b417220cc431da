"""The page of an evaluation: whole, safe, and saying what was found."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from wenmo.reports.evaluation import abstention_sentences, evaluation_page, write_evaluation_report
from wenmo.reports.reliability_chart import reliability_chart
from wenmo.tasks.reliability import calibration_error, reliability

HOSTILE = "<script>alert('好')</script>"


def result(labels: tuple[str, ...] = ("好评", HOSTILE)) -> dict[str, Any]:
    """What `wenmo.evaluate` gives, with every part."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 300)
    happened = rng.uniform(size=300) < confidence
    found: dict[str, Any] = {}
    for binning in ("width", "mass"):
        bins = reliability(confidence, happened, binning=binning)  # type: ignore[arg-type]
        found[binning] = {**calibration_error(bins), "bins": bins}
    interval = {"value": 0.75, "low": 0.7, "high": 0.8}
    metrics = {name: interval for name in ("accuracy", "macro_f1", "micro_f1", "ece", "ece_equal_mass")}
    promise = {
        "risk": 0.1,
        "confidence": 0.95,
        "threshold": 0.8,
        "coverage": 0.4,
        "rows": 99,
        "answered": 40,
        "wrong": 1,
    }
    size = len(labels)
    return {
        "rows": 300,
        "metrics": metrics,
        "labels": list(labels),
        "per_class": {label: {"precision": 0.7, "recall": 0.8, "f1": 0.75, "support": 150} for label in labels},
        "confusion": (np.eye(size, dtype=int) * 9 + 1).tolist(),
        "calibration": {**found, "before": found},
        "thresholds": [],
        "abstention": {
            "promise": promise,
            "answered": 120,
            "wrong": 6,
            "coverage": 0.4,
            "error": {"value": 0.05, "low": 0.02, "high": 0.1},
            "held": True,
            "contradicted": False,
        },
        "against": {
            "model": HOSTILE,
            "metrics": metrics,
            "differences": {name: {"value": 0.0, "p": 0.5} for name in ("accuracy", "macro_f1", "micro_f1")},
            "only_this_right": 3,
            "only_other_right": 4,
        },
        "notes": [f"a note with {HOSTILE}"],
    }


def test_the_page_has_every_part_and_no_text_of_it_is_markup() -> None:
    page = evaluation_page(result(), model=f"runs/{HOSTILE}", data=f"data/{HOSTILE}.tsv")
    assert "<script" not in page.lower()
    for key in ("labels", "confusions", "calibration", "promise", "against"):
        assert f'id="{key}"' in page
    assert "好评" in page and "Before calibration" in page and "After calibration" in page
    assert "The promise held here." in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_what_was_not_asked_for_is_not_there(tmp_path: Path) -> None:
    plain = result() | {"abstention": None, "against": None, "confusion": None, "notes": []}
    plain["calibration"] = plain["calibration"] | {"before": None}
    write_evaluation_report(plain, tmp_path / "deep" / "page.html", model="m", data="d.tsv")
    page = (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    for key in ("confusions", "promise", "against"):
        assert f'id="{key}"' not in page
    assert "Before calibration" not in page and "As the model is" in page
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["page.html"]


def test_a_result_of_metrics_alone_makes_a_page() -> None:
    metrics = {
        "cross_entropy": {"value": 2.61894, "low": 2.6, "high": 2.7},
        "perplexity": {"value": 13.7213, "low": 13.46, "high": 14.88},
    }
    found = {"task": "generate", "rows": 1, "tokens": 12_345, "metrics": metrics, "notes": []}
    page = evaluation_page(found, model="m", data="d.txt")
    for shown in (
        "Cross entropy",
        "2.619<small>\u00a0nats a token</small>",
        "2.600\u20132.700",
        ">13.72</div>",
        "12,345",
    ):
        assert shown in page
    for key in ("labels", "confusions", "calibration", "promise", "against"):
        assert f'id="{key}"' not in page
    assert "decided by" not in page


def test_against_another_model_a_plain_metric_has_its_unit() -> None:
    bleu = {"bleu": {"value": 34.1, "low": 33.0, "high": 35.0}}
    against = {
        "model": "other",
        "metrics": {"bleu": bleu["bleu"] | {"value": 31.2}},
        "differences": {"bleu": {"p": 0.5}},
    }
    against |= {"only_this_right": 1, "only_other_right": 2}
    found = {"rows": 10, "metrics": bleu, "notes": [], "against": against}
    page = evaluation_page(found, model="m", data="d.tsv")
    assert ">34.1</td>" in page and ">31.2</td>" in page and "this model, %" not in page


def test_many_labels_have_their_commonest_mistakes_and_no_matrix() -> None:
    page = evaluation_page(result(tuple(f"标签{i}" for i in range(30))), model="m", data="d.tsv")
    assert 'class="confusion' not in page and "The most frequent mistakes" in page


@pytest.mark.parametrize(
    ("held", "contradicted", "said"),
    [(True, False, "held here"), (False, True, "broken here"), (False, False, "cannot tell that from chance")],
)
def test_a_promise_is_judged_with_its_interval(held: bool, contradicted: bool, said: str) -> None:
    found = result()["abstention"] | {"held": held, "contradicted": contradicted}
    assert said in abstention_sentences(found)[1]
    assert "no text was sure enough" in abstention_sentences(found | {"error": None})[1]


def test_the_diagram_puts_a_bin_where_its_figures_are() -> None:
    bins = reliability([0.6] * 4 + [0.9] * 4, [1, 1, 0, 0, 1, 1, 1, 1], num_bins=10)
    drawing = ElementTree.fromstring(reliability_chart(bins, 400, 300, "name"))
    points = [each for each in drawing.iter("circle") if each.get("class") == "centre"]
    # The axis runs from 50 % (the low end of the first bin) at 44 to 100 % at 390, and from 0 % at 204 to 100 % at 26.
    assert [float(each.get("cx", "")) for each in points] == pytest.approx([44 + 346 * 0.2, 44 + 346 * 0.8], abs=0.01)
    assert [float(each.get("cy", "")) for each in points] == pytest.approx([204 - 178 * 0.5, 26], abs=0.01)
    assert len(list(drawing.iter("rect"))) == 2
