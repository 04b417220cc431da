"""ELMo: what two language models, one in each direction, know of each word of a text.

Peters et al., NAACL 2018, https://arxiv.org/abs/1802.05365, section 3. Each word is read as its characters
(`wenmo.models.character_network`); then come layers of projected LSTMs (`wenmo.models.projected`), a stack from left to
right and one from right to left that never see each other. From the second layer on, a layer adds its input. The layers
that a word gets are [x; x], [→h_1; ←h_1], [→h_2; ←h_2], and a task takes their mixture (`wenmo.models.scalar_mix`).
Every text begins and ends with a marker of its own, which is read and does not come out.

We differ in one way: a text's state begins at zeros, so its vectors are the same alone and in company. The original
goes on from the state behind the batch before, row by row; ``stateful`` does so too.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import (
    NUM_BYTE_IDS,
    SENTENCE_BEGIN_ID,
    SENTENCE_END_ID,
    WORD_BEGIN_ID,
    WORD_END_ID,
    Features,
    TokenBatch,
)
from wenmo.models.character_network import CharacterActivation, CharacterNetwork
from wenmo.models.config import ModelConfig
from wenmo.models.depths import Depths
from wenmo.models.dropout import dropout
from wenmo.models.packing import Packing
from wenmo.models.pooling import pool
from wenmo.models.projected import ProjectedLstmCell
from wenmo.models.recurrent import RecurrentState
from wenmo.models.scalar_mix import ScalarMix
from wenmo.models.scan import Course, States
from wenmo.models.tracing import note

_MARKERS = (
    (WORD_BEGIN_ID, SENTENCE_BEGIN_ID, WORD_END_ID),
    (WORD_BEGIN_ID, SENTENCE_END_ID, WORD_END_ID),
)
"""The words ``<S>`` and ``</S>``."""


@dataclass(frozen=True, kw_only=True)
class ElmoConfig(ModelConfig):
    """Sizes of an ELMo. The defaults are those of the first release, with 93.6 million parameters."""

    reads_bytes: ClassVar[bool] = True

    model_type: Literal["elmo"] = "elmo"
    vocab_size: int = 0
    """Of the tokenizer. The model reads the bytes of words, so no weight depends on it."""
    character_vocab_size: int = NUM_BYTE_IDS
    """Bytes, markers and padding."""
    character_embedding_size: int = 16
    max_characters: int = 50
    """Of a word, with the markers of its begin and end."""
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
    """Of the characters: each width, and how many filters have it."""
    character_activation: CharacterActivation = "relu"
    """Behind the filters."""
    num_highways: int = 2
    projection_size: int = 512
    """Width of a word's vector and of each direction's states."""
    num_units: int = 4096
    """Units of a layer's cell, in each direction."""
    num_hidden_layers: int = 2
    cell_clip: float = 3.0
    """The cell's state stays between this and its negative; 0: it is not clipped."""
    projection_clip: float = 3.0
    """The same of the projected state."""
    residual: bool = True
    """From the second layer on, a layer adds its input."""
    stateful: bool = False
    """Each row of a batch goes on from the state behind that row of the batch before, as in the original."""
    frozen: bool = False
    """Training changes the mixture alone, as the original is used in a task; for weights that were read from a file."""
    hidden_dropout_prob: float = 0.1
    """While training, on the input of every layer of LSTMs that learns."""
    mix_layer_norm: bool = False
    """Layers get mean 0 and variance 1 over a whole batch before they are mixed."""
    mix_dropout_prob: float = 0.5
    """While training, on the mixture."""
    mix_penalty: float = 0.0
    """λ of the penalty λ‖w‖² on the weights of the mixture: 1 keeps the plain mean, 0.001 lets them move."""

    def __post_init__(self) -> None:
        sizes = (self.character_embedding_size, self.projection_size, self.num_units, self.num_hidden_layers)
        if min(sizes) < 1 or self.num_highways < 0:
            raise ValueError(
                "character_embedding_size, projection_size, num_units and num_hidden_layers must be at least 1, "
                "num_highways at least 0"
            )
        if self.character_vocab_size < NUM_BYTE_IDS:
            raise ValueError(f"character_vocab_size holds bytes and markers, {NUM_BYTE_IDS} ids; leave it out")
        widest = max((width for width, _ in self.filters), default=0)
        if not self.filters or min(map(min, self.filters)) < 1 or widest > self.max_characters:
            raise ValueError(
                f"filters are pairs of a width, up to max_characters={self.max_characters}, and a number, like "
                f"((1, 32), (2, 32)); got {self.filters}"
            )
        if self.character_activation not in get_args(CharacterActivation):
            raise ValueError(
                f"character_activation must be one of {', '.join(get_args(CharacterActivation))}; got "
                f"{self.character_activation!r}"
            )
        if min(self.cell_clip, self.projection_clip, self.mix_penalty) < 0:
            raise ValueError("cell_clip, projection_clip and mix_penalty must be at least 0")
        for name in ("hidden_dropout_prob", "mix_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1; got {getattr(self, name)}")

    def as_start(self) -> "ElmoConfig":
        """Frozen, as in section 3.3: a task learns the mixture, and has its own dropout on what the model says."""
        return replace(self, frozen=True, mix_dropout_prob=0.0)

    @property
    def hidden_size(self) -> int:
        """Width of the features: both directions."""
        return 2 * self.projection_size


