"""Subwords: any text comes back exactly, the same texts give the same subwords, and each knows where it stands."""

import json
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from wenmo.errors import InputError
from wenmo.text.loading import load_tokenizer, train_tokenizer
from wenmo.text.subwords import SubwordTokenizer
from wenmo.text.tokenizer_config import TokenizerConfig
from wenmo.text.tokenizers import Tokenizer

TRAINING_TEXTS = [
    "low low low low low lower lower newest newest newest newest newest newest widest widest widest",
    "Two young, White males are outside near many bushes.",
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "两个年轻的白人男子在户外靠近许多灌木丛。",
] * 3
PIECES = [
    "low",
    "newest",
    "白人",
    "男",
    " ",
    "  ",
    "\n",
    "ß",
    "é",
    "é",
    "👨‍👩‍👧",
    "[PAD]",
    "[EOS]",
    "▁",
    "Ġ",
    "\0",
    "٣",
    "'s",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=8).map("".join)
KINDS = pytest.mark.parametrize("kind", ["bpe", "unigram"])


def config(kind: str = "bpe", **settings: Any) -> TokenizerConfig:
    return TokenizerConfig(
        **{
            "segmenter": kind,
            "vocab_size": 300,
            "lowercase": False,
            "fold_width": False,
            "boundaries": True,
            **settings,
        }
    )


@cache
def trained(kind: str = "bpe", **settings: Any) -> SubwordTokenizer:
    return SubwordTokenizer.train(TRAINING_TEXTS, config(kind, **settings))


@KINDS
@given(text=TEXTS)
def test_any_text_comes_back_exactly(kind, text):
    tokenizer = trained(kind)
    ids = tokenizer.encode_batch([text])[0]
    assert tokenizer.decode(ids) == text
    assert ids.dtype == np.int32
    assert not set(ids.tolist()) & set(range(4)), "no text has a special token, whatever is written in it"


@KINDS
@given(text=TEXTS)
def test_offsets_are_the_raw_characters_of_the_bytes(kind, text):
    tokenizer = trained(kind)
    encoding = tokenizer.encode(text)
    assert encoding.ids.tolist() == tokenizer.encode_batch([text])[0].tolist()
    assert encoding.tokens == [tokenizer.vocabulary[i] for i in encoding.ids] == tokenizer.tokenize(text)
    covered = set()
    for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        covered |= set(range(start, end))
        written = _bytes_of(token).decode(errors="ignore")
        assert written.strip() in text[start:end], "a token holds no whole character that is not at its place"
    assert {i for i, character in enumerate(text) if not character.isspace()} <= covered


def _bytes_of(token: str) -> bytes:
    """What the visible characters of a token stand for, by GPT-2's own table."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
    return bytes(table[character] for character in token)


def test_bpe_joins_the_commonest_pairs_first():
    # The words of Sennrich et al., section 3.2, whose first two operations are (e, s) and (es, t): each 9 times.
    texts = ["low low low low low lower lower newest newest newest newest newest newest widest widest widest"]
    tokenizer = SubwordTokenizer.train(texts, config(boundaries=False, vocab_size=2 + 256 + 2))
    assert tokenizer.vocabulary[-2:] == ["es", "est"]
    assert tokenizer.tokenize("newest") == ["Ġ", "n", "e", "w", "est"]


def test_unigram_cuts_where_the_product_of_probabilities_is_largest():
    tokenizer = trained("unigram")
    scores = dict(json.loads(tokenizer._backend.to_str())["model"]["vocab"])

    def best(word: str) -> float:
        """By trying every cut."""
        whole = [scores[word]] if word in scores else []
        return max([*whole, *(best(word[:i]) + scores[word[i:]] for i in range(1, len(word)) if word[i:] in scores)])

    for word in ("lowest", "newer", "widest"):
        assert sum(scores[token] for token in tokenizer.tokenize(word)) == pytest.approx(best("Ġ" + word))


@KINDS
def test_the_same_texts_give_the_same_subwords_in_any_process(kind):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_subwords as t; "
        f"print(t.trained({kind!r}).fingerprint())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == trained(kind).fingerprint()
    assert trained(kind).fingerprint() != trained(kind, vocab_size=299).fingerprint()


@KINDS
def test_a_saved_tokenizer_is_the_same(kind, tmp_path):
    tokenizer = trained(kind)
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, SubwordTokenizer)
    assert again.fingerprint() == tokenizer.fingerprint()
    assert again.config == tokenizer.config
    text = "[EOS] 白人 newest\n x"
    assert again.encode(text).offsets == tokenizer.encode(text).offsets
    assert pickle.loads(pickle.dumps(again)).decode(again.encode(text).ids) == text
    elsewhere = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert elsewhere.encode("newest low").ids == tokenizer.encode("newest low").ids.tolist()
    assert elsewhere.decode(elsewhere.encode("newest low").ids) == "newest low"


def test_the_folder_says_which_kind_it_holds(tmp_path):
    words = train_tokenizer(["good film"], TokenizerConfig(segmenter="words", boundaries=True))
    assert isinstance(words, Tokenizer)
    words.save(tmp_path)
    assert load_tokenizer(tmp_path).encode("good").tokens == ["good"]
    assert (words.bos_token_id, words.eos_token_id) == (2, 3)
    assert isinstance(train_tokenizer(TRAINING_TEXTS, config()), SubwordTokenizer)


def test_special_tokens_stand_first_and_are_not_decoded():
    tokenizer = trained()
    assert tokenizer.vocabulary[:4] == ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id) == (2, 3, None)
    ids = [2, *tokenizer.encode_batch(["newest, low"])[0], 3, 0, 0]
    assert tokenizer.decode(ids) == tokenizer.decode_batch([ids])[0] == "newest, low"
    with_separator = trained(boundaries=False, separator=True)
    assert (with_separator.bos_token_id, with_separator.sep_token_id) == (None, 2)


def test_normalised_texts_keep_their_raw_places():
    tokenizer = trained(lowercase=True, fold_width=True, chinese_conversion="t2s")
    text = "ＬＯＷ İ 白人"
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == "low i̇ 白人"
    assert encoding.offsets[0] == (0, 3)
    assert text[slice(*encoding.offsets[-1])] == "人"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 100}, "take 260"),
        ({"word_ngrams": (1, 2)}, "no n-grams"),
        ({"kind": "unigram", "min_frequency": 2}, "min_frequency is not for"),
        ({"kind": "words"}, "use 'bpe' or 'unigram'"),
    ],
)
def test_what_cannot_work_is_said(settings, message):
    with pytest.raises(InputError, match=message):
        SubwordTokenizer.train(TRAINING_TEXTS, config(**settings))


def test_parts_of_two_tokenizers_are_refused(tmp_path):
    trained("bpe").save(tmp_path / "bpe")
    trained("unigram").save(tmp_path / "unigram")
    trained("bpe", vocab_size=299).save(tmp_path / "other")
    for name, message in (("unigram", "no bpe subwords"), ("other", "do not belong together")):
        (tmp_path / "bpe" / "tokenizer.json").write_bytes((tmp_path / name / "tokenizer.json").read_bytes())
        with pytest.raises(InputError, match=message):
            load_tokenizer(tmp_path / "bpe")
    (tmp_path / "bpe" / "tokenizer.json").write_text('{"model": {"type": "BPE"}}', encoding="utf-8")
    with pytest.raises(InputError, match="holds no subwords"):
        load_tokenizer(tmp_path / "bpe")
