"""Tokenizers of checkpoints: special tokens, places in the raw text, and files that belong together."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from wenmo.errors import InputError
from wenmo.text.loading import load_tokenizer, train_tokenizer
from wenmo.text.pretrained import AS_IT_CAME, NO_TOKEN, PretrainedTokenizer
from wenmo.text.special_tokens import Surroundings
from wenmo.text.tokenizer_config import TokenizerConfig

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "good", "好", "看", "[", "]", "sep"]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tmp_path


def test_ids_have_no_special_tokens_and_the_surroundings_say_which_there_are(bert: Path) -> None:
    tokenizer = PretrainedTokenizer.load(bert)
    ids = tokenizer.encode_batch(["Unaffable 好看!", ""])
    assert [row.tolist() for row in ids] == [[5, 6, 7, 9, 10, 1], []]
    assert tokenizer.surroundings() == Surroundings(before=(2,), behind=(3,), types=(0, 0))
    pair = tokenizer.surroundings(pair=True)
    assert pair == Surroundings(before=(2,), between=(3,), behind=(3,), types=(0, 1))
    assert pair.around(ids[0][:2], ids[0][3:4]).tolist() == [2, 5, 6, 3, 9, 3]
    assert pair.token_types(2, 1).tolist() == [0, 0, 0, 0, 1, 1]
    assert (tokenizer.unk_token_id, tokenizer.sep_token_id, tokenizer.special_token_ids) == (1, 3, (0, 2, 3, 4))


def test_a_special_token_in_a_text_is_text(bert: Path) -> None:
    assert PretrainedTokenizer.load(bert).tokenize("good [SEP] good") == ["good", "[", "sep", "]", "good"]


def test_offsets_are_those_of_the_raw_text(bert: Path) -> None:
    text = "  UNAFFABLE\u00a0好"
    encoding = PretrainedTokenizer.load(bert).encode(text)
    assert [text[start:end] for start, end in encoding.offsets] == ["UN", "AFF", "ABLE", "好"]


def test_a_lone_surrogate_is_a_replacement_character(bert: Path) -> None:
    assert PretrainedTokenizer.load(bert).encode_batch(["good \ud800 good"])[0].tolist() == [8, 8]


def test_what_is_asked_for_is_done_before_the_tokenizer_sees_a_text(bert: Path) -> None:
    wide = PretrainedTokenizer.load(bert).with_settings(TokenizerConfig(segmenter="pretrained", lowercase=False))
    assert wide.tokenize("ｇｏｏｄ") == ["good"]
    assert wide.fingerprint() != PretrainedTokenizer.load(bert).fingerprint()


def test_a_tokenizer_survives_a_file_and_a_process(bert: Path) -> None:
    tokenizer = PretrainedTokenizer.load(bert)
    tokenizer.save(bert / "saved")
    for again in (load_tokenizer(bert / "saved"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.fingerprint() == tokenizer.fingerprint()
        assert again.config == AS_IT_CAME
        assert np.array_equal(again.encode_batch(["unaffable"])[0], [5, 6, 7])


def test_files_of_two_tokenizers_are_refused(bert: Path) -> None:
    PretrainedTokenizer.load(bert).save(bert / "saved")
    (bert / "other").mkdir()
    (bert / "other" / "vocab.txt").write_text("\n".join([*PIECES, "more"]), encoding="utf-8")
    PretrainedTokenizer.load(bert / "other").save(bert / "other")
    (bert / "other" / "tokenizer.json").replace(bert / "saved" / "tokenizer.json")
    with pytest.raises(InputError, match="do not belong together"):
        load_tokenizer(bert / "saved")


def test_a_vocabulary_larger_than_the_models_table_names_both_sizes(bert: Path) -> None:
    tokenizer = PretrainedTokenizer.load(bert)
    tokenizer.check_fits(14, bert)
    with pytest.raises(InputError, match=r"has 14 ids, but the model has vectors for 13 .*'sep' would have none"):
        tokenizer.check_fits(13, bert)


def test_code_in_a_folder_is_not_kept(bert: Path) -> None:
    (bert / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": "x.y"}, "unk_token": "[UNK]"})
    )
    PretrainedTokenizer.load(bert).save(bert / "saved")
    assert "auto_map" not in json.loads((bert / "saved" / "tokenizer_config.json").read_text())


def test_a_cut_vocabulary_is_refused(bert: Path) -> None:
    (bert / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(InputError, match=r"vocab\.txt: lacks \[CLS\], \[SEP\]"):
        PretrainedTokenizer.load(bert)


def test_a_checkpoints_tokenizer_is_not_made_of_texts() -> None:
    with pytest.raises(InputError, match="comes with a checkpoint"):
        train_tokenizer(["a"], AS_IT_CAME)


@pytest.mark.parametrize("kind", ["unigram", "words"])
def test_a_vocabulary_that_finds_special_tokens_in_a_text_has_them_as_unknown_ones(kind: str, tmp_path: Path) -> None:
    pieces = ["<s>", "</s>", "<unk>", "▁a", "▁b", "a", "b"]
    unigram = tokenizers.models.Unigram([(piece, -0.1 * number) for number, piece in enumerate(pieces)], unk_id=2)
    words = tokenizers.models.WordLevel({piece: i for i, piece in enumerate(pieces)}, "<unk>")
    made = tokenizers.Tokenizer(unigram if kind == "unigram" else words)
    cut = tokenizers.pre_tokenizers
    made.pre_tokenizer = cut.Metaspace() if kind == "unigram" else cut.WhitespaceSplit()
    around = [("<s>", 0), ("</s>", 1)]
    made.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    made.add_special_tokens(["<s>", "</s>"])
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = PretrainedTokenizer.load(tmp_path)
    assert tokenizer.special_token_ids == (0, 1)
    for text in ("a </s> b", "a</s>", "<s>"):
        ids = tokenizer.encode_batch([text])[0]
        assert not {0, 1} & set(ids.tolist()) and 2 in ids
        assert tokenizer.encode(text).ids.tolist() == ids.tolist()
    assert tokenizer.encode_batch(["a b"])[0].tolist() == ([3, 4] if kind == "unigram" else [5, 6])


def test_no_room_beside_special_tokens_is_an_error() -> None:
    around = Surroundings(before=(2,), between=(3,), behind=(3,))
    assert around.room(4) == 1
    with pytest.raises(InputError, match="3 special tokens stand around it"):
        around.room(3)


def test_bytes_have_no_unknown_token(tmp_path: Path) -> None:
    import tokenizers

    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(["a b"], 257, 1, False, ["<|endoftext|>"])
    trained.save_model(str(tmp_path))
    tokenizer = PretrainedTokenizer.load(tmp_path)
    assert tokenizer.unk_token_id == NO_TOKEN
    assert len(tokenizer.surroundings(pair=True)) == 0
    assert tokenizer.decode(tokenizer.encode_batch(["Ünï 好 b"])[0]) == "Ünï 好 b"
