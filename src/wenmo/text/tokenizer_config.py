"""The settings of a tokenizer, what it gives, and the file that keeps the settings in the folder of a model."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from wenmo.errors import InputError
from wenmo.files import read_json, write_aside
from wenmo.text.ngrams import Ids
from wenmo.text.special_tokens import Surroundings
from wenmo.text.vocabulary import BOS_TOKEN, EOS_TOKEN, PAD_TOKEN, SEP_TOKEN, SPECIAL_TOKENS, UNK_TOKEN

FORMAT_VERSION = 1

SUBWORDS = ("bpe", "unigram")
"""The segmenters whose tokens are parts of words, learnt from the texts; see `wenmo.text.subwords`."""

CODE_POINTS = "code-points"
"""The segmenter whose tokens are all single characters; see `wenmo.text.code_points`."""

WORD_PIECES = "wordpiece"
"""The segmenter of BERT's tokens, learnt from the texts; see `wenmo.text.word_pieces`."""

PRETRAINED = "pretrained"
"""The segmenter of a tokenizer that came with a checkpoint; see `wenmo.text.pretrained`."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How texts become tokens, and which tokens are kept."""

    segmenter: str = "auto"
    """words, characters, treebank, graphemes, rjieba, jieba, kim, whitespace, or a registered name; bpe or unigram:
    subwords; code-points: every character by itself. Of the last three a text can be put together again. wordpiece:
    pieces of words as BERT has them, Han characters by themselves. pretrained: that of the checkpoint. auto: characters
    if over half of the letters are Han, else words, or treebank for a model that reads words as their bytes; a tagger
    looks at its data."""
    lowercase: bool = True
    """Capitals to small letters."""
    fold_width: bool = True
    """Full-width characters to half-width ones."""
    chinese_conversion: str = ""
    """OpenCC configuration, such as t2s (traditional to simplified); empty: none."""
    normalize_digits: bool = False
    """Every digit of a word is 0, so that 1996 and 2021 are one word."""
    min_frequency: int = 1
    """Rarer tokens are unknown; of bpe, rarer pairs are not joined."""
    vocab_size: int = 0
    """Most tokens in the vocabulary, with [PAD] and [UNK]; 0: no limit, and 8,000 subwords."""
    word_ngrams: tuple[int, int] = (1, 1)
    """Shortest and longest run of words that is a token; (0, 0): none, where there are n-grams of characters."""
    character_ngrams: tuple[int, int] = (0, 0)
    """Shortest and longest n-gram over the characters of the normalised text; (0, 0): none."""
    separator: bool = False
    """[SEP] is in the vocabulary, behind [UNK]: it stands between two texts that are read as one."""
    boundaries: bool = False
    """[BOS] and [EOS] are in the vocabulary, behind those: a text that is written begins and ends with them."""
    word_bytes: bool = False
    """The bytes of each word stand beside its id, for models that read words so; taken from the model."""

    @property
    def special_tokens(self) -> list[str]:
        """The first tokens of the vocabulary, which no text holds."""
        return SPECIAL_TOKENS + [SEP_TOKEN] * self.separator + [BOS_TOKEN, EOS_TOKEN] * self.boundaries

    def special_id(self, token: str) -> int | None:
        """The id of one of the special tokens; None where the vocabulary does not have it."""
        special = self.special_tokens
        return special.index(token) if token in special else None

    @property
    def has_subwords(self) -> bool:
        """Whether the tokens are parts of words, learnt from the texts."""
        return self.segmenter in SUBWORDS

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
        if self.has_subwords or self.segmenter in (CODE_POINTS, WORD_PIECES, PRETRAINED):
            self._check_written()
        if self.word_bytes:
            self._check_word_bytes()

    def _check_written(self) -> None:
        if self.normalize_digits:
            raise InputError(f"normalize_digits is for whole words, not for segmenter {self.segmenter!r}; leave it out")
        if self.word_ngrams != (1, 1) or self.character_ngrams != (0, 0):
            raise InputError(f"segmenter {self.segmenter!r} has no n-grams; leave word_ngrams and character_ngrams out")
        if self.segmenter == "unigram" and self.min_frequency != 1:
            raise InputError("min_frequency is not for segmenter 'unigram', which keeps the likeliest; set vocab_size")

    def _check_word_bytes(self) -> None:
        reader = "this model reads each word as its bytes"
        if self.has_subwords or self.segmenter in (CODE_POINTS, PRETRAINED):
            raise InputError(f"{reader}, and segmenter {self.segmenter!r} gives no words; leave data.tokenizer out")
        if self.word_ngrams != (1, 1) or self.character_ngrams != (0, 0):
            raise InputError(f"{reader}, so it has no n-grams; leave word_ngrams and character_ngrams out")
        if self.separator:
            raise InputError(f"{reader}, and a separator between two texts is none; take task.pair=siamese")


