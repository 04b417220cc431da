"""What is kept of a long text."""

import numpy as np
import pytest

from wenmo.data.long_texts import LongTexts, Reading

IDS = np.arange(10, dtype=np.int32)


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ("head", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("tail", [2, 3, 4, 5, 6, 7, 8, 9]),
        ("head+tail", [0, 1, 4, 5, 6, 7, 8, 9]),  # a quarter of 8 from the head
        ("windows", list(range(10))),
    ],
)
def test_what_is_kept(how: Reading, kept: list[int]) -> None:
    reading = LongTexts(8, how)
    assert reading.cut(IDS).tolist() == kept
    for short in (IDS[:8], IDS[:1], IDS[:0]):
        assert reading.cut(short).tolist() == short.tolist(), "a text that fits was changed"
    assert LongTexts(0, how).cut(IDS).tolist() == IDS.tolist(), "0 is no limit"


def test_head_and_tail_are_those_of_sun_et_al() -> None:
    long = np.arange(2000, dtype=np.int32)
    kept = LongTexts(510, "head+tail").cut(long)
    assert kept.tolist() == [*range(128), *range(2000 - 382, 2000)]
    assert LongTexts(1, "head+tail").cut(long).tolist() == [1999]
    assert LongTexts(2, "head+tail").cut(long).tolist() == [0, 1999]


@pytest.mark.parametrize("max_length", range(1, 40))
def test_as_many_tokens_are_kept_as_are_allowed(max_length: int) -> None:
    for how in ("head", "tail", "head+tail"):
        kept = LongTexts(max_length, how).cut(np.arange(100, dtype=np.int32))  # type: ignore[arg-type]
        assert len(np.unique(kept)) == max_length


def test_an_older_folder_reads_the_head() -> None:
    assert LongTexts.of_recipe({"data": {"max_length": 7}}) == LongTexts(7, "head")
    assert LongTexts.of_recipe({}) == LongTexts(0, "head")


def test_the_words_for_it() -> None:
    said = [LongTexts(1024, how).participle for how in ("head", "tail", "head+tail", "windows")]
    assert said == [
        "cut behind 1,024 tokens",
        "cut to the last 1,024 tokens",
        "cut to the first 257 and the last 767 tokens",
        "read in windows of 1,024 tokens",
    ]
