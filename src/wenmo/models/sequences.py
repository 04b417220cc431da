"""The five shapes of a recurrence, over the same layers: how many vectors go in, how many come out, and when.

    one to one                  `one_to_one`        a single step
    one to many                 `one_to_many`       a vector or some tokens start a sequence: a language model
    many to one                 `ManyToOne`         a text gets one answer: classification
    many to many, aligned       `ManyToMany`        every token gets an answer: tagging
    many to many, delayed       `EncoderDecoder`    a text is read to its end, then another is written: translation

The last is Sutskever et al., NeurIPS 2014, https://arxiv.org/abs/1409.3215, and Cho et al., EMNLP 2014,
https://arxiv.org/abs/1406.1078, without attention. Whatever writes, writes token by token with a `Decoder`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.dropout import Dropout
from wenmo.models.embeddings import PADDING_ID
from wenmo.models.recurrent import Recurrent, RecurrentConfig, RecurrentStack, RecurrentState


def one_to_one(stack: RecurrentStack, x: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
    """A single step through all layers.

    Args:
        stack: of one direction or two; in a single step they see the same.
        x: ``(batch, embedding_size)``.
        state: from which to go on; None: zeros, and the step is a feed-forward layer.

    Returns:
        ``(batch, hidden_size)``, and the state behind the step.
    """
    states, after = stack(x.unsqueeze(1), x.new_ones(len(x), 1, dtype=torch.long), state)
    return states.squeeze(1), after


class ManyToOne(nn.Module):
    """One answer for a text: a linear layer over its vector."""

    def __init__(self, extractor: Recurrent, num_labels: int, dropout_prob: float = 0.0) -> None:
        super().__init__()
        self.extractor = extractor
        self.dropout = Dropout(dropout_prob)
        self.classifier = nn.Linear(extractor.config.pooler_size, num_labels)

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; the classifier starts at zero."""
        self.extractor.initialize(generator)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, batch: TokenBatch) -> Tensor:
        """``(batch, num_labels)`` logits."""
        logits: Tensor = self.classifier(self.dropout(self.extractor(batch).pooler_output))
        return logits


class ManyToMany(nn.Module):
    """An answer for every token: a linear layer over the state behind it, with two directions also before it."""

    def __init__(self, extractor: Recurrent, num_labels: int, dropout_prob: float = 0.0) -> None:
        super().__init__()
        self.extractor = extractor
        self.dropout = Dropout(dropout_prob)
        self.classifier = nn.Linear(extractor.config.hidden_size, num_labels)

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; the classifier starts at zero."""
        self.extractor.initialize(generator)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, batch: TokenBatch) -> Tensor:
        """``(batch, length, num_labels)`` logits; what stands on the padding means nothing: label it -100."""
        logits: Tensor = self.classifier(self.dropout(self.extractor(batch).last_hidden_state))
        return logits


class Decoder(nn.Module):
    """A language model: from the tokens so far, and a state, to scores for the next token."""

    def __init__(self, config: RecurrentConfig, dropout_prob: float = 0.0) -> None:
        super().__init__()
        if config.bidirectional or config.pooling == "attention":
            raise ValueError(
                "a decoder reads in one direction, because what comes later is not written yet, and pools nothing; "
                "set bidirectional=False and another pooling than attention"
            )
        self.config = config
        self.extractor = Recurrent(config)
        self.dropout = Dropout(dropout_prob)
        self.output = nn.Linear(config.hidden_size, config.vocab_size)

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; the output starts at zero: every token is as likely as any other."""
        self.extractor.initialize(generator)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, decoder_input_ids: Tensor, state: RecurrentState | None = None, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Score what follows each token.

        Args:
            decoder_input_ids: ``(batch, length)``.
            state: from which to go on; None: zeros.
            attention_mask: ``(batch, length)``; None: there is no padding.

        Returns:
            Logits ``(batch, length, vocab_size)``: those at a token are for the one behind it; and the last state.
        """
        mask = torch.ones_like(decoder_input_ids) if attention_mask is None else attention_mask
        batch = TokenBatch(input_ids=decoder_input_ids, attention_mask=mask, past_key_values=state)
        features: Features = self.extractor(batch, use_cache=True)
        return self.output(self.dropout(features.last_hidden_state)), features.past_key_values


def one_to_many(
    decoder: Decoder,
    decoder_input_ids: Tensor,
    state: RecurrentState | None = None,
    *,
    max_new_tokens: int,
    eos_token_id: int | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Let a decoder write on.

    Args:
        decoder: what writes; in evaluation mode, or dropout takes part.
        decoder_input_ids: ``(batch, length)``: what it has written so far, at least one token such as [CLS].
        state: from which it starts, such as one made of a vector by `StateOfVector`; None: zeros.
        max_new_tokens: when to stop at the latest.
        eos_token_id: behind this token a text is finished, and padding follows.
        temperature: of sampling: logits are divided by it.
        generator: where to draw from; None: the likeliest token is taken each time.

    Returns:
        ``(batch, new)``, new at most ``max_new_tokens``: the tokens written, ``eos_token_id`` among them.

    Raises:
        ValueError: there is no token to start with, or a number cannot work.
    """
    if decoder_input_ids.size(1) == 0 or max_new_tokens < 0 or temperature <= 0:
        raise ValueError(
            f"writing starts from at least one token (got {decoder_input_ids.size(1)}), max_new_tokens is at least 0 "
            f"(got {max_new_tokens}) and temperature above 0 (got {temperature})"
        )
    written = decoder_input_ids.new_empty(len(decoder_input_ids), 0)
    finished = torch.zeros(len(decoder_input_ids), dtype=torch.bool, device=decoder_input_ids.device)
    read = decoder_input_ids
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits, state = decoder(read, state)
            chosen = _choose(logits[:, -1], temperature, generator).masked_fill(finished, PADDING_ID)
            read = chosen.unsqueeze(1)
            written = torch.cat([written, read], dim=1)
            if eos_token_id is not None:
                finished = finished | (chosen == eos_token_id)
                if bool(finished.all()):
                    break
    return written


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """``(batch, vocab_size)`` to ``(batch,)``: drawn, or the likeliest."""
    if generator is None:
        return logits.argmax(dim=-1)
    return torch.multinomial((logits.float() / temperature).softmax(dim=-1), 1, generator=generator).squeeze(1)


