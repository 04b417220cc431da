"""Vectors of words: random or given, fixed or trained, or one table of each (Kim 2014, section 3.1).

And of tokens in their places, as Transformers read them (Vaswani et al., NeurIPS 2017, sections 3.4 and 3.5; segments:
Devlin et al., NAACL 2019, figure 2; tasks: Sun et al., AAAI 2020, figure 3).
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.models.dropout import Dropout
from wenmo.models.tracing import note

Channels = Literal["rand", "static", "non-static", "multichannel"]
"""``rand``: random and trained. ``static``: given and fixed. ``non-static``: given and trained. ``multichannel``:
two tables from the same given vectors, one fixed and one trained."""

PositionEmbeddings = Literal["sinusoidal", "learned"]
"""Waves of falling frequency, or a trained vector for each position."""

PADDING_ID = 0
UNKNOWN_ID = 1
"""What a tokenizer gives for a token that is not in its vocabulary."""


class WordEmbeddings(nn.Module):
    """A vector for each id.

    With two channels the vectors are added: a filter that runs over both channels and sums its two answers before
    bias and activation (Kim 2014, section 2.1) is, being linear, the same filter over the sum of the channels.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        channels: Channels = "rand",
        *,
        padding_id: int | None = PADDING_ID,
        tied: bool = False,
    ) -> None:
        """The vector of ``padding_id`` is never trained; None: every id is a token. With ``tied`` the table also is
        the output layer of a model that writes, so every batch changes all of it."""
        super().__init__()
        self.tied = tied
        if vocab_size < 1:
            raise ValueError("vocab_size is 0; build the tokenizer first and pass its size")
        self.channels: Channels = channels
        self.words = nn.Embedding(vocab_size, embedding_size, padding_idx=padding_id)
        self.words.weight.requires_grad_(channels != "static")
        fixed = torch.zeros(vocab_size, embedding_size) if channels == "multichannel" else None
        self.fixed_weight: Tensor | None
        self.register_buffer("fixed_weight", fixed)

    def initialize(self, generator: torch.Generator) -> None:
        """Uniform(-0.25, 0.25) as in Kim's code; the padding is zero."""
        nn.init.uniform_(self.words.weight, -0.25, 0.25, generator=generator)
        with torch.no_grad():
            self.words.weight[PADDING_ID].zero_()

    @torch.no_grad()
    def load_vectors(self, matrix: Tensor) -> None:
        """Take given vectors ``(vocab_size, embedding_size)`` into every channel.

        Raises:
            ValueError: the shape is not that of the table.
        """
        if matrix.shape != self.words.weight.shape:
            raise ValueError(
                f"the vectors are {tuple(matrix.shape)}, the model wants {tuple(self.words.weight.shape)}; "
                f"set model.embedding_size={matrix.shape[-1]} or bring other vectors"
            )
        self.words.weight.copy_(matrix)
        if self.fixed_weight is not None:
            self.fixed_weight.copy_(matrix)

    def forward(self, input_ids: Tensor) -> Tensor:
        """``(...)`` ids to ``(..., embedding_size)`` vectors."""
        vectors: Tensor = self.words(input_ids)
        return vectors if self.fixed_weight is None else vectors + F.embedding(input_ids, self.fixed_weight)


