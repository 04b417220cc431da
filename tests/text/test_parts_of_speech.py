"""Words, phrases and entities from parts of speech, by hand."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from wenmo.text.parts_of_speech import PartsOfSpeech, TaggedWords, units_of_words
from wenmo.text.spans import ENTITY, PHRASE, WORD, Tagged, Unit, apart


def units_of(tagged: str) -> list[tuple[str, int, str]]:
    """Of a text written as 经济/n 发展/vn; two blanks stand for white space in it."""
    words, text = [], ""
    for token in tagged.split(" "):
        if not token:
            text += " "
            continue
        word, _, kind = token.partition("/")
        words.append(Unit(len(text), len(text) + len(word), WORD, kind))
        text += word
    return [
        (text[unit.start : unit.end], unit.level, unit.kind) for unit in units_of_words(words) if unit.level != WORD
    ]


def test_names_are_entities():
    found = units_of("李/nr 小明/nr 在/p 北京大学/nt 读/v 康熙字典/nz 京/ns")
    assert [(text, kind) for text, level, kind in found if level == ENTITY] == [
        ("小明", "person"),
        ("北京大学", "organisation"),
        ("康熙字典", "name"),
    ]


def test_nouns_with_their_attributes_are_phrases():
    assert units_of("经济/n 发展/vn 很/d 快/a") == [("经济发展", PHRASE, "noun phrase")]
    assert units_of("新/a 房子/n 大/a 。/w") == [
        ("新房子", PHRASE, "noun phrase")
    ]  # what stands behind the noun is not in it
    assert units_of("大/a 型/b") == [] and units_of("房子/n") == [] and units_of("房子/n  车/n") == []
    assert units_of("老/a 师/n 的/u 新/a 车/n") == [("老师", PHRASE, "noun phrase"), ("新车", PHRASE, "noun phrase")]


def test_numbers_with_measures_and_fixed_expressions_are_phrases():
    assert units_of("三/m 个/q 人/n 画蛇添足/i 的/u") == [
        ("三个", PHRASE, "quantity"),
        ("画蛇添足", PHRASE, "expression"),
    ]
    assert units_of("三/m  个/q 好/l") == []


def test_rjieba_gives_words_with_their_places():
    text = "张华在北京大学学习，价格是5元。"
    (found,) = PartsOfSpeech().annotate([text])
    by_level = {level: [text[u.start : u.end] for u in found if u.level == level] for level in (WORD, PHRASE, ENTITY)}
    assert "".join(by_level[WORD]) == "张华在北京大学学习价格是5元"
    assert by_level[ENTITY] == ["张华", "北京大学"]


def test_of_other_languages_there_are_the_words():
    text = "It isn't far, Tom."
    (found,) = PartsOfSpeech().annotate([text])
    assert [text[unit.start : unit.end] for unit in found] == ["It", "is", "n't", "far", "Tom"]
    assert {unit.level for unit in found} == {WORD}


@given(st.text(alphabet="北京大学的是我们新三个 \n，。ab1\u200b𠮷", max_size=30))
def test_places_are_always_those_of_the_text(text: str):
    (found,) = PartsOfSpeech().annotate([text])
    assert all(0 <= unit.start < unit.end <= len(text) for unit in found)
    assert apart(found) == found
    assert not any(character.isspace() for unit in found for character in text[unit.start : unit.end])


def test_words_of_a_tagger_make_phrases_and_names_too():
    tagged = Tagged(lambda texts: [[(0, 2, "n"), (2, 4, "vn"), (4, 6, "ns")] for _ in texts], "tagger", WORD)
    (found,) = TaggedWords(tagged).annotate(["经济发展北京"])
    assert [unit[:3] for unit in found] == [(0, 2, WORD), (0, 6, PHRASE), (2, 4, WORD), (4, 6, WORD), (4, 6, ENTITY)]
    assert TaggedWords(tagged).fingerprint() != tagged.fingerprint()


def test_it_travels_to_other_processes():
    there = pickle.loads(pickle.dumps(PartsOfSpeech()))
    assert there.fingerprint() == PartsOfSpeech().fingerprint()
    assert there.annotate(["我在北京。"]) == PartsOfSpeech().annotate(["我在北京。"])
