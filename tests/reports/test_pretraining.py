"""The page of a pre-training: a curve for each objective, its table, no script."""

from wenmo.reports.pretraining import pretraining_page

RECIPE = {
    "model": {"model_type": "ernie"},
    "schedule": {"knowledge_masking": [20, 10], "sentence_distance": [0, 20]},
    "corpus": {"folder": ""},
}
METRICS = {
    "parameters": 1234, "steps": 40, "seconds": 3.0, "best_step": 30, "notes": ["<b>left out</b>"],
    "dev": {"knowledge_masking_cross_entropy": {"value": 5.0, "low": 4.5, "high": 5.5}},
}  # fmt: skip


def records() -> list[dict[str, object]]:
    lines = []
    for step in range(5, 41, 5):
        dev = {"dev_loss": 6.0 - step / 20} if step % 10 == 0 else {}
        lines.append({"step": step, "task": "knowledge_masking", "loss": 6.5 - step / 20, **dev})
        if step > 20:
            lines.append({"step": step, "task": "sentence_distance", "loss": 1.1 - step / 100, **dev})
    return lines


def test_every_objective_has_its_curve_and_its_row() -> None:
    page = pretraining_page(records(), METRICS, RECIPE, None, "run")
    assert page.count("<figure") == 2 and page.count("<polyline") == 4
    assert "held-out loss 4.000 behind update 40" in page
    for cells in ('<td class="number">20</td><td class="number">10</td>', "stage 2", "Sentence distance"):
        assert cells in page
    assert "<script" not in page and "<b>left out" not in page and "&lt;b&gt;left out" in page
    assert page.count('class="level"') == 2, "a line between the stages in each panel"


def test_a_run_with_one_line_has_no_curve() -> None:
    page = pretraining_page(records()[:1], METRICS, RECIPE, None, "run")
    assert "<figure" not in page and "What was learnt when" in page
