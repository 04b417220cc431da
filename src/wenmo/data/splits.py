"""Splits that keep their word: seeded, stratified, and no text on both sides.

Rows are first tied into units that stay together: texts that are equal after ``normalized_key``, and rows of one group.
The units are then dealt out. Everything follows from the rows, their order and the seed: no hash of Python's, which
differs from process to process, and no generator whose sequence may change with a version.
"""

import logging
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from wenmo.data.rows import Row
from wenmo.errors import InputError

logger = logging.getLogger(__name__)


class _Kept(dict[int, int | None]):
    """What ``str.translate`` keeps of a character: all but white space, punctuation, control and format characters."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "ZPC" else code
        return self[code]


_KEPT = _Kept()


def normalized_key(text: str) -> str:
    """What is left of a text without its looks: NFKC, case folded, white space and punctuation removed.

    Two texts with one key count as equal for splits and overlaps. A text of punctuation alone is its own key, so that
    ``"？？"`` and ``"……"`` stay different.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_KEPT) or folded.strip()


def row_key(row: Row) -> str | tuple[str, str]:
    """The key of the row's text, of both texts of a pair."""
    key = normalized_key(row.text)
    return key if row.text_b is None else (key, normalized_key(row.text_b))


SplitBy = Literal["random", "group", "time"]


def split_rows(
    rows: Sequence[Row],
    shares: Sequence[float],
    *,
    seed: int,
    by: SplitBy = "random",
) -> list[list[int]]:
    """Split rows into parts, the training part first.

    Every label has its share of every part, as nearly as whole units allow. A label whose rows all belong to one unit,
    in most cases a single example, goes to the first part. Groups are kept together in every way of splitting.

    Args:
        rows: with labels, or without any.
        shares: one for each part, positive, together 1.
        seed: another seed gives another split.
        by: ``"random"``; ``"group"``, which wants ``Row.group`` on every row; ``"time"``: the newest rows go to the
            last part and rows of one time follow their order, without regard to labels. A unit stands where its newest
            row stands, so that training never sees a row newer than all of those it is tested on.

    Returns:
        For each part the indices of its rows, rising.

    Raises:
        InputError: shares that are none, fewer units than parts, a row without its group or a readable time.
    """
    if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"shares are positive and together 1, like (0.8, 0.1, 0.1); got {tuple(shares)}")
    if by == "group" and (without := next((row for row in rows if row.group is None), None)):
        raise InputError(f"{without.source}: no group; a split by group needs one on every row")
    units = _tie(rows)
    _want_units(units, len(shares), rows)
    if by == "time":
        part_of_unit = _deal_by_time(units, _times(rows), shares)
    else:
        labels = _labels(rows)
        part_of_unit = _deal(units, labels, shares, seed, bound_to_first=_only_units(units, labels))
    return _parts(units, part_of_unit, len(shares))


def folds(rows: Sequence[Row], num_folds: int, *, seed: int) -> list[tuple[list[int], list[int]]]:
    """Deal rows into stratified folds; every row is held out exactly once, and groups are kept together.

    Returns:
        For each fold the indices of the rows to train on and of those held out, rising.

    Raises:
        InputError: fewer than 2 folds, or fewer units than folds.
    """
    if num_folds < 2:
        raise InputError(f"folds are 2 or more; got {num_folds}")
    units = _tie(rows)
    _want_units(units, num_folds, rows)
    part_of_unit = _deal(units, _labels(rows), [1 / num_folds] * num_folds, seed, bound_to_first=())
    held_out = _parts(units, part_of_unit, num_folds)
    fold_of_row = [0] * len(rows)
    for fold, indices in enumerate(held_out):
        for index in indices:
            fold_of_row[index] = fold
    return [
        ([index for index, other in enumerate(fold_of_row) if other != fold], indices)
        for fold, indices in enumerate(held_out)
    ]


