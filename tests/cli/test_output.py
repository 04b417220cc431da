"""How things are said."""

import json

import pytest

from wenmo.cli.failures import explain
from wenmo.cli.output import print_json, visible
from wenmo.errors import InputError, JobError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("房间 很好 👨‍👩‍👧", "房间 很好 👨‍👩‍👧"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("bell\x07", r"bell\x07"),
        ("half \ud83d", r"half \ud83d"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
    ],
)
def test_a_text_cannot_command_the_terminal(text, shown):
    assert visible(text) == shown


def test_json_has_null_where_a_figure_is_not_a_number(capsys):
    print_json({"p": float("nan"), "rows": [1, float("inf"), {"text": "好"}], "pair": (1, 2)})
    written = capsys.readouterr().out
    assert json.loads(written) == {"p": None, "rows": [1, None, {"text": "好"}], "pair": [1, 2]}
    assert written.count("\n") == 1
    assert "好" in written


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("a.tsv:3: what and why"), 2, "a.tsv:3: what and why"),
        (JobError("the disk"), 1, "the disk"),
        (KeyboardInterrupt("stopped at step 3; go on with --resume"), 130, "stopped at step 3; go on with --resume"),
        (OSError(28, "No space left on device", "out/x"), 1, "out/x: No space left on device"),
        (MemoryError(), 1, "memory"),
        (ValueError("odd"), 1, "ValueError: odd"),
    ],
)
def test_every_failure_has_its_exit_code_and_its_words(error, code, said):
    answer = explain(error)
    assert answer[0] == code
    assert said in answer[1]
