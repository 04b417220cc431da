"""Every character is a token, and tokens are the text again."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from wenmo.errors import InputError
from wenmo.text.code_points import CodePointTokenizer
from wenmo.text.loading import load_tokenizer, train_tokenizer, writes
from wenmo.text.tokenizer_config import TokenizerConfig

TEXT = "To be,\n  or not\tto be: 生存还是毁灭 👩‍👧 e\u0301"
PLAIN = TokenizerConfig(segmenter="code-points", lowercase=False, fold_width=False)


def test_a_text_comes_back_exactly() -> None:
    tokenizer = CodePointTokenizer.train([TEXT], PLAIN)
    [ids] = tokenizer.encode_batch([TEXT])
    assert len(ids) == len(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.decode_batch([ids[:5], ids[5:]]) == [TEXT[:5], TEXT[5:]]


def test_tokens_stand_where_their_characters_do() -> None:
    tokenizer = CodePointTokenizer.train(["ab"], TokenizerConfig(segmenter="code-points"))
    encoding = tokenizer.encode("ＡＢx")
    assert encoding.tokens == ["a", "b", "x"]
    assert encoding.offsets == [(0, 1), (1, 2), (2, 3)]
    assert encoding.ids.tolist() == [2, 3, tokenizer.unk_token_id]
    assert tokenizer.decode(encoding.ids) == "ab\ufffd"


def test_the_commonest_characters_come_first_and_special_tokens_write_nothing() -> None:
    config = TokenizerConfig(segmenter="code-points", boundaries=True, vocab_size=6)
    tokenizer = CodePointTokenizer.train(["bbac", "b"], config)
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "b", "a"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id) == (2, 3, None)
    assert tokenizer.decode([2, 4, 5, 3, 0]) == "ba"


def test_a_folder_gives_the_same_tokenizer_and_other_tools_read_it(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([TEXT], PLAIN)
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert writes(again)
    assert isinstance(again, CodePointTokenizer)
    assert again.fingerprint() == tokenizer.fingerprint()
    [ids] = tokenizer.encode_batch([TEXT])
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXT, add_special_tokens=False)["input_ids"] == ids.tolist()


def test_a_vocabulary_of_words_is_refused(tmp_path: Path) -> None:
    CodePointTokenizer.train([TEXT], PLAIN).save(tmp_path)
    place = tmp_path / "tokenizer.json"
    place.write_text(place.read_text().replace('"毁"', '"毁灭"'))
    with pytest.raises(InputError, match="holds more than characters"):
        load_tokenizer(tmp_path)
