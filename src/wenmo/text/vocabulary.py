"""The vocabulary of a tokenizer: which lists of tokens can be one, and the file that holds it."""

from collections import Counter
from pathlib import Path

from wenmo.errors import InputError
from wenmo.files import read_json, write_aside

PAD_TOKEN = "[PAD]"
UNK_TOKEN = "[UNK]"
SEP_TOKEN = "[SEP]"
BOS_TOKEN = "[BOS]"
EOS_TOKEN = "[EOS]"
SPECIAL_TOKENS = [PAD_TOKEN, UNK_TOKEN]
"""Ids 0 and 1 of every vocabulary."""


def check_vocabulary(vocabulary: list[str], special_tokens: list[str] = SPECIAL_TOKENS) -> None:
    """Refuse what cannot be a vocabulary.

    Raises:
        InputError: it does not begin with the special tokens, or a token stands in it twice or cannot be saved.
    """
    begins = vocabulary[: len(special_tokens)]
    if begins != special_tokens:
        raise InputError(f"a vocabulary begins with {special_tokens}; this one with {begins}")
    if len(set(vocabulary)) != len(vocabulary):
        token, count = Counter(vocabulary).most_common(1)[0]
        raise InputError(f"the token {token!r} stands {count} times in the vocabulary; each has one id")
    for token in vocabulary:
        try:
            token.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"the token {token!r} holds a lone surrogate, which no file can hold") from error


def write_vocabulary(path: Path, vocabulary: list[str], special_tokens: list[str] = SPECIAL_TOKENS) -> None:
    """Write a word-level ``tokenizer.json`` of the `tokenizers` library."""
    import tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = tokenizers.Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token=UNK_TOKEN))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # the nearest it has to words that were segmented before
    tokenizer.add_special_tokens(special_tokens)
    write_aside(path, tokenizer.to_str(pretty=True))


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a ``tokenizer.json`` in the order of their ids.

    Raises:
        InputError: the file is missing, cut short, or holds no word-level vocabulary.
    """
    content = read_json(path)
    try:
        ids: dict[str, int] = content["model"]["vocab"]
        vocabulary = sorted(ids, key=ids.__getitem__)
        in_order = [ids[token] for token in vocabulary] == list(range(len(ids)))
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds no word-level vocabulary; it was not written by wenmo") from error
    if not in_order:
        raise InputError(f"{path}: the ids are not 0 to {len(ids) - 1}, each once; copy the folder again")
    check_vocabulary(vocabulary)
    return vocabulary
