"""Axes: where a value stands on the paper, and which values are worth a tick."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Maps ``low`` to ``start`` and ``high`` to ``end``, both in pixels; logarithmic where ``logarithmic``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.logarithmic and self.low <= 0):
            raise ValueError(f"an axis needs low < high, above 0 when logarithmic; got {self.low} and {self.high}")

    def at(self, value: float) -> float:
        """The place of the value in pixels."""
        low, high = self._along(self.low), self._along(self.high)
        return self.start + (self._along(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values within the axis, at most about ``most`` of them."""
        if self.logarithmic and self.high / self.low > 8:
            return _powers(self.low, self.high, most)
        return _round_steps(self.low, self.high, most)

    def _along(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def around(values: list[float], *, margin: float = 0.06, logarithmic: bool = False) -> tuple[float, float]:
    """The lowest and the highest value with some air; a single value gets a span of its own."""
    low, high = min(values), max(values)
    if logarithmic:
        air = max((high / low) ** margin, 1.15)
        return low / air, high * air
    air = (high - low) * margin or abs(high) * margin or 1.0
    return low - air, high + air


def label(value: float) -> str:
    """The shortest way to write a tick: 0.5, 20, 1,000."""
    return f"{value:,.10g}" if abs(value) >= 1e-6 or value == 0 else f"{value:g}"


def _round_steps(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of each power of ten, or fewer of them where they would crowd."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for times in ((1, 2, 5), (1, 3), (1,)):
        ticks = [t * 10.0**e for e in exponents for t in times if low * 0.999 <= t * 10.0**e <= high * 1.001]
        if len(ticks) <= most:
            break
    every = math.ceil(len(ticks) / most)
    return ticks[::every]
