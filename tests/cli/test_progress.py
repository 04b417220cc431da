"""What is shown while a model is trained."""

import io

import pytest
from rich.console import Console

from wenmo.cli import output, progress


def run_of(observer, steps=4, resumed_at=0):
    observer.started(steps, resumed_at)
    for step in range(resumed_at + 1, steps + 1):
        observer.stepped(step, 0.5)
        if step % 2 == 0:
            observer.evaluated({"step": step, "epoch": step / 2, "loss": 0.5, "seconds": 1.5 * step, "dev_macro_f1": 0.8123})
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


def test_a_resumed_run_says_where_it_goes_on(capsys):
    output.messages.cache_clear()
    run_of(progress.Lines("textcnn"), resumed_at=2)
    assert "going on behind step 2" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_that_vanishes(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_FRAMES", 0.0)
    run_of(progress.training_progress("textcnn"))
    drawn = terminal.file.getvalue()
    assert "textcnn" in drawn
    assert "4/4" in drawn
    assert "loss 0.500" in drawn
    assert "dev macro F1 81.2 %" in drawn
    assert "\n" not in drawn.replace("\r\n", "").rstrip("\n") or drawn.count("\n") <= 2
