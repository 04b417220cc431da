"""Which kind of tokenizer the settings want, and which kind a folder holds."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

from wenmo.errors import InputError
from wenmo.text.code_points import CodePointTokenizer
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.subwords import SubwordTokenizer
from wenmo.text.tokenizer_config import CODE_POINTS, PRETRAINED, WORD_PIECES, TokenizerConfig, read_settings
from wenmo.text.tokenizers import Tokenizer
from wenmo.text.word_pieces import train_word_pieces

WritingTokenizer = SubwordTokenizer | CodePointTokenizer | PretrainedTokenizer
"""Those that give texts to ids."""
AnyTokenizer = Tokenizer | WritingTokenizer
"""All give ids to texts, in the same way."""


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> AnyTokenizer:
    """The vocabulary of these texts: subwords where the segmenter is ``bpe``, ``unigram`` or ``wordpiece``, else words.

    Raises:
        InputError: as the `train` of each.
    """
    if config.segmenter == PRETRAINED:
        raise InputError(
            "data.tokenizer.segmenter=pretrained: the tokenizer comes with a checkpoint; name its folder, as in "
            "--model bert:FOLDER"
        )
    if config.segmenter == WORD_PIECES:
        return train_word_pieces(texts, config)
    return _trained_kind(config).train(texts, config)


def load_tokenizer(folder: Path) -> AnyTokenizer:
    """The tokenizer of a model folder of ours; those of other systems are read by `PretrainedTokenizer.load`.

    Raises:
        InputError: as the `load` of each.
    """
    config = read_settings(Path(folder)).config
    return PretrainedTokenizer.load(folder) if config.segmenter == PRETRAINED else _trained_kind(config).load(folder)


def writes(tokenizer: AnyTokenizer) -> TypeGuard[WritingTokenizer]:
    """Whether a text can be put together from its ids."""
    return isinstance(tokenizer, WritingTokenizer)


def _trained_kind(config: TokenizerConfig) -> type[Tokenizer | SubwordTokenizer | CodePointTokenizer]:
    if config.segmenter == CODE_POINTS:
        return CodePointTokenizer
    return SubwordTokenizer if config.has_subwords else Tokenizer
