"""``wenmo compare`` from the command line."""

import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from wenmo.cli import comparison
from wenmo.cli.comparison import Spectator, comparison_table, print_comparison


@pytest.fixture(scope="module")
def compared(trained, tiny, tmp_path_factory):
    """A small comparison and what it printed: the folder, standard output, standard error."""
    import contextlib
    import io

    from wenmo.cli import main

    out = tmp_path_factory.mktemp("compared") / "cmp"
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        arguments = ["compare", trained.parent / "train.tsv", "--test", trained.parent / "test.tsv", *tiny[2:]]
        code = main([*map(str, arguments), "--models", "textcnn", "--seeds", "2", "--out", str(out)])
    assert code == 0, stderr.getvalue()
    return out, stdout.getvalue(), stderr.getvalue()


def test_the_table_has_every_model_and_the_way_to_the_winner(compared):
    out, stdout, _ = compared
    for name in ("tfidf", "nbsvm", "textcnn"):
        assert name in stdout
    assert f"wenmo predict {out / 'winner'} FILE" in stdout
    assert str(out / "report.html") in stdout
    assert "looked at once" in stdout


def test_linear_models_are_shown_first_and_each_model_when_it_is_done(compared):
    _, _, stderr = compared
    lines = stderr.splitlines()
    done = [line.split()[1] for line in lines if line.startswith("✓")]
    assert done == ["tfidf", "nbsvm", "textcnn"]
    plan = next(i for i, line in enumerate(lines) if line.startswith("plan: textcnn"))
    assert lines.index(next(line for line in lines if line.startswith("✓ nbsvm"))) < plan
    assert any(line.startswith("textcnn, seed 1: step") for line in lines)


def test_the_winner_is_ready_for_predict(compared, wenmo, trained):
    out, _, _ = compared
    answer = wenmo("predict", out / "winner", trained.parent / "test.tsv", "--json")
    assert answer.code == 0
    assert len(answer.stdout.splitlines()) == 40


def test_a_finished_comparison_is_left_alone_and_told_again(compared, wenmo, trained):
    out, stdout, _ = compared
    again = wenmo("compare", trained.parent / "train.tsv", "--models", "textcnn", "--out", out)
    assert (again.code, again.stdout) == (2, "")
    told = wenmo("compare", trained.parent / "train.tsv", "--models", "textcnn", "--out", out, "--resume")
    assert (told.code, told.stdout) == (0, stdout)


def test_the_json_has_what_others_build_on(compared, wenmo, trained):
    out, _, _ = compared
    call = ["compare", trained.parent / "train.tsv", "--models", "textcnn", "--out", out, "--resume", "--json"]
    result = json.loads(wenmo(*call).stdout)
    assert set(result["winners"]) == {"accurate", "fast", "small"}
    assert result["report"] == str(out / "report.html")
    assert (result["settings"]["metric"], result["settings"]["lower_is_better"]) == ("accuracy", False)
    wanted = "model folder metric value low high parameters bytes train_seconds latency_ms_p50 latency_ms_p95"
    for row in result["rows"]:
        assert set([*wanted.split(), "texts_per_second", "pareto"]) <= set(row)
        assert (out / row["folder"] / "config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "soon"], "--budget"),
        (["--max-size", "small"], "--max-size"),
        (["--models", "textcn"], "textcnn"),
        (["--seeds", "0"], "--seeds"),
        (["--folds", "1"], "--folds"),
    ],
)
def test_a_wrong_wish_is_a_wrong_call(wenmo, train_file, tmp_path, arguments, said):
    answer = wenmo("compare", train_file, *arguments, "--out", tmp_path / "out")
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert not (tmp_path / "out").exists()


def row(model, value, **others):
    known = {
        **{"model": model, "folder": f"models/{model}", "metric": "macro_f1", "value": value},
        **{"low": value - 0.014, "high": value + 0.013, "spread": 0.0043, "paired_p": 0.0003, "tied_with_best": False},
        **{"parameters": 6_340_123, "bytes": 25_400_123, "train_seconds": 252.0, "latency_ms_p50": 0.0512},
        **{"latency_ms_p95": 12.34, "texts_per_second": 123_456.0, "pareto": True, "is_linear": True, "failed": None},
    }
    return {**known, **others}


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_fits_the_terminal_and_leaves_nothing_out(width):
    rows = [
        row("transformer", 0.923, paired_p=None, tied_with_best=True),
        row("文本卷积", 0.919, paired_p=0.21, tied_with_best=True, spread=None),
        row("bag", 0.5, failed="the loss is nan") | {"value": None, "low": None, "high": None, "spread": None},
    ]
    result = {"rows": rows, "winners": {"accurate": "transformer"}, "settings": {"metric": "macro_f1", "folds": 10}}
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(comparison_table(result, width=width))
    lines = captured.get().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    for shown in ("92.3 90.9–93.6", "文本卷积", "failed", "0.21", "macro F1"):
        assert any(shown in line for line in lines)
    assert any(("winner" if width >= 110 else "★") in line for line in lines)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("metric", "value", "heading", "figure", "legend"),
    [
        ("cross_entropy", 2.619, "cross entropy", "2.619 2.605–2.632", "cross entropy: nats a token, lower is better"),
        ("bleu", 34.1, "BLEU", "34.1 34.1–34.1", None),
    ],
)
def test_the_table_of_another_metric_has_its_figures_and_unit(width, metric, value, heading, figure, legend):
    rows = [row("gpt2", value, metric=metric, paired_p=None, tied_with_best=True, is_linear=False)]
    result = {"rows": rows, "winners": {"accurate": "gpt2"}, "settings": {"metric": metric, "folds": None}}
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(comparison_table(result, width=width))
    shown = captured.get()
    assert max(map(cell_len, shown.splitlines())) <= width and "…" not in shown
    assert heading in shown and figure in shown and "%" not in shown.replace("95 % interval", "")
    assert (legend or "") in " ".join(shown.split()) and ("lower is better" in shown) == bool(legend)


def test_models_as_they_are_done_and_the_command_follow_the_task(monkeypatch, tmp_path):
    console = Console(width=120, color_system=None)
    monkeypatch.setattr(comparison, "messages", lambda: console)
    with console.capture() as captured:
        Spectator().row(row("gpt2", 2.619, metric="cross_entropy"))
    assert "gpt2        cross entropy 2.619 (2.605–2.632)  trained in" in captured.get()
    found = {
        "rows": [row("gpt2", 2.619, metric="cross_entropy")],
        "winners": {"accurate": "gpt2"},
        "settings": {"metric": "cross_entropy", "folds": None},
        "sentences": [],
        "data": {"task": "generate"},
    }
    monkeypatch.setattr(comparison, "results", lambda: console)
    monkeypatch.setattr("wenmo.cli.summaries.results", lambda: console)
    with console.capture() as captured:
        print_comparison(found, winner=tmp_path / "winner", report=tmp_path / "report.html")
    assert f'wenmo generate {tmp_path / "winner"} "..."' in "".join(captured.get().splitlines())