class SpecialIds:
    """The ids of the special tokens of a tokenizer, whatever its other tokens are."""

    pad_token_id = 0
    unk_token_id = 1
    config: TokenizerConfig

    @property
    def sep_token_id(self) -> int | None:
        """What stands between two texts; None where the vocabulary has no separator."""
        return self.config.special_id(SEP_TOKEN)

    @property
    def bos_token_id(self) -> int | None:
        """What a text that is written begins with; None where the vocabulary has no boundaries."""
        return self.config.special_id(BOS_TOKEN)

    @property
    def eos_token_id(self) -> int | None:
        """What a text that is written ends with; None where the vocabulary has no boundaries."""
        return self.config.special_id(EOS_TOKEN)

    @property
    def special_token_ids(self) -> tuple[int, ...]:
        """Ids that stand for no text; an unknown token stands for one."""
        return tuple(i for i in range(len(self.config.special_tokens)) if i != self.unk_token_id)

    def surroundings(self, *, pair: bool = False) -> Surroundings:
        """What stands around a text, or around two that are read as one: at most a separator between them."""
        between = () if not pair or self.sep_token_id is None else (self.sep_token_id,)
        return Surroundings(between=between)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One text as tokens. ``ids``, ``tokens`` and ``offsets`` are equally long."""

    ids: Ids
    tokens: list[str]
    offsets: list[tuple[int, int]]
    """The characters ``[start, end)`` of the raw text behind each token."""


class SavedSettings(NamedTuple):
    """What stands in ``tokenizer_config.json`` under ``wenmo``."""

    config: TokenizerConfig
    versions: dict[str, str]
    """Of the ``segmenter`` and the ``chinese_conversion`` that the vocabulary was made with."""
    num_tokens: int
    fingerprint: str

    def check_belongs(self, folder: Path, num_tokens: int, fingerprint: str) -> None:
        """Refuse a vocabulary that these settings were not saved with.

        Raises:
            InputError: the files are of two tokenizers.
        """
        if self.num_tokens != num_tokens or self.fingerprint != fingerprint:
            raise InputError(
                f"{folder}: tokenizer.json ({num_tokens} tokens) and tokenizer_config.json (made for "
                f"{self.num_tokens}) do not belong together; copy both from the same model"
            )


def fingerprint_of(config: TokenizerConfig, *vocabulary: Any) -> str:
    """SHA-256 of the settings and the vocabulary, in hexadecimal."""
    # Settings that have their default are left out, so that a setting added later changes no fingerprint.
    defaults = {field.name: field.default for field in fields(TokenizerConfig)}
    settings = {name: value for name, value in asdict(config).items() if value != defaults[name]}
    content = json.dumps([settings, *vocabulary], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def write_settings(folder: Path, saved: SavedSettings, described: Mapping[str, Any] | None = None) -> None:
    """Write ``tokenizer_config.json``; ``described`` is what other tools read there, if it came with a checkpoint."""
    settings = {
        **(_described(saved.config) if described is None else described),
        "wenmo": {
            "format_version": FORMAT_VERSION,
            **asdict(saved.config),
            "segmenter_version": saved.versions["segmenter"],
            "chinese_conversion_version": saved.versions["chinese_conversion"],
            "num_tokens": saved.num_tokens,
            "fingerprint": saved.fingerprint,
        },
    }
    write_aside(folder / "tokenizer_config.json", json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def has_settings(folder: Path) -> bool:
    """Whether a tokenizer stands in a folder that was saved by wenmo."""
    path = Path(folder) / "tokenizer_config.json"
    if not path.is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and "wenmo" in content


def read_settings(folder: Path) -> SavedSettings:
    """Read what `write_settings` wrote.

    Raises:
        InputError: the file is missing or cut short, was not written by wenmo, or by a newer one.
    """
    path = folder / "tokenizer_config.json"
    saved = _read_settings(path)
    try:
        values = {field.name: saved[field.name] for field in fields(TokenizerConfig) if field.name in saved}
        for name in ("word_ngrams", "character_ngrams"):
            values[name] = tuple(values.get(name, getattr(TokenizerConfig, name)))
        config = TokenizerConfig(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    versions = {part: saved[f"{part}_version"] for part in ("segmenter", "chinese_conversion")}
    return SavedSettings(config, versions, saved["num_tokens"], saved["fingerprint"])


def strings(texts: Iterable[str]) -> Iterator[str]:
    """The texts, each of which is made sure to be one.

    Raises:
        InputError: an item is not a string, or ``texts`` is one.
    """
    if isinstance(texts, str):
        raise InputError("texts is one string; wanted a list or another iterable of strings")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {number} is of type {type(text).__name__}; wanted a string")
        yield text


def _described(config: TokenizerConfig) -> dict[str, str]:
    """What other tools read of a vocabulary that was made here."""
    return {
        "pad_token": PAD_TOKEN,
        "unk_token": UNK_TOKEN,
        **({"sep_token": SEP_TOKEN} if config.separator else {}),
        **({"bos_token": BOS_TOKEN, "eos_token": EOS_TOKEN} if config.boundaries else {}),
        # Only there does `tokenizer.json` hold all that other tools need.
        **({"tokenizer_class": "PreTrainedTokenizerFast"} if config.has_subwords else {}),
    }


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
