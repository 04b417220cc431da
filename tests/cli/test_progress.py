"""What is shown while a model is trained."""

import contextlib
import io

import pytest
from rich.console import Console

from wenmo.cli import output, progress


def run_of(observer, steps=4, resumed_at=0):
    observer.started(steps, resumed_at)
    for step in range(resumed_at + 1, steps + 1):
        observer.stepped(step, 0.5)
        if step % 2 == 0:
            observer.evaluated(
                {"step": step, "epoch": step / 2, "loss": 0.5, "seconds": 1.5 * step, "dev_macro_f1": 0.8123}
            )
    observer.finished()


def test_the_first_smoothed_loss_is_the_loss_and_a_constant_stays_itself():
    loss = progress.SmoothedLoss()
    loss.add(3.0)
    assert loss.value == pytest.approx(3.0)
    for _ in range(10):
        loss.add(3.0)
    assert loss.value == pytest.approx(3.0)


def test_the_smoothed_loss_forgets():
    loss = progress.SmoothedLoss()
    loss.add(100.0)
    for _ in range(500):
        loss.add(1.0)
    assert loss.value == pytest.approx(1.0, abs=0.01)


def test_a_file_gets_a_line_for_each_look_at_dev(capsys):
    output.messages.cache_clear()
    run_of(progress.training_progress("textcnn"))
    said = capsys.readouterr()
    assert said.out == ""
    first, *looks = said.err.splitlines()
    assert first == "textcnn: at most 4 steps"
    assert len(looks) == 2
    assert looks[0].startswith("textcnn: step 2 of 4, loss 0.500, dev macro F1 81.2 %, 3.0 s, at most ")
    assert looks[1] == "textcnn: step 4 of 4, loss 0.500, dev macro F1 81.2 %, 6.0 s"


def test_a_metric_that_is_no_share_has_no_percent_sign(capsys):
    output.messages.cache_clear()
    lines = progress.training_progress("gpt2")
    lines.started(4, 0)
    lines.evaluated({"step": 4, "epoch": 1, "loss": 2.7, "seconds": 3.0, "dev_cross_entropy": 2.61894})
    assert capsys.readouterr().err.splitlines()[1] == "gpt2: step 4 of 4, loss 2.700, dev cross entropy 2.619, 3.0 s"


def test_a_resumed_run_says_where_it_goes_on(capsys):
    output.messages.cache_clear()
    run_of(progress.Lines("textcnn"), resumed_at=2)
    assert "going on behind step 2" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_that_vanishes(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_FRAMES", 0.0)
    with progress.training_progress("textcnn") as bar:
        assert "preparing" in terminal.file.getvalue()
        run_of(bar)
    drawn = terminal.file.getvalue()
    for part in ("textcnn", "4/4", "loss 0.500", "dev macro F1 81.2 %"):
        assert part in drawn
    assert drawn.endswith("\x1b[2K")  # the line is cleared at the end


def test_a_bar_gives_the_terminal_back_when_the_training_fails(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    with contextlib.suppress(ValueError), progress.training_progress("textcnn") as bar:
        bar.started(10, 0)
        raise ValueError
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert terminal.file.getvalue().count(hide) == terminal.file.getvalue().count(show) == 1
