"""Where sentences end, by examples worked out by hand, and what holds of any text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wenmo.text.sentences import sentence_spans, split_sentences

# A sentence begins behind each |.
CASES = [
    # Chinese
    "今天下雨。|我们不出门！|你呢？",
    "他说：“走吧。”|我们就走了。",
    "“真的吗？”|她问。",
    "“真的吗？！”，她问道。",
    "他走了……|我没有走。",
    "价格是3.5元。|涨了10.25%。",
    "他来了（昨天。）|我走了。",
    "《你好。》是一本书。",
    "你去吗?|我不去!|好吧",
    "我走了.|他来了.",
    "这是iPhone 15.5版。|请访问www.example.com。|谢谢",
    '他喊："清华！|是清华呀！"|没人应。|"走！"|他走了。',
    "好！！！|真好。。。|走",
    "第一行\n|第二行。|第三行",
    # English
    "It rained. |We stayed in. |Why not? |Go!",
    'He said "Stop." |Then he left.',
    "“Stop!” he said. |She did.",
    "Mr. Smith met Dr. J. R. Brown in St. Louis. |He was late.",
    "It costs 3.5 dollars. |See No. 5 and p. 12 of Vol. 3. |No. |He left.",
    "He lives in the U.S. and works for Apple Inc. in Washington, D.C. now.",
    "He lives in the U.S. |The city is large.",
    "They met at 5 p.m. |But it was dark.",
    "Books, pens, etc. |The rest is lost.",
    "Wait... what? |Yes... |Then go.",
    "1. Introduction\n|2. Methods and results.",
    "See e.g. Kim et al. 2014 for this. |It works.",
    "(He left.) |She stayed.",
    "Visit example.com. |It is free.",
    "Who? |when? |where? |Nobody knows.",
    "It's Tom's. |'Go.' |He went.",
]


@pytest.mark.parametrize("marked", CASES)
def test_sentences_end_where_a_reader_ends_them(marked: str):
    assert split_sentences(marked.replace("|", "")) == [part.strip() for part in marked.split("|")]


def test_places_are_those_of_the_raw_text():
    text = "  今天下雨。 \n\n\t我们不出门！ ok. \r\n"
    assert [text[start:end] for start, end in sentence_spans(text)] == ["今天下雨。", "我们不出门！", "ok."]
    assert sentence_spans(text) == [(2, 7), (11, 17), (18, 21)]


def test_nothing_has_no_sentence():
    assert split_sentences("") == split_sentences(" \n\t\n") == []


def test_a_line_without_an_end_takes_time_in_proportion_to_it():
    line = 'e.g. "a" 3.5, i.e. U.S. law. "No." he said '
    text = line * 20_000  # a million characters; looking back from every dot would take an hour
    assert len(split_sentences(text)) == 20_001


@given(st.text(alphabet="a我 。.!?…”\"'“\n,，)A1", max_size=60))
def test_sentences_are_in_order_apart_and_all_of_the_text(text: str):
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())
    assert all(text[s:e] == text[s:e].strip() and "\n" not in text[s:e] for s, e in spans)
