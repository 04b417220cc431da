"""Texts to ids: normalisation, a segmenter, n-grams, and a word-level vocabulary.

A tokenizer's ids are the tokens' places in `Tokenizer.vocabulary`; 0 is padding and 1 stands for every token that is
not in it. The tokens of a text are its words, then its runs of two words and so on, then the n-grams of its
characters, each kind in the order of the text. A run of words is written with single spaces between them ("not good");
an n-gram of characters begins with one space (" ood"), so the kinds never clash, because no word holds a space.

On disk, ``tokenizer.json`` is a word-level vocabulary as the `tokenizers` library writes it, and
``tokenizer_config.json`` names under ``wenmo`` all that has no place there.
"""

import array
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Self

import numpy as np

from wenmo.errors import InputError
from wenmo.text.ngrams import NUM_CODE_POINTS, Ids, RunIndex, code_points, count_runs, runs_of, split
from wenmo.text.normalization import Normalizer, conversion_version, raw_span
from wenmo.text.segmentation import Span, choose_segmenter, load_segmenter, token_text
from wenmo.text.tokenizer_config import (
    Encoding,
    SavedSettings,
    SpecialIds,
    fingerprint_of,
    read_settings,
    strings,
    write_settings,
)
from wenmo.text.tokenizer_config import TokenizerConfig as TokenizerConfig
from wenmo.text.vocabulary import (
    check_vocabulary,
    read_vocabulary,
    write_vocabulary,
)

_DIGIT = re.compile(r"\d")
_CHUNK = 1024
"""Texts that are encoded together."""


