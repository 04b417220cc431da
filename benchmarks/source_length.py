"""BLEU against the length of the source, of models with and without attention, as in Bahdanau et al. 2015, figure 2.

    python benchmarks/source_length.py TEST.tsv NAME=FOLDER NAME=FOLDER ... [--bins 4] [--out FIGURE.svg] [--json]

TEST has the columns source and target. The texts are sorted by the words of their source and cut into bins of as many
texts; of each bin the BLEU of each model (sacreBLEU, as `wenmo evaluate`) with its 95 % interval, and behind the last
two models their difference. ``--out`` draws the figure.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import wenmo
from line_chart import Line, line_chart
from wenmo.data.parallel import read_parallel
from wenmo.reports.markup import Markup
from wenmo.tasks.translation_metrics import translation_metrics


def measured(test: Path, models: Sequence[tuple[str, str]], num_bins: int) -> list[dict[str, Any]]:
    """A row for each bin and model."""
    rows = read_parallel(test).rows
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].text.split()))
    bins = np.array_split(np.array(order), num_bins)
    found = []
    for name, folder in models:
        said = [answer.target for answer in wenmo.load(folder).predict(row.text for row in rows)]
        for places in bins:
            lengths = [len(rows[i].text.split()) for i in places]
            references = [rows[i].target or "" for i in places]
            bleu = translation_metrics(references, [said[i] for i in places])["bleu"]
            found.append(
                {
                    "model": name,
                    "words": [min(lengths), max(lengths)],
                    "mean_words": float(np.mean(lengths)),
                    "texts": len(places),
                    **bleu,
                }
            )
    return found


def figure(rows: Sequence[dict[str, Any]]) -> Markup:
    """BLEU over words, a line for each model, with the intervals as bars."""
    lines = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        intervals = [(row["low"], row["high"]) for row in own]
        lines.append(Line(name, [row["mean_words"] for row in own], [row["value"] for row in own], intervals))
    return line_chart(lines, x_title="words of the source", y_title="BLEU")


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", type=Path)
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--bins", type=int, default=4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measured(asked.test, [tuple(each.split("=", 1)) for each in asked.models], asked.bins)
    if asked.out is not None:
        asked.out.write_text(figure(rows), encoding="utf-8")
    if asked.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        low, high = row["words"]
        print(
            f"{row['model']:16} {low:3} to {high:3} words, {row['texts']:4} texts  "
            f"BLEU {row['value']:5.1f} ({row['low']:.1f} to {row['high']:.1f})"
        )


if __name__ == "__main__":
    main()
