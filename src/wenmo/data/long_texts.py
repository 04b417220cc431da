"""What is read of a text that is longer than a model reads at once.

``head`` is its beginning and ``tail`` its end. ``head+tail`` is both: Sun et al., "How to Fine-Tune BERT for Text
Classification?", CCL 2019, https://arxiv.org/abs/1905.05583, section 5.3.1, keep the first 128 and the last 382 of 510
tokens, and the same share is kept of any other length. ``windows`` is all of it, in overlapping parts whose vectors are
averaged (`wenmo.models.windows`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
Reading = Literal["head", "tail", "head+tail", "windows"]

_HEAD_SHARE = 128 / 510
_SAID = {
    "head": "cut behind {limit} tokens",
    "tail": "cut to the last {limit} tokens",
    "head+tail": "cut to the first {head} and the last {tail} tokens",
    "windows": "read in windows of {limit} tokens",
}


@dataclass(frozen=True)
class LongTexts:
    """How texts over ``max_length`` tokens are read; 0 is no limit."""

    max_length: int = 0
    how: Reading = "head"

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any]) -> "LongTexts":
        """As a saved recipe says; folders from before there was a choice read the head."""
        data = recipe.get("data", {})
        return cls(data.get("max_length", 0), data.get("long_texts", "head"))

    def cut(self, ids: TokenIds) -> TokenIds:
        """What is kept of the ids of one text; with ``windows`` all of it."""
        if self.how == "windows" or not self.max_length or len(ids) <= self.max_length:
            return ids
        head = self._head
        return np.concatenate([ids[:head], ids[len(ids) - (self.max_length - head) :]])

    @property
    def participle(self) -> str:
        """What is done to a longer text, behind "was" or "is"."""
        head, tail = self._head, self.max_length - self._head
        return _SAID[self.how].format(limit=f"{self.max_length:,}", head=f"{head:,}", tail=f"{tail:,}")

    @property
    def _head(self) -> int:
        return {"head": self.max_length, "tail": 0}.get(self.how, round(self.max_length * _HEAD_SHARE))
