"""The loss on dev of several runs while they learnt, against seconds and against tokens.

    python benchmarks/loss_curves.py NAME=FOLDER NAME=FOLDER ... --out FIGURES/loss --tokens-per-step 768

Each FOLDER is a run whose recipe looks at dev several times (``-o training.eval_steps=100``). Two figures are drawn,
``FIGURES/loss-seconds.svg`` and ``FIGURES/loss-tokens.svg``. Seconds are those of the run, looks at dev included.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from line_chart import Line, line_chart


def read_log(folder: Path) -> list[dict[str, float]]:
    """The looks at dev, each once."""
    lines = (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()
    looks = {record["step"]: record for record in map(json.loads, lines)}
    return [looks[step] for step in sorted(looks)]


def lines_of(runs: Sequence[tuple[str, Path]], tokens_per_step: int) -> tuple[list[Line], list[Line]]:
    """Against seconds, and against tokens."""
    by_seconds, by_tokens = [], []
    for name, folder in runs:
        log = read_log(folder)
        loss = [record["dev_cross_entropy"] for record in log]
        by_seconds.append(Line(name, [record["seconds"] for record in log], loss))
        by_tokens.append(Line(name, [record["step"] * tokens_per_step for record in log], loss))
    return by_seconds, by_tokens


def main() -> None:
    """Read the logs and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="beginning of the names of both figures")
    parser.add_argument("--tokens-per-step", type=int, required=True)
    asked = parser.parse_args()
    pairs = [each.split("=", 1) for each in asked.runs]
    by_seconds, by_tokens = lines_of([(name, Path(folder)) for name, folder in pairs], asked.tokens_per_step)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for lines, what in ((by_seconds, "seconds"), (by_tokens, "tokens")):
        chart = line_chart(lines, x_title=what, y_title="nats a token", legend="top")
        asked.out.with_name(f"{asked.out.name}-{what}.svg").write_text(chart, encoding="utf-8")
    for line in by_seconds:
        print(f"{line.name:16} {line.y[-1]:.3f} nats a token at the end, after {line.x[-1]:.0f} s")


if __name__ == "__main__":
    main()
