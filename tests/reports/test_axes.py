import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.reports import axes
from wenmo.reports.axes import Axis


def test_values_stand_in_proportion_between_the_ends() -> None:
    axis = Axis(10, 20, start=100, end=0)
    assert [axis.at(value) for value in (10, 15, 20)] == [100, 50, 0]


def test_a_logarithmic_axis_gives_each_factor_the_same_way() -> None:
    axis = Axis(0.1, 10, start=0, end=200, logarithmic=True)
    assert [axis.at(value) for value in (0.1, 1, 10)] == pytest.approx([0, 100, 200])


def test_ticks_are_round_and_within_the_axis() -> None:
    assert Axis(88.3, 94.9, 0, 100).ticks(5) == [90, 92, 94]
    assert Axis(0, 1, 0, 100).ticks(4) == [0, 0.5, 1]


def test_logarithmic_ticks_thin_out_as_they_crowd() -> None:
    assert Axis(0.15, 12, 0, 100, True).ticks(8) == pytest.approx([0.2, 0.5, 1, 2, 5, 10])
    assert Axis(0.15, 12, 0, 100, True).ticks(4) == pytest.approx([0.3, 1, 3, 10])
    assert Axis(1e-3, 1e5, 0, 100, True).ticks(3) == pytest.approx([1e-3, 1, 1e3])


@given(
    st.floats(1e-4, 1e6), st.floats(1.001, 1e4), st.integers(3, 10), st.booleans()
)  # fmt: skip
def test_there_are_few_ticks_and_all_stand_within_the_axis(low: float, factor: float, most: int, log: bool) -> None:
    axis = Axis(low, low * factor, 0, 100, log)
    ticks = axis.ticks(most)
    assert len(ticks) <= most + 1
    assert all(-0.5 <= axis.at(tick) <= 100.5 for tick in ticks)


def test_a_single_value_gets_a_span_of_its_own() -> None:
    assert axes.around([90.0]) == pytest.approx((84.6, 95.4))
    assert axes.around([0.0]) == (-1.0, 1.0)
    low, high = axes.around([2.0], logarithmic=True)
    assert low < 2 < high


def test_an_axis_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="low < high"):
        Axis(1, 1, 0, 100)
    with pytest.raises(ValueError, match="above 0"):
        Axis(0, 1, 0, 100, logarithmic=True)


def test_labels_are_as_short_as_they_can_be() -> None:
    assert [axes.label(tick) for tick in (0.5, 20.0, 1000.0, 0.30000000000000004)] == ["0.5", "20", "1,000", "0.3"]
