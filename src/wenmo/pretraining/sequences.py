"""Sequences: what a model reads at once while it is pre-trained, and batches of them.

A sequence is cut out of a shard (`wenmo.pretraining.cuts`). A `Draft` puts some beside each other, as numpy arrays that
objectives change and label (`wenmo.pretraining.objectives`); a `PretrainingExample` is the finished draft as tensors.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.features import IGNORED_LABEL, WORD_PADDING_ID, TokenBatch
from wenmo.text.special_tokens import Surroundings

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Frame:
    """The special tokens around the parts of a sequence, and how many kinds of parts a model tells apart."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    """Behind each part but the last, and of its kind."""
    behind: tuple[int, ...] = ()
    num_types: int = 0
    """Rows of the model's table of ``token_type_ids``; 0: it has none."""

    @classmethod
    def of(cls, pair: Surroundings, num_types: int = 2) -> Self:
        """What a tokenizer puts around pairs; more parts than two are separated in the same way."""
        return cls(before=pair.before, between=pair.between, behind=pair.behind, num_types=num_types)

    def room(self, length: int, parts: int = 1) -> int:
        """Tokens of text in a sequence of so many tokens and parts."""
        return length - len(self.before) - len(self.behind) - (parts - 1) * len(self.between)


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One row of a cut, with its special tokens."""

    row: int
    """Its number in the cut."""
    input_ids: Ids
    """``(length,)``."""
    token_type_ids: Ids
    """``(length,)``."""
    special: NDArray[np.bool_]
    """``(length,)``: true where a special token stands."""
    spans: NDArray[np.int32]
    """``(spans, 3)``: first place, the place behind the last, level."""
    label: int = IGNORED_LABEL
    """The class of the sequence."""
    document: int = -1
    """That of its first part, in the shard."""
    columns: Mapping[str, Ids] = field(default_factory=dict)
    """``(length,)`` each: what else is known of the tokens, such as ``capitals``; -100 at special tokens."""
    parts: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 3), np.int32))
    """``(parts, 3)``: the first place of each part, the place behind its last, its kind."""
    runs: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """``(parts, 2)``: which tokens of the shard they are: the first, the one behind the last."""
    characters: NDArray[np.int32] | None = None
    """``(length, num_characters)``: the bytes of each word, where the shard has them and no special tokens stand in the
    sequence, as in those of models that read bytes."""

    def __len__(self) -> int:
        return len(self.input_ids)


class Documents(Protocol):
    """Where sequences come from."""

    def recurring(self, begin: int, end: int) -> NDArray[np.bool_] | None:
        """Of each token of a run, counted over the shard, whether it stands in the rest of its document too; None where
        there is no rest."""
        ...


@dataclass(eq=False)
class Draft:
    """Sequences beside each other, padded on the right; ``(batch, length)`` each."""

    sequences: Many[Sequence]
    input_ids: NDArray[np.int64]
    """What the model shall read; objectives may change it."""
    original: NDArray[np.int64]
    """What stands in the corpus."""
    token_type_ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    """True where a token stands."""
    text: NDArray[np.bool_]
    """True where a token of the text stands, and no special one."""
    documents: Documents | None = None
    """The rest of the documents, for objectives that look there."""

    @classmethod
    def of(cls, sequences: Many[Sequence], padding_id: int = 0, documents: Documents | None = None) -> Self:
        """Put some beside each other; at least one place long."""
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
        ids = padded([each.input_ids for each in sequences], mask, padding_id)
        types = padded([each.token_type_ids for each in sequences], mask, 0)
        special = padded([each.special for each in sequences], mask, 1).astype(bool)
        return cls(sequences, ids, ids.copy(), types, mask, ~special, documents)

    @property
    def rows(self) -> NDArray[np.int64]:
        """``(batch,)``: the rows of the cut."""
        return np.fromiter((each.row for each in self.sequences), np.int64, len(self.sequences))

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(batch,)``: the classes of the sequences."""
        return np.fromiter((each.label for each in self.sequences), np.int64, len(self.sequences))

    def column(self, name: str) -> NDArray[np.int64]:
        """``(batch, length)``: a column of the tokens, -100 where none stands."""
        return padded([each.columns[name] for each in self.sequences], self.mask, IGNORED_LABEL)

    def batch(self, task_id: int | None = None) -> TokenBatch:
        """As the model reads it.

        Args:
            task_id: the pre-training task, for models that are told; None: they are not.
        """
        return TokenBatch(
            input_ids=torch.from_numpy(self.input_ids),
            character_ids=self._characters(),
            attention_mask=torch.from_numpy(self.mask.astype(np.int64)),
            token_type_ids=torch.from_numpy(self.token_type_ids),
            task_type_ids=None if task_id is None else torch.full(self.mask.shape, task_id),
        )

    def _characters(self) -> Tensor | None:
        tables = [each.characters for each in self.sequences if each.characters is not None]
        if not tables or len(tables) < len(self.sequences):
            return None
        widest = max(table.shape[1] for table in tables)
        ids = np.full((*self.mask.shape, widest), WORD_PADDING_ID, np.int64)
        for place, table in zip(ids, tables, strict=True):
            place[: len(table), : table.shape[1]] = table
        return torch.from_numpy(ids)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PretrainingExample:
    """A batch with what is to be learnt from it; what is not counted is -100."""

    batch: TokenBatch
    labels: Mapping[str, Tensor]
    """By the names of objectives: ``(batch, length)`` of tokens, ``(batch,)`` of sequences."""
    begins: bool = False
    """Whether its rows begin texts where other batches of rows go on."""

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        moved = {name: labels.to(device, non_blocking=True) for name, labels in self.labels.items()}
        return replace(self, batch=self.batch.to(device), labels=moved)


def padded(rows: Many[NDArray[np.generic]], mask: NDArray[np.bool_], filling: int) -> NDArray[np.int64]:
    """Rows of different lengths at the places where ``mask`` is true, a number everywhere else."""
    out = np.full(mask.shape, filling, np.int64)
    if len(rows):
        out[mask] = np.concatenate(rows)
    return out
