"""Shards made by several processes: in flat memory, and never a hang where one of them dies."""

import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from wenmo.errors import InputError, JobError
from wenmo.pretraining.documents import Document
from wenmo.pretraining.making import ShardInfo, ShardMaker

_Task = tuple[Path, Sequence[Document]]


def made_by(maker: ShardMaker, tasks: Iterator[_Task], workers: int) -> Iterator[ShardInfo]:
    """Make shards, each as soon as there is a process for it; they come as they are finished.

    Tasks are asked for one by one, so at most ``workers`` + 1 of them are in memory. With one worker, this process does
    the work itself.

    Raises:
        InputError: tokenizer or annotator cannot be sent to other processes.
        JobError: a process died.
    """
    if workers == 1:
        # Not a loop over pairs, which would hold the documents of one shard while those of the next are read.
        while (task := next(tasks, None)) is not None:
            made = maker.make(*task)
            del task
            yield made
        return
    # Not forked: a copy of a process with threads, such as those of torch, may wait forever for one that it lacks.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _prepare, (_pickled(maker),))
    try:
        yield from _in_pool(pool, tasks, workers)
    except BrokenProcessPool as error:
        raise JobError(
            "a process that makes shards died, killed from outside or out of memory; what is finished is kept: run the "
            "same again, with fewer workers or smaller corpus.shard_characters"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_pool(pool: ProcessPoolExecutor, tasks: Iterator[_Task], workers: int) -> Iterator[ShardInfo]:
    waiting: set[Future[ShardInfo]] = set()
    while (task := next(tasks, None)) is not None:
        waiting.add(pool.submit(_make, *task))
        del task
        if len(waiting) > workers:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _pickled(maker: ShardMaker) -> bytes:
    try:
        return pickle.dumps(maker)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"the tokenizer or the annotator cannot be sent to other processes ({error}); use workers=1"
        ) from error


_pickled_maker = b""
_maker: ShardMaker | None = None
"""Of a worker process; made when its first task comes, so that what goes wrong is the error of that task."""


def _prepare(pickled: bytes) -> None:
    global _pickled_maker
    _pickled_maker = pickled
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # every processor has a worker already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody, and is for the process that reads
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task forever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _make(path: Path, documents: Sequence[Document]) -> ShardInfo:
    global _maker
    if _maker is None:
        _maker = pickle.loads(_pickled_maker)
    assert _maker is not None
    return _maker.make(path, documents)
