"""Numbers that are a function of what they are for."""

import numpy as np

from wenmo.pretraining.draws import Draws, repeated


def test_they_are_uniform_and_have_nothing_to_do_with_each_other():
    numbers = Draws(3).uniform(np.arange(2000), "masks", 3, 50)
    assert numbers.shape == (3, 2000, 50) and numbers.min() >= 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    expected = numbers.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 50  # chi squared of 19 degrees: 50 once in ten thousand
    flat = numbers.reshape(3, -1)
    pairs = [(flat[0], flat[1]), (flat[1], flat[2]), (flat[0][:-1], flat[0][1:]), (flat[0][:-50], flat[0][50:])]
    for a, b in pairs:
        assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(len(a))


def test_a_row_has_the_same_numbers_beside_any_others():
    all_rows = Draws(3, 1, 2).uniform(np.arange(10), "masks", 2, 30)
    alone = Draws(3, 1, 2).uniform(np.array([7]), "masks", 2, 12)
    assert np.array_equal(alone[:, 0], all_rows[:, 7, :12])


def test_seed_shard_pass_and_purpose_all_count():
    rows = np.arange(3)
    drawn = [
        Draws(*numbers).uniform(rows, purpose, 1, 4)
        for numbers, purpose in [
            ((1, 0, 0), "a"),
            ((2, 0, 0), "a"),
            ((1, 1, 0), "a"),
            ((1, 0, 1), "a"),
            ((1, 0, 0), "b"),
        ]
    ]
    assert len({each.tobytes() for each in drawn}) == 5
    assert len({Draws(1, shard).generator("cut").random() for shard in range(5)}) == 5
    assert Draws(1).generator("cut").random() == Draws(1).generator("cut").random()


def test_static_passes_repeat():
    assert [repeated(number, 3) for number in range(5)] == [0, 1, 2, 0, 1]
    assert repeated(5, 0) == 5
