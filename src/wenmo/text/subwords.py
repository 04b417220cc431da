"""Subwords: parts of words, learnt from the texts, of which any text can be put together again exactly.

- ``bpe``: Sennrich, Haddow and Birch, ACL 2016, https://arxiv.org/abs/1508.07909. The commonest pair of neighbours
  becomes one token, until the vocabulary is full.
- ``unigram``: Kudo, ACL 2018, https://arxiv.org/abs/1804.10959. Of many candidates those are kept that make the texts
  likeliest; a text is cut where the product of its tokens' probabilities is largest.

Both are trained and run by the `tokenizers` library. The smallest parts are the 256 bytes of UTF-8, as in GPT-2, so no
text has an unknown token, in any script. A text is cut before its spaces, numbers and punctuation marks first, and no
token reaches across such a cut. One space is put in front of every text, so that a word is the same token at the
beginning as elsewhere, and taken away again by `SubwordTokenizer.decode`.

Tokens are written as in GPT-2, a visible character for each byte: ``Ġ`` is the space. ``tokenizer.json`` is whole, so
other tools read it; what stands there under no name (lower case, width, Chinese conversion) is in
``tokenizer_config.json``.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from wenmo.errors import InputError
from wenmo.files import read_json, write_aside
from wenmo.text.ngrams import Ids
from wenmo.text.normalization import Normalizer, conversion_version, raw_span
from wenmo.text.tokenizer_config import (
    Encoding,
    SavedSettings,
    SpecialIds,
    TokenizerConfig,
    fingerprint_of,
    read_settings,
    strings,
    write_settings,
)

DEFAULT_VOCAB_SIZE = 8000
"""Where ``vocab_size`` is 0."""

_VERSION = "1"
"""Of how texts are cut here; another one may give other tokens."""
_CHUNK = 1024
_PENALTIES = 0.0257
"""How far above its lowest score the library puts bytes that its unigram model lacks: 0.0001 for each of 256, and one
more for what a float adds."""


class SubwordTokenizer(SpecialIds):
    """Gives a text ids, and ids their text. Safe to use from several threads."""

    def __init__(self, backend: tokenizers.Tokenizer, config: TokenizerConfig, *, conversion: str = "") -> None:
        """Use `train` or `load`; ``conversion`` is the version of the Chinese conversion it was trained with."""
        self.config = config
        self._backend = backend
        self._backend.encode_special_tokens = True  # "[EOS]" in a text is a text
        self._normalizer = Normalizer(
            fold_width=config.fold_width, lowercase=config.lowercase, chinese_conversion=config.chinese_conversion
        )
        if config.chinese_conversion and not conversion:
            conversion = conversion_version(config.chinese_conversion)
        self._versions = {"segmenter": _VERSION, "chinese_conversion": conversion}

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> Self:
        """Learn the subwords of these texts; the same texts give the same subwords.

        Raises:
            InputError: the vocabulary has no room for all bytes, the conversion is not there, or an item is no string.
        """
        if not config.has_subwords:
            raise InputError(f"segmenter {config.segmenter!r} has no subwords; use 'bpe' or 'unigram'")
        config = replace(config, vocab_size=config.vocab_size or DEFAULT_VOCAB_SIZE)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        least = len(config.special_tokens) + len(alphabet)
        if config.vocab_size < least:
            raise InputError(
                f"vocab_size {config.vocab_size} is too small: {', '.join(config.special_tokens)} and the "
                f"{len(alphabet)} bytes take {least}; set data.tokenizer.vocab_size to some thousands"
            )
        normalizer = cls(_backend(models.BPE()), config)._normalizer
        normalized = (normalizer.normalize(text) for text in strings(texts))
        model = (_trained_bpe if config.segmenter == "bpe" else _trained_unigram)(normalized, config, alphabet)
        return cls(_backend(model, config.special_tokens), config)

    @cached_property
    def vocabulary(self) -> list[str]:
        """The tokens in the order of their ids, written as bytes."""
        ids = self._backend.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    @property
    def vocab_size(self) -> int:
        """Number of ids, with those of the special tokens."""
        return len(self.vocabulary)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of the text, written as bytes."""
        tokens: list[str] = self._backend.encode(self._normalizer.normalize(text)).tokens
        return tokens

    def encode_batch(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text, without special tokens, the same as `encode` gives.

        Raises:
            InputError: an item is not a string, or ``texts`` is one.
        """
        encoded: list[Ids] = []
        remaining = strings(texts)
        while chunk := [self._normalizer.normalize(text) for text in islice(remaining, _CHUNK)]:
            encoded += (np.array(found.ids, np.int32) for found in self._backend.encode_batch_fast(chunk))
        return encoded

    def encode(self, text: str) -> Encoding:
        """The ids of a text with its tokens and where in the raw text they stand.

        White space in front of a token is not among its characters, unless it is all that the token has. A token that
        holds some of a character's bytes covers the character; the space that is put in front of a text covers none.
        """
        normalized, origins = self._normalizer.align(text)
        found = self._backend.encode(normalized)
        spans = _spans(found.tokens, normalized)
        offsets = [raw_span(origins, start, end) if end else (0, 0) for start, end in spans]
        return Encoding(np.array(found.ids, np.int32), found.tokens, offsets)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of the ids: exactly the normalised text that they are of; special tokens give nothing.

        Ids that a model wrote may end within a character; what is there of it becomes U+FFFD.
        """
        text: str = self._backend.decode(_plain(ids), skip_special_tokens=True)
        return text

    def decode_batch(self, batch: Iterable[Sequence[int] | Ids]) -> list[str]:
        """As `decode`, of many at once."""
        texts: list[str] = self._backend.decode_batch([_plain(ids) for ids in batch], skip_special_tokens=True)
        return texts

    def fingerprint(self) -> str:
        """SHA-256 of the settings and the vocabulary, in hexadecimal."""
        model = json.loads(self._backend.to_str())["model"]
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges", [])]
        return fingerprint_of(self.config, model["vocab"], merges)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into a folder, which is made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_aside(folder / "tokenizer.json", self._backend.to_str(pretty=True))
        write_settings(folder, SavedSettings(self.config, self._versions, self.vocab_size, self.fingerprint()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing, cut short or not from the same tokenizer as the other, or it was made by a
                newer wenmo.
        """
        folder = Path(folder)
        saved = read_settings(folder)
        path = folder / "tokenizer.json"
        content = read_json(path)
        try:
            backend = tokenizers.Tokenizer.from_str(json.dumps(content))
            fits = content["model"]["type"].lower() == saved.config.segmenter
        except Exception as error:  # the library raises nothing more special
            raise InputError(f"{path} holds no subwords ({error}); copy the folder again") from error
        if not fits:
            raise InputError(f"{path} holds no {saved.config.segmenter} subwords; copy both files from the same model")
        tokenizer = cls(backend, saved.config, conversion=saved.versions["chinese_conversion"])
        saved.check_belongs(folder, tokenizer.vocab_size, tokenizer.fingerprint())
        return tokenizer

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._backend.to_str(), self.config, self._versions["chinese_conversion"])


def _restore(cls: type[SubwordTokenizer], backend: str, config: TokenizerConfig, conversion: str) -> SubwordTokenizer:
    return cls(tokenizers.Tokenizer.from_str(backend), config, conversion=conversion)


def _backend(model: models.Model, special_tokens: Sequence[str] = ()) -> tokenizers.Tokenizer:
    """How every text is cut and put together, around a model."""
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.Prepend(" ")
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    backend.add_special_tokens(list(special_tokens))
    return backend


def _trained_bpe(texts: Iterator[str], config: TokenizerConfig, alphabet: list[str]) -> models.Model:
    backend = _backend(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=config.special_tokens,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return cast(models.Model, backend.model)


def _trained_unigram(texts: Iterator[str], config: TokenizerConfig, alphabet: list[str]) -> models.Model:
    """The library's result, brought into one order.

    It goes through tables whose order differs from run to run. That shows in the order of equally likely tokens, in the
    last digits of scores, and in those of bytes that it lacks: it gives these falling scores as they come, and here all
    of them get the lowest.
    """
    backend = _backend(models.Unigram())
    special = config.special_tokens
    trainer = trainers.UnigramTrainer(
        vocab_size=config.vocab_size,
        special_tokens=special,
        initial_alphabet=alphabet,
        unk_token=special[SubwordTokenizer.unk_token_id],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    pieces = dict(json.loads(backend.to_str())["model"]["vocab"])
    scores = {piece: round(score, 4) for piece, score in pieces.items() if piece not in special}
    lowest = min(scores.values())
    for piece in alphabet:
        if scores[piece] <= lowest + _PENALTIES:
            scores[piece] = lowest
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return models.Unigram([*((token, 0.0) for token in special), *ordered], unk_id=SubwordTokenizer.unk_token_id)


def _spans(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """The characters ``[start, end)`` of a text behind each of its tokens, which have a character for each byte."""
    characters = [-1, *(i for i, character in enumerate(text) for _ in character.encode())]  # of each byte
    spans = []
    for first, behind in pairwise([0, *accumulate(map(len, tokens))]):
        start, end = max(0, characters[first]), characters[behind - 1] + 1
        spans.append((end - len(text[start:end].lstrip()) if text[start:end].strip() else start, end))
    return spans


def _plain(ids: Sequence[int] | Ids) -> list[int]:
    return [int(i) for i in ids]
