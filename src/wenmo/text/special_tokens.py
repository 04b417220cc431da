"""What stands around texts when a model reads them: ``[CLS] a [SEP] b [SEP]`` and its like.

A vocabulary that was made here has at most a separator between two texts. One that came with a checkpoint has what its
model was trained with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wenmo.errors import InputError
from wenmo.text.ngrams import Ids

MARKERS = ("_start_", "_delimiter_", "_classify_")
"""Tokens that GPT reads texts between: ``[start] a [delimiter] b [extract]`` (Radford et al. 2018, section 3.3); their
names are those of the paper's code, https://github.com/openai/finetune-transformer-lm."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The special tokens around one text, or around two that are read as one."""

    before: tuple[int, ...] = ()
    """Ids in front of the first text."""
    between: tuple[int, ...] = ()
    """Ids between two texts; of one text, there are none."""
    behind: tuple[int, ...] = ()
    """Ids behind the last text."""
    types: tuple[int, int] = (0, 1)
    """The ``token_type_ids`` of the first text with what is before and between, and of the second with what is behind
    it. One text has the first everywhere."""

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)

    def room(self, max_length: int) -> int:
        """Tokens of the texts themselves, where all may be ``max_length``.

        Raises:
            InputError: there is none.
        """
        if max_length <= len(self):
            raise InputError(
                f"data.max_length={max_length} leaves no room for a text: {len(self)} special tokens stand around it; "
                "allow more"
            )
        return max_length - len(self)

    def around(self, first: Ids, second: Ids | None = None) -> Ids:
        """The whole row of one text, or of two."""
        if not len(self) and second is None:
            return first
        parts: list[Sequence[int] | Ids] = [self.before, first, self.between, () if second is None else second]
        return np.concatenate([np.asarray(part, np.int32) for part in (*parts, self.behind)])

    def token_types(self, num_first: int, num_second: int) -> Ids:
        """The ``token_type_ids`` of the whole row of two texts of so many tokens."""
        sizes = [len(self.before) + num_first + len(self.between), num_second + len(self.behind)]
        return np.repeat(np.array(self.types, np.int32), sizes)
