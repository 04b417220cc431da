import math
from collections.abc import Callable
from typing import Any

import pytest

from wenmo.reports import quantities as q


@pytest.mark.parametrize(
    ("write", "value", "wanted"),
    [
        (q.percent, 0.91326, "91.3"),
        (q.percent, 1, "100.0"),
        (q.p_value, 0.00004, "< 0.001"),
        (q.p_value, 0.0123, "0.012"),
        (q.p_value, 0.5, "0.50"),
        (q.count, 12345, "12,345"),
        (q.large, 412, "412"),
        (q.large, 412_300, "412\u00a0k"),
        (q.large, 3_456_789, "3.46\u00a0M"),
        (q.large, 999_999, "1.00\u00a0M"),
        (q.seconds, 0.04, "0.04\u00a0s"),
        (q.seconds, 9.96, "10\u00a0s"),
        (q.seconds, 59.7, "1\u00a0min 0\u00a0s"),
        (q.seconds, 252, "4\u00a0min 12\u00a0s"),
        (q.seconds, 3599.6, "1\u00a0h 0\u00a0min"),
        (q.seconds, 3780, "1\u00a0h 3\u00a0min"),
        (q.milliseconds, 0.0412, "0.041"),
        (q.milliseconds, 0.412, "0.41"),
        (q.milliseconds, 0.999, "1.00"),
        (q.milliseconds, 24.63, "24.6"),
        (q.milliseconds, 312.4, "312"),
        (q.rate, 12_345.6, "12,300"),
        (q.rate, 999.7, "1,000"),
        (q.rate, 3.14159, "3.14"),
    ],
)
def test_numbers_are_written_as_people_read_them(write: Callable[[Any], str], value: float, wanted: str) -> None:
    assert write(value) == wanted


@pytest.mark.parametrize("write", [q.percent, q.p_value, q.count, q.large, q.seconds, q.milliseconds, q.rate])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "12", True])
def test_what_was_not_measured_is_a_dash(write: Callable[[Any], str], value: Any) -> None:
    assert write(value) == q.MISSING


def test_bytes_are_counted_in_thousands() -> None:
    assert q.large(20_000_000, "B") == "20.0\u00a0MB"
    assert q.large(0, "B") == "0\u00a0B"


def test_an_interval_without_an_end_is_a_dash() -> None:
    assert q.interval(0.905, 0.92) == "90.5\u201392.0"
    assert q.interval(0.905, None) == q.MISSING


def test_metrics_have_names_for_people() -> None:
    assert [q.metric_name(name) for name in ("accuracy", "macro_f1", "exact_match")] == [
        "accuracy",
        "macro F1",
        "exact match",
    ]


def test_a_name_begins_a_sentence_unless_it_has_capitals_of_its_own() -> None:
    names = ("accuracy on dev", "macro F1", "chrF on dev", "BLEU", "")
    assert [q.capitalized(name) for name in names] == ["Accuracy on dev", "Macro F1", "chrF on dev", "BLEU", ""]
