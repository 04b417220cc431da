"""Schemes by hand, both ways, and against seqeval, whose strict mode decides what an entity is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval import scheme as seqeval_scheme

from wenmo.data.tag_schemes import (
    SCHEMES,
    SchemeName,
    Span,
    constraints_of,
    convert,
    infer_scheme,
    lenient_spans,
    may_follow,
    repaired,
    spans_of,
    tags_of_types,
    violations,
)
from wenmo.errors import InputError

WRITTEN: dict[SchemeName, str] = {
    "BIO": "B-PER I-PER I-PER B-PER O B-LOC B-LOC I-LOC",
    "IOB1": "I-PER I-PER I-PER B-PER O I-LOC B-LOC I-LOC",
    "BIOES": "B-PER I-PER E-PER S-PER O S-LOC B-LOC E-LOC",
    "BMES": "B-PER M-PER E-PER S-PER O S-LOC B-LOC E-LOC",
    "BILOU": "B-PER I-PER L-PER U-PER O U-LOC B-LOC L-LOC",
}
SPANS = [Span(0, 3, "PER"), Span(3, 4, "PER"), Span(5, 6, "LOC"), Span(6, 8, "LOC")]
NAMES = list(WRITTEN)


@pytest.mark.parametrize("name", NAMES)
def test_tags_become_the_spans_they_stand_for_and_spans_the_tags(name: SchemeName) -> None:
    tags = WRITTEN[name].split()
    assert spans_of(tags, name) == lenient_spans(tags, name) == SPANS
    assert SCHEMES[name].write(SPANS, 8) == tags
    assert violations(tags, name) == []


@pytest.mark.parametrize("after", NAMES)
@pytest.mark.parametrize("before", NAMES)
def test_every_scheme_converts_to_every_other(before: SchemeName, after: SchemeName) -> None:
    assert convert(WRITTEN[before].split(), before, after) == WRITTEN[after].split()


@pytest.mark.parametrize("name", NAMES)
def test_the_scheme_is_seen_from_the_tags(name: SchemeName) -> None:
    assert infer_scheme([WRITTEN[name].split()]) == name


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("DT NN VBZ IN", "none"),
        ("n v w O", "none"),
        ("O O O", "none"),
        ("B E S B M E", "BMES"),
        ("B I O B", "BIO"),
        ("B-PER-NOM I-PER-NOM O", "BIO"),
        ("S-PER O O", "BIOES"),
        ("I-PER O I-LOC", "IOB1"),
        ("B-PER I-LOC O", "BIO"),  # broken in both: BIO
    ],
)
def test_the_scheme_of_odd_tag_sets(tags: str, name: str) -> None:
    assert infer_scheme([tags.split()]) == name


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(["PER", "LOC", ""])), max_size=6))
def test_spans_survive_the_way_through_every_scheme(pieces: list[tuple[int, int, str]]) -> None:
    spans, place = [], 0
    for gap, length, kind in pieces:
        spans.append(Span(place + gap, place + gap + length, kind))
        place += gap + length
    for name in NAMES:
        tags = SCHEMES[name].write(spans, place + 1)
        assert spans_of(tags, name) == spans, name
        assert violations(tags, name) == []


SEQEVAL: dict[SchemeName, Any] = {
    "BIO": seqeval_scheme.IOB2,
    "IOB1": seqeval_scheme.IOB1,
    "BIOES": seqeval_scheme.IOBES,
    "BILOU": seqeval_scheme.BILOU,
}


@pytest.mark.parametrize("name", SEQEVAL)
@given(data=st.data())
def test_broken_sequences_are_read_as_seqeval_reads_them_strictly(name: SchemeName, data: Any) -> None:
    tags = data.draw(st.lists(st.sampled_from(tags_of_types(["PER", "LOC"], name)), max_size=8))
    found = [(span.type, span.start, span.end) for span in spans_of(tags, name)]
    entities = seqeval_scheme.Tokens(tags, SEQEVAL[name], sent_id=0).entities
    assert found == [(each.tag, each.start, each.end) for each in entities]


@given(st.lists(st.sampled_from(tags_of_types(["PER", "LOC"], "BMES")), max_size=8))
def test_bmes_is_bioes_with_another_letter(tags: list[str]) -> None:
    other = [tag.replace("M-", "I-") for tag in tags]
    assert spans_of(tags, "BMES") == spans_of(other, "BIOES")
    assert len(violations(tags, "BMES")) == len(violations(other, "BIOES"))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_repaired_sequence_keeps_to_its_scheme_and_a_correct_one_stays(name: SchemeName, data: Any) -> None:
    tags = data.draw(st.lists(st.sampled_from(tags_of_types(["PER", "LOC"], name)), max_size=8))
    mended = repaired(tags, name)
    assert violations(mended, name) == []
    assert [tag == "O" for tag in mended] == [tag == "O" for tag in tags]
    if not violations(tags, name):
        assert mended == tags


@pytest.mark.parametrize(
    ("name", "broken", "mended", "places"),
    [
        ("BIO", "O I-PER I-PER B-LOC I-PER", "O B-PER I-PER B-LOC B-PER", [1, 4]),
        ("IOB1", "O B-PER I-PER", "O I-PER I-PER", [1]),
        ("BIOES", "B-PER O S-LOC E-LOC", "S-PER O S-LOC S-LOC", [1, 3]),
        ("BMES", "B-PER M-PER", "B-PER E-PER", [1]),  # the sentence ends within an entity
    ],
)
def test_a_break_is_found_in_its_place_and_repaired(
    name: SchemeName, broken: str, mended: str, places: list[int]
) -> None:
    assert [each.place for each in violations(broken.split(), name)] == places
    assert repaired(broken.split(), name) == mended.split()


def test_a_tag_that_no_scheme_has_is_named() -> None:
    found = violations(["O", "PER"], "BIO")
    assert [each.place for each in found] == [1]
    assert found[0].message == "'PER' is no tag of BIO, whose tags are O and B-PER, I-PER"


def test_a_message_says_what_stands_behind_what() -> None:
    assert violations(["O", "I-PER"], "BIO")[0].message == (
        "I-PER stands behind O, where it cannot go on with an entity nor begin one"
    )


def test_constraints_are_those_of_pairs_and_borders() -> None:
    tags = ["O", "B-PER", "I-PER", "E-PER", "S-PER", "I-LOC"]
    found = constraints_of(tags, "BIOES")
    allowed = {tag: [tags[i] for i in row.nonzero()[0]] for tag, row in zip(tags, found.transitions, strict=True)}
    begins = ["O", "B-PER", "S-PER"]
    assert allowed == {
        "O": begins,
        "B-PER": ["I-PER", "E-PER"],
        "I-PER": ["I-PER", "E-PER"],
        "E-PER": begins,
        "S-PER": begins,
        "I-LOC": ["I-LOC"],
    }
    assert [tags[i] for i in found.start.nonzero()[0]] == begins
    assert [tags[i] for i in found.end.nonzero()[0]] == ["O", "E-PER", "S-PER"]
    assert may_follow("none", "VB", "NN")


def test_plain_tags_are_spans_of_one_token_and_hold_no_entities() -> None:
    assert spans_of(["DT", "NN"], "none") == [Span(0, 1, "DT"), Span(1, 2, "NN")]
    assert violations(["DT", "I-PER"], "none") == []
    with pytest.raises(InputError, match="plain tags"):
        convert(["DT"], "none", "BIO")
