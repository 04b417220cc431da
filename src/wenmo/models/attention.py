"""Attention: a query looks at the keys, and takes the values in shares that add up to 1.

- Additive: Bahdanau, Cho and Bengio, ICLR 2015, https://arxiv.org/abs/1409.0473, section 3.1 and appendix A.1.2.
- Multiplicative: Luong, Pham and Manning, EMNLP 2015, https://arxiv.org/abs/1508.04025, section 3.1.
- Scaled dot-product and multi-head: Vaswani et al., NeurIPS 2017, https://arxiv.org/abs/1706.03762, section 3.2.

Each stands here as its equation. What is a dot product also runs on `torch.nn.functional.scaled_dot_product_attention`,
which never writes the weights down; it is taken wherever nobody asks for the weights. We differ in one way: a query
that may look at nothing (a text without tokens) gets zeros, where the equations would divide 0 by 0.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.dropout import dropout
from wenmo.models.tracing import note

Alignment = Literal["dot", "general", "concat", "location"]
"""Luong et al.'s names for how a score is made of a query and a key."""

Use = Literal["self", "causal", "cross"]
"""The three uses of Vaswani et al., section 3.2.3. ``self``: an encoder looks at its own layer below. ``causal``: so
does a decoder, but no token sees a later one. ``cross``: queries from the decoder's layer below, keys and values from
the encoder's output."""


_SHORT = 32
"""Tokens up to which the equations train faster than torch's path."""


class KeyValues(NamedTuple):
    """What a decoder keeps of tokens it has seen; both ``(batch, num_attention_heads, length, head_size)``."""

    keys: Tensor
    values: Tensor


class Attended(NamedTuple):
    """What the queries took."""

    context: Tensor
    """``(batch, query_length, size)``."""
    attentions: Tensor | None
    """The weights, ``(batch, query_length, key_length)`` or, with heads, ``(batch, num_attention_heads, query_length,
    key_length)``; None unless asked for."""
    past_key_values: KeyValues | None = None
    """The keys and values looked at, to be handed in again with the next tokens."""


