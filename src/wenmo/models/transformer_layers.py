"""The layers that every Transformer is made of: attention, a feed-forward network, residuals and layer norms.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, https://arxiv.org/abs/1706.03762, section 3. One layer serves
them all: an encoder's as it stands, GPT's with ``causal``, a decoder's with ``causal`` and ``cross_attention``.
``norm_first`` moves the layer norm in front of each part (Xiong et al., ICML 2020, https://arxiv.org/abs/2002.04745),
as in GPT-2.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.attention import Attended, KeyValues, MultiHeadAttention
from wenmo.models.depths import Depths
from wenmo.models.dropout import Dropout
from wenmo.models.tracing import note
from wenmo.models.writing import by_text

Activation = Literal["relu", "gelu", "gelu_new"]
"""``gelu`` is x Φ(x) by the error function, ``gelu_new`` its approximation by the hyperbolic tangent (Hendrycks and
Gimpel 2016, https://arxiv.org/abs/1606.08415); the names are those of Hugging Face."""

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
}


class LayerCache(NamedTuple):
    """What a layer of a decoder keeps of the tokens it has seen."""

    attention: KeyValues
    cross_attention: KeyValues | None

    def select(self, rows: Tensor, texts: Tensor | None = None) -> "LayerCache":
        """That of other rows, and of the texts they belong to where some have left (`wenmo.models.writing`)."""
        attention = KeyValues(*(each.index_select(0, rows) for each in self.attention))
        if texts is None or self.cross_attention is None:
            return LayerCache(attention, self.cross_attention)
        return LayerCache(attention, KeyValues(*(each.index_select(0, texts) for each in self.cross_attention)))


class LayerOutput(NamedTuple):
    """What a layer gives."""

    hidden_states: Tensor
    attentions: Tensor | None
    cross_attentions: Tensor | None
    past_key_values: LayerCache


class StackOutput(NamedTuple):
    """What a stack gives; what was not asked for is None."""

    last_hidden_state: Tensor
    """``(batch, length, hidden_size)``."""
    hidden_states: tuple[Tensor, ...] | None
    """The embeddings, then the output of each layer; the last is ``last_hidden_state``."""
    attentions: tuple[Tensor, ...] | None
    """``(batch, num_attention_heads, length, key_length)`` of each layer."""
    cross_attentions: tuple[Tensor, ...] | None
    """``(batch, num_attention_heads, length, encoder_length)`` of each layer."""
    past_key_values: tuple[LayerCache, ...] | None


class FeedForward(nn.Module):
    """FFN(x) = W_2 f(W_1 x + b_1) + b_2 at each position (equation 2, where f is ReLU)."""

    def __init__(self, hidden_size: int, intermediate_size: int, hidden_act: Activation = "relu") -> None:
        super().__init__()
        self.intermediate = nn.Linear(hidden_size, intermediate_size)
        self.output = nn.Linear(intermediate_size, hidden_size)
        self.activation = ACTIVATIONS[hidden_act]

    def initialize(self, generator: torch.Generator) -> None:
        """Weights uniform as of Glorot and Bengio, AISTATS 2010; biases 0."""
        for linear in (self.intermediate, self.output):
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """``(batch, length, hidden_size)`` to the same."""
        inner = self.activation(self.intermediate(hidden_states))
        note("inside the feed-forward network", inner, "batch", "length", "intermediate_size")
        outer: Tensor = self.output(inner)
        return outer


