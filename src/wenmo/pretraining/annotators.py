"""What finds the words, phrases and entities of a corpus, put together of its parts."""

from collections.abc import Sequence
from pathlib import Path

from wenmo.data.encoding import Tell
from wenmo.data.lexica import read_lexicon
from wenmo.text.lexica import Lexica
from wenmo.text.parts_of_speech import PartsOfSpeech
from wenmo.text.spans import ENTITY, PHRASE, Annotator, Together


def annotator_of(
    *,
    lexica: Sequence[str | Path] = (),
    phrases: Sequence[str | Path] = (),
    taggers: Sequence[Annotator] = (),
    words: Annotator | None = None,
    tell: Tell = lambda _: None,
) -> Annotator:
    """One annotator. Where its parts disagree, lists are right before taggers, and taggers before parts of speech.

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
    found = [Lexica(lists)] if lists else []
    return Together((*found, *taggers, words or PartsOfSpeech()))