class TokenEmbeddings(nn.Module):
    """The vector of each token's word, plus those of its position and, if the model has them, its segment and task.

    Vaswani et al.: ``scale``, which multiplies the words by the root of ``hidden_size``, and dropout on the sum.
    BERT: learned positions, segments, and a layer norm before the dropout. GPT: learned positions and dropout.
    ELECTRA: as BERT in the width of the words, and the whole is projected.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        max_position_embeddings: int,
        position_embedding_type: PositionEmbeddings = "sinusoidal",
        position_offset: int = 0,
        type_vocab_size: int = 0,
        task_type_vocab_size: int = 0,
        embedding_size: int = 0,
        projected: Literal["words", "sum"] = "words",
        channels: Channels = "rand",
        padding_id: int | None = PADDING_ID,
        tied: bool = False,
        scale: bool = False,
        layer_norm_eps: float | None = None,
        hidden_dropout_prob: float = 0.0,
    ) -> None:
        """Make the tables.

        Args:
            vocab_size: words.
            hidden_size: width of the result.
            max_position_embeddings: most tokens of a text.
            position_embedding_type: how a token's place is told.
            position_offset: the row of the learned positions at which the first token finds its own.
            type_vocab_size: segments; 0: they are not told.
            task_type_vocab_size: tasks of ERNIE 2.0; 0: they are not told.
            embedding_size: width of the word vectors; 0: ``hidden_size``. Another width is projected to it.
            projected: the words alone, or the normalised sum, all of whose parts then have the width of the words.
            channels: see `WordEmbeddings`, also for ``padding_id``.
            padding_id: the word whose vector is never trained.
            tied: the words' table also is the output layer.
            scale: words are multiplied by the root of ``hidden_size``.
            layer_norm_eps: of the layer norm on the sum; None: there is none.
            hidden_dropout_prob: of the dropout at the end.
        """
        super().__init__()
        self.hidden_size = hidden_size
        self.max_position_embeddings = max_position_embeddings
        self.scale = math.sqrt(hidden_size) if scale else 1.0
        embedding_size = embedding_size or hidden_size
        self.words = WordEmbeddings(vocab_size, embedding_size, channels, padding_id=padding_id, tied=tied)
        self.projects_sum = projected == "sum"
        self.width = embedding_size if self.projects_sum else hidden_size
        """Of the vectors that are added."""
        other = embedding_size != hidden_size
        self.projection = nn.Linear(embedding_size, hidden_size, bias=self.projects_sum) if other else None
        learned = position_embedding_type == "learned"
        self.position_offset = position_offset
        self.positions = nn.Embedding(position_offset + max_position_embeddings, self.width) if learned else None
        self.segments = nn.Embedding(type_vocab_size, self.width) if type_vocab_size else None
        self.tasks = nn.Embedding(task_type_vocab_size, self.width) if task_type_vocab_size else None
        self.norm = None if layer_norm_eps is None else nn.LayerNorm(self.width, eps=layer_norm_eps)
        self.dropout = Dropout(hidden_dropout_prob)

    def load_vectors(self, matrix: Tensor) -> None:
        """Take given word vectors, as `WordEmbeddings.load_vectors` does."""
        self.words.load_vectors(matrix)

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        task_type_ids: Tensor | None = None,
        past_length: int = 0,
    ) -> Tensor:
        """Add up what is known of each token.

        Args:
            input_ids: ``(batch, length)``; or, in their place, ``inputs_embeds`` ``(batch, length, embedding_size)``.
            inputs_embeds: vectors instead of words.
            position_ids: ``(batch, length)``; None: counted from ``past_length``.
            token_type_ids: ``(batch, length)``, the segments; None: all are 0.
            task_type_ids: ``(batch, length)``; None: all are 0.
            past_length: how many tokens stand before these.

        Returns:
            ``(batch, length, hidden_size)``.

        Raises:
            ValueError: there is no token.
            InputError: a text is over ``max_position_embeddings``.
        """
        words = inputs_embeds if input_ids is None else self.words(input_ids)
        assert words is not None, "a Transformer reads input_ids or inputs_embeds"
        length = words.size(1)
        if length == 0:
            raise ValueError("the batch has length 0; drop rows without tokens, or let the tokenizer add [CLS]")
        self.check_length(past_length + length)
        note("vectors of the words", words, "batch", "length", "embedding_size")
        if self.projection is not None and not self.projects_sum:
            words = self.projection(words)  # (batch, length, hidden_size)
        if position_ids is None:
            position_ids = torch.arange(past_length, past_length + length, device=words.device)
        states = words * self.scale + self._positions(position_ids, words.dtype)
        for table, ids in ((self.segments, token_type_ids), (self.tasks, task_type_ids)):
            if table is not None:
                states = states + table(torch.zeros_like(position_ids) if ids is None else ids)
        note("with the positions", states, "batch", "length", "hidden_size")
        states = states if self.norm is None else self.norm(states)
        embedded: Tensor = self.dropout(states)
        if self.projection is not None and self.projects_sum:
            embedded = self.projection(embedded)  # (batch, length, hidden_size)
        return embedded

    def check_length(self, length: int) -> None:
        """Make sure that there are positions for a text of so many tokens.

        Raises:
            InputError: there are not.
        """
        if length > self.max_position_embeddings:
            raise InputError(
                f"length {length} is over max_position_embeddings {self.max_position_embeddings}; "
                f"cut the text (data.max_length), or train a model with a larger model.max_position_embeddings"
            )

    def _positions(self, position_ids: Tensor, dtype: torch.dtype) -> Tensor:
        if self.positions is None:
            return sinusoids(position_ids, self.width, dtype)
        vectors: Tensor = self.positions(position_ids + self.position_offset)
        return vectors


def sinusoids(position_ids: Tensor, hidden_size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i / hidden_size)), PE(pos, 2i + 1) its cosine (Vaswani et al., section 3.5).

    ``(...)`` positions to ``(..., hidden_size)``; ``hidden_size`` is even. Computed in float32 at least.
    """
    exact = torch.promote_types(dtype, torch.float32)
    pairs = torch.arange(0, hidden_size, 2, device=position_ids.device, dtype=exact)  # 2i
    angles = position_ids.unsqueeze(-1) * torch.exp(pairs * (-math.log(10_000.0) / hidden_size))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(dtype)
