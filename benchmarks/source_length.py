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
from wenmo.data.parallel import read_parallel
from wenmo.reports.axes import Axis, around, label
from wenmo.reports.markup import Markup, element
from wenmo.tasks.translation_metrics import translation_metrics

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 340, 48, 44
COLOURS = ("#1b6ca8", "#c8553d", "#3f8f4f", "#7a5195")


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
    names = list(dict.fromkeys(row["model"] for row in rows))
    words = [row["mean_words"] for row in rows]
    x_axis = Axis(min(words) - 1, max(words) + 1, LEFT, WIDTH - 12)
    y_axis = Axis(*around([row[end] for row in rows for end in ("low", "high")]), HEIGHT - BOTTOM, 16)
    parts: list[Markup] = []
    for tick in y_axis.ticks(6):
        y = y_axis.at(tick)
        parts.append(element("line", x1=LEFT, x2=WIDTH - 12, y1=y, y2=y, stroke="#ddd"))
        parts.append(element("text", label(tick), x=LEFT - 6, y=y + 4, text_anchor="end"))
    for tick in x_axis.ticks(6):
        parts.append(element("text", label(tick), x=x_axis.at(tick), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    parts.append(element("text", "words of the source", x=WIDTH - 12, y=HEIGHT - 6, text_anchor="end"))
    parts.append(element("text", "BLEU", x=2, y=12))
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        own = [row for row in rows if row["model"] == name]
        points = [(x_axis.at(row["mean_words"]), y_axis.at(row["value"])) for row in own]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(element("polyline", points=path, fill="none", stroke=colour, stroke_width=2))
        for row, (x, _) in zip(own, points, strict=True):
            low, high = y_axis.at(row["low"]), y_axis.at(row["high"])
            parts.append(element("line", x1=x, x2=x, y1=low, y2=high, stroke=colour, stroke_opacity=0.5))
        parts.append(element("text", name, x=LEFT + 10, y=HEIGHT - BOTTOM - 12 - 16 * number, fill=colour))
    background = element("rect", width=WIDTH, height=HEIGHT, fill="white")
    return element(
        "svg",
        background,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        font_family="sans-serif",
        font_size=12,
    )


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
