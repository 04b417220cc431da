"""How each metric of a model is written for people: its name, its scale, its digits, its unit, and which way is better.

What stands here is for showing. Training and choosing go by ``Task.lower_is_better``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

MISSING = "\u2013"
"""Of what was not measured."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric as people read it; the defaults are those of a share."""

    name: str
    scale: Literal["share", "plain"] = "share"
    """``share``: from 0 to 1, shown in percent; ``plain``: shown as it is."""
    digits: int = 1
    """Behind the point of what is shown."""
    unit: str = ""
    """Of a plain metric, in words; empty where it has none."""
    lower_is_better: bool = False

    @property
    def sign(self) -> str:
        """What is never left out beside a figure: the percent sign of a share."""
        return "%" if self.scale == "share" else ""

    @property
    def heading(self) -> str:
        """Over a column of figures: ``accuracy, %``."""
        return self.under(self.name)

    def under(self, name: str) -> str:
        """A name with sign or unit, where figures stand below it without: ``accuracy on dev, %``."""
        return ", ".join(filter(None, (name, self.sign or self.unit)))

    def shown(self, value: float) -> float:
        """The value on the scale that people see: 0.913 is 91.3."""
        return 100 * value if self.scale == "share" else value

    def figure(self, value: Any, *, more_digits: int = 0) -> str:
        """The digits alone: 0.9132 is 91.3, a cross entropy of 2.6189 is 2.619."""
        found = number(value)
        return MISSING if found is None else f"{self.shown(found):.{self.digits + more_digits}f}"

    def interval(self, low: Any, high: Any) -> str:
        """(0.905, 0.92) is 90.5 to 92.0."""
        known = number(low) is not None and number(high) is not None
        return f"{self.figure(low)}\u2013{self.figure(high)}" if known else MISSING

    def in_text(self, value: Any) -> str:
        """Where the metric's name stands in front: 91.3 %, 2.619."""
        return f"{self.figure(value)} {self.sign}".rstrip()

    def with_unit(self, value: Any) -> str:
        """Where nothing else tells the unit: 91.3 %, 2.619 nats a token."""
        return f"{self.figure(value)} {self.sign or self.unit}".rstrip()

    def difference(self, value: float) -> str:
        """With its sign: +1.3, \u22120.042."""
        return f"{self.shown(value):+.{self.digits}f}".replace("-", "\u2212")

    def goodness(self, value: float) -> float:
        """Larger for the better value."""
        return -value if self.lower_is_better else value

    def best(self, values: Iterable[float]) -> float | None:
        """The best of some values; None of none."""
        return max(values, key=self.goodness, default=None)


_METRICS = {
    "macro_f1": Metric(name="macro F1"),
    "micro_f1": Metric(name="micro F1"),
    "hierarchical_f1": Metric(name="hierarchical F1"),
    "f1": Metric(name="F1"),
    "pearson": Metric(name="Pearson", scale="plain", digits=3),
    "spearman": Metric(name="Spearman", scale="plain", digits=3),
    "ece": Metric(name="calibration error", lower_is_better=True),
    "ece_equal_mass": Metric(name="calibration error, equal mass", lower_is_better=True),
    "cross_entropy": Metric(name="cross entropy", scale="plain", digits=3, unit="nats a token", lower_is_better=True),
    "loss": Metric(name="loss", scale="plain", digits=3, lower_is_better=True),
    "perplexity": Metric(name="perplexity", scale="plain", digits=2, lower_is_better=True),
    "bits_per_character": Metric(name="bits per character", scale="plain", digits=3, lower_is_better=True),
    "bleu": Metric(name="BLEU", scale="plain"),
    "bleu_lowercase": Metric(name="BLEU in lower case", scale="plain"),
    "chrf": Metric(name="chrF", scale="plain"),
}
"""Those that are no shares, or whose name is not that of the recipe with spaces; BLEU and chrF are sacreBLEU's, from 0
to 100."""


def metric_named(name: str) -> Metric:
    """How a metric is written; one that is not known is a share. Of several objectives, each stands in front of its
    metrics."""
    if name in _METRICS:
        return _METRICS[name]
    for known in ("cross_entropy", "perplexity"):
        if name.endswith(f"_{known}"):
            return replace(_METRICS[known], name=name.replace("_", " "))
    return Metric(name=name.replace("_", " "))


def chosen_by(settings: Mapping[str, Any]) -> Metric:
    """The metric that the settings of a comparison name; what they say about which way is better counts."""
    metric = metric_named(settings["metric"])
    return replace(metric, lower_is_better=bool(settings.get("lower_is_better", metric.lower_is_better)))


def number(value: Any) -> float | None:
    """The value as a finite float; None for anything else, NaN and infinity among them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
