"""What rows of a CoNLL file say of their tags and words: which there are, where they stand, how they were cut."""

from collections.abc import Sequence

from wenmo.data.readers import Asked
from wenmo.data.rows import Row
from wenmo.data.tag_schemes import OUTSIDE, SchemeName, split_tag, tags_of_types
from wenmo.errors import InputError
from wenmo.text.segmentation import Span, load_segmenter, locate_words

_SEGMENTERS = ("words", "treebank", "characters", "graphemes")
"""Those that `choose_word_segmenter` tries, of equal ones the first."""
_SENTENCES_TO_CHOOSE_BY = 1000


def words_of(row: Row) -> tuple[str, ...]:
    """The words of a row.

    Raises:
        InputError: it has none.
    """
    if row.words is None:
        raise InputError(f"{row.source}: no words; a tagger learns from a .conll file, a token on each line")
    return row.words


def tag_column(asked: Asked) -> int:
    """Which column of a CoNLL file holds the tags, from 1; 0: the last.

    Raises:
        InputError: it is no number, or something else was asked for.
    """
    for name, value in asked.items():
        if value is not None and name not in ("label_column", "encoding"):
            raise InputError(f"--{name.replace('_', '-')} {value}: a CoNLL file has a token and its tag; leave it out")
    column = asked.get("label_column")
    if column is not None and not column.isdecimal():
        raise InputError(f"--label-column {column}: the columns of a CoNLL file have no names; give its number, from 2")
    return int(column or 0)


def labels_of(sentences: Sequence[Sequence[str]], scheme: SchemeName) -> tuple[str, ...]:
    """The tags that sentences use, sorted; where they write entities, all that the scheme has for their types."""
    tags = {tag for sentence in sentences for tag in sentence}
    if scheme == "none":
        return tuple(sorted(tags))
    return tuple(tags_of_types(sorted({split_tag(tag)[1] for tag in tags - {OUTSIDE}}), scheme))


def choose_word_segmenter(rows: Sequence[Row]) -> str:
    """The segmenter that cuts the text of sentences most like they are cut."""
    sample = rows[:: max(1, len(rows) // _SENTENCES_TO_CHOOSE_BY)]
    wanted: list[set[Span]] = [set(locate_words(row.text, words_of(row))) for row in sample]
    best, most = "", -1.0
    for name in _SEGMENTERS:
        found = [set(load_segmenter(name).spans(row.text)) for row in sample]
        same = sum(len(a & b) for a, b in zip(wanted, found, strict=True))
        share = 2 * same / max(1, sum(map(len, wanted)) + sum(map(len, found)))
        if share > most:
            best, most = name, share
    return best
