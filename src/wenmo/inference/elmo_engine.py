"""ELMo without padding, its matrices laid out once: the runtime ``packed`` of ELMo.

- What a word is by itself is computed once for each distinct word and kept, so a corpus pays for its vocabulary and not
  for its tokens. Words of like length go through the character network together, none with more padding than it needs.
- Texts are sorted by length over all that are in hand; those of a block begin together, and a step is one product over
  the texts that have it. The products of the first layer's gates are those of the distinct words of a block.
- Matrices are laid out for oneDNN when the engine is made, in bfloat16 if the precision says so; states and gates stay
  float32.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.models.elmo import Elmo
from wenmo.models.packing import Packing
from wenmo.models.products import multiplier
from wenmo.models.projected import ProjectedLstmCell
from wenmo.models.scan import Course
from wenmo.text.word_bytes import BEGIN, END, word_byte_ids

Words = Sequence[str]

CACHE_BYTES = 256 << 20
"""Vectors of more words than fit are not kept."""
_TEXTS_AT_ONCE = 64
"""Enough work for a step, and states and gates that stay near the processor."""
_TOKENS_AT_ONCE = 2048
"""Of a block: its gates are some hundred megabytes in the largest ELMo."""
_WORDS_AT_ONCE = 512


class Block(NamedTuple):
    """Some texts, the longest first, and what each layer says of their tokens."""

    rows: list[int]
    """Which texts."""
    lengths: Tensor
    """``(len(rows),)``: words of each."""
    packing: Packing
    """How their tokens lie, markers included."""
    layers: list[Tensor]
    """Each ``(tokens, hidden_size)``."""

    def without_markers(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """``(tokens, size)`` to ``(batch, length, size)``, the texts in the order of ``rows``, and their mask."""
        padded = self.packing.unpack(states)[:, 1:-1]
        mask = torch.arange(padded.size(1)) < self.lengths.unsqueeze(1)
        return padded.masked_fill(~mask.unsqueeze(-1), 0), mask.long()


class WordVectors:
    """Vectors of words, each computed once. Safe to use from several threads."""

    def __init__(self, compute: Callable[[Words], Tensor], most_words: int) -> None:
        self._compute = compute
        self._most_words = most_words
        self._lock = threading.Lock()
        self._row_of: dict[str, int] = {}
        self._table = torch.empty(0, 0)

    def __len__(self) -> int:
        return len(self._row_of)

    def of(self, words: Words) -> Tensor:
        """``(len(words), size)``; the words are distinct, and there is at least one."""
        if len(words) > self._most_words:
            return self._compute(words)
        with self._lock:
            missing = [word for word in words if word not in self._row_of]
            if len(self._row_of) + len(missing) > self._most_words:
                self._row_of.clear()
                missing = list(words)
            if missing:
                self._add(missing)
            return self._table.index_select(0, torch.tensor([self._row_of[word] for word in words]))

    def _add(self, words: Words) -> None:
        vectors, before = self._compute(words), len(self._row_of)
        after = before + len(words)
        if after > len(self._table):
            larger = vectors.new_empty(min(self._most_words, 2 * after), vectors.size(1))
            if before:
                larger[:before] = self._table[:before]
            self._table = larger
        self._table[before:after] = vectors
        self._row_of.update(zip(words, range(before, after), strict=True))


def why_not_packed_elmo(model: Elmo) -> str:
    """Why the engine does not cover a model; empty if it does."""
    if model.config.stateful:
        return "reads each text by itself, and this ELMo goes on from the batch before"
    if model.config.mix_layer_norm:
        return "gives a text the same vectors in any company, and mix_layer_norm does not"
    return ""


class PackedElmo:
    """Words without padding through prepared matrices. A later change of the model's weights is not seen."""

    name: Literal["packed"] = "packed"

    def __init__(self, model: Elmo, dtype: torch.dtype | None = None, *, cache_bytes: int = CACHE_BYTES) -> None:
        """``dtype`` is that of the products, by default the model's own."""
        self._model = model
        self._own_dtype = model.characters.projection.weight.dtype
        self._dtype = dtype or self._own_dtype
        self._layers = [[_PreparedCell(cell, self._dtype) for cell in cells] for cells in model.layers()]
        most_words = cache_bytes // (model.config.projection_size * self._own_dtype.itemsize)
        self.words = WordVectors(self._word_vectors, max(2, most_words))

    @torch.inference_mode()
    def mixed(self, sentences: Sequence[Words]) -> list[Tensor]:
        """The model's ``last_hidden_state``: of each sentence ``(length, hidden_size)``, in their order."""
        return self._of_each(sentences, lambda block: block.without_markers(self._model.mix(block.layers))[0])

    @torch.inference_mode()
    def hidden_states(self, sentences: Sequence[Words]) -> list[Tensor]:
        """All layers of each sentence: ``(num_hidden_layers + 1, length, hidden_size)``, in their order."""

        def stacked(block: Block) -> Tensor:
            return torch.stack([block.without_markers(layer)[0] for layer in block.layers], dim=1)

        return self._of_each(sentences, stacked)

    @torch.inference_mode()
    def pooled(self, sentences: Sequence[Words]) -> Tensor:
        """The model's ``pooler_output``: ``(len(sentences), hidden_size)``; zeros for a sentence without words."""
        pooled = torch.zeros(len(sentences), self._model.config.hidden_size, dtype=self._own_dtype)
        for block in self.blocks(sentences):
            states, mask = block.without_markers(self._model.mix(block.layers))
            pooled[block.rows] = states.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return pooled

    @torch.inference_mode()
    def blocks(self, sentences: Sequence[Words]) -> Iterator[Block]:
        """What the layers say, block by block, the longest sentences first."""
        order = np.argsort([-len(words) for words in sentences], kind="stable").tolist()
        while order:
            room = max(1, min(_TEXTS_AT_ONCE, _TOKENS_AT_ONCE // (len(sentences[order[0]]) + 2)))
            rows, order = order[:room], order[room:]
            yield self._block(rows, [[BEGIN, *sentences[row], END] for row in rows])

    def _block(self, rows: list[int], marked: list[list[str]]) -> Block:
        number: dict[str, int] = {}
        places = [[number.setdefault(word, len(number)) for word in words] for words in marked]
        lengths = torch.tensor([len(words) for words in marked])
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        index = torch.zeros(mask.shape, dtype=torch.long)
        index[mask] = torch.tensor([place for row in places for place in row])
        packing = Packing.of(mask.long())
        words, tokens = self.words.of(list(number)), packing.pack(index)
        x = words.index_select(0, tokens)
        halves, layers = [x, x], [torch.cat([x, x], dim=1)]
        for i, cells in enumerate(self._layers):
            for direction, cell in enumerate(cells):
                course = Course(packing, reverse=direction == 1)
                given = halves[direction]
                output = cell.run(given if i else words, course, None if i else tokens).to(self._own_dtype)
                halves[direction] = output + given if self._model.config.residual and i else output
            layers.append(torch.cat(halves, dim=1))
        return Block(rows, lengths - 2, packing, layers)

    def _of_each(self, sentences: Sequence[Words], states_of: Callable[[Block], Tensor]) -> list[Tensor]:
        """From padded tensors a block to one tensor a sentence; the length is the last axis but one."""
        found: list[Tensor] = [torch.empty(0)] * len(sentences)
        for block in self.blocks(sentences):
            for row, states in zip(block.rows, states_of(block), strict=True):
                found[row] = states[..., : len(sentences[row]), :].clone()
        return found

    @torch.inference_mode()
    def _word_vectors(self, words: Words) -> Tensor:
        """``(len(words), projection_size)``; words of like length are padded together."""
        ids = word_byte_ids(words, self._model.config.max_characters)
        order = np.argsort([len(word.encode("utf-8", "ignore")) for word in words], kind="stable")
        vectors = torch.empty(len(words), self._model.config.projection_size, dtype=self._own_dtype)
        in_bfloat16 = self._dtype == torch.bfloat16 and self._own_dtype != torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16) if in_bfloat16 else nullcontext():
            for start in range(0, len(words), _WORDS_AT_ONCE):
                part: NDArray[np.int64] = order[start : start + _WORDS_AT_ONCE]
                found = self._model.characters(torch.from_numpy(ids[part]).long())
                vectors[torch.from_numpy(part)] = found.to(self._own_dtype)
        return vectors


class _PreparedCell:
    """The matrices of a cell as they are multiplied with."""

    def __init__(self, cell: ProjectedLstmCell, dtype: torch.dtype) -> None:
        self._cell, self._dtype = cell, dtype
        self._products = multiplier(cell.weight_ih.to(dtype), _TOKENS_AT_ONCE, cell.bias_ih.to(dtype))
        self._recur = multiplier(cell.weight_hh.to(dtype), _TEXTS_AT_ONCE)
        self._project = multiplier(cell.weight_hr.to(dtype), _TEXTS_AT_ONCE)

    def run(self, x: Tensor, course: Course, rows_of_tokens: Tensor | None) -> Tensor:
        """``(tokens, projection_size)``; with ``rows_of_tokens`` these are the rows of ``x`` that the tokens want."""
        products = self._products(x.to(self._dtype))
        states = self._cell.first_states(products, course.packing.shape[0])
        return self._cell.run_prepared(products, states, course, self._recur, self._project, rows_of_tokens)[0]
