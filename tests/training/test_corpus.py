"""The texts of a run and their parts."""

from pathlib import Path

import pytest

from wenmo.errors import InputError
from wenmo.tasks.classification import ClassificationConfig
from wenmo.training.corpus import read_corpus
from wenmo.training.settings import DataSettings


def test_a_split_by_time_keeps_groups_together_and_the_newest_texts_for_the_end(tmp_path: Path) -> None:
    lines = [f"{'ab'[i % 2]}\ttext {i}\t{2000 + i}\tg{i // 4}" for i in range(80)]
    path = tmp_path / "rows.tsv"
    path.write_text("label\ttext\tyear\tauthor\n" + "\n".join(lines) + "\n", encoding="utf-8")
    corpus = read_corpus(
        DataSettings(train=str(path), time_column="year", group_column="author", test_share=0.1), ClassificationConfig()
    )
    parts = (corpus.train, corpus.dev, corpus.test)
    newest = [max(int(row.time or 0) for row in part) for part in parts]
    assert newest == sorted(newest) and newest[0] < min(int(row.time or 0) for row in corpus.dev)
    authors = [{row.group for row in part} for part in parts]
    assert sum(map(len, authors)) == len(set.union(*authors)), "an author stands on both sides"


def test_shares_that_leave_nothing_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("label\ttext\na\tx\nb\ty\n", encoding="utf-8")
    data = DataSettings(train=str(tmp_path / "rows.tsv"), dev_share=0.1, calibration_share=0.95)
    message = r"data.dev_share=0.1 and data.calibration_share=0.95 leave nothing to learn from"
    with pytest.raises(InputError, match=message):
        read_corpus(data, ClassificationConfig())
