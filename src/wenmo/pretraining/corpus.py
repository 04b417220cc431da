"""A corpus: raw text as shards on disk, made once by several processes, mapped into memory by whoever learns from it.

``corpus.json`` is written last and says what the folder holds. While it is being made, ``corpus.partial.jsonl`` holds
what it is made of (the hashes of the sources, the tokenizer, the settings) and a line for each finished shard. A run
that goes on reads the sources anew, which is quick, and makes those shards that are missing. The text of each shard,
and so its bytes, follow from the sources and settings alone, whatever the number of processes.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from wenmo.data.encoding import Tell
from wenmo.data.store import TokenStore, TokenStoreWriter
from wenmo.errors import InputError
from wenmo.files import only_one
from wenmo.pretraining.documents import KINDS, Document, DocumentKind
from wenmo.pretraining.journal import Journal, no_room, refuse_other, write_whole
from wenmo.pretraining.making import ShardInfo, ShardMaker
from wenmo.pretraining.planning import PART, Plan, check_unchanged, identity_of, new_documents, planned
from wenmo.pretraining.settings import CorpusSettings
from wenmo.pretraining.shards import DOCUMENT, Shard
from wenmo.pretraining.workers import made_by
from wenmo.text.loading import AnyTokenizer, load_tokenizer
from wenmo.text.spans import Annotator

MANIFEST = "corpus.json"
TOKENIZER = "tokenizer"
"""The folder of the tokenizer inside that of the corpus."""
FORMAT_VERSION = 1

_PARTIAL = "corpus.partial.jsonl"
_LOCK = "corpus.lock"


@dataclass(frozen=True, eq=False)
class Corpus:
    """A finished corpus."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Read what `make_corpus` wrote; shards are mapped into memory when they are asked for.

        Raises:
            InputError: there is no finished corpus.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            unfinished = "; its making was interrupted: run it again" if (folder / _PARTIAL).is_file() else ""
            raise InputError(f"{folder} holds no corpus: it has no {MANIFEST}{unfinished}")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged or cut short ({error}); make the corpus again") from error
        if manifest.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{path} has format {manifest.get('format_version')}, this wenmo reads {FORMAT_VERSION}; make it again"
            )
        return cls(folder, manifest)

    @cached_property
    def shards(self) -> list[ShardInfo]:
        """What each shard holds."""
        return [ShardInfo.from_dict(values) for values in self.manifest["shards"]]

    @cached_property
    def settings(self) -> CorpusSettings:
        """Those that it was made with."""
        return CorpusSettings(**self.manifest["settings"])

    @property
    def fingerprint(self) -> str:
        """Changes with the sources, the tokenizer, the settings and the annotator."""
        return str(self.manifest["fingerprint"])

    @property
    def documents(self) -> int:
        """To learn from; what is held out is not counted, here as below."""
        return sum(shard.documents for shard in self.shards)

    @property
    def sentences(self) -> int:
        """Of all shards."""
        return sum(shard.sentences for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Of all shards."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def connected_documents(self) -> int:
        """Documents of two sentences or more; without them nothing can be learnt of how sentences follow each other."""
        return sum(shard.connected_documents for shard in self.shards)

    @property
    def sentences_per_document(self) -> float:
        """The mean."""
        return self.sentences / max(1, self.documents)

    @property
    def dropped(self) -> dict[str, int]:
        """What was left out, and how often."""
        return dict(self.manifest["dropped"])

    def has(self, column: str) -> bool:
        """Whether some shard has a column, such as those of `wenmo.pretraining.shards`."""
        return any(column in shard.columns for shard in self.shards)

    def shard(self, number: int) -> Shard:
        """One shard.

        Raises:
            InputError: its file is missing or damaged.
        """
        return self._open(self.shards[number])

    def held_out(self, kind: DocumentKind | None = None) -> Shard | None:
        """The documents that are kept for evaluation, of one kind, by default that of the first shard; None: there are
        none."""
        kind = kind or self.shards[0].kind
        for values in self.manifest["held_out"]:
            if values["kind"] == kind:
                return self._open(ShardInfo.from_dict(values))
        return None

    def tokenizer(self) -> AnyTokenizer:
        """The one it was made with."""
        return load_tokenizer(self.folder / TOKENIZER)

    def _open(self, info: ShardInfo) -> Shard:
        shard = Shard.open(self.folder / info.name)
        if len(shard) != info.sentences:
            raise InputError(
                f"{self.folder / info.name} has {len(shard):,} sentences where {MANIFEST} says {info.sentences:,}; "
                "the files are of different corpora: make it again"
            )
        return shard


def make_corpus(
    sources: Sequence[str],
    folder: str | Path,
    tokenizer: AnyTokenizer,
    settings: CorpusSettings,
    annotate: Annotator | None = None,
    workers: int = 1,
    tell: Tell = lambda _: None,
) -> Corpus:
    """Make a corpus, or go on with one that was interrupted, or open it if it is there already.

    Args:
        sources: files, folders and hub names; see `wenmo.pretraining.documents`.
        folder: where to; made if it is not there.
        tokenizer: gives the ids.
        settings: what is read and kept.
        annotate: finds words, phrases and entities.
        workers: processes that tokenise, beside this one, which reads; with 1 it does both.
        tell: hears what a person should know.

    Raises:
        InputError: a source cannot be read, holds nothing, or changed since the making began; the folder holds another
            corpus.
        JobError: the disk is full, or a process died; what is finished is kept.
    """
    folder = Path(folder)
    if workers < 1:
        raise InputError(f"workers is a number of processes, 1 or more; got {workers}")
    with only_one(folder, _LOCK, "another process makes a corpus here", "another folder"):
        identity = identity_of(sources, tokenizer, settings, annotate)
        _remove_left_over(folder)
        if (folder / MANIFEST).is_file():
            return _same(Corpus.open(folder), identity)
        with Journal.open(folder / _PARTIAL, identity) as journal:
            _save_tokenizer(tokenizer, folder / TOKENIZER)
            counts: Counter[str] = Counter()
            documents = new_documents(sources, settings, tell, counts)
            maker = ShardMaker(tokenizer, settings, annotate)
            infos = _made(folder, planned(documents, settings), maker, workers, journal)
            check_unchanged(identity)
            corpus = _finished(folder, identity, infos, counts)
        journal.remove()
        _remove_left_over(folder)
    _tell_of(corpus, tell)
    return corpus


def _made(folder: Path, plans: Iterator[Plan], maker: ShardMaker, workers: int, journal: Journal) -> list[ShardInfo]:
    """Every shard that was planned, those that were there and those made now, by their names."""
    infos: list[ShardInfo] = []
    contents: dict[str, str] = {}

    def missing() -> Iterator[tuple[Path, Sequence[Document]]]:
        for plan in plans:
            path = folder / plan.name
            known = journal.finished.get(plan.name)
            if known is not None and known.content != plan.content:
                raise InputError(
                    f"{path} was made of other text than the sources hold now; they changed since the making began: "
                    "choose another folder, or remove this one"
                )
            if known is not None and path.is_file():
                infos.append(known)
            else:
                contents[plan.name] = plan.content
                yield path, plan.documents
            del plan  # else its documents would stay while those of the next one are read

    for made in made_by(maker, missing(), workers):
        info = replace(made, content=contents.pop(made.name))
        journal.add(info)
        infos.append(info)
    return sorted(infos, key=lambda info: info.name)


def _finished(folder: Path, identity: dict[str, Any], infos: Sequence[ShardInfo], counts: Counter[str]) -> Corpus:
    """Join what is held out, and write the manifest.

    Raises:
        InputError: there is nothing to learn from.
    """
    shards = [info for info in infos if not info.name.endswith(PART)]
    parts = [info for info in infos if info.name.endswith(PART)]
    counts["documents without a token"] += sum(info.empty_documents for info in infos)
    if not sum(info.sentences for info in shards):
        _refuse_nothing(identity, parts, counts)
    held_out = [_joined(folder, kind, of_it) for kind in KINDS if (of_it := [p for p in parts if p.kind == kind])]
    what = {name: value for name, value in identity.items() if name != "sources"}  # they are told by their content
    content = [info.content for info in infos]
    whole = hashlib.sha256(json.dumps([what, content], sort_keys=True).encode()).hexdigest()
    manifest = {
        "format_version": FORMAT_VERSION,
        "fingerprint": whole,
        **identity,
        "dropped": {reason: count for reason, count in sorted(counts.items()) if count},
        "shards": [info.to_dict() for info in shards if info.sentences],
        "held_out": [info.to_dict() for info in held_out if info.sentences],
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    return Corpus(folder, manifest)


def _refuse_nothing(identity: dict[str, Any], parts: Sequence[ShardInfo], counts: Counter[str]) -> None:
    names = ", ".join(source["path"] for source in identity["sources"][:3])
    if documents := sum(part.documents for part in parts):
        raise InputError(
            f"{names}: all {documents} documents were drawn for evaluation; set corpus.held_out_share=0, or part the "
            "text into more documents by blank lines or corpus.documents=lines"
        )
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()) if count)
    raise InputError(f"{names}: no text to learn from" + (f" ({why})" if why else "; the sources are empty"))


