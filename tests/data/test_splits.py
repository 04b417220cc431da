import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.data.splits import folds, normalized_key, row_key, split_rows
from wenmo.errors import InputError

SHARES = (0.8, 0.1, 0.1)


def different_rows(*counts: int) -> list[Row]:
    """Rows with a text of their own, as many as asked of the labels a, b, c ..."""
    labels = [label for label, count in zip("abcdefgh", counts, strict=False) for _ in range(count)]
    return [Row(f"text {number}", label) for number, label in enumerate(labels)]


def labels_in(rows: Sequence[Row], part: Sequence[int]) -> dict[object, int]:
    return dict(Counter(rows[index].label for index in part))


def assert_disjoint_and_complete(parts: Sequence[Sequence[int]], num_rows: int) -> None:
    assert sorted(index for part in parts for index in part) == list(range(num_rows))
    assert all(list(part) == sorted(part) for part in parts)


def assert_no_leak(rows: Sequence[Row], parts: Sequence[Sequence[int]]) -> None:
    for number, part in enumerate(parts):
        for other in parts[number + 1 :]:
            assert not {row_key(rows[index]) for index in part} & {row_key(rows[index]) for index in other}
            groups = ({rows[index].group for index in side} - {None} for side in (part, other))
            assert not set.intersection(*groups)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Very good!", "very  good"),
        ("很好，很好。", "很好很好"),
        ("ＡＢＣ１２", "abc12"),
        ("straße", "STRASSE"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("ﬁne", "fine"),
    ],
)
def test_texts_with_one_key(one: str, other: str):
    assert normalized_key(one) == normalized_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("？？", "……"), ("3.5折", "5.3折"), ("good", "goods"), ("+1", "-1"), ("😀", "😢")]
)
def test_texts_with_different_keys(one: str, other: str):
    assert normalized_key(one) != normalized_key(other)


def test_every_label_has_its_share_of_every_part():
    rows = different_rows(500, 100, 30, 10)
    parts = split_rows(rows, SHARES, seed=0)
    assert_disjoint_and_complete(parts, len(rows))
    assert [labels_in(rows, part) for part in parts] == [
        {"a": 400, "b": 80, "c": 24, "d": 8},
        {"a": 50, "b": 10, "c": 3, "d": 1},
        {"a": 50, "b": 10, "c": 3, "d": 1},
    ]


def test_what_many_small_labels_have_left_over_does_not_pile_up():
    # 14 rows of each of 100 labels: 11.2, 1.4 and 1.4. Rounded alone, none would give its last row to the first.
    rows = [Row(f"text {number}", f"label {number % 100}") for number in range(1400)]
    assert [len(part) for part in split_rows(rows, SHARES, seed=0)] == [1120, 140, 140]


def test_a_class_with_one_example_goes_to_train_and_is_told(caplog: pytest.LogCaptureFixture):
    rows = [*different_rows(50), Row("lonely", "rare"), Row("Twice", "double"), Row("twice!", "double")]
    for seed in range(20):
        parts = split_rows(rows, (0.2, 0.8), seed=seed)
        assert {50, 51, 52} <= set(parts[0])
    assert "double, rare" in caplog.text


def test_equal_texts_and_groups_stay_together_through_each_other():
    rows = [
        *different_rows(20, 20),
        Row("Same text", "a", group="x"),
        Row("same text.", "b", group="y"),
        Row("quite another", "b", group="y"),
    ]
    for seed in range(20):
        parts = split_rows(rows, (0.5, 0.5), seed=seed)
        assert sum({40, 41, 42} <= set(part) for part in parts) == 1


def test_shares_are_kept_under_heavy_duplication():
    rows = [Row(f"text {number}", "ab"[number % 2]) for number in range(300) for _ in range(1 + number % 7)]
    parts = split_rows(rows, SHARES, seed=3)
    assert_no_leak(rows, parts)
    for part, share in zip(parts, SHARES, strict=True):
        assert len(part) == pytest.approx(share * len(rows), abs=2)
        assert labels_in(rows, part)["a"] == pytest.approx(share * labels_in(rows, range(len(rows)))["a"], abs=2)


