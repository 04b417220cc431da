"""What the tests of the command share: small reviews, settings that train in a second, and the command in-process."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from wenmo.cli import main

# A TextCNN that is small enough for a test, and large enough to learn the reviews below.
TINY = [
    *("-o", "model.embedding_size=8", "-o", "model.num_filters=6", "-o", "model.kernel_sizes=[2, 3]"),
    *("-o", "training.max_epochs=6", "-o", "training.batch_size=8", "-o", "training.learning_rate=0.02"),
    *("-o", "task.dropout_prob=0.1"),  # half of so few numbers would be luck
]

_WORDS = {
    "pos": ["lovely", "great", "delightful", "superb", "charming"],
    "neg": ["awful", "dreadful", "boring", "poor", "clumsy"],
}
_FILLING = ["the", "film", "story", "plot", "actors", "music", "scene", "this", "was", "an", "evening", "with"]


def reviews(num_rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Labels with different texts that give them away."""
    generator = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < num_rows:
        label = ("pos", "neg")[len(rows) % 2]
        words = generator.choices(_FILLING, k=6) + generator.choices(_WORDS[label], k=2)
        generator.shuffle(words)
        rows.setdefault(" ".join(words), label)
    return [(label, text) for text, label in rows.items()]


def write_tsv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """A file as people have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return path


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


Wenmo = Callable[..., Answer]


@pytest.fixture
def wenmo(capsys: pytest.CaptureFixture[str]) -> Wenmo:
    """``wenmo ARGUMENTS...`` inside this process, which saves the time of importing torch for each call."""

    def run(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of a small and quick TextCNN."""
    return ["--model", "textcnn", *TINY]


@pytest.fixture
def train_file(tmp_path: Path) -> Path:
    """120 reviews in two labels."""
    return write_tsv(tmp_path / "train.tsv", reviews(120))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows good from bad, with the files it was trained and tested on beside it. Do not change it."""
    folder = tmp_path_factory.mktemp("trained")
    train = write_tsv(folder / "train.tsv", reviews(120))
    test = write_tsv(folder / "test.tsv", reviews(40, seed=1))
    arguments = ["train", train, "--test", test, "--out", folder / "model", "--model", "textcnn", *TINY]
    assert main([str(argument) for argument in arguments]) == 0
    return folder / "model"
