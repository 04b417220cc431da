"""What each segmenter makes of mixed text, and what holds for every text."""

import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.errors import InputError
from wenmo.text import segmentation
from wenmo.text.normalization import Normalizer
from wenmo.text.segmentation import choose_segmenter, load_segmenter, locate_words, register_segmenter

SEGMENTERS = ["words", "characters", "rjieba", "jieba", "kim", "whitespace"]
FOLDED = Normalizer(lowercase=False)

WALES = "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
# The tokens are written with a space between them; "=" repeats the line above. Invisible characters are escaped.
MIXED = {
    "我买了iPhone15，打3.5折，省了1,000.50元！": {
        "words": "我 买 了 iPhone15 , 打 3.5 折 , 省 了 1,000.50 元 !",
        "characters": "=",
        "rjieba": "=",
        "jieba": "=",
        "kim": "iPhone15 , 3 5 , 1 , 000 50 !",
        "whitespace": "我买了iPhone15,打3.5折,省了1,000.50元!",
    },
    "详见https://a.cn/x?y=1，或发信到wen.mo+1@mail.example.com": {
        "words": "详 见 https://a.cn/x?y=1 , 或 发 信 到 wen.mo+1@mail.example.com",
        "characters": "=",
        "rjieba": "详见 https://a.cn/x?y=1 , 或 发信 到 wen.mo+1@mail.example.com",
        "jieba": "=",
        "kim": "https a cn x ? y 1 , wen mo 1 mail example com",
        "whitespace": "详见https://a.cn/x?y=1,或发信到wen.mo+1@mail.example.com",
    },
    # A family, a skin tone, a flag, a keycap, a burning heart.
    f"好评👨\u200d👩\u200d👧👍🏽🇨🇳1\ufe0f\u20e3❤\ufe0f\u200d🔥{WALES}": {
        "words": f"好 评 👨\u200d👩\u200d👧 👍🏽 🇨🇳 1\ufe0f\u20e3 ❤\ufe0f\u200d🔥 {WALES}",
        "characters": "=",
        "rjieba": f"好评 👨\u200d👩\u200d👧 👍🏽 🇨🇳 1\ufe0f\u20e3 ❤\ufe0f\u200d🔥 {WALES}",
        "jieba": "=",
        "kim": "1",
        "whitespace": f"好评👨\u200d👩\u200d👧👍🏽🇨🇳1\ufe0f\u20e3❤\ufe0f\u200d🔥{WALES}",
    },
    "ＡＢＣ１２３　３．５折，Ａ股大涨": {
        "words": "ABC123 3.5 折 , A 股 大 涨",
        "characters": "=",
        "rjieba": "ABC123 3.5 折 , A股 大涨",
        "jieba": "=",
        "kim": "ABC123 3 5 , A",
        "whitespace": "ABC123 3.5折,A股大涨",
    },
    "這件T恤的網絡評價：軟體很好用。": {
        "words": "這 件 T 恤 的 網 絡 評 價 : 軟 體 很 好 用 。",
        "characters": "=",
        "rjieba": "這件 T恤 的 網絡 評價 : 軟體 很 好 用 。",
        "jieba": "=",
        "kim": "T",
        "whitespace": "這件T恤的網絡評價:軟體很好用。",
    },
    # Arabic with vowel signs, Hebrew with points, a direction mark and an abbreviation, a Persian joiner.
    'السَّلَامُ عَلَيْكُمْ, שָׁלוֹם\u200f צה"ל می\u200cخواهم': {
        "words": 'السَّلَامُ عَلَيْكُمْ , שָׁלוֹם צה"ל می\u200cخواهم',
        "characters": "=",
        "rjieba": "=",
        "jieba": "=",
        "kim": ",",
        "whitespace": 'السَّلَامُ عَلَيْكُمْ, שָׁלוֹם\u200f צה"ל می\u200cخواهم',
    },
    "नमस्ते दुनिया। क्\u200dष สวัสดี 한국어 ひらがな": {
        "words": "नमस्ते दुनिया । क्\u200dष ส วั ส ดี 한국어 ひ ら が な",
        "characters": "=",
        "rjieba": "=",
        "jieba": "=",
        "kim": "",
        "whitespace": "नमस्ते दुनिया। क्\u200dष สวัสดี 한국어 ひらがな",
    },
    "I don't think O'Brien's well-known U.S. site (www.example.com) costs $3.5, e.g. can't!": {
        "words": "I do n't think O'Brien 's well - known U.S. site ( www.example.com ) costs $ 3.5 , e.g. ca n't !",
        "characters": "I don't think O'Brien's well - known U.S. site ( www.example.com ) costs $ 3.5 , e.g. can't !",
        "rjieba": "I don't think O'Brien's well-known U.S. site ( www.example.com ) costs $ 3.5 , e.g. can't !",
        "jieba": "I don't think O'Brien's well - known U.S. site ( www.example.com ) costs $ 3.5 , e.g. can't !",
        "kim": "I do n't think O'Brien 's well known U S site ( www example com ) costs 3 5 , e g ca n't !",
        "whitespace": "I don't think O'Brien's well-known U.S. site (www.example.com) costs $3.5, e.g. can't!",
    },
    "a\0b\u200b c\ufeff\tcafe\u0301 ２m² snake_case ①": {
        "words": "a b c cafe\u0301 2m² snake_case ①",
        "characters": "=",
        "rjieba": "=",
        "jieba": "=",
        "kim": "a b c cafe 2m snake case",
        "whitespace": "a\0b\u200b c\ufeff cafe\u0301 2m² snake_case ①",
    },
}
PIECES = [
    *MIXED,
    *"'’.,@:/-_%#()[]\"0123 \n\t\0\u200d\u200c\ufe0f\u20e3\u0301\u064e漢字ひカก한ßİＡ３🇨👍🏽",
    *["n't", "'s", "http://", "www.", "a.b@c.com", ".com", "e.g.", "1,000", "3.5", "iPhone15", "T恤", "乒乓球", "的"],
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=4)), max_size=10).map("".join)


