"""Recurrent encoder-decoders: a fixed vector, or attention, between the text that is read and the one that is written.

``y`` is the vector of the token before, ``s`` the decoder's state, ``h_j`` the encoder's states, ``c`` the context.

    none        c = the encoder's states behind its last step in each direction      Cho et al., EMNLP 2014,
                s = f(s, [y; c]),  t = maxout(W [s; y; c])                            https://arxiv.org/abs/1406.1078
    bahdanau    c = Σ α_j h_j,  α_j of the state *before*: vᵀ tanh(W s + U h_j)       Bahdanau et al., ICLR 2015,
                s = f(s, [y; c]),  t = maxout(W [s; y; c])                            https://arxiv.org/abs/1409.0473
    dot, general, concat                                                             Luong et al., EMNLP 2015,
                s = f(s, y), or f(s, [y; t]) with ``input_feeding``                   https://arxiv.org/abs/1508.04025
                c = Σ α_j h_j,  α_j of the state *behind* the step
                t = tanh(W [c; s])

The logits are products of t with the vectors of the tokens. ``none`` and ``bahdanau`` differ by the alignment alone.
We differ from the papers in that t sees the state behind the step in all of them (Bahdanau: before it), that the
decoder starts from tanh(W [forward; backward]) of the encoder's last states, and that a GRU's reset gate stands behind
the product, as in torch. Both texts have one vocabulary and one table of vectors, as in Vaswani et al. 2017.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import TokenBatch
from wenmo.models.attention import AdditiveAttention, Attended, MultiplicativeAttention
from wenmo.models.config import ModelConfig
from wenmo.models.dropout import Dropout
from wenmo.models.embeddings import PADDING_ID, WordEmbeddings
from wenmo.models.packing import Packing
from wenmo.models.recurrent import RecurrentConfig, RecurrentStack, RecurrentState
from wenmo.models.sequences import StateOfVector
from wenmo.models.tracing import note
from wenmo.models.writing import Scorer, Written, by_text, scorer_of

AttentionName = Literal["none", "bahdanau", "dot", "general", "concat"]
_LUONG = ("dot", "general", "concat")


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig(ModelConfig):
    """Sizes of a recurrent encoder-decoder. The defaults are ours, for some ten thousand pairs of sentences."""

    tasks: ClassVar[tuple[str, ...]] = ("translate",)

    model_type: Literal["seq2seq"] = "seq2seq"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    cell: Literal["gru", "lstm"] = "gru"
    attention: AttentionName = "bahdanau"
    """How the decoder looks back at the text: not at all (a fixed vector), or by one of four alignments."""
    input_feeding: bool = False
    """What was last looked at goes into the next step (Luong et al., section 3.3)."""
    embedding_size: int = 256
    num_units: int = 256
    """Units of the encoder, in each direction."""
    num_decoder_units: int = 0
    """Units of the decoder; 0: as many."""
    num_hidden_layers: int = 1
    """Layers of encoder and decoder, each."""
    bidirectional: bool = True
    """The encoder reads in both directions."""
    tie_word_embeddings: bool = True
    """The logits are products with the vectors of the words, not with weights of their own."""
    hidden_dropout_prob: float = 0.3
    """While training, on word vectors, between layers, on what the encoder gives and before the logits."""
    max_position_embeddings: int = 512
    """Most tokens of a text, as the others have it; a recurrence needs no such limit."""

    def __post_init__(self) -> None:
        for name in ("embedding_size", "num_units", "num_hidden_layers", "max_position_embeddings"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.hidden_dropout_prob < 1:
            raise ValueError(f"hidden_dropout_prob must be at least 0 and below 1; got {self.hidden_dropout_prob}")
        if self.input_feeding and self.attention not in _LUONG:
            raise ValueError(
                f"input_feeding is for attention {', '.join(_LUONG)}; {self.attention!r} has the context in its step"
            )
        if self.attention == "dot" and self.decoder_units != self.hidden_size:
            raise ValueError(
                f"attention 'dot' compares the decoder's {self.decoder_units} units with the encoder's "
                f"{self.hidden_size}; set num_decoder_units={self.hidden_size}, or use 'general'"
            )

    @property
    def hidden_size(self) -> int:
        """Width of the encoder's states: the units of all directions."""
        return self.num_units * (2 if self.bidirectional else 1)

    @property
    def decoder_units(self) -> int:
        """Units of the decoder."""
        return self.num_decoder_units or self.num_units

    def encoder(self) -> RecurrentConfig:
        """The layers that read."""
        return self._layers(self.embedding_size, self.num_units, self.bidirectional)

    def decoder(self) -> RecurrentConfig:
        """The layers that write."""
        if self.input_feeding:
            input_size = 2 * self.embedding_size
        else:
            input_size = self.embedding_size + (0 if self.attention in _LUONG else self.hidden_size)
        return self._layers(input_size, self.decoder_units, False)

    def _layers(self, input_size: int, num_units: int, bidirectional: bool) -> RecurrentConfig:
        return RecurrentConfig(
            cell=self.cell,
            vocab_size=self.vocab_size,
            embedding_size=input_size,
            num_units=num_units,
            num_hidden_layers=self.num_hidden_layers,
            bidirectional=bidirectional,
            forget_bias=1.0 if self.cell == "lstm" else 0.0,
            hidden_dropout_prob=self.hidden_dropout_prob if self.num_hidden_layers > 1 else 0.0,
        )


