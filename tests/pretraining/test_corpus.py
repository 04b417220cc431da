"""A corpus: what stands in its shards, and that nothing but its sources and settings decides what that is."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from wenmo.errors import InputError, JobError
from wenmo.pretraining.corpus import MANIFEST, Corpus, make_corpus
from wenmo.pretraining.settings import CorpusSettings
from wenmo.pretraining.shards import CAPITALS, CONNECTIVE, KIND
from wenmo.text.connectives import RELATIONS
from wenmo.text.spans import ENTITY, Unit
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig
from wenmo.text.word_bytes import word_byte_ids

BOOK = "今天下雨。我们不出门！\n你呢？\n\n他走了。但是，她没走。\n\n好。\n"
ALL = CorpusSettings(held_out_share=0, long_line=0)


def characters(*texts: str) -> Tokenizer:
    return Tokenizer.train(texts, TokenizerConfig(segmenter="graphemes", fold_width=False, lowercase=False))


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def sentences_of(corpus: Corpus, tokenizer: Tokenizer) -> list[list[str]]:
    """The documents as they stand in the shards."""
    found: list[list[str]] = []
    for number in range(len(corpus.shards)):
        shard = corpus.shard(number)
        for first, behind in zip(shard.documents[:-1], shard.documents[1:], strict=True):
            rows = shard.store["input_ids"].take(range(first, behind))
            found.append(["".join(tokenizer.vocabulary[i] for i in row) for row in rows])
    return found


def files_of(folder: Path) -> dict[str, str]:
    """Every file of a corpus by the hash of its bytes."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def many_documents(path: Path, number: int = 60) -> str:
    return written(path, "\n\n".join(f"第{n}章。\n这是第{n}章的正文，有{n * n}个字！完了。" for n in range(number)))


def test_documents_become_sentences_of_ids(tmp_path: Path):
    tokenizer = characters(BOOK)
    source = written(tmp_path / "book.txt", BOOK)
    corpus = make_corpus([source], tmp_path / "corpus", tokenizer, ALL)
    wanted = [["今天下雨。", "我们不出门！", "你呢？"], ["他走了。", "但是，她没走。"], ["好。"]]
    assert sentences_of(corpus, tokenizer) == wanted
    assert (corpus.documents, corpus.sentences, corpus.connected_documents) == (3, 6, 2)
    assert corpus.tokens == sum(len(sentence) for document in wanted for sentence in document)
    assert corpus.sentences_per_document == 2
    opened = Corpus.open(tmp_path / "corpus")
    assert opened.manifest == corpus.manifest and opened.settings == ALL
    assert opened.tokenizer().fingerprint() == tokenizer.fingerprint()
    assert opened.manifest["sources"] == [
        {"path": source, "bytes": len(BOOK.encode()), "sha256": hashlib.sha256(BOOK.encode()).hexdigest()}
    ]
    assert sorted(os.listdir(tmp_path / "corpus")) == [MANIFEST, "shard-00000.arrow", "tokenizer"]


