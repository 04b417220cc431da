"""``wenmo annotate`` as a person sees it."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wenmo.cli.spans import colored
from wenmo.inference.annotating import AnnotatedText
from wenmo.text.spans import ENTITY, PHRASE, WORD, Unit

Wenmo = Callable[..., Any]


def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("张华在北京大学学习。\nIt rained.\n", encoding="utf-8")
    return path


def test_a_pipe_gets_a_line_for_each_span_or_with_json_for_each_text(wenmo: Wenmo, tmp_path: Path) -> None:
    answer = wenmo("annotate", texts(tmp_path))
    assert answer.code == 0
    assert answer.stdout.splitlines()[0] == "row\tstart\tend\tlevel\tkind\ttext"
    assert "1\t3\t7\tentity\torganisation\t北京大学" in answer.stdout.splitlines()
    lines = [json.loads(line) for line in wenmo("annotate", texts(tmp_path), "--json").stdout.splitlines()]
    assert [line["text"] for line in lines] == ["张华在北京大学学习。", "It rained."]
    written = json.loads(wenmo("annotate", texts(tmp_path), "--out", tmp_path / "a.jsonl", "--json").stdout)
    assert written["rows"] == 2 and (tmp_path / "a.jsonl").is_file()


def test_a_list_that_cannot_be_read_is_a_wrong_call(wenmo: Wenmo, tmp_path: Path) -> None:
    answer = wenmo("annotate", texts(tmp_path), "--lexicon", tmp_path / "no.txt")
    assert answer.code == 2 and "no.txt does not exist" in answer.stderr


def test_without_the_library_for_lists_it_is_said_what_to_install(wenmo: Wenmo, tmp_path: Path) -> None:
    (tmp_path / "places.txt").write_text("北京大学\n", encoding="utf-8")
    answer = wenmo("annotate", texts(tmp_path), "--lexicon", tmp_path / "places.txt")
    if find_spec("ahocorasick") is None:
        assert answer.code == 2 and 'pip install "wenmo[zh]"' in answer.stderr
    else:
        assert "1\t3\t7\tentity\tplaces\t北京大学" in answer.stdout.splitlines()


def test_a_terminal_shows_kinds_in_colours_and_words_apart() -> None:
    units = [Unit(0, 2, WORD), Unit(2, 4, WORD), Unit(5, 8, WORD), Unit(0, 4, PHRASE), Unit(2, 4, ENTITY, "place")]
    shown = colored(AnnotatedText("我们北京\tand\x1b", sorted(units)), {"place": "green"})
    assert shown.plain == "我们·北京 and\\x1b"
    styles = {shown.plain[span.start : span.end]: str(span.style) for span in shown.spans}
    assert styles == {"我们": "underline", "·": "dim", "北京": "underline bold green"}