def test_repeated_texts_come_to_every_part_in_proportion():
    rows = [Row(f"text {number}", "a") for number in range(1000) for _ in range(1 + number % 2)]
    parts = split_rows(rows, SHARES, seed=0)
    for part in parts:
        assert len(part) / len({rows[index].text for index in part}) == pytest.approx(1.5, abs=0.05)


@given(
    st.lists(
        st.builds(
            Row,
            st.sampled_from(["a", "A.", "b", "b b", "c", "d", "e", "f", "g", "?", "!"]) | st.text(max_size=3),
            st.sampled_from(["x", "y", None]) | st.lists(st.sampled_from("xyz"), unique=True).map(tuple),
            group=st.sampled_from([None, None, "1", "2", "3"]),
        ),
        max_size=60,
    ),
    st.sampled_from([(0.5, 0.5), SHARES, (0.98, 0.02), (0.25, 0.25, 0.25, 0.25)]),
    st.integers(0, 5),
    st.sampled_from(["random", "time"]),
)
def test_no_split_leaks_or_loses_a_row(rows: list[Row], shares: tuple[float, ...], seed: int, by: str):
    timed = [Row(row.text, row.label, None, row.group, str(number % 7)) for number, row in enumerate(rows)]
    try:
        parts = split_rows(timed, shares, seed=seed, by=by)  # type: ignore[arg-type]
    except InputError as error:
        assert "cannot make" in str(error) or "would be empty" in str(error)
        return
    assert_disjoint_and_complete(parts, len(rows))
    assert_no_leak(timed, parts)
    assert all(parts)
    assert parts == split_rows(timed, shares, seed=seed, by=by)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("aaabbc"), min_size=5, max_size=200), st.integers(2, 5), st.integers(0, 3))
def test_folds_of_different_texts_are_even_in_size_and_labels(labels: list[str], num_folds: int, seed: int):
    rows = [Row(f"text {number}", label) for number, label in enumerate(labels)]
    result = folds(rows, num_folds, seed=seed)
    assert_disjoint_and_complete([held_out for _, held_out in result], len(rows))
    for train, held_out in result:
        assert sorted(train + held_out) == list(range(len(rows)))
        assert len(held_out) == pytest.approx(len(rows) / num_folds, abs=2)  # labels come first, and are within 1
        for label, count in labels_in(rows, range(len(rows))).items():
            assert labels_in(rows, held_out).get(label, 0) == pytest.approx(count / num_folds, abs=1)


