"""What finds the words, phrases and entities of a corpus, put together of its parts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wenmo.data.encoding import Tell
from wenmo.data.lexica import read_lexicon
from wenmo.text.lexica import Lexica
from wenmo.text.parts_of_speech import PartsOfSpeech
from wenmo.text.spans import ENTITY, PHRASE, Annotator, Unit, apart


def annotator_of(
    *,
    lexica: Sequence[str | Path] = (),
    phrases: Sequence[str | Path] = (),
    taggers: Sequence[Annotator] = (),
    words: Annotator | None = None,
    tell: Tell = lambda _: None,
) -> Annotator:
    """One annotator. Where its parts disagree, lists are right before taggers, and taggers before parts of speech.

    What is found in a list yields to a word that it would cut, unless it is longer.

    Args:
        lexica: files of entities, the kind of which is the name of the file.
        phrases: files of phrases.
        taggers: what else finds units, such as `wenmo.text.spans.Tagged`.
        words: what finds words; None: `wenmo.text.parts_of_speech.PartsOfSpeech`.
        tell: hears what of the files was left out.

    Raises:
        InputError: a file cannot be read, or holds no phrase.
    """
    lists = [
        *(read_lexicon(path, level=ENTITY, tell=tell) for path in lexica),
        *(read_lexicon(path, level=PHRASE, tell=tell) for path in phrases),
    ]
    return Combined(Lexica(lists) if lists else None, tuple(taggers), words or PartsOfSpeech())


@dataclass(frozen=True)
class Combined:
    """Several annotators as one; see `annotator_of`."""

    lexica: Lexica | None
    taggers: tuple[Annotator, ...]
    words: Annotator

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        """The units of each text."""
        words = self.words.annotate(texts)
        found = [self.lexica.annotate(texts, words)] if self.lexica is not None else []
        found += [*(tagger.annotate(texts) for tagger in self.taggers), words]
        return [apart(unit for units in of_text for unit in units) for of_text in zip(*found, strict=True)]

    def fingerprint(self) -> str:
        """Changes with any of them, and with their order."""
        lists = self.lexica.fingerprint() if self.lexica is not None else ""
        whole = (lists, *(tagger.fingerprint() for tagger in self.taggers), self.words.fingerprint())
        return hashlib.sha256(repr(whole).encode()).hexdigest()
