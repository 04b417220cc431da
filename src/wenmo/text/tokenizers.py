"""Texts to ids: normalisation, a segmenter, n-grams, and a word-level vocabulary.

A tokenizer's ids are the tokens' places in `Tokenizer.vocabulary`; 0 is padding and 1 stands for every token that is
not in it. The tokens of a text are its words, then its runs of two words and so on, then the n-grams of its
characters, each kind in the order of the text. A run of words is written with single spaces between them ("not good");
an n-gram of characters begins with one space (" ood"), so the kinds never clash, because no word holds a space.

On disk, ``tokenizer.json`` is a word-level vocabulary as the `tokenizers` library writes it, and
``tokenizer_config.json`` names under ``wenmo`` all that has no place there.
"""

import array
import hashlib
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Self

import numpy as np

from wenmo.errors import InputError
from wenmo.text.ngrams import NUM_CODE_POINTS, Ids, RunIndex, code_points, count_runs, runs_of, split
from wenmo.text.normalization import Normalizer, conversion_version, raw_span
from wenmo.text.segmentation import Span, choose_segmenter, load_segmenter, token_text
from wenmo.text.vocabulary import (
    PAD_TOKEN,
    SEP_TOKEN,
    SPECIAL_TOKENS,
    UNK_TOKEN,
    check_vocabulary,
    read_json,
    read_vocabulary,
    write_aside,
    write_vocabulary,
)

FORMAT_VERSION = 1

