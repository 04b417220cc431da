"""RNN, LSTM and GRU in layers, in one direction or two, and how they become features of a text.

Graves and Schmidhuber, Neural Networks 2005, for two directions: the second reads each text from its own last token to
its first, and both states behind a token stand beside each other. The cells, their papers and equations are in
`wenmo.models.cells`. Padding never reaches a result, because no step is computed for it.

Dropout stands where it does in Merity et al., ICLR 2018, https://arxiv.org/abs/1708.02182: on the recurrent weights
(DropConnect, section 2: connections of U are dropped, the same for all steps of a batch), on the word vectors (of a
word in every place where it stands, as in Gal and Ghahramani, NeurIPS 2016, section 4.2), and between layers. Residual
connections are those of Wu et al., 2016, https://arxiv.org/abs/1609.08144, equation 6.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypedDict, cast

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.cells import (
    Activation,
    Cell,
    GruCell,
    Initialization,
    LstmCell,
    Normalization,
    ResetGate,
    RnnCell,
)
from wenmo.models.characters import CharacterCnn, CharacterFeatures, CharacterLstm
from wenmo.models.config import ModelConfig
from wenmo.models.depths import Depths
from wenmo.models.dropout import dropout
from wenmo.models.embeddings import Channels, WordEmbeddings
from wenmo.models.packing import Packing
from wenmo.models.pooling import AttentionPooling, pool
from wenmo.models.scan import Course
from wenmo.models.tracing import note

CellName = Literal["rnn", "lstm", "gru"]


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(ModelConfig):
    """Sizes of an RNN, LSTM or GRU. The defaults are an LSTM of the size of Tang et al., 2019, arXiv 1903.12136."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "similarity", "generate")

    reads_vectors: ClassVar[bool] = True

    model_type: Literal["recurrent"] = "recurrent"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    cell: CellName = "lstm"
    embedding_size: int = 300
    channels: Channels = "rand"
    """Where the word vectors come from and whether they are trained."""
    num_units: int = 150
    """Units of a layer, in each direction."""
    num_hidden_layers: int = 1
    bidirectional: bool = False
    """A second direction reads each text from its end; the features hold both."""
    pooling: Literal["max", "mean", "last", "attention"] = "max"
    """How the states of a text become one vector; ``last`` takes each direction's state behind its last step."""
    activation: Activation = "tanh"
    """Of an rnn."""
    output_tanh: bool = True
    """Of an lstm: whether the output gate multiplies tanh(c), as usual, or c itself."""
    forget_bias: float = 0.0
    """Of an lstm: where the bias of the forget gate starts; 1 keeps the state at first."""
    reset_gate: ResetGate = "after"
    """Of a gru: whether the gate stands behind the recurrent product, as in torch, or before it, as in the paper."""
    num_biases: Literal[1, 2] = 1
    """Of each gate; 2 as in torch."""
    normalization: Normalization = "none"
    """``layer`` normalises each step by itself, ``batch`` the inputs of the gates over all texts and time steps."""
    residual: bool = False
    """A layer whose input is as wide as its output adds it."""
    embedding_dropout_prob: float = 0.0
    """While training, numbers of word vectors are set to 0, in every place of a batch where the word stands."""
    word_dropout_prob: float = 0.0
    """The same of whole word vectors."""
    hidden_dropout_prob: float = 0.0
    """Dropout between layers."""
    recurrent_dropout_prob: float = 0.0
    """Dropout on the recurrent weights, the same for all steps of a batch."""
    initialization: Initialization = "orthogonal"
    """Of the recurrent weights; ``uniform`` is that of torch."""
    window_size: int = 0
    """In training, no gradient goes back through a state past a multiple of so many tokens; 0: it always does."""
    character_features: CharacterFeatures = "none"
    """What the characters of a word say stands beside its vector (`wenmo.models.characters`); for tagging."""
    character_vocab_size: int = 0
    """0: taken from the training data when the model is built."""
    character_embedding_size: int = 30
    character_size: int = 30
    """Width of what the characters say: filters of a cnn, units of both directions of an lstm."""
    character_dropout_prob: float = 0.0
    """Dropout on the vectors of characters."""

    def __post_init__(self) -> None:
        if min(self.embedding_size, self.num_units, self.num_hidden_layers) < 1 or self.window_size < 0:
            raise ValueError(
                "embedding_size, num_units and num_hidden_layers must be at least 1, window_size at least 0"
            )
        for name in (
            "embedding_dropout_prob",
            "word_dropout_prob",
            "hidden_dropout_prob",
            "recurrent_dropout_prob",
            "character_dropout_prob",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1; got {getattr(self, name)}")
        for name, cell in (
            ("activation", "rnn"),
            ("output_tanh", "lstm"),
            ("forget_bias", "lstm"),
            ("reset_gate", "gru"),
        ):
            default = type(self).__dataclass_fields__[name].default
            if cell != self.cell and getattr(self, name) != default:
                raise ValueError(f"{name} is for cell={cell!r}, and the cell is {self.cell!r}; leave {name} out")
        if self.num_biases not in (1, 2):
            raise ValueError(f"num_biases must be 1 or 2; got {self.num_biases}")
        if self.normalization == "layer" and self.reset_gate == "before":
            raise ValueError("normalization='layer' needs reset_gate='after'; leave one of them out")
        if self.hidden_dropout_prob and self.num_hidden_layers == 1:
            raise ValueError("hidden_dropout_prob is between layers, and there is one; set num_hidden_layers=2 or more")
        if self.residual and self.num_hidden_layers == 1 and self.input_size != self.hidden_size:
            raise ValueError(
                f"residual finds no layer whose input is as wide as its output: embedding_size is "
                f"{self.embedding_size}, hidden_size {self.hidden_size}; make them equal, or add layers"
            )
        if self.character_features == "lstm" and self.character_size % 2:
            raise ValueError(f"character_size is that of two directions, so it is even; got {self.character_size}")

    @property
    def input_size(self) -> int:
        """Width of what the first layer reads: the word's vector and what its characters say."""
        return self.embedding_size + (self.character_size if self.character_features != "none" else 0)

    @property
    def num_directions(self) -> int:
        """1, or 2 with ``bidirectional``."""
        return 2 if self.bidirectional else 1

    @property
    def hidden_size(self) -> int:
        """Width of the features: the units of all directions."""
        return self.num_units * self.num_directions


@dataclass(frozen=True)
class RecurrentState:
    """What a recurrent stack knows of the text so far, as `torch.nn` has it: layer by layer, the directions of each."""

    hidden: Tensor
    """h: ``(num_hidden_layers * num_directions, batch, num_units)``."""
    cell: Tensor | None = None
    """c of an LSTM, of the same shape."""

    def detach(self) -> "RecurrentState":
        """The same state, through which no gradient goes."""
        return RecurrentState(self.hidden.detach(), None if self.cell is None else self.cell.detach())

    def tensors(self) -> tuple[Tensor, ...]:
        """h, and c where there is one."""
        return (self.hidden,) if self.cell is None else (self.hidden, self.cell)


class RecurrentLayer(nn.Module):
    """One layer: a cell for each direction."""

    def __init__(self, config: RecurrentConfig, input_size: int) -> None:
        super().__init__()
        self.config = config
        self.cells = nn.ModuleList(make_cell(config, input_size) for _ in range(config.num_directions))
        self.adds_input = config.residual and input_size == config.hidden_size

    def forward(
        self, x: Tensor, packing: Packing, states: list[list[Tensor]] | None
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Packed inputs ``(tokens, input_size)`` to ``(tokens, hidden_size)``; states are those of each direction, None
        where texts begin with zeros and nobody asks where they end."""
        outputs, after = [], []
        for i, cell in enumerate(cast(list[Cell], list(self.cells))):
            course = Course(packing, reverse=i == 1, window_size=self.config.window_size)
            dropped = dropout(cell.weight_hh, self.config.recurrent_dropout_prob, self.training)
            output = cell.run_fused(x, dropped, course) if states is None else None
            if output is None:
                products = note("W x + b of all gates, all steps at once", cell.products(x), "tokens", "gates")
                before = cell.first_states(x, packing.shape[0]) if states is None else states[i]
                output, last = cell.run(products, before, dropped, course)
                after.append(last)
            outputs.append(output)
        y = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
        return (y + x if self.adds_input else y), after


class RecurrentStack(nn.Module):
    """Layers over vectors: what the five shapes of `wenmo.models.sequences` have in common.

    The vocabulary and the word vectors of the config mean nothing here; ``input_size`` is the width of the input.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.input_size, *[config.hidden_size] * (config.num_hidden_layers - 1)]
        self.layers = nn.ModuleList(RecurrentLayer(config, width) for width in widths)

    def initialize(self, generator: torch.Generator) -> None:
        """See `Cell.initialize`."""
        for cell in self.cells():
            cell.initialize(generator, self.config.initialization)

    def cells(self) -> list[Cell]:
        """Layer by layer, the directions of each."""
        return [cell for layer in self.layers for cell in cast(RecurrentLayer, layer).cells]  # type: ignore[misc]

    def forward(
        self, inputs: Tensor, attention_mask: Tensor, state: RecurrentState | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Run over padded vectors.

        Args:
            inputs: ``(batch, length, input_size)``.
            attention_mask: ``(batch, length)``, 1 on the text and 0 on the padding, which stands on the right.
            state: from which to go on; None: zeros.

        Returns:
            The last layer's states ``(batch, length, hidden_size)``, zeros on the padding; and the state of every
            layer and direction behind its last step, which for a text without tokens is the one given.
        """
        packing = Packing.of(attention_mask)
        states, after = self.run(packing.pack(inputs), packing, state)
        return packing.unpack(states), after

    def run(self, x: Tensor, packing: Packing, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """As `forward`, over packed vectors ``(tokens, input_size)``; gives ``(tokens, hidden_size)``."""
        cells, num_directions = self.cells(), self.config.num_directions
        before = self._states(cells, x, packing, state)
        x, after = self._through(
            x, packing, [before[i : i + num_directions] for i in range(0, len(cells), num_directions)]
        )
        stacked = [torch.stack([packing.restore_texts(each) for each in kind]) for kind in zip(*after, strict=True)]
        return x, RecurrentState(*stacked)

    def run_from_zeros(self, x: Tensor, packing: Packing) -> Tensor:
        """As `run`, where texts begin with zeros and nobody asks for the last states, which may be faster."""
        return self._through(x, packing, [None] * len(self.layers))[0]

    def _through(
        self, x: Tensor, packing: Packing, before: list[list[list[Tensor]]] | list[None]
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Through all layers, given the states of each; gives the last layer's, and those behind the last steps."""
        after: list[list[Tensor]] = []
        for i, (layer, states) in enumerate(zip(self.layers, before, strict=True)):
            if i:
                x = dropout(x, self.config.hidden_dropout_prob, self.training)
            x, behind = layer(x, packing, states)
            note(f"states behind every token, layer {i + 1}", x, "tokens", "hidden_size")
            after += behind
        return x, after

    def _states(
        self, cells: list[Cell], x: Tensor, packing: Packing, state: RecurrentState | None
    ) -> list[list[Tensor]]:
        """Of each cell before its first step, the longest text first."""
        if state is None:
            return [cell.first_states(x, packing.shape[0]) for cell in cells]
        wanted = (len(cells), packing.shape[0], self.config.num_units)
        given = state.tensors()
        if len(given) != cells[0].num_states or any(each.shape != wanted for each in given):
            raise ValueError(
                f"the state has shapes {[tuple(each.shape) for each in given]}, but this {self.config.cell} wants "
                f"{cells[0].num_states} of {wanted}; bring the state of the same model and texts"
            )
        return [[packing.sort_texts(each[i]) for each in given] for i in range(len(cells))]


class Recurrent(nn.Module):
    """Reads the word vectors one after the other and keeps a state; the states become the features."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = WordEmbeddings(config.vocab_size, config.embedding_size, config.channels)
        self.characters = _make_characters(config)
        self.stack = RecurrentStack(config)
        self.attention = AttentionPooling(config.hidden_size) if config.pooling == "attention" else None

    def initialize(self, generator: torch.Generator) -> None:
        """Word vectors uniform(-0.25, 0.25) as in every model here; characters, cells and attention as they say."""
        self.embeddings.initialize(generator)
        if self.characters is not None:
            self.characters.initialize(generator)
        self.stack.initialize(generator)
        if self.attention is not None:
            self.attention.initialize(generator)

    def forward(self, batch: TokenBatch, *, use_cache: bool = False) -> Features:
        """Read each text, and pool its states.

        Args:
            batch: ``input_ids`` ``(batch, length)``, beside them ``character_ids`` ``(batch, length, num_characters)``
                where the model looks into its words; or ``inputs_embeds`` ``(batch, length, input_size)``;
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right;
                ``past_key_values``: the `RecurrentState` from which to go on, or None.
            use_cache: give the state behind the last token.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``, zeros on the padding. ``pooler_output``
            ``(batch, hidden_size)``, zeros for a text without tokens. ``past_key_values``: the `RecurrentState` behind
            the last token; with two directions the second one's is that behind the first token.

        Raises:
            ValueError: the state given is that of another model or another number of texts, or the model looks into
                its words and there are no characters.
        """
        packing = Packing.of(batch.attention_mask)
        vectors = note(
            "vectors of the words, without padding", self._vectors(batch, packing), "tokens", "embedding_size"
        )
        if use_cache or batch.past_key_values is not None:
            packed, state = self.stack.run(vectors, packing, batch.past_key_values)
        else:
            packed, state = self.stack.run_from_zeros(vectors, packing), None
        states = packing.unpack(packed)
        pooled = self.pool(states, batch.attention_mask)
        return Features(last_hidden_state=states, pooler_output=pooled, past_key_values=state if use_cache else None)

    def depths(self) -> Depths:
        """Words and characters, then all directions of each layer; see `wenmo.models.depths`."""
        characters = [] if self.characters is None else [self.characters]
        return [[self.embeddings, *characters], *([layer] for layer in self.stack.layers)]

    def pool(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """``(batch, length, hidden_size)`` to ``(batch, hidden_size)`` as the config says."""
        if self.attention is not None:
            vector, weights = self.attention(states, attention_mask)
            note("attention", weights, "batch", "length")
        elif self.config.pooling == "last":
            size = self.config.num_units
            halves = [
                pool(states[..., :size], attention_mask, "last"),
                pool(states[..., size:], attention_mask, "first"),
            ]
            vector = torch.cat(halves, dim=1)
        else:
            vector = pool(states, attention_mask, cast(Literal["max", "mean"], self.config.pooling))
        return note(f"vector of the text, by {self.config.pooling}", vector, "batch", "hidden_size")

    def _vectors(self, batch: TokenBatch, packing: Packing) -> Tensor:
        """The word vectors of the packed tokens, with dropout."""
        if batch.input_ids is None:
            assert batch.inputs_embeds is not None, "a recurrent model reads input_ids or inputs_embeds"
            return self._drop(packing.pack(batch.inputs_embeds))
        words = self._word_vectors(packing.pack(batch.input_ids))
        if self.characters is None:
            return words
        if batch.character_ids is None:
            raise ValueError("this model looks into its words; give character_ids beside input_ids")
        found = self.characters(packing.pack(batch.character_ids))
        return torch.cat([words, dropout(found, self.config.embedding_dropout_prob, self.training)], dim=1)

    def _word_vectors(self, words: Tensor) -> Tensor:
        if not self.training:
            return cast(Tensor, self.embeddings(words))
        words, index = torch.unique(words, return_inverse=True)
        return self._drop(self.embeddings(words)).index_select(0, index)

    def _drop(self, vectors: Tensor) -> Tensor:
        """Dropout on numbers of vectors, and on whole ones."""
        whole = dropout(vectors.new_ones(len(vectors), 1), self.config.word_dropout_prob, self.training)
        return dropout(vectors, self.config.embedding_dropout_prob, self.training) * whole


def _make_characters(config: RecurrentConfig) -> CharacterCnn | CharacterLstm | None:
    if config.character_features == "none":
        return None
    if config.character_vocab_size < 1:
        raise ValueError("character_vocab_size is 0; pass how many characters are known, padding and unknown included")
    kind = CharacterCnn if config.character_features == "cnn" else CharacterLstm
    return kind(
        config.character_vocab_size,
        embedding_size=config.character_embedding_size,
        size=config.character_size,
        dropout_prob=config.character_dropout_prob,
    )


class _OfEveryCell(TypedDict):
    num_biases: Literal[1, 2]
    normalization: Normalization


def make_cell(config: RecurrentConfig, input_size: int) -> Cell:
    """A cell of these settings for inputs of this width."""
    shared: _OfEveryCell = {"num_biases": config.num_biases, "normalization": config.normalization}
    sizes = (input_size, config.num_units)
    match config.cell:
        case "rnn":
            return RnnCell(*sizes, activation=config.activation, **shared)
        case "lstm":
            return LstmCell(*sizes, output_tanh=config.output_tanh, forget_bias=config.forget_bias, **shared)
        case "gru":
            return GruCell(*sizes, reset_gate=config.reset_gate, **shared)
