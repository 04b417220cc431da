"""How sequences are cut out of a shard: parts of text, which stand in it as runs of tokens.

Every way to cut gives a `Cut`, some compact arrays over the shard's tokens taken as one long row: pairs of sentences,
paragraphs in another order and turns of a dialogue differ only in which runs stand together and what class that is. A
cut is a function of the shard and of a generator that is made of seed, shard and pass (`wenmo.pretraining.draws`).
"""

from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wenmo.data.batching import FIRST
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, WORD_PADDING_ID
from wenmo.pretraining.sequences import Frame, Ids, Sequence
from wenmo.pretraining.shards import CAPITALS, SPANS, Shard

CHARACTERS, WORD_SIZES = "character_ids", "word_sizes"
"""Columns of a shard for models that read words as bytes."""

_DOCUMENTS_KEPT = 256
"""Of which the words are counted, so that a long one is not counted for each of its sequences."""

Part = tuple[int, int, int]
"""The first token of a part in the shard, the token behind its last, its kind."""


class Cutter(Protocol):
    """A way to cut: settings, and what makes a cut with them."""

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> "Cut":
        """The sequences of one pass, each at most ``length`` tokens with the special ones.

        Raises:
            InputError: no sequence can be cut out of such text; the message says what to do.
        """
        ...


@dataclass(frozen=True, eq=False)
class Cut:
    """Which tokens of a shard stand together, row by row."""

    shard: Shard
    frame: Frame
    offsets: NDArray[np.int32]
    """``(rows + 1,)``: the first part of each row."""
    begins: NDArray[np.int32]
    """``(parts,)``: first tokens, counted over the shard."""
    ends: NDArray[np.int32]
    """``(parts,)``: the tokens behind the last ones."""
    types: NDArray[np.int8]
    """``(parts,)``: their ``token_type_ids``."""
    labels: NDArray[np.int32]
    """``(rows,)``: classes; -100 where rows have none."""

    @classmethod
    def of(
        cls,
        shard: Shard,
        frame: Frame,
        rows: Many[Many[Part]],
        labels: Many[int] | None = None,
    ) -> Self:
        """Rows given as their parts."""
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        parts = np.array([part for row in rows for part in row], np.int64).reshape(-1, 3)
        given = np.full(len(rows), IGNORED_LABEL, np.int32) if labels is None else np.array(labels, np.int32)
        return cls.of_arrays(shard, frame, offsets, parts, given)

    @classmethod
    def of_arrays(
        cls, shard: Shard, frame: Frame, offsets: NDArray[Any], parts: NDArray[np.int64], labels: NDArray[np.int32]
    ) -> Self:
        """The same of arrays: ``(rows + 1,)``, ``(parts, 3)`` and ``(rows,)``."""
        if parts.size and parts[:, :2].max() >= 1 << 31:
            raise ValueError("a shard has fewer than 2^31 tokens; write more of them")
        types = np.minimum(parts[:, 2], max(0, frame.num_types - 1))
        begins, ends = parts[:, 0].astype(np.int32), parts[:, 1].astype(np.int32)
        return cls(shard, frame, offsets.astype(np.int32), begins, ends, types.astype(np.int8), labels)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """``(rows,)``: tokens of each, the special ones among them."""
        sizes = np.concatenate([[0], np.cumsum(self.ends.astype(np.int64) - self.begins)])
        parts = np.diff(self.offsets)
        text = sizes[self.offsets[1:]] - sizes[self.offsets[:-1]]
        special = len(self.frame.before) + len(self.frame.behind) + (parts - 1) * len(self.frame.between)
        return np.asarray(text + special, np.int64)

    def __getitem__(self, row: int) -> Sequence:
        parts = range(self.offsets[row], self.offsets[row + 1])
        runs = [(int(self.begins[i]), int(self.ends[i]), int(self.types[i])) for i in parts]
        return self.text.sequence(runs, self.frame, int(row), int(self.labels[row]))

    def take(self, rows: NDArray[np.int64]) -> list[Sequence]:
        """Some of the sequences."""
        return [self[int(row)] for row in rows]

    @cached_property
    def text(self) -> "ShardText":
        """What sequences are made of."""
        return ShardText(self.shard)