def _tie(rows: Sequence[Row]) -> list[list[int]]:
    """Units of rows that share a key or a group, directly or through others; in the order of their first rows."""
    leader = list(range(len(rows)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    first_with: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        ties: list[Hashable] = [("text", row_key(row))]
        if row.group is not None:
            ties.append(("group", row.group))
        for tie in ties:
            one, other = find(first_with.setdefault(tie, index)), find(index)
            leader[max(one, other)] = min(one, other)
    units: dict[int, list[int]] = {}
    for index in range(len(rows)):
        units.setdefault(find(index), []).append(index)
    return list(units.values())


def _want_units(units: Sequence[Sequence[int]], num_parts: int, rows: Sequence[Row]) -> None:
    if len(units) < num_parts:
        raise InputError(
            f"{len(rows)} rows with {len(units)} different texts or groups cannot make {num_parts} parts; equal ones "
            "stay together, so give more rows"
        )


def _labels(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The labels of each row; rows without any are dealt out like the rows of one more label, ``""``."""
    return [(row.label,) if isinstance(row.label, str) else row.label or ("",) for row in rows]


def _only_units(units: Sequence[Sequence[int]], labels: Sequence[tuple[str, ...]]) -> list[int]:
    """Units outside which one of their labels does not occur."""
    unit_of_label: dict[str, int] = {}
    elsewhere: set[str] = set()
    for number, unit in enumerate(units):
        for label in {label for index in unit for label in labels[index]}:
            if unit_of_label.setdefault(label, number) != number:
                elsewhere.add(label)
    if len(unit_of_label) == 1:
        return []  # one class alone has nothing to keep for training
    single = {label: number for label, number in unit_of_label.items() if label and label not in elsewhere}
    if single:
        logger.warning("labels with a single text or group, which goes to the training part: %s", _shown(single))
    return sorted(set(single.values()))


def _shown(labels: Iterable[str]) -> str:
    first = sorted(labels)[:10]
    return ", ".join(first) + (" ..." if len(first) == 10 else "")


def _deal(
    units: Sequence[Sequence[int]],
    labels: Sequence[tuple[str, ...]],
    shares: Sequence[float],
    seed: int,
    bound_to_first: Sequence[int],
) -> list[int]:
    """Give each unit to a part that has room for it; large units first, while there is room.

    Among those parts it is the one that is furthest behind for its size, so that repeated texts come to every part in
    proportion. In the end each label has less than a row left for each part. Rounding every label by itself could send
    all these rows to the same part, so they wait until the others are dealt, and fill what is short of rows.

    Returns:
        The part of each unit.
    """
    counts = [Counter(label for index in unit for label in labels[index]) for unit in units]
    totals: Counter[str] = Counter()
    for count in counts:
        totals.update(count)
    shortage = _Shortage(
        {label: [share * total for share in shares] for label, total in totals.items()},
        [share * len(labels) for share in shares],
    )
    parts = [0] * len(units)
    for number in bound_to_first:
        shortage.take(0, len(units[number]), counts[number])

    generator = random.Random(seed)
    keys = [generator.random() for _ in units]
    bound = set(bound_to_first)
    free = [number for number in range(len(units)) if number not in bound]
    waiting = []
    for number in sorted(free, key=lambda number: (-len(units[number]), keys[number])):
        count = counts[number]
        room = [part for part in range(len(shares)) if shortage.has_room(part, count)]
        if not room and len(units[number]) == 1:
            waiting.append(number)
            continue
        needs = shortage.of_labels(count, totals)
        if room:
            part = max(room, key=lambda part: (needs[part] / shares[part], shortage.in_all[part]))
        else:
            part = max(range(len(shares)), key=lambda part: (needs[part], shortage.in_all[part]))
        parts[number] = part
        shortage.take(part, len(units[number]), count)
    for number in waiting:
        short = [part for part in range(len(shares)) if shortage.lacks_some(part, counts[number])]
        part = max(short or range(len(shares)), key=lambda part: shortage.in_all[part])
        parts[number] = part
        shortage.take(part, 1, counts[number])
    _fill_empty_parts(parts, units, len(shares), bound)
    return parts


_NOTHING = 1e-6
"""Less than this part of a row is an error of rounding."""


@dataclass
class _Shortage:
    """How many rows each part still wants, of each label and in all; negative where it has too many."""

    of_label: dict[str, list[float]]
    in_all: list[float]

    def take(self, part: int, rows: int, counts: Counter[str]) -> None:
        self.in_all[part] -= rows
        for label, count in counts.items():
            self.of_label[label][part] -= count

    def of_labels(self, counts: Counter[str], totals: Counter[str]) -> list[float]:
        """How much each part wants rows with these labels; a rare label weighs more than a common one."""
        needs = [0.0] * len(self.in_all)
        for label, count in counts.items():
            weight = count / totals[label]
            needs = [need + weight * lack for need, lack in zip(needs, self.of_label[label], strict=True)]
        return needs

    def has_room(self, part: int, counts: Counter[str]) -> bool:
        return all(self.of_label[label][part] > count - _NOTHING for label, count in counts.items())

    def lacks_some(self, part: int, counts: Counter[str]) -> bool:
        return any(self.of_label[label][part] > _NOTHING for label in counts)


def _fill_empty_parts(parts: list[int], units: Sequence[Sequence[int]], num_parts: int, bound: set[int]) -> None:
    """Move the smallest unit of the fullest part into each part that has none."""
    for empty in set(range(num_parts)) - set(parts):
        held = Counter(parts)
        movable = [number for number, part in enumerate(parts) if held[part] > 1 and number not in bound]
        if not movable:
            raise InputError(
                f"part {empty + 1} of {num_parts} would be empty: the rows that are left are the only ones of their "
                "labels, and are needed for training; give more rows"
            )
        parts[min(movable, key=lambda number: (-held[parts[number]], len(units[number]), number))] = empty


def _parts(units: Sequence[Sequence[int]], part_of_unit: Sequence[int], num_parts: int) -> list[list[int]]:
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    for unit, part in zip(units, part_of_unit, strict=True):
        parts[part].extend(unit)
    return [sorted(part) for part in parts]


def _deal_by_time(units: Sequence[Sequence[int]], times: Sequence[float], shares: Sequence[float]) -> list[int]:
    """Cut the units, in the order of their newest rows, where the shares end; every part gets one at least."""
    newest = [max((times[index], index) for index in unit) for unit in units]
    ends = [sum(shares[: part + 1]) * len(times) for part in range(len(shares) - 1)]
    parts = [0] * len(units)
    part, rows_before = -1, 0
    for place, number in enumerate(sorted(range(len(units)), key=newest.__getitem__)):
        middle = rows_before + len(units[number]) / 2
        wanted = sum(middle > end for end in ends)
        units_left = len(units) - place
        part = min(max(wanted, part, len(shares) - units_left), part + 1)
        parts[number] = part
        rows_before += len(units[number])
    return parts


_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?)?(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?")


def _times(rows: Sequence[Row]) -> list[float]:
    """Numbers as they are, dates as seconds; one kind for all rows."""
    for read in (_number, _seconds):
        times = [read(row.time) for row in rows]
        known = [time for time in times if time is not None]
        if len(known) == len(rows):
            return known
        if known:
            break
    odd = rows[times.index(None)]
    raise InputError(
        f"{odd.source}: {odd.time!r} is not a time like those of the other rows; write numbers, or dates like "
        "2024-05-31 or 2024-05-31 18:30:00, on every row"
    )


def _number(time: str | None) -> float | None:
    try:
        return float(time or "")
    except ValueError:
        return None


def _seconds(time: str | None) -> float | None:
    """ISO 8601, and dates such as 2024/5/31 or 2024年5月31日; without a time zone UTC, as only the order counts."""
    written = (time or "").strip()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        match = _DATE.fullmatch(written)
        if not match:
            return None
        year, month, day, hour, minute, second = (int(number or 0) for number in match.groups())
        try:
            moment = datetime(year, month, day or 1, hour, minute, second)
        except ValueError:
            return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
