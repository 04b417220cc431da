"""Raw texts and pairs to vectors, by a model with a head or without: in their order, in flat memory, the same alone and
in company."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Text
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.inference.counts import TextCounts
from wenmo.inference.engines import choose_engine, known_precision
from wenmo.inference.long_texts import windowed
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.texts import Columns, VectorModel, listed, vectors_of, windows
from wenmo.interchange.opening import OpenedFolder
from wenmo.interchange.sentence_transformers import SentenceVectors
from wenmo.models.config import ModelConfig
from wenmo.models.windows import Windows
from wenmo.tasks.pairs import VECTORS_OF_A_PAIR, Pair, encode_texts, pair_vector
from wenmo.text.loading import AnyTokenizer
from wenmo.training.distribution import choose_device


class Headless:
    """An extractor that nothing stands on: a text's vector is the model's own."""

    compares = False
    windows: Windows | None = None

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig) -> None:
        self.extractor, self.extractor_config = extractor, extractor_config

    def vectors(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, pooler_size)``."""
        assert batch_b is None, "pairs are read by what stands on an extractor"
        vectors: Tensor = self.extractor(batch).pooler_output
        return vectors

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """As where nobody says otherwise, `wenmo.tasks.pairs.pair_vector`."""
        return pair_vector(first, second)


