"""Width, traditional or simplified characters, case; and the way back to the raw characters.

The steps run in this order, because the dictionaries of OpenCC know letters in their written case ("U盘"):

0. A lone surrogate, which no file can hold, becomes U+FFFD.
1. Full-width characters become their half-width forms, one for one: "ＡＢＣ１２３，　" becomes "ABC123, ". Half-width
   katakana and the marks "。、" stay.
2. Traditional and simplified characters by a named OpenCC configuration.
3. Lower case as `str.lower` has it. One character grows: "İ" becomes "i" and a combining dot.

No Unicode normal form is applied: "é" written as one code point (NFC) or as two (NFD) stays as it came and gives two
different tokens, each of them whole. Where both occur, pass texts through ``unicodedata.normalize("NFC", text)`` first.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import NamedTuple

from wenmo.errors import InputError

Origins = list[tuple[int, int]]
"""For each character of a normalised text, the raw characters ``[start, end)`` it came from."""

_WIDTH = str.maketrans(
    {0x3000: " "}
    | {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | dict(zip(range(0xFF5F, 0xFF61), "⦅⦆", strict=True))
    | dict(zip(range(0xFFE0, 0xFFE7), "¢£¬¯¦¥₩", strict=True))
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENCC_PACKAGE = "opencc-python-reimplemented"


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalizer:
    """Makes texts that mean the same look the same."""

    fold_width: bool = True
    lowercase: bool = True
    chinese_conversion: str = ""
    """Name of an OpenCC configuration, such as "t2s"; empty: none."""

    def normalize(self, text: str) -> str:
        """The normalised text.

        Raises:
            InputError: OpenCC is not installed, or has no such configuration.
        """
        text = self._one_for_one(text)
        if self.chinese_conversion:
            for dictionaries in _opencc_chain(self.chinese_conversion):
                text = _edited(text, _conversions(text, dictionaries))
        return text.lower() if self.lowercase else text

    def align(self, text: str) -> tuple[str, Origins | None]:
        """The normalised text, and where in the raw text each of its characters came from.

        The origins are None when each character came from the raw character at its own position. Where a phrase was
        replaced by one of another length, each of its characters came from the whole phrase.

        Raises:
            InputError: as `normalize`.
        """
        text = self._one_for_one(text)
        origins: Origins | None = None
        if self.chinese_conversion:
            for dictionaries in _opencc_chain(self.chinese_conversion):
                edits = _conversions(text, dictionaries)
                origins = _edited_origins(origins, len(text), edits)
                text = _edited(text, edits)
        if self.lowercase:
            lowered = text.lower()
            if len(lowered) != len(text):
                growing = [_Edit(i, i + 1, c.lower()) for i, c in enumerate(text) if len(c.lower()) != 1]
                origins = _edited_origins(origins, len(text), growing)
            text = lowered
        return text, origins

    def _one_for_one(self, text: str) -> str:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            text = _LONE_SURROGATE.sub("\ufffd", text)
        return text.translate(_WIDTH) if self.fold_width else text


def raw_span(origins: Origins | None, start: int, end: int) -> tuple[int, int]:
    """The raw characters behind ``[start, end)`` of a normalised text; the span holds at least one character."""
    return (start, end) if origins is None else (origins[start][0], origins[end - 1][1])


def conversion_version(name: str) -> str:
    """Where the conversion ``name`` comes from, as ``package version``: its dictionaries change with the version.

    Raises:
        InputError: OpenCC is not installed, or has no such configuration.
    """
    _opencc_chain(name)
    return f"{_OPENCC_PACKAGE} {metadata.version(_OPENCC_PACKAGE)}"


class _Edit(NamedTuple):
    """``[start, end)`` of a text is replaced."""

    start: int
    end: int
    replacement: str


def _edited(text: str, edits: Iterable[_Edit]) -> str:
    pieces: list[str] = []
    position = 0
    for start, end, replacement in edits:
        pieces += (text[position:start], replacement)
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _edited_origins(origins: Origins | None, length: int, edits: list[_Edit]) -> Origins | None:
    """The origins of the edited text, from those of the text of ``length`` characters before it."""
    if all(len(edit.replacement) == edit.end - edit.start for edit in edits):
        return origins
    if origins is None:
        origins = [(i, i + 1) for i in range(length)]
    moved: Origins = []
    position = 0
    for start, end, replacement in edits:
        moved += origins[position:start]
        if len(replacement) == end - start:
            moved += origins[start:end]
        else:
            moved += [(origins[start][0], origins[end - 1][1])] * len(replacement)
        position = end
    return moved + origins[position:]


@dataclass(frozen=True, slots=True)
class _Dictionary:
    """One of OpenCC's dictionaries."""

    replacements: dict[str, str]
    lengths: dict[str, tuple[int, ...]]
    """The lengths of the keys that begin with a character."""


def _conversions(text: str, dictionaries: tuple[_Dictionary, ...]) -> list[_Edit]:
    """What one step of an OpenCC chain replaces, in the order of the text.

    The package converts but does not say which character came from where, so its rule is followed here: within a
    dictionary the longest keys are replaced first, and of equal ones the leftmost; the next dictionary sees what the
    one before left.
    """
    taken = bytearray(len(text))
    edits = []
    for dictionary in dictionaries:
        lengths_of, replacements = dictionary.lengths.get, dictionary.replacements
        found = [
            (-length, start)
            for start, character in enumerate(text)
            for length in lengths_of(character, ())
            if start + length <= len(text) and text[start : start + length] in replacements
        ]
        for negative_length, start in sorted(found):
            end = start - negative_length
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                edits.append(_Edit(start, end, replacements[text[start:end]]))
    return sorted(edits)


@cache
def _opencc_chain(name: str) -> tuple[tuple[_Dictionary, ...], ...]:
    """The steps of an OpenCC configuration; each has one dictionary or a group of them."""
    try:
        metadata.version(_OPENCC_PACKAGE)
        from opencc import OpenCC
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise InputError(
            f'chinese_conversion {name!r} needs the package {_OPENCC_PACKAGE}; pip install "wenmo[zh]"'
        ) from error
    folder = resources.files("opencc") / "config"
    names = sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))
    if name not in names:
        raise InputError(f"OpenCC has no configuration {name!r}; it has {', '.join(names)}")
    chain = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["conversion_chain"]
    separators: re.Pattern[str] = OpenCC().split_chars_re
    groups = [step["dict"]["dicts"] if step["dict"]["type"] == "group" else [step["dict"]] for step in chain]
    return tuple(tuple(_opencc_dictionary(part["file"], separators) for part in group) for group in groups)


@cache
def _opencc_dictionary(file_name: str, separators: re.Pattern[str]) -> _Dictionary:
    text = (resources.files("opencc") / "dictionary" / file_name).read_text(encoding="utf-8")
    entries = (line.strip().split("\t") for line in text.split("\n") if line.strip())
    # The package cuts a text at its separators first, so a key that holds one never matches.
    replacements = {key: values.split(" ")[0] for key, values in entries if not separators.search(key)}
    lengths: dict[str, set[int]] = {}
    for key in replacements:
        lengths.setdefault(key[0], set()).add(len(key))
    return _Dictionary(replacements, {first: tuple(sorted(sizes)) for first, sizes in lengths.items()})