def expected_tokens(text: str, segmenter: str) -> list[str]:
    names = list(MIXED[text])
    place = names.index(segmenter)
    while MIXED[text][names[place]] == "=":
        place -= 1
    return MIXED[text][names[place]].split(" ") if MIXED[text][names[place]] else []


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("text", MIXED)
def test_mixed_text_gives_the_expected_tokens(text: str, name: str):
    folded = FOLDED.normalize(text)
    spans = load_segmenter(name).spans(folded)
    assert [folded[start:end] for start, end in spans] == expected_tokens(text, name)


@pytest.mark.parametrize("name", SEGMENTERS)
@given(text=TEXTS)
def test_spans_are_ordered_apart_inside_the_text_and_give_the_words(name: str, text: str):
    text = FOLDED.normalize(text)
    segmenter = load_segmenter(name)
    spans = segmenter.spans(text)
    ends = [0, *(place for span in spans for place in span), len(text)]
    assert ends == sorted(ends)
    assert all(start < end for start, end in spans)
    words = [text[start:end] for start, end in spans]
    assert words == segmenter.words(text)
    assert not any(re.search(r"\s", word) for word in words)


@pytest.mark.parametrize("name", ["words", "characters", "rjieba", "jieba"])
@given(text=TEXTS)
def test_every_letter_digit_and_visible_mark_belongs_to_a_token(name: str, text: str):
    text = FOLDED.normalize(text)
    covered = {place for span in load_segmenter(name).spans(text) for place in range(*span)}
    lost = {text[place] for place in range(len(text)) if place not in covered}
    assert lost <= segmentation._dropped_characters()
    assert not any(character.isalnum() for character in lost)


@pytest.mark.parametrize("name", ["words", "characters"])
@given(text=st.one_of(TEXTS, st.text("tTsSnN'.@:/wWhHpPcCoOmM1 ")))
def test_case_does_not_move_a_boundary(name: str, text: str):
    text = FOLDED.normalize(text)
    if len(text.lower()) == len(text):
        spans = load_segmenter(name).spans
        assert spans(text.lower()) == spans(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("can't won't it's I'm they'd we'll you're I've", "ca n't wo n't it 's I 'm they 'd we 'll you 're I 've"),
        ("it 's n't DON’T shouldn't've", "it 's n't DO N’T should n't 've"),
        ("rock'n'roll y'all 'quoted' 'so' dogs'", "rock'n'roll y'all ' quoted ' ' so ' dogs '"),
        ("1,2,3 12,345,678.9 2023.5.1 3.5kg 50% v2.0 1080p", "1 , 2 , 3 12,345,678.9 2023.5.1 3.5 kg 50 % v2.0 1080p"),
        ("U.S.A. U.S.A e.g., a.m. end. A.I am", "U.S.A. U.S.A e.g. , a.m. end . A . I am"),
        ("wow!!! ... :) #tag @me", "wow ! ! ! . . . : ) # tag @ me"),
        ("(https://a.org/X_(y)). [z](http://q.r/s)", "( https://a.org/X_(y) ) . [ z ] ( http://q.r/s )"),
        ("看TaoBao.COM/item吧 example.com.tw node.js", "看 TaoBao.COM/item 吧 example.com.tw node . js"),
        ("1.外观 ٣٫٥ ١٢", "1 . 外 观 ٣٫٥ ١٢"),
    ],
)
def test_words_follow_the_conventions(text: str, tokens: str):
    assert load_segmenter("words").words(text) == tokens.split()


