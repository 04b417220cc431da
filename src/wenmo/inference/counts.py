"""What is remarkable about the texts of a call: how many were cut, how many a model knows nothing of."""

import logging
from dataclasses import dataclass, field

from wenmo.data.long_texts import LongTexts
from wenmo.tasks.drift import DriftWatch

logger = logging.getLogger(__name__)


@dataclass
class TextCounts:
    """What was remarkable about the texts of a call; brought along by the caller and counted up as they are read."""

    texts: int = 0
    cut: int = 0
    """Texts with more tokens than the model reads at once."""
    unknown: int = 0
    """Texts without any token that the model knows, also empty ones."""
    first_unknown: int = 0
    """Which text, from 1, was the first of them."""
    reading: LongTexts | None = field(default=None, compare=False)
    """What was done to the texts that were cut, as the predictor says; without it they were cut behind the limit."""
    drift: DriftWatch | None = None
    """How the answers differ from those to the calibration rows, where the model has some."""

    def warnings(self, max_length: int) -> list[str]:
        """A sentence for each count that is not 0."""
        said = []
        if self.cut:
            done = (self.reading or LongTexts(max_length)).participle
            said.append(f"{self.cut:,} of {self.texts:,} texts were {done}, as in training")
        if self.unknown:
            said.append(
                f"{self.unknown:,} of {self.texts:,} texts have no token that the model knows; the first is text "
                f"{self.first_unknown:,}. Their answer says nothing about them"
            )
        return said + (self.drift.sentences() if self.drift else [])

    def log(self, max_length: int) -> None:
        """Say them as warnings."""
        for sentence in self.warnings(max_length):
            logger.warning("%s", sentence)