def test_folds_do_not_leak():
    rows = [Row(f"text {number % 40}", "ab"[number % 2], group=str(number % 40 // 2)) for number in range(200)]
    for train, held_out in folds(rows, 5, seed=0):
        assert_no_leak(rows, [train, held_out])


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    rows = different_rows(100, 100)
    assert split_rows(rows, SHARES, seed=1) == split_rows(rows, SHARES, seed=1)
    assert split_rows(rows, SHARES, seed=1) != split_rows(rows, SHARES, seed=2)
    assert folds(rows, 5, seed=1) != folds(rows, 5, seed=2)


def test_the_split_does_not_depend_on_the_process():
    code = (
        "from wenmo.data.rows import Row; from wenmo.data.splits import folds, split_rows;"
        "rows = [Row(f'text {n % 60}', 'abc'[n % 3], group=str(n % 30)) for n in range(90)];"
        "print(split_rows(rows, (0.7, 0.3), seed=5), folds(rows, 3, seed=5))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_the_split_of_a_seed_never_changes():
    rows = different_rows(10, 5)
    assert split_rows(rows, (0.6, 0.4), seed=0) == [[0, 1, 3, 4, 5, 8, 10, 12, 14], [2, 6, 7, 9, 11, 13]]


def test_a_split_by_group_wants_a_group_on_every_row():
    rows = [Row(f"text {number}", "ab"[number % 2], group=str(number // 10)) for number in range(100)]
    parts = split_rows(rows, SHARES, seed=0, by="group")
    assert_no_leak(rows, parts)
    assert [len(part) for part in parts] == [80, 10, 10]
    with pytest.raises(InputError, match="here:7: no group"):
        split_rows([*rows, Row("x", "a", source="here:7")], SHARES, seed=0, by="group")


def timed(*times: str | None) -> list[Row]:
    return [Row(f"text {number}", "a", time=time, source=f"f:{number}") for number, time in enumerate(times)]


@pytest.mark.parametrize(
    "times",
    [
        ["9", "10", "2", "100", "3.5"],
        ["2024-02-10", "2024-03-01", "2023-12-31", "2024-11-02", "2024-01-01"],
        ["2024/2/9", "2024/2/10", "2023/12/31", "2024/11/2", "2024/1/1"],
        ["2024年2月9日", "2024年10月1日", "2023年12月31日", "2025年1月1日", "2024年1月1日"],
        [
            "2024-02-10T08:00:00+08:00",
            "2024-02-10T01:00:00Z",
            "2024-02-09 23:00",
            "2024-02-10 02:00",
            "2024-02-09 23:59",
        ],
    ],
)
def test_the_newest_rows_go_to_the_last_part(times: list[str]):
    assert split_rows(timed(*times), (0.6, 0.2, 0.2), seed=0, by="time") == [[0, 2, 4], [1], [3]]


def test_rows_of_one_time_follow_their_order():
    assert split_rows(timed(*["1"] * 10), (0.7, 0.3), seed=0, by="time") == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]


def test_equal_texts_of_different_times_stand_where_the_newest_does():
    rows = timed(*map(str, range(10)))
    rows[0] = Row("TEXT 9", "a", time="0")
    assert split_rows(rows, (0.8, 0.2), seed=0, by="time") == [[1, 2, 3, 4, 5, 6, 7, 8], [0, 9]]


@pytest.mark.parametrize("odd", ["yesterday", None, "2024-13-01", "12/31/2024"])
def test_a_time_that_cannot_be_ordered_names_its_row(odd: str | None):
    with pytest.raises(InputError, match=r"f:2: .*is not a time like those"):
        split_rows(timed("2024-01-01", "2024-01-02", odd, "2024-01-03"), (0.5, 0.5), seed=0, by="time")


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (1.5, -0.5), (1.0, 0.0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]):
    with pytest.raises(InputError, match="shares are positive and together 1"):
        split_rows(different_rows(9), shares, seed=0)


def test_too_few_different_texts_are_refused_and_said_why():
    with pytest.raises(InputError, match="4 rows with 2 different texts or groups cannot make 3 parts"):
        split_rows([Row("a", "x"), Row("A", "x"), Row("b", "x"), Row("b.", "x")], SHARES, seed=0)
    with pytest.raises(InputError, match="3 rows with 3 different"):
        folds(different_rows(3), 10, seed=0)
    with pytest.raises(InputError, match="part 2 of 2 would be empty"):
        split_rows(different_rows(1, 1), (0.5, 0.5), seed=0)
    with pytest.raises(InputError, match="folds are 2 or more"):
        folds(different_rows(9), 1, seed=0)


def test_the_smallest_parts_get_a_row_as_well():
    assert [len(part) for part in split_rows(different_rows(3), SHARES, seed=0)] == [1, 1, 1]
    assert [len(part) for part in split_rows(different_rows(40), (0.98, 0.01, 0.01), seed=0)] == [38, 1, 1]
    repeated = [*different_rows(9), *[Row("again and again", "a")] * 30]
    assert [len(part) for part in split_rows(repeated, (0.98, 0.01, 0.01), seed=0)] == [37, 1, 1]


def test_several_labels_are_stratified_each():
    rows = [
        Row(f"text {number}", ("a", "b") if number % 4 else (("c",) if number % 8 else ())) for number in range(400)
    ]
    parts = split_rows(rows, (0.8, 0.2), seed=0)
    assert labels_in(rows, parts[1]) == {("a", "b"): 60, ("c",): 10, (): 10}


def test_real_duplicated_reviews_are_split_without_a_leak(data_folder: Path):
    rows = read_rows(data_folder / "chnsenticorp" / "train.tsv").rows
    parts = split_rows(rows, SHARES, seed=0)
    assert [len(part) for part in parts] == [7680, 960, 960]
    assert_no_leak(rows, parts)
    result = folds(rows, 10, seed=0)
    assert {len(held_out) for _, held_out in result} == {960}
    for train, held_out in result:
        assert_no_leak(rows, [train, held_out])


def test_nothing_is_said_of_ordinary_labels(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        split_rows(different_rows(10, 10), (0.5, 0.5), seed=0)
        split_rows([Row(f"text {number}") for number in range(10)], (0.5, 0.5), seed=0)
    assert caplog.text == ""
