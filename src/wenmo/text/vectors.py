"""Word vectors from files, and the first embeddings of a model from them.

Four formats are read, each also gzipped. They are told apart by their content: word2vec's binary and text formats and
fastText's ``.vec`` begin with a line of two numbers, GloVe's has none.
"""

import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wenmo.errors import InputError
from wenmo.text.vocabulary import SPECIAL_TOKENS

_RANDOM_LIMIT = 0.25
"""Kim 2014: gives about the variance of the word2vec vectors of Google News."""
_BLOCK_SIZE = 1 << 22
"""Bytes that are read from a file at once."""
_MAX_WORD_SIZE = 4096
"""Bytes; what is longer in a binary file is no word."""
_HEADER = re.compile(rb"\s*([0-9]+)\s+([0-9]+)\s*")
_OTHER_FILES = {
    b"PK": "a zip archive; unzip it first",
    b"\xba\x16\x4f\x2f": "a fastText model (.bin); use the .vec file of the same vectors",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; decompress it, or compress it by gzip",
    b"BZh": "compressed by bzip2; decompress it, or compress it by gzip",
    b"\x80": "a pickle, which is never opened because it can run code; save the vectors in word2vec's format",
}


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors, in the order of the file."""

    words: list[str]
    matrix: NDArray[np.float32]
    """``(len(words), embedding_size)``"""


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary has vectors; [PAD] and [UNK] do not count."""

    types: int
    types_covered: int
    tokens: int
    """0 when the tokens were not counted."""
    tokens_covered: int

    def as_sentence(self) -> str:
        """One sentence for a person."""
        sentence = f"Vectors cover {self.types_covered:,} of {self.types:,} words"
        if self.types:
            sentence += f" ({self.types_covered / self.types:.1%})"
        if self.tokens:
            sentence += f" and {self.tokens_covered / self.tokens:.1%} of the {self.tokens:,} tokens of the text"
        return sentence + "."


