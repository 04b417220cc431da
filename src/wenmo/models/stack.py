"""What models made of Transformer layers have in common: the sizes of a stack, and a layer of these sizes."""

from dataclasses import dataclass

from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import PositionEmbeddings
from wenmo.models.transformer_layers import Activation, TransformerLayer


@dataclass(frozen=True, kw_only=True)
class StackConfig(ModelConfig):
    """What the models of this page have in common."""

    hidden_size: int = 512
    """Width of every layer's output."""
    num_hidden_layers: int = 6
    """Layers of the encoder."""
    num_attention_heads: int = 8
    """Heads of a layer, which share hidden_size equally."""
    intermediate_size: int = 2048
    """Width inside the feed-forward networks."""
    hidden_act: Activation = "relu"
    """Inside the feed-forward networks; gelu is the exact one, gelu_new that by tanh."""
    norm_first: bool = False
    """Layer norms stand before attention and feed-forward network, not behind their residuals."""
    position_embedding_type: PositionEmbeddings = "sinusoidal"
    """How a token's place is told: by waves, or by a trained vector for each place."""
    max_position_embeddings: int = 512
    """Most tokens of a text; data.max_length is at most this."""
    hidden_dropout_prob: float = 0.1
    """While training, on the embeddings and on what attention and feed-forward networks add (section 5.4)."""
    attention_probs_dropout_prob: float = 0.0
    """While training, on the weights of attention."""
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.hidden_size < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be shared by {self.num_attention_heads} heads; "
                f"make it a multiple of num_attention_heads"
            )
        if self.position_embedding_type == "sinusoidal" and self.hidden_size % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} is odd, but sinusoidal positions are pairs of sine and cosine; "
                f"make it even, or set position_embedding_type='learned'"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1); got {getattr(self, name)}")


def stack_layer(config: StackConfig, *, causal: bool = False, cross_attention: bool = False) -> TransformerLayer:
    """A layer of the sizes and kinds that the settings of a stack say."""
    return TransformerLayer(
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        causal=causal,
        cross_attention=cross_attention,
        hidden_act=config.hidden_act,
        norm_first=config.norm_first,
        hidden_dropout_prob=config.hidden_dropout_prob,
        attention_probs_dropout_prob=config.attention_probs_dropout_prob,
        layer_norm_eps=config.layer_norm_eps,
    )
