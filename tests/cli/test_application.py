"""The command around its verbs: help, version, errors, streams."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wenmo.cli import main
from wenmo.cli.output import print_json

VERBS = ["check", "compare", "train", "evaluate", "predict", "embed", "models"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_knows_debug(wenmo, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    answer = wenmo(verb, "--help")
    assert (answer.code, answer.stderr) == (0, "")
    assert "--debug" in answer.stdout
    assert "--json" in answer.stdout


def test_the_version_stands_alone_on_standard_output(wenmo):
    from wenmo import __version__

    assert wenmo("--version") == (0, f"wenmo {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [["divine"], ["train", "--outt", "x"], ["train", "a.tsv"], ["train", "a.tsv", "--out"], ["predict"]]
)
def test_a_wrong_call_ends_with_2(wenmo, arguments):
    answer = wenmo(*arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_error_is_one_line_without_a_traceback(wenmo, tmp_path):
    answer = wenmo("check", tmp_path / "nowhere.tsv")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert "nowhere.tsv" in answer.stderr


def test_debug_shows_where_an_error_came_from_and_keeps_the_exit_code(wenmo, tmp_path):
    answer = wenmo("check", tmp_path / "nowhere.tsv", "--debug")
    assert answer.code == 2
    assert "Traceback (most recent call last)" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("error: ")


def test_an_error_of_our_own_making_is_no_traceback_either(wenmo, monkeypatch):
    monkeypatch.setattr("wenmo.check", lambda *_, **__: 1 / 0)
    answer = wenmo("check", "a.tsv")
    assert answer.code == 1
    assert "ZeroDivisionError: division by zero" in answer.stderr
    assert "--debug" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_ctrl_c_before_the_work_begins_ends_with_130(wenmo, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("wenmo.check", interrupted)
    answer = wenmo("check", "a.tsv")
    assert (answer.code, answer.stdout) == (130, "")
    assert "Traceback" not in answer.stderr


def test_a_reader_that_has_enough_ends_the_command_quietly(trained, tmp_path):
    texts = tmp_path / "many.txt"
    texts.write_text("a lovely film\n" * 20_000, encoding="utf-8")
    command = subprocess.Popen(
        [sys.executable, "-m", "wenmo", "predict", str(trained), str(texts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None and command.stderr is not None
    first = command.stdout.readline()
    command.stdout.close()  # as `| head -1` does
    said = command.stderr.read().decode()
    assert command.wait() == 0
    assert first.startswith(b"label\t")
    assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_behind_standard_output_is_an_error(trained):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wenmo", "predict", str(trained), str(trained.parent / "test.tsv")],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.startswith("error: ")
    assert "No space left on device" in said
    assert said.count("\n") == 1


def test_chinese_is_printed_where_the_console_speaks_another_encoding(run_wenmo, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text("label\ttext\n好\t房间很干净\n差\t太吵了\n", encoding="utf-8")
    answer = run_wenmo("check", data, environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert answer.code == 0
    assert "好" in answer.stdout


def test_a_name_that_is_no_text_becomes_an_escape_that_json_reads_back(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["--version"]) == 0  # what every call begins with
    print_json({"file": "half \udcff of a name, 好"})
    sys.stdout.flush()
    document = written.getvalue().splitlines()[-1]
    assert "好".encode() in document
    assert json.loads(document) == {"file": "half \udcff of a name, 好"}


def test_what_the_library_logs_is_a_note_on_standard_error(wenmo, trained, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("xyzzy\nlovely film\n", encoding="utf-8")
    answer = wenmo("predict", trained, texts)
    assert answer.code == 0
    assert answer.stderr.startswith("note: 1 of 2 texts")


def test_the_command_is_installed_and_python_m_wenmo_is_the_same(run_wenmo):
    installed = Path(sys.executable).with_name("wenmo.exe" if os.name == "nt" else "wenmo")
    if not installed.exists():
        pytest.skip("wenmo is not installed into this environment")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == run_wenmo("--version")[:2]