@dataclass(frozen=True)
class RecurrentWriting:
    """What a `Seq2Seq` knows between two steps."""

    states: tuple[tuple[Tensor, ...], ...]
    """Of each layer h, and c of an lstm, ``(rows, decoder_units)``."""
    fed: Tensor | None
    """t of the step before, ``(rows, embedding_size)``, for ``input_feeding``."""
    values: Tensor
    """What the context is made of: ``(texts, length, hidden_size)``; the fixed vector is one of length 1."""
    keys: Tensor
    """What the alignment needs of the values, made once."""
    attention_mask: Tensor
    """``(texts, length)``."""

    def select(self, rows: Tensor, texts: Tensor | None = None) -> "RecurrentWriting":
        """See `WritingState`."""
        states = tuple(tuple(each[rows] for each in layer) for layer in self.states)
        state = replace(self, states=states, fed=None if self.fed is None else self.fed[rows])
        if texts is None:
            return state
        return replace(
            state, values=self.values[texts], keys=self.keys[texts], attention_mask=self.attention_mask[texts]
        )


class Seq2Seq(nn.Module):
    """Reads a text with a recurrence, and writes another one with a second, which looks back at the first."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = WordEmbeddings(config.vocab_size, config.embedding_size, tied=config.tie_word_embeddings)
        self.encoder = RecurrentStack(config.encoder())
        self.decoder = RecurrentStack(config.decoder())
        self.bridge = StateOfVector(config.hidden_size, config.decoder())
        self.attention = _make_attention(config)
        self.is_luong = config.attention in _LUONG
        width = config.decoder_units + config.hidden_size
        if self.is_luong:
            self.readout = nn.Linear(width, config.embedding_size, bias=False)
        else:
            self.readout = nn.Linear(width + config.embedding_size, 2 * config.embedding_size)
        self.classifier = None if config.tie_word_embeddings else nn.Linear(config.embedding_size, config.vocab_size)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.tie_word_embeddings else None
        self.dropout = Dropout(config.hidden_dropout_prob)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Word vectors normal(0, 1 / embedding_size), the padding 0; recurrences, bridge and attention as they say;
        readout and classifier uniform as of Glorot and Bengio, AISTATS 2010; biases 0."""
        vectors = self.embeddings.words.weight
        nn.init.normal_(vectors, std=self.config.embedding_size**-0.5, generator=generator)
        vectors[PADDING_ID].zero_()
        for part in (self.encoder, self.decoder, self.bridge, self.attention):
            if part is not None:
                part.initialize(generator)
        for linear in (self.readout, self.classifier):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)
        if self.output_bias is not None:
            nn.init.zeros_(self.output_bias)

    def start(self, batch: TokenBatch) -> RecurrentWriting:
        """Read the texts to their ends; see `Writer`.

        Args:
            batch: ``input_ids`` and ``attention_mask``, ``(batch, length)``.
        """
        packing = Packing.of(batch.attention_mask)
        assert batch.input_ids is not None, "a Seq2Seq reads input_ids"
        words = self.dropout(self.embeddings(packing.pack(batch.input_ids)))
        packed, state = self.encoder.run(note("vectors of the words", words, "tokens", "embedding_size"), packing)
        directions = state.hidden[-self.encoder.config.num_directions :]  # (num_directions, batch, num_units)
        summary = directions.transpose(0, 1).flatten(1)  # (batch, hidden_size)
        note("behind the last step in each direction", summary, "batch", "hidden_size")
        first = cast(RecurrentState, self.bridge(summary))
        states = tuple(zip(*(each.unbind(0) for each in first.tensors()), strict=True))
        fed = summary.new_zeros(len(summary), self.config.embedding_size) if self.config.input_feeding else None
        if self.attention is None:
            values, mask = self.dropout(summary).unsqueeze(1), batch.attention_mask[:, :1]
        else:
            values, mask = self.dropout(packing.unpack(packed)), batch.attention_mask
        keys = values if self.attention is None else self.attention.project(values)
        return RecurrentWriting(states, fed, values, keys, mask)

    def step(self, decoder_input_ids: Tensor, state: RecurrentWriting, *, output_attentions: bool = False) -> Written:
        """Write on; see `Writer`."""
        words = self.dropout(self.embeddings(decoder_input_ids))  # (rows, length, embedding_size)
        hidden, attentions = [], []
        for word in words.unbind(1):
            read, state, looked = self._advance(word, state, output_attentions)
            hidden.append(self._looked(read) if state.fed is None else state.fed)
            if looked is not None:
                attentions.append(looked)
        weights = torch.stack(attentions, dim=1) if attentions else None
        return Written(torch.stack(hidden, dim=1), state, weights)

    def teach(self, batch: TokenBatch, decoder_input_ids: Tensor, decoder_attention_mask: Tensor) -> Tensor:
        """See `Writer`. What no step needs of the one before is computed for all steps at once."""
        state = self.start(batch)
        words = self.dropout(self.embeddings(decoder_input_ids))  # (batch, length, embedding_size)
        if self.attention is None or (self.is_luong and state.fed is None):
            return self._looked(self._all_steps(words, state, decoder_attention_mask))
        reads, fed = [], []
        for word in words.unbind(1):
            read, state, _ = self._advance(word, state)
            reads.append(read)
            if state.fed is not None:
                fed.append(state.fed)
        return torch.stack(fed, dim=1) if fed else self._looked(torch.stack(reads, dim=1))

    def logits(self, hidden_states: Tensor) -> Tensor:
        """``(..., embedding_size)`` to ``(..., vocab_size)``."""
        return F.linear(self.dropout(hidden_states), *self._output())

    def scorer(self, num_rows: int) -> Scorer:
        """See `Writer`."""
        return scorer_of(*self._output(), num_rows)

    def _output(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the logits."""
        if self.classifier is None:
            return self.embeddings.words.weight, self.output_bias
        return self.classifier.weight, self.classifier.bias

    def _advance(
        self, word: Tensor, state: RecurrentWriting, output_attentions: bool = False
    ) -> tuple[Tensor, RecurrentWriting, Tensor | None]:
        """The equations: from ``(rows, embedding_size)`` to what t is made of, the state and the weights."""
        if self.is_luong:
            top, states = self._recur(word if state.fed is None else torch.cat([word, state.fed], dim=1), state.states)
            context, weights = self._look(top, state, output_attentions)
            read = torch.cat([context, top], dim=1)
            return read, replace(state, states=states, fed=None if state.fed is None else self._looked(read)), weights
        context, weights = self._look(state.states[-1][0], state, output_attentions)
        top, states = self._recur(torch.cat([word, context], dim=1), state.states)
        return torch.cat([top, word, context], dim=1), replace(state, states=states), weights

    def _recur(
        self, x: Tensor, states: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
        """One step through all layers: the top layer's h, and the states of every layer."""
        after: list[tuple[Tensor, ...]] = []
        for i, cell in enumerate(self.decoder.cells()):
            x = self.dropout(x) if i else x
            after.append(tuple(cell(x, states[i])))
            x = after[-1][0]
        return x, tuple(after)

    def _look(
        self, queries: Tensor, state: RecurrentWriting, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """``(rows, decoder_units)`` to the contexts ``(rows, hidden_size)``, and the weights ``(rows, length)``."""
        num_texts = len(state.values)
        if self.attention is None:
            context = state.values.expand(-1, len(queries) // num_texts, -1)
            return context.reshape(len(queries), -1), None
        found: Attended = self.attention(
            by_text(queries, num_texts),
            state.values,
            state.attention_mask,
            keys=state.keys,
            output_attentions=output_attentions,
        )
        weights = None if found.attentions is None else found.attentions.flatten(0, 1)
        return found.context.flatten(0, 1), weights

    def _all_steps(self, words: Tensor, state: RecurrentWriting, attention_mask: Tensor) -> Tensor:
        """As `_advance`, of a whole sequence at once, where no step needs what was looked at before."""
        stacked = RecurrentState(*(torch.stack(kind) for kind in zip(*state.states, strict=True)))
        if self.attention is None:
            context = state.values.expand(-1, words.size(1), -1)
            top, _ = self.decoder(torch.cat([words, context], dim=-1), attention_mask, stacked)
            return torch.cat([top, words, context], dim=-1)
        top, _ = self.decoder(words, attention_mask, stacked)
        found: Attended = self.attention(top, state.values, state.attention_mask, keys=state.keys)
        return torch.cat([found.context, top], dim=-1)

    def _looked(self, read: Tensor) -> Tensor:
        """t of what was read: ``(..., width)`` to ``(..., embedding_size)``."""
        joined: Tensor = self.readout(read)
        return torch.tanh(joined) if self.is_luong else joined.view(*joined.shape[:-1], -1, 2).amax(dim=-1)


def _make_attention(config: Seq2SeqConfig) -> AdditiveAttention | MultiplicativeAttention | None:
    match config.attention:
        case "none":
            return None
        case "bahdanau":
            return AdditiveAttention(config.decoder_units, config.hidden_size, config.decoder_units)
        case alignment:
            return MultiplicativeAttention(config.decoder_units, config.hidden_size, alignment=alignment)