class Tokenizer(SpecialIds):
    """Gives a text the same ids in training and in use, in any process. Safe to use from several threads."""

    def __init__(
        self, vocabulary: list[str], config: TokenizerConfig, *, segmenter_version: str = "", conversion: str = ""
    ) -> None:
        """Use `train`, `from_vocabulary` or `load`; the versions are those the vocabulary was made with, if others."""
        if config.segmenter == "auto":
            raise InputError("segmenter 'auto' is chosen by Tokenizer.train from its texts; name one for a vocabulary")
        self.config = config
        self.vocabulary = vocabulary
        self._segmenter = load_segmenter(config.segmenter)
        self._normalizer = Normalizer(
            fold_width=config.fold_width, lowercase=config.lowercase, chinese_conversion=config.chinese_conversion
        )
        # Segmenters see the text in its written case.
        self._before_words = replace(self._normalizer, lowercase=False)
        if config.chinese_conversion and not conversion:
            conversion = conversion_version(config.chinese_conversion)
        self._versions = {"segmenter": segmenter_version or self._segmenter.version, "chinese_conversion": conversion}
        self._num_special = len(config.special_tokens)
        self._symbols = {token: i for i, token in enumerate(vocabulary) if i >= self._num_special and " " not in token}
        self._word_runs = self._index_words() if config.word_ngrams[1] > 1 else None
        self._character_runs = self._index_characters() if config.character_ngrams[1] else None

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> Self:
        """Build the vocabulary of these texts: ids by falling frequency, equally frequent tokens by their text.

        Raises:
            InputError: the segmenter or the conversion is not there, or an item is not a string.
        """
        if config.segmenter == "auto":
            texts = list(strings(texts))
            # The published ELMos' texts were cut as the Penn Treebank has them.
            spaced = "treebank" if config.word_bytes else "words"
            config = replace(config, segmenter=choose_segmenter(texts, spaced))
        empty = cls(config.special_tokens, config)
        return cls(empty._frequent(map(empty._parts, strings(texts))), config)

    @classmethod
    def train_on_words(cls, sentences: Iterable[Sequence[str]], config: TokenizerConfig) -> Self:
        """Build the vocabulary of sentences that are given as words; the segmenter will only cut raw texts.

        Raises:
            InputError: the settings ask for n-grams, or leave the segmenter to be chosen.
        """
        empty = cls(config.special_tokens, config)
        empty._refuse_ngrams()
        return cls(empty._frequent((empty._own_words(words), "") for words in sentences), config)

    @classmethod
    def from_vocabulary(cls, vocabulary: list[str], config: TokenizerConfig) -> Self:
        """Use a vocabulary that was made elsewhere.

        Raises:
            InputError: it does not begin with [PAD] and [UNK], with a separator [SEP] behind them, or a token stands in
                it twice or cannot be saved.
        """
        check_vocabulary(vocabulary, config.special_tokens)
        return cls(list(vocabulary), config)

    @property
    def vocab_size(self) -> int:
        """Number of ids, with those of [PAD] and [UNK]."""
        return len(self.vocabulary)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of the text, known or not."""
        words, characters = self._parts(text)
        return self._tokens(words, characters)

    def encode_batch(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text, the same as `encode` gives.

        Raises:
            InputError: an item is not a string, or ``texts`` is one.
        """
        encoded: list[Ids] = []
        remaining = strings(texts)
        while chunk := list(islice(remaining, _CHUNK)):
            words, characters = zip(*map(self._parts, chunk), strict=True)
            kinds = []
            if self.config.word_ngrams[1]:
                kinds.append(self._word_ids(words))
            if self._character_runs is not None:
                codes, ends = code_points(characters)
                kinds.append(self._character_runs.find(codes, ends, self.config.character_ngrams))
            encoded += kinds[0] if len(kinds) == 1 else map(np.concatenate, zip(*kinds, strict=True))
        return encoded

    def with_words(self, more: Iterable[str]) -> Self:
        """The same tokenizer with more words behind its own; words that no text could give are left out."""
        reachable = (word for word in more if word and " " not in word and self._own_words([word]) == [word])
        vocabulary = list(dict.fromkeys([*self.vocabulary, *reachable]))
        return type(self)(vocabulary[: self.config.vocab_size or None], self.config)

    def locate_words(self, texts: Iterable[str]) -> tuple[list[Ids], list[list[Span]]]:
        """Of each raw text the ids of its words, and the characters ``[start, end)`` behind each of them.

        Raises:
            InputError: the tokens are n-grams.
        """
        self._refuse_ngrams()
        located = [self._located_words(text) for text in strings(texts)]
        return self._word_ids(words for words, _ in located), [spans for _, spans in located]

    def encode_words(self, sentences: Iterable[Sequence[str]]) -> list[Ids]:
        """One id for each given word, whatever a segmenter would make of it.

        Raises:
            InputError: the tokens are n-grams.
        """
        self._refuse_ngrams()
        return self._word_ids(map(self._own_words, sentences))

    def encode(self, text: str) -> Encoding:
        """The ids of a text with its tokens and where in the raw text they stand.

        An n-gram of characters that begins or ends with white space covers one character of it.
        """
        words, word_spans = self._located_words(text)
        characters, character_spans = self._located_characters(text)
        offsets = [
            *_spans_of_runs(word_spans, self.config.word_ngrams),
            *_spans_of_runs(character_spans, self.config.character_ngrams),
        ]
        return Encoding(self.encode_batch([text])[0], self._tokens(words, characters), offsets)

    def fingerprint(self) -> str:
        """SHA-256 of the settings and the vocabulary, in hexadecimal."""
        return fingerprint_of(self.config, self.vocabulary)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into a folder, which is made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_vocabulary(folder / "tokenizer.json", self.vocabulary, self.config.special_tokens)
        write_settings(folder, SavedSettings(self.config, self._versions, self.vocab_size, self.fingerprint()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Warns when the segmenter or the conversion has another version here than where the vocabulary was made.

        Raises:
            InputError: a file is missing, cut short or not from the same tokenizer as the other; it was made by a
                newer wenmo; its segmenter is not known here.
        """
        folder = Path(folder)
        saved = read_settings(folder)
        vocabulary = read_vocabulary(folder / "tokenizer.json")
        made_with = saved.versions
        tokenizer = cls(
            vocabulary,
            saved.config,
            segmenter_version=made_with["segmenter"],
            conversion=made_with["chinese_conversion"],
        )
        saved.check_belongs(folder, len(vocabulary), tokenizer.fingerprint())
        tokenizer._warn_of_other_versions(folder)
        return tokenizer

    def __reduce__(self) -> tuple[Any, ...]:
        # Segmenters do not pickle; a worker process makes its own.
        return _restore, (type(self), self.vocabulary, self.config, self._versions)

    def _parts(self, text: str) -> tuple[list[str], str]:
        """The words and the characters that the tokens are made of; empty where no tokens are made of them.

        A run of white space among the characters is one space, and there is none at the ends.
        """
        cased = self._before_words.normalize(text)
        words: list[str] = []
        characters = ""
        if self.config.word_ngrams[1]:
            words = self._in_token_case(self._segmenter.words(cased), cased)
        if self.config.character_ngrams[1]:
            characters = " ".join((cased.lower() if self.config.lowercase else cased).split())
        return words, characters

    def _own_words(self, words: Sequence[str]) -> list[str]:
        """Given words as they stand in the vocabulary."""
        cased = [self._before_words.normalize(word) for word in words]
        return self._in_token_case(["_".join(word.split()) for word in cased], "")

    def _refuse_ngrams(self) -> None:
        if self.config.word_ngrams != (1, 1) or self.config.character_ngrams != (0, 0):
            raise InputError(
                "given words have one id each, so the tokens cannot be n-grams; leave data.tokenizer.word_ngrams and "
                "character_ngrams out"
            )

    def _tokens(self, words: list[str], characters: str) -> list[str]:
        return [
            *(" ".join(run) for run in runs_of(words, self.config.word_ngrams)),
            *(" " + "".join(run) for run in runs_of(characters, self.config.character_ngrams)),
        ]

    def _word_ids(self, texts: Iterable[list[str]]) -> list[Ids]:
        """The ids of the runs of words of each text."""
        symbols = array.array("q")
        ends = [0]
        for words in texts:
            symbols.extend(map(self._symbols.get, words, repeat(self.unk_token_id)))
            ends.append(len(symbols))
        flat, boundaries = np.array(symbols, np.int64), np.array(ends, np.int64)
        if self._word_runs is None:
            return split(flat.astype(np.int32), boundaries)
        return self._word_runs.find(flat, boundaries, self.config.word_ngrams)

    def _index_words(self) -> RunIndex:
        """The runs of words over the ids of the words; a word that only stands in runs gets a number beyond all ids."""
        ids, tokens = self._numbered(lambda token: not token.startswith(" "))
        runs = [token.split(" ") for token in tokens]
        words = list(chain.from_iterable(runs))
        for word in set(words) - self._symbols.keys():
            self._symbols[word] = self.vocab_size + len(self._symbols)
        symbols = np.array([self._symbols[word] for word in words], np.int64)
        num_symbols = self.vocab_size + len(self._symbols)
        return RunIndex(symbols, np.cumsum([0, *map(len, runs)], dtype=np.int64), ids, num_symbols, self.unk_token_id)

    def _index_characters(self) -> RunIndex:
        """The n-grams of characters, over their code points."""
        ids, tokens = self._numbered(lambda token: token.startswith(" "))
        codes, ends = code_points([token[1:] for token in tokens])
        return RunIndex(codes, ends, ids, NUM_CODE_POINTS, self.unk_token_id)

    def _numbered(self, wanted: Callable[[str], bool]) -> tuple[Ids, list[str]]:
        """The tokens that are wanted, after their ids."""
        ids = [i for i, token in enumerate(self.vocabulary) if i >= self._num_special and wanted(token)]
        return np.array(ids, np.int32), [self.vocabulary[i] for i in ids]

    def _frequent(self, texts: Iterable[tuple[list[str], str]]) -> list[str]:
        """The vocabulary of texts that were taken apart: the special tokens, then the most frequent ones first."""
        special = self.config.special_tokens
        frequencies = [item for item in self._count(texts) if item[0] not in special]
        frequencies.sort(key=lambda item: (-item[1], item[0]))
        if self.config.vocab_size:
            del frequencies[self.config.vocab_size - len(special) :]
        return special + [token for token, _ in frequencies]

    def _count(self, texts: Iterable[tuple[list[str], str]]) -> Iterator[tuple[str, int]]:
        """The tokens of the texts that are frequent enough, each with its frequency."""
        config = self.config
        known: defaultdict[str, int] = defaultdict(lambda: len(known))
        symbols, ends = array.array("q"), [0]
        all_characters = []
        for words, characters in texts:
            symbols.extend(map(known.__getitem__, words))
            ends.append(len(symbols))
            all_characters.append(characters)
        names = list(known)
        flat, boundaries = np.array(symbols, np.int64), np.array(ends, np.int64)
        for runs, counts in count_runs(flat, boundaries, len(names), config.word_ngrams, config.min_frequency):
            for run, count in zip(runs.tolist(), counts.tolist(), strict=True):
                yield " ".join([names[symbol] for symbol in run]), count
        flat, boundaries = code_points(all_characters)
        for runs, counts in count_runs(
            flat, boundaries, NUM_CODE_POINTS, config.character_ngrams, config.min_frequency
        ):
            for run, count in zip(runs.tolist(), counts.tolist(), strict=True):
                yield " " + "".join(map(chr, run)), count

    def _located_words(self, text: str) -> tuple[list[str], list[Span]]:
        """As `_parts`, with the spans of the words in the raw text."""
        if not self.config.word_ngrams[1]:
            return [], []
        cased, origins = self._before_words.align(text)
        spans = self._segmenter.spans(cased)
        # Few tokens hold white space, so all are looked at together.
        words = "\n".join([cased[start:end] for start, end in spans]).split()
        if len(words) != len(spans):
            words = [token_text(cased, start, end) for start, end in spans]
        words = self._in_token_case(words, cased)
        return words, spans if origins is None else [raw_span(origins, start, end) for start, end in spans]

    def _located_characters(self, text: str) -> tuple[str, list[Span]]:
        """As `_parts`, with the spans of the characters in the raw text."""
        if not self.config.character_ngrams[1]:
            return "", []
        normalized, origins = self._normalizer.align(text)
        places: list[int] = []
        for word in re.finditer(r"\S+", normalized):
            if places:
                places.append(word.start() - 1)
            places += range(*word.span())
        return " ".join(normalized.split()), [raw_span(origins, place, place + 1) for place in places]

    def _in_token_case(self, words: list[str], cased: str) -> list[str]:
        """Words of the text ``cased``; where it is given, a look at the whole of it may save that at its words."""
        if self.config.lowercase and words and not (cased and cased == cased.lower()):
            words = "\n".join(words).lower().split("\n")
        return [_DIGIT.sub("0", word) for word in words] if self.config.normalize_digits else words

    def _warn_of_other_versions(self, folder: Path) -> None:
        config = self.config
        here = {"segmenter": self._segmenter.version, "chinese_conversion": ""}
        if config.chinese_conversion:
            here["chinese_conversion"] = conversion_version(config.chinese_conversion)
        for part, made_with in self._versions.items():
            if made_with != here[part]:
                warnings.warn(
                    f"{folder} was made with version {made_with} of the {part} {getattr(config, part)!r}, and here is "
                    f"version {here[part]}: some texts may get other tokens than in training, which costs accuracy; "
                    "install the version it was made with, or train again",
                    stacklevel=3,
                )


def _restore(
    cls: type[Tokenizer], vocabulary: list[str], config: TokenizerConfig, versions: dict[str, str]
) -> Tokenizer:
    return cls(vocabulary, config, segmenter_version=versions["segmenter"], conversion=versions["chinese_conversion"])


def _spans_of_runs(spans: list[Span], lengths: tuple[int, int]) -> list[Span]:
    return [(run[0][0], run[-1][1]) for run in runs_of(spans, lengths)]
