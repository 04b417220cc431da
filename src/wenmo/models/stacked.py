"""A model on the layers of another one that stays as it is: features, used as features.

Peters et al., NAACL 2018, section 3.3, and Devlin et al., NAACL 2019, section 5.3, use their models in this way: the
layers are computed once, and what is learnt reads them as it would read word vectors. Over several layers it learns
their mixture first (`wenmo.models.scalar_mix`). Peters et al., RepL4NLP 2019, https://arxiv.org/abs/1903.05987, compare
this with fine-tuning.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import WordEmbeddings
from wenmo.models.registry import build_model, config_from_dict
from wenmo.models.scalar_mix import ScalarMix
from wenmo.models.tracing import note

ALL, LAST = "all", "last"
_OF_WORDS = {"vocab_size": 1, "channels": "rand", "max_ngram": 1, "type_vocab_size": 0}
"""Fields of a model that say how it knows words, and what they are where it reads vectors: words it has none."""


@dataclass(frozen=True, kw_only=True)
class StackedConfig(ModelConfig):
    """Both models, and which layers of the one the other reads."""

    model_type: Literal["stacked"] = "stacked"
    vocab_size: int = 0
    """Of the tokenizer, that of the lower model."""
    frozen: ModelConfig
    """The lower model, which shows its layers and does not learn."""
    top: ModelConfig
    """The upper one, which reads vectors in the place of words (`on_vectors`)."""
    layers: str = ALL
    """``all``: a learnt mixture of the embeddings and every layer. ``last``, or the number of one, 0 being the
    embeddings."""

    def __post_init__(self) -> None:
        if not self.top.reads_vectors:
            raise ValueError(f"a {self.top.model_type} model does not read vectors in the place of words")
        if getattr(self.frozen, "stateful", False):
            raise ValueError("a stateful model says something else each time, so its features cannot be kept")
        if getattr(self.top, "character_features", "none") != "none":
            raise ValueError("model.character_features looks into words, and it gets vectors; leave it out")
        if self.layers in (ALL, LAST):
            return
        most = self.num_frozen_layers - 1
        if not self.layers.isdecimal() or int(self.layers) > most:
            raise ValueError(f"layers must be all, last, or 0 (the embeddings) to {most}; got {self.layers!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """As for every model; both inner models are told apart by their ``model_type``."""
        inner = {
            name: config_from_dict(values[name]) for name in ("frozen", "top") if isinstance(values[name], Mapping)
        }
        return super().from_dict({**values, **inner})

    @property
    def num_frozen_layers(self) -> int:
        """Of the lower model, its embeddings among them."""
        return 1 + int(self.frozen.num_hidden_layers)  # type: ignore[attr-defined]

    @property
    def num_layers_read(self) -> int:
        """How many of them the upper model gets, mixed."""
        return self.num_frozen_layers if self.layers == ALL else 1

    @property
    def reads_bytes(self) -> bool:  # type: ignore[override]
        """As the lower model does."""
        return self.frozen.reads_bytes

    @property
    def max_position_embeddings(self) -> int:
        """Most tokens of a text, of the two models; 0: any number."""
        limits = [int(getattr(each, "max_position_embeddings", 0)) for each in (self.frozen, self.top)]
        return min((limit for limit in limits if limit), default=0)

    @property
    def hidden_size(self) -> int:
        """That of the upper model."""
        return self.top.hidden_size

    @property
    def pooler_size(self) -> int:
        """That of the upper model."""
        return self.top.pooler_size


def on_vectors(top: ModelConfig, size: int) -> ModelConfig:
    """The settings of a model that reads vectors of this width: it has no words of its own."""
    known = {each.name for each in fields(top)}
    sizes: dict[str, Any] = {name: value for name, value in _OF_WORDS.items() if name in known}
    return replace(top, **sizes | {"embedding_size": size})


class Stacked(nn.Module):
    """Reads the layers of a model that does not learn."""

    def __init__(self, config: StackedConfig) -> None:
        super().__init__()
        self.config = config
        self.frozen = build_model(config.frozen).requires_grad_(False)
        if "output_hidden_states" not in inspect.signature(self.frozen.forward).parameters:
            raise ValueError(f"a {config.frozen.model_type} model does not show its layers")
        self.top = build_model(config.top)
        for module in self.top.modules():
            if isinstance(module, WordEmbeddings):
                module.requires_grad_(False)  # it has one word, which no text has
        self.mix = ScalarMix(config.num_layers_read) if config.layers == ALL else None

    def initialize(self, generator: torch.Generator) -> None:
        """As the upper model says; the mixture starts as the plain mean. The lower model's weights come from a file."""
        self.top.initialize(generator)  # type: ignore[operator]
        if self.mix is not None:
            self.mix.initialize()

    def train(self, mode: bool = True) -> Self:
        """The lower model is never in training: it has no dropout."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, batch: TokenBatch) -> Features:
        """Mix the layers of the lower model and read them.

        Args:
            batch: what the lower model reads; or ``inputs_embeds`` ``(batch, length, num_layers_read * width)``: the
                `states` of such a batch, computed before.

        Returns:
            What the upper model says.
        """
        states = self.states(batch) if batch.inputs_embeds is None else batch.inputs_embeds
        layers = states.chunk(self.config.num_layers_read, dim=2)
        vectors = layers[0] if self.mix is None else self.mix(layers)
        note("layers of the frozen model, mixed", vectors, "batch", "length", "frozen hidden_size")
        read: Features = self.top(TokenBatch(inputs_embeds=vectors, attention_mask=batch.attention_mask))
        return read

    @torch.no_grad()
    def states(self, batch: TokenBatch) -> Tensor:
        """``(batch, length, num_layers_read * width)``: the layers that are read, beside each other; 0 on the padding.

        They change with the weights of the lower model alone, so they can be kept.
        """
        layers = self.frozen(batch, output_hidden_states=True).hidden_states
        if self.config.layers == ALL:
            chosen = torch.cat(layers, dim=-1)
        else:
            chosen = layers[-1 if self.config.layers == LAST else int(self.config.layers)]
        return chosen.masked_fill(~batch.attention_mask.bool().unsqueeze(-1), 0)

    def mixture(self) -> dict[str, Any] | None:
        """What the layers weigh, the embeddings first, and γ; None where there is one."""
        if self.mix is None:
            return None
        return {"weights": self.mix.weights.softmax(dim=0).tolist(), "gamma": self.mix.gamma.item()}
