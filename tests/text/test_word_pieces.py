"""Word pieces: what is one token, and that they are the same here, in transformers and in every process."""

import subprocess
import sys
from pathlib import Path

import pytest

from wenmo.errors import InputError
from wenmo.text.loading import load_tokenizer, train_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig
from wenmo.text.word_pieces import train_word_pieces

TEXTS = [
    "The players played plainly, again and again.",
    "我们在北京大学。",
    "Iphone15 的价格是 5,999 元！",
    "We play.",
] * 3


def config(**settings) -> TokenizerConfig:
    return TokenizerConfig(segmenter="wordpiece", fold_width=False, **settings)


def test_han_characters_are_tokens_and_words_are_cut_into_pieces():
    tokenizer = train_word_pieces(TEXTS, config(vocab_size=70))
    assert tokenizer.vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.vocab_size == 70
    assert tokenizer.tokenize("我们 played。") == ["我", "们", *tokenizer.tokenize("played"), "。"]
    pieces = tokenizer.tokenize("playing")
    assert pieces[0].startswith("pl") and all(piece.startswith("##") for piece in pieces[1:])
    assert "".join(piece.removeprefix("##") for piece in pieces) == "playing"
    assert tokenizer.tokenize("ж") == ["[UNK]"]
    assert tokenizer.mask_token_id == 4
    around = tokenizer.surroundings(pair=True)
    assert (around.before, around.between, around.behind, around.types) == ((2,), (3,), (3,), (0, 1))


def test_places_are_those_of_the_raw_text():
    tokenizer = train_word_pieces(TEXTS, config())
    text = "The 北京 PLAYERS"
    found = tokenizer.encode(text)
    assert [text[start:end] for start, end in found.offsets] == ["The", "北", "京", "PLAYERS"]
    assert found.tokens == ["the", "北", "京", "players"]


def test_the_rarest_characters_leave_where_there_are_too_many():
    tokenizer = train_word_pieces(["一一一二二三", "一二", "四"], config(vocab_size=8))  # 6 characters may stay
    assert set(tokenizer.vocabulary[5:]) <= set("一二三四")
    many = train_word_pieces(["".join(map(chr, range(0x4E00, 0x4F00))) + "一" * 9], config(vocab_size=100))
    assert many.tokenize("一")[0] == "一" and many.vocab_size <= 100


def test_transformers_opens_the_folder_and_gives_the_same_ids(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    tokenizer = train_word_pieces(TEXTS, config(vocab_size=70))
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "Naïve ＡＢＣ，[MASK]", "𠮷野家 x\ty"):
        ours = tokenizer.surroundings().around(tokenizer.encode_batch([text])[0])
        assert theirs(text, split_special_tokens=True)["input_ids"] == ours.tolist()
    assert theirs("a", "b")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert theirs.mask_token == "[MASK]" and theirs.pad_token_id == 0
    assert load_tokenizer(tmp_path).fingerprint() == tokenizer.fingerprint()


def test_the_same_texts_give_the_same_pieces_in_every_process():
    code = (
        "import random; from wenmo.text.loading import train_tokenizer;"
        "from wenmo.text.tokenizer_config import TokenizerConfig;"
        "r = random.Random(0); words = [''.join(r.choice('abcdefgh') for _ in range(5)) for _ in range(300)];"
        "print(train_tokenizer(words, TokenizerConfig(segmenter='wordpiece', vocab_size=90)).fingerprint())"
    )
    run = [sys.executable, "-c", code]
    prints = {subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(4)}
    assert len(prints) == 1


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="hold no character"):
        train_tokenizer([" "], config())
    with pytest.raises(InputError, match="has no n-grams"):
        config(word_ngrams=(1, 2))
    with pytest.raises(InputError, match="use 'wordpiece'"):
        train_word_pieces(TEXTS, TokenizerConfig(segmenter="bpe"))
