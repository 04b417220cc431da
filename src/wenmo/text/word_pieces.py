"""WordPiece, learnt from the texts: the tokenizer of BERT and ERNIE.

Schuster and Nakajima, ICASSP 2012; as in Devlin et al., NAACL 2019, https://arxiv.org/abs/1810.04805. Han characters
are tokens by themselves. Other text is cut at white space and punctuation, and its words into the longest pieces that
the vocabulary has; pieces inside a word begin with ``##``. A word with a character that the vocabulary lacks is
unknown. Pieces are learnt by the `tokenizers` library as those of BPE are: the commonest pair of neighbours becomes
one, until the vocabulary is full.

What comes out is a `PretrainedTokenizer` like that of a checkpoint, with ``[CLS]`` and ``[SEP]`` around texts and
``[MASK]``; its ``tokenizer.json`` is whole, so `transformers.AutoTokenizer` opens it and gives the same ids. That holds
for lower case, which is the vocabulary's own matter, but not for ``fold_width`` and ``chinese_conversion``, which
happen to a text before and which no other tool knows.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from wenmo.errors import InputError
from wenmo.text.normalization import Normalizer
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.text.tokenizer_config import PRETRAINED, WORD_PIECES, TokenizerConfig, strings
from wenmo.text.vocabulary import PAD_TOKEN, SEP_TOKEN, UNK_TOKEN

DEFAULT_VOCAB_SIZE = 21_128
"""Where ``vocab_size`` is 0: that of the Chinese BERT."""

CLS_TOKEN, MASK_TOKEN = "[CLS]", "[MASK]"
_SPECIAL = (PAD_TOKEN, UNK_TOKEN, CLS_TOKEN, SEP_TOKEN, MASK_TOKEN)
_INSIDE = "##"
_ALPHABET_SHARE = 0.8
"""Most of the vocabulary that single characters may take; the rarest are unknown beyond that."""
_LONGEST_WORD = 100
_CHUNK = 1024


def train_word_pieces(texts: Iterable[str], config: TokenizerConfig) -> PretrainedTokenizer:
    """Learn the pieces of these texts; the same texts give the same pieces.

    Raises:
        InputError: the texts hold nothing, the conversion is not there, or an item is no string.
    """
    if config.segmenter != WORD_PIECES:
        raise InputError(f"segmenter {config.segmenter!r} has no word pieces; use {WORD_PIECES!r}")
    before = Normalizer(fold_width=config.fold_width, lowercase=False, chinese_conversion=config.chinese_conversion)
    normalized = [before.normalize(text) for text in strings(texts)]
    vocab_size = config.vocab_size or DEFAULT_VOCAB_SIZE
    backend = _backend(models.WordPiece(unk_token=UNK_TOKEN), config.lowercase)
    alphabet = _alphabet(normalized, backend, int(vocab_size * _ALPHABET_SHARE))
    if not alphabet:
        raise InputError("the texts for the vocabulary hold no character; bring texts")
    # The library numbers characters inside words in the order in which it meets them in a table of random order, and
    # decides by these numbers between pairs that are equally common. Named beforehand, they have one order.
    inside = [_INSIDE + character for character in alphabet if _may_stand_inside(character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[*_SPECIAL, *inside],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=_INSIDE,
        show_progress=False,
    )
    backend.train_from_iterator(normalized, trainer)
    pieces = backend.get_vocab(with_added_tokens=False)
    return _tokenizer(sorted(pieces, key=pieces.__getitem__), config)


def _tokenizer(vocabulary: list[str], config: TokenizerConfig) -> PretrainedTokenizer:
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    model = models.WordPiece(vocab=ids, unk_token=UNK_TOKEN, max_input_chars_per_word=_LONGEST_WORD)
    backend = _backend(model, config.lowercase)
    backend.decoder = decoders.WordPiece(prefix=_INSIDE)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{CLS_TOKEN} $A {SEP_TOKEN}",
        pair=f"{CLS_TOKEN} $A {SEP_TOKEN} $B:1 {SEP_TOKEN}:1",
        special_tokens=[(token, ids[token]) for token in (CLS_TOKEN, SEP_TOKEN)],
    )
    backend.add_special_tokens(list(_SPECIAL))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD_TOKEN,
        "unk_token": UNK_TOKEN,
        "cls_token": CLS_TOKEN,
        "sep_token": SEP_TOKEN,
        "mask_token": MASK_TOKEN,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    settings = TokenizerConfig(
        segmenter=PRETRAINED,
        lowercase=False,
        fold_width=config.fold_width,
        chinese_conversion=config.chinese_conversion,
    )
    return PretrainedTokenizer(backend, described, settings)


def _backend(model: models.Model, lowercase: bool) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def _alphabet(texts: Iterable[str], backend: tokenizers.Tokenizer, most: int) -> list[str]:
    """The commonest characters of the texts, of equally common ones the first by code point; in that order."""
    counts: Counter[str] = Counter()
    remaining = iter(texts)
    while chunk := list(islice(remaining, _CHUNK)):
        counts.update(backend.normalizer.normalize_str("\n".join(chunk)))
    found = [(-count, character) for character, count in counts.items() if not character.isspace()]
    return sorted(character for _, character in sorted(found)[:most])


def _may_stand_inside(character: str) -> bool:
    """Whether words go on with it: Han characters and punctuation marks are words by themselves."""
    alone = len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{character}a")) > 1
    spaced = normalizers.BertNormalizer(lowercase=False).normalize_str(character) != character
    return not alone and not spaced and not unicodedata.category(character).startswith(("C", "Z"))
