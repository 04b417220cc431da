"""A tokenizer that came with a checkpoint: the ids that its model was trained on.

The vocabulary and all its rules are the checkpoint's (`wenmo.text.pretrained_files`) and run by the `tokenizers`
library. What is ours: special tokens are not among the ids of a text, `PretrainedTokenizer.surroundings` says which
stand around it, so that a text is cut before they are put there; what is written like a special token in a text is
text, so that no text can say where it ends; and a lone surrogate is U+FFFD instead of an error. The settings
``lowercase``, ``fold_width`` and ``chinese_conversion`` work on a text before the tokenizer sees it, and are off unless
somebody asks for them: ERNIE 1.0, for one, was trained on simplified characters.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import tokenizers
from numpy.typing import NDArray

from wenmo.errors import InputError
from wenmo.files import write_aside
from wenmo.text.ngrams import Ids
from wenmo.text.normalization import Normalizer, conversion_version, raw_span
from wenmo.text.pretrained_files import read_backend, read_described
from wenmo.text.segmentation import Span
from wenmo.text.special_tokens import MARKERS, Surroundings
from wenmo.text.tokenizer_config import (
    PRETRAINED,
    Encoding,
    SavedSettings,
    SpecialIds,
    TokenizerConfig,
    fingerprint_of,
    has_settings,
    read_settings,
    strings,
    write_settings,
)

AS_IT_CAME = TokenizerConfig(segmenter=PRETRAINED, lowercase=False, fold_width=False)
"""Settings that leave a text to the checkpoint's tokenizer alone."""

NO_TOKEN = -1
"""Stands for an id where the vocabulary has no such token; no text has it."""

_END_OF_TEXT = "<|endoftext|>"
"""Begins and ends a text in GPT-2, whose folder may not say so."""
_VERSION = "1"
_FIND_SPECIAL = ("Unigram", "WordLevel")
"""Kinds of vocabulary that hold special tokens as they hold words, and so find them in a text."""
_CHUNK = 1024
_PROBES = ("a", "1", ".", "的")
"""Texts of which any vocabulary makes a token of at least one."""
_NOT_KEPT = ("wenmo", "auto_map", "name_or_path", "added_tokens_decoder", "tokenizer_file")
"""Of ``tokenizer_config.json``: our own part, code to run, places on another machine, and what is in the other file."""


class WordPieces(NamedTuple):
    """The words of a sentence as the ids of their pieces."""

    ids: Ids
    first: NDArray[np.int64]
    """Which of the ids is the first piece of each word."""


