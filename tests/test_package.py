"""What a person gets before doing anything: an import that costs nothing, a command that answers, names that exist."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import wenmo

VERBS = ["train", "calibrate", "evaluate", "predict", "embed", "compare", "check", "import", "export", "models"]

# Together they take seconds to import; `--help` has to answer at once.
SLOW_TO_IMPORT = {
    "datasets",
    "jieba",
    "numpy",
    "opencc",
    "openpyxl",
    "pandas",
    "pyarrow",
    "pydantic",
    "rjieba",
    "safetensors",
    "scipy",
    "sklearn",
    "snownlp",
    "tensorboard",
    "tokenizers",
    "torch",
    "zstandard",
}


def answer_of(program: str, *arguments: str) -> object:
    """Run a Python program in a fresh interpreter and read the JSON in the last line it prints."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_wenmo_imports_nothing_but_the_standard_library():
    program = """
import json, sys
before = set(sys.modules)
import wenmo
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    imported = answer_of(program)
    others = [name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names]
    assert others == ["wenmo"]


def test_importing_wenmo_opens_no_file_but_the_code_itself():
    program = """
import json, sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
import wenmo
print(json.dumps(opened))
"""
    opened = answer_of(program)
    assert any("wenmo" in name for name in opened), "the hook saw nothing, so it proves nothing"
    assert [name for name in opened if ".py" not in Path(name).name] == []


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_imports_nothing_slow(arguments):
    program = """
import json, runpy, sys
try:
    runpy.run_module("wenmo", run_name="__main__", alter_sys=True)
except SystemExit as exit:
    code = exit.code or 0
print(json.dumps({"code": code, "imported": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
    answer = answer_of(program, *arguments)
    assert answer["code"] == 0
    # Typer reads the options of a verb with pydantic; the list of the verbs has to do without.
    allowed = {"pydantic"} if arguments != ["--help"] else set()
    assert SLOW_TO_IMPORT.intersection(answer["imported"]) - allowed == set()


def test_the_help_names_every_verb(run_wenmo):
    answer = run_wenmo("--help")
    assert (answer.code, answer.stderr) == (0, "")
    assert [verb for verb in VERBS if verb not in answer.stdout] == []


def test_an_unknown_verb_is_a_wrong_call_without_a_traceback(run_wenmo):
    answer = run_wenmo("divine")
    assert answer.code == 2
    assert "divine" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", sorted(wenmo._ROOMS))
def test_every_public_name_is_found_in_its_room_and_listed(name):
    assert callable(getattr(wenmo, name))
    assert name in dir(wenmo)


def test_type_checkers_and_python_find_the_same_public_names():
    tree = ast.parse(Path(wenmo.__file__).read_text(encoding="utf-8"))
    (for_type_checkers,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in for_type_checkers.body for alias in node.names}
    assert seen == wenmo._ROOMS


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'trian'; it has .*train"):
        wenmo.trian  # noqa: B018


def test_the_version_is_the_installed_one():
    assert wenmo.__version__ == importlib.metadata.version("wenmo")