def _save_tokenizer(tokenizer: AnyTokenizer, folder: Path) -> None:
    try:
        tokenizer.save(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise no_room(folder, error) from error


def _joined(folder: Path, kind: DocumentKind, parts: Sequence[ShardInfo]) -> ShardInfo:
    """The parts that are held out of one kind as one shard, row by row in flat memory."""
    name = "held_out.arrow" if kind == "text" else f"held_out-{kind}.arrow"
    stores = [TokenStore.open(folder / part.name) for part in parts]
    columns = dict.fromkeys(column for store in stores for column in store.columns)
    before = 0
    try:
        with TokenStoreWriter(folder / name, dict.fromkeys(columns, np.int32)) as writer:
            for part, store in zip(parts, stores, strict=True):
                for row in range(len(store)):
                    values = {column: store[column][row] if column in store.columns else () for column in columns}
                    writer.append({**values, DOCUMENT: store[DOCUMENT][row] + before})
                before += part.documents
    except OSError as error:
        raise no_room(folder / name, error) from error
    totals = {
        field: sum(getattr(part, field) for part in parts)
        for field in ("documents", "sentences", "tokens", "connected_documents", "empty_documents")
    }
    return ShardInfo(name=name, kind=kind, columns=tuple(columns), **totals)


def _same(corpus: Corpus, identity: dict[str, Any]) -> Corpus:
    """A finished corpus, if it is the one that is asked for."""
    refuse_other(corpus.folder, corpus.manifest, identity, "holds a corpus with")
    return corpus


def _remove_left_over(folder: Path) -> None:
    """What a process that was killed left behind; of a finished corpus, also what was there for the making alone."""
    finished = (folder / MANIFEST).is_file()
    for left in [*folder.glob("*.tmp"), *(folder.glob(f"*{PART}") if finished else ())]:
        left.unlink()


def _tell_of(corpus: Corpus, tell: Tell) -> None:
    """What a person should know of a new corpus."""
    for reason, count in corpus.dropped.items():
        tell(f"{corpus.folder}: {count:,} {reason}")
    if not corpus.connected_documents:
        tell(
            f"{corpus.folder}: no document has two sentences, so nothing can be learnt of how sentences follow each "
            "other; are documents parted by blank lines, or is corpus.documents another?"
        )
    if corpus.settings.held_out_share and not corpus.manifest["held_out"]:
        tell(f"{corpus.folder}: none of its {corpus.documents:,} documents was drawn for evaluation")