class Embedder:
    """A model that gives texts vectors. Safe to use from several threads."""

    def __init__(
        self,
        model: VectorModel,
        tokenizer: AnyTokenizer,
        long_texts: LongTexts,
        *,
        device: torch.device,
        pair: Pair = "none",
        precision: str = "float32",
        runtime: str = "auto",
        said: SentenceVectors | None = None,
        folder: OpenedFolder | None = None,
        place: str = "",
    ) -> None:
        """``said`` is what the model's folder says of its vectors."""
        self.model, self.tokenizer, self.long_texts, self.pair = model, tokenizer, long_texts, pair
        self.extractor: nn.Module = model.extractor
        self.device, self._precision = device, known_precision(precision)
        self._engine = windowed(choose_engine(self.extractor, runtime, device, self._precision), model.windows)
        self._said = said or SentenceVectors()
        for layer in self._said.dense:
            layer.to(device)
        self.folder, self.place = folder, place

    @classmethod
    def of_folder(
        cls, folder: OpenedFolder, place: str, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> "Embedder":
        """The embedder of a model of another system."""
        chosen = choose_device(device)
        folder.extractor.to(chosen)
        return cls(
            Headless(folder.extractor, folder.config),
            folder.tokenizer,
            LongTexts.of_recipe(folder.recipe),
            device=chosen,
            precision=precision,
            runtime=runtime,
            said=folder.vectors,
            folder=folder,
            place=place,
        )

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self._engine.name

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read at once, special ones among them; 0: all."""
        return self.long_texts.max_length

    def embed(
        self, texts: Text | Iterable[Text], pooling: str | None = None, normalize: bool | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text or pair, ``(rows, size)``.

        A model that encodes both texts of a pair by themselves gives single texts their own vectors ``u``, and pairs
        ``[u, v, |u - v|, u * v]``. One that reads both as one text, or compares them, gives vectors of pairs alone.

        Args:
            texts: one text or many, or pairs; all of one kind.
            pooling: None: as the model's folder says (``modules.json`` of sentence-transformers, with its layers over
                the pooled vector), else the model's own sentence vector. Others are made of the vectors of the tokens:
                ``mean``, ``max``, ``first`` (or ``cls``), ``last``, ``last4``, ``mix``, ``layer:K``; see
                `wenmo.inference.poolings.TokenPooling`.
            normalize: to length 1; a vector of zeros stays as it is. None: as the folder says where it says the pooling
                too, else not.

        Raises:
            InputError: there is no such pooling, or an item is not a string or a pair as it should be.
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
        to_length_1 = (pooling is None and self._said.normalize) if normalize is None else normalize
        first, texts = _peek(listed(texts, self.pair))
        for columns in self.encode_windows(texts, counts, self.pair_to_embed(first)):
            vectors = self._vectors(columns, how)
            if pooling is None:
                vectors = self._through_dense(vectors)
            if to_length_1:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            yield vectors.float().cpu().numpy()

    def pair_to_embed(self, text: Text | None) -> Pair:
        """How texts of this kind are embedded: single texts have vectors where both of a pair are encoded alike."""
        alone = isinstance(text, str) and self.pair == "siamese" and not self.model.compares
        return "none" if alone else self.pair

    def embedding_size(self, pooling: str | None = None, text: Text | None = None) -> int:
        """Width of what `embed` gives for texts of the kind of ``text``; None: for what the model was trained on."""
        config = self.model.extractor_config
        how = self._pooling(pooling)
        size = config.pooler_size if how is None else how.size(config)
        if pooling is None and self._said.dense:
            size = self._said.dense[-1].out_features
        compared = self.pair_to_embed(text) == "siamese" and not self.model.compares
        return VECTORS_OF_A_PAIR * size if compared else size

    def encode_windows(self, texts: Iterable[Text], counts: TextCounts | None, pair: Pair) -> Iterator[Columns]:
        """Texts as ids, as many at a time as shall be in memory."""
        counted = counts or TextCounts()
        for window in windows(texts, pair, counted.texts):
            yield self._encode(window, counted, pair)
        if counts is None:
            counted.log(self.max_length)

    def own_vectors(self, columns: Columns) -> Tensor:
        """The vectors that a head on the model would see."""
        return self._vectors(columns, None)

    def predict(self, texts: Any, **settings: Any) -> NoReturn:
        """Nothing is answered.

        Raises:
            InputError: always; the message says what the model is for.
        """
        raise InputError(
            f"{self.place}: a model without a head: it gives texts vectors (wenmo embed) and answers nothing; train it "
            f"with --model {self.place}"
        )

    def predict_file(self, source: str | Path, out: str | Path, **asked: Any) -> dict[str, Any]:
        """As `predict`."""
        self.predict(source)

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """As `predict`."""
        self.predict(source)

    def _encode(self, texts: Sequence[Text], counts: TextCounts, pair: Pair) -> Columns:
        encoded = encode_texts(texts, self.tokenizer, pair, self.long_texts)
        if encoded.cut:
            counts.cut, counts.reading = counts.cut + len(encoded.cut), self.long_texts
        if len(encoded.unknown):
            counts.first_unknown = counts.first_unknown or counts.texts + int(encoded.unknown[0]) + 1
            counts.unknown += len(encoded.unknown)
        counts.texts += len(texts)
        return encoded.columns

    @torch.inference_mode()
    def _through_dense(self, vectors: Tensor) -> Tensor:
        """What the folder says is done to a vector before it is one of a text."""
        for layer in self._said.dense:
            vectors = layer(vectors.float())
        return vectors

    def _pooling(self, name: str | None) -> TokenPooling | None:
        """What is asked for, or what the folder says; None: the model's own."""
        if name is None and self._said.beyond:
            raise InputError(
                f"{self.place}: its vectors want {self._said.beyond}, which wenmo does not have; name a pooling, such "
                "as mean"
            )
        name = name if name is not None else self._said.pooling
        how = None if name is None else TokenPooling.named(name)
        if how is not None:
            how.check(self.extractor)
        return how

    @torch.inference_mode()
    def _vectors(self, columns: Columns, how: TokenPooling | None) -> Tensor:
        return vectors_of(columns, self.model, self._engine, self.device, self._precision, how)


def _peek(texts: Iterable[Text]) -> tuple[Text | None, Iterable[Text]]:
    """The first text, and all of them."""
    remaining = iter(texts)
    first = list(islice(remaining, 1))
    return (first[0] if first else None), chain(first, remaining)
