"""The texts of a run and their parts."""

from pathlib import Path

from wenmo.tasks.classification import ClassificationConfig
from wenmo.training.corpus import read_corpus
from wenmo.training.recipe import DataSettings


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