@dataclass(frozen=True)
class WholeSentences:
    """Running text for models that see both sides: as many whole sentences as a sequence holds.

    Documents are joined, with a separator between them, because short ones would leave most of a sequence to padding
    (RoBERTa's FULL-SENTENCES, Liu et al. 2019, section 4.2); a sequence therefore ends where a sentence does, and
    only a sentence that is longer than a sequence is divided. Every token comes once. The cut draws nothing.
    """

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """The sequences, all of them of one part for each document that they have something of.

        Raises:
            InputError: the length leaves no room for text.
        """
        room = needed_room(frame, length)
        rows: list[list[Part]] = []
        parts: list[Part] = []
        left, last = room, -1
        for begin, end, document in _sentences_up_to(shard, room):
            separator = len(frame.between) if parts and document != last else 0
            if parts and end - begin + separator > left:
                rows.append(parts)
                parts, left, separator = [], room, 0
            if parts and document == last:
                parts[-1] = (parts[-1][0], end, 0)
            else:
                parts.append((begin, end, 0))
            left -= end - begin + separator
            last = document
        return Cut.of(shard, frame, [*rows, parts] if parts else rows)


@dataclass(frozen=True)
class Stream:
    """Running text for models that read from left to right: windows of one long text.

    A separator, if the frame has one, stands behind each document. A window begins with the last token of the one
    before, or with what the frame has before it, so that each token is foretold once; only the very first may lack
    something to be foretold from. Windows cut sentences, which a model that foretells every token loses nothing by. The
    cut draws nothing.
    """

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """The windows, all but the last of them full.

        Raises:
            InputError: the length leaves no room for two tokens of text.
        """
        room, gap = needed_room(frame, length, 2), len(frame.between)
        if gap > 1:
            raise ValueError(f"documents of a stream are separated by one token at most; got {frame.between}")
        starts = token_starts(shard)
        begins, ends = starts[shard.documents[:-1]], starts[shard.documents[1:]]
        at = begins + gap * np.arange(len(begins))  # where each document begins when all separators are written
        total = int(starts[-1]) + gap * len(begins)
        seen = 0 if frame.before else 1  # tokens that a window has in common with the one before
        first = np.arange(0, max(0, total - seen), room - seen)  # of each window
        behind = np.minimum(first + room, total)
        # A window that ends with a separator has an empty part behind it, of the document that follows or of none.
        low = np.searchsorted(at, first, side="right") - 1
        high = np.searchsorted(at, behind - 1, side="right") - 1
        high += (behind - 1 >= at[high] + (ends - begins)[high]) if len(at) else 0
        counts = high - low + 1
        offsets = np.concatenate([[0], np.cumsum(counts)])
        window = np.repeat(np.arange(len(first)), counts)
        document = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - low, counts)
        starts_at = np.append(at, total)[document]
        from_text, to_text = np.append(begins, starts[-1])[document], np.append(ends, starts[-1])[document]
        parts = np.zeros((len(document), 3), np.int64)
        parts[:, 0] = np.clip(from_text + first[window] - starts_at, from_text, to_text)
        parts[:, 1] = np.clip(from_text + behind[window] - starts_at, from_text, to_text)
        return Cut.of_arrays(shard, frame, offsets, parts, np.full(len(first), IGNORED_LABEL, np.int32))


@dataclass(frozen=True)
class SingleSentences:
    """Each sentence by itself, in its order; a longer one is divided. For models that mark the ends of what they read
    and carry their state to the next, such as ELMo."""

    def cut(self, shard: Shard, frame: Frame, length: int, rng: np.random.Generator) -> Cut:
        """The sentences.

        Raises:
            InputError: the length leaves no room for text.
        """
        room = needed_room(frame, length)
        return Cut.of(shard, frame, [[(begin, end, 0)] for begin, end, _ in _sentences_up_to(shard, room)])