def masked_softmax(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Scores ``(..., query_length, key_length)`` to weights that sum to 1 over the visible keys.

    A key that is not visible has weight exactly 0. A row with no visible key is all zeros, and so is its gradient.
    """
    if visible is None:
        return scores.softmax(dim=-1)
    # Not -inf, of which a whole row would become 0 / 0.
    weights = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~visible, 0.0)


def causal_mask(query_length: int, key_length: int, device: torch.device | None = None) -> Tensor:
    """``(query_length, key_length)``: True where the key does not stand behind the query.

    The queries are the last ``query_length`` of the tokens that the keys stand for.
    """
    everywhere = torch.ones(query_length, key_length, dtype=torch.bool, device=device)
    return everywhere.tril(key_length - query_length)


class AdditiveAttention(nn.Module):
    """e_ij = vᵀ tanh(W s_i + U h_j), a small network over query s_i and key h_j (Bahdanau et al., appendix A.1.2).

    In the paper the query is the decoder's **previous** state, and a key the encoder's states of both directions side
    by side. Luong et al.'s ``concat``, vᵀ tanh(W [s; h]), is the same with one matrix for W and U.
    """

    def __init__(self, query_size: int, key_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)  # W
        self.key = nn.Linear(key_size, attention_size, bias=False)  # U
        self.score = nn.Linear(attention_size, 1, bias=False)  # v

    def initialize(self, generator: torch.Generator) -> None:
        """Bahdanau et al., appendix B.1: W and U normal(0, 0.001²); v 0, so that all keys weigh the same at first."""
        nn.init.normal_(self.query.weight, std=0.001, generator=generator)
        nn.init.normal_(self.key.weight, std=0.001, generator=generator)
        nn.init.zeros_(self.score.weight)

    def project(self, values: Tensor) -> Tensor:
        """U h_j of all values, ``(batch, key_length, attention_size)``: the same at every step of a decoder."""
        keys: Tensor = self.key(values)
        return keys

    def forward(
        self,
        queries: Tensor,
        values: Tensor,
        attention_mask: Tensor | None = None,
        *,
        keys: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Attended:
        """Equations 5 and 6.

        Args:
            queries: ``(batch, query_length, query_size)``; a decoder that goes step by step has one at a time.
            values: ``(batch, key_length, key_size)``, the encoder's states.
            attention_mask: ``(batch, key_length)``, 1 on the text and 0 on the padding; None: all is text.
            keys: what `project` made of the values; None: it is done here.
            output_attentions: give the weights too.

        Returns:
            ``context`` ``(batch, query_length, key_size)``.
        """
        keys = self.project(values) if keys is None else keys
        hidden = torch.tanh(self.query(queries).unsqueeze(2) + keys.unsqueeze(1))
        scores = self.score(hidden).squeeze(-1)  # (batch, query_length, key_length)
        weights = masked_softmax(scores, _visible_keys(attention_mask))
        return Attended(weights @ values, weights if output_attentions else None)


class MultiplicativeAttention(nn.Module):
    """Global attention of Luong et al., whose query is the decoder's **current** state.

    The score of query h and key s is hᵀs (``dot``), hᵀ W s (``general``) or vᵀ tanh(W [h; s]) (``concat``);
    ``location`` makes the scores of all places from the query alone, W h, and looks at no key.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        *,
        alignment: Alignment = "general",
        max_position_embeddings: int = 0,
    ) -> None:
        """``max_position_embeddings`` is the number of places that ``location`` knows; the others need none.

        Raises:
            ValueError: ``dot`` is to compare vectors of different sizes, or ``location`` has no number of places.
        """
        super().__init__()
        if alignment == "dot" and query_size != key_size:
            raise ValueError(
                f"alignment 'dot' wants query_size = key_size; got {query_size} and {key_size}; use 'general'"
            )
        if (alignment == "location") != (max_position_embeddings > 0):
            raise ValueError(
                f"max_position_embeddings={max_position_embeddings} with alignment={alignment!r}: 'location' needs the "
                f"length of the longest text, the others none"
            )
        self.alignment: Alignment = alignment
        if alignment == "general":
            self.key = nn.Linear(key_size, query_size, bias=False)
        elif alignment == "concat":
            self.concat = AdditiveAttention(query_size, key_size, query_size)
        elif alignment == "location":
            self.places = nn.Linear(query_size, max_position_embeddings, bias=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Luong et al., section 4.1: uniform(-0.1, 0.1)."""
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.1, 0.1, generator=generator)

    def project(self, values: Tensor) -> Tensor:
        """What a score needs of the values, the same at every step of a decoder; ``general``: W s."""
        if self.alignment == "concat":
            return self.concat.project(values)
        keys: Tensor = self.key(values) if self.alignment == "general" else values
        return keys

    def forward(
        self,
        queries: Tensor,
        values: Tensor,
        attention_mask: Tensor | None = None,
        *,
        keys: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Attended:
        """Equation 7, or 8 for ``location``. Arguments and result are those of `AdditiveAttention`.

        Raises:
            ValueError: there are more values than ``location`` has places.
        """
        if self.alignment == "concat":
            return self.concat(  # type: ignore[no-any-return]
                queries, values, attention_mask, keys=keys, output_attentions=output_attentions
            )
        visible = _visible_keys(attention_mask)
        if self.alignment == "location":
            scores = self._scores_of_places(queries, values.size(1))
        else:
            keys = self.project(values) if keys is None else keys
            if not output_attentions:
                return Attended(F.scaled_dot_product_attention(queries, keys, values, visible, scale=1.0), None)
            scores = queries @ keys.transpose(1, 2)
        weights = masked_softmax(scores, visible)  # (batch, query_length, key_length)
        return Attended(weights @ values, weights if output_attentions else None)

    def _scores_of_places(self, queries: Tensor, key_length: int) -> Tensor:
        if key_length > self.places.out_features:
            raise ValueError(
                f"length {key_length} is over max_position_embeddings {self.places.out_features} of alignment "
                f"'location'; cut the text, or make the attention with more places"
            )
        scores: Tensor = self.places(queries)
        return scores[..., :key_length]


def scaled_dot_product_attention(
    queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None, dropout_prob: float = 0.0
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √d_k) V (equation 1), and the weights.

    The score of independent numbers of variance 1 has variance d_k; the root brings it back to 1, so that the softmax
    does not saturate.

    Args:
        queries: ``(..., query_length, head_size)``.
        keys: ``(..., key_length, head_size)``.
        values: ``(..., key_length, value_size)``.
        visible: boolean, ``(..., query_length, key_length)``: True where the query may look; None: everywhere.
        dropout_prob: with this probability a weight is set to 0, and the others grow accordingly.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.size(-1))
    weights = dropout(masked_softmax(scores, visible), dropout_prob)
    return weights @ values, weights


class MultiHeadAttention(nn.Module):
    """Several heads, each with its own projections, look at the same text (Vaswani et al., section 3.2.2).

    Where queries, keys and values come from one tensor their projections are one matrix, ``query_key_value``, in this
    order; else ``query`` and ``key_value``. ``output`` is the paper's W^O.
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        *,
        use: Use = "self",
        attention_probs_dropout_prob: float = 0.0,
    ) -> None:
        """Make the projections of one of the three uses.

        Raises:
            ValueError: the heads cannot share ``hidden_size`` equally.
        """
        super().__init__()
        if num_attention_heads < 1 or hidden_size % num_attention_heads:
            raise ValueError(
                f"hidden_size {hidden_size} cannot be shared by {num_attention_heads} heads; "
                f"make it a multiple of num_attention_heads"
            )
        self.use: Use = use
        self.num_attention_heads = num_attention_heads
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        if use == "cross":
            self.query = nn.Linear(hidden_size, hidden_size)
            self.key_value = nn.Linear(hidden_size, 2 * hidden_size)
        else:
            self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def initialize(self, generator: torch.Generator) -> None:
        """Every projection uniform as of Glorot and Bengio, AISTATS 2010, each part of a joint one by itself."""
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            for part in torch.split(linear.weight, linear.in_features):
                nn.init.xavier_uniform_(part, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        hidden_states: Tensor,
        *,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: KeyValues | None = None,
        output_attentions: bool = False,
    ) -> Attended:
        """Project, attend in each head, lay the heads side by side, project.

        Args:
            hidden_states: ``(batch, query_length, hidden_size)``; unless the use is ``cross``, the keys and values are
                made of it as well.
            encoder_hidden_states: ``(batch, key_length, hidden_size)``, for ``cross``; not looked at where
                ``past_key_values`` hold what was made of it.
            attention_mask: ``(batch, key_length)``, 1 on the text and 0 on the padding, over all keys, also those in
                ``past_key_values``; None: all is text.
            past_key_values: of the tokens before ``hidden_states`` for ``causal``, of the encoder for ``cross``.
            output_attentions: give the weights too, which then are written down.

        Returns:
            ``context`` ``(batch, query_length, hidden_size)``; ``past_key_values`` with those of these tokens.

        Raises:
            ValueError: what the use needs is not there, or the mask is not as long as the keys.
        """
        queries, past = self._project(hidden_states, encoder_hidden_states, past_key_values)
        note("queries of each head", queries, "batch", "num_attention_heads", "length", "head_size")
        num_keys = past.keys.size(2)
        if attention_mask is not None and attention_mask.size(1) != num_keys:
            raise ValueError(
                f"attention_mask is {tuple(attention_mask.shape)}, but there are {num_keys} keys; "
                f"it covers those in past_key_values as well"
            )
        visible = self._visible(attention_mask, queries.size(2), num_keys, queries.device)
        dropout_prob = self.attention_probs_dropout_prob if self.training else 0.0
        attentions = None
        if output_attentions or _is_slow_on_the_way_back(queries, past.keys, dropout_prob):
            context, weights = scaled_dot_product_attention(queries, *past, visible, dropout_prob)
            attentions = weights if output_attentions else None
        else:
            context = F.scaled_dot_product_attention(queries, *past, visible, dropout_prob)
        side_by_side = context.transpose(1, 2).flatten(2)  # (batch, query_length, hidden_size)
        return Attended(self.output(side_by_side), attentions, past)

    def _project(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None, past_key_values: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        """The queries, and all keys and values they look at."""
        if self.use == "cross":
            (queries,) = self._heads(self.query(hidden_states))
            if past_key_values is None and encoder_hidden_states is None:
                raise ValueError("cross attention has nothing to look at; pass encoder_hidden_states")
            return queries, past_key_values or KeyValues(*self._heads(self.key_value(encoder_hidden_states)))
        queries, keys, values = self._heads(self.query_key_value(hidden_states))
        if past_key_values is not None:
            if self.use == "self":
                raise ValueError("past_key_values are for use='causal' or 'cross'; an encoder sees the whole text")
            keys = torch.cat([past_key_values.keys, keys], dim=2)
            values = torch.cat([past_key_values.values, values], dim=2)
        return queries, KeyValues(keys, values)

    def _heads(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``(batch, length, n * hidden_size)`` to n of ``(batch, num_attention_heads, length, head_size)``."""
        head_size = self.output.in_features // self.num_attention_heads
        batch, length, _ = projected.shape
        parts = projected.view(batch, length, -1, self.num_attention_heads, head_size)
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def _visible(
        self, attention_mask: Tensor | None, query_length: int, key_length: int, device: torch.device
    ) -> Tensor | None:
        """``(batch or 1, 1, query_length or 1, key_length)``: which keys a query may look at; None: all."""
        visible = _visible_keys(attention_mask)
        if visible is not None:
            visible = visible.unsqueeze(1)
        if self.use == "causal" and query_length > 1:  # behind the last token there is nothing to hide
            earlier = causal_mask(query_length, key_length, device)[None, None]
            visible = earlier if visible is None else visible & earlier
        return visible


def _is_slow_on_the_way_back(queries: Tensor, keys: Tensor, dropout_prob: float) -> bool:
    """Whether gradients come faster through the equations: torch's path on a CPU takes up to twice as long for short
    texts in float32, five to eight times as long in bfloat16, and with dropout it takes no path but its own equations,
    whose chance is drawn slowly (`wenmo.models.dropout`)."""
    if not (torch.is_grad_enabled() and queries.requires_grad and queries.device.type == "cpu"):
        return False
    return dropout_prob > 0 or queries.dtype == torch.bfloat16 or keys.size(-2) <= _SHORT


def _visible_keys(attention_mask: Tensor | None) -> Tensor | None:
    """``(batch, key_length)`` to ``(batch, 1, key_length)``, boolean: what any query may look at."""
    return None if attention_mask is None else attention_mask.bool().unsqueeze(1)
