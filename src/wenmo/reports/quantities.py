"""Numbers as people read them. What was not measured is a dash.

The figures of metrics are those of `wenmo.tasks.figures`, which the rooms below this one write by too.
"""

import math
from typing import Any

from wenmo.tasks.figures import MISSING as MISSING
from wenmo.tasks.figures import Metric as Metric
from wenmo.tasks.figures import chosen_by as chosen_by
from wenmo.tasks.figures import metric_named as metric_named
from wenmo.tasks.figures import number as number


def metric_name(metric: str) -> str:
    """``"macro_f1"`` is macro F1."""
    return metric_named(metric).name


def capitalized(text: str) -> str:
    """As a sentence begins; a name with a capital within, such as chrF, stays what it is."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first == first.lower() else text


def percent(value: Any, digits: int = 1) -> str:
    """0.9132 is 91.3; the sign stands in the heading."""
    share = number(value)
    return MISSING if share is None else f"{100 * share:.{digits}f}"


def interval(low: Any, high: Any) -> str:
    """(0.905, 0.92) is 90.5 to 92.0."""
    return MISSING if number(low) is None or number(high) is None else f"{percent(low)}\u2013{percent(high)}"


def p_value(value: Any) -> str:
    """Three digits, and never 0."""
    p = number(value)
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(value: Any) -> str:
    """12,345."""
    amount = number(value)
    return MISSING if amount is None else f"{amount:,.0f}"


def large(value: Any, unit: str = "") -> str:
    """1,234,567 is 1.23 M; with the unit ``"B"`` it is 1.23 MB, a million bytes and not 2**20."""
    amount = number(value)
    if amount is None:
        return MISSING
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= 0.9995 * limit:  # 999,999 is 1.00 M, not 1000 k
            return f"{_three_digits(amount / limit)}\u00a0{prefix}{unit}"
    return f"{amount:.0f}\u00a0{unit}".rstrip("\u00a0")


def seconds(value: Any) -> str:
    """0.04 s, 0.8 s, 38 s, 4 min 12 s, 1 h 3 min."""
    amount = number(value)
    if amount is None:
        return MISSING
    if amount < 9.95:
        return f"{amount:.{1 if amount >= 0.095 else 2}f}\u00a0s"
    whole = round(amount)
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    minutes = round(amount / 60)
    return f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def milliseconds(value: Any) -> str:
    """0.041, 0.41, 3.07, 24.6, 312."""
    amount = number(value)
    if amount is None:
        return MISSING
    return f"{amount:.3f}" if amount < 0.0995 else f"{amount:.2f}" if amount < 0.9995 else _three_digits(amount)


def rate(value: Any) -> str:
    """Texts per second, rounded to three digits: 12,300."""
    amount = number(value)
    if amount is None:
        return MISSING
    if amount < 100:
        return _three_digits(amount)
    place = 10 ** (math.floor(math.log10(amount)) - 2)
    return f"{round(amount / place) * place:,}"


def _three_digits(amount: float) -> str:
    decimals = 0 if amount >= 99.95 else 1 if amount >= 9.995 else 2 if amount >= 0.9995 else 3
    return f"{amount:.{decimals}f}"
