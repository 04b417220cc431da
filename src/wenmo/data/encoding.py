"""Bytes to text: compression, byte-order marks, UTF-8, GB18030.

A byte-order mark decides; without one the bytes must be UTF-8 throughout; failing that they may be GB18030, which is
how Excel saves a csv file on a Chinese computer, and the reader says so. Anything else is an error that names the byte.
A file is read twice for this, a block at a time: once to decide, once to decode. Standard input and other pipes cannot
be read twice; there the first block that is not plain ASCII decides.
"""

import codecs
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import AnyStr, NamedTuple, cast

from wenmo.errors import InputError

Tell = Callable[[str], None]
"""Takes one sentence that a person should know."""

Skip = Callable[[str], None]
"""Takes the place, ``file:line``, of a line that is left out."""

STANDARD_INPUT = "-"
LONG_LINE_CHARACTERS = 1_000_000

_BLOCK_BYTES = 1 << 20
_ZSTD_BLOCK_BYTES = 1 << 14  # small: how much comes out of one block is known only afterwards
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook or another zip archive; name it .xlsx, or unpack it",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as .xlsx or as csv",
    b"%PDF": "a PDF; save its text",
}
# The marks of UTF-32 come first: the little-endian one begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def source_name(source: str | Path) -> str:
    """How messages call a source."""
    return "standard input" if source == STANDARD_INPUT else str(source)


def read_lines(
    source: str | Path, *, encoding: str | None = None, tell: Tell, skip: Skip | None = None
) -> Iterator[str]:
    """Read a text file, or standard input (``"-"``), line by line in flat memory.

    Lines end at a line feed alone, so that the other line separators of Unicode stay inside their text; the line feed
    is cut off, a carriage return before it is not.

    Args:
        source: a path or ``"-"``; gzip and Zstandard are unpacked, whatever the name says.
        encoding: any encoding Python knows; None decides as this module's first lines say.
        tell: hears of a guessed encoding and of very long lines.
        skip: hears of each line that holds bytes that are not of the encoding, or a NUL byte, which is then left out;
            None: such a line is an error. Without an encoding the first MiB decides, and where it holds such bytes,
            for UTF-8.

    Raises:
        InputError: bytes that are not text in the encoding, NUL bytes, a damaged archive, a missing file; or over half
            of the lines would be left out.
    """
    name = source_name(source)
    if encoding is not None:
        _check_encoding_name(encoding)
    if skip is not None:
        yield from _readable_lines(_read_blocks(source), encoding, name, tell, skip)
        return
    if encoding is None and source != STANDARD_INPUT and Path(source).is_file():
        encoding = detect_encoding(lambda: _read_blocks(source), name, tell)
    texts = _decode(_read_blocks(source), encoding, name, tell)
    for number, line in enumerate(_split_lines(texts, "\n"), start=1):
        if len(line) > LONG_LINE_CHARACTERS:
            tell(f"{name}:{number}: a line of {len(line):,} characters; a missing line break, or a quote left open?")
        yield line


def _readable_lines(blocks: Iterator[bytes], encoding: str | None, name: str, tell: Tell, skip: Skip) -> Iterator[str]:
    """The lines that can be read, of an encoding in which the byte of a line feed is never part of a character."""
    first = next(blocks, b"")
    if encoding is None:
        try:
            encoding = detect_encoding(lambda: [first], name, tell, whole=False)
        except InputError:
            encoding = "utf-8"
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        raise InputError(f"{name}: in {encoding} a damaged line cannot be skipped; convert the text to UTF-8 first")
    number = skipped = 0
    for number, line in enumerate(_split_lines(chain([first], blocks), b"\n"), start=1):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            skipped += 1
            skip(f"{name}:{number}")
            continue
        yield text.removeprefix("\ufeff") if number == 1 else text
    if skipped * 2 > number:
        raise InputError(
            f"{name}: {skipped:,} of {number:,} lines are not {encoding}; name the encoding, such as big5 or cp1252"
        )


