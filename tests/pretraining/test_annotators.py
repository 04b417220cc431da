"""Several annotators as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from wenmo.pretraining.annotators import Combined, annotator_of
from wenmo.text.lexica import Lexica, Lexicon
from wenmo.text.spans import ENTITY, PHRASE, WORD, Unit


@dataclass(frozen=True)
class Fixed:
    units: tuple[Unit, ...]

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        return [list(self.units) for _ in texts]

    def fingerprint(self) -> str:
        return repr(self.units)


def test_of_several_annotators_the_first_one_is_right():
    first = Fixed((Unit(2, 5, ENTITY, "shop"),))
    second = Fixed((Unit(0, 3, ENTITY, "place"), Unit(2, 5, WORD, "n"), Unit(5, 6, ENTITY, "name")))
    both = Combined(None, (first,), second)
    assert both.annotate(["abcdef"]) == [
        [Unit(2, 5, WORD, "n"), Unit(2, 5, ENTITY, "shop"), Unit(5, 6, ENTITY, "name")]
    ]
    assert both.fingerprint() != Combined(None, (second,), first).fingerprint()


def test_what_is_found_in_a_list_yields_to_a_word_that_it_would_cut_unless_it_is_longer():
    pytest.importorskip("ahocorasick")
    words = Fixed((Unit(0, 2, WORD, "n"), Unit(2, 3, WORD, "c"), Unit(3, 5, WORD, "n"), Unit(3, 5, ENTITY, "place")))
    lists = [Lexicon("short", ("荣和",)), Lexicon("whole", ("光荣",)), Lexicon("run", ("和北京",), PHRASE)]
    (found,) = Combined(Lexica(lists), (), words).annotate(["光荣和北京"])
    assert [unit for unit in found if unit.level != WORD] == [
        Unit(0, 2, ENTITY, "whole"),
        Unit(2, 5, PHRASE, "run"),
        Unit(3, 5, ENTITY, "place"),
    ]
    longer = Combined(Lexica([*lists, Lexicon("long", ("荣和北",))]), (), words)
    (found,) = longer.annotate(["光荣和北京"])
    assert Unit(1, 4, ENTITY, "long") not in found  # 光荣 began before it
    (found,) = Combined(Lexica([Lexicon("long", ("荣和北",))]), (), words).annotate(["光荣和北京"])
    assert Unit(1, 4, ENTITY, "long") in found
    assert longer.fingerprint() != Combined(None, (), words).fingerprint()


def test_files_of_entities_and_of_phrases(tmp_path: Path):
    pytest.importorskip("ahocorasick")
    (tmp_path / "clubs.txt").write_text("北京国安\n", encoding="utf-8")
    (tmp_path / "sayings.txt").write_text("加油加油\n油\n", encoding="utf-8")
    notes: list[str] = []
    annotator = annotator_of(lexica=[tmp_path / "clubs.txt"], phrases=[tmp_path / "sayings.txt"], tell=notes.append)
    (found,) = annotator.annotate(["北京国安加油加油"])
    assert [unit for unit in found if unit.level != WORD] == [
        Unit(0, 4, ENTITY, "clubs"),
        Unit(4, 8, PHRASE, "sayings"),
    ]
    assert len(notes) == 1 and "one character" in notes[0]
