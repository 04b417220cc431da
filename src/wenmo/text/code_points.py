"""Single characters, white space and line ends among them: what a model writes is a text again, exactly.

A character is a Unicode code point. ``tokenizer.json`` is a word-level vocabulary over a text cut at every character,
so other tools read it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from wenmo.errors import InputError
from wenmo.files import write_aside
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
from wenmo.text.vocabulary import UNK_TOKEN, read_vocabulary

_VERSION = "1"


class CodePointTokenizer(SpecialIds):
    """Gives each character an id, and ids their characters. Safe to use from several threads."""

    def __init__(self, vocabulary: list[str], config: TokenizerConfig, *, conversion: str = "") -> None:
        """Use `train` or `load`; ``conversion`` is the version of the Chinese conversion it was trained with."""
        self.config = config
        self.vocabulary = vocabulary
        self._normalizer = Normalizer(
            fold_width=config.fold_width, lowercase=config.lowercase, chinese_conversion=config.chinese_conversion
        )
        if config.chinese_conversion and not conversion:
            conversion = conversion_version(config.chinese_conversion)
        self._versions = {"segmenter": _VERSION, "chinese_conversion": conversion}
        self._num_special = len(config.special_tokens)

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> Self:
        """The characters of these texts, by falling frequency, equally frequent ones by their code points."""
        counts: Counter[str] = Counter()
        tokenizer = cls(config.special_tokens, config)
        for text in strings(texts):
            counts.update(tokenizer._normalizer.normalize(text))
        kept = [character for character, count in counts.items() if count >= config.min_frequency]
        kept.sort(key=lambda character: (-counts[character], character))
        if config.vocab_size:
            del kept[config.vocab_size - len(config.special_tokens) :]
        return cls(config.special_tokens + kept, config)

    @property
    def vocab_size(self) -> int:
        """Number of ids, with those of the special tokens."""
        return len(self.vocabulary)

    def tokenize(self, text: str) -> list[str]:
        """The characters of the text."""
        return list(self._normalizer.normalize(text))

    def encode_batch(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text, without special tokens.

        Raises:
            InputError: an item is not a string, or ``texts`` is one.
        """
        return [self._ids(self._normalizer.normalize(text)) for text in strings(texts)]

    def encode(self, text: str) -> Encoding:
        """The ids of a text with its characters and where in the raw text they stand."""
        normalized, origins = self._normalizer.align(text)
        offsets = [raw_span(origins, place, place + 1) for place in range(len(normalized))]
        return Encoding(self._ids(normalized), list(normalized), offsets)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of the ids; special tokens give nothing, an unknown character U+FFFD."""
        return "".join("\ufffd" if i == self.unk_token_id else self.vocabulary[i] for i in ids if self._writes(int(i)))

    def decode_batch(self, batch: Iterable[Sequence[int] | Ids]) -> list[str]:
        """As `decode`, of many at once."""
        return [self.decode(ids) for ids in batch]

    def fingerprint(self) -> str:
        """SHA-256 of the settings and the vocabulary, in hexadecimal."""
        return fingerprint_of(self.config, self.vocabulary)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into a folder, which is made if it is not there."""
        import tokenizers
        from tokenizers import Regex, decoders, models, pre_tokenizers

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        backend = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=UNK_TOKEN))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        backend.decoder = decoders.Fuse()
        backend.add_special_tokens(self.config.special_tokens)
        write_aside(folder / "tokenizer.json", backend.to_str(pretty=True))
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
        vocabulary = read_vocabulary(folder / "tokenizer.json")
        if any(len(token) != 1 for token in vocabulary[len(saved.config.special_tokens) :]):
            raise InputError(f"{folder / 'tokenizer.json'} holds more than characters; copy both files from one model")
        tokenizer = cls(vocabulary, saved.config, conversion=saved.versions["chinese_conversion"])
        saved.check_belongs(folder, tokenizer.vocab_size, tokenizer.fingerprint())
        return tokenizer

    @cached_property
    def _places(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.vocabulary) if i >= self._num_special}

    def _ids(self, normalized: str) -> Ids:
        find, unknown = self._places.get, self.unk_token_id
        return np.fromiter((find(character, unknown) for character in normalized), np.int32, len(normalized))

    def _writes(self, i: int) -> bool:
        """Whether an id stands for a character, known or not."""
        return i == self.unk_token_id or self._num_special <= i < self.vocab_size