def detect_encoding(open_blocks: Callable[[], Iterable[bytes]], name: str, tell: Tell, *, whole: bool = True) -> str:
    """Name the encoding of some bytes.

    Args:
        open_blocks: gives the bytes from their beginning, each time it is called.
        name: how messages call the source.
        tell: hears when the answer is GB18030, which is never certain.
        whole: False where the bytes go on after the last block, perhaps in the middle of a character.

    Raises:
        InputError: neither a byte-order mark, nor UTF-8, nor believably GB18030.
    """
    blocks = iter(open_blocks())
    beginning = next(blocks, b"")
    for mark, codec in _MARKS:
        if beginning.startswith(mark):
            return codec
    invalid = _first_invalid(chain([beginning], blocks), "utf-8", whole=whole)
    if invalid is None:
        return "utf-8"
    if why_not := _why_not_gb18030(open_blocks, whole=whole):
        raise InputError(
            f"{name}:{invalid.line}: the byte 0x{invalid.byte:02X} at offset {invalid.offset} is not UTF-8, and "
            f"{why_not}; save the text as UTF-8, or name its encoding, such as big5 or cp1252"
        )
    tell(f"{name}: not UTF-8, read as GB18030; name the encoding if the characters look wrong")
    return "gb18030"


def _check_encoding_name(encoding: str) -> None:
    try:
        "a".encode(encoding)  # b"".decode would let base64 pass, which is no text encoding
        codecs.getincrementaldecoder(encoding)
    except LookupError:
        raise InputError(f"no text encoding is named {encoding!r}; such as utf-8, gb18030, big5, cp1252") from None


def _open(source: str | Path) -> AbstractContextManager[BufferedReader]:
    """Open for reading bytes; standard input is not ours to close."""
    if source == STANDARD_INPUT:
        return nullcontext(cast(BufferedReader, sys.stdin.buffer))
    try:
        return open(source, "rb")
    except OSError as error:
        raise InputError(f"{source} cannot be opened: {error.strerror}") from error


def _read_blocks(source: str | Path) -> Iterator[bytes]:
    """The bytes, unpacked, as they come; never an empty block."""
    name = source_name(source)
    with _open(source) as file:
        magic = file.peek(4)[:4]
        if magic.startswith(_GZIP_MAGIC):
            blocks = _unpack_gzip(file, name)
        elif magic == _ZSTD_MAGIC:
            blocks = _unpack_zstd(file, name)
        else:
            if magic in _NOT_TEXT:
                raise InputError(f"{name} is not text but {_NOT_TEXT[magic]}")
            # read1 gives what a pipe has; read would wait until the block is full.
            blocks = iter(lambda: file.read1(_BLOCK_BYTES), b"")
        yield from blocks


def _unpack_gzip(file: BufferedReader, name: str) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        try:
            while block := unpacked.read1(_BLOCK_BYTES):
                yield block
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name}: the gzip archive is cut off or damaged ({error}); copy it again") from error


