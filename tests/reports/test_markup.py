from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from wenmo.reports.markup import Markup, element, escape, joined, language_of, quoted


def test_an_element_has_its_attributes_and_children() -> None:
    assert element("td", 3, class_="number", data_row=0) == '<td class="number" data-row="0">3</td>'


def test_nothing_and_false_leave_no_trace_and_true_needs_no_value() -> None:
    assert element("td", None, title=None, hidden=False) == "<td></td>"
    assert element("details", open=True) == "<details open></details>"


def test_zero_is_a_value_and_not_a_missing_attribute() -> None:
    assert element("rect", x=0, y=0.0) == '<rect x="0" y="0"></rect>'


def test_coordinates_are_written_to_a_hundredth() -> None:
    assert element("rect", x=1 / 3, y=2.50) == '<rect x="0.33" y="2.5"></rect>'


def test_void_elements_have_no_end() -> None:
    assert element("meta", name_="viewport") == '<meta name="viewport">'


def test_children_and_attributes_are_escaped_unless_they_are_markup() -> None:
    hostile = "\"'><script>&"
    assert element("p", hostile, title=hostile) == (
        '<p title="&quot;&#x27;&gt;&lt;script&gt;&amp;">&quot;&#x27;&gt;&lt;script&gt;&amp;</p>'
    )
    assert element("p", Markup("<b>x</b>")) == "<p><b>x</b></p>"


def test_a_subclass_made_of_escaped_text_by_joining_is_not_escaped_twice() -> None:
    assert joined(["<", Markup("<br>")]) == "&lt;<br>"
    assert element("p", joined(["a & b"])) == "<p>a &amp; b</p>"


def test_forbidden_characters_become_the_replacement_character() -> None:
    assert escape("a\x00b\x1bc\ud800d\n") == "a\ufffdb\ufffdc\ufffdd\n"
    escape("\ud800").encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("<>&\"'/\u2028\u202e")))
def test_a_parser_reads_back_exactly_the_text_and_the_attribute(text: str) -> None:
    seen: list[object] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, attrs))

        def handle_data(self, data: str) -> None:
            seen.append(data)

    reader = Reader()
    reader.feed(element("p", text, title=text))
    reader.close()
    assert seen == [("p", [("title", text)]), *([text] if text else [])]


def test_quoted_words_are_isolated_and_name_the_language_of_their_script() -> None:
    assert quoted("好看") == '<bdi lang="zh">好看</bdi>'
    assert quoted("fine") == "<bdi>fine</bdi>"
    assert language_of("とても良い") == "ja"
    assert language_of("좋아요") == "ko"


def test_a_long_quotation_says_how_much_was_cut() -> None:
    assert quoted("a" * 1500, limit=10) == "<bdi>aaaaaaaaaa\u2026</bdi> <small>(1,490 characters more)</small>"
    assert quoted("a" * 10, limit=10) == "<bdi>aaaaaaaaaa</bdi>"
