"""Names beside points without covering points or each other."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_HEIGHT = 15.0
"""Of a line of text at 12.5 pixels."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; ``top`` is less than ``bottom``, as in SVG."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The common area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    def outside(self, other: "Box") -> float:
        """How far this box sticks out of the other one, in pixels."""
        out = (other.left - self.left, self.right - other.right, other.top - self.top, self.bottom - other.bottom)
        return sum(max(0.0, each) for each in out)


def shortened(text: str, limit: int) -> str:
    """The text, its end left out where it is over the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def text_width(text: str) -> float:
    """About how wide the text runs at 12.5 pixels."""
    return sum(12.5 if unicodedata.east_asian_width(each) in "WF" else 7.6 for each in text)


def place_labels(
    points: Sequence[tuple[float, float, float]], texts: Sequence[str], plot: Box, lines: Sequence[Box]
) -> list[Box]:
    """A box for each text beside its point, found one after the other: the least overlap, then the nearest.

    Args:
        points: ``(x, y, radius)`` in pixels.
        texts: one for each point.
        plot: where the boxes should stay.
        lines: thin boxes that are better not written over.
    """
    # A bubble may be written over when there is no better place, its middle less gladly.
    bubbles = [Box(x - r, y - r, x + r, y + r) for x, y, r in points]
    middles = [*lines, *(Box(x - 4, y - 4, x + 4, y + 4) for x, y, _ in points)]
    placed: list[Box] = []
    for (x, y, radius), text in zip(points, texts, strict=True):
        candidates = _around(x, y, radius, text_width(text))

        def cost(ranked: tuple[int, Box]) -> float:
            rank, box = ranked
            covered = 8 * sum(box.overlap(each) for each in placed) + 2 * sum(box.overlap(each) for each in middles)
            return covered + sum(box.overlap(each) for each in bubbles) + 50 * box.outside(plot) + 4 * rank

        placed.append(min(enumerate(candidates), key=cost)[1])
    return placed


def _around(x: float, y: float, radius: float, width: float) -> list[Box]:
    """Places for a text around a point, the best looking first."""
    boxes = []
    for distance in (radius + 3, radius + 12, radius + 24):
        near = distance * 0.75
        for left, middle in (
            (x + distance, y),
            (x - distance - width, y),
            (x + near, y - near - 3),
            (x + near, y + near + 3),
            (x - near - width, y - near - 3),
            (x - near - width, y + near + 3),
            (x - width / 2, y - distance - 6),
            (x - width / 2, y + distance + 6),
        ):
            boxes.append(Box(left, middle - _HEIGHT / 2, left + width, middle + _HEIGHT / 2))
    return boxes
