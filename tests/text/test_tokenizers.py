"""The same text gives the same ids everywhere, and each token knows where it stands."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from wenmo.errors import InputError
from wenmo.text.normalization import Normalizer
from wenmo.text.segmentation import register_segmenter
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

TRAINING_TEXTS = [
    "很好用，iPhone15很好！",
    "我买了iPhone15，打3.5折，很好",
    "The film isn't good, not good at all. It's 3.5 out of 5",
    "Not a GOOD film ＡＢＣ，ｎｏｔ good",
    "這個軟體真的很好用 👨\u200d👩\u200d👧👍🏽 https://a.cn/x",
    "السَّلَامُ עברית नमस्ते İstanbul",
]
PIECES = [*TRAINING_TEXTS, *"很好a ，。İΣ\n\0\ud800\u200d'’3.", "not", "good", " ", "[PAD]", "[UNK]", "U盘", "打印机"]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=4)), max_size=10).map("".join)
CONFIGS = {
    "words": TokenizerConfig(segmenter="words"),
    "words, cased": TokenizerConfig(segmenter="words", lowercase=False, fold_width=False),
    "characters, pairs": TokenizerConfig(segmenter="characters", word_ngrams=(1, 2)),
    "rjieba, simplified": TokenizerConfig(segmenter="rjieba", chinese_conversion="t2s", min_frequency=2),
    "jieba, from Taiwan": TokenizerConfig(segmenter="jieba", chinese_conversion="s2twp", character_ngrams=(1, 1)),
    "kim, triples only": TokenizerConfig(segmenter="kim", word_ngrams=(2, 3)),
    "both n-grams": TokenizerConfig(segmenter="whitespace", word_ngrams=(1, 2), character_ngrams=(2, 3)),
    "character n-grams": TokenizerConfig(segmenter="words", word_ngrams=(0, 0), character_ngrams=(1, 3)),
    "limited": TokenizerConfig(segmenter="words", word_ngrams=(1, 3), vocab_size=20),
}


@cache
def trained(name: str) -> Tokenizer:
    return Tokenizer.train(TRAINING_TEXTS, CONFIGS[name])


def train(texts: list[str], **settings: Any) -> Tokenizer:
    return Tokenizer.train(texts, TokenizerConfig(**{"segmenter": "words", **settings}))


def test_ids_fall_with_the_frequency_and_ties_go_by_the_text():
    tokenizer = train(["b a c c", "a b c d"])
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "c", "a", "b", "d"]
    assert tokenizer.encode_batch(["d c x", ""])[0].tolist() == [5, 2, 1]
    assert tokenizer.encode_batch(["d c x", ""])[1].tolist() == []
    assert tokenizer.encode_batch(["d"])[0].dtype == np.int32
    assert tokenizer.vocab_size == 6


def test_rare_tokens_and_those_over_the_limit_are_unknown():
    assert train(["a a b"], min_frequency=2).vocabulary == ["[PAD]", "[UNK]", "a"]
    assert train(["a a b b c"], vocab_size=4).vocabulary == ["[PAD]", "[UNK]", "a", "b"]


def test_runs_of_words_are_joined_by_a_space_and_n_grams_of_characters_begin_with_one():
    tokenizer = train(["Not good"], word_ngrams=(1, 2), character_ngrams=(7, 8))
    assert tokenizer.tokenize(" Not \n good ") == ["not", "good", "not good", " not goo", " ot good", " not good"]
    assert tokenizer.encode_batch(["Not good"])[0].tolist() == tokenizer.encode("Not good").ids.tolist()
    assert len(set(tokenizer.encode("Not good").ids.tolist())) == 6  # the run and the n-gram "not good" do not clash


def test_a_run_is_known_even_when_its_words_are_not():
    tokenizer = Tokenizer.from_vocabulary(
        ["[PAD]", "[UNK]", "a b", "b c d"], TokenizerConfig(segmenter="words", word_ngrams=(1, 3))
    )
    assert tokenizer.encode_batch(["a b c d"])[0].tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 3]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_vocabulary_is_that_of_a_counter_over_the_tokens(name: str):
    tokenizer, config = trained(name), CONFIGS[name]
    counts = Counter(token for text in TRAINING_TEXTS for token in tokenizer.tokenize(text))
    kept = [token for token, count in counts.items() if count >= config.min_frequency]
    kept.sort(key=lambda token: (-counts[token], token))
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", *kept][: config.vocab_size or None]


@pytest.mark.parametrize("name", CONFIGS)
@given(text=TEXTS)
def test_encode_gives_the_ids_of_encode_batch_and_offsets_that_give_the_tokens(name: str, text: str):
    tokenizer = trained(name)
    encoding = tokenizer.encode(text)
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if i > 1}
    assert encoding.ids.tolist() == [ids.get(token, 1) for token in encoding.tokens]
    assert [batch.tolist() for batch in tokenizer.encode_batch(["很好", text, "a"])][1] == encoding.ids.tolist()
    assert encoding.tokens == tokenizer.tokenize(text)
    assert len(encoding.offsets) == len(encoding.tokens)
    assert all(0 <= start < end <= len(text) for start, end in encoding.offsets)
    if not tokenizer.config.chinese_conversion:  # a phrase that grew stands for each of its characters
        normalizer = Normalizer(fold_width=tokenizer.config.fold_width, lowercase=tokenizer.config.lowercase)
        # Greek has a sigma for the ends of words, so that a part is written otherwise than within the whole.
        plain = [token.replace("ς", "σ") for token in encoding.tokens]
        parts = [normalizer.normalize(text[start:end]).replace("ς", "σ") for start, end in encoding.offsets]
        for token, part in zip(plain, parts, strict=True):
            # White space between the words of a run, and dropped characters, are in the part only.
            characters = iter(part)
            assert all(c in characters for c in token if c != " ")
            if " " not in token:
                assert token == part


def test_offsets_count_characters_of_the_raw_text():
    text = "ＡＢ İ軟體\U0001f44d很好"
    encoding = trained("words").encode(text)
    assert encoding.tokens == ["ab", "i\u0307", "軟", "體", "👍", "很", "好"]
    assert encoding.offsets == [(0, 2), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9)]


def test_white_space_among_characters_is_one_space_that_stands_where_the_last_of_it_stood():
    encoding = train(["x"], word_ngrams=(0, 0), character_ngrams=(1, 2)).encode(" A \n b ")
    assert encoding.tokens == [" a", "  ", " b", " a ", "  b"]
    assert encoding.offsets == [(1, 2), (4, 5), (5, 6), (1, 5), (4, 6)]


def test_offsets_stay_right_when_the_conversion_changes_the_length():
    tokenizer = train(["x"], segmenter="characters", chinese_conversion="s2twp")
    encoding = tokenizer.encode("用U盘吧")
    assert encoding.tokens == ["用", "隨", "身", "碟", "吧"]
    assert encoding.offsets == [(0, 1), (1, 3), (1, 3), (1, 3), (3, 4)]


def test_a_text_cannot_write_the_padding():
    tokenizer = train(["[PAD] [UNK] a [PAD]"], segmenter="whitespace", lowercase=False, word_ngrams=(1, 2))
    assert tokenizer.vocabulary[:2] == ["[PAD]", "[UNK]"]
    assert tokenizer.vocabulary.count("[PAD]") == 1
    assert tokenizer.encode_batch(["[PAD] [UNK] a"])[0].tolist()[:3] == [1, 1, tokenizer.vocabulary.index("a")]
    single = train(["[PAD] a"], segmenter="whitespace", lowercase=False)
    assert single.encode_batch(["[PAD] [UNK] a"])[0].tolist() == [1, 1, 2]


def test_chinese_is_segmented_in_its_written_case_and_then_lowered():
    assert train(["A股大涨"], segmenter="rjieba").vocabulary[2:] == ["a股", "大涨"]


def test_nul_and_lone_surrogates_are_no_trouble(tmp_path: Path):
    tokenizer = train(["a\0b \ud800 c\udfff"], segmenter="rjieba", character_ngrams=(1, 1))
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).vocabulary == tokenizer.vocabulary
    assert "\ufffd" in tokenizer.vocabulary
    assert tokenizer.encode("\ud800\0").offsets == [(0, 1), (0, 1), (1, 2)]


def test_composed_and_decomposed_letters_are_two_whole_words():
    assert trained("words").tokenize("caf\u00e9 cafe\u0301") == ["caf\u00e9", "cafe\u0301"]


def test_auto_is_resolved_by_the_training_texts():
    assert train(["很好用 ok"], segmenter="auto").config.segmenter == "characters"
    assert Tokenizer.train((text for text in ["fine 好"]), TokenizerConfig()).config.segmenter == "words"
    with pytest.raises(InputError, match=r"chosen by Tokenizer\.train"):
        Tokenizer.from_vocabulary(["[PAD]", "[UNK]"], TokenizerConfig())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_tokenizer_is_the_same_when_loaded(name: str, tmp_path: Path):
    tokenizer = trained(name)
    tokenizer.save(tmp_path / "new" / "folder")
    loaded = Tokenizer.load(tmp_path / "new" / "folder")
    assert loaded.config == tokenizer.config
    assert loaded.vocabulary == tokenizer.vocabulary
    assert loaded.fingerprint() == tokenizer.fingerprint()
    for text in TRAINING_TEXTS:
        assert loaded.encode(text).ids.tolist() == tokenizer.encode(text).ids.tolist()
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_saved_vocabulary_opens_in_the_tokenizers_library(tmp_path: Path):
    tokenizer = trained("words")
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TRAINING_TEXTS:
        encoding = theirs.encode([*tokenizer.tokenize(text), "never-seen"], is_pretokenized=True)
        assert encoding.ids == [*tokenizer.encode(text).ids.tolist(), 1]
    assert theirs.token_to_id("[PAD]") == 0


def test_another_process_gives_the_same_vocabulary_and_ids():
    program = """
