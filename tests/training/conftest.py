"""A small data set that can be learnt, and settings that train on it in a second."""

import random
from pathlib import Path

import pytest

from wenmo.training.recipe import Recipe

GOOD, BAD = ["fine", "great", "lovely", "superb"], ["bad", "poor", "awful", "dull"]
PLAIN = ["the", "film", "was", "and", "plot", "with", "cast", "a", "story", "acting"]


def make_rows(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of plain words with one that decides."""
    rng = random.Random(seed)
    rows = []
    for i in range(number):
        label = ("good", "bad")[i % 2]
        words = [rng.choice(PLAIN) for _ in range(rng.randint(2, 9))] + [rng.choice(GOOD if label == "good" else BAD)]
        rng.shuffle(words)
        rows.append((label, " ".join([*words, f"n{i}"])))  # no two texts are equal
    return rows


def write_tsv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """A file with header ``label``, ``text``."""
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """300 labelled texts."""
    return write_tsv(tmp_path / "reviews.tsv", make_rows(300))


SMALL = [
    "model.embedding_size=8",
    "model.num_filters=6",
    "training.max_epochs=4",
    "training.batch_size=20",
    "training.learning_rate=0.02",
    "training.patience=0",
    "task.dropout_prob=0.3",
]


@pytest.fixture
def small_recipe(reviews: Path) -> Recipe:
    """A small TextCNN on these texts."""
    return Recipe.build(model="textcnn", values={"data": {"train": str(reviews)}}, overrides=SMALL)
