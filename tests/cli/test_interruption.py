"""Runs that are stopped, killed, doubled, or out of disk, each in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals of these tests are those of POSIX")

LONG = ["-o", "training.max_epochs=60", "-o", "training.patience=0", "-o", "training.save_steps=20"]
ENDLESS = [*LONG, "-o", "training.max_epochs=1000000"]
# What a run computes may depend on the number of threads, so all of these runs get the same.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "wenmo", *map(str, arguments)]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def finish(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT, check=False)


def wait_for_line(process: subprocess.Popen[str], pattern: str) -> None:
    """Read standard error up to a line."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(pattern, line):
            return
    pytest.fail(f"the process ended before it said {pattern!r}")


def wait_until(something_is_there, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not something_is_there():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope="module")
def uninterrupted(trained, tiny, tmp_path_factory):
    """The model of the long run that nobody stopped, and the log of it."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "model"
    done = finish("train", trained.parent / "train.tsv", *tiny, *LONG, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_ctrl_c_saves_says_how_to_go_on_and_resume_gives_the_same_weights(uninterrupted, trained, tiny, tmp_path):
    call = ["train", trained.parent / "train.tsv", *tiny, *LONG, "--out", tmp_path / "model"]
    running = start(*call)
    wait_for_line(running, r"step \d+ of")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert re.search(r"error: stopped at step \d+; .*--resume", err)
    assert "Traceback" not in err
    assert not (tmp_path / "model" / "config.json").exists()
    again = finish(*call)
    assert again.returncode == 2
    assert "an unfinished run stands there; go on with --resume" in again.stderr
    resumed = finish(*call, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"going on behind step \d+", resumed.stderr)
    assert same_weights(tmp_path / "model", uninterrupted)
    assert not (tmp_path / "model" / "checkpoints").exists()


def test_a_killed_run_resumes_to_the_same_weights_and_the_same_log(uninterrupted, trained, tiny, tmp_path):
    call = ["train", trained.parent / "train.tsv", *tiny, *LONG, "--out", tmp_path / "model"]
    for _ in range(2):  # killed once while it runs, and once more while it is resumed
        running = start(*call, "--resume")
        had = set((tmp_path / "model" / "checkpoints").glob("step-*"))
        wait_until(lambda had=had: set((tmp_path / "model" / "checkpoints").glob("step-*[0-9]")) - had)
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL
    resumed = finish(*call, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert same_weights(tmp_path / "model", uninterrupted)

    def without_times(folder: Path) -> list[str]:
        lines = (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()
        return [re.sub(r'"seconds": [\d.]+', "", line) for line in lines]

    assert without_times(tmp_path / "model") == without_times(uninterrupted)


def test_two_runs_do_not_share_a_folder_and_the_first_goes_on(trained, tiny, tmp_path):
    call = ["train", trained.parent / "train.tsv", *tiny, *ENDLESS, "--out", tmp_path / "model"]
    first = start(*call)
    wait_for_line(first, r"step \d+ of")
    second = finish(*call)
    assert second.returncode == 2
    assert "another run works in this folder" in second.stderr
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err


def test_resume_with_other_settings_says_which_field_differs(trained, tiny, tmp_path):
    call = ["train", trained.parent / "train.tsv", *tiny, *ENDLESS, "--out", tmp_path / "model"]
    running = start(*call)
    wait_for_line(running, r"step \d+ of")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    other = finish(*call, "--resume", "-o", "training.learning_rate=0.5")
    assert other.returncode == 2
    assert "--resume would change training.learning_rate from 0.02 to 0.5" in other.stderr


SMALL_DISK = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # files cannot grow over this many bytes
sys.argv[0] = "wenmo"
runpy.run_module("wenmo", run_name="__main__")
"""


@pytest.mark.parametrize("save_steps", [0, 5], ids=["the model", "a checkpoint"])
def test_a_full_disk_while_saving_is_an_error_and_nothing_half_written_stays(trained, tiny, tmp_path, save_steps):
    call = ["train", str(trained.parent / "train.tsv"), *tiny, "--out", str(tmp_path / "model")]
    call += ["-o", f"training.save_steps={save_steps}", "-o", "model.embedding_size=64"]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, "8000", *call], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: .*could not (be saved|save).*free some space", done.stderr, flags=re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model" / "config.json").exists()
    assert not list((tmp_path / "model").rglob("*.tmp"))
    resumed = finish(*call, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_a_full_disk_while_answering_leaves_the_old_result_alone(trained, tmp_path, verb):
    texts = tmp_path / "texts.txt"
    texts.write_text("a lovely film\n" * 5000, encoding="utf-8")
    out = tmp_path / ("answers.jsonl" if verb == "predict" else "vectors.npy")
    out.write_text("what was there before", encoding="utf-8")
    call = [verb, str(trained), str(texts), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, "20000", *call], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text(encoding="utf-8") == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, texts.name])


def test_ctrl_c_while_answering_leaves_no_half_file(trained, tmp_path):
    running = subprocess.Popen(
        command("predict", trained, "-", "--out", tmp_path / "answers.jsonl"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert running.stdin is not None
    running.stdin.write("a lovely film\n" * 20_000)
    running.stdin.flush()
    wait_until(lambda: list(tmp_path.glob("answers.jsonl.*")))
    for _ in range(3):  # Python loses a signal that comes while it forgets an object; a person presses again
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(timeout=20)
            break
    assert running.stderr is not None
    assert running.returncode == 130
    assert "Traceback" not in running.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_comparison_goes_on_with_resume(trained, tiny, tmp_path):
    out = tmp_path / "cmp"
    call = ["compare", trained.parent / "train.tsv", *tiny[2:], *LONG, "--models", "textcnn", "--out", out]
    running = start(*call)
    wait_for_line(running, r"textcnn: step \d+ of")
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert (running.returncode, stdout) == (130, "")
    assert "--resume" in stderr
    before = (out / "models" / "tfidf" / "model.safetensors").stat().st_mtime_ns
    resumed = finish(*call, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"textcnn: .*going on behind step \d+", resumed.stderr)
    assert (out / "models" / "tfidf" / "model.safetensors").stat().st_mtime_ns == before
    assert (out / "winner" / "config.json").exists()
    assert (out / "report.html").exists()