_CHUNK = 1024
"""Texts that are encoded together."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How texts become tokens, and which tokens are kept."""

    segmenter: str = "auto"
    """words, characters, rjieba, jieba, kim, whitespace, or a registered name; auto: characters if over half of the
    letters are Han, else words."""
    lowercase: bool = True
    """Capitals to small letters."""
    fold_width: bool = True
    """Full-width characters to half-width ones."""
    chinese_conversion: str = ""
    """OpenCC configuration, such as t2s (traditional to simplified); empty: none."""
    min_frequency: int = 1
    """Rarer tokens are unknown."""
    vocab_size: int = 0
    """Most tokens in the vocabulary, with [PAD] and [UNK]; 0: no limit."""
    word_ngrams: tuple[int, int] = (1, 1)
    """Shortest and longest run of words that is a token; (0, 0): none, where there are n-grams of characters."""
    character_ngrams: tuple[int, int] = (0, 0)
    """Shortest and longest n-gram over the characters of the normalised text; (0, 0): none."""
    separator: bool = False
    """[SEP] is in the vocabulary, behind [UNK]: it stands between two texts that are read as one."""

    @property
    def special_tokens(self) -> list[str]:
        """The first tokens of the vocabulary, which no text holds."""
        return SPECIAL_TOKENS + [SEP_TOKEN] * self.separator

    def __post_init__(self) -> None:
        if not self.segmenter:
            raise InputError("segmenter is empty; name one, or 'auto'")
        if self.min_frequency < 1:
            raise InputError(f"min_frequency is a count of at least 1; got {self.min_frequency}")
        special = self.special_tokens
        if self.vocab_size != 0 and self.vocab_size <= len(special):
            raise InputError(
                f"vocab_size counts {' and '.join(special)}, so it is 0 (no limit) or over {len(special)}; "
                f"got {self.vocab_size}"
            )
        for name in ("word_ngrams", "character_ngrams"):
            lengths = getattr(self, name)
            if lengths != (0, 0) and (len(lengths) != 2 or not 1 <= lengths[0] <= lengths[1]):
                raise InputError(f"{name} is a shortest and a longest length, like (1, 2), or (0, 0); got {lengths}")
        if self.word_ngrams == self.character_ngrams == (0, 0):
            raise InputError("word_ngrams and character_ngrams are both (0, 0), so there would be no tokens")


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One text as tokens. ``ids``, ``tokens`` and ``offsets`` are equally long."""

    ids: Ids
    tokens: list[str]
    offsets: list[tuple[int, int]]
    """The characters ``[start, end)`` of the raw text behind each token."""


class Tokenizer:
    """Gives a text the same ids in training and in use, in any process. Safe to use from several threads."""

    pad_token_id = 0
    unk_token_id = 1

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
            texts = list(_strings(texts))
            config = replace(config, segmenter=choose_segmenter(texts))
        special = config.special_tokens
        empty = cls(special, config)
        frequencies = [item for item in empty._count(_strings(texts)) if item[0] not in special]
        frequencies.sort(key=lambda item: (-item[1], item[0]))
        if config.vocab_size:
            del frequencies[config.vocab_size - len(special) :]
        return cls(special + [token for token, _ in frequencies], config)

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
    def sep_token_id(self) -> int | None:
        """What stands between two texts; None where the vocabulary has no separator."""
        return len(SPECIAL_TOKENS) if self.config.separator else None

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
        remaining = _strings(texts)
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
        # Settings that have their default are left out, so that a setting added later changes no fingerprint.
        defaults = {field.name: field.default for field in fields(TokenizerConfig)}
        settings = {name: value for name, value in asdict(self.config).items() if value != defaults[name]}
        content = json.dumps([settings, self.vocabulary], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into a folder, which is made if it is not there."""
        settings = {
            "pad_token": PAD_TOKEN,
            "unk_token": UNK_TOKEN,
            **({"sep_token": SEP_TOKEN} if self.config.separator else {}),
            "wenmo": {
                "format_version": FORMAT_VERSION,
                **asdict(self.config),
                "segmenter_version": self._versions["segmenter"],
                "chinese_conversion_version": self._versions["chinese_conversion"],
                "num_tokens": self.vocab_size,
                "fingerprint": self.fingerprint(),
            },
        }
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_vocabulary(folder / "tokenizer.json", self.vocabulary, self.config.special_tokens)
        write_aside(folder / "tokenizer_config.json", json.dumps(settings, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Warns when the segmenter or the conversion has another version here than where the vocabulary was made.

        Raises:
            InputError: a file is missing, cut short or not from the same tokenizer as the other; it was made by a
                newer wenmo; its segmenter is not known here.
        """
        folder = Path(folder)
        saved = _read_settings(folder / "tokenizer_config.json")
        vocabulary = read_vocabulary(folder / "tokenizer.json")
        names = [field.name for field in fields(TokenizerConfig)]
        try:
            values = {name: saved.pop(name) for name in names if name in saved}
            for name in ("word_ngrams", "character_ngrams"):
                values[name] = tuple(values.get(name, getattr(TokenizerConfig, name)))
            config = TokenizerConfig(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{folder / 'tokenizer_config.json'}: {error}") from error
        segmenter_version, conversion = saved["segmenter_version"], saved["chinese_conversion_version"]
        tokenizer = cls(vocabulary, config, segmenter_version=segmenter_version, conversion=conversion)
        if saved["num_tokens"] != len(vocabulary) or saved["fingerprint"] != tokenizer.fingerprint():
            raise InputError(
                f"{folder}: tokenizer.json ({len(vocabulary)} tokens) and tokenizer_config.json (made for "
                f"{saved['num_tokens']}) do not belong together; copy both from the same model"
            )
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

    def _count(self, texts: Iterator[str]) -> Iterator[tuple[str, int]]:
        """The tokens of the texts that are frequent enough, each with its frequency."""
        config = self.config
        known: defaultdict[str, int] = defaultdict(lambda: len(known))
        symbols, ends = array.array("q"), [0]
        all_characters = []
        for text in texts:
            words, characters = self._parts(text)
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
        words = self._in_token_case([token_text(cased, start, end) for start, end in spans], cased)
        return words, [raw_span(origins, start, end) for start, end in spans]

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
        if not self.config.lowercase or not words or cased == cased.lower():
            return words
        return "\n".join(words).lower().split("\n")

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


def _strings(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise InputError("texts is one string; wanted a list or another iterable of strings")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {number} is of type {type(text).__name__}; wanted a string")
        yield text


def _read_settings(path: Path) -> dict[str, Any]:
    """What stands under ``wenmo``, as far as it can be read here."""
    content = read_json(path)
    saved = content.get("wenmo") if isinstance(content, dict) else None
    if not isinstance(saved, dict):
        raise InputError(f"{path} has no part 'wenmo'; it was not written by wenmo")
    version = saved.pop("format_version", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputError(f"{path} has format {version}, this wenmo reads up to {FORMAT_VERSION}; install a newer one")
    facts = {"segmenter_version", "chinese_conversion_version", "num_tokens", "fingerprint"}
    settings = {field.name for field in fields(TokenizerConfig)}
    missing, unknown = sorted((facts | {"segmenter"}) - saved.keys()), sorted(saved.keys() - facts - settings)
    if missing or unknown:
        raise InputError(f"{path}: 'wenmo' lacks {missing} and has unknown {unknown}; copy the folder again")
    return saved
