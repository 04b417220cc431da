"""The next update's data is made while this one is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


class Ahead(Generic[Key, Made]):
    """One thread that makes what will be asked for next."""

    def __init__(self, make: Callable[[Key], Made]) -> None:
        """``make`` gives the same for a key whenever it is called; it must draw from no generator of the process."""
        self._make = make
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wenmo-data")
        self._next: tuple[Key, Future[Made]] | None = None

    def get(self, key: Key, following: Key | None) -> Made:
        """What is asked for now; what ``following`` asks for is made in the meantime. Its errors come when it is asked
        for."""
        waiting, self._next = self._next, None
        made = waiting[1].result() if waiting is not None and waiting[0] == key else self._make(key)
        if following is not None:
            self._next = following, self._pool.submit(self._make, following)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
