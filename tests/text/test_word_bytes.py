"""The ids of words as AllenNLP publishes them."""

import numpy as np

from wenmo.text.word_bytes import word_byte_ids

BEGIN, END, PADDING = 259, 260, 261


def test_a_word_is_its_bytes_between_markers_and_padding() -> None:
    ids = word_byte_ids(["cat", "é", ""])
    assert ids.shape == (3, 50) and ids.dtype == np.int32
    assert ids[0].tolist() == [BEGIN, ord("c") + 1, ord("a") + 1, ord("t") + 1, END] + [PADDING] * 45
    assert ids[1].tolist() == [BEGIN, 0xC3 + 1, 0xA9 + 1, END] + [PADDING] * 46
    assert ids[2].tolist() == [BEGIN, END] + [PADDING] * 48


def test_a_long_word_is_cut_at_48_bytes_even_inside_a_character() -> None:
    ids = word_byte_ids(["a" * 60, "a" * 47 + "é", "a" * 48])
    assert ids[0].tolist() == [BEGIN] + [98] * 48 + [END]
    assert ids[1].tolist() == [BEGIN] + [98] * 47 + [0xC3 + 1, END]
    assert ids[2].tolist() == ids[0].tolist()


def test_the_markers_of_a_text_are_words() -> None:
    ids = word_byte_ids(["<S>", "</S>", "S"])
    assert ids[0, :4].tolist() == [BEGIN, 257, END, PADDING]
    assert ids[1, :4].tolist() == [BEGIN, 258, END, PADDING]
    assert ids[2, :4].tolist() == [BEGIN, ord("S") + 1, END, PADDING]


def test_every_byte_has_an_id_of_its_own_and_none_is_0() -> None:
    # All bytes that UTF-8 uses; what it cannot hold is left out.
    ids = word_byte_ids(["\x00", "\x7f", "\ud800", "\U0010ffff"])
    assert ids[0, 1] == 1 and ids[1, 1] == 128 and ids[2, 1] == END
    assert ids[3, 1:6].tolist() == [0xF4 + 1, 0x8F + 1, 0xBF + 1, 0xBF + 1, END]
    assert ids.min() > 0


def test_no_words_are_no_rows() -> None:
    assert word_byte_ids([]).shape == (0, 50)
