"""Whether class weights, balanced sampling, focal loss and label smoothing find rare labels.

    python benchmarks/unbalanced.py [--quick] [--json] [--seeds N] [--data waimai|tnews]

Each model is trained with and without each of them on texts of which few have the rare label, and scored on texts of
the same kind. Everything is real data from the folder that WENMO_DATA names:

- waimai: take-away reviews (waimai_10k) thinned to 5 % positive ones; the rare label is `positive`;
- tnews: 6,000 news titles with 15 labels (CLUE); the rare label is the rarest, `news_stock`, 0.5 % of them.

Which texts these are follows from the seed, which is also that of the training. Models are chosen on dev by macro F1.
Behind each mean stands half of its 95 % interval over the seeds (Student's t); ``gain`` is the mean difference in macro
F1 to the same seed without any of them, with its own interval, which is the one to judge by.
"""

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

import wenmo
from wenmo.tasks.metrics import mean_and_interval

TREATMENTS: dict[str, dict[str, object]] = {
    "none": {},
    "--class-weights balanced": {"class_weights": "balanced"},
    "--sampling balanced": {"sampling": "balanced"},
    "--loss focal": {"loss": "focal"},
    "--label-smoothing 0.1": {"label_smoothing": 0.1},
    "focal + class weights": {"loss": "focal", "class_weights": "balanced"},
}
FOR_LINEAR = ("none", "--class-weights balanced")
SMALL = {
    "textcnn": ["model.embedding_size=100", "model.num_filters=50", "training.max_epochs=10"],
    "bag": ["training.max_epochs=15"],
    "tfidf": [],
}
Rows = list[tuple[str, str]]


def waimai(folder: Path, seed: int) -> tuple[Rows, Rows, Rows, str]:
    """Train, dev and test, each with 5 % positive reviews."""
    lines = (folder / "waimai_10k" / "all.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = sorted({tuple(line.split("\t", 1)) for line in lines})
    random.Random(seed).shuffle(rows)
    positive = [row for row in rows if row[0] == "positive"]
    negative = [row for row in rows if row[0] == "negative"]
    parts = []
    for common in (3800, 1900, 1900):
        rare = common // 19
        parts.append([*negative[:common], *positive[:rare]])
        negative, positive = negative[common:], positive[rare:]
    return parts[0], parts[1], parts[2], "positive"


def tnews(folder: Path, seed: int) -> tuple[Rows, Rows, Rows, str]:
    """6,000 titles to train on, 2,000 for dev, and 6,000 of the published dev part for test, none of them in train."""

    def read(name: str) -> Rows:
        lines = (folder / "tnews" / name).read_text(encoding="utf-8").splitlines()[1:]
        rows = sorted({tuple(line.split("\t", 1)) for line in lines})
        random.Random(seed).shuffle(rows)
        return rows

    test = read("dev.tsv")[:6000]
    known = {text for _, text in test}
    train = [row for row in read("train.tsv") if row[1] not in known]
    return train[:6000], train[6000:8000], test, "news_stock"


DATA = {"waimai": waimai, "tnews": tnews}


def write(path: Path, rows: Rows) -> Path:
    """A file with the header ``label``, ``text``."""
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return path


def score(model: str, treatment: str, files: dict[str, Path], rare: str, seed: int) -> dict[str, float]:
    """Train one model; its macro F1 and what it finds of the rare label, on test."""
    with tempfile.TemporaryDirectory() as name:
        wenmo.train(
            files["train"],
            dev=files["dev"],
            model=model,
            out=Path(name) / "model",
            overrides=[*SMALL[model], "task.metric=macro_f1"],
            seed=seed,
            **TREATMENTS[treatment],
        )
        found = wenmo.evaluate(Path(name) / "model", files["test"])
    rare_scores = found["per_class"][rare]
    return {
        "accuracy": found["metrics"]["accuracy"]["value"],
        "macro_f1": found["metrics"]["macro_f1"]["value"],
        "rare_recall": rare_scores["recall"],
        "rare_precision": rare_scores["precision"],
    }


def measure(name: str, seeds: int, models: list[str]) -> list[dict[str, object]]:
    """A row for each model and treatment: every score with its interval over the seeds."""
    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            train, dev, test, rare = DATA[name](Path(os.environ["WENMO_DATA"]), seed)
            parts = {"train": train, "dev": dev, "test": test}
            files = {part: write(Path(place) / f"{part}.tsv", rows) for part, rows in parts.items()}
            for model in models:
                for treatment in FOR_LINEAR if model == "tfidf" else TREATMENTS:
                    scores.setdefault((model, treatment), []).append(score(model, treatment, files, rare, seed))
    rows = []
    for (model, treatment), values in scores.items():
        gains = [a["macro_f1"] - b["macro_f1"] for a, b in zip(values, scores[model, "none"], strict=True)]
        figures = {metric: mean_and_interval([each[metric] for each in values]) for metric in values[0]}
        rows.append({"data": name, "model": model, "method": treatment, **figures, "gain": mean_and_interval(gains)})
    return rows


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a bag on waimai")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", choices=DATA, action="append")
    parser.add_argument("--models", default="textcnn,bag,tfidf")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.models, options.data = 2, "bag,tfidf", ["waimai"]
    rows = [row for name in options.data or DATA for row in measure(name, options.seeds, options.models.split(","))]
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    metrics = ("accuracy", "macro_f1", "rare_recall", "rare_precision", "gain")
    print("| data | model | method | " + " | ".join(metrics) + " |")
    print("|---" * (3 + len(metrics)) + "|")
    for row in rows:
        cells = [f"{100 * row[m]['value']:.1f} ± {50 * (row[m]['high'] - row[m]['low']):.1f}" for m in metrics]
        print(f"| {row['data']} | {row['model']} | {row['method']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
