"""What is odd about tagged sentences: sequences that break their scheme, and which types stand where."""

from collections.abc import Sequence
from dataclasses import replace

from wenmo.data.check import NUM_EXAMPLES, Finding
from wenmo.data.conll import place_of
from wenmo.data.rows import Row, RowSet
from wenmo.data.tag_schemes import OUTSIDE, SchemeName, infer_scheme, split_tag, violations


def labelled_by_types(read: RowSet) -> RowSet:
    """The sentences with the types that stand in them as their labels, so that they can be counted like any others."""
    scheme = infer_scheme([row.tags or () for row in read.rows])
    rows = [replace(row, label=_types(row.tags or (), scheme)) for row in read.rows]
    return replace(read, rows=rows)


def broken_sentences(name: str, rows: Sequence[Row], scheme: SchemeName) -> list[Finding]:
    """The sentences of a part that break the scheme of the training part, each with its line."""
    broken = [(row, found[0]) for row in rows if (found := violations(row.tags or (), scheme))]
    if not broken:
        return []
    message = (
        f"{name}: {len(broken):,} of {len(rows):,} sentences break the scheme {scheme}; correct them, or train and "
        "evaluate with --repair"
    )
    examples = tuple(f"{place_of(row, first.place)}: {first.message}" for row, first in broken[:NUM_EXAMPLES])
    return [Finding("scheme", "warning", message, len(broken), examples)]


def _types(tags: Sequence[str], scheme: SchemeName) -> tuple[str, ...]:
    kinds = (tag if scheme == "none" else split_tag(tag)[1] for tag in tags if tag != OUTSIDE)
    return tuple(dict.fromkeys(kind for kind in kinds if kind))
