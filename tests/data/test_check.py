import json
from pathlib import Path

import pytest

from wenmo.data.check import CheckReport, Finding, Lengths, check_data
from wenmo.data.readers import read_rows
from wenmo.data.rows import Dropped, Row, RowSet


def row_set(*rows: Row) -> RowSet:
    return RowSet([row if row.source else Row(row.text, row.label, row.text_b, row.group, None, f"f:{number}")
                   for number, row in enumerate(rows, start=1)])  # fmt: skip


def labelled(**counts: int) -> RowSet:
    """As many rows of each label, every one with a text of its own."""
    return row_set(*(Row(f"{label} {number}", label) for label, count in counts.items() for number in range(count)))


def found(report: CheckReport, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


def only(report: CheckReport, kind: str) -> Finding:
    (finding,) = found(report, kind)
    return finding


def test_sound_data_has_no_findings_and_plain_figures():
    report = check_data({"train": labelled(a=30, b=20), "dev": row_set(Row("one", "a"), Row("two", "b"))})
    assert report.findings == []
    assert report.parts["train"].rows == 50
    assert report.parts["train"].labels == {"a": 30, "b": 20}
    assert list(report.parts["train"].labels) == ["a", "b"]
    assert report.parts["dev"].tokens is None


def test_lengths_are_of_the_nearest_rank():
    report = check_data({"train": row_set(*(Row("x" * length, "a") for length in range(1, 101)))})
    assert report.parts["train"].characters == Lengths(p50=50, p95=95, max=100)


def test_the_test_texts_that_stand_in_train_are_counted(data_folder: Path):
    parts = {part: read_rows(data_folder / "chnsenticorp" / f"{part}.tsv") for part in ("train", "dev", "test")}
    report = check_data(parts)
    overlaps = {finding.message.split(";")[0]: finding.count for finding in found(report, "overlap")}
    assert overlaps == {
        "dev: also in train, word for word: 335 different texts, 338 of 1,200 rows": 335,
        "test: also in train, word for word: 330 different texts, 331 of 1,200 rows": 330,
        "test: also in dev, word for word: 39 different texts, 40 of 1,200 rows": 39,
    }
    assert [finding.count for finding in found(report, "duplicates")] == [1_351, 22, 22]


def test_titles_with_two_labels_are_counted(data_folder: Path):
    train = read_rows(data_folder / "tnews" / "train.tsv")
    report = check_data({"train": train, "dev": read_rows(data_folder / "tnews" / "dev.tsv")})
    assert [finding.count for finding in found(report, "contradictions")] == [547, 28]
    assert only(report, "overlap").count == 924
    assert "1,099 of 10,000 rows" in only(report, "overlap").message
    assert found(report, "duplicates")[0].examples[0].startswith("78 times")


def test_texts_that_differ_in_their_looks_alone_are_a_finding_of_their_own():
    train = row_set(Row("Very good!", "a"), Row("bad", "b"), Row("so", "b"))
    report = check_data({"train": train, "test": row_set(Row("very  ｇood", "a"), Row("new", "b"), Row("bad", "b"))})
    assert only(report, "overlap").count == 1
    assert only(report, "near_overlap").count == 1
    assert only(report, "near_overlap").examples == ("f:1: very  ｇood",)


def test_pairs_overlap_only_as_pairs():
    train = row_set(Row("a", "1", "b"), Row("c", "0", "d"))
    assert not found(check_data({"train": train, "test": row_set(Row("a", "1", "d"), Row("b", "0", "a"))}), "overlap")
    overlap = only(check_data({"train": train, "test": row_set(Row("a", "1", "b"))}), "overlap")
    assert overlap.count == 1 and "1 different pair" in overlap.message


def test_pairs_the_other_way_round_are_a_finding_of_their_own():
    train = row_set(Row("a", "1", "b"), Row("c", "0", "d"), Row("e", "1", "e"))
    test = row_set(Row("b", "1", "a"), Row("d", "0", "x"), Row("e", "1", "e"))
    report = check_data({"train": train, "test": test})
    assert only(report, "swapped_overlap").examples == ("f:1: b | a",)
    assert only(report, "overlap").examples == ("f:3: e | e",)


def test_a_pair_twice_and_with_two_labels_is_spoken_of_as_a_pair():
    report = check_data({"train": row_set(Row("a", "1", "b"), Row("a", "0", "b"), Row("a", "0", "c"))})
    assert "the pair of an earlier row comes again in 1 of 3 rows" in only(report, "duplicates").message
    assert "different labels on the same pair" in only(report, "contradictions").message


def test_groups_in_two_parts_are_found():
    train, test = row_set(Row("a", "1", group="x")), row_set(Row("b", "1", group="x"), Row("c", "1", group="y"))
    assert only(check_data({"train": train, "test": test}), "group_overlap").examples == ("x",)


def test_one_text_with_two_labels_is_shown_with_both():
    report = check_data({"train": row_set(Row("same", "a"), Row("same", "b"), Row("same", "a"), Row("other", "a"))})
    finding = only(report, "contradictions")
    assert (finding.count, finding.examples) == (1, ("f:1: same (a / b)",))
    assert only(report, "duplicates").count == 2


def test_the_same_labels_in_another_order_are_no_contradiction():
    report = check_data({"train": row_set(Row("same", ("a", "b")), Row("same", ("b", "a")), Row("c", ("c",)))})
    assert not found(report, "contradictions")


def test_one_class_alone_is_an_error():
    finding = only(check_data({"train": labelled(a=20)}), "one_class")
    assert finding.severity == "error"
    assert "'a'" in finding.message


def test_classes_that_are_nearly_empty_are_named():
    report = check_data({"train": labelled(a=50, b=9, c=10, d=1)})
    assert only(report, "few_examples").examples == ("b: 9",)
    assert only(report, "single_example").examples == ("d",)


def test_a_label_that_nearly_always_holds_is_a_warning():
    assert only(check_data({"train": labelled(a=90, b=10)}), "imbalance").severity == "warning"
    assert not found(check_data({"train": labelled(a=89, b=11)}), "imbalance")


def test_labels_of_dev_that_train_does_not_have_are_an_error():
    report = check_data(
        {"train": labelled(a=20, b=20), "dev": row_set(Row("x", "c"), Row("y", ("a", "d")), Row("z", "a"))}
    )
    finding = only(report, "unseen_labels")
    assert (finding.severity, finding.count) == ("error", 2)
    assert "2 labels on 2 rows not seen in train (c, d)" in finding.message
    assert finding.examples == ("f:1: x", "f:2: y")


@pytest.mark.parametrize(
    ("labels", "warned"),
    [(["0.5", "1.25", "3"], True), (["1e-3", "2"], True), (["0", "1", "01"], False), (["1.0", "NA"], False)],
)
def test_labels_that_look_like_measurements_name_regression(labels: list[str], warned: bool):
    report = check_data({"train": labelled(**dict.fromkeys(labels, 20))})
    assert bool(found(report, "number_labels")) == warned
    if warned:
        assert "regression" in only(report, "number_labels").message
        assert only(report, "number_labels").severity == "warning"


def test_labels_that_differ_in_case_or_width_are_named_across_parts():
    report = check_data({"train": labelled(good=20, bad=20), "dev": row_set(Row("x", "Good"), Row("y", "ｂad"))})
    assert only(report, "label_spellings").examples == ("Good / good", "bad / ｂad")


def test_what_the_reader_noticed_and_dropped_is_reported():
    rows = labelled(a=20, b=20)
    rows.notes = ["f: not UTF-8, read as GB18030"]
    rows.dropped = [Dropped("f:3", "no label"), Dropped("f:9", "no text"), Dropped("f:11", "no label")]
    report = check_data({"train": rows})
    assert only(report, "reading").message == "train: f: not UTF-8, read as GB18030"
    assert only(report, "dropped").message == "train: left out: 2 rows with no label, 1 row with no text"
    assert only(report, "dropped").examples == ("f:3: no label", "f:9: no text", "f:11: no label")
    assert report.parts["train"].dropped == 3


def test_lost_characters_and_very_long_texts_are_named():
    rows = [*labelled(a=20, b=20).rows, Row("徐若\ufffd", "a", source="f:8"), Row("x" * 100_001, "b", source="f:9")]
    report = check_data({"train": RowSet(rows)})
    assert only(report, "lost_characters").examples == ("f:8: 徐若\ufffd",)
    assert only(report, "long_texts").examples == ("f:9: 100,001 characters",)


def test_examples_are_few_and_short():
    rows = row_set(*(Row("long " * 100, "a") for _ in range(9)), *(Row("\ufffd" * 100 + str(n), "b") for n in range(9)))
    finding = only(check_data({"train": rows}), "lost_characters")
    assert len(finding.examples) == 5
    assert all(len(example) < 80 for example in finding.examples)


def test_the_gravest_findings_come_first_and_the_report_is_json():
    rows = row_set(*[Row("same", "a")] * 3)
    report = check_data({"train": rows, "dev": row_set(Row("x", "b"))})
    assert [finding.severity for finding in report.findings] == ["error", "error", "note"]
    again = json.loads(json.dumps(report.to_dict()))
    assert again == report.to_dict()
    assert again["parts"]["train"]["characters"] == {"p50": 4, "p95": 4, "max": 4}
    assert again["findings"][-1]["examples"] == ["3 times: f:1: same"]


def test_with_a_tokenizer_lengths_are_in_tokens_and_unknown_texts_are_found():
    from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

    train = row_set(*(Row(f"one two three word{number}", "ab"[number % 2]) for number in range(20)))
    tokenizer = Tokenizer.train([row.text for row in train.rows], TokenizerConfig(segmenter="words"))
    report = check_data({"train": train, "dev": row_set(Row("one two", "a"), Row("never heard", "b"))}, tokenizer)
    assert report.parts["train"].tokens == Lengths(4, 4, 4)
    assert only(report, "unknown_texts").examples == ("f:2: never heard",)


def test_data_without_labels_and_without_parts_is_looked_at_too():
    report = check_data({"unlabelled": row_set(Row("a"), Row("a"))})
    assert [finding.kind for finding in report.findings] == ["duplicates"]
    assert check_data({}) == CheckReport([], {})
