"""Markers at the beginning of sentences."""

import pytest

from wenmo.text.connectives import RELATIONS, leading_connective, markers


@pytest.mark.parametrize(
    ("sentence", "rest", "relation"),
    [
        ("但是，他没有来。", "他没有来。", "contrast"),
        ("但他没有来。", "他没有来。", "contrast"),
        ("与此同时，雨停了。", "雨停了。", "synchrony"),
        ("结果，他输了。", "他输了。", "result"),
        ("However, it rained.", "it rained.", "contrast"),
        ("For example , cats .", "cats .", "example"),
        ("So, we left.", "we left.", "result"),
        ("That is, we left.", "we left.", "restatement"),
        ("What’s more, it is free.", "it is free.", "conjunction"),
    ],
)
def test_the_longest_marker_with_its_comma(sentence: str, rest: str, relation: str):
    found = leading_connective(sentence)
    assert found is not None
    assert sentence[found.end :] == rest
    assert RELATIONS[found.relation] == relation


@pytest.mark.parametrize(
    "sentence",
    [
        "结果表明如此。",
        "后来的事。",
        "但愿如此。",
        "So far it works.",
        "As a result of that, it rained.",
        "That is our honor.",
        "Butter is yellow.",
        "He came, but late.",
        "他但是来了。",
        "However",
        "但是，",
        "",
    ],
)
def test_what_is_no_marker(sentence: str):
    assert leading_connective(sentence) is None


def test_every_relation_has_markers_in_both_languages():
    found = markers()
    for relation in RELATIONS:
        of_it = [marker for marker, name in found.items() if name == relation]
        assert any(marker.isascii() for marker in of_it) and any(not marker.isascii() for marker in of_it)
    assert all(marker == marker.lower().strip() for marker in found)
    for marker in found:
        assert leading_connective(f"{marker}, x") is not None, marker
