"""What runs a model's weights: the model itself, or something faster that is proven equal to it.

An engine takes texts as rows of token ids and gives each its ``pooler_output``, or a vector made of those of its
tokens. ``torch`` runs the model on padded batches. ``packed`` is for models on the CPU that have a faster form:
recurrent ones and Transformers, which have files of their own (`wenmo.inference.recurrent_engine`,
`wenmo.inference.transformer_engine`), and a TextCNN, for which it rests on three facts:

- What a word adds to a filter's answer depends on that word and its place in the n-gram alone. So the products of
  every word vector with every filter are computed once for the whole vocabulary, and a text needs no matrix product.
- An n-gram's answer is then a sum of rows of that table, one for each place. That is what `embedding_bag` computes,
  without writing down the rows it adds.
- Texts of one length stand beside each other without padding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Literal, Protocol, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import BatchOrder, token_batch
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.recurrent_engine import PackedRecurrent, why_not_packed
from wenmo.inference.transformer_engine import TRANSFORMERS, PackedTransformer
from wenmo.inference.word_table import TABLE_BYTES, WordTable
from wenmo.inference.word_table import TokenIds as TokenIds
from wenmo.models.recurrent import Recurrent
from wenmo.models.textcnn import TextCnn

Runtime = Literal["auto", "torch", "packed"]
Precision = Literal["float32", "bfloat16"]

_TOKENS_AT_ONCE = 4096
"""Small enough for the processor's cache, large enough for its threads."""
PADDED_BATCHES = BatchOrder(batch_tokens=_TOKENS_AT_ONCE, bucket=1 << 20, shuffle=False)


class Engine(Protocol):
    """Computes the model's ``pooler_output``. Safe to use from several threads."""

    @property
    def name(self) -> Runtime:
        """What a person calls it."""
        ...

    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """Texts to vectors, ``(len(rows), pooler_size)``, in their order.

        Args:
            rows: the ids of each text; there is at least one.
            types: the ``token_type_ids`` of each text, as long as its ids; a model without segments ignores them.
            how: what is made of the vectors of the tokens, ``(len(rows), how.size(config))``; None: the model's
                ``pooler_output``.

        Raises:
            InputError: a text is longer than the model reads, or it has no such layer.
        """
        ...