def needed_room(frame: Frame, length: int, least: int = 1, parts: int = 1) -> int:
    """Tokens of text in a sequence.

    Raises:
        InputError: there are fewer than ``least``.
    """
    room = frame.room(length, parts)
    if room < least:
        raise InputError(
            f"a length of {length} leaves {max(0, room)} tokens of text beside the special ones, and at least {least} "
            "are needed; allow more (corpus.length)"
        )
    return room


def token_starts(shard: Shard) -> NDArray[np.int64]:
    """``(sentences + 1,)``: the first token of each sentence, counted over the shard."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(shard.sizes)])


def document_of_sentences(shard: Shard) -> NDArray[np.int64]:
    """``(sentences,)``: the document of each."""
    return np.repeat(np.arange(len(shard.documents) - 1), np.diff(shard.documents))


def _sentences_up_to(shard: Shard, room: int) -> list[tuple[int, int, int]]:
    """First token, the token behind the last, document: of each sentence, or of pieces of it that are ``room`` long."""
    starts = token_starts(shard)
    if not len(shard):
        return []
    pieces = -(-shard.sizes // room)
    sentence = np.repeat(np.arange(len(shard)), pieces)
    nth = np.arange(len(sentence)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begins = starts[sentence] + nth * room
    ends = np.minimum(begins + room, starts[sentence + 1])
    documents = document_of_sentences(shard)[sentence]
    return list(zip(begins.tolist(), ends.tolist(), documents.tolist(), strict=True))


class ShardText:
    """The columns of a shard as long rows of tokens."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.starts = token_starts(shard)
        self.sentence_documents = document_of_sentences(shard)
        self.ids = _Long(shard, FIRST)
        self.columns = {name: _Long(shard, name) for name in (CAPITALS, WORD_SIZES) if shard.has(name)}
        self._counted: dict[int, tuple[Ids, NDArray[np.int64]]] = {}
        self.has_spans = shard.has(SPANS)
        if self.has_spans:
            self.spans = _Long(shard, SPANS)
            self.span_starts = np.concatenate([[0], np.cumsum(shard.store[SPANS].lengths)])

    def sequence(self, runs: Many[Part], frame: Frame, row: int, label: int) -> Sequence:
        """Runs of tokens with the special tokens around them."""
        ids: list[Any] = [frame.before]
        types = [np.full(len(frame.before), runs[0][2], np.int32)]
        parts = np.zeros((len(runs), 3), np.int32)
        place, spans = len(frame.before), []
        for i, (begin, end, kind) in enumerate(runs):
            after = frame.behind if i == len(runs) - 1 else frame.between
            ids += [self.ids[begin:end], after]
            types.append(np.full(end - begin + len(after), kind, np.int32))
            parts[i] = place, place + end - begin, kind
            if self.has_spans and end > begin:
                spans.append(self._spans(begin, end, place))
            place += end - begin + len(after)
        special = np.ones(place, bool)
        for first, behind, _ in parts:
            special[first:behind] = False
        return Sequence(
            row=row,
            input_ids=np.concatenate([np.asarray(each, np.int32) for each in ids]),
            token_type_ids=np.concatenate(types),
            special=special,
            spans=np.concatenate(spans) if spans else np.empty((0, 3), np.int32),
            label=label,
            document=self._document(runs[0][0]),
            columns={name: self._column(name, runs, parts, place) for name in self.columns if name != WORD_SIZES},
            parts=parts,
            runs=np.array([run[:2] for run in runs], np.int64),
            characters=self._characters(runs) if self.shard.has(CHARACTERS) and not special.any() else None,
        )

    def recurring(self, begin: int, end: int) -> NDArray[np.bool_] | None:
        """Of each token of a run whether it stands in the rest of its document too; None where there is no rest."""
        document = self._document(begin)
        first, behind = self.starts[self.shard.documents[document : document + 2]].tolist()
        if (first, behind) == (begin, end):
            return None
        if document not in self._counted:
            if len(self._counted) == _DOCUMENTS_KEPT:
                self._counted.clear()
            self._counted[document] = np.unique(self.ids[first:behind], return_counts=True)
        words, counts = self._counted[document]
        own, places, own_counts = np.unique(self.ids[begin:end], return_inverse=True, return_counts=True)
        return np.asarray((counts[np.searchsorted(words, own)] > own_counts)[places])

    def _document(self, token: int) -> int:
        sentence = int(np.searchsorted(self.starts, token, side="right")) - 1
        return int(self.sentence_documents[min(sentence, len(self.sentence_documents) - 1)])

    def _column(self, name: str, runs: Many[Part], parts: NDArray[np.int32], length: int) -> Ids:
        out = np.full(length, IGNORED_LABEL, np.int32)
        for (begin, end, _), (first, behind, _) in zip(runs, parts, strict=True):
            out[first:behind] = self.columns[name][begin:end]
        return out

    def _spans(self, begin: int, end: int, place: int) -> NDArray[np.int32]:
        """Spans of the sentences that a run has something of, those that are in it wholly."""
        first = int(np.searchsorted(self.starts, begin, side="right")) - 1
        last = int(np.searchsorted(self.starts, end, side="left"))
        found = self.spans[int(self.span_starts[first]) : int(self.span_starts[last])].reshape(-1, 3)
        counts = (self.span_starts[first + 1 : last + 1] - self.span_starts[first:last]) // 3
        moved = found[:, :2] + np.repeat(self.starts[first:last] - begin, counts)[:, None]
        inside = (moved[:, 0] >= 0) & (moved[:, 1] <= end - begin)
        out = np.empty((int(inside.sum()), 3), np.int32)
        out[:, :2] = moved[inside] + place
        out[:, 2] = found[inside, 2]
        return out

    def _characters(self, runs: Many[Part]) -> NDArray[np.int32]:
        """Of each word of the runs its bytes, one word a row."""
        words: list[NDArray[np.int32]] = []
        for begin, end, _ in runs:
            sentence = int(np.searchsorted(self.starts, begin, side="right")) - 1
            while begin < end:
                until = min(end, int(self.starts[sentence + 1]))
                first = int(self.starts[sentence])
                bounds = np.concatenate([[0], np.cumsum(self.shard.store[WORD_SIZES][sentence])])
                characters = self.shard.store[CHARACTERS][sentence]
                words += np.split(characters, bounds[1:-1])[begin - first : until - first]
                begin, sentence = until, sentence + 1
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        table = np.full((len(words), int(sizes.max(initial=1))), WORD_PADDING_ID, np.int32)
        table[np.arange(table.shape[1]) < sizes[:, None]] = np.concatenate(words) if words else 0
        return table


class _Long:
    """A ragged column of a shard without its rows: values one after the other, whatever pieces they lie in."""

    def __init__(self, shard: Shard, name: str) -> None:
        pieces = shard.store[name].pieces
        self._values = [values[offsets[0] : offsets[-1]] for values, offsets in pieces]
        self._starts = np.concatenate([[0], np.cumsum([len(values) for values in self._values])]).astype(np.int64)

    def __getitem__(self, run: slice) -> Ids:
        begin, end = run.start, run.stop
        piece = min(int(np.searchsorted(self._starts, begin, side="right")), len(self._values)) - 1
        found = []
        while piece >= 0 and piece < len(self._values) and self._starts[piece] < end:
            start = self._starts[piece]
            found.append(self._values[piece][max(0, begin - start) : end - start])
            piece += 1
        return found[0] if len(found) == 1 else np.concatenate(found) if found else np.empty(0, np.int32)
