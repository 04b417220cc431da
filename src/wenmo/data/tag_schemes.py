"""Schemes that write entities as one tag a token: which tags may follow each other, and the way to spans and back.

    Mary   Ann    Smith  saw    Bonn
    B-PER  I-PER  I-PER  O      B-LOC     BIO: an entity begins with B (Ratnaparkhi 1998; also IOB2)
    I-PER  I-PER  I-PER  O      I-LOC     IOB1: B only where an entity touches another of its type (Ramshaw 1995)
    B-PER  I-PER  E-PER  O      S-LOC     BIOES: the last token and single ones have letters of their own (IOBES)
    B-PER  M-PER  E-PER  O      S-LOC     BMES: the same with M for I, usual for Chinese
    B-PER  I-PER  L-PER  O      U-LOC     BILOU: the same with L and U

A bare letter is a tag without a type, as in word segmentation. ``none`` stands for plain tags such as parts of speech:
anything may follow anything, and every tag is a span of one token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wenmo.errors import InputError

SchemeName = Literal["none", "BIO", "IOB1", "BIOES", "BMES", "BILOU"]

OUTSIDE = "O"

Role = Literal["begin", "inside", "end", "single", "outside"]


_Read = tuple[Role, str]
"""The role and the type of a tag."""


class Span(NamedTuple):
    """The tokens ``[start, end)`` with their type."""

    start: int
    end: int
    type: str


class Violation(NamedTuple):
    """Where a sequence breaks its scheme; ``place`` counts tokens from 0."""

    place: int
    message: str


@dataclass(frozen=True)
class Scheme:
    """The letters of a scheme; two roles may share one."""

    name: SchemeName
    begin: str
    inside: str
    end: str
    single: str

    @property
    def letters(self) -> frozenset[str]:
        """All letters but O."""
        return frozenset((self.begin, self.inside, self.end, self.single))

    @property
    def closes(self) -> bool:
        """Whether the last token of an entity is marked."""
        return self.end != self.inside

    def role(self, letter: str) -> Role:
        """What a letter says; where two roles share it, that of longer entities."""
        for role in ("begin", "inside", "end", "single"):
            if letter == getattr(self, role):
                return role
        return "outside"

    def write(self, spans: Iterable[Span], length: int) -> list[str]:
        """Spans that do not overlap as tags."""
        tags = [OUTSIDE] * length
        before = Span(0, 0, "")
        for span in sorted(spans):
            touches = span.start == before.end > 0 and span.type == before.type
            letters = [self.inside] * (span.end - span.start)
            letters[-1] = self.end
            letters[0] = self.begin
            if self.name == "IOB1":
                letters[0] = "B" if touches else "I"
            elif len(letters) == 1:
                letters[0] = self.single
            tags[span.start : span.end] = [f"{letter}-{span.type}" if span.type else letter for letter in letters]
            before = span
        return tags


SCHEMES: dict[str, Scheme] = {
    "BIO": Scheme("BIO", "B", "I", "I", "B"),
    "IOB1": Scheme("IOB1", "B", "I", "I", "I"),
    "BIOES": Scheme("BIOES", "B", "I", "E", "S"),
    "BMES": Scheme("BMES", "B", "M", "E", "S"),
    "BILOU": Scheme("BILOU", "B", "I", "L", "U"),
}


@cache
def split_tag(tag: str) -> tuple[str, str]:
    """``B-PER-NOM`` to ``("B", "PER-NOM")``; a bare letter has the type ``""``."""
    letter, _, kind = tag.partition("-")
    return letter, kind


def infer_scheme(sequences: Iterable[Sequence[str]]) -> SchemeName:
    """The scheme that tags of a training set are written in.

    The letters decide. Those of BIO and IOB1 are the same; the one that fewer sequences break is taken, of equals BIO.
    Tags of which none looks like a letter with a type, or that are not all bare letters of one scheme, are plain.
    """
    sequences = [list(tags) for tags in sequences]
    tags = {tag for sequence in sequences for tag in sequence} - {OUTSIDE}
    parts = [split_tag(tag) for tag in tags]
    letters = {letter for letter, kind in parts if kind and len(letter) == 1 and letter in "BIEMSLU"}
    if not letters:
        bare = {letter for letter, _ in parts}
        if not any(bare and bare <= scheme.letters for scheme in SCHEMES.values()) or "B" not in bare:
            return "none"
        letters = bare
    if "M" in letters:
        return "BMES"
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S"}:
        return "BIOES"
    broken = {name: sum(1 for tags in sequences if violations(tags, name)) for name in ("BIO", "IOB1")}
    return "BIO" if broken["BIO"] <= broken["IOB1"] else "IOB1"


@cache
def may_follow(scheme: SchemeName, before: str | None, tag: str | None) -> bool:
    """Whether ``tag`` may stand behind ``before``; None is the border of the sequence."""
    if scheme == "none":
        return True
    rules = SCHEMES[scheme]
    letter_before, type_before = split_tag(before or OUTSIDE)
    letter, kind = split_tag(tag or OUTSIDE)
    role_before, role = rules.role(letter_before), rules.role(letter)
    if scheme == "IOB1":
        return role != "begin" or (role_before != "outside" and type_before == kind)
    opened = role_before in ("begin", "inside")
    continues = opened and role in ("inside", "end") and type_before == kind
    if rules.closes and opened:
        return continues
    return continues or role not in ("inside", "end")


def violations(tags: Sequence[str], scheme: SchemeName) -> list[Violation]:
    """Every place where a sequence breaks its scheme."""
    if scheme == "none":
        return []
    found = [
        Violation(place, f"{tag!r} is no tag of {scheme}, whose tags are O and {', '.join(_examples(scheme))}")
        for place, tag in enumerate(tags)
        if not _is_tag(tag, scheme)
    ]
    if found:
        return found
    for place, (before, tag) in enumerate(zip((None, *tags), (*tags, None), strict=True)):
        if not may_follow(scheme, before, tag):
            found.append(Violation(min(place, len(tags) - 1), _why(before, tag)))
    return found


def spans_of(tags: Sequence[str], scheme: SchemeName) -> list[Span]:
    """The entities of a sequence as seqeval's strict mode reads it: one that breaks the scheme is none.

    A sequence that keeps to its scheme is read as anybody would. With plain tags each token is a span.
    """
    if scheme == "none":
        return [Span(i, i + 1, tag) for i, tag in enumerate(tags)]
    rules = SCHEMES[scheme]
    read = [_read(scheme, tag) for tag in (*tags, OUTSIDE)]  # so what stands before the first is outside too
    found = []
    end = 0
    for place, (role, kind) in enumerate(read):
        if role == "outside" or place < end:
            continue
        end = place + 1
        if _starts(rules, read[place - 1], (role, kind)):
            while _goes_on(read[end - 1], read[end]):
                end += 1
            if _ends(rules, read[end - 1], read[end]):
                found.append(Span(place, end, kind))
    return found


def lenient_spans(tags: Sequence[str], scheme: SchemeName) -> list[Span]:
    """The entities that were likely meant where a sequence breaks its scheme, as conlleval reads it.

    A tag that could go on with the entity before it does; any other begins one.
    """
    if scheme == "none":
        return spans_of(tags, scheme)
    rules = SCHEMES[scheme]
    found: list[Span] = []
    is_open = False
    for place, tag in enumerate(tags):
        letter, kind = split_tag(tag)
        role = rules.role(letter)
        if role == "outside":
            is_open = False
            continue
        if is_open and role in ("inside", "end") and kind == found[-1].type:
            found[-1] = found[-1]._replace(end=place + 1)
        else:
            found.append(Span(place, place + 1, kind))
        is_open = not (rules.closes and role in ("end", "single"))
    return found


def repaired(tags: Sequence[str], scheme: SchemeName) -> list[str]:
    """The sequence with its entities written as the scheme wants it; a correct one stays as it is."""
    return list(tags) if not violations(tags, scheme) else convert(tags, scheme, scheme)


def convert(tags: Sequence[str], before: SchemeName, after: SchemeName) -> list[str]:
    """The same entities in another scheme.

    Raises:
        InputError: one of the schemes is that of plain tags, which hold no entities.
    """
    if before == after == "none":
        return list(tags)
    if "none" in (before, after):
        raise InputError(f"tags cannot go from the scheme {before} to {after}: plain tags hold no entities")
    return SCHEMES[after].write(lenient_spans(tags, before), len(tags))


def tags_of_types(types: Iterable[str], scheme: SchemeName) -> list[str]:
    """All tags that a scheme has for some types, O first."""
    letters = sorted(SCHEMES[scheme].letters, key="BIMELSU".index)
    return [OUTSIDE] + [f"{letter}-{kind}" if kind else letter for kind in types for letter in letters]


class Constraints(NamedTuple):
    """Which tags of a list may follow each other, begin a sequence and end it."""

    transitions: NDArray[np.bool_]
    """``(tags, tags)``: from the row to the column."""
    start: NDArray[np.bool_]
    end: NDArray[np.bool_]


def constraints_of(tags: Sequence[str], scheme: SchemeName) -> Constraints:
    """What `may_follow` says to every pair of tags."""
    return Constraints(
        np.array([[may_follow(scheme, before, tag) for tag in tags] for before in tags]),
        np.array([may_follow(scheme, None, tag) for tag in tags]),
        np.array([may_follow(scheme, tag, None) for tag in tags]),
    )


@cache
def _read(scheme: SchemeName, tag: str) -> _Read:
    letter, kind = split_tag(tag)
    return SCHEMES[scheme].role(letter), kind


def _starts(rules: Scheme, before: _Read, tag: _Read) -> bool:
    role, kind = tag
    if rules.name != "IOB1":
        return role in ("begin", "single")
    if role == "begin":
        return before[0] != "outside" and before[1] == kind
    return role == "inside" and not (before[0] == "inside" and before[1] == kind)


def _goes_on(before: _Read, tag: _Read) -> bool:
    return before[0] in ("begin", "inside") and tag[0] in ("inside", "end") and before[1] == tag[1]


def _ends(rules: Scheme, last: _Read, behind: _Read) -> bool:
    if rules.name == "IOB1":  # seqeval knows no end between two B of different types
        return not (last[0] == behind[0] == "begin" and last[1] != behind[1])
    return not rules.closes or last[0] in ("end", "single")


@cache
def _is_tag(tag: str, scheme: SchemeName) -> bool:
    letter, _ = split_tag(tag)
    return tag == OUTSIDE or letter in SCHEMES[scheme].letters


def _examples(scheme: SchemeName) -> list[str]:
    return [f"{letter}-PER" for letter in sorted(SCHEMES[scheme].letters, key="BIMELSU".index)]


def _why(before: str | None, tag: str | None) -> str:
    if tag is None:
        return f"the sentence ends with {before}, which wants more of its entity behind it"
    if before is None:
        return f"the sentence begins with {tag}, which wants its entity's beginning before it"
    return f"{tag} stands behind {before}, where it cannot go on with an entity nor begin one"
