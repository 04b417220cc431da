"""Word vectors from files as other programs write them, and embeddings from them."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from wenmo.errors import InputError
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig
from wenmo.text.vectors import Coverage, WordVectors, initial_embeddings, read_vectors

WORDS = ["the", "很好", "café"]
VALUES = [[0.5, -1.0, 2.25], [1.0, 0.0, -0.125], [3.5, 1e-3, 7.0]]
LINES = [f"{word} {' '.join(map(str, values))}" for word, values in zip(WORDS, VALUES, strict=True)]
RECORDS = [word.encode() + b" " + struct.pack("<3f", *values) for word, values in zip(WORDS, VALUES, strict=True)]
FORMATS = {
    "GloVe": "\n".join(LINES).encode() + b"\n",
    "GloVe, no newline at the end, carriage returns": "\r\n".join(LINES).encode(),
    "word2vec text": "\n".join(["3 3", *LINES, ""]).encode(),
    "fastText .vec, a space ends each line": " \n".join(["3 3", *LINES, ""]).encode(),
    "tabs": "\n".join(["3\t3", *LINES]).replace(" ", "\t").encode(),
    "word2vec binary": b"3 3\n" + b"".join(RECORDS),
    "word2vec binary, a newline ends each record": b"3 3\n" + b"\n".join([*RECORDS, b""]),
}


def write(folder: Path, content: bytes | str, name: str = "vectors") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_told_by_its_content(name: str, compress, tmp_path: Path):
    path = write(tmp_path, compress(FORMATS[name]), "misleading.bin.zip")
    vectors = read_vectors(path)
    assert vectors.words == WORDS
    assert vectors.matrix.tolist() == np.array(VALUES, np.float32).tolist()
    assert vectors.matrix.dtype == np.float32
    only = read_vectors(path, wanted={"café", "missing"})
    assert only.words == ["café"]
    assert only.matrix.tolist() == np.array(VALUES[2:], np.float32).tolist()
    assert read_vectors(path, wanted=[]).matrix.shape == (0, 3)


@pytest.mark.parametrize("wanted", [None, {". .", "new york", "the"}])
def test_words_of_glove_may_hold_spaces(wanted: set[str] | None, tmp_path: Path):
    path = write(tmp_path, ". . 1 2\nthe 3 4\nnew york 5 6\n")
    vectors = read_vectors(path, wanted)
    assert vectors.words == [". .", "the", "new york"]
    assert vectors.matrix.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("word", ["w" * length for length in range(1, 8)])
def test_text_is_known_as_text_wherever_the_first_look_at_it_ends(word: str, tmp_path: Path):
    content = gzip.compress(f"1 30000\n{word}{' -1e-05' * 30_000}\n".encode())
    vectors = read_vectors(write(tmp_path, content))
    assert vectors.words == [word]
    np.testing.assert_array_equal(vectors.matrix, np.full((1, 30_000), -1e-05, np.float32))


def test_a_word_may_be_a_number_or_a_space(tmp_path: Path):
    assert read_vectors(write(tmp_path, "7 1 2\n3.5 3 4\n  5 6\n\u00a0 7 8\n")).words == ["7", "3.5", "\u00a0"]


def test_of_equal_words_the_first_wins(tmp_path: Path):
    vectors = read_vectors(write(tmp_path, "a 1 2\nb 3 4\na 5 6\n"))
    assert vectors.words == ["a", "b"]
    assert vectors.matrix.tolist() == [[1, 2], [3, 4]]
    double = b"2 1\n" + b"a " + struct.pack("<f", 1) + b"a " + struct.pack("<f", 2)
    assert read_vectors(write(tmp_path, double)).matrix.tolist() == [[1]]


def test_bytes_that_are_no_utf8_do_not_stop_the_reading(tmp_path: Path):
    assert read_vectors(write(tmp_path, b"caf\xe9 1 2\nthe 3 4\n"), {"the"}).words == ["the"]
    assert read_vectors(write(tmp_path, b"caf\xe9 1 2\n")).words == ["caf\ufffd"]


@pytest.mark.parametrize("wanted", [None, {"a"}])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1 2 3\nb 1 2\n", r"vectors:2: 2 values after the word, but 3 are wanted \(as in line 1\)"),
        ("a 1 2\nb 1 2 3\n", r"vectors:2: 3 values after the word, but 2 are wanted \(as in line 1\)"),
        ("2 3\na 1 2 3\nb 1 2\n", r"vectors:3: 2 values after the word, but 3 are wanted \(says the header\)"),
        ("2 2\na 1 2 3\nb 1 2\n", r"vectors:2: 3 values after the word, but 2 are wanted \(says the header\)"),
        ("a 1 2\na b 1\n", r"vectors:2: 1 values after the word, but 2 are wanted"),
        ("a 1 2\na 1 x\n", r"vectors:2: 0 values after the word, but 2 are wanted"),
    ],
)
def test_a_wrong_number_of_values_is_an_error_with_its_line(content: str, message: str, wanted, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        read_vectors(write(tmp_path, content), wanted)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no word followed by its values"),
        (b"Dear reader,\nthis is no vector file\n", "vectors:1: no word followed by its values"),
        (b"0 300\n", "nothing to read"),
        (b"2 2\na 1 2\n", "ends after 1 of 2 vectors"),
        (b"2 3\nab " + struct.pack("<3f", 1, 2, 3) + b"c " + struct.pack("<2f", 1, 2), "ends within vector 2 of 2"),
        (b"9 2\n" + b"\xff" * 50_000 + b" " + b"\xff" * 100, "vector 1 has no word"),
        (b"a 1 nan\n", "'a' has a value that is not a finite number"),
        (b"a 1 1e99\n", "'a' has a value that is not a finite number"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", r"fastText model \(\.bin\)"),
        (b"\x80\x04\x95 pickled", "a pickle"),
        (b"BZh91AY", "bzip2"),
        (gzip.compress(FORMATS["GloVe"] * 100, mtime=0)[:-20], "gzip file is damaged or cut short"),
    ],
)
def test_a_file_of_another_kind_or_cut_short_is_an_error(content: bytes, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        read_vectors(write(tmp_path, content))


def test_the_zip_that_glove_is_published_in_is_named(tmp_path: Path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("glove.txt", FORMATS["GloVe"])
    with pytest.raises(InputError, match="zip archive; unzip it first"):
        read_vectors(write(tmp_path, archive.getvalue()))


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path / "nowhere.vec")
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_memory_holds_the_wanted_words_alone(kind: str, tmp_path: Path):
    size, count = 100, 20_000
    row = np.linspace(-1, 1, size, dtype=np.float32)
    path = tmp_path / "many"
    with path.open("wb") as file:
        file.write(f"{count} {size}\n".encode())
        for number in range(count):
            values = row.tobytes() if kind == "binary" else " ".join(map(str, row.tolist())).encode() + b"\n"
            file.write(f"w{number} ".encode() + values)
    tracemalloc.start()
    vectors = read_vectors(path, {"w7", "w19999"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vectors.words == ["w7", "w19999"]
    np.testing.assert_array_equal(vectors.matrix, np.stack([row, row]))
    assert path.stat().st_size > 8e6
    assert peak < 13e6  # the binary reader holds two blocks of 4 MiB for a moment


VOCABULARY = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(3000))]


def vectors_for(words: list[str], size: int, scale: float) -> WordVectors:
    return WordVectors(words, np.random.default_rng(3).normal(0.1, scale, (len(words), size)).astype(np.float32))


def test_without_vectors_all_words_are_uniform_between_a_quarter():
    embeddings, known, coverage = initial_embeddings(VOCABULARY, None, 50, seed=1)
    assert embeddings.shape == (3002, 50)
    assert embeddings.dtype == np.float32
    assert not embeddings[0].any()
    assert embeddings[1:].min() == pytest.approx(-0.25, abs=1e-4)
    assert embeddings[1:].max() == pytest.approx(0.25, abs=1e-4)
    assert embeddings[1:].var() == pytest.approx(0.25**2 / 3, rel=0.02)  # the variance of uniform(-a, a)
    assert not known.any()
    assert coverage is None


def test_unknown_words_have_the_variance_of_the_known_ones():
    vectors = vectors_for([*VOCABULARY[1002:], "not-in-the-text"], 50, scale=0.4)
    vectors.matrix[-1] = 1000.0  # of a word that is not used
    embeddings, known, _ = initial_embeddings(VOCABULARY, vectors, 50, seed=1)
    assert known.tolist() == [False] * 1002 + [True] * 2000
    np.testing.assert_array_equal(embeddings[1002:], vectors.matrix[:-1])
    unknown = embeddings[1:1002]
    assert unknown.var() == pytest.approx(vectors.matrix[:-1].var(), rel=0.02)
    assert np.abs(unknown).max() <= np.sqrt(3 * vectors.matrix[:-1].var()) * 1.001
    assert not embeddings[0].any()


def test_the_draw_depends_on_the_seed_alone():
    vectors = vectors_for(["w5"], 8, scale=0.4)
    one, two, other = (initial_embeddings(VOCABULARY, vectors, 8, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one[1] != other[1]).all()
    random, _, _ = initial_embeddings(VOCABULARY, None, 8, seed=1)
    scaled = one[1:7] / one[1, 0] * random[1, 0]  # the words around w5 are the same draw on another scale
    np.testing.assert_allclose(scaled, random[1:7], rtol=1e-5)


def test_vectors_of_no_word_or_without_variance_leave_the_quarter():
    for vectors in (vectors_for(["elsewhere"], 8, 1.0), WordVectors(["w5"], np.zeros((1, 8), np.float32))):
        embeddings, _, _ = initial_embeddings(VOCABULARY, vectors, 8, seed=1)
        assert embeddings[1:].max() == pytest.approx(0.25, abs=1e-3)


def test_the_special_tokens_take_no_vector():
    embeddings, known, coverage = initial_embeddings(["[PAD]", "[UNK]"], vectors_for(["[PAD]", "[UNK]"], 4, 1.0), 4, 0)
    assert not embeddings[0].any()
    assert not known.any()
    assert coverage == Coverage(types=0, types_covered=0, tokens=0, tokens_covered=0)


def test_vectors_of_another_width_are_refused_with_both():
    with pytest.raises(InputError, match="100 values a word, but embedding_size is 300"):
        initial_embeddings(VOCABULARY, vectors_for(["w1"], 100, 1.0), 300, seed=0)


def test_coverage_counts_words_and_their_tokens():
    vocabulary = ["[PAD]", "[UNK]", "the", "film", "zyzzyva"]
    counts = {"the": 1200, "film": 30, "zyzzyva": 2, "rare": 1}
    *_, coverage = initial_embeddings(vocabulary, vectors_for(["the", "film"], 4, 1.0), 4, 0, counts)
    assert coverage == Coverage(types=3, types_covered=2, tokens=1233, tokens_covered=1230)
    assert coverage.as_sentence() == "Vectors cover 2 of 3 words (66.7%) and 99.8% of the 1,233 tokens of the text."
    *_, uncounted = initial_embeddings(vocabulary, vectors_for(["the"], 4, 1.0), 4, 0)
    assert uncounted is not None
    assert uncounted.as_sentence() == "Vectors cover 1 of 3 words (33.3%)."


def test_the_glove_vectors_cover_92_percent_of_movie_reviews(data_folder: Path):
    lines = (data_folder / "mr" / "all.tsv").read_text("utf-8").splitlines()[1:]
    texts = [line.partition("\t")[2] for line in lines]
    tokenizer = Tokenizer.train(texts, TokenizerConfig(segmenter="whitespace"))
    vectors = read_vectors(data_folder / "vectors_en" / "glove.6B.100d.subset.txt.gz", tokenizer.vocabulary)
    counts = Counter(token for text in texts for token in tokenizer.tokenize(text))
    embeddings, known, coverage = initial_embeddings(tokenizer.vocabulary, vectors, 100, 0, counts)
    assert coverage is not None
    assert 0.915 < coverage.tokens_covered / coverage.tokens < 0.925
    assert embeddings[tokenizer.vocabulary.index("the")][:2].tolist() == pytest.approx([-0.03819, -0.2449])
    assert embeddings[~known][1:].var() == pytest.approx(embeddings[known].var(), rel=0.02)
