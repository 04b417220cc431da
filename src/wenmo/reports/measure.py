"""What the models of a comparison are measured by."""

from dataclasses import dataclass
from typing import Any, Self

from wenmo.reports import quantities
from wenmo.reports.quantities import Metric


@dataclass(frozen=True)
class Measure:
    """A metric, and on what it was measured. As a string: accuracy on dev, macro F1 over 10 folds."""

    metric: Metric
    where: str = ""

    @classmethod
    def of(cls, result: dict[str, Any]) -> Self:
        """What a comparison chose by."""
        folds = result["settings"].get("folds")
        return cls(quantities.chosen_by(result["settings"]), f"over {folds} folds" if folds else "on dev")

    def __str__(self) -> str:
        return f"{self.metric.name} {self.where}".rstrip()

    @property
    def heading(self) -> str:
        """Over figures without unit: accuracy on dev, %."""
        return self.metric.under(str(self))