import json, sys
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig
texts, settings = json.load(sys.stdin)
settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
tokenizer = Tokenizer.train(texts, TokenizerConfig(**settings))
print(json.dumps([tokenizer.fingerprint(), [ids.tolist() for ids in tokenizer.encode_batch(texts)]]))
"""
    settings = {"segmenter": "rjieba", "word_ngrams": [1, 2], "character_ngrams": [1, 2], "chinese_conversion": "t2s"}
    answers = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps([TRAINING_TEXTS, settings]),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(json.loads(done.stdout))
    here = Tokenizer.train(
        TRAINING_TEXTS,
        TokenizerConfig(segmenter="rjieba", word_ngrams=(1, 2), character_ngrams=(1, 2), chinese_conversion="t2s"),
    )
    assert answers[0] == answers[1] == [here.fingerprint(), [ids.tolist() for ids in here.encode_batch(TRAINING_TEXTS)]]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_tokenizer_can_be_sent_to_a_worker_process(name: str):
    copy = pickle.loads(pickle.dumps(trained(name)))
    assert copy.fingerprint() == trained(name).fingerprint()
    assert copy.encode(TRAINING_TEXTS[1]).ids.tolist() == trained(name).encode(TRAINING_TEXTS[1]).ids.tolist()


def test_threads_do_not_disturb_each_other():
    tokenizer = trained("rjieba, simplified")
    expected = [ids.tolist() for ids in tokenizer.encode_batch(TRAINING_TEXTS)]
    answers: list[list[list[int]]] = []

    def work() -> None:
        for _ in range(50):
            answers.append([ids.tolist() for ids in tokenizer.encode_batch(TRAINING_TEXTS)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 200


def test_a_generator_longer_than_a_chunk_keeps_its_order():
    tokenizer = train(["a b c"])
    encoded = tokenizer.encode_batch("abc"[i % 3] for i in range(5000))
    assert [ids.tolist() for ids in encoded] == [[2 + i % 3] for i in range(5000)]
    assert tokenizer.encode_batch([]) == []


def test_the_fingerprint_tells_tokenizers_apart():
    tokenizer = train(["a b"])
    assert tokenizer.fingerprint() == train(["b a"]).fingerprint()
    assert tokenizer.fingerprint() != train(["a c"]).fingerprint()
    assert tokenizer.fingerprint() != train(["a b"], lowercase=False).fingerprint()


def test_the_fingerprint_hashes_the_vocabulary_and_what_was_set():
    # A setting that keeps its default stays out, so that older fingerprints hold when settings are added.
    expected = hashlib.sha256(b'[{"lowercase":false,"segmenter":"words"},["[PAD]","[UNK]","a"]]').hexdigest()
    assert train(["a"], lowercase=False).fingerprint() == expected


def test_one_string_or_something_else_is_not_a_list_of_texts():
    tokenizer = train(["a b"])
    with pytest.raises(InputError, match="one string"):
        tokenizer.encode_batch("a b")
    with pytest.raises(InputError, match="text 1 is of type NoneType"):
        tokenizer.encode_batch(["a", None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="one string"):
        train("a b")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_frequency": 0}, "min_frequency"),
        ({"vocab_size": 2}, "over 2; got 2"),
        ({"word_ngrams": (2, 1)}, "word_ngrams"),
        ({"word_ngrams": (0, 1)}, "word_ngrams"),
        ({"character_ngrams": (1, 2, 3)}, "character_ngrams"),
        ({"word_ngrams": (0, 0)}, "no tokens"),
        ({"segmenter": ""}, "segmenter is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        TokenizerConfig(**settings)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (["a", "b"], "begins with"),
        (["[PAD]", "[UNK]", "a", "b", "a"], "'a' stands 2 times"),
        (["[PAD]", "[UNK]", "\ud800"], "surrogate"),
    ],
)
def test_a_vocabulary_that_cannot_be_one_is_refused(vocabulary: list[str], message: str):
    with pytest.raises(InputError, match=message):
        Tokenizer.from_vocabulary(vocabulary, TokenizerConfig(segmenter="words"))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float):
    trained("words").save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=f"{name}: not JSON; it is damaged or cut short"):
        Tokenizer.load(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path):
    trained("words").save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json: missing"):
        Tokenizer.load(tmp_path)


def test_files_of_two_tokenizers_are_refused(tmp_path: Path):
    train(["a b c"]).save(tmp_path / "one")
    train(["a b d"]).save(tmp_path / "two")
    (tmp_path / "one" / "tokenizer.json").replace(tmp_path / "two" / "tokenizer.json")
    with pytest.raises(InputError, match="do not belong together"):
        Tokenizer.load(tmp_path / "two")


def edited_config(folder: Path, **values: Any) -> Path:
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text("utf-8"))
    content["wenmo"].update(values)
    path.write_text(json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 99}, "format 99"),
        ({"lowercase": False}, "do not belong together"),
        ({"stemmer": "porter"}, "stemmer"),
        ({"min_frequency": 0}, "min_frequency"),
        ({"word_ngrams": 3}, r"tokenizer_config\.json"),
        ({"segmenter": "never-registered"}, "register_segmenter"),
    ],
)
def test_settings_that_were_changed_by_hand_are_refused(tmp_path: Path, values: dict[str, Any], message: str):
    trained("words").save(tmp_path)
    with pytest.raises(InputError, match=message):
        Tokenizer.load(edited_config(tmp_path, **values))


def test_a_folder_of_another_program_is_refused(tmp_path: Path):
    trained("words").save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(InputError, match="not written by wenmo"):
        Tokenizer.load(tmp_path)


def test_ids_with_a_gap_are_refused(tmp_path: Path):
    trained("words").save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"]["extra"] = 10_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="the ids are not 0 to"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"segmenter_version": "0.0.1"}, r"version 0\.0\.1 of the segmenter 'rjieba', .* costs accuracy"),
        ({"chinese_conversion_version": "opencc 0"}, r"version opencc 0 of the chinese_conversion 't2s'"),
    ],
)
def test_another_version_of_a_library_warns_of_the_consequence(tmp_path: Path, values: dict[str, str], message: str):
    trained("rjieba, simplified").save(tmp_path)
    with pytest.warns(UserWarning, match=message):
        loaded = Tokenizer.load(edited_config(tmp_path, **values))
    loaded.save(tmp_path / "again")  # what the vocabulary was made with is not forgotten
    with pytest.warns(UserWarning, match=message):
        Tokenizer.load(tmp_path / "again")


def test_a_registered_segmenter_is_saved_by_its_name_and_version(tmp_path: Path):
    register_segmenter("test-pairs", "1", lambda text: [(i, i + 2) for i in range(0, len(text) - 1, 2)])
    train(["ABcd"], segmenter="test-pairs").save(tmp_path)
    assert Tokenizer.load(tmp_path).tokenize("ABcd") == ["ab", "cd"]
    register_segmenter("test-pairs", "2", lambda text: [(0, len(text))])
    with pytest.warns(UserWarning, match="version 1 of the segmenter 'test-pairs', and here is version 2"):
        Tokenizer.load(tmp_path)


def test_real_reviews_get_equal_ids_one_by_one_and_together(data_folder: Path):
    lines = (data_folder / "chnsenticorp" / "dev.tsv").read_text("utf-8").splitlines()[1:301]
    tokenizer = train(lines, segmenter="rjieba", word_ngrams=(1, 2), character_ngrams=(1, 2), min_frequency=2)
    together = tokenizer.encode_batch(lines)
    assert [ids.tolist() for ids in together] == [tokenizer.encode(line).ids.tolist() for line in lines]
    assert np.mean(np.concatenate(together) == 1) < 0.5


# Given words


def test_given_words_have_one_id_each_and_are_normalised_as_those_of_texts() -> None:
    config = TokenizerConfig(segmenter="words")
    tokenizer = Tokenizer.train_on_words([["The", "U.S.-led", "ＡＢＣ"], ["the", "New York"]], config)
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "the", "abc", "new_york", "u.s.-led"]
    assert [ids.tolist() for ids in tokenizer.encode_words([["THE", "u.s.-led"], [], ["New York", "else"]])] == [
        [2, 5],
        [],
        [4, 1],
    ]
    assert tokenizer.encode_batch(["The abc"])[0].tolist() == [2, 3]


def test_digits_of_words_are_zeros_where_that_is_wanted() -> None:
    config = TokenizerConfig(segmenter="words", normalize_digits=True)
    tokenizer = Tokenizer.train_on_words([["1996", "A1"]], config)
    assert tokenizer.vocabulary[2:] == ["0000", "a0"]
    assert tokenizer.encode_words([["2021", "B2"]])[0].tolist() == [2, 1]
    encoding = tokenizer.encode("in 2021, a7")
    assert encoding.tokens == ["in", "0000", ",", "a0"] and encoding.offsets[1] == (3, 7)


def test_more_words_stand_behind_those_of_the_texts() -> None:
    config = TokenizerConfig(segmenter="words", min_frequency=2)
    tokenizer = Tokenizer.train_on_words([["b", "b", "rare"]], config)
    assert tokenizer.vocabulary[2:] == ["b"]
    tokenizer = tokenizer.with_words(["rare", "b", "Capital", "two words"])
    # "Capital" can never be looked up, because words are lower-cased
    assert tokenizer.vocabulary[2:] == ["b", "rare"]
    limited = TokenizerConfig(segmenter="words", vocab_size=4)
    assert Tokenizer.train_on_words([["b"]], limited).with_words(["c", "d"]).vocabulary[2:] == ["b", "c"]


def test_given_words_are_no_ngrams() -> None:
    config = TokenizerConfig(segmenter="words", word_ngrams=(1, 2))
    with pytest.raises(InputError, match="one id each"):
        Tokenizer.train_on_words([["a"]], config)
    with pytest.raises(InputError, match="one id each"):
        Tokenizer.train(["a b"], config).encode_words([["a"]])