class TransformerLayer(nn.Module):
    """LayerNorm(x + Dropout(Sublayer(x))) for each sublayer; ``norm_first``: x + Dropout(Sublayer(LayerNorm(x)))."""

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        intermediate_size: int,
        *,
        causal: bool = False,
        cross_attention: bool = False,
        hidden_act: Activation = "relu",
        norm_first: bool = False,
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.0,
        layer_norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        heads = partial(
            MultiHeadAttention,
            hidden_size,
            num_attention_heads,
            attention_probs_dropout_prob=attention_probs_dropout_prob,
        )
        norm = partial(nn.LayerNorm, hidden_size, eps=layer_norm_eps)
        self.norm_first = norm_first
        self.dropout = Dropout(hidden_dropout_prob)
        self.attention = heads(use="causal" if causal else "self")
        self.attention_norm = norm()
        self.cross_attention = heads(use="cross") if cross_attention else None
        self.cross_attention_norm = norm() if cross_attention else None
        self.feed_forward = FeedForward(hidden_size, intermediate_size, hidden_act)
        self.feed_forward_norm = norm()

    def initialize(self, generator: torch.Generator) -> None:
        """That of attention and feed-forward; layer norms at 1 and 0, as they are made."""
        self.attention.initialize(generator)
        if self.cross_attention is not None:
            self.cross_attention.initialize(generator)
        self.feed_forward.initialize(generator)

    def forward(
        self,
        hidden_states: Tensor,
        *,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: LayerCache | None = None,
        output_attentions: bool = False,
    ) -> LayerOutput:
        """Look at the own text, then at the encoder's, then think about each position by itself.

        The arguments are those of `TransformerStack.forward`, ``past_key_values`` of this layer alone.
        """
        x = hidden_states  # (batch, length, hidden_size), as everywhere below
        looked = self.attention(
            self._before(x, self.attention_norm),
            attention_mask=attention_mask,
            past_key_values=past_key_values and past_key_values.attention,
            output_attentions=output_attentions,
        )
        x = self._after(x, looked.context, self.attention_norm)
        crossed = Attended(x, None)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            seen = past_key_values and past_key_values.cross_attention
            texts = encoder_hidden_states if seen is None else seen.keys
            crossed = self.cross_attention(
                by_text(self._before(x, self.cross_attention_norm), len(x) if texts is None else len(texts)),
                encoder_hidden_states=encoder_hidden_states,
                attention_mask=encoder_attention_mask,
                past_key_values=seen,
                output_attentions=output_attentions,
            )
            x = self._after(x, crossed.context.view_as(x), self.cross_attention_norm)
        thought = self.feed_forward(self._before(x, self.feed_forward_norm))
        x = self._after(x, thought, self.feed_forward_norm)
        cache = LayerCache(looked.past_key_values, crossed.past_key_values)
        return LayerOutput(x, looked.attentions, crossed.attentions, cache)

    def _before(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """What a sublayer reads."""
        return cast(Tensor, norm(x)) if self.norm_first else x

    def _after(self, x: Tensor, sublayer: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The residual around a sublayer."""
        x = x + self.dropout(sublayer)
        return x if self.norm_first else cast(Tensor, norm(x))


class TransformerStack(nn.Module):
    """Layers above each other: ``TransformerStack(TransformerLayer(512, 8, 2048) for _ in range(6))``.

    With ``norm_first`` nothing has normalised what the last layer gives, so a layer norm follows it.
    """

    def __init__(self, layers: Iterable[TransformerLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        if not self.layers:
            raise ValueError("a stack needs at least one layer; set num_hidden_layers to 1 or more")
        norm = self.typed_layers()[-1].feed_forward_norm
        norm_first = self.typed_layers()[-1].norm_first
        self.final_norm = nn.LayerNorm(norm.normalized_shape, eps=norm.eps) if norm_first else None

    def initialize(self, generator: torch.Generator) -> None:
        """That of each layer."""
        for layer in self.typed_layers():
            layer.initialize(generator)

    def forward(
        self,
        hidden_states: Tensor,
        *,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Sequence[LayerCache] | None = None,
        use_cache: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> StackOutput:
        """From the embeddings of some tokens to the output of the last layer.

        Args:
            hidden_states: ``(batch, length, hidden_size)``.
            attention_mask: 1 on the text and 0 on the padding, ``(batch, length)``; with ``past_key_values`` of the
                tokens before these as well. None: all is text.
            encoder_hidden_states: ``(batch, encoder_length, hidden_size)``, for layers with cross attention; may be
                left out where ``past_key_values`` are given. Of fewer texts than there are rows to write, each
                is for as many rows beside each other: ``(texts, ...)``, also for the mask and the weights.
            encoder_attention_mask: ``(batch, encoder_length)``; None: all is text.
            past_key_values: what this stack gave for the tokens before these.
            use_cache: give ``past_key_values``, extended by these tokens.
            output_hidden_states: give what each layer made.
            output_attentions: give the weights of attention, which then are written down.

        Raises:
            ValueError: a layer lacks what it needs.
        """
        x = hidden_states
        # What nobody asked for is let go of at once: the keys and values of every layer are the most of all memory.
        states, attentions, cross_attentions, caches = [x], [], [], []
        for i, layer in enumerate(self.typed_layers()):
            output: LayerOutput = layer(
                x,
                attention_mask=attention_mask,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                past_key_values=past_key_values[i] if past_key_values else None,
                output_attentions=output_attentions,
            )
            x = note(f"layer {i + 1}", output.hidden_states, "batch", "length", "hidden_size")
            if self.final_norm is not None and i == len(self.layers) - 1:
                x = self.final_norm(x)
            if output_hidden_states:
                states.append(x)
            if output.attentions is not None:
                attentions.append(output.attentions)
            if output.cross_attentions is not None:
                cross_attentions.append(output.cross_attentions)
            if use_cache:
                caches.append(output.past_key_values)
        return StackOutput(
            last_hidden_state=x,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) or None,
            cross_attentions=tuple(cross_attentions) or None,
            past_key_values=tuple(caches) if use_cache else None,
        )

    def depths(self) -> Depths:
        """Each layer; the norm behind the last one belongs to it."""
        found: Depths = [[layer] for layer in self.typed_layers()]
        if self.final_norm is not None:
            found[-1].append(self.final_norm)
        return found

    def typed_layers(self) -> list[TransformerLayer]:
        """The layers as what they are."""
        return cast(list[TransformerLayer], list(self.layers))


@torch.no_grad()
def initialize_normal(model: nn.Module, generator: torch.Generator, std: float = 0.02) -> None:
    """Every matrix and table normal(0, std), every bias 0; layer norms 1 and 0, as they are made."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
