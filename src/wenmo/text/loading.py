"""Which kind of tokenizer the settings want, and which kind a folder holds."""

from collections.abc import Iterable
from pathlib import Path

from wenmo.text.subwords import SubwordTokenizer
from wenmo.text.tokenizer_config import TokenizerConfig, read_settings
from wenmo.text.tokenizers import Tokenizer

AnyTokenizer = Tokenizer | SubwordTokenizer
"""Both give ids to texts, in the same way; only subwords give texts to ids."""


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> AnyTokenizer:
    """The vocabulary of these texts: subwords where the segmenter is ``bpe`` or ``unigram``, else words.

    Raises:
        InputError: as `Tokenizer.train` and `SubwordTokenizer.train`.
    """
    return SubwordTokenizer.train(texts, config) if config.has_subwords else Tokenizer.train(texts, config)


def load_tokenizer(folder: Path) -> AnyTokenizer:
    """The tokenizer of a model folder.

    Raises:
        InputError: as `Tokenizer.load` and `SubwordTokenizer.load`.
    """
    has_subwords = read_settings(Path(folder)).config.has_subwords
    return SubwordTokenizer.load(folder) if has_subwords else Tokenizer.load(folder)
