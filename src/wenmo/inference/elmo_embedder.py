"""An ELMo that somebody else trained, in use: raw texts, or the words of sentences, to vectors.

Words are cut as the Penn Treebank has them, which is how the published models' training texts were cut.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.rows import Text
from wenmo.errors import InputError
from wenmo.inference.counts import TextCounts
from wenmo.inference.elmo_engine import Block, PackedElmo, Words
from wenmo.inference.engines import known_precision, packed_wanted
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.texts import listed, windows
from wenmo.interchange.allennlp import read_elmo
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.models.pooling import pool
from wenmo.models.shapes import shapes_only
from wenmo.text.segmentation import load_segmenter

SEGMENTER = "treebank"
_ALIKE = TokenPooling(layers="mix")
"""Unless a person says otherwise."""


class ElmoEmbedder:
    """Gives texts and words vectors. Safe to use from several threads."""

    max_length = 0
    """Words of a text that are read at once: all."""
    runtime: Literal["packed"] = "packed"

    def __init__(
        self,
        checkpoint: Checkpoint,
        place: str = "",
        *,
        device: str = "",
        precision: str = "float32",
        runtime: str = "auto",
    ) -> None:
        """As `open`, of what was read already."""
        config = cast(ElmoConfig, checkpoint.config)
        if device not in ("", "cpu"):
            raise InputError(f"--device {device}: {place} runs on the CPU; leave it out")
        if not packed_wanted(runtime, ""):
            raise InputError(f"--runtime {runtime}: {place} is run by packed; leave it out")
        with shapes_only():
            self.extractor = Elmo(config)
        self.extractor.load_state_dict(checkpoint.weights, assign=True)
        self.extractor.eval()
        self.checkpoint, self.place = checkpoint, place
        dtype = torch.bfloat16 if known_precision(precision) == "bfloat16" else None
        self._engine = PackedElmo(self.extractor, dtype)
        self._segmenter = load_segmenter(SEGMENTER)

    @classmethod
    def open(
        cls, options: Path, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> "ElmoEmbedder":
        """Read the options and the weights beside them.

        Raises:
            InputError: they cannot be read, or a setting cannot work.
        """
        return cls(read_elmo(options), str(options), device=device, precision=precision, runtime=runtime)

    def words(self, text: str) -> list[str]:
        """The words of a raw text."""
        return [text[start:end] for start, end in self._segmenter.spans(text)]

    def layers(self, sentences: Sequence[Words]) -> list[NDArray[np.float32]]:
        """All layers of the words of each sentence: ``(num_hidden_layers + 1, length, hidden_size)``."""
        return [layers.float().numpy() for layers in self._engine.hidden_states(sentences)]

    def embed(
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text, ``(rows, embedding_size)``; zeros for one without words.

        Args:
            texts: one text or many.
            pooling: None (or ``mix``): the mean over the words of the mean of all layers. ``layer:K``: that of one
                layer, 0 being the words by themselves and -1 the last. ``last4``: those of up to four layers of LSTMs,
                beside each other.
                ``mean``, ``max``, ``first`` (or ``cls``), ``last``: of the mixture of layers at each word.
            normalize: to length 1; a vector of zeros stays as it is.

        Raises:
            InputError: there is no such pooling, or an item is not a string.
        """
        found = list(self.embed_windows(texts, pooling=pooling, normalize=normalize))
        return np.concatenate(found) if found else np.empty((0, self.embedding_size(pooling)), np.float32)

    def embed_windows(
        self,
        texts: Text | Iterable[Text],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        counts: TextCounts | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """As `embed`, some thousand rows at a time."""
        how = self._pooling(pooling)
        counted = counts or TextCounts()
        for window in windows(listed(texts, "none"), "none", counted.texts):
            counted.texts += len(window)
            yield self._vectors([self.words(str(text)) for text in window], how, normalize)

    def embed_words(
        self, sentences: Sequence[Words], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """As `embed`, of sentences that are words already."""
        return self._vectors(sentences, self._pooling(pooling), normalize)

    def embedding_size(self, pooling: str | None = None, text: Text | None = None) -> int:
        """Width of what `embed` gives, whatever the text."""
        return self._pooling(pooling).size(self.extractor.config)

    def pair_to_embed(self, text: Text | None) -> Literal["none"]:
        """Texts are embedded one by one."""
        return "none"

    def predict(self, texts: Any, **settings: Any) -> NoReturn:
        """Nothing is answered.

        Raises:
            InputError: always; the message says what the model is for.
        """
        raise InputError(f"{self.place}: an ELMo gives texts vectors (wenmo embed) and answers nothing")

    def predict_file(self, source: str | Path, out: str | Path, **asked: Any) -> dict[str, Any]:
        """As `predict`."""
        self.predict(source)

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """As `predict`."""
        self.predict(source)

    @torch.inference_mode()
    def _vectors(self, sentences: Sequence[Words], how: TokenPooling, normalize: bool | None) -> NDArray[np.float32]:
        vectors = torch.zeros(len(sentences), how.size(self.extractor.config))
        for block in self._engine.blocks(sentences):
            vectors[block.rows] = self._pooled(block, how).float()
        if normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        found: NDArray[np.float32] = vectors.numpy()
        return found

    def _pooled(self, block: Block, how: TokenPooling) -> Tensor:
        if how.layers is None:
            states = self.extractor.mix(block.layers)
        else:
            states = how.combined([block.layers[i] for i in how.chosen(len(block.layers))])
        return pool(*block.without_markers(states), how.how)

    def _pooling(self, name: str | None) -> TokenPooling:
        """What is asked for.

        Raises:
            InputError: there is none, or the model has no such layer.
        """
        how = _ALIKE if name is None else TokenPooling.named(name)
        how.chosen(self.extractor.config.num_hidden_layers + 1)
        return how
