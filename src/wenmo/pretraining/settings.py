"""How raw text becomes a corpus."""

from dataclasses import dataclass
from typing import Literal

from wenmo.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What is read of the files, how it is cut, and what is kept of it."""

    documents: Literal["blank_lines", "lines", "files"] = "blank_lines"
    """What parts the documents of a text file: blank lines, every line break, or the file itself. Of tables, each row
    is a document."""
    sentences: Literal["split", "lines"] = "split"
    """split: lines are cut into sentences; lines: each line is a sentence already."""
    text_column: str = ""
    """The column of the texts in tables, where its name does not tell."""
    encoding: str = ""
    """Of text files; empty: found, as in `wenmo.data.encoding`."""
    on_bad_line: Literal["refuse", "skip"] = "refuse"
    """What to do about a line that is not text in its encoding; what is skipped is counted."""
    fold_width: bool = False
    """Full-width characters to half-width ones, before anything else sees the text."""
    chinese_conversion: str = ""
    """OpenCC configuration, such as t2s (traditional to simplified); empty: none."""
    drop_duplicates: bool = True
    """Documents that came before, character for character, are left out."""
    long_line: int = 100
    """Lines of at least so many characters that came before are left out: boilerplate; 0: none is."""
    held_out_share: float = 0.005
    """Of the documents, kept for evaluation: drawn by what stands in them, so whatever their order."""
    document_characters: int = 1_000_000
    """Longer documents are cut at a line break, so that memory stays flat."""
    shard_characters: int = 2_000_000
    """Of the text of one shard, about."""
    capitals: bool = False
    """Keep of each token whether it began with a capital letter."""
    connectives: bool = False
    """Keep which sentences begin with a word that joins them to the one before, and how."""
    word_bytes: bool = False
    """Keep the bytes of each word, for models that read words by their characters."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("documents", ("blank_lines", "lines", "files")),
            ("sentences", ("split", "lines")),
            ("on_bad_line", ("refuse", "skip")),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(f"corpus.{name} is one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        if not 0 <= self.held_out_share < 1:
            raise InputError(f"corpus.held_out_share is at least 0 and below 1; got {self.held_out_share}")
        for name in ("document_characters", "shard_characters"):
            if getattr(self, name) < 1:
                raise InputError(f"corpus.{name} is a number of characters, 1 or more; got {getattr(self, name)}")
        if self.long_line < 0:
            raise InputError(f"corpus.long_line is a number of characters, or 0; got {self.long_line}")
