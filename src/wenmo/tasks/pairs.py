"""Pairs of texts: two texts as the ids and the vectors that a classifier sees.

- ``siamese``: one encoder reads both texts, and the classifier sees ``[u, v, |u - v|, u * v]`` (Mou et al., ACL 2016,
  https://arxiv.org/abs/1512.08422; Conneau et al., EMNLP 2017, https://arxiv.org/abs/1705.02364). Both texts of every
  pair go through the encoder in one call: padding never reaches a result, so this is the same as two calls, and faster.
- ``joined``: the first text, a separator and the second text are read as one text, and ``token_type_ids`` say which
  is which (Devlin et al. 2019). A model that does not read ``token_type_ids`` ignores them.
- ``symmetric``: joined in both orders, and the classifier sees the sum of the two vectors, so that it answers the same
  whichever text comes first (Radford et al. 2018, section 3.3).

The rows of a store hold the special tokens too that a checkpoint's tokenizer puts around texts
(`wenmo.text.special_tokens`): what is cut leaves room for them, and what is unknown is asked of the texts alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import FIRST, SECOND, TYPES
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row, Text
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.config import PairMode
from wenmo.tasks.words import byte_columns
from wenmo.text.loading import AnyTokenizer
from wenmo.text.special_tokens import Surroundings
from wenmo.text.tokenizer_config import SpecialIds

Pair = Literal["none", "siamese", "joined", "symmetric"]
Ids = NDArray[np.int32]

COLUMNS: dict[Pair, tuple[str, ...]] = {
    "none": (FIRST,),
    "siamese": (FIRST, SECOND),
    "joined": (FIRST, TYPES),
    "symmetric": (FIRST, SECOND),
}
"""Of a store, behind which come the labels."""
AS_ONE_TEXT: tuple[Pair, ...] = ("joined", "symmetric")
"""Where both texts stand in one row."""
VECTORS_OF_A_PAIR = 4
"""``u``, ``v``, ``|u - v|`` and ``u * v``."""


@dataclass
class EncodedTexts:
    """Texts, or pairs, as the columns of a store."""

    columns: dict[str, list[Ids]]
    cut: list[int] = field(default_factory=list)
    """Which of the texts were longer than they may be."""
    unknown: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Which rows have a text that holds nothing but unknown tokens."""

    def __len__(self) -> int:
        return len(self.columns[FIRST])


def pair_vector(first: Tensor, second: Tensor) -> Tensor:
    """Two ``(batch, size)`` to ``[u, v, |u - v|, u * v]``, ``(batch, 4 * size)``."""
    return torch.cat([first, second, (first - second).abs(), first * second], dim=1)


def one_above_the_other(first: TokenBatch, second: TokenBatch) -> TokenBatch:
    """Two batches of ids, or of vectors, as one: first all of the one, then all of the other, ``(2 * batch, longest)``.

    The characters of words go with their ids.

    Raises:
        ValueError: one has ids and the other vectors, or they differ in their number of texts.
    """
    text = "inputs_embeds" if first.input_ids is None else "input_ids"
    if getattr(second, text) is None or len(first.attention_mask) != len(second.attention_mask):
        raise ValueError(f"a pair is two batches of {text} with the same number of texts")
    names = [text, "attention_mask", *(["character_ids"] if first.character_ids is not None else [])]
    return TokenBatch(**{name: _stacked(getattr(first, name), getattr(second, name)) for name in names})


def resolved_pair(asked: Pair, rows: Sequence[Row], default: PairMode) -> Pair:
    """How pairs are read: as a person says, else as it suits the model; ``none`` where the rows are single texts.

    Raises:
        InputError: some rows are pairs and others are not, or single texts are to be read as pairs.
    """
    pairs = sum(row.text_b is not None for row in rows)
    if 0 < pairs < len(rows):
        odd = next(row for row in rows if (row.text_b is None) == (rows[0].text_b is not None))
        raise InputError(f"{odd.source}: {_kind(odd)} among rows of the other kind; bring files of one kind")
    if pairs:
        return default if asked == "none" else asked
    if asked != "none":
        source = rows[0].source if rows else "the data"
        raise InputError(
            f"{source}: a single text, and task.pair={asked} reads pairs; bring the columns text_a and text_b, "
            "or leave task.pair out"
        )
    return "none"


def refuse_other_kind(text: Text, pair: Pair, where: str) -> None:
    """Make sure that a text is what the model reads.

    Raises:
        InputError: it is a single text and the model reads pairs, or the other way round, or it is no text at all.
    """
    is_pair = isinstance(text, tuple | list) and len(text) == 2 and all(isinstance(each, str) for each in text)
    if isinstance(text, str) and pair != "none":
        raise InputError(
            f"{where} is a single text, and this model reads pairs; bring the columns text_a and text_b, or in Python "
            '("a", "b")'
        )
    if is_pair and pair == "none":
        raise InputError(
            f"{where} is a pair of texts where single texts are read; name the column of one with --text-column, or "
            "train a model on pairs"
        )
    if not isinstance(text, str) and not is_pair:
        raise InputError(f"{where} is {text!r:.40}, a {type(text).__name__}; texts are strings, pairs are two of them")


def text_of(row: Row) -> Text:
    """The text of a row, or both."""
    return row.text if row.text_b is None else (row.text, row.text_b)