def read_vectors(path: Path, wanted: Collection[str] | None = None) -> WordVectors:
    """Read word vectors; of a word that stands there twice, the first.

    Args:
        path: word2vec text or binary, GloVe, fastText ``.vec``, or one of them gzipped.
        wanted: only these words are kept in memory; None: all.

    Raises:
        InputError: the file is missing, of another kind, cut short, or a line has another number of values.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.peek(2).startswith(b"\x1f\x8b"):
                return _read(path, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=file))), wanted)
            return _read(path, file, wanted)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: word vectors cannot be read there: {error.strerror}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the gzip file is damaged or cut short ({error}); fetch it again") from error


def initial_embeddings(
    vocabulary: list[str],
    vectors: WordVectors | None,
    embedding_size: int,
    seed: int,
    token_counts: Mapping[str, int] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Coverage | None]:
    """The embeddings to start from, as in Kim 2014.

    A token without a vector is drawn from uniform(-a, a), with the a that gives the variance of the vectors that are
    used; without any it is 0.25. The draw depends on the seed and the place in the vocabulary alone.

    Args:
        vocabulary: tokens in the order of their ids, [PAD] first.
        vectors: None: all tokens are drawn.
        token_counts: how often each token occurs, for the coverage.

    Returns:
        The embeddings ``(len(vocabulary), embedding_size)``, zeros in row 0; whether each token has a vector
        ``(len(vocabulary),)``; the coverage, None without vectors.

    Raises:
        InputError: the vectors have another width than ``embedding_size``.
    """
    draws = np.random.default_rng(seed).random((len(vocabulary), embedding_size), np.float32) * 2 - 1
    known = np.zeros(len(vocabulary), np.bool_)
    if vectors is None:
        embeddings = draws * np.float32(_RANDOM_LIMIT)
        embeddings[:1] = 0
        return embeddings, known, None
    width = vectors.matrix.shape[1]
    if width != embedding_size:
        raise InputError(
            f"the vectors have {width} values a word, but embedding_size is {embedding_size}; set it to {width}"
        )
    rows = {word: row for row, word in enumerate(vectors.words)}
    ids = [i for i, token in enumerate(vocabulary) if i >= len(SPECIAL_TOKENS) and token in rows]
    used = vectors.matrix[[rows[vocabulary[i]] for i in ids]]
    # The variance of uniform(-a, a) is a * a / 3.
    limit = np.sqrt(3 * used.var(dtype=np.float64)) if ids else 0.0
    embeddings = draws * np.float32(limit or _RANDOM_LIMIT)
    embeddings[ids] = used
    embeddings[:1] = 0
    known[ids] = True
    return embeddings, known, _coverage(vocabulary, known, token_counts or {})


def _coverage(vocabulary: list[str], known: NDArray[np.bool_], token_counts: Mapping[str, int]) -> Coverage:
    covered = {token for token, is_known in zip(vocabulary, known.tolist(), strict=True) if is_known}
    return Coverage(
        types=max(len(vocabulary) - len(SPECIAL_TOKENS), 0),
        types_covered=len(covered),
        tokens=sum(token_counts.values()),
        tokens_covered=sum(count for token, count in token_counts.items() if token in covered),
    )


@dataclass
class _Collected:
    """The vectors kept so far."""

    path: Path
    size: int
    wanted: Collection[str] | None
    rows: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def wants(self, word: str) -> bool:
        return word not in self.rows and (self.wanted is None or word in self.wanted)

    def keep(self, word: str, values: ArrayLike) -> None:
        with np.errstate(over="ignore"):  # a value too large for 4 bytes becomes infinite, which is refused below
            self.rows[word] = np.array(values, np.float32)

    def vectors(self) -> WordVectors:
        matrix = np.empty((len(self.rows), self.size), np.float32)
        for place, (word, row) in enumerate(self.rows.items()):
            if not np.isfinite(row).all():
                raise InputError(f"{self.path}: the vector of {word!r} has a value that is not a finite number")
            matrix[place] = row
        return WordVectors(list(self.rows), matrix)


def _read(path: Path, file: io.BufferedReader, wanted: Collection[str] | None) -> WordVectors:
    start = file.peek(4)
    for magic, what in _OTHER_FILES.items():
        if start.startswith(magic):
            raise InputError(f"{path} is {what}")
    wanted = None if wanted is None else frozenset(wanted)
    first = file.readline()
    header = _HEADER.fullmatch(first)
    if header is None:
        size = _count_values(first)
        if size == 0:
            raise InputError(f"{path}:1: no word followed by its values; wanted word2vec, GloVe or fastText .vec")
        return _read_lines(_Collected(path, size, wanted), chain([first], file), 1, None)
    count, size = map(int, header.groups())
    if count == 0 or size == 0:
        raise InputError(f"{path}:1: the header says {count} words with {size} values; there is nothing to read")
    if _is_text(file.peek(1)):
        return _read_lines(_Collected(path, size, wanted), file, 2, count)
    return _read_binary(_Collected(path, size, wanted), file, count)


def _is_text(ahead: bytes) -> bool:
    """Whether the record that begins here ends in a written number; in the binary format it ends in raw bytes."""
    line, newline, _ = ahead.partition(b"\n")
    fields = line.split()
    if not newline:
        fields = fields[:-1]  # it may have been cut in the middle
    return bool(fields) and _is_number(fields[-1])


def _read_lines(collected: _Collected, lines: Iterable[bytes], number: int, count: int | None) -> WordVectors:
    """Read records ``word value value ...``, a line each; ``number`` is the line of the first."""
    size = collected.size
    # A line is passed over by its first part, unless it has too many: words hold spaces in GloVe's files.
    wanted = collected.wanted
    beginnings = None if wanted is None else {word.split(" ")[0].encode(errors="replace") for word in wanted}
    num_records = 0
    for line_number, line in enumerate(lines, number):
        line = line.rstrip()
        if not line:
            continue
        num_records += 1
        if beginnings is not None and line.count(b" ") == size and line.split(b" ", 1)[0] not in beginnings:
            continue
        if line[:1].isspace():
            continue  # the word is itself a space
        fields = line.rsplit(None, size)
        try:
            values = [float(value) for value in fields[1:]]
        except ValueError:
            values = []
        rest_of_word = fields[0].split()[1:]
        if len(values) != size or (rest_of_word and all(map(_is_number, rest_of_word))):
            raise InputError(
                f"{collected.path}:{line_number}: {_count_values(line)} values after the word, but {size} are wanted "
                f"({'as in line 1' if count is None else 'says the header'}); mend the line or fetch the file again"
            )
        word = fields[0].decode(errors="replace")
        if collected.wants(word):
            collected.keep(word, values)
    if num_records < (count or 1):
        raise InputError(f"{collected.path} ends after {num_records} of {count or 'its'} vectors; fetch it again")
    return collected.vectors()


def _read_binary(collected: _Collected, file: io.BufferedReader, count: int) -> WordVectors:
    """Read records of a word, a space and the values as 4 bytes each."""
    size = collected.size
    block, position = b"", 0
    for number in range(1, count + 1):
        while (space := block.find(b" ", position)) < 0 or space + 1 + 4 * size > len(block):
            more = file.read(_BLOCK_SIZE)
            if not more:
                raise InputError(f"{collected.path} ends within vector {number} of {count}; fetch it again")
            block, position = block[position:] + more, 0
        word = block[position:space].lstrip(b"\n").decode(errors="replace")  # some writers end records by a newline
        if len(word) > _MAX_WORD_SIZE:
            raise InputError(f"{collected.path}: vector {number} has no word; the vectors are not {size} values wide")
        if collected.wants(word):
            collected.keep(word, np.frombuffer(block, "<f4", size, space + 1))
        position = space + 1 + 4 * size
    return collected.vectors()


def _count_values(line: bytes) -> int:
    """How many numbers stand at the end of a line, after its first part."""
    values = 0
    for part in reversed(line.split()[1:]):
        if not _is_number(part):
            break
        values += 1
    return values


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True
