"""What a corpus will be made of, before any of it is made: its sources as they are, its documents as shards."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wenmo.data.encoding import Tell
from wenmo.errors import InputError
from wenmo.pretraining.documents import Document, DocumentKind, corpus_files, is_file_name, read_documents
from wenmo.pretraining.duplicates import NUM_HASHES, Duplicates, text_hash
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.loading import AnyTokenizer
from wenmo.text.spans import Annotator

PART = ".part.arrow"
"""How the names of shards end that are held out, until they are joined."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that a corpus was made of, or a data set by its name, which has neither size nor hash."""

    path: str
    bytes: int = 0
    sha256: str = ""


def identity_of(
    sources: Sequence[str], tokenizer: AnyTokenizer, settings: CorpusSettings, annotate: Annotator | None
) -> dict[str, Any]:
    """All that a corpus follows from, as plain values.

    Raises:
        InputError: there is no such source, or it cannot be read.
    """
    return {
        "sources": [asdict(_hashed(file)) for file in corpus_files(sources)],
        "tokenizer": tokenizer.fingerprint(),
        "settings": asdict(settings),
        "annotator": annotate.fingerprint() if annotate is not None else "",
    }


def _hashed(file: str) -> Source:
    if not is_file_name(file):
        return Source(path=file)
    digest = hashlib.sha256()
    size = 0
    try:
        with open(file, "rb") as content:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    return Source(path=file, bytes=size, sha256=digest.hexdigest())


def check_unchanged(identity: dict[str, Any]) -> None:
    """Make sure that the sources still are what they were.

    Raises:
        InputError: one changed while it was read.
    """
    for source in identity["sources"]:
        path = Path(source["path"])
        if source["sha256"] and (not path.is_file() or path.stat().st_size != source["bytes"]):
            raise InputError(f"{source['path']} changed while the corpus was made of it; make it again in a new folder")


class Plan(NamedTuple):
    """The documents of a shard that is to be made."""

    name: str
    documents: list[Document]
    content: str


class NewDocument(NamedTuple):
    """What is new of a document."""

    document: Document
    whole: int
    """The hash of the document as it stands in its source, by which it is drawn: whatever came before."""

    def is_held_out(self, share: float) -> bool:
        """Whether it is of the share of all documents that is kept for evaluation."""
        return self.whole < share * NUM_HASHES


def new_documents(
    sources: Sequence[str], settings: CorpusSettings, tell: Tell, counts: Counter[str]
) -> Iterator[NewDocument]:
    """The documents of the sources without what came before; ``counts`` gets what was left out, and how often."""
    duplicates = Duplicates(settings)
    for document in read_documents(sources, settings, tell, counts):
        whole = text_hash(document.text)
        new = duplicates.without(document, whole, counts)
        if new is not None:
            yield NewDocument(new, whole)


class _Place(NamedTuple):
    """Which shards a document belongs to; those of one have the same columns."""

    kind: DocumentKind
    held_out: bool
    marked: bool


def planned(documents: Iterator[NewDocument], settings: CorpusSettings) -> Iterator[Plan]:
    """Documents gathered into shards of one kind each; those held out go to shards of their own."""
    gathered: dict[_Place, list[Document]] = {}
    sizes: Counter[_Place] = Counter()
    numbers: Counter[bool] = Counter()

    def taken(place: _Place) -> Plan:
        number = numbers[place.held_out]
        numbers[place.held_out] += 1
        sizes[place] = 0
        name = f"held_out-{number:05d}{PART}" if place.held_out else f"shard-{number:05d}.arrow"
        whole = gathered.pop(place)
        return Plan(name, whole, _content_of(whole))

    for new in documents:
        document = new.document
        place = _Place(document.kind, new.is_held_out(settings.held_out_share), bool(document.units))
        gathered.setdefault(place, []).append(document)
        sizes[place] += sum(map(len, document.lines))
        if sizes[place] >= settings.shard_characters:
            yield taken(place)
    for place in list(gathered):
        yield taken(place)


def _content_of(documents: Sequence[Document]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        digest.update(repr((document.lines, document.roles, document.units)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
