"""Which kind of tokenizer the settings want, and which kind a folder holds."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

from wenmo.text.code_points import CodePointTokenizer
from wenmo.text.subwords import SubwordTokenizer
from wenmo.text.tokenizer_config import CODE_POINTS, TokenizerConfig, read_settings
from wenmo.text.tokenizers import Tokenizer

WritingTokenizer = SubwordTokenizer | CodePointTokenizer
"""Those that give texts to ids."""
AnyTokenizer = Tokenizer | WritingTokenizer
"""All give ids to texts, in the same way."""


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> AnyTokenizer:
    """The vocabulary of these texts: subwords where the segmenter is ``bpe`` or ``unigram``, else words.

    Raises:
        InputError: as the `train` of each.
    """
    return _kind(config).train(texts, config)


def load_tokenizer(folder: Path) -> AnyTokenizer:
    """The tokenizer of a model folder.

    Raises:
        InputError: as the `load` of each.
    """
    return _kind(read_settings(Path(folder)).config).load(folder)


def writes(tokenizer: AnyTokenizer) -> TypeGuard[WritingTokenizer]:
    """Whether a text can be put together from its ids."""
    return isinstance(tokenizer, SubwordTokenizer | CodePointTokenizer)


def _kind(config: TokenizerConfig) -> type[AnyTokenizer]:
    if config.segmenter == CODE_POINTS:
        return CodePointTokenizer
    return SubwordTokenizer if config.has_subwords else Tokenizer
