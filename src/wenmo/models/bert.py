"""BERT: a Transformer's encoder that reads both directions at once, first trained to fill in missing words.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019,
https://arxiv.org/abs/1810.04805, whose section numbers stand below. What it is first trained on stands in
`wenmo.models.pretraining_heads`. One class reads its descendants too, which differ from it in numbers: RoBERTa (Liu et
al. 2019, https://arxiv.org/abs/1907.11692) counts positions from 2; DistilBERT (Sanh et al. 2019,
https://arxiv.org/abs/1910.01108) has no segments and half the layers; ELECTRA (Clark et al., ICLR 2020,
https://arxiv.org/abs/2003.10555) has narrower word vectors, projected to the width of the layers. We differ in that
padding never reaches a result: behind the last layer it is 0.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.config import PairMode
from wenmo.models.depths import Depths
from wenmo.models.embeddings import PositionEmbeddings, TokenEmbeddings
from wenmo.models.first_token import FirstTokenPooler, PoolerActivation, features_of_first_token
from wenmo.models.stack import StackConfig, stack_layer
from wenmo.models.transformer_layers import Activation, StackOutput, TransformerStack, initialize_normal


@dataclass(frozen=True, kw_only=True)
class BertConfig(StackConfig):
    """Sizes of a BERT. The defaults are those of BERT base (section 3)."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity", "choose")
    pair: ClassVar[PairMode] = "joined"

    model_type: Literal["bert"] = "bert"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    embedding_size: int = 0
    """Width of words, positions and segments; 0: hidden_size. Their sum is projected from another width (ELECTRA)."""
    hidden_size: int = 768
    """Width of every layer's output."""
    num_hidden_layers: int = 12
    """Layers of the encoder."""
    num_attention_heads: int = 12
    """Heads of a layer, which share hidden_size equally."""
    intermediate_size: int = 3072
    """Width inside the feed-forward networks."""
    hidden_act: Activation = "gelu"
    """Inside the feed-forward networks; gelu is the exact one, gelu_new that by tanh."""
    position_embedding_type: PositionEmbeddings = "learned"
    """How a token's place is told: by a trained vector for each place, or by waves."""
    position_offset: int = 0
    """Rows at the head of the table of positions that are never read: 2 in RoBERTa."""
    type_vocab_size: int = 2
    """Segments that have vectors of their own: the first and the second text of a pair; 0: none, as in DistilBERT."""
    attention_probs_dropout_prob: float = 0.1
    """While training, on the weights of attention."""
    layer_norm_eps: float = 1e-12
    pooler: Literal["dense", "first"] = "dense"
    """The vector of a text: a layer over its first token, or that token as the last layer leaves it."""
    pooler_act: PoolerActivation = "tanh"
    """Behind the layer of the pooler: tanh in BERT and RoBERTa, relu in DistilBERT, gelu in ELECTRA."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "position_offset", "type_vocab_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}")


def bert_base(vocab_size: int = 30_522) -> BertConfig:
    """BERT base; with the English vocabulary 110 million parameters."""
    return BertConfig(vocab_size=vocab_size)


def bert_large(vocab_size: int = 30_522) -> BertConfig:
    """BERT large; with the English vocabulary 335 million parameters, which the paper calls 340."""
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
    )


class Bert(nn.Module):
    """Layers in which every token looks at every other; the text is read off its first token (section 3)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        # Figure 2: the input is the sum of the vectors of the token, its segment and its position. No word is kept
        # from training: which id stands on the padding is the tokenizer's matter, and padding reaches nothing.
        self.embeddings = TokenEmbeddings(
            config.vocab_size,
            config.hidden_size,
            max_position_embeddings=config.max_position_embeddings,
            position_embedding_type=config.position_embedding_type,
            position_offset=config.position_offset,
            type_vocab_size=config.type_vocab_size,
            embedding_size=config.embedding_size,
            projected="sum",
            padding_id=None,
            layer_norm_eps=config.layer_norm_eps,
            hidden_dropout_prob=config.hidden_dropout_prob,
        )
        self.encoder = TransformerStack(stack_layer(config) for _ in range(config.num_hidden_layers))
        self.pooler = FirstTokenPooler(config.hidden_size, config.pooler_act) if config.pooler == "dense" else None

    def initialize(self, generator: torch.Generator) -> None:
        """Every matrix normal(0, 0.02), every bias 0, layer norms 1 and 0. Google's code cuts the tails off at two
        standard deviations, https://github.com/google-research/bert."""
        initialize_normal(self, generator)

    def forward(
        self, batch: TokenBatch, *, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> Features:
        """Sum up the vectors of each token (figure 2), read them in both directions, take the first token's.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or ``inputs_embeds`` ``(batch, length, embedding_size)``, and
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right.
                ``token_type_ids``: 0 in the first text of a pair, 1 in the second; without them all is the first.
                ``position_ids`` if they are not to be counted from 0.
            output_hidden_states: give the embeddings and every layer's output.
            output_attentions: give every layer's weights of attention.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``, 0 on the padding. ``pooler_output``
            ``(batch, hidden_size)``: C of section 3; of a text without tokens, what the pooler makes of zeros.

        Raises:
            ValueError: the batch has length 0.
            InputError: a text is over ``max_position_embeddings``.
        """
        embedded: Tensor = self.embeddings(
            batch.input_ids,
            inputs_embeds=batch.inputs_embeds,
            position_ids=batch.position_ids,
            token_type_ids=batch.token_type_ids,
        )
        output: StackOutput = self.encoder(
            embedded,
            attention_mask=batch.attention_mask,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        return features_of_first_token(output, batch.attention_mask, self.pooler)

    def depths(self) -> Depths:
        """The embeddings, then each layer; see `wenmo.models.depths`."""
        return [[self.embeddings], *self.encoder.depths()]

    def word_table(self) -> Tensor:
        """``(vocab_size, embedding_size)``: the vectors of the words, for foretelling with them."""
        return self.embeddings.words.words.weight