def single_texts(rows: Sequence[Row]) -> Iterator[str]:
    """Every text that stands in the rows: what a vocabulary is made of."""
    for row in rows:
        yield row.text
        if row.text_b is not None:
            yield row.text_b


def encode_texts(texts: Sequence[Text], tokenizer: AnyTokenizer, pair: Pair, reading: LongTexts) -> EncodedTexts:
    """Texts as ids with the special tokens around them, the longer ones read as ``reading`` says.

    Of a siamese pair each row may have ``max_length`` tokens, the special ones among them. A joined pair has that many
    together, in each of its orders: the longer of the two gives way first, token for token from its end, as in BERT.
    A model that reads words as their bytes gets those of each text beside its ids; nothing is unknown to it.

    Raises:
        InputError: the limit leaves no room for a text.
    """
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    seconds = [text[1] for text in texts if not isinstance(text, str)]
    first, second = (tokenizer.encode_batch(each) for each in (firsts, seconds))
    sides = [first] if pair == "none" else [first, second]
    around = tokenizer.surroundings(pair=pair in AS_ONE_TEXT)
    room = around.room(reading.max_length) if reading.max_length else 0
    if pair in AS_ONE_TEXT:
        encoded = _joined(first, second, around, room, both_orders=pair == "symmetric")
    else:
        within = replace(reading, max_length=room)
        rows = [[around.around(within.cut(ids)) for ids in side] for side in sides]
        encoded = EncodedTexts(dict(zip((FIRST, SECOND), rows, strict=False)))
        longest = (max(map(len, ids)) for ids in zip(*sides, strict=True))
        encoded.cut = [row for row, length in enumerate(longest) if 0 < room < length]
        if tokenizer.config.word_bytes:
            for name, raw in zip((FIRST, SECOND), [firsts, seconds][: len(sides)], strict=False):
                encoded.columns |= byte_columns((_cut(tokenizer.tokenize(text), within) for text in raw), name)
    of_bytes = tokenizer.config.word_bytes  # of which none is unknown
    encoded.unknown = _without_known(sides, -1 if of_bytes else tokenizer.unk_token_id)
    return encoded


def _cut(words: Sequence[str], reading: LongTexts) -> list[str]:
    """What is kept of the words of a text, as of their ids."""
    return [words[place] for place in reading.cut(np.arange(len(words), dtype=np.int32)).tolist()]


def unknown_shares(columns: Mapping[str, list[Ids]], tokens: SpecialIds) -> NDArray[np.float64]:
    """``(rows,)``: the share of unknown tokens in a text, or in both texts of a pair; 1 where there are no tokens.

    Special tokens are no tokens of a text.
    """
    sides = [columns[name] for name in (FIRST, SECOND) if name in columns]
    unknown = sum(_counted(rows, lambda ids: ids == tokens.unk_token_id) for rows in sides)
    of_texts = sum(_counted(rows, lambda ids: ~np.isin(ids, tokens.special_token_ids)) for rows in sides)
    return np.divide(unknown, of_texts, out=np.ones(len(sides[0])), where=of_texts > 0)


def _without_known(sides: Sequence[Sequence[Ids]], unk_token_id: int) -> NDArray[np.int64]:
    known = [_counted(rows, lambda ids: ids != unk_token_id) for rows in sides]
    return np.flatnonzero(np.min(known, axis=0) == 0)


def _counted(rows: Sequence[Ids], which: Callable[[Ids], NDArray[np.bool_]]) -> NDArray[np.int64]:
    """``(rows,)``: how many ids of each row are such."""
    if not len(rows):
        return np.empty(0, np.int64)
    before = np.concatenate([[0], np.cumsum(which(np.concatenate(rows)))])
    ends = np.cumsum([0, *map(len, rows)])
    return np.asarray(before[ends[1:]] - before[ends[:-1]], np.int64)


def _joined(first: list[Ids], second: list[Ids], around: Surroundings, room: int, *, both_orders: bool) -> EncodedTexts:
    """``room``: tokens that both texts may have together; 0: any number."""
    encoded = EncodedTexts({name: [] for name in COLUMNS["symmetric" if both_orders else "joined"]})
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        if 0 < room < len(a) + len(b):
            encoded.cut.append(row)
            a, b = _longest_first(a, b, room)
        encoded.columns[FIRST].append(around.around(a, b))
        if both_orders:
            encoded.columns[SECOND].append(around.around(b, a))
        else:
            encoded.columns[TYPES].append(around.token_types(len(a), len(b)))
    return encoded


def _longest_first(a: Ids, b: Ids, room: int) -> tuple[Ids, Ids]:
    """What is left when the longer one loses its last token until both fit; of equally long ones the second does."""
    of_a = max(room - len(b), min(len(a), (room + 1) // 2))
    return a[:of_a], b[: max(0, room - of_a)]


def _stacked(first: Tensor, second: Tensor) -> Tensor:
    """Two ``(batch, ...)`` above each other, each with zeros behind it on every axis on which it is the shorter."""
    sizes = [max(a, b) for a, b in zip(first.shape[1:], second.shape[1:], strict=True)]
    return torch.cat([_widened(each, sizes) for each in (first, second)])


def _widened(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    behind = [(0, size - here) for size, here in zip(sizes, tensor.shape[1:], strict=True)]
    return torch.nn.functional.pad(tensor, [each for pair in reversed(behind) for each in pair])


def _kind(row: Row) -> str:
    return "a single text" if row.text_b is None else "a pair of texts"
