"""GPT: a Transformer that reads from left to right and says at each token what comes next.

Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018, and, with ``norm_first``, "Language
Models are Unsupervised Multitask Learners", 2019 (GPT-2). Each layer is one of the encoder of Vaswani et al. 2017 in
which no token sees a later one. GPT has its layer norms behind each residual, GPT-2 in front of each part and one
more behind the last layer. Both have learned positions, GELU by the hyperbolic tangent, and one table for the words
that are read and those that are foretold. We differ in that padding never reaches a result. A text's vector is the
state behind its last token; the token that the paper appends to be read there is the tokenizer's matter.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.depths import Depths
from wenmo.models.embeddings import TokenEmbeddings
from wenmo.models.pooling import pool
from wenmo.models.stack import StackConfig, stack_layer
from wenmo.models.tracing import note
from wenmo.models.transformer_layers import (
    Activation,
    LayerCache,
    StackOutput,
    TransformerLayer,
    TransformerStack,
    initialize_normal,
)


@dataclass(frozen=True, kw_only=True)
class GptConfig(StackConfig):
    """Sizes of a GPT. The defaults are those of the first one, with 117 million parameters."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity", "generate", "choose")
    causal: ClassVar[bool] = True

    model_type: Literal["gpt"] = "gpt"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    hidden_size: int = 768
    """Width of every layer's output."""
    num_hidden_layers: int = 12
    """Layers of the stack."""
    num_attention_heads: int = 12
    """Heads of a layer, which share hidden_size equally."""
    intermediate_size: int = 3072
    """Width inside the feed-forward networks."""
    hidden_act: Activation = "gelu_new"
    """Inside the feed-forward networks; gelu is the exact one, gelu_new that by tanh."""
    position_embedding_type: Literal["learned", "sinusoidal"] = "learned"
    """How a token's place is told: by a trained vector for each place, or by waves."""
    attention_probs_dropout_prob: float = 0.1
    """While training, on the weights of attention."""
    layer_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    """What comes next is foretold with the vectors of the words, not with weights of its own."""


def gpt2_small(vocab_size: int = 50_257) -> GptConfig:
    """The smallest GPT-2, with 124 million parameters."""
    return GptConfig(vocab_size=vocab_size, norm_first=True, max_position_embeddings=1024)


class Gpt(nn.Module):
    """Layers in which every token looks at those before it and at itself."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TokenEmbeddings(
            config.vocab_size,
            config.hidden_size,
            max_position_embeddings=config.max_position_embeddings,
            position_embedding_type=config.position_embedding_type,
            padding_id=None,
            tied=config.tie_word_embeddings,
            hidden_dropout_prob=config.hidden_dropout_prob,
        )
        self.decoder = TransformerStack(stack_layer(config, causal=True) for _ in range(config.num_hidden_layers))

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Every matrix normal(0, 0.02), every bias 0, layer norms 1 and 0, as in the papers' code. With ``norm_first``
        what each part adds to the residual is scaled down by the root of how many parts there are (GPT-2, section 2.3).
        """
        initialize_normal(self, generator)
        if self.config.norm_first:
            parts = math.sqrt(2 * self.config.num_hidden_layers)
            for layer in self.decoder.layers:
                assert isinstance(layer, TransformerLayer)
                layer.attention.output.weight.div_(parts)
                layer.feed_forward.output.weight.div_(parts)

    def forward(
        self,
        batch: TokenBatch,
        *,
        use_cache: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> Features:
        """Read each text from left to right.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or ``inputs_embeds`` ``(batch, length, hidden_size)``, and
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right.
                ``past_key_values``: what this model gave for the tokens before these, none of them padding.
            use_cache: give ``past_key_values``, extended by these tokens.
            output_hidden_states: give the embeddings and every layer's output.
            output_attentions: give every layer's weights of attention.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``, 0 on the padding; what stands at a token knows of no
            later one. ``pooler_output`` ``(batch, hidden_size)``: that of the last token; zeros for a text without any.

        Raises:
            ValueError: the batch has length 0.
            InputError: a text, with what stands before it, is over ``max_position_embeddings``.
        """
        past: tuple[LayerCache, ...] | None = batch.past_key_values
        past_length = past[0].attention.keys.size(2) if past else 0
        embedded = self.embeddings(
            batch.input_ids,
            inputs_embeds=batch.inputs_embeds,
            position_ids=batch.position_ids,
            past_length=past_length,
        )
        # No token looks at the padding behind it, so it needs no mask, and attention keeps its fastest way.
        output: StackOutput = self.decoder(
            embedded,
            past_key_values=past,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        states = output.last_hidden_state.masked_fill(~batch.attention_mask.unsqueeze(-1).bool(), 0.0)
        pooled = pool(states, batch.attention_mask, "last")
        return Features(
            last_hidden_state=states,
            pooler_output=note("state behind the last token", pooled, "batch", "hidden_size"),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
            past_key_values=output.past_key_values,
        )

    def depths(self) -> Depths:
        """The embeddings, then each layer; see `wenmo.models.depths`."""
        return [[self.embeddings], *self.decoder.depths()]

    def word_table(self) -> Tensor:
        """``(vocab_size, hidden_size)``: the vectors of the words, for foretelling with them."""
        return self.embeddings.words.words.weight
