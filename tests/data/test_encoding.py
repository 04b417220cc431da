import gzip
import io
import sys
import tracemalloc
from pathlib import Path

import pytest

from wenmo.data.encoding import read_lines
from wenmo.errors import InputError

CHINESE = "房间很干净，前台也热情\n下次来还住这里\n书的纸张太差，读了一半就后悔\n"


def lines_of(source: Path | str, notes: list[str] | None = None, encoding: str | None = None) -> list[str]:
    return list(read_lines(source, encoding=encoding, tell=[].append if notes is None else notes.append))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


class Pipe(io.RawIOBase):
    """Standard input that hands over the pieces one by one, as a live pipe does."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self.pieces.pop(0) if self.pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


def give_standard_input(monkeypatch: pytest.MonkeyPatch, *pieces: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(*pieces))))


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"])
def test_the_same_lines_come_out_of_every_encoding_that_is_recognised(tmp_path: Path, codec: str):
    mark = "\ufeff" if codec == "utf-16-be" else ""
    path = written(tmp_path / "a.txt", (mark + CHINESE).encode(codec))
    assert lines_of(path) == CHINESE.splitlines()


def test_only_gb18030_is_a_guess_and_said_to_be_one(tmp_path: Path):
    for codec, said in {"utf-8": 0, "utf-16": 0, "gb18030": 1}.items():
        notes: list[str] = []
        lines_of(written(tmp_path / codec, CHINESE.encode(codec)), notes)
        assert len(notes) == said
    assert "GB18030" in notes[0]


def test_traditional_characters_and_four_byte_characters_are_read_as_gb18030(tmp_path: Path):
    text = "房間很乾淨，櫃檯人員也非常熱情\n𠮷野家的牛肉飯\n"
    assert lines_of(written(tmp_path / "a.txt", text.encode("gb18030"))) == text.splitlines()


def test_a_damaged_byte_in_utf8_is_named_with_its_offset_and_line(tmp_path: Path):
    content = "好看\n".encode() + b"ab\xffcd\n"
    with pytest.raises(InputError, match=r"a\.txt:2: the byte 0xFF at offset 9 is not UTF-8"):
        lines_of(written(tmp_path / "a.txt", content))


@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_the_offset_is_right_when_a_character_lies_across_two_blocks(tmp_path: Path, encoding: str | None):
    for beginning in (b"\n", b"a\n", b"ab\n"):  # in two of the three, the end of any block cuts a character
        content = beginning + "好".encode() * 800_000
        with pytest.raises(InputError, match=rf":2: the byte 0xFF at offset {len(content)} "):
            lines_of(written(tmp_path / "a.txt", content + b"\xff" + "看".encode() * 10), encoding=encoding)
        assert lines_of(written(tmp_path / "b.txt", content), encoding=encoding)[1] == "好" * 800_000


@pytest.mark.parametrize(
    "content",
    [
        CHINESE.encode() + CHINESE.encode("gb18030"),
        CHINESE.encode("gb18030") + CHINESE.encode(),
        "好看\n难看\n好看\n".encode() + "好看\n".encode("gb18030"),  # short enough to be GB18030, all of it
        CHINESE.encode()[:-3],  # the last character is cut off
    ],
)
def test_mixed_encodings_are_refused_and_not_guessed(tmp_path: Path, content: bytes):
    with pytest.raises(InputError, match=r"is not UTF-8, and .*(the encodings are mixed|is not GB18030 either)"):
        lines_of(written(tmp_path / "a.txt", content))


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("une soirée très agréable, déjà vu\nle café d'été\n", "cp1252"),
        ("un métro bondé, mais agréablement décoré\n", "cp1252"),
        ("房間很乾淨，前臺也熱情，下次來還住這裡\n書的紙張太差，讀了一半就後悔\n", "big5"),
    ],
)
def test_other_encodings_are_not_taken_for_gb18030_but_read_when_named(tmp_path: Path, text: str, codec: str):
    path = written(tmp_path / "a.txt", text.encode(codec))
    with pytest.raises(InputError, match="name its encoding"):
        lines_of(path)
    assert lines_of(path, encoding=codec) == text.splitlines()


def test_a_named_encoding_is_held_to_and_an_unknown_one_refused(tmp_path: Path):
    path = written(tmp_path / "a.txt", "a\nb\n好".encode("gb18030"))
    with pytest.raises(InputError, match=r":3: the byte 0xBA at offset 4 is not utf-8"):
        lines_of(path, encoding="utf-8")
    with pytest.raises(InputError, match="no text encoding is named 'utf-9'"):
        lines_of(path, encoding="utf-9")
    with pytest.raises(InputError, match="no text encoding is named 'base64'"):
        lines_of(path, encoding="base64")


def test_a_nul_byte_is_named_with_its_line(tmp_path: Path):
    with pytest.raises(InputError, match=r"a\.txt:2: a NUL byte"):
        lines_of(written(tmp_path / "a.txt", b"one\ntw\0o\n"))
    with pytest.raises(InputError, match=r":1: a NUL byte.*utf-16-le"):
        lines_of(written(tmp_path / "b.txt", "text".encode("utf-16-le")))


def test_only_a_line_feed_ends_a_line(tmp_path: Path):
    text = "one\u2028still\x85still\x0cstill\rstill"
    assert lines_of(written(tmp_path / "a.txt", f"{text}\ntwo".encode())) == [text, "two"]


@pytest.mark.parametrize("pack", ["gzip", "zstandard", "two gzip members", "two Zstandard frames"])
def test_packed_files_are_unpacked_whatever_their_name(tmp_path: Path, pack: str):
    zstandard = pytest.importorskip("zstandard")
    squeeze = gzip.compress if "gzip" in pack else zstandard.ZstdCompressor().compress
    content = CHINESE.encode()
    packed = squeeze(content[:20]) + squeeze(content[20:]) if "two" in pack else squeeze(content)
    assert lines_of(written(tmp_path / "a.txt", packed)) == CHINESE.splitlines()


@pytest.mark.parametrize("pack", ["gzip", "zstandard"])
def test_a_packed_file_that_is_cut_off_is_an_error_and_not_a_shorter_file(tmp_path: Path, pack: str):
    zstandard = pytest.importorskip("zstandard")
    content = "".join(f"line {number} {number * 7919 % 10007}\n" for number in range(50_000)).encode()
    packed = gzip.compress(content) if pack == "gzip" else zstandard.ZstdCompressor().compress(content)
    with pytest.raises(InputError, match="cut off"):
        lines_of(written(tmp_path / "a.txt", packed[: len(packed) // 2]))


def test_a_workbook_under_the_name_of_a_text_is_called_what_it_is(tmp_path: Path):
    with pytest.raises(InputError, match="not text but an Excel workbook"):
        lines_of(written(tmp_path / "a.csv", b"PK\x03\x04 and so on"))


def test_a_line_of_ten_megabytes_is_read_and_noted(tmp_path: Path):
    notes: list[str] = []
    content = b"short\n" + b"x" * 10_000_000 + b"\nshort\n"
    lines = lines_of(written(tmp_path / "a.txt", content), notes)
    assert [len(line) for line in lines] == [5, 10_000_000, 5]
    assert len(notes) == 1
    assert "a.txt:2: a line of 10,000,000 characters" in notes[0]


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_a_large_file_is_read_in_flat_memory(tmp_path: Path, codec: str):
    with (tmp_path / "a.txt.gz").open("wb") as file, gzip.open(file, "wb", compresslevel=1) as packed:
        for _ in range(12):
            packed.write("书的纸张太差，读了一半就后悔\n".encode(codec) * 20_000)  # 240,000 lines: 25 MB as a list
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_lines(tmp_path / "a.txt.gz", tell=[].append))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 240_000
    assert peak < 12_000_000


def test_standard_input_is_decided_by_the_first_block_that_is_not_ascii(monkeypatch: pytest.MonkeyPatch):
    for codec in ("utf-8", "gb18030"):
        give_standard_input(monkeypatch, b"plain\n", b"ascii\n", CHINESE.encode(codec), CHINESE.encode(codec))
        assert lines_of("-") == ["plain", "ascii", *CHINESE.splitlines(), *CHINESE.splitlines()]
    give_standard_input(monkeypatch, CHINESE.encode("utf-16"))
    assert lines_of("-") == CHINESE.splitlines()


def test_standard_input_gives_lines_while_the_pipe_is_open(monkeypatch: pytest.MonkeyPatch):
    give_standard_input(monkeypatch, "好看\n难".encode(), "看\n".encode(), b"never reached\n")
    lines = read_lines("-", tell=[].append)
    assert [next(lines), next(lines)] == ["好看", "难看"]


def test_a_character_across_two_pieces_of_a_pipe_is_whole(monkeypatch: pytest.MonkeyPatch):
    content = CHINESE.encode()
    give_standard_input(monkeypatch, content[:31], content[31:62], content[62:])
    assert lines_of("-") == CHINESE.splitlines()


def test_standard_input_that_changes_its_encoding_is_an_error_with_the_place(monkeypatch: pytest.MonkeyPatch):
    give_standard_input(monkeypatch, CHINESE.encode(), "好\n".encode("gb18030"))
    with pytest.raises(InputError, match=rf"standard input:4: the byte 0xBA at offset {len(CHINESE.encode())} is not"):
        lines_of("-")


def test_packed_standard_input_is_unpacked(monkeypatch: pytest.MonkeyPatch):
    give_standard_input(monkeypatch, gzip.compress(CHINESE.encode()))
    assert lines_of("-") == CHINESE.splitlines()


def test_a_file_that_cannot_be_opened_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be opened"):
        lines_of(tmp_path / "missing.txt")


def test_lines_with_bytes_of_another_encoding_are_left_out_and_counted_when_asked(tmp_path: Path):
    good = CHINESE.encode()
    path = written(tmp_path / "a.txt", good + b"\xff\xfe broken\n" + good + b"a\0b\n" + good[:-1])
    with pytest.raises(InputError, match=r"a\.txt:4: the byte 0xFF"):
        lines_of(path)
    skipped: list[str] = []
    lines = list(read_lines(path, tell=print, skip=skipped.append))
    assert lines == CHINESE.splitlines() * 3
    assert skipped == [f"{path}:4", f"{path}:8"]


def test_skipping_lines_knows_byte_order_marks_and_other_encodings(tmp_path: Path):
    skipped: list[str] = []
    marked = written(tmp_path / "marked.txt", CHINESE.encode("utf-8-sig"))
    other = written(tmp_path / "other.txt", CHINESE.encode("gb18030"))
    for path in (marked, other):
        assert list(read_lines(path, tell=[].append, skip=skipped.append)) == CHINESE.splitlines()
    assert skipped == []
    wide = written(tmp_path / "wide.txt", CHINESE.encode("utf-16"))
    with pytest.raises(InputError, match="convert the text"):
        list(read_lines(wide, tell=[].append, skip=skipped.append))


def test_a_file_that_is_mostly_unreadable_is_not_skipped_away(tmp_path: Path):
    path = written(tmp_path / "a.txt", b"ok\n" + "écoute\n".encode("cp1252") * 3)
    with pytest.raises(InputError, match="3 of 4 lines are not utf-8"):
        list(read_lines(path, encoding="utf-8", tell=print, skip=[].append))
