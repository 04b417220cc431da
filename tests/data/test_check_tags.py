"""``wenmo check`` on tagged sentences."""

from pathlib import Path

from wenmo.data.parts import check


def test_types_are_counted_and_broken_sentences_named(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("Anna B-PER\nmet O\nBob B-PER\n\nBonn B-LOC\nis O\n\nold O\n")
    (tmp_path / "test.conll").write_text("is O\nBonn I-LOC\n\nEU B-ORG\n")
    report = check(tmp_path)
    assert report.parts["train"].labels == {"PER": 1, "LOC": 1} and report.parts["train"].rows == 3
    broken = report.findings[0]
    assert (broken.kind, broken.count) == ("scheme", 1)
    assert broken.message.startswith("test: 1 of 2 sentences break the scheme BIO; correct them, or")
    place = f"{tmp_path / 'test.conll'}:2"
    assert broken.examples == (f"{place}: I-LOC stands behind O, where it cannot go on with an entity nor begin one",)
    assert any("ORG" in finding.message or "ORG" in str(finding.examples) for finding in report.findings[1:])


def test_plain_tags_are_counted_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("a DT\ndog NN\n\ndog NN\n")
    report = check(tmp_path / "train.conll")
    assert report.parts["train"].labels == {"NN": 2, "DT": 1}
    assert not any(finding.kind == "scheme" for finding in report.findings)