def elmo_small() -> ElmoConfig:
    """The smallest release, with 13.6 million parameters."""
    return ElmoConfig(num_units=1024, projection_size=128, num_highways=1)


def elmo_medium() -> ElmoConfig:
    """The medium release, with 28.0 million parameters."""
    return ElmoConfig(num_units=2048, projection_size=256, num_highways=1)


def elmo_original() -> ElmoConfig:
    """The first release and the one trained on 5.5 billion tokens, with 93.6 million parameters."""
    return ElmoConfig()


class Elmo(nn.Module):
    """Reads the characters of each word, then the words in both directions."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.config = config
        self.characters = CharacterNetwork(
            config.character_vocab_size,
            embedding_size=config.character_embedding_size,
            filters=config.filters,
            output_size=config.projection_size,
            num_highways=config.num_highways,
            activation=config.character_activation,
            max_characters=config.max_characters,
        )
        self.forward_cells = nn.ModuleList(_make_cell(config) for _ in range(config.num_hidden_layers))
        self.backward_cells = nn.ModuleList(_make_cell(config) for _ in range(config.num_hidden_layers))
        self.mix = ScalarMix(
            config.num_hidden_layers + 1,
            layer_norm=config.mix_layer_norm,
            dropout_prob=config.mix_dropout_prob,
            penalty=config.mix_penalty,
        )
        if config.frozen:
            for part in (self.characters, self.forward_cells, self.backward_cells):
                part.requires_grad_(False)
        self._carried: RecurrentState | None = None

    def initialize(self, generator: torch.Generator) -> None:
        """As the parts say; the mixture starts as the plain mean."""
        self.characters.initialize(generator)
        for cells in self.layers():
            for cell in cells:
                cell.initialize(generator)
        self.mix.initialize()

    def layers(self) -> list[tuple[ProjectedLstmCell, ProjectedLstmCell]]:
        """Of each layer the cell that reads from left to right, and the one that reads from right to left."""
        pairs = zip(self.forward_cells, self.backward_cells, strict=True)
        return cast(list[tuple[ProjectedLstmCell, ProjectedLstmCell]], list(pairs))

    def depths(self) -> Depths:
        """The characters, then both directions of each layer; see `wenmo.models.depths`."""
        return [[self.characters], *(list[nn.Module](cells) for cells in self.layers())]

    def forward(self, batch: TokenBatch, *, output_hidden_states: bool = False) -> Features:
        """Read each text in both directions.

        Args:
            batch: ``character_ids`` ``(batch, length, num_characters)`` as `wenmo.text.word_bytes` gives them, without
                markers of the text, or ``inputs_embeds`` ``(batch, length, projection_size)``, the `word_vectors`;
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right.
                ``past_key_values``: the `RecurrentState` from which each text goes on, or None.
            output_hidden_states: give the layers: a word's own vector twice, then the states of each layer.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``: the mixture of the layers, 0 on the padding.
            ``pooler_output`` ``(batch, hidden_size)``: its mean over the tokens, which is that of all layers alike
            while the mixture has not learnt; zeros for a text without any. ``past_key_values``: the `RecurrentState`
            behind each text, layer by layer, both directions of each: h ``(2 * num_hidden_layers, batch,
            projection_size)`` and c with ``num_units``.

        Raises:
            ValueError: the batch has no characters, more of them than ``max_characters``, or a state of another shape.
        """
        mask = batch.attention_mask.bool()
        packing, layers, state = self._read_batch(batch)
        mixed = _without_markers(packing.unpack(self.mix(layers)), mask)
        return Features(
            last_hidden_state=mixed,
            pooler_output=note("mean over words", pool(mixed, mask.long(), "mean"), "batch", "hidden_size"),
            hidden_states=tuple(_without_markers(packing.unpack(layer), mask) for layer in layers)
            if output_hidden_states
            else None,
            past_key_values=state,
        )

    def language_states(self, batch: TokenBatch) -> tuple[Tensor, RecurrentState]:
        """What the two language models foretell words from, markers among them.

        Args:
            batch: as for `forward`.

        Returns:
            ``(batch, length + 2, hidden_size)``: the states of the top layer at ``<S>``, the words and ``</S>``, 0 on
            the padding. The first half has read what stands before and knows what comes next; the second half has read
            what stands behind. And the state behind each text, as `forward` gives it.

        Raises:
            ValueError: as for `forward`.
        """
        packing, layers, state = self._read_batch(batch)
        return packing.unpack(layers[-1]), state

    def first_state(self, rows: int) -> RecurrentState:
        """What so many texts begin from where nothing is carried: zeros."""
        cells = 2 * self.config.num_hidden_layers
        return RecurrentState(
            torch.zeros(cells, rows, self.config.projection_size), torch.zeros(cells, rows, self.config.num_units)
        )

    def word_vectors(self, character_ids: Tensor) -> Tensor:
        """What the model knows of words by themselves.

        Args:
            character_ids: ``(..., num_characters)``.

        Returns:
            ``(..., projection_size)``; the network runs once for each distinct word.
        """
        words, places = torch.unique(character_ids.flatten(0, -2), dim=0, return_inverse=True)
        vectors: Tensor = self.characters(words)
        return vectors.index_select(0, places).view(*character_ids.shape[:-1], -1)

    def read(self, x: Tensor, packing: Packing, state: RecurrentState | None) -> tuple[list[Tensor], RecurrentState]:
        """All layers over packed word vectors ``(tokens, projection_size)``, each ``(tokens, hidden_size)``."""
        before = self._states(x, packing, state)
        dropout_prob = 0.0 if self.config.frozen else self.config.hidden_dropout_prob
        halves = [x, x]
        layers, after = [torch.cat(halves, dim=1)], []
        for i, cells in enumerate(self.layers()):
            for direction, cell in enumerate(cells):
                given = dropout(halves[direction], dropout_prob, self.training)
                course = Course(packing, reverse=direction == 1)
                output, behind = cell.run(cell.products(given), before[2 * i + direction], course)
                halves[direction] = output + given if self.config.residual and i else output
                after.append(behind)
            layers.append(note(f"states of layer {i + 1}", torch.cat(halves, dim=1), "tokens", "hidden_size"))
        stacked = [torch.stack([packing.restore_texts(each) for each in kind]) for kind in zip(*after, strict=True)]
        return layers, RecurrentState(*stacked)

    def reset(self) -> None:
        """Forget what a ``stateful`` model carries from batch to batch."""
        self._carried = None

    def _read_batch(self, batch: TokenBatch) -> tuple[Packing, list[Tensor], RecurrentState]:
        """All layers over a batch and its markers, packed; the state behind it, which a stateful model keeps."""
        mask = batch.attention_mask.bool()
        packing = Packing.of(_with_markers(mask))
        state = batch.past_key_values
        if state is None and self.config.stateful:
            state = self._state_of_rows(len(mask))
        x = note("words and the text's markers, without padding", self._words(batch, packing), "tokens", "vector")
        layers, state = self.read(x, packing, state)
        if self.config.stateful:
            self._carry(state)
        return packing, layers, state

    def _words(self, batch: TokenBatch, packing: Packing) -> Tensor:
        """The vectors of words and markers in the order of the packing."""
        mask = batch.attention_mask.bool()
        if batch.inputs_embeds is not None:
            markers = self.word_vectors(_markers(len(_MARKERS[0]), mask.device))
            vectors = torch.cat([markers, batch.inputs_embeds[mask].to(markers.dtype)])
            places = torch.arange(len(vectors), device=mask.device)
        else:
            if batch.character_ids is None:
                raise ValueError("ELMo reads the characters of words; give character_ids, or inputs_embeds")
            given = batch.character_ids[mask]
            given = F.pad(given, (0, max(0, len(_MARKERS[0]) - given.size(1))))
            words = torch.cat([_markers(given.size(1), mask.device), given])
            distinct, places = torch.unique(words, dim=0, return_inverse=True)
            vectors = self.characters(distinct)
        index = places[:1].expand(packing.shape).clone()  # (batch, length + 2): markers of begins everywhere, so far
        index[F.pad(mask, (1, 1))] = places[2:]
        index.scatter_(1, mask.sum(dim=1, keepdim=True) + 1, places[1].expand(len(mask), 1))
        return vectors.index_select(0, packing.pack(index))

    def _states(self, x: Tensor, packing: Packing, state: RecurrentState | None) -> list[States]:
        """Of each cell before its first step, the longest text first."""
        cells = [cell for pair in self.layers() for cell in pair]
        rows = packing.shape[0]
        if state is None:
            return [cell.first_states(x, rows) for cell in cells]
        wanted = [(len(cells), rows, size) for size in (self.config.projection_size, self.config.num_units)]
        given = state.tensors()
        if [tuple(each.shape) for each in given] != wanted:
            raise ValueError(
                f"the state has shapes {[tuple(each.shape) for each in given]}, and this model wants {wanted}; bring "
                "the state of the same model and number of texts"
            )
        return [[packing.sort_texts(each[i]).to(x.dtype) for each in given] for i in range(len(cells))]

    def _state_of_rows(self, rows: int) -> RecurrentState | None:
        """What is carried for so many rows; zeros for rows that no batch had before."""
        if self._carried is None:
            return None
        kept = [F.pad(each, (0, 0, 0, max(0, rows - each.size(1))))[:, :rows] for each in self._carried.tensors()]
        return RecurrentState(*kept)

    def _carry(self, state: RecurrentState) -> None:
        """Keep the state behind a batch; rows that it did not have keep theirs."""
        behind, rows = state.detach(), state.hidden.size(1)
        before = self._carried or behind
        pairs = zip(behind.tensors(), before.tensors(), strict=True)
        self._carried = RecurrentState(*(torch.cat([new, old[:, rows:]], dim=1) for new, old in pairs))


def _make_cell(config: ElmoConfig) -> ProjectedLstmCell:
    return ProjectedLstmCell(
        config.projection_size,
        config.num_units,
        config.projection_size,
        cell_clip=config.cell_clip,
        projection_clip=config.projection_clip,
    )


def _markers(num_characters: int, device: torch.device) -> Tensor:
    """The characters of both markers, ``(2, num_characters)``, 0 behind them."""
    return F.pad(torch.tensor(_MARKERS, device=device), (0, num_characters - len(_MARKERS[0])))


def _with_markers(mask: Tensor) -> Tensor:
    """``(batch, length)`` to ``(batch, length + 2)``: two tokens more in every text."""
    return F.pad(mask.long(), (2, 0), value=1)


def _without_markers(states: Tensor, mask: Tensor) -> Tensor:
    """``(batch, length + 2, size)`` to ``(batch, length, size)``, 0 on the padding."""
    return states[:, 1:-1].masked_fill(~mask.unsqueeze(-1), 0.0)
