"""Files of phrases."""

import gzip
from pathlib import Path

import pytest

from wenmo.data.lexica import read_lexicon
from wenmo.errors import InputError
from wenmo.text.lexica import Lexicon
from wenmo.text.spans import PHRASE


def test_tables_and_plain_lists_are_read(tmp_path: Path):
    (tmp_path / "places.tsv").write_text("phrase\tdocument_frequency\n北京\t9\n上海\t3\n", encoding="utf-8")
    (tmp_path / "list.txt").write_text("北京\n\n 上海 \r\n", encoding="utf-8")
    with gzip.open(tmp_path / "packed.txt.gz", "wt", encoding="utf-8") as file:
        file.write("New York\n")
    assert read_lexicon(tmp_path / "places.tsv") == Lexicon("places", ("北京", "上海"))
    assert read_lexicon(tmp_path / "list.txt", level=PHRASE) == Lexicon("list", ("北京", "上海"), PHRASE)
    assert read_lexicon(tmp_path / "packed.txt.gz") == Lexicon("packed", ("New York",))


def test_duplicates_and_single_characters_are_left_out_and_told(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("北京\n京\n北京\n沪\n", encoding="utf-8")
    notes: list[str] = []
    assert read_lexicon(path, tell=notes.append).phrases == ("北京",)
    assert notes == [
        f"{path}: 2 entries have one character and were left out, such as '京' on line 2",
        f"{path}: 1 entries stand there twice and were left out, such as '北京' on line 3",
    ]


def test_what_is_no_lexicon_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        read_lexicon(tmp_path / "nothing.txt")
    (tmp_path / "a.tsv").write_text("phrase\tdocument_frequency\n京\t3\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no phrase of two characters"):
        read_lexicon(tmp_path / "a.tsv")