def test_combining_marks_beyond_the_basic_plane_stay_with_their_letters():
    # Adlam and Chakma, two living scripts.
    for word in ["\U0001e900\U0001e944\U0001e92a\U0001e923", "\U00011107\U0001112c\U00011101"]:
        assert load_segmenter("words").words(f"{word} {word}.") == [word, word, "."]


def test_marks_and_variation_selectors_stay_with_chinese_characters():
    assert load_segmenter("characters").words("葛\U000e0100城か\u3099") == ["葛\U000e0100", "城", "か\u3099"]
    assert load_segmenter("characters").words("=\u0338!") == ["=\u0338", "!"]  # and with signs


def test_a_chinese_word_may_hold_a_latin_letter_but_not_part_of_a_latin_word():
    assert load_segmenter("rjieba").words("A股和T恤，AT恤") == ["A股", "和", "T恤", "，", "AT", "恤"]
    assert load_segmenter("rjieba").words("2N年薪") == ["2N", "年", "薪"]


def test_words_added_to_the_shared_rjieba_change_nothing():
    program = """
import rjieba
from wenmo.text.segmentation import load_segmenter
before = load_segmenter("rjieba").words("很好用的")
rjieba.add_word("很好用的", 10**9, None)
print(rjieba.cut("很好用的") == ["很好用的"], load_segmenter("rjieba").words("很好用的") == before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def clean_str(string: str) -> str:
    """Kim's cleaning as it stands in process_data.py, without lower-casing; the marks without their backslashes."""
    string = re.sub(r"[^A-Za-z0-9(),!?\'\`]", " ", string)
    string = re.sub(r"\'s", " 's", string)
    string = re.sub(r"\'ve", " 've", string)
    string = re.sub(r"n\'t", " n't", string)
    string = re.sub(r"\'re", " 're", string)
    string = re.sub(r"\'d", " 'd", string)
    string = re.sub(r"\'ll", " 'll", string)
    string = re.sub(r",", " , ", string)
    string = re.sub(r"!", " ! ", string)
    string = re.sub(r"\(", " ( ", string)
    string = re.sub(r"\)", " ) ", string)
    string = re.sub(r"\?", " ? ", string)
    string = re.sub(r"\s{2,}", " ", string)
    return string.strip()


@given(st.one_of(TEXTS, st.text("ntsvedlrm'`A0,( é", max_size=30)))
def test_kim_is_his_clean_str(text: str):
    assert load_segmenter("kim").words(text) == clean_str(text).split()


def test_kim_finds_the_vocabularies_of_the_paper(data_folder: Path):
    """Kim 2014, table 1: 18,765 words in MR, 9,592 in TREC (whose case is kept), 6,246 in MPQA."""
    kim = load_segmenter("kim")
    for files, lowercase, num_words in [
        (["mr/all.tsv"], True, 18765),
        (["trec/train.tsv", "trec/test.tsv"], False, 9592),
        (["mpqa/all.tsv"], True, 6246),
    ]:
        lines = [line for name in files for line in (data_folder / name).read_text("utf-8").splitlines()[1:]]
        words = {word for line in lines for word in kim.words(line.partition("\t")[2])}
        assert len({word.lower() for word in words} if lowercase else words) == num_words