class PretrainedTokenizer(SpecialIds):
    """Gives a text the ids that a checkpoint's own tokenizer gives it. Safe to use from several threads."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        described: Mapping[str, Any],
        config: TokenizerConfig = AS_IT_CAME,
        *,
        conversion: str = "",
    ) -> None:
        """Use `load`; ``described`` is what the folder says of its tokenizer."""
        self.config = config
        self.described = {name: value for name, value in described.items() if name not in _NOT_KEPT}
        self._backend = backend
        self._single, self._pair = (_surroundings(backend, pair) for pair in (False, True))
        self._backend.encode_special_tokens = True  # "[SEP]" in a text is a text
        self._normalizer = Normalizer(
            fold_width=config.fold_width, lowercase=config.lowercase, chinese_conversion=config.chinese_conversion
        )
        if config.chinese_conversion and not conversion:
            conversion = conversion_version(config.chinese_conversion)
        self._versions = {"segmenter": _VERSION, "chinese_conversion": conversion}
        self.unk_token_id = _unknown_id(backend)
        found = backend.token_to_id(_END_OF_TEXT)
        self._end_of_text = NO_TOKEN if found is None else int(found)
        self.pad_token_id = self._id_of("pad_token", NO_TOKEN)
        finds_special = _kind_of(backend) in _FIND_SPECIAL and self.unk_token_id != NO_TOKEN
        self._not_text = np.array(self.special_token_ids if finds_special else (), np.int32)

    @cached_property
    def vocabulary(self) -> list[str]:
        """The tokens in the order of their ids; empty where no token has an id."""
        tokens = {i: token for token, i in self._backend.get_vocab().items()}
        return [tokens.get(i, "") for i in range(max(tokens, default=-1) + 1)]

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return len(self.vocabulary)

    @property
    def sep_token_id(self) -> int | None:
        """What stands between two texts; None where the model knows none."""
        return self._pair.between[0] if self._pair.between else None

    @property
    def cls_token_id(self) -> int | None:
        """What a text begins with that is read for its vector; None where the model knows none."""
        return self._single.before[0] if self._single.before else None

    @property
    def mask_token_id(self) -> int | None:
        """What stands in the place of a token that is to be found; None where the model knows none."""
        return _known(self._id_of("mask_token"))

    @property
    def bos_token_id(self) -> int | None:
        """What a text that is written begins with."""
        return _known(self._id_of("bos_token", self._end_of_text))

    @property
    def eos_token_id(self) -> int | None:
        """What a text that is written ends with."""
        return _known(self._id_of("eos_token", self._end_of_text))

    @cached_property
    def special_token_ids(self) -> tuple[int, ...]:
        """Ids that stand for no text; an unknown token stands for one."""
        added = self._backend.get_added_tokens_decoder()
        special = {i for i, token in added.items() if token.special}
        for known in (self._single, self._pair):
            special.update(known.before, known.between, known.behind)
        return tuple(sorted(special - {self.unk_token_id}))

    def surroundings(self, *, pair: bool = False) -> Surroundings:
        """What stands around a text, or around two that are read as one, as the checkpoint says."""
        return self._pair if pair else self._single

    def normalize(self, text: str) -> str:
        """What is cut into tokens."""
        text = self._normalizer.normalize(text)
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def tokenize(self, text: str) -> list[str]:
        """The tokens of the text, without special ones."""
        return self.encode(text).tokens

    def encode_batch(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text, without special tokens.

        Raises:
            InputError: an item is not a string, or ``texts`` is one.
        """
        encoded: list[Ids] = []
        remaining = strings(texts)
        while chunk := [self._normalizer.normalize(text) for text in islice(remaining, _CHUNK)]:
            found = self._backend.encode_batch_fast(chunk, add_special_tokens=False)
            encoded += (self._as_text(each.ids) for each in found)
        return encoded

    def _as_text(self, ids: Sequence[int]) -> Ids:
        """The ids of a text, in which a special token that its vocabulary finds there is an unknown one."""
        found = np.array(ids, np.int32)
        if len(self._not_text):
            found[np.isin(found, self._not_text)] = self.unk_token_id
        return found

    def encode(self, text: str) -> Encoding:
        """The ids of a text with its tokens and where in the raw text they stand, without special tokens.

        White space at the ends of a token is not among its characters, unless it is all that the token has.
        """
        normalized, origins = self._normalizer.align(text)
        found = self._backend.encode(normalized, add_special_tokens=False)
        spans = [_without_space(normalized, start, end) for start, end in found.offsets]
        offsets = [raw_span(origins, start, end) if end > start else (0, 0) for start, end in spans]
        return Encoding(self._as_text(found.ids), found.tokens, offsets)

    def encode_pieces(self, sentences: Iterable[Sequence[str]]) -> list[WordPieces]:
        """The pieces of given words, each of which is cut by itself, as if it stood behind a space.

        A word of which the tokenizer leaves nothing, such as a control character, is an unknown token.
        """
        listed = [list(words) for words in sentences]
        different = list(dict.fromkeys(word for words in listed for word in words))
        pieces = dict(zip(different, self.encode_batch(" " + word for word in different), strict=True))
        nothing = np.array([max(0, self.unk_token_id)], np.int32)  # bytes leave something of every word
        return [_pieces_of([found if len(found := pieces[word]) else nothing for word in words]) for words in listed]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of the ids as the checkpoint's tokenizer puts it together; special tokens give nothing."""
        text: str = self._backend.decode([int(i) for i in ids], skip_special_tokens=True)
        return text

    def decode_batch(self, batch: Iterable[Sequence[int] | Ids]) -> list[str]:
        """As `decode`, of many."""
        return [self.decode(ids) for ids in batch]

    def fingerprint(self) -> str:
        """SHA-256 of the settings, the vocabulary and the special tokens around texts, in hexadecimal."""
        model = json.loads(self._backend.to_str())["model"]
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges", [])]
        around = [[s.before, s.between, s.behind, s.types] for s in (self._single, self._pair)]
        return fingerprint_of(self.config, self.vocabulary, merges, around)

    def with_settings(self, config: TokenizerConfig) -> Self:
        """The same vocabulary with other settings for what is done to a text before.

        Raises:
            InputError: they ask for something that a finished vocabulary does not have.
        """
        return type(self)(tokenizers.Tokenizer.from_str(self._backend.to_str()), self.described, config)

    def with_markers(self) -> Self:
        """The same with `wenmo.text.special_tokens.MARKERS` around texts, in the place of what stood there; behind the
        vocabulary where it does not have them yet.

        Raises:
            InputError: there is no room for them.
        """
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        new = [token for token in MARKERS if backend.token_to_id(token) is None]
        backend.add_special_tokens(new)
        ids = {token: int(backend.token_to_id(token) or 0) for token in MARKERS}
        if any(ids[token] < self.vocab_size for token in new):
            raise InputError(
                "the checkpoint's vocabulary leaves ids out, so that new tokens would get those of others; set "
                "task.markers=false"
            )
        start, delimiter, extract = MARKERS
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{start} $A {extract}",
            pair=f"{start} $A {delimiter} $B {extract}",
            special_tokens=list(ids.items()),
        )
        # Other tools would make a GPT's tokenizer of the vocabulary alone, with nothing around texts.
        described = {**self.described, "tokenizer_class": "PreTrainedTokenizerFast"}
        return type(self)(backend, described, self.config, conversion=self._versions["chinese_conversion"])

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``, for us and for tools that read the checkpoint's."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_aside(folder / "tokenizer.json", self._backend.to_str(pretty=True))
        saved = SavedSettings(self.config, self._versions, self.vocab_size, self.fingerprint())
        write_settings(folder, saved, self.described)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, or the tokenizer of another system's model folder.

        Raises:
            InputError: there is none, or a file is cut short or of another tokenizer.
        """
        folder = Path(folder)
        described = read_described(folder)
        backend = read_backend(folder, described)
        if not has_settings(folder):
            return cls(backend, described)
        saved = read_settings(folder)
        if saved.config.segmenter != PRETRAINED:
            raise InputError(
                f"{folder}: its tokenizer is one of wenmo's own ({saved.config.segmenter}); a model with it is trained "
                f"on with --from"
            )
        tokenizer = cls(backend, described, saved.config, conversion=saved.versions["chinese_conversion"])
        saved.check_belongs(folder, tokenizer.vocab_size, tokenizer.fingerprint())
        return tokenizer

    def check_fits(self, vocab_size: int, place: object) -> None:
        """Make sure that a model has a vector for every id.

        Raises:
            InputError: there are ids beyond its table.
        """
        if self.vocab_size > vocab_size:
            raise InputError(
                f"{place}: the tokenizer has {self.vocab_size:,} ids, but the model has vectors for {vocab_size:,} "
                f"(vocab_size); {self.vocabulary[vocab_size]!r} would have none. Copy both from the same model"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self._backend.to_str(), self.described, self.config, self._versions["chinese_conversion"])
        return _restore, (type(self), *arguments)

    def _id_of(self, role: str, otherwise: int = NO_TOKEN) -> int:
        token = self.described.get(role)
        found = self._backend.token_to_id(token) if isinstance(token, str) else None
        return otherwise if found is None else int(found)


def _restore(
    cls: type[PretrainedTokenizer], backend: str, described: dict[str, Any], config: TokenizerConfig, conversion: str
) -> PretrainedTokenizer:
    return cls(tokenizers.Tokenizer.from_str(backend), described, config, conversion=conversion)


def _known(token_id: int) -> int | None:
    return None if token_id == NO_TOKEN else token_id


def _kind_of(backend: tokenizers.Tokenizer) -> str:
    return type(backend.model).__name__


def _unknown_id(backend: tokenizers.Tokenizer) -> int:
    """What a text becomes that the vocabulary does not have; bytes have everything."""
    model = json.loads(backend.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    token = model.get("unk_token")
    found = backend.token_to_id(token) if token else None
    return NO_TOKEN if found is None else int(found)


def _surroundings(backend: tokenizers.Tokenizer, pair: bool) -> Surroundings:
    """What the tokenizer itself puts around a text, or around two."""
    text = next((probe for probe in _PROBES if backend.encode(probe, add_special_tokens=False).ids), None)
    if text is None:
        raise InputError(f"the tokenizer makes no token of any of {', '.join(_PROBES)}; copy its files again")
    found = backend.encode(text, text if pair else None, add_special_tokens=True)
    places = [i for i, special in enumerate(found.special_tokens_mask) if not special]
    of_one = len(places) // 2 if pair else len(places)
    first, last = places[0], places[-1]
    end_of_first, second = places[of_one - 1] + 1, places[of_one] if pair else len(found.ids)
    ids, types = found.ids, found.type_ids
    return Surroundings(
        before=tuple(ids[:first]),
        between=tuple(ids[end_of_first:second]) if pair else (),
        behind=tuple(ids[last + 1 :]),
        types=(types[first], types[last]),
    )


def _without_space(text: str, start: int, end: int) -> Span:
    inside = text[start:end]
    kept = inside.strip()
    if not kept:
        return start, end
    start += len(inside) - len(inside.lstrip())
    return start, start + len(kept)


def _pieces_of(words: Sequence[Ids]) -> WordPieces:
    sizes = np.fromiter(map(len, words), np.int64, len(words))
    ids = np.concatenate(words) if words else np.empty(0, np.int32)
    return WordPieces(ids, np.cumsum(sizes) - sizes)