def test_shards_hold_about_what_is_asked_and_every_document_once(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt")
    tokenizer = characters(Path(source).read_text())
    whole = make_corpus([source], tmp_path / "whole", tokenizer, ALL)
    many = make_corpus([source], tmp_path / "many", tokenizer, replace(ALL, shard_characters=100))
    assert len(whole.shards) == 1 and len(many.shards) > 5
    assert sentences_of(many, tokenizer) == sentences_of(whole, tokenizer)
    assert all(shard.tokens >= 95 for shard in many.shards[:-1])


@dataclass(frozen=True)
class Chapters:
    """Finds 第 with the number behind it."""

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        return [[Unit(0, text.index("章") + 1, ENTITY, "chapter")] if text[0] == "第" else [] for text in texts]

    def fingerprint(self) -> str:
        return "chapters"


def test_the_number_of_processes_changes_no_byte(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt")
    tokenizer = characters(Path(source).read_text())
    settings = CorpusSettings(shard_characters=300, held_out_share=0.2, connectives=True)
    for folder, workers in (("one", 1), ("two", 2)):
        make_corpus([source], tmp_path / folder, tokenizer, settings, workers=workers)
    one = files_of(tmp_path / "one")
    assert files_of(tmp_path / "two") == one
    assert len(one) > 6


def test_what_is_held_out_follows_from_the_document_alone(tmp_path: Path):
    often = "这一行在很多篇里都有，" * 12  # only the first one that comes keeps it
    texts = [f"第{n}篇。它说到{n}。\n{often if n % 3 == 0 else n}" for n in range(400)]
    tokenizer = characters(*texts)
    settings = CorpusSettings(held_out_share=0.1, shard_characters=500)
    kept = []
    for name, order in (("there", texts), ("back", texts[::-1])):
        source = written(tmp_path / f"{name}.txt", "\n\n".join(order))
        corpus = make_corpus([source], tmp_path / name, tokenizer, settings)
        held_out = corpus.held_out()
        assert held_out is not None
        assert len(held_out.documents) - 1 == corpus.manifest["held_out"][0]["documents"]
        assert corpus.documents + len(held_out.documents) - 1 == 400
        firsts = held_out.documents[:-1].tolist()
        kept.append({tuple(held_out.store["input_ids"][row].tolist()) for row in firsts})
    assert kept[0] == kept[1]
    # Binomial of 400 and 0.1: 40, with a standard deviation of 6.
    assert 16 < len(kept[0]) < 64


def test_columns_say_what_stands_at_the_tokens(tmp_path: Path):
    text = "The cat sat. However, Tom left.\n第3章来了。"
    tokenizer = Tokenizer.train([text], TokenizerConfig(segmenter="words"))
    settings = CorpusSettings(held_out_share=0, capitals=True, connectives=True, word_bytes=True)
    corpus = make_corpus([written(tmp_path / "a.txt", text)], tmp_path / "c", tokenizer, settings, Chapters())
    shard = corpus.shard(0)
    tokens = [" ".join(tokenizer.vocabulary[i] for i in shard.store["input_ids"][row]) for row in range(3)]
    assert tokens == ["the cat sat .", "however , tom left .", "第 3 章 来 了 。"]
    assert [shard.store[CAPITALS][row].tolist() for row in range(3)] == [[1, 0, 0, 0], [1, 0, 1, 0, 0], [0] * 6]
    assert [shard.store[CONNECTIVE][row].tolist() for row in range(3)] == [[], [2, RELATIONS.index("contrast")], []]
    assert shard.spans(2).tolist() == [[0, 3, ENTITY]]
    sizes = shard.store["word_sizes"][1]
    ids = shard.store["character_ids"][1]
    assert ids[: sizes[0]].tolist() == word_byte_ids(["However"])[0, : sizes[0]].tolist()
    assert sizes.sum() == len(ids)


def test_what_a_source_marks_is_in_the_spans_of_its_shards(tmp_path: Path):
    marked = written(tmp_path / "a.conll", "我 O\n在 O\n北 B-LOC\n京 I-LOC\n第 O\n3 O\n章 O\n")
    book = written(tmp_path / "book.txt", "".join(f"第{n}章。\n\n" for n in range(40)))
    tokenizer = characters("我在北京第章。0123456789")
    alone = make_corpus([marked, book], tmp_path / "alone", tokenizer, ALL)
    assert [alone.shard(number).has("spans") for number in range(2)] == [True, False] and alone.has("spans")
    assert alone.shard(0).spans(0).tolist() == [[2, 4, ENTITY]]
    # The text here does not begin with 第, so that what is marked is all there is.
    both = make_corpus([marked, book], tmp_path / "both", tokenizer, ALL, Chapters())
    assert both.shard(0).spans(0).tolist() == [[2, 4, ENTITY]]
    assert both.shard(1).spans(0).tolist() == [[0, 3, ENTITY]]
    halves = make_corpus([marked, book], tmp_path / "halves", tokenizer, replace(ALL, held_out_share=0.5))
    held_out = halves.held_out("text")
    assert held_out is not None and len(held_out.documents) - 1 == 41 - halves.documents


def test_dialogues_and_queries_get_shards_of_their_own(tmp_path: Path):
    dialogue = written(tmp_path / "a.dialogues.txt", "你好。在吗？\n在。\n\n走吧\n")
    clicks = written(tmp_path / "clicks.tsv", "query\ttitle\tclicked\n天气\t今日天气\t1\n天气\t天气之子\t0\n")
    book = written(tmp_path / "book.txt", BOOK)
    tokenizer = characters(BOOK, "你好。在吗？走吧天气今日之子")
    corpus = make_corpus([dialogue, clicks, book], tmp_path / "c", tokenizer, ALL)
    assert {shard.kind: (shard.documents, shard.sentences) for shard in corpus.shards} == {
        "dialogue": (2, 3),
        "query": (1, 3),
        "text": (3, 6),
    }
    by_kind = {shard.kind: corpus.shard(number) for number, shard in enumerate(corpus.shards)}
    dialogues = by_kind["dialogue"]
    assert [dialogues.store[KIND][row].tolist() for row in range(3)] == [[0], [1], [0]]
    assert dialogues.sizes.tolist() == [6, 2, 2]  # a turn is not cut
    assert [by_kind["query"].store[KIND][row].tolist() for row in range(3)] == [[-1], [0], [1]]
    assert not by_kind["text"].has(KIND)


def test_traditional_characters_become_simplified_when_asked(tmp_path: Path):
    tokenizer = characters("今天天气，")
    settings = CorpusSettings(held_out_share=0, chinese_conversion="t2s", fold_width=True)
    corpus = make_corpus([written(tmp_path / "a.txt", "今天天氣")], tmp_path / "c", tokenizer, settings)
    assert sentences_of(corpus, tokenizer) == [["今天天气"]]


def test_what_was_left_out_is_counted_and_told(tmp_path: Path):
    tokenizer = characters(BOOK)
    long = "这是一行很长的话。" * 20
    path = tmp_path / "a.txt"
    path.write_bytes(f"好。\n\n好。\n\n{long}\n\n一\n{long}\n\n\u200b\n\n".encode() + b"\xff\n")
    notes: list[str] = []
    settings = CorpusSettings(held_out_share=0, on_bad_line="skip")
    corpus = make_corpus([str(path)], tmp_path / "c", tokenizer, settings, tell=notes.append)
    assert corpus.dropped == {
        "bad lines": 1,
        "documents that came before": 1,
        "documents without a token": 1,
        "long lines that came before": 1,
    }
    assert any("1 documents that came before" in note for note in notes)


def test_single_sentences_are_told(tmp_path: Path):
    notes: list[str] = []
    source = written(tmp_path / "a.txt", "一。\n\n二。\n")
    corpus = make_corpus([source], tmp_path / "c", characters("一二。"), ALL, tell=notes.append)
    assert corpus.connected_documents == 0 and corpus.sentences_per_document == 1
    assert any("no document has two sentences" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("", ALL, "no text to learn from; the sources are empty"),
        (" \n\n\t\n", ALL, "no text to learn from"),
        ("\u200b\n", ALL, "1 documents without a token"),
        ("好。", CorpusSettings(held_out_share=1 - 1e-12), "all 1 documents were drawn for evaluation"),
    ],
)
def test_a_corpus_without_text_is_refused_and_leaves_nothing_finished(tmp_path: Path, text, settings, said):
    source = written(tmp_path / "a.txt", text)
    with pytest.raises(InputError, match=said):
        make_corpus([source], tmp_path / "c", characters(BOOK), settings)
    with pytest.raises(InputError, match="holds no corpus"):
        Corpus.open(tmp_path / "c")


def test_a_finished_corpus_is_opened_again_and_never_another_one(tmp_path: Path):
    tokenizer = characters(BOOK)
    source = written(tmp_path / "a.txt", BOOK)
    first = make_corpus([source], tmp_path / "c", tokenizer, ALL)
    before = files_of(tmp_path / "c")
    assert make_corpus([source], tmp_path / "c", tokenizer, ALL).manifest == first.manifest
    assert files_of(tmp_path / "c") == before
    moved = written(tmp_path / "moved.txt", BOOK)
    assert make_corpus([moved], tmp_path / "c", tokenizer, ALL).fingerprint == first.fingerprint
    assert make_corpus([moved], tmp_path / "d", tokenizer, ALL).fingerprint == first.fingerprint
    with pytest.raises(InputError, match=r"other settings: held_out_share is 0 there and 0.5 now"):
        make_corpus([source], tmp_path / "c", tokenizer, CorpusSettings(held_out_share=0.5, long_line=0))
    with pytest.raises(InputError, match="other tokenizer"):
        make_corpus([source], tmp_path / "c", characters("好"), ALL)
    with pytest.raises(InputError, match="other annotator"):
        make_corpus([source], tmp_path / "c", tokenizer, ALL, Chapters())
    Path(source).write_text(BOOK + "还有。", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt holds other text now"):
        make_corpus([source], tmp_path / "c", tokenizer, ALL)


@dataclass(frozen=True)
class Failing(Chapters):
    """Cannot do one chapter."""

    def annotate(self, texts: Sequence[str]) -> list[list[Unit]]:
        if any("第40章" in text for text in texts):
            raise ValueError("no good")
        return super().annotate(texts)


def test_what_was_finished_before_an_error_is_not_made_again(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt")
    tokenizer = characters(Path(source).read_text())
    settings = CorpusSettings(shard_characters=300, held_out_share=0.1)
    with pytest.raises(ValueError, match="no good"):
        make_corpus([source], tmp_path / "c", tokenizer, settings, Failing())
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("shard-*")}
    assert len(finished) > 2
    make_corpus([source], tmp_path / "c", tokenizer, settings, Chapters())
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    make_corpus([source], tmp_path / "at_once", tokenizer, settings, Chapters())
    assert files_of(tmp_path / "c") == files_of(tmp_path / "at_once")


def test_sources_that_changed_since_the_making_began_are_refused(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt")
    tokenizer = characters(Path(source).read_text())
    settings = CorpusSettings(shard_characters=300, held_out_share=0)
    with pytest.raises(ValueError, match="no good"):
        make_corpus([source], tmp_path / "c", tokenizer, settings, Failing())
    text = Path(source).read_text(encoding="utf-8")
    Path(source).write_text(text.replace("第50章", "第五章"), encoding="utf-8")
    with pytest.raises(InputError, match=r"is in the making with other sources: .*book\.txt holds other text"):
        make_corpus([source], tmp_path / "c", tokenizer, settings, Failing())
    # A data set on the hub has no hash of its own; the text of each shard tells.
    journal = tmp_path / "c" / "corpus.partial.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    Path(source).write_text(text, encoding="utf-8")
    changed = json.loads(lines[1]) | {"content": "another"}
    journal.write_text(lines[0] + json.dumps(changed) + "\n" + "".join(lines[2:]))
    with pytest.raises(InputError, match="was made of other text than the sources hold now"):
        make_corpus([source], tmp_path / "c", tokenizer, settings, Failing())


SCRIPT = """
import os, signal, sys
from pathlib import Path
from wenmo.pretraining.corpus import make_corpus
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

class Nothing:
    def __init__(self, deadly):
        self.deadly = deadly

    def annotate(self, texts):
        if self.deadly and any("第40章" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return [[] for _ in texts]

    def fingerprint(self):
        return "nothing"

if __name__ == "__main__":
    source, folder, workers, deadly = sys.argv[1:]
    tokenizer = Tokenizer.train([Path(source).read_text(encoding="utf-8")], TokenizerConfig(segmenter="characters"))
    settings = CorpusSettings(shard_characters=200, held_out_share=0.1)
    make_corpus([source], folder, tokenizer, settings, Nothing(deadly == "deadly"), workers=int(workers))
"""


def command_of(tmp_path: Path, source: str, folder: Path, workers: int, deadly: str = "") -> list[str]:
    path = tmp_path / "make.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return [sys.executable, str(path), source, str(folder), str(workers), deadly]


def killed_at(command: list[str], folder: Path, num_shards: int) -> list[int]:
    """Kill a run when it has made so many shards; its workers, as they were then."""
    process = subprocess.Popen(command)
    while len(list(folder.glob("shard-*.arrow"))) < num_shards:
        assert process.poll() is None
        time.sleep(0.002)
    workers = children_of(process.pid) if num_shards == 1 else []
    process.kill()
    process.wait()
    return workers


def children_of(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def is_alive(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_worker_that_dies_ends_the_run_with_its_error(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt")
    command = command_of(tmp_path, source, tmp_path / "c", 2, "deadly")
    died = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert died.returncode == 1
    assert "JobError: a process that makes shards died" in died.stderr
    assert not (tmp_path / "c" / MANIFEST).exists()


def test_workers_end_with_the_process_that_reads(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt", 4000)
    workers = killed_at(command_of(tmp_path, source, tmp_path / "c", 2), tmp_path / "c", 1)
    assert len(workers) >= 2
    deadline = time.monotonic() + 60
    while (alive := [worker for worker in workers if is_alive(worker)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for worker in alive:
        os.kill(worker, signal.SIGKILL)  # or they would stay for good
    assert not alive


def test_killed_at_any_time_and_run_again_it_is_the_same_corpus(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt", 2000)
    subprocess.run(command_of(tmp_path, source, tmp_path / "whole", 1), check=True, timeout=120)
    num_shards = len(list((tmp_path / "whole").glob("shard-*.arrow")))
    assert num_shards > 100
    for wanted in (2, 40, 90):
        killed_at(command_of(tmp_path, source, tmp_path / "c", 1), tmp_path / "c", wanted)
    assert not (tmp_path / "c" / MANIFEST).exists()
    subprocess.run(command_of(tmp_path, source, tmp_path / "c", 2), check=True, timeout=120)
    assert files_of(tmp_path / "c") == files_of(tmp_path / "whole")


@contextmanager
def full_disk(file_bytes: int) -> Iterator[None]:
    """No file can grow beyond so many bytes; a write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)


def test_a_disk_that_fills_is_told_and_leaves_no_half_file(tmp_path: Path):
    source = many_documents(tmp_path / "book.txt", 300)
    tokenizer = characters(Path(source).read_text())
    settings = CorpusSettings(held_out_share=0.3, shard_characters=1500)
    make_corpus([source], tmp_path / "at_once", tokenizer, settings)
    whole = files_of(tmp_path / "at_once")
    sizes = sorted((tmp_path / "at_once" / name).stat().st_size for name in whole)
    folder = tmp_path / "c"
    failed = set()
    for file_bytes in (100, 500, *(size - 1 for size in sizes)):
        with (
            full_disk(file_bytes),
            pytest.raises(JobError, match=r"could not be written .*finished shards are kept") as told,
        ):
            make_corpus([source], folder, tokenizer, settings)
        failed.add(Path(str(told.value).partition(":")[0]).name)
        there = files_of(folder)
        assert {name: whole.get(name) for name in there if name in whole} == {
            n: d for n, d in there.items() if n in whole
        }
        assert not [name for name in there if name.endswith((".tmp", ".partial"))] and MANIFEST not in there
    assert {"corpus.partial.jsonl", "tokenizer", "held_out.arrow"} <= failed
    assert any(name.startswith("shard-") for name in failed)
    make_corpus([source], folder, tokenizer, settings)
    assert files_of(folder) == whole


def test_a_damaged_folder_is_told(tmp_path: Path):
    tokenizer = characters(BOOK)
    source = written(tmp_path / "a.txt", BOOK)
    corpus = make_corpus([source], tmp_path / "c", tokenizer, ALL)
    other = make_corpus([written(tmp_path / "b.txt", "好。")], tmp_path / "d", tokenizer, ALL)
    os.replace(other.folder / "shard-00000.arrow", corpus.folder / "shard-00000.arrow")
    with pytest.raises(InputError, match=r"has 1 sentences where corpus\.json says 6"):
        corpus.shard(0)
    (corpus.folder / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="damaged or cut short"):
        Corpus.open(corpus.folder)


def test_an_annotator_that_cannot_travel_is_refused_with_several_processes(tmp_path: Path):
    class Local(Chapters):
        pass

    source = written(tmp_path / "a.txt", BOOK)
    with pytest.raises(InputError, match="use workers=1"):
        make_corpus([source], tmp_path / "c", characters(BOOK), ALL, Local(), workers=2)


def test_making_a_corpus_needs_no_torch():
    code = "import sys, wenmo.pretraining.corpus; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