@pytest.mark.parametrize("name", ["words", "characters", "kim"])
@pytest.mark.parametrize(
    "unit", ["a", "a-", "a.", "a'", "1,000,", "x@", "http://(", "_", "a\u0301", "👍\u200d", "中", '"']
)
def test_a_long_text_without_spaces_is_not_searched_again_at_every_token(name: str, unit: str):
    words = load_segmenter(name).words
    text = unit * (400_000 // len(unit))
    started = time.process_time()
    words(text)
    assert time.process_time() - started < 10  # half a second; searching to the end at every token takes minutes


def test_auto_is_characters_when_over_half_of_the_letters_are_han():
    assert choose_segmenter(["很好 good"]) == "words"  # 2 of 6
    assert choose_segmenter(["很好 ok"]) == "words"  # 2 of 4 is not over half
    assert choose_segmenter(["很好用 ok", "12345!!"]) == "characters"  # 3 of 5; digits and marks do not count
    assert choose_segmenter([]) == "words"


def test_a_segmenter_has_the_version_of_what_cuts():
    """Whoever changes expected tokens above raises the version: older models were made with the old ones."""
    ours = {name: load_segmenter(name).version for name in ("words", "characters", "kim", "whitespace")}
    assert ours == {"words": "1", "characters": "1", "kim": "1", "whitespace": "1"}
    assert load_segmenter("rjieba").version == metadata.version("rjieba")
    assert load_segmenter("jieba").version == metadata.version("jieba")


def test_an_unknown_segmenter_is_refused_with_those_that_exist():
    with pytest.raises(InputError, match=r"no segmenter 'ltp'; there are words, characters, .*register_segmenter"):
        load_segmenter("ltp")


def test_a_registered_segmenter_is_found_by_its_name():
    register_segmenter("test-halves", "7", lambda text: [(0, len(text) // 2), (len(text) // 2, len(text))])
    segmenter = load_segmenter("test-halves")
    assert (segmenter.version, segmenter.words("abcd"), segmenter.spans("abcd")) == (
        "7",
        ["ab", "cd"],
        [(0, 2), (2, 4)],
    )


def test_white_space_within_a_registered_segmenters_word_becomes_an_underscore():
    register_segmenter("test-vietnamese", "1", lambda text: locate_words(text, ["Học sinh", "giỏi"]))
    assert load_segmenter("test-vietnamese").words("Học sinh giỏi") == ["Học_sinh", "giỏi"]


@pytest.mark.parametrize("spans", [[(0, 0)], [(2, 3), (0, 1)], [(0, 2), (1, 3)], [(0, 9)], [(-1, 2)], [(2, 3)]])
def test_spans_that_cannot_be_are_refused(spans: list[tuple[int, int]]):
    register_segmenter("test-wrong", "1", lambda text: spans)
    with pytest.raises(InputError, match="segmenter 'test-wrong' gave the span"):
        load_segmenter("test-wrong").spans("ab cd")  # (2, 3) is its space


def test_the_names_of_the_built_in_segmenters_are_taken():
    with pytest.raises(InputError, match="another name"):
        register_segmenter("words", "1", lambda text: [])
    with pytest.raises(InputError, match="name and a version"):
        register_segmenter("mine", "", lambda text: [])


def test_words_that_are_not_in_the_text_cannot_be_located():
    assert locate_words("a bb a", ["a", "a"]) == [(0, 1), (5, 6)]
    with pytest.raises(InputError, match="'c' does not stand in ' bb'"):
        locate_words("a bb", ["a", "c"])


@pytest.mark.parametrize("name", ["rjieba", "jieba"])
def test_without_its_library_a_segmenter_names_what_to_install(name: str):
    program = f"""
import sys
sys.modules["{name}"] = None  # what an import meets where the package is not installed
from wenmo.text.segmentation import load_segmenter
load_segmenter("words")
try:
    load_segmenter("{name}")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"{name} needs the package of that name" in done.stdout
    assert 'pip install "wenmo[zh]"' in done.stdout


def test_importing_the_text_room_imports_no_optional_package():
    program = """
import sys
import wenmo.text.tokenizers, wenmo.text.vectors
print(sorted({"rjieba", "jieba", "opencc", "tokenizers", "torch", "sklearn"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("在iPhone15上", ["在", "i", "P", "h", "o", "n", "e", "1", "5", "上"]),
        ("e\u0301 👩‍🚀🇨🇳!", ["e\u0301", "👩‍🚀", "🇨🇳", "!"]),
        ("3.5\u200b%\n", ["3", ".", "5", "%"]),
        ("กำ", ["ก", "ำ"]),
    ],
)
def test_graphemes_are_characters_with_their_marks(text: str, words: list[str]) -> None:
    segmenter = load_segmenter("graphemes")
    assert segmenter.words(text) == words
    assert [text[start:end] for start, end in segmenter.spans(text)] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr. Smith didn't win 6-2.", ["Mr.", "Smith", "did", "n't", "win", "6-2", "."]),
        ("On 1996-08-31 (Saturday) it's 1,000:", ["On", "1996-08-31", "(", "Saturday", ")", "it", "'s", "1,000", ":"]),
        ("third-quarter and/or 1\\/4 -- 70,000 fans", ["third-quarter", "and/or", "1\\/4", "--", "70,000", "fans"]),
        ("``Ah,'' said J. Doe ... -LRB-", ["``", "Ah", ",", "''", "said", "J.", "Doe", "...", "-LRB-"]),
        ("AT&T, U.S.-led", ["AT&T", ",", "U.S.", "-", "led"]),
        ("北京e\u0301t👩‍🚀", ["北", "京", "e\u0301t", "👩‍🚀"]),
    ],
)
def test_treebank_words(text: str, words: list[str]) -> None:
    segmenter = load_segmenter("treebank")
    assert segmenter.words(text) == words
    assert [text[start:end] for start, end in segmenter.spans(text)] == words
