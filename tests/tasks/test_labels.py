"""Labels of rows as strings and as numbers."""

import numpy as np
import pytest

from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.tasks.labels import find_labels, label_ids, multi_hot


def test_labels_are_sorted_strings_and_never_converted() -> None:
    rows = [Row("x", label) for label in ("1", "01", "NA", "None", "0.5", "1")]
    assert find_labels(rows) == (("0.5", "01", "1", "NA", "None"), False)
    assert find_labels([Row("x", ("b", "a")), Row("y", ())]) == (("a", "b"), True)


def test_a_label_that_was_not_in_train_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match=r"dev\.tsv:7: the label 'c' was not seen in training; known are a, b"):
        label_ids([Row("x", "a", source="dev.tsv:6"), Row("y", "c", source="dev.tsv:7")], ("a", "b"), several=False)
    with pytest.raises(InputError, match="2 labels where one is wanted"):
        label_ids([Row("x", ("a", "b"), source="f:1")], ("a", "b"), several=False)
    assert label_ids([Row("x", ("b", "a")), Row("y", ())], ("a", "b"), several=True) == [[1, 0], []]


def test_several_labels_are_ones_in_a_row_of_zeros() -> None:
    assert multi_hot([np.array([2, 0]), np.array([], int)], 3).tolist() == [[1, 0, 1], [0, 0, 0]]