class StateOfVector(nn.Module):
    """A vector as the state from which a decoder starts: ``tanh(W v + b)`` of each layer, as in Cho et al."""

    def __init__(self, vector_size: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.num_states = 2 if config.cell == "lstm" else 1
        self.projection = nn.Linear(vector_size, self.num_states * config.num_hidden_layers * config.num_units)

    def initialize(self, generator: torch.Generator) -> None:
        """Weights uniform as of Glorot and Bengio, AISTATS 2010; biases 0."""
        nn.init.xavier_uniform_(self.projection.weight, generator=generator)
        nn.init.zeros_(self.projection.bias)

    def forward(self, vector: Tensor) -> RecurrentState:
        """``(batch, vector_size)`` to the state of a decoder of one direction."""
        shape = (len(vector), self.num_states, self.config.num_hidden_layers, self.config.num_units)
        states = torch.tanh(self.projection(vector)).view(shape).permute(1, 2, 0, 3).contiguous()
        return RecurrentState(*states)


@dataclass(frozen=True)
class Encoded:
    """What an encoder hands to a decoder."""

    state: RecurrentState
    """From which the decoder starts."""
    encoder_hidden_states: Tensor
    """``(batch, length, hidden_size)``, for a decoder that looks back at them."""
    encoder_attention_mask: Tensor
    """``(batch, length)``."""


class EncoderDecoder(nn.Module):
    """Reads a text to its end, then writes another one that starts from what was read."""

    def __init__(self, encoder: Recurrent, decoder: Decoder, bridge: Literal["dense", "copy"] = "dense") -> None:
        """Put both together.

        Args:
            encoder: of any depth, one direction or two.
            decoder: its sizes may be others.
            bridge: ``dense``: the decoder starts from the encoder's last layer, behind its last step in each direction,
                through `StateOfVector` (Cho et al.). ``copy``: from the encoder's very state, layer by layer
                (Sutskever et al.).

        Raises:
            ValueError: the state cannot be copied because the sizes differ.
        """
        super().__init__()
        sizes = [(c.cell, c.num_hidden_layers, c.num_units, c.bidirectional) for c in (encoder.config, decoder.config)]
        if bridge == "copy" and sizes[0] != sizes[1]:
            raise ValueError(
                f"bridge='copy' wants the same cell, layers and units, in one direction; the encoder has {sizes[0]}, "
                f"the decoder {sizes[1]}; make them equal or take bridge='dense'"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.bridge = StateOfVector(encoder.config.hidden_size, decoder.config) if bridge == "dense" else None

    def initialize(self, generator: torch.Generator) -> None:
        """As each part says."""
        self.encoder.initialize(generator)
        self.decoder.initialize(generator)
        if self.bridge is not None:
            self.bridge.initialize(generator)

    def encode(self, batch: TokenBatch) -> Encoded:
        """Read the texts to their ends."""
        features: Features = self.encoder(batch, use_cache=True)
        state: RecurrentState = features.past_key_values
        if self.bridge is not None:
            last = state.hidden[-self.encoder.config.num_directions :]  # (num_directions, batch, num_units)
            state = self.bridge(last.transpose(0, 1).flatten(1))
        return Encoded(state, features.last_hidden_state, batch.attention_mask)

    def decode(
        self, decoder_input_ids: Tensor, state: RecurrentState, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Score what follows each token written, from the state of `Encoded` or of an earlier call; see `Decoder`."""
        scored: tuple[Tensor, RecurrentState] = self.decoder(decoder_input_ids, state, attention_mask)
        return scored

    def forward(
        self, batch: TokenBatch, decoder_input_ids: Tensor, decoder_attention_mask: Tensor | None = None
    ) -> Tensor:
        """Logits ``(batch, decoder length, vocab_size)`` for the token behind each that was really written."""
        return self.decode(decoder_input_ids, self.encode(batch).state, decoder_attention_mask)[0]

    def generate(
        self,
        batch: TokenBatch,
        *,
        bos_token_id: int,
        max_new_tokens: int,
        eos_token_id: int | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Read each text and write another one, which begins behind ``bos_token_id``; see `one_to_many`."""
        with torch.no_grad():
            encoded = self.encode(batch)
        first = torch.full((len(batch.attention_mask), 1), bos_token_id, device=batch.attention_mask.device)
        return one_to_many(
            self.decoder,
            first,
            encoded.state,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            temperature=temperature,
            generator=generator,
        )
