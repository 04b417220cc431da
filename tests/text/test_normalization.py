"""Width, conversion and case, and the way back to the raw characters."""

import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opencc import OpenCC

from wenmo.errors import InputError
from wenmo.text.normalization import Normalizer, conversion_version, raw_span

PLAIN = Normalizer(lowercase=False)
CONFIGURATIONS = ["hk2s", "s2hk", "s2t", "s2tw", "s2twp", "t2hk", "t2s", "t2tw", "tw2s", "tw2sp"]
# Pieces that meet each other in ways that matter: phrases, their beginnings, separators, letters that grow.
PIECES = [
    "打印机",
    "打印",
    "U盘",
    "软件",
    "軟體",
    "隨身碟",
    "乾隆",
    "乾",
    "后",
    "，",
    "。",
    " ",
    "İ",
    "Ａ",
    "Σ",
    "a",
    "\ud800",
]
package_converter = cache(OpenCC)  # it reads its dictionaries each time it is made
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=3)), max_size=12).map("".join)


def test_full_width_characters_become_half_width_one_for_one():
    assert PLAIN.align("ＡＢＣ１２３　，！～￥｟") == ("ABC123 ,!~¥⦅", None)


def test_width_folding_is_unicodes_own_for_every_character_marked_wide():
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    decompositions = [unicodedata.decomposition(character).partition(" ") for character in characters]
    expected = [
        chr(int(narrow, 16)) if kind == "<wide>" else character
        for character, (kind, _, narrow) in zip(characters, decompositions, strict=True)
    ]
    assert PLAIN.normalize("".join(characters)) == "".join(expected)


def test_chinese_marks_and_half_width_katakana_stay():
    assert PLAIN.normalize("好。、「」ｶﾅ") == "好。、「」ｶﾅ"


def test_width_stays_when_folding_is_off():
    assert Normalizer(fold_width=False, lowercase=False).normalize("ＡＢＣ　") == "ＡＢＣ　"


def test_a_letter_that_grows_in_lower_case_keeps_its_origin():
    text, origins = Normalizer().align("aİB")
    assert text == "ai\u0307b"
    assert origins == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_texts_whose_length_stays_need_no_origins():
    assert Normalizer().align("Großes ＦＥＳＴ") == ("großes fest", None)


def test_a_lone_surrogate_becomes_a_replacement_character():
    assert Normalizer().align("a\ud83dＢ") == ("a\ufffdb", None)


def test_traditional_becomes_simplified():
    assert Normalizer(chinese_conversion="t2s").align("這件T恤") == ("这件t恤", None)


def test_the_dictionaries_see_letters_in_their_written_case():
    assert Normalizer(chinese_conversion="s2twp").normalize("U盘") == "隨身碟"


def test_a_phrase_of_another_length_keeps_its_whole_origin():
    text, origins = Normalizer(chinese_conversion="s2twp").align("用U盘吧")
    assert text == "用隨身碟吧"
    assert origins == [(0, 1), (1, 3), (1, 3), (1, 3), (3, 4)]
    assert raw_span(origins, 1, 4) == (1, 3)
    assert raw_span(origins, 0, 5) == (0, 4)


def test_origins_pass_through_both_steps_of_a_conversion():
    # "中间件" becomes "中介軟體", four for three, and every character around it is replaced one for one.
    text, origins = Normalizer(chinese_conversion="s2twp").align("这中间件吗")
    assert text == "這中介軟體嗎"
    assert origins == [(0, 1), (1, 4), (1, 4), (1, 4), (1, 4), (4, 5)]


@pytest.mark.parametrize("name", CONFIGURATIONS)
@given(text=TEXTS)
def test_conversion_is_that_of_the_opencc_package(name: str, text: str):
    text = text.encode(errors="ignore").decode()  # lone surrogates are ours
    mine = Normalizer(fold_width=False, lowercase=False, chinese_conversion=name)
    assert mine.normalize(text) == package_converter(name).convert(text)


@pytest.mark.parametrize("name", ["s2twp", "t2s"])
def test_conversion_of_real_reviews_is_that_of_the_opencc_package(name: str, data_folder: Path):
    lines = (data_folder / "chnsenticorp" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:101]
    mine, package = Normalizer(fold_width=False, lowercase=False, chinese_conversion=name), package_converter(name)
    assert [mine.normalize(line) for line in lines] == [package.convert(line) for line in lines]


@given(TEXTS)
def test_align_gives_the_text_of_normalize_and_an_origin_for_each_character(text: str):
    normalizer = Normalizer(chinese_conversion="s2twp")
    normalized, origins = normalizer.align(text)
    assert normalized == normalizer.normalize(text)
    if origins is None:
        assert len(normalized) == len(text)
    else:
        assert len(origins) == len(normalized)
        assert origins == sorted(origins)
        assert all(0 <= start < end <= len(text) for start, end in origins)
        assert {place for origin in origins for place in range(*origin)} == set(range(len(text)))  # nothing is lost


@given(TEXTS)
def test_normalizing_width_and_case_twice_changes_nothing_more(text: str):
    once = Normalizer().normalize(text)
    assert Normalizer().normalize(once) == once


def test_an_unknown_configuration_is_refused_with_those_that_exist():
    with pytest.raises(InputError, match=r"no configuration 't2x'.* s2t, .*t2s"):
        Normalizer(chinese_conversion="t2x").normalize("x")
    with pytest.raises(InputError, match="no configuration"):
        conversion_version("../config/t2s")


def test_without_opencc_the_error_names_the_extra():
    program = """
import sys
sys.modules["opencc"] = None  # what an import meets where the package is not installed
from wenmo.text.normalization import Normalizer
assert Normalizer().normalize("Ａ") == "a"
try:
    Normalizer(chinese_conversion="t2s").normalize("x")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "wenmo[zh]"' in done.stdout
