"""Files of phrases: one on each line, or a table with tabs whose first column holds them.

The first line is the names of the columns where its first cell is ``phrase``, ``word`` or another name of that column,
as in ``phrase<TAB>document_frequency``; else it is a phrase already.
"""

from pathlib import Path

from wenmo.data.encoding import Tell, read_lines
from wenmo.data.readers import PACKED
from wenmo.errors import InputError
from wenmo.text.lexica import Lexicon
from wenmo.text.spans import ENTITY

_COLUMN_NAMES = (
    "phrase",
    "word",
    "term",
    "entry",
    "entity",
    "name",
    "text",
    "词",
    "词语",
    "词条",
    "短语",
    "实体",
    "名称",
)


def read_lexicon(path: str | Path, *, level: int = ENTITY, tell: Tell = lambda _: None) -> Lexicon:
    """Read a list of phrases, whose kind is the name of the file without its ending.

    Args:
        path: the file, also packed with gzip or Zstandard.
        level: what its phrases are, such as `wenmo.text.spans.ENTITY`.
        tell: hears how many entries were left out, being of one character or there already, and which came first.

    Raises:
        InputError: the file is not there, or no entry is left.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist, or is no file; a lexicon has a phrase on each line")
    phrases: dict[str, None] = {}
    short: list[str] = []
    repeated: list[str] = []
    for number, line in enumerate(read_lines(path, tell=tell), start=1):
        phrase = line.partition("\t")[0].strip()
        if not phrase or (number == 1 and phrase.casefold() in _COLUMN_NAMES):
            continue
        if len(phrase) == 1:
            short.append(f"{phrase!r} on line {number}")
        elif phrase in phrases:
            repeated.append(f"{phrase!r} on line {number}")
        else:
            phrases[phrase] = None
    for left_out, what in ((short, "have one character"), (repeated, "stand there twice")):
        if left_out:
            tell(f"{path}: {len(left_out):,} entries {what} and were left out, such as {left_out[0]}")
    if not phrases:
        raise InputError(f"{path} holds no phrase of two characters or more; a lexicon has a phrase on each line")
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return Lexicon(name.stem, tuple(phrases), level)