def _unpack_zstd(file: BufferedReader, name: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise InputError(f'{name} is packed with Zstandard; pip install "wenmo[zst]", or unpack it') from error
    # Not its stream_reader, which ends without a word where an archive is cut off.
    frame = None
    try:
        while packed := file.read1(_ZSTD_BLOCK_BYTES):
            while packed:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                block = frame.decompress(packed)
                packed = b""
                if frame.eof:
                    packed, frame = frame.unused_data, None
                if block:
                    yield block
    except zstandard.ZstdError as error:
        raise InputError(f"{name}: the Zstandard archive is damaged ({error}); copy it again") from error
    if frame is not None:
        raise InputError(f"{name}: the Zstandard archive is cut off; copy it again")


def _split_lines(blocks: Iterable[AnyStr], line_feed: AnyStr) -> Iterator[AnyStr]:
    nothing = line_feed[:0]
    unfinished: list[AnyStr] = []  # joined once, so that a line over many blocks costs no more than its length
    for block in blocks:
        pieces = block.split(line_feed)
        unfinished.append(pieces[0])
        if len(pieces) > 1:
            yield nothing.join(unfinished)
            yield from pieces[1:-1]
            unfinished = [pieces[-1]]
    if last := nothing.join(unfinished):
        yield last


def _decode(blocks: Iterable[bytes], encoding: str | None, name: str, tell: Tell) -> Iterator[str]:
    """Decode block by block; without an encoding, the first block that is not ASCII decides."""
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    offset, line = 0, 1
    for block in chain(blocks, [b""]):
        if decoder is None and not block.isascii():
            encoding = _decide_by_block(block, name, tell)
            decoder = codecs.getincrementaldecoder(encoding)()
        waiting = len(decoder.getstate()[0]) if decoder else 0  # bytes of a character that began in the block before
        try:
            text = decoder.decode(block, final=not block) if decoder else block.decode("ascii")
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(error.encoding, "ignore").count("\n")
            raise InputError(
                f"{name}:{line}: the byte 0x{error.object[error.start]:02X} at offset {offset - waiting + error.start} "
                f"is not {encoding}; save the whole text as UTF-8, or name its encoding"
            ) from error
        if "\0" in text:
            line += text[: text.index("\0")].count("\n")
            raise InputError(
                f"{name}:{line}: a NUL byte, which no text has; if it is UTF-16 without a byte-order mark, give "
                "encoding utf-16-le, else remove it: tr -d '\\000' < old > new"
            )
        yield text.removeprefix("\ufeff") if offset == 0 else text
        offset += len(block)
        line += text.count("\n")


def _decide_by_block(block: bytes, name: str, tell: Tell) -> str:
    return detect_encoding(lambda: [block], name, tell, whole=False)


class _Invalid(NamedTuple):
    """The first byte that is not in an encoding."""

    offset: int
    line: int
    byte: int


def _first_invalid(blocks: Iterable[bytes], codec: str, *, whole: bool) -> _Invalid | None:
    """For encodings in which the byte of a line feed is never part of another character."""
    decoder = codecs.getincrementaldecoder(codec)()
    offset, line = 0, 1
    for block in chain(blocks, [b""] if whole else []):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            return _Invalid(offset - waiting + error.start, line, error.object[error.start])
        offset += len(block)
        line += block.count(b"\n")
    return None


# A character of GB18030 that is not ASCII: four bytes, or two whose second may be an ASCII letter.
_GB18030_CHARACTER = re.compile(rb"[\x81-\xfe](?:[\x30-\x39][\x81-\xfe][\x30-\x39]|([\x40-\x7e])|[\x80-\xfe])")
# Six characters of UTF-8 with three bytes each (Chinese, Japanese, Korean, their punctuation). Chinese in GB18030 has
# such a run of bytes about once in 10^11 characters.
_UTF8_RUN = re.compile(rb"(?:[\xe1-\xef][\x80-\xbf][\x80-\xbf]){6}")
_THREE_BYTES = re.compile(rb"[\xe1-\xef][\x80-\xbf][\x80-\xbf]")
_LINES_TO_JUDGE_BY = 10_000


def _why_not_gb18030(open_blocks: Callable[[], Iterable[bytes]], *, whole: bool) -> str | None:
    """Say what speaks against GB18030 in bytes that are not all UTF-8; None if nothing does.

    Nearly any bytes can be read as GB18030, so being readable is not enough. Two kinds of files are refused: those that
    hold UTF-8 all the same (mixed, or damaged), and those where over a third of the characters have an ASCII letter for
    their second byte. That is what accented letters of Western encodings look like, and half of Big5; in Chinese in
    GB18030 we counted 0.05 % (simplified) and 15 % (traditional).
    """
    if invalid := _first_invalid(open_blocks(), "gb18030", whole=whole):
        return f"0x{invalid.byte:02X} on line {invalid.line} is not GB18030 either"
    utf8_lines = other_lines = characters = with_letter = 0
    for number, line in enumerate(_split_lines(open_blocks(), b"\n"), start=1):
        if _UTF8_RUN.search(line):
            return f"line {number} holds characters in UTF-8: the encodings are mixed, or the bytes are damaged"
        if line.isascii() or utf8_lines + other_lines == _LINES_TO_JUDGE_BY:
            continue
        if _THREE_BYTES.search(line) and _is_utf8(line):
            utf8_lines += 1
            continue
        other_lines += 1
        second_letters = _GB18030_CHARACTER.findall(line)
        characters += len(second_letters)
        with_letter += sum(map(bool, second_letters))
    if utf8_lines * 10 > other_lines:  # a short line in GB18030 may look like UTF-8 by chance, but not one in ten
        return f"{utf8_lines} lines hold characters in UTF-8: the encodings are mixed, or the bytes are damaged"
    if with_letter * 3 > characters:
        return "it does not look like Chinese in GB18030"
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
