"""What a long benchmark has measured so far, so that one that was stopped goes on behind it."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Finished:
    """The lines of a file, one for each finished run."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def once(self, which: Mapping[str, Any], run: Callable[[], Mapping[str, Any]]) -> None:
        """Run what is not done yet, and write down what it found, its seconds and those of the processor."""
        if any(which.items() <= row.items() for row in self.rows):
            return
        begun, cpu = time.perf_counter(), time.process_time()
        found = run()
        times = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
        self.rows.append({**which, **found, **times})
        with self._path.open("a") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
