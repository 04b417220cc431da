"""The tokenizer of a corpus, learnt from a sample of it that fits into memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

from wenmo.data.encoding import Tell
from wenmo.errors import InputError
from wenmo.pretraining.documents import Document
from wenmo.pretraining.duplicates import NUM_HASHES
from wenmo.pretraining.planning import NewDocument, new_documents
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.loading import AnyTokenizer, train_tokenizer
from wenmo.text.normalization import Normalizer
from wenmo.text.tokenizer_config import TokenizerConfig

SAMPLE_CHARACTERS = 10_000_000
"""Of the documents that a vocabulary is learnt from; more change little of it."""


def train_corpus_tokenizer(
    sources: Sequence[str],
    settings: CorpusSettings,
    config: TokenizerConfig,
    *,
    characters: int = SAMPLE_CHARACTERS,
    tell: Tell = lambda _: None,
) -> AnyTokenizer:
    """Learn a tokenizer from the documents of a corpus that are not held out, or from a sample of them.

    Args:
        sources: as of `wenmo.pretraining.corpus.make_corpus`.
        settings: those that the corpus will be made with.
        config: which tokenizer, and how large its vocabulary is.
        characters: the sample has at most so many, and over half of them where there is more text.
        tell: hears what a person should know.

    Raises:
        InputError: a source cannot be read, or there is nothing to learn from.
    """
    found = sample(new_documents(sources, settings, tell, Counter()), characters, settings.held_out_share)
    if not found:
        raise InputError(f"{', '.join(map(str, sources[:3]))}: no text to learn a vocabulary from")
    normalizer = Normalizer(
        fold_width=settings.fold_width, lowercase=False, chinese_conversion=settings.chinese_conversion
    )
    return train_tokenizer((normalizer.normalize(line) for document in found for line in document.lines), config)


def sample(documents: Iterable[NewDocument], characters: int, held_out_share: float) -> list[Document]:
    """Documents from everywhere, in their order, drawn by what stands in them; those held out are never among them.

    One whose hash is below a bound is left out. The bound rises by half of what is above it whenever there are too many
    characters, so that memory is flat and the sample the same in any order of the files.
    """
    bound = held_out_share * NUM_HASHES
    kept: list[NewDocument] = []
    size = 0
    for new in documents:
        if new.whole < bound:
            continue
        kept.append(new)
        size += len(new.document.text)
        while size > characters and len(kept) > 1:
            bound += (NUM_HASHES - bound) / 2
            kept = [new for new in kept if new.whole >= bound]
            size = sum(len(new.document.text) for new in kept)
    return [new.document for new in kept]