def known_precision(name: str) -> Precision:
    """The precision of this name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    for each in get_args(Precision):
        if each == name:
            return cast(Precision, each)
    raise InputError(f"there is no precision {name!r}; the precisions are {', '.join(get_args(Precision))}")


def packed_wanted(runtime: str, why_not: str) -> bool:
    """Whether the packed runtime shall run a model; ``why_not`` says why it cannot, and is empty where it can.

    Raises:
        InputError: there is no such runtime, or it cannot run the model.
    """
    if runtime not in ("auto", "torch", "packed"):
        raise InputError(f"there is no runtime {runtime!r}; the runtimes are auto, torch, packed")
    if runtime == "packed" and why_not:
        raise InputError(f"the packed runtime {why_not}; use auto or torch")
    return runtime != "torch" and not why_not


def choose_engine(extractor: nn.Module, runtime: str, device: torch.device, precision: Precision) -> Engine:
    """The engine of that name; for ``auto`` the fastest that covers the model.

    Raises:
        InputError: there is no such runtime, or it does not cover the model or the device.
    """
    if not packed_wanted(runtime, _why_not_packed(extractor, device)):
        return TorchEngine(extractor, device, precision)
    dtype = torch.bfloat16 if precision == "bfloat16" else None
    if isinstance(extractor, Recurrent):
        return PackedRecurrent(extractor, dtype)
    if isinstance(extractor, TRANSFORMERS):
        return PackedTransformer(extractor, dtype)
    assert isinstance(extractor, TextCnn)
    return PackedTextCnn(extractor, precision)


def _why_not_packed(extractor: nn.Module, device: torch.device) -> str:
    if isinstance(extractor, Recurrent):
        reason = why_not_packed(extractor)
    elif isinstance(extractor, TRANSFORMERS):
        reason = ""
    elif not isinstance(extractor, TextCnn):
        reason = f"runs a TextCNN, a recurrent model or a Transformer, and this is a {type(extractor).__name__}"
    elif extractor.config.pooling == "kmax":
        reason = "pools by max or average, and this TextCNN by kmax"
    else:
        reason = ""
    if reason:
        return reason
    return "" if device.type == "cpu" else f"runs on the CPU, and the device is {device}"


def run_in_batches(
    rows: Sequence[TokenIds],
    compute: Callable[[TokenBatch], Tensor],
    device: torch.device,
    precision: Precision,
    types: Sequence[TokenIds] | None = None,
) -> Tensor:
    """Apply a function of a batch to padded batches of similar length; gives ``(len(rows), ...)`` in their order."""
    order = PADDED_BATCHES.epoch(_lengths(rows), 0)
    bfloat16 = precision == "bfloat16"
    parts = []
    with torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext():
        for batch in (each.tolist() for each in order):
            types_of_batch = None if types is None else [types[i] for i in batch]
            parts.append(compute(token_batch([rows[i] for i in batch], types=types_of_batch).to(device)))
    return in_order(torch.cat(parts), np.concatenate(order))


class TorchEngine:
    """The model itself."""

    name: Runtime = "torch"

    def __init__(self, extractor: nn.Module, device: torch.device, precision: Precision = "float32") -> None:
        self._extractor = extractor
        self._device = device
        self._precision: Precision = precision

    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """See `Engine`."""

        def vectors(batch: TokenBatch) -> Tensor:
            found: Tensor = self._extractor(batch).pooler_output if how is None else how(self._extractor, batch)
            return found

        return run_in_batches(rows, vectors, self._device, self._precision, types)


class PackedTextCnn:
    """A TextCNN as sums of looked-up products.

    The table is computed when the first text comes; a later change of the model's weights is not seen.
    """

    name: Runtime = "packed"

    def __init__(self, model: TextCnn, precision: Precision = "float32", *, table_bytes: int = TABLE_BYTES) -> None:
        self._config = model.config
        self._embeddings = model.embeddings
        self._model_itself = TorchEngine(model, torch.device("cpu"), precision)
        state = model.state_dict()
        widths = range(len(model.convs))
        # (sum of widths * num_filters, embedding_size): the filters of one width and one place in the n-gram are a
        # block of num_filters rows.
        self._weights = torch.cat([state[f"convs.{i}.weight"].permute(2, 0, 1).flatten(0, 1) for i in widths])
        self._bias = torch.stack([state[f"convs.{i}.bias"] for i in widths])  # (num_widths, num_filters)
        self._dtype = torch.bfloat16 if precision == "bfloat16" else self._weights.dtype
        row_bytes = len(self._weights) * self._dtype.itemsize
        self._table = WordTable(self._products, self._config.vocab_size, table_bytes // row_bytes)

    @torch.inference_mode()
    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """See `Engine`; where ``how`` asks for vectors of tokens, the model itself gives them."""
        if how is not None:
            return self._model_itself.pooled(rows, types, how)
        lengths = _lengths(rows)
        if len(rows) > 1 and not self._table.covers(int(lengths.sum())):
            half = len(rows) // 2
            return torch.cat([self.pooled(rows[:half]), self.pooled(rows[half:])])
        order = np.argsort(lengths, kind="stable")
        table, words = self._table.rows_of(np.concatenate([rows[i] for i in order.tolist()]))
        features = [self._features(table, texts) for texts in _equally_long(words, lengths[order])]
        return in_order(torch.cat(features), order)

    def _products(self, words: Tensor) -> Tensor:
        """``(num_words + 1, sum of widths * num_filters)``; the last row is zeros, for what is not text."""
        products = self._weights.new_zeros(len(words) + 1, len(self._weights))
        torch.mm(self._embeddings(words), self._weights.t(), out=products[:-1])
        return products.to(self._dtype)

    def _features(self, table: Tensor, texts: Tensor) -> Tensor:
        """Rows of the table, ``(num_texts, length)``, to ``(num_texts, hidden_size)``."""
        num_texts, length = texts.shape
        widest, num_blocks = max(self._config.kernel_sizes), sum(self._config.kernel_sizes)
        texts = F.pad(texts, (self._num_before(), widest), value=len(table) - 1)
        texts, blocks = texts * num_blocks, table.view(-1, self._config.num_filters)  # a row is so many blocks
        pooled, place = [], 0
        for width, bias in zip(self._config.kernel_sizes, self._bias, strict=True):
            first, num_ngrams = self._ngrams(width, length)
            ngrams = texts.unfold(1, width, 1)[:, first : first + num_ngrams]
            ngrams = ngrams + torch.arange(place, place + width)  # (num_texts, num_ngrams, width)
            scores = F.embedding_bag(ngrams.flatten(0, 1), blocks, mode="sum")
            pooled.append(self._pool(scores.view(num_texts, num_ngrams, len(bias)), bias))
            place += width
        return torch.cat(pooled, dim=1)

    def _num_before(self) -> int:
        """Zero vectors before a text."""
        widest = max(self._config.kernel_sizes)
        return {"valid": 0, "same": (widest - 1) // 2, "wide": widest - 1}[self._config.padding]

    def _ngrams(self, width: int, length: int) -> tuple[int, int]:
        """Where the first n-gram that counts begins, and how many there are."""
        if self._config.padding == "valid":
            return 0, max(length - width, 0) + 1
        if self._config.padding == "same":
            return self._num_before() - (width - 1) // 2, max(length, 1)
        return 0, length + 2 * self._num_before() - (width - 1)

    def _pool(self, scores: Tensor, bias: Tensor) -> Tensor:
        """``(num_texts, num_ngrams, num_filters)`` to ``(num_texts, num_filters)``."""
        if scores.size(1) == 0:
            return bias.new_zeros(len(scores), len(bias))
        if self._config.pooling == "average":
            return F.relu(scores + bias).mean(dim=1)
        return F.relu(scores.amax(dim=1) + bias)  # both rise with the score, so the order does not matter


def _equally_long(words: Tensor, lengths: NDArray[np.int64]) -> Iterator[Tensor]:
    """Cut the words of texts sorted by length into blocks ``(num_texts, length)``."""
    first_text, first_word = 0, 0
    for end in [*(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]:
        length = int(lengths[first_text])
        texts = words[first_word : first_word + (end - first_text) * length].view(end - first_text, length)
        at_once = max(1, _TOKENS_AT_ONCE // max(1, length))
        yield from (texts[i : i + at_once] for i in range(0, len(texts), at_once))
        first_text, first_word = end, first_word + texts.numel()


def _lengths(rows: Sequence[TokenIds]) -> NDArray[np.int64]:
    return np.fromiter(map(len, rows), np.int64, len(rows))


def in_order(sorted_rows: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Undo a permutation of rows."""
    rows = torch.empty_like(sorted_rows)
    rows[torch.from_numpy(order).to(rows.device)] = sorted_rows
    return rows
