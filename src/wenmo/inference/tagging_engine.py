"""Taggers without padding: the runtime ``packed`` of tagging, equal to the model itself.

Words are looked at once, however often they stand in the texts in hand: their vectors, what their characters say, and
their products with the first layer's gates. Sentences are sorted by length, the states come from
`wenmo.inference.recurrent_engine`, and tags are found over the packed tokens.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import character_tensor
from wenmo.inference.elmo_engine import PackedElmo, why_not_packed_elmo
from wenmo.inference.recurrent_engine import PackedRecurrent, why_not_packed
from wenmo.models.crf import unpacked_tags
from wenmo.models.elmo import Elmo
from wenmo.models.packing import Packing
from wenmo.models.recurrent import Recurrent
from wenmo.tasks.tagging import Tagging, TagIds
from wenmo.tasks.words import Characters

Words = Sequence[str]
Ids = NDArray[np.int32]

_WORDS_AT_ONCE = 2048
"""Words whose characters are looked at together."""


def why_not_tagged_packed(task: Tagging, device: torch.device) -> str:
    """Why the engine does not cover a tagger; empty if it does."""
    if isinstance(task.extractor, Elmo):
        reason = why_not_packed_elmo(task.extractor)
    elif isinstance(task.extractor, Recurrent):
        reason = why_not_packed(task.extractor)
    else:
        reason = f"runs a recurrent tagger or one over ELMo, and this one is a {type(task.extractor).__name__}"
    return reason or ("" if device.type == "cpu" else f"runs on the CPU, and this is {device}")


def packed_tagger(task: Tagging, dtype: torch.dtype | None = None) -> "PackedTagger | PackedElmoTagger":
    """The engine of a tagger that it covers; ``dtype`` is that of the products, by default the model's own."""
    return PackedElmoTagger(task, dtype) if isinstance(task.extractor, Elmo) else PackedTagger(task, dtype)


class PackedElmoTagger:
    """Tags words by ELMo through prepared matrices. A later change of the model's weights is not seen."""

    name = "packed"

    def __init__(self, task: Tagging, dtype: torch.dtype | None = None) -> None:
        assert isinstance(task.extractor, Elmo)
        self._task, self._mix = task, task.extractor.mix
        self._engine = PackedElmo(task.extractor, dtype)

    @torch.inference_mode()
    def answer(self, rows: Sequence[Ids], sentences: Sequence[Words]) -> list[TagIds]:
        """As `PackedTagger.answer`; the words alone are looked at."""
        answers: list[TagIds] = [np.empty(0, np.int64)] * len(rows)
        for block in self._engine.blocks(sentences):
            states, mask = block.without_markers(self._mix(block.layers))
            packing = Packing.of(mask)
            scores: Tensor = self._task.classifier(packing.pack(states))
            tags = unpacked_tags(self._task.decode(scores.float(), packing), packing).numpy()
            for row, found in zip(block.rows, tags, strict=True):
                answers[row] = found[: len(sentences[row])].copy()
        return answers


class PackedTagger:
    """Tags words through prepared matrices. A later change of the model's weights is not seen."""

    name = "packed"

    def __init__(self, task: Tagging, dtype: torch.dtype | None = None) -> None:
        """``dtype`` is that of the products, by default the model's own."""
        assert isinstance(task.extractor, Recurrent)
        self._task, self._model = task, task.extractor
        self._engine = PackedRecurrent(task.extractor, dtype)
        self._characters = Characters(task.config.characters) if self._model.characters is not None else None

    @torch.inference_mode()
    def answer(self, rows: Sequence[Ids], sentences: Sequence[Words]) -> list[TagIds]:
        """The ids of the tags of each sentence, in their order; there is at least one, and none is empty.

        Args:
            rows: the ids of its words.
            sentences: the words as they are written, for their characters.
        """
        places, vectors = self._distinct(rows, sentences)
        answers: list[TagIds] = [np.empty(0, np.int64)] * len(rows)
        for block, packing, states in self._engine.states(places, vectors):
            scores: Tensor = self._task.classifier(states)
            tags = unpacked_tags(self._task.decode(scores.float(), packing), packing).numpy()
            for row, found in zip(block.tolist(), tags, strict=True):
                answers[row] = found[: len(rows[row])].copy()
        return answers

    def _distinct(self, rows: Sequence[Ids], sentences: Sequence[Words]) -> tuple[list[Ids], Tensor]:
        """Which of the distinct words stand where, and their vectors ``(num_words, input_size)``."""
        lengths = [len(row) for row in rows]
        ids = np.concatenate(rows)
        if self._characters is None:
            distinct, places = np.unique(ids, return_inverse=True)
            return _split(places, lengths), self._model.embeddings(torch.from_numpy(distinct.astype(np.int64)))
        words = list(chain.from_iterable(sentences))
        number = {word: i for i, word in enumerate(dict.fromkeys(words))}
        places = np.fromiter(map(number.__getitem__, words), np.int64, len(words))
        id_of = np.empty(len(number), np.int64)
        id_of[places] = ids
        parts = [self._model.embeddings(torch.from_numpy(id_of)), self._say_characters(list(number))]
        return _split(places, lengths), torch.cat(parts, dim=1)

    def _say_characters(self, words: list[str]) -> Tensor:
        """``(num_words, character_size)``; words of like length are padded together."""
        assert self._characters is not None and self._model.characters is not None
        order = np.argsort([len(word) for word in words], kind="stable")
        found = []
        for start in range(0, len(words), _WORDS_AT_ONCE):
            part = [words[i] for i in order[start : start + _WORDS_AT_ONCE].tolist()]
            ids, sizes = self._characters.encode(part)
            found.append(self._model.characters(character_tensor([ids], [sizes], len(part))[0]))
        vectors = torch.cat(found)
        return torch.empty_like(vectors).index_copy_(0, torch.from_numpy(order), vectors)


def _split(places: NDArray[np.int64], lengths: Sequence[int]) -> list[Ids]:
    ends = np.cumsum(lengths)
    return np.split(places.astype(np.int32), ends[:-1])
