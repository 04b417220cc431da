"""What a training or an evaluation came to, where the metrics are no shares or are all there is."""

from pathlib import Path

import pytest

from wenmo.cli import output
from wenmo.cli.evaluation import print_evaluation
from wenmo.cli.summaries import how_to_use, print_metrics, print_training
from wenmo.training.run import TrainingResult

FOUND = {
    "cross_entropy": {"value": 2.61894, "low": 2.6, "high": 2.7},
    "perplexity": {"value": 13.7213, "low": 13.46, "high": 14.88},
    "bits_per_character": {"value": 3.77833, "low": 3.75, "high": 3.9},
}


@pytest.fixture(autouse=True)
def fresh_console(monkeypatch):
    """A console that knows this test's standard output, and is wide enough."""
    monkeypatch.setenv("COLUMNS", "100")
    output.results.cache_clear()
    yield
    output.results.cache_clear()


def lines(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_language_model_has_its_units_beside_the_figures_and_wenmo_generate(capsys, tmp_path):
    result = TrainingResult(
        model=tmp_path, task="generate", parameters=1000, steps=10, seconds=2.0, dev=FOUND, test={}, notes=[]
    )
    print_training(result)
    shown = lines(capsys)
    assert shown[0] == "dev (95 % interval)"
    assert "cross entropy 2.619 nats a token (2.600–2.700)" in shown
    assert "perplexity 13.72 (13.46–14.88)" in shown
    assert "bits per character 3.778 (3.750–3.900)" in shown
    assert f'use it wenmo generate {tmp_path} "..."' in shown


def test_among_other_metrics_a_share_has_its_percent_sign(capsys):
    share = {"value": 0.913, "low": 0.9, "high": 0.92}
    print_metrics({"dev": {"bleu": {"value": 34.12, "low": 33.0, "high": 35.0}, "exact_match": share}})
    shown = lines(capsys)
    assert "BLEU 34.1 (33.0–35.0)" in shown and "exact match 91.3 % (90.0–92.0)" in shown
    print_metrics({"dev": {"exact_match": share}})
    shown = lines(capsys)
    assert shown[0].startswith("in %") and "exact match 91.3 (90.0–92.0)" in shown


def test_an_evaluation_of_metrics_alone_is_printed(capsys):
    print_evaluation({"task": "generate", "rows": 1, "tokens": 12_345, "metrics": FOUND, "notes": ["one note"]})
    said = capsys.readouterr()
    shown = [" ".join(line.split()) for line in said.out.splitlines()]
    assert shown[0] == "1 text, 12,345 tokens (95 % interval)"
    assert shown[2:] == [
        "cross entropy 2.619 nats a token (2.600–2.700)",
        "perplexity 13.72 (13.46–14.88)",
        "bits per character 3.778 (3.750–3.900)",
    ]
    print_evaluation({"task": "translate", "rows": 1000, "metrics": {"bleu": FOUND["perplexity"]}, "notes": []})
    assert lines(capsys)[0] == "1,000 texts (95 % interval)"


@pytest.mark.parametrize("task", ["classify", "tag", "translate"])
def test_other_tasks_are_used_by_predict(task):
    assert how_to_use(task, Path("out")) == "wenmo predict out FILE"
