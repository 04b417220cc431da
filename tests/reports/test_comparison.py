import base64
import hashlib
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wenmo.experiments.choosing import sentences
from wenmo.reports.comparison import comparison_page, write_comparison_report

MakeResult = Callable[..., dict[str, Any]]
MakeFailedRow = Callable[[str, str], dict[str, Any]]
VOID = {"meta", "br", "link"}
HOSTILE = "\"'></title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028]]>-->&lt;"


class Page(HTMLParser):
    """What a parser makes of a page, and proof that its elements are nested properly."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.skeleton: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skeleton.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def rewritten(result: dict[str, Any], rewrite: Callable[[str], str]) -> dict[str, Any]:
    """The result with every string in it rewritten, also where labels and metrics are keys."""

    def values(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: values(each) for key, each in value.items()}
        if isinstance(value, list):
            return [values(each) for each in value]
        return rewrite(value) if isinstance(value, str) else value

    def keys(values_by_name: dict[str, Any]) -> dict[str, Any]:
        return {rewrite(name): value for name, value in values_by_name.items()}

    changed: dict[str, Any] = values(result)
    counts, test = changed["data"]["label_counts"], changed["test"]
    changed["data"]["label_counts"] = {part: keys(by_label) for part, by_label in counts.items()}
    test |= {"metrics": keys(test["metrics"]), "per_class": keys(test["per_class"])}
    test["linear"]["metrics"] = keys(test["linear"]["metrics"])
    return changed


# Nothing gets out of its place


def test_hostile_strings_everywhere_leave_the_page_as_it_is_with_harmless_ones(make_result: MakeResult) -> None:
    result = make_result(6, labels=["good", "bad"])
    hostile = Page(comparison_page(rewritten(result, lambda text: HOSTILE + text), HOSTILE))
    harmless = Page(comparison_page(rewritten(result, lambda text: "x" * len(HOSTILE) + text), "x"))
    assert hostile.skeleton == harmless.skeleton
    assert hostile.text.count("<script>alert(1)</script>") > 100  # it is there to be read
    for source in ("textcnn", "nbsvm", "good", "reviews.tsv", "房间很大", "31 rows", "AMD", "accuracy", "0.1.0"):
        assert "&lt;" + source in hostile.text  # and every kind of string was rewritten


def test_there_is_nothing_on_the_page_that_could_run_or_load(make_result: MakeResult) -> None:
    page = Page(comparison_page(make_result(12)))
    tags = {tag for tag, _ in page.skeleton}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "audio", "video", "image"}
    names = {name for _, name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "style", "srcset", "action", "ping"}
    assert all(value.startswith("#") for value in page.values("href"))
    assert not re.search(r"url\(|@import|https?:", page.style)
    for tag, name, value in page.attributes:
        assert not re.search(r"https?://|javascript:", value), (tag, name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=300))
def test_any_text_comes_out_as_it_went_in(make_result: MakeResult, text: str) -> None:
    result = make_result(2)
    result["hardest"][0]["text"] = text
    assert text in "".join(Page(comparison_page(result)).texts)


def test_both_texts_of_a_pair_are_shown_and_escaped(make_result: MakeResult) -> None:
    result = make_result(2)
    result["data"]["pairs"] = True
    result["hardest"][0] |= {"text": "<b>bold</b> & one", "text_b": "</p><script>two"}
    page = comparison_page(result)
    assert "<script" not in page and "<b>bold" not in page
    texts = Page(page).texts
    assert "<b>bold</b> & one" in texts and "</p><script>two" in texts
    assert any("pairs" in text for text in texts)


def test_lone_surrogates_and_control_characters_do_not_stop_the_page(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(2)
    result["hardest"][0]["text"] = "bro\ud800ken \x00 \x1b[31m"
    write_comparison_report(result, tmp_path / "report.html")
    assert "bro\ufffdken \ufffd \ufffd[31m" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_policy_forbids_everything_but_the_one_style_sheet(make_result: MakeResult) -> None:
    page = Page(comparison_page(make_result()))
    [policy] = [value for value in page.values("content") if "default-src" in value]
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_direction_of_a_text_does_not_reach_its_neighbours(make_result: MakeResult) -> None:
    page = comparison_page(make_result())
    assert '<p class="text" dir="auto"><bdi>شكرا' in page


# Writing


def test_the_page_is_written_whole_and_nothing_else_is_left(make_result: MakeResult, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_comparison_report(make_result(), path)
    write_comparison_report(make_result(2), path)
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == comparison_page(make_result(2), "new")


def test_a_failure_leaves_the_old_page_and_no_trace(make_result: MakeResult, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = make_result()
    del broken["rows"]
    with pytest.raises(KeyError):
        write_comparison_report(broken, path)
    assert path.read_text() == "old"
    folder = tmp_path / "folder.html"
    folder.mkdir()
    with pytest.raises(OSError):
        write_comparison_report(make_result(), folder)
    assert {each.name for each in tmp_path.iterdir()} == {"report.html", "folder.html"}


def test_no_texts_means_no_text_of_the_data(make_result: MakeResult) -> None:
    result = make_result()
    with_texts, without = comparison_page(result), comparison_page(result, no_texts=True)
    for example in result["hardest"]:
        assert example["text"][:20].split(",")[0] in with_texts
        assert example["text"][:5] not in without
        assert example["source"] not in without
    assert "--no-texts" in without


# What it says


def test_the_page_opens_with_the_model_to_ship_and_the_reason(make_result: MakeResult) -> None:
    result = make_result()
    text = Page(comparison_page(result)).text
    assert "Ship textcnn" in text
    assert result["winner_reason"] in text
    assert all(sentence in text for sentence in result["sentences"])


def test_ties_are_named_and_explained(make_result: MakeResult) -> None:
    result = make_result(4)
    for row in result["rows"]:
        row["tied_with_best"] = row["model"] in ("textcnn", "nbsvm")
    text = Page(comparison_page(result)).text
    assert "Tied with the best: nbsvm. A tie means that 1,200 texts are too few to tell these models apart" in text
    result["rows"][2]["tied_with_best"] = False
    assert "A tie means" not in Page(comparison_page(result)).text


def test_a_row_of_the_table_has_all_the_figures(make_result: MakeResult) -> None:
    result = make_result()
    page = comparison_page(result)
    [row] = [each for each in re.findall(r"<tr.*?</tr>", page) if ">bilstm<" in each]
    cells = [Page(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
    model = next(each for each in result["rows"] if each["model"] == "bilstm")
    assert cells == [
        "bilstm", "92.9", "91.3\u201394.2", "", f"{100 * model['spread']:.2f}", f"tie{model['paired_p']:.2f}",
        "4.12 M", "17.4 MB", "3 min 53 s", "2.31", "3.70", "2,950", "",
    ]  # fmt: skip


def test_the_winner_the_linear_baselines_and_the_pareto_front_are_marked(make_result: MakeResult) -> None:
    page = comparison_page(make_result())
    rows = {Page(row).texts[0]: row for row in re.findall(r'<tr class="(?:winner|linear|network)">.*?</tr>', page)}
    assert [name for name, row in rows.items() if ">linear</span>" in row] == ["nbsvm", "tfidf"]
    assert [name for name, row in rows.items() if ">winner</span>" in row] == ["textcnn"]
    assert [name for name, row in rows.items() if ">yes</span>" in row] == ["textcnn", "nbsvm", "bag"]


def test_the_card_shows_test_before_dev_and_the_other_choices_follow(make_result: MakeResult) -> None:
    text = Page(comparison_page(make_result())).text
    assert re.search(
        r"accuracy on test ?94\.\d.*accuracy on dev ?93\.4.*If speed counts ?bag.*If size counts ?tfidf", text
    )


def test_a_failed_model_is_shown_last_with_its_reason(make_result: MakeResult, make_failed_row: MakeFailedRow) -> None:
    result = make_result(3)
    result["rows"].insert(0, make_failed_row("bert", "the loss became NaN at step 340"))
    text = Page(comparison_page(result)).text
    table = text[text.index("All models, best first") :]
    assert table.index("bert") > table.index("nbsvm")
    assert "failed: the loss became NaN at step 340" in table


def test_a_model_over_the_size_asked_for_is_marked_and_no_choice(make_result: MakeResult) -> None:
    result = make_result(3)
    result["rows"][1]["too_large"] = True
    text = Page(comparison_page(result)).text
    assert "bilstmtoo large" in text
    assert "Too large over the size asked for" in text.replace("largeover", "large over")
    assert "Tied with the best: nbsvm." in text
    assert "too large" not in Page(comparison_page(make_result(3))).text


def test_a_comparison_in_which_every_model_failed_says_so(
    make_result: MakeResult, make_failed_row: MakeFailedRow
) -> None:
    result = make_result(2)
    result |= {"rows": [make_failed_row("bert", "out of memory")], "winners": {}, "test": None, "hardest": []}
    result |= {"winner_reason": "", "sentences": []}
    text = Page(comparison_page(result)).text
    assert "No model finished" in text
    assert "out of memory" in text
    assert "wenmo predict" not in text


def test_without_a_test_part_the_page_warns_that_dev_is_a_little_too_good(make_result: MakeResult) -> None:
    result = make_result()
    result["test"] = None
    page = comparison_page(result)
    assert "No test set was scored" in page
    assert "The winner on the test set" not in page
    assert "No test set was scored" not in comparison_page(make_result())


def test_folds_are_named_in_the_place_of_dev(make_result: MakeResult) -> None:
    result = make_result()
    result["settings"]["folds"] = 10
    text = Page(comparison_page(result)).text
    assert "accuracy over 10 folds, %" in text
    assert "10,800 texts on which it was chosen" in text  # 9,600 of train and 1,200 of dev, each held out once
    assert "accuracy on dev" not in text


def test_cells_of_the_confusion_matrix_are_shaded_by_their_share_of_the_row(make_result: MakeResult) -> None:
    result = make_result(labels=["a", "b"])
    result["test"]["confusion"] = [[96, 4], [0, 10]]
    cells = re.findall(r'<td class="number (\w+ s\d+)" title="([^"]*)">([^<]*)</td>', comparison_page(result))
    # The root of 4 % is 0.2: the second of ten shades.
    assert cells == [
        ("hit s10", "a \u2192 a: 96 of 100 (96.0 %)", "96"),
        ("miss s2", "a \u2192 b: 4 of 100 (4.0 %)", "4"),
        ("miss s0", "b \u2192 a: 0 of 10 (0.0 %)", "\u00b7"),
        ("hit s10", "b \u2192 b: 10 of 10 (100.0 %)", "10"),
    ]


def test_the_most_frequent_mistakes_are_named_first(make_result: MakeResult) -> None:
    result = make_result(labels=["a", "b", "c"])
    result["test"]["confusion"] = [[90, 10, 0], [2, 18, 0], [0, 30, 70]]
    text = Page(comparison_page(result)).text
    assert "c taken for b 30 times (30.0 %)a taken for b 10 times (10.0 %)b taken for a 2 times (10.0 %)" in text


def test_a_matrix_of_hundreds_of_labels_is_left_out(make_result: MakeResult) -> None:
    page = comparison_page(make_result(2, labels=[f"label {i}" for i in range(150)]))
    assert "A matrix of 150 labels would be too large to read." in page
    assert "The most frequent mistakes" in page
    assert len(page) < 300_000


def test_rows_of_several_labels_have_no_matrix_but_scores_of_each_label(make_result: MakeResult) -> None:
    result = make_result()
    result["test"]["confusion"] = None
    result["test"]["metrics"]["micro_f1"] = {"value": 0.5, "low": 0.4, "high": 0.6}
    text = Page(comparison_page(result)).text
    assert "Confusions" not in text
    assert "Each label" in text
    assert "micro F1, %" in text


def test_micro_f1_is_left_out_where_it_is_the_accuracy_again(make_result: MakeResult) -> None:
    assert "micro F1" not in comparison_page(make_result())


def test_the_commands_lead_to_this_result_and_can_be_pasted(make_result: MakeResult) -> None:
    result = make_result(2)
    result["data"]["sources"]["train"] = "my reviews.tsv"
    texts = Page(comparison_page(result, "out dir")).texts
    assert "wenmo predict 'out dir/winner' new_texts.txt" in texts
    assert (
        "wenmo compare 'my reviews.tsv' --test reviews_test.tsv --models textcnn,bilstm --seeds 3 --budget 10m "
        "--max-size 20MB --out 'out dir'"
    ) in texts


def test_the_data_section_shows_sources_sizes_notes_and_balance(make_result: MakeResult) -> None:
    result = make_result(labels=["好", "坏"])
    result["data"]["label_counts"]["train"] = {"好": 7200, "坏": 2400}
    text = Page(comparison_page(result)).text
    assert "9,600 textsreviews.tsv" in text
    assert "1,200 textssplit off from train" in text
    assert "tokens a textp50 64, p95 242, max 1,817" in text
    assert all(note in text for note in result["data"]["notes"])
    assert re.search(r"好 ?75\.0 ?7,200.*坏 ?25\.0 ?2,400", text)


def test_figures_that_are_missing_or_not_finite_are_dashes_and_no_errors(make_result: MakeResult) -> None:
    result = make_result(3)
    for key in ("spread", "parameters", "bytes", "train_seconds", "latency_ms_p50", "latency_ms_p95", "epochs"):
        result["rows"][0][key] = None
    result["rows"][1] |= {"latency_ms_p50": math.nan, "low": None, "texts_per_second": math.inf, "curve": None}
    result["data"] |= {"label_counts": {}, "notes": [], "token_lengths": None, "sha256": None}
    result |= {"machine": {}, "hardest": None, "winner_reason": None}
    page = Page(comparison_page(result))
    assert not re.search(r"\b(nan|inf|None)\b", page.text)


@pytest.mark.parametrize("num_models", [1, 2, 12])
@pytest.mark.parametrize("num_labels", [2, 15])
def test_small_and_large_comparisons_make_a_page(make_result: MakeResult, num_models: int, num_labels: int) -> None:
    result = make_result(num_models, labels=[f"标签{i}" for i in range(num_labels)])
    page = Page(comparison_page(result))
    assert all(row["model"] in page.text for row in result["rows"])
    assert all(label in page.text for label in result["data"]["labels"])


def test_a_page_weighs_little(make_result: MakeResult) -> None:
    assert len(comparison_page(make_result(12)).encode()) < 150_000


# Tasks whose metrics are no shares


def test_a_page_about_cross_entropy_has_nats_and_calls_the_lowest_the_best(make_plain_result: MakeResult) -> None:
    result = make_plain_result("cross_entropy")
    page = comparison_page(result)
    text = Page(page).text
    assert "cross entropy on test2.051 nats a token95 % interval 1.910\u20132.200" in text
    assert "textcnn has the best cross entropy on dev" in text
    assert "cross entropy on dev, nats a token" in text and "\u2193 cross entropy on dev, nats a token" in text
    assert "Lower is better, further left is faster" in text
    assert "cross entropy on dev 2.089 (+0.023), 0.18 ms a text" in text  # bag, if speed counts
    assert "Cross entropy on dev, nats a token, against the seconds of training." in text
    assert "cross entropy, nats a token" in text and "perplexity" in text and "bits per character" in text
    # Nothing about labels is there, and no figure is a percentage but those of the intervals.
    assert "Label balance" not in text and "Confusions" not in text and "Hardest examples" not in text
    assert set(re.findall(r"\S+\s%(?! interval)", text)) <= {"95 %"}
    assert 'wenmo generate comparison/winner "..."' in text and "wenmo predict" not in text
    assert "--task generate" in text


def test_the_dashed_line_of_the_table_is_the_lowest_value(make_plain_result: MakeResult) -> None:
    page = comparison_page(make_plain_result("cross_entropy"))
    rows = re.findall(r'<tr class="(?:winner|linear|network)">.*?</tr>', page)
    for each in rows:
        [best] = re.findall(r'<line x1="([\d.]+)"[^>]*class="best"', each)
        [dot] = re.findall(r'<circle cx="([\d.]+)"[^>]*class="dot', each)
        assert float(best) <= float(dot)
    assert [Page(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", rows[0])][1:3] == ["2.066", "2.053\u20132.081"]


def test_a_page_about_bleu_has_it_on_its_own_scale(make_plain_result: MakeResult) -> None:
    page = comparison_page(make_plain_result("bleu"))
    text = Page(page).text
    assert "\u2191 BLEU on dev" in text and "Higher is better, further left is faster" in text
    assert "BLEU on dev 91.1 (\u22122.3), 0.18 ms a text" in text
    assert "BLEU on dev against the seconds of training." in text
    assert "93.4" in text and "9340" not in text and "chrF" in text
    assert "wenmo predict comparison/winner new_texts.txt" in text and "--task translate" in text


def test_a_comparison_from_before_such_metrics_was_written_without_the_flag(make_plain_result: MakeResult) -> None:
    result = make_plain_result("cross_entropy")
    with_flag = comparison_page(result)
    del result["settings"]["lower_is_better"]
    assert comparison_page(result) == with_flag


def test_a_metric_that_is_not_known_here_goes_by_the_flag(make_result: MakeResult) -> None:
    result = make_result()
    result["settings"] |= {"metric": "error_rate", "lower_is_better": True}
    text = Page(comparison_page(result)).text
    assert "\u2193 error rate on dev, %" in text and "Lower is better" in text


@pytest.mark.parametrize(("metric", "wish"), [("cross_entropy", "The lowest figure"), ("bleu", "The highest figure")])
def test_the_best_figure_of_another_model_is_a_choice(make_plain_result: MakeResult, metric: str, wish: str) -> None:
    result = make_plain_result(metric)
    result["test"]["model"] = "bilstm"  # it was shipped in spite of the figures
    assert f"{wish}textcnn" in Page(comparison_page(result)).text


def test_without_linear_baselines_nothing_is_said_of_them(make_plain_result: MakeResult) -> None:
    result = make_plain_result("cross_entropy")
    result["rows"] = [row for row in result["rows"] if not row["is_linear"]]
    result["winners"] = dict.fromkeys(("accurate", "fast", "small"), "textcnn")
    result["sentences"] = sentences(result)
    assert "linear" not in Page(comparison_page(result)).text


def test_a_single_text_is_a_stream_and_not_counted(make_plain_result: MakeResult) -> None:
    result = make_plain_result("cross_entropy")
    result["data"]["sizes"] = {"train": 1, "dev": 1, "test": 1}
    text = Page(comparison_page(result)).text
    assert not re.search(r"\b1 (test )?texts", text)
    assert "the texts never seen before" in text and "The test texts had no part in training" in text


# Everybody can read it


def test_languages_are_declared(make_result: MakeResult) -> None:
    page = comparison_page(make_result())
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert '<bdi lang="zh">积极</bdi>' in page


def test_headings_of_tables_have_a_scope_and_tables_a_caption(make_result: MakeResult) -> None:
    page = comparison_page(make_result())
    assert re.search(r"<th>|<th (?![^>]*scope=)", page) is None
    assert page.count("<table") == page.count("<caption") > 3


def test_drawings_are_named_or_hidden_and_regions_that_scroll_take_the_keyboard(make_result: MakeResult) -> None:
    page = comparison_page(make_result())
    for opening in re.findall(r"<svg[^>]*>", page):
        assert 'aria-hidden="true"' in opening or ('role="img"' in opening and "aria-label=" in opening)
    for opening in re.findall(r'<div[^>]*class="scroll"[^>]*>', page):
        assert 'tabindex="0"' in opening and 'role="region"' in opening and "aria-label=" in opening


def test_addresses_within_the_page_lead_somewhere_and_are_unique(make_result: MakeResult) -> None:
    page = Page(comparison_page(make_result()))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href")} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_the_contrast_of_wcag_aa_in_light_and_dark(make_result: MakeResult, dark: bool) -> None:
    style = Page(comparison_page(make_result())).style
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    names = dict(re.findall(r"--([\w]+): ([^;]+);", blocks[0]))
    if dark:
        names |= dict(re.findall(r"--([\w]+): ([^;]+);", blocks[1]))

    def colour(name: str) -> list[float]:
        value = names[name]
        return [int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)]

    def luminance(rgb: list[float]) -> float:
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: list[float], b: list[float]) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for ink in ("text", "quiet", "winner", "network", "linear"):
        for ground in ("paper", "card"):
            assert contrast(colour(ink), colour(ground)) >= 4.5, (ink, ground)
    assert contrast(colour("quiet"), colour("soft")) >= 4.5
    assert contrast(colour("card"), colour("winner")) >= 4.5  # the winner's tag
    for kind, alpha in re.findall(r"rgb\(var\(--(hit|miss)\) / calc\((\.\d+) \* var\(--ink\)\)\)", style):
        share = float(alpha) * float(names["ink"])
        shade = [int(part) / 255 for part in names[kind].split()]
        cell = [share * a + (1 - share) * b for a, b in zip(shade, colour("paper"), strict=True)]
        assert contrast(colour("text"), cell) >= 4.5, (kind, alpha)
