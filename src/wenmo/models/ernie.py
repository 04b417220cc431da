"""ERNIE: BERT's layers, first trained on words, phrases and entities that were masked as wholes.

Sun et al., "ERNIE: Enhanced Representation through Knowledge Integration", 2019, https://arxiv.org/abs/1904.09223
(ERNIE 1.0), and "ERNIE 2.0: A Continual Pre-Training Framework for Language Understanding", AAAI 2020,
https://arxiv.org/abs/1907.12412. What reads a text is the encoder of Devlin et al. 2019 (`wenmo.models.bert`); the
knowledge is in what is masked. The input has two turns of its own. In the dialogue language model of ERNIE 1.0
(section 3.3.3) the vector that says who speaks, query or response, stands in the place of the segment's, and so does
here: ``token_type_ids``. In ERNIE 2.0 (section 4.1 and figure 3) a fourth vector says which pre-training task the text
is for; in fine-tuning any of them may stand there, and 0 does unless ``task_type_ids`` are given. We differ in that
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
class ErnieConfig(StackConfig):
    """Sizes of an ERNIE. The defaults are those of the released Chinese ERNIE 1.0, whose activation, positions and
    layer norm's epsilon are not BERT's."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity", "choose")
    pair: ClassVar[PairMode] = "joined"

    model_type: Literal["ernie"] = "ernie"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    hidden_size: int = 768
    """Width of every layer's output."""
    num_hidden_layers: int = 12
    """Layers of the encoder."""
    num_attention_heads: int = 12
    """Heads of a layer, which share hidden_size equally."""
    intermediate_size: int = 3072
    """Width inside the feed-forward networks."""
    hidden_act: Activation = "relu"
    """Inside the feed-forward networks; gelu, the exact one, in the English ERNIE 2.0."""
    position_embedding_type: PositionEmbeddings = "learned"
    """How a token's place is told: by a trained vector for each place, or by waves."""
    max_position_embeddings: int = 513
    """Most tokens of a text; data.max_length is at most this."""
    type_vocab_size: int = 2
    """Segments, or the roles of a dialogue, that have vectors of their own; 0: none."""
    task_type_vocab_size: int = 0
    """Pre-training tasks that have vectors of their own; 0: none, as in ERNIE 1.0."""
    attention_probs_dropout_prob: float = 0.1
    """While training, on the weights of attention."""
    layer_norm_eps: float = 1e-5
    pooler: Literal["dense", "first"] = "dense"
    """The vector of a text: a layer over its first token, or that token as the last layer leaves it."""
    pooler_act: PoolerActivation = "tanh"
    """Behind the layer of the pooler."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("type_vocab_size", "task_type_vocab_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}")


def ernie_base(vocab_size: int = 18_000) -> ErnieConfig:
    """The released Chinese ERNIE 1.0; its table has 36 rows more than its vocabulary has words."""
    return ErnieConfig(vocab_size=vocab_size)


def ernie2_base(vocab_size: int = 30_522) -> ErnieConfig:
    """The released English ERNIE 2.0 base, of 16 tasks and 4 kinds of sentences."""
    return ErnieConfig(
        vocab_size=vocab_size,
        hidden_act="gelu",
        max_position_embeddings=512,
        type_vocab_size=4,
        task_type_vocab_size=16,
    )


class Ernie(nn.Module):
    """Layers in which every token looks at every other; the text is read off its first token."""

    def __init__(self, config: ErnieConfig) -> None:
        super().__init__()
        self.config = config
        # ERNIE 2.0, figure 3: the sum of the vectors of token, sentence, position and task.
        self.embeddings = TokenEmbeddings(
            config.vocab_size,
            config.hidden_size,
            max_position_embeddings=config.max_position_embeddings,
            position_embedding_type=config.position_embedding_type,
            type_vocab_size=config.type_vocab_size,
            task_type_vocab_size=config.task_type_vocab_size,
            padding_id=None,
            layer_norm_eps=config.layer_norm_eps,
            hidden_dropout_prob=config.hidden_dropout_prob,
        )
        self.encoder = TransformerStack(stack_layer(config) for _ in range(config.num_hidden_layers))
        self.pooler = FirstTokenPooler(config.hidden_size, config.pooler_act) if config.pooler == "dense" else None

    def initialize(self, generator: torch.Generator) -> None:
        """As in the released code: every matrix normal(0, 0.02), every bias 0, layer norms 1 and 0."""
        initialize_normal(self, generator)

    def forward(
        self, batch: TokenBatch, *, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> Features:
        """Sum up the vectors of each token, read them in both directions, take the first token's.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or ``inputs_embeds`` ``(batch, length, hidden_size)``, and
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right.
                ``token_type_ids``: the text of a pair, or the role in a dialogue; without them all is 0.
                ``task_type_ids``: the pre-training task; without them it is 0.
                ``position_ids`` if they are not to be counted from 0.
            output_hidden_states: give the embeddings and every layer's output.
            output_attentions: give every layer's weights of attention.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``, 0 on the padding. ``pooler_output``
            ``(batch, hidden_size)``: of the first token; of a text without tokens, what the pooler makes of zeros.

        Raises:
            ValueError: the batch has length 0.
            InputError: a text is over ``max_position_embeddings``.
        """
        embedded: Tensor = self.embeddings(
            batch.input_ids,
            inputs_embeds=batch.inputs_embeds,
            position_ids=batch.position_ids,
            token_type_ids=batch.token_type_ids,
            task_type_ids=batch.task_type_ids,
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
        """``(vocab_size, hidden_size)``: the vectors of the words, for foretelling with them."""
        return self.embeddings.words.words.weight
