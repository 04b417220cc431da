"""Whether an ELMo as we read it is what its file says: layer by layer, in float64, against TensorFlow's own equations.

They are written here in NumPy over the arrays of the HDF5 file as they lie there, one word and one step after the other
(bilm-tf, `bilm/model.py`; `tf.nn.rnn_cell.LSTMCell`), and share nothing with our model but the settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.features import TokenBatch
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.text.word_bytes import BEGIN, END, word_byte_ids

Array = NDArray[Any]

_WORDS = ("The", "naïve", "cat", "didn't", "say", "文墨", "x" * 60, ".")
_TOLERANCE = 1e-8
"""Of a difference, beside the largest number of a layer."""


def first_difference(checkpoint: Checkpoint, arrays: Mapping[str, Array]) -> str:
    """Where our model first says something else than the equations over ``arrays``; empty: nowhere."""
    assert isinstance(checkpoint.config, ElmoConfig)
    model = Elmo(checkpoint.config)
    model.load_state_dict(checkpoint.weights)
    ids = word_byte_ids(_WORDS, checkpoint.config.max_characters)
    batch = TokenBatch(
        character_ids=torch.from_numpy(ids).long().unsqueeze(0),
        attention_mask=torch.ones(1, len(_WORDS), dtype=torch.long),
    )
    with torch.no_grad():
        ours = model.double().eval()(batch, output_hidden_states=True).hidden_states
    for i, (mine, theirs) in enumerate(zip(ours, layers_of(_WORDS, arrays, checkpoint.config), strict=True)):
        distance = np.abs(mine[0].numpy() - theirs).max() / max(1.0, np.abs(theirs).max())
        if not distance <= _TOLERANCE:  # also where it is no number
            return f"{f'layer {i}' if i else 'words'}: by {distance:.2g} of its largest number"
    return ""


def layers_of(words: Sequence[str], arrays: Mapping[str, Array], config: ElmoConfig) -> list[Array]:
    """What the arrays of a file say of a sentence: each layer ``(length, hidden_size)``, without its markers."""
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    ids = word_byte_ids([BEGIN, *words, END], config.max_characters) - 1  # the file knows no id for what is no word
    x = np.stack([_word(exact, config, row) for row in ids])
    halves = [x, x[::-1]]
    layers = [np.concatenate([x, x], axis=1)]
    for i in range(config.num_hidden_layers):
        for direction in range(2):
            given = halves[direction]
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{i}/LSTMCell"
            output = _lstm(exact[f"{cell}/W_0"], exact[f"{cell}/B"], exact[f"{cell}/W_P_0"], config, given)
            halves[direction] = output + given if config.residual and i else output
        layers.append(np.concatenate([halves[0], halves[1][::-1]], axis=1))
    return [layer[1:-1] for layer in layers]


def _word(arrays: Mapping[str, Array], config: ElmoConfig, ids: Array) -> Array:
    """The vector of a word by itself."""
    characters = arrays["char_embed"][ids]
    found = []
    for i, (width, _) in enumerate(config.filters):
        weight, places = arrays[f"CNN/W_cnn_{i}"][0], range(len(ids) - width + 1)
        answers = np.stack([np.einsum("we,wef->f", characters[place : place + width], weight) for place in places])
        found.append((answers + arrays[f"CNN/b_cnn_{i}"]).max(axis=0))
    y = np.concatenate(found)
    y = np.maximum(y, 0) if config.character_activation == "relu" else np.tanh(y)
    for i in range(config.num_highways):
        carry = _sigmoid(y @ arrays[f"CNN_high_{i}/W_carry"] + arrays[f"CNN_high_{i}/b_carry"])
        transformed = np.maximum(y @ arrays[f"CNN_high_{i}/W_transform"] + arrays[f"CNN_high_{i}/b_transform"], 0)
        y = carry * transformed + (1 - carry) * y
    return np.asarray(y @ arrays["CNN_proj/W_proj"] + arrays["CNN_proj/b_proj"])


def _lstm(weight: Array, bias: Array, projection: Array, config: ElmoConfig, inputs: Array) -> Array:
    """The projected states behind every input."""
    h, c, outputs = np.zeros(config.projection_size), np.zeros(config.num_units), []
    for x in inputs:
        i, j, f, o = np.split(np.concatenate([x, h]) @ weight + bias, 4)
        c = _clipped(_sigmoid(f + 1) * c + _sigmoid(i) * np.tanh(j), config.cell_clip)
        h = _clipped((_sigmoid(o) * np.tanh(c)) @ projection, config.projection_clip)
        outputs.append(h)
    return np.stack(outputs)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))  # does not overflow


def _clipped(x: Array, limit: float) -> Array:
    return np.clip(x, -limit, limit) if limit else x
