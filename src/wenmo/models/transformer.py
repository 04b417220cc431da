"""The Transformer: texts read, and written, by attention alone.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, https://arxiv.org/abs/1706.03762, whose section numbers stand
below. `TransformerEncoder` is its encoder as an extractor, `Transformer` the whole, encoder and decoder. We differ in
three ways. Padding never reaches a result. The extractor pools its last layer to one vector a text, which the paper has
no use for, and is small unless told otherwise. Where the paper leaves a number open (the layer norm's epsilon), it is
that of the authors' code, https://github.com/tensorflow/tensor2tensor.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import Features, TokenBatch
from wenmo.models.config import PairMode
from wenmo.models.depths import Depths
from wenmo.models.embeddings import PADDING_ID, Channels, TokenEmbeddings
from wenmo.models.pooling import pool
from wenmo.models.stack import StackConfig, stack_layer
from wenmo.models.tracing import note
from wenmo.models.transformer_layers import LayerCache, StackOutput, TransformerStack
from wenmo.models.writing import Scorer, Written, scorer_of


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(StackConfig):
    """Sizes of an encoder. The defaults are ours, for some thousands of labelled texts."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity", "choose")
    pair: ClassVar[PairMode] = "joined"
    reads_vectors: ClassVar[bool] = True

    model_type: Literal["transformer"] = "transformer"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    embedding_size: int = 0
    """Width of the word vectors; 0: hidden_size. Another width is projected to it."""
    channels: Channels = "rand"
    """Where the word vectors come from and whether they are trained."""
    hidden_size: int = 128
    """Width of every layer's output."""
    num_hidden_layers: int = 2
    """Layers of the encoder."""
    num_attention_heads: int = 4
    """Heads of a layer, which share hidden_size equally."""
    intermediate_size: int = 512
    """Width inside the feed-forward networks."""
    type_vocab_size: int = 2
    """Segments that have vectors of their own: the first and the second text of a pair; 0: none."""
    pooling: Literal["mean", "max", "first"] = "mean"
    """What makes one vector of a text: the mean or maximum over its tokens, or its first token."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_size < 0:
            raise ValueError(f"embedding_size must be a width, or 0 for hidden_size; got {self.embedding_size}")


class TransformerEncoder(nn.Module):
    """Layers in which every token looks at every other; the text is what the last layer makes of them (section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _embeddings(
            config, config.vocab_size, config.embedding_size, config.channels, config.type_vocab_size
        )
        self.encoder = TransformerStack(stack_layer(config) for _ in range(config.num_hidden_layers))

    def initialize(self, generator: torch.Generator) -> None:
        """As in the authors' code: word vectors normal(0, 1 / hidden_size), trained positions alike, the padding 0;
        projections and feed-forward networks uniform as of Glorot and Bengio, biases 0; layer norms 1 and 0."""
        _initialize_embeddings(self.embeddings, generator)
        self.encoder.initialize(generator)

    def forward(
        self, batch: TokenBatch, *, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> Features:
        """Words and positions (sections 3.4 and 3.5), then the layers, then the pooling.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or ``inputs_embeds`` ``(batch, length, embedding_size)``, and
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding. ``position_ids`` if they are
                not to be counted from 0.
            output_hidden_states: give the embeddings and every layer's output.
            output_attentions: give every layer's weights of attention.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``, 0 on the padding. ``pooler_output``
            ``(batch, hidden_size)``; zeros for a text without tokens.

        Raises:
            ValueError: the batch has length 0.
            InputError: a text is over ``max_position_embeddings``.
        """
        output: StackOutput = self.encoder(
            _embed(self.embeddings, batch),
            attention_mask=batch.attention_mask,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        pooled = pool(output.last_hidden_state, batch.attention_mask, self.config.pooling)
        return Features(
            last_hidden_state=output.last_hidden_state.masked_fill(~batch.attention_mask.unsqueeze(-1).bool(), 0.0),
            pooler_output=note(f"{self.config.pooling} over the text", pooled, "batch", "hidden_size"),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def depths(self) -> Depths:
        """The embeddings, then each layer; see `wenmo.models.depths`."""
        return [[self.embeddings], *self.encoder.depths()]


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(StackConfig):
    """Sizes of an encoder and a decoder. The defaults are Vaswani's base model (table 3)."""

    tasks: ClassVar[tuple[str, ...]] = ("translate",)

    model_type: Literal["encoder-decoder"] = "encoder-decoder"
    num_decoder_layers: int = 6
    """Layers of the decoder."""
    decoder_vocab_size: int = 0
    """Tokens that are written; 0: those that are read, by the same vectors (section 3.4)."""
    tie_word_embeddings: bool = True
    """The logits are products with the vectors of the words that are written (section 3.4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_decoder_layers < 1:
            raise ValueError(f"num_decoder_layers must be at least 1; got {self.num_decoder_layers}")
        if self.decoder_vocab_size < 0:
            raise ValueError(f"decoder_vocab_size must be a number of tokens, or 0; got {self.decoder_vocab_size}")


def transformer_base(vocab_size: int) -> EncoderDecoderConfig:
    """The base model of table 3; with its 37,000 word pieces, 65 million parameters."""
    return EncoderDecoderConfig(vocab_size=vocab_size)


def transformer_big(vocab_size: int) -> EncoderDecoderConfig:
    """The big model of table 3; the paper has dropout 0.1 for English to French."""
    return EncoderDecoderConfig(
        vocab_size=vocab_size,
        hidden_size=1024,
        num_attention_heads=16,
        intermediate_size=4096,
        hidden_dropout_prob=0.3,
    )


class Decoded(NamedTuple):
    """What a decoder says; what was not asked for is None."""

    logits: Tensor
    """``(batch, length, vocab_size)``: which token comes next."""
    past_key_values: tuple[LayerCache, ...] | None
    attentions: tuple[Tensor, ...] | None
    cross_attentions: tuple[Tensor, ...] | None


@dataclass(frozen=True)
class TransformerWriting:
    """What a `Transformer` knows between two steps."""

    past_key_values: tuple[LayerCache, ...] | None
    """Of each layer, of the rows written so far and of the texts; None before the first step."""
    encoder_hidden_states: Tensor
    """``(texts, length, hidden_size)``."""
    encoder_attention_mask: Tensor
    """``(texts, length)``."""

    def select(self, rows: Tensor, texts: Tensor | None = None) -> "TransformerWriting":
        """See `wenmo.models.writing.WritingState`."""
        past = self.past_key_values and tuple(layer.select(rows, texts) for layer in self.past_key_values)
        if texts is None:
            return replace(self, past_key_values=past)
        return TransformerWriting(past, self.encoder_hidden_states[texts], self.encoder_attention_mask[texts])


class Transformer(nn.Module):
    """An encoder reads a text, and a decoder writes another one, token by token (figure 1)."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        written = config.decoder_vocab_size or config.vocab_size
        own, tied = bool(config.decoder_vocab_size), config.tie_word_embeddings
        self.embeddings = _embeddings(config, config.vocab_size, tied=tied and not own)
        self.decoder_embeddings = _embeddings(config, written, tied=tied) if own else None
        self.encoder = TransformerStack(stack_layer(config) for _ in range(config.num_hidden_layers))
        self.decoder = TransformerStack(
            stack_layer(config, causal=True, cross_attention=True) for _ in range(config.num_decoder_layers)
        )
        self.classifier = None if config.tie_word_embeddings else nn.Linear(config.hidden_size, written, bias=False)

    def initialize(self, generator: torch.Generator) -> None:
        """As `TransformerEncoder.initialize`, the decoder likewise."""
        _initialize_embeddings(self.embeddings, generator)
        if self.decoder_embeddings is not None:
            _initialize_embeddings(self.decoder_embeddings, generator)
        self.encoder.initialize(generator)
        self.decoder.initialize(generator)
        if self.classifier is not None:
            nn.init.xavier_uniform_(self.classifier.weight, generator=generator)

    def forward(
        self, batch: TokenBatch, decoder_input_ids: Tensor, *, decoder_attention_mask: Tensor | None = None
    ) -> Decoded:
        """Read the text and answer every position of the one that is written.

        Args:
            batch: the text to read, as `TransformerEncoder.forward` takes it.
            decoder_input_ids: ``(batch, decoder_length)``: the text to write, begun with a token that says so.
            decoder_attention_mask: ``(batch, decoder_length)``. Padding on the right needs none: no token looks behind
                itself.

        Returns:
            ``logits`` ``(batch, decoder_length, vocab_size)``; those at a position are about the next token, and see
            the tokens up to this position.

        Raises:
            ValueError: a text has length 0.
            InputError: one is over ``max_position_embeddings``.
        """
        return self.decode(
            decoder_input_ids,
            encoder_hidden_states=self.encode(batch).last_hidden_state,
            encoder_attention_mask=batch.attention_mask,
            decoder_attention_mask=decoder_attention_mask,
        )

    def encode(self, batch: TokenBatch) -> Features:
        """Read a text: ``last_hidden_state`` ``(batch, length, hidden_size)``; ``pooler_output`` is its mean."""
        output: StackOutput = self.encoder(_embed(self.embeddings, batch), attention_mask=batch.attention_mask)
        states = output.last_hidden_state
        return Features(last_hidden_state=states, pooler_output=pool(states, batch.attention_mask, "mean"))

    def decode(
        self,
        decoder_input_ids: Tensor,
        *,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        past_key_values: tuple[LayerCache, ...] | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
    ) -> Decoded:
        """Write on: the logits behind each of some tokens.

        Args:
            decoder_input_ids: ``(batch, length)``; with ``past_key_values`` only the tokens that are new.
            encoder_hidden_states: ``(batch, encoder_length, hidden_size)``; not needed with ``past_key_values``.
            encoder_attention_mask: ``(batch, encoder_length)``.
            decoder_attention_mask: 1 on the text and 0 on the padding, over the earlier tokens as well.
            past_key_values: what the call for the tokens before these gave.
            use_cache: give ``past_key_values``.
            output_attentions: give the weights of both kinds of attention.

        Raises:
            ValueError: there is nothing of the encoder.
            InputError: the text is over ``max_position_embeddings``.
        """
        output = self._decode(
            decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
        )
        logits = self.logits(output.last_hidden_state)
        return Decoded(logits, output.past_key_values, output.attentions, output.cross_attentions)

    def start(self, batch: TokenBatch) -> TransformerWriting:
        """See `wenmo.models.writing.Writer`."""
        return TransformerWriting(None, self.encode(batch).last_hidden_state, batch.attention_mask)

    def step(self, decoder_input_ids: Tensor, state: TransformerWriting, *, output_attentions: bool = False) -> Written:
        """See `wenmo.models.writing.Writer`; the attentions are the last layer's, the mean of its heads."""
        output = self._decode(
            decoder_input_ids,
            encoder_hidden_states=state.encoder_hidden_states,
            encoder_attention_mask=state.encoder_attention_mask,
            past_key_values=state.past_key_values,
            use_cache=True,
            output_attentions=output_attentions,
        )
        attentions = None
        if output.cross_attentions is not None:
            weights = output.cross_attentions[-1].mean(dim=1)  # (texts, rows of a text * length, encoder_length)
            attentions = weights.reshape(*decoder_input_ids.shape, -1)
        state = replace(state, past_key_values=output.past_key_values)
        return Written(output.last_hidden_state, state, attentions)

    def teach(self, batch: TokenBatch, decoder_input_ids: Tensor, decoder_attention_mask: Tensor) -> Tensor:
        """See `wenmo.models.writing.Writer`."""
        output = self._decode(
            decoder_input_ids,
            encoder_hidden_states=self.encode(batch).last_hidden_state,
            encoder_attention_mask=batch.attention_mask,
        )
        return output.last_hidden_state

    def logits(self, hidden_states: Tensor) -> Tensor:
        """``(..., hidden_size)`` to ``(..., vocab_size)``."""
        return F.linear(hidden_states, self._output())

    def scorer(self, num_rows: int) -> Scorer:
        """See `wenmo.models.writing.Writer`."""
        return scorer_of(self._output(), None, num_rows)

    def _output(self) -> Tensor:
        """The weight of the logits."""
        return self._written().words.words.weight if self.classifier is None else self.classifier.weight

    def _decode(self, decoder_input_ids: Tensor, **arguments: Any) -> StackOutput:
        """The decoder over the tokens that are new; the arguments are those of `TransformerStack.forward`."""
        past: tuple[LayerCache, ...] | None = arguments.get("past_key_values")
        past_length = past[0].attention.keys.size(2) if past else 0
        embedded = self._written()(decoder_input_ids, past_length=past_length)
        output: StackOutput = self.decoder(embedded, **arguments)
        return output

    def _written(self) -> TokenEmbeddings:
        """The vectors of the tokens that are written."""
        return self.embeddings if self.decoder_embeddings is None else self.decoder_embeddings


def _embeddings(
    config: StackConfig,
    vocab_size: int,
    embedding_size: int = 0,
    channels: Channels = "rand",
    type_vocab_size: int = 0,
    tied: bool = False,
) -> TokenEmbeddings:
    """Words times the root of ``hidden_size``, positions, dropout (sections 3.4 and 5.4); segments as in BERT."""
    return TokenEmbeddings(
        vocab_size,
        config.hidden_size,
        max_position_embeddings=config.max_position_embeddings,
        position_embedding_type=config.position_embedding_type,
        embedding_size=embedding_size,
        channels=channels,
        type_vocab_size=type_vocab_size,
        tied=tied,
        scale=True,
        hidden_dropout_prob=config.hidden_dropout_prob,
    )


def _embed(embeddings: TokenEmbeddings, batch: TokenBatch) -> Tensor:
    embedded: Tensor = embeddings(
        batch.input_ids,
        inputs_embeds=batch.inputs_embeds,
        position_ids=batch.position_ids,
        token_type_ids=batch.token_type_ids,
    )
    return embedded


@torch.no_grad()
def _initialize_embeddings(embeddings: TokenEmbeddings, generator: torch.Generator) -> None:
    std = embeddings.hidden_size**-0.5
    nn.init.normal_(embeddings.words.words.weight, std=std, generator=generator)
    embeddings.words.words.weight[PADDING_ID].zero_()
    if embeddings.projection is not None:
        nn.init.xavier_uniform_(embeddings.projection.weight, generator=generator)
    if embeddings.positions is not None:
        nn.init.normal_(embeddings.positions.weight, std=std, generator=generator)
    if embeddings.segments is not None:  # a single text begins as if there were none
        nn.init.zeros_(embeddings.segments.weight)
