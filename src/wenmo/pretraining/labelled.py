"""Corpora whose words or entities are marked already: CoNLL files, and the People's Daily.

Of a CoNLL file, spans are entities of their type, or phrases where the types are those of chunks, as in CoNLL-2000 (NP,
VP ...); the whole file is running text. Of plain tags, a part of speech for each word, and of the People's Daily, where
a paragraph is a document, follow words, phrases and names as `wenmo.text.parts_of_speech` has them.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from wenmo.data.conll import is_conll, read_conll
from wenmo.data.encoding import Tell
from wenmo.data.peoples_daily import is_peoples_daily, read_peoples_daily
from wenmo.data.rows import Row
from wenmo.data.tag_schemes import SchemeName, infer_scheme, spans_of
from wenmo.text.parts_of_speech import units_of_words
from wenmo.text.segmentation import locate_words
from wenmo.text.spans import ENTITY, PHRASE, WORD, Unit

Sentences = list[tuple[str, tuple[Unit, ...]]]
"""Of a document, each with its units."""

_CHUNKS = frozenset(("NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"))


def is_labelled(source: str) -> bool:
    """Whether a source says of itself what its words or entities are."""
    return is_peoples_daily(source) or is_conll(source)


def labelled_documents(source: str, encoding: str | None, tell: Tell) -> Iterator[Sentences]:
    """The documents of a source with the units of each sentence.

    Raises:
        InputError: it cannot be read as what it is.
    """
    if is_peoples_daily(source):
        rows = read_peoples_daily(source, tell)
        for _, sentences in groupby(rows, lambda row: row.source):
            yield _document(list(sentences), "BMES", words=True)
        return
    found = read_conll(source, encoding=encoding, require_tags=False)
    for note in found.notes:
        tell(note)
    tags = [row.tags for row in found.rows if row.tags is not None]
    scheme = infer_scheme(tags) if tags else "none"
    yield _document(found.rows, scheme, words=scheme == "none")


def _document(rows: Sequence[Row], scheme: SchemeName, *, words: bool) -> Sentences:
    return [(row.text, _units(row, scheme, words=words)) for row in rows]


def _units(row: Row, scheme: SchemeName, *, words: bool) -> tuple[Unit, ...]:
    """The units of a sentence; of plain tags and parts of speech those that follow from its words."""
    if row.words is None or row.tags is None:
        return ()
    places = locate_words(row.text, row.words)
    found = [(places[span.start][0], places[span.end - 1][1], span.type) for span in spans_of(row.tags, scheme)]
    if words:
        return tuple(units_of_words([Unit(start, end, WORD, kind) for start, end, kind in found]))
    return tuple(Unit(start, end, PHRASE if kind in _CHUNKS else ENTITY, kind) for start, end, kind in found)
