"""The arrows of docs/architecture.md hold: a room imports the rooms below it, never above."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


CHECK = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(sys.argv[1], no_cache=True))
"""


def check_layers(source: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in the folder ``source`` against the contract in pyproject.toml."""
    return subprocess.run(
        [sys.executable, "-c", CHECK, str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
    )


def test_every_import_points_down():
    done = check_layers(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "wrong_import"),
    [
        ("features.py", "from wenmo.text import tokenizers"),
        ("models/textcnn.py", "import wenmo.data.rows"),
        ("errors.py", "import wenmo.features"),
        ("attic.py", "import wenmo.features"),  # a room without a place among the layers
    ],
)
def test_an_import_that_points_up_is_found(tmp_path, room, wrong_import):
    shutil.copytree(ROOT / "src" / "wenmo", tmp_path / "wenmo", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "wenmo" / room).open("a", encoding="utf-8") as file:
        file.write(f"\n{wrong_import}\n")
    done = check_layers(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"wenmo.{Path(room).with_suffix('').as_posix().replace('/', '.')}" in done.stdout


def test_the_contract_is_the_one_on_the_architecture_page():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (drawn,) = re.findall(r"^cli > .*$", page, flags=re.MULTILINE)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    assert contract["layers"] == [*drawn.split(" > "), "errors"]
