"""What is asked for next is made in the meantime, and is the same."""

import threading

import pytest

from wenmo.training.ahead import Ahead


def test_the_next_one_is_made_by_another_thread_and_each_once() -> None:
    made: list[tuple[int, str]] = []

    def make(key: int) -> int:
        made.append((key, threading.current_thread().name))
        return key * key

    with Ahead(make) as ahead:
        assert [ahead.get(key, key + 1 if key < 3 else None) for key in range(4)] == [0, 1, 4, 9]
        assert ahead.get(7, None) == 49  # which nobody had announced
    assert [key for key, _ in made] == [0, 1, 2, 3, 7]
    assert [name.startswith("wenmo-data") for _, name in made] == [False, True, True, True, False]


def test_an_error_comes_when_the_thing_is_asked_for() -> None:
    def make(key: int) -> int:
        if key == 1:
            raise ValueError("no such thing")
        return key

    with Ahead(make) as ahead:
        assert ahead.get(0, 1) == 0
        with pytest.raises(ValueError, match="no such thing"):
            ahead.get(1, 2)
