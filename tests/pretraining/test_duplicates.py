"""What came before is found exactly, in little memory."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wenmo.pretraining.documents import Document
from wenmo.pretraining.duplicates import Duplicates, HashSet, text_hash
from wenmo.pretraining.settings import CorpusSettings


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(2, 40), max_size=80))
def test_it_knows_what_a_set_knows(values: list[int]):
    ours, theirs = HashSet(), set()
    for value in values:
        value = value or 1
        assert ours.add(value) == (value not in theirs)
        theirs.add(value)
    assert len(ours) == len(theirs)


def test_it_grows_and_stays_small():
    values = HashSet()
    collisions = [value * 2**32 for value in range(1, 200)]  # all want the place 0
    others = [text_hash(str(value)) for value in range(9_801)]
    assert all(map(values.add, collisions + others))
    assert not any(map(values.add, collisions + others[::97]))
    assert len(values) == 10_000
    assert values._slots.itemsize * len(values._slots) / len(values) <= 27


def without(duplicates: Duplicates, document: Document, counts: Counter[str]) -> Document | None:
    return duplicates.without(document, text_hash(document.text), counts)


def test_documents_and_long_lines_that_came_before_are_left_out_and_counted():
    long = "这一行很长" * 20
    counts: Counter[str] = Counter()
    new = Duplicates(CorpusSettings())
    assert without(new, Document(("一", long)), counts) == Document(("一", long))
    assert without(new, Document(("一", long)), counts) is None
    assert without(new, Document(("一", "二", long)), counts) == Document(("一", "二"))
    assert without(new, Document((long,)), counts) is None
    assert without(new, Document((long,), "dialogue", (0,)), counts) is None  # the same text as the document before
    marked = Document(("三", long), units=((), ()))
    assert without(new, marked, counts) == marked
    assert counts == {"documents that came before": 2, "long lines that came before": 2}


def test_nothing_is_left_out_when_nobody_asks():
    keep = Duplicates(CorpusSettings(drop_duplicates=False, long_line=0))
    counts: Counter[str] = Counter()
    assert [without(keep, Document(("a" * 200,)), counts) for _ in range(2)] == [Document(("a" * 200,))] * 2
    assert not counts
