"""Is the promise of ``--abstain`` kept? A thousand random splits of real texts into calibration and test.

    python benchmarks/abstention.py --data FOLDER [--model tfidf] [--resplits 1000] [--quick] [--json]

Each data set is pooled from all its files and dealt into 40 % to train on, 10 % dev and 50 % held out. A model is
trained once. Of its answers to the held-out texts, each repetition draws rows to lay out the order of the tests (a
fifth of them) and to calibrate on (two fifths), makes the promise, and looks whether it is kept. "Kept" is told in
three ways, because what is promised is the error over the *distribution*, and a test part is only a sample of it:

- ``exact``: the held-out rows behind the layout *are* the distribution, and the calibration rows are drawn from them
  with replacement. Then the true error above a threshold is known exactly, and this is the share of broken promises. It
  may be at most 1 - confidence (but for the noise of a thousand repetitions, 0.7 points at 5 %).
- ``pooled``: calibration rows are drawn without replacement, and the error of all rows, calibration and test, counts.
- ``test``: likewise, but the error of the test part alone counts. That part scatters by itself: it may lie above a
  risk that is kept, most of all where the true error is just below it. And where the calibration rows were luckily
  right, the rest is unluckily wrong. So this share may be over 1 - confidence without any promise being broken.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wenmo
from wenmo.data.readers import read_rows
from wenmo.data.splits import split_rows
from wenmo.tasks.abstention import CalibrationRows, Layout, make_promise
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe
from wenmo.training.run import run

SETS = {
    "chnsenticorp": ("train.tsv", "dev.tsv", "test.tsv"),
    "sst2": ("train.tsv", "dev.tsv", "test.tsv"),
    "waimai_10k": ("all.tsv",),
    "thucnews_titles": ("train.tsv", "dev.tsv", "test.tsv"),
}
RISKS = (0.01, 0.02, 0.05, 0.1)
CONFIDENCES = (0.9, 0.95)
_MOST_HELD_OUT = 6000


def held_out_answers(folder: Path, files: tuple[str, ...], model: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """How sure a fresh model is of each held-out text, and whether it is right."""
    rows = [row for file in files for row in read_rows(folder / file).rows]
    parts = [[rows[i] for i in part] for part in split_rows(rows, [0.4, 0.1, 0.5], seed=0)]
    recipe = Recipe.build(model=model, values={"data": {"train": str(folder / files[0])}})
    with tempfile.TemporaryDirectory() as place:
        run(recipe, Path(place) / "model", corpus=Corpus(train=parts[0], dev=parts[1]))
        loaded = wenmo.load(Path(place) / "model")
        answers = loaded.predict(row.text for row in parts[2])
    confidence = np.array([each.probability for each in answers])
    return confidence, np.array([each.label == row.label for each, row in zip(answers, parts[2], strict=True)])


def resplit(
    confidence: NDArray[Any], right: NDArray[np.bool_], risk: float, sureness: float, times: int
) -> dict[str, Any]:
    """Make the promise on random calibration rows again and again, and count how it goes."""
    rng = np.random.default_rng(0)
    size = min(len(confidence), _MOST_HELD_OUT)
    broken = {"exact": 0, "pooled": 0, "test": 0}
    made, coverage = 0, []
    for _ in range(times):
        order = rng.permutation(len(confidence))[:size]
        lay, rest = order[: size // 5], order[size // 5 :]
        layout = Layout.of(confidence[lay], right[lay])
        drawn = {"exact": rng.choice(rest, size=len(rest) // 2), "pooled": rest[: len(rest) // 2]}
        judged = {"exact": ("exact", rest), "pooled": ("pooled", rest), "test": ("pooled", rest[len(rest) // 2 :])}
        thresholds = {}
        for way, rows in drawn.items():
            kept = CalibrationRows.of(confidence[rows], right[rows], layout, {}, np.zeros(len(rows)))
            promise = make_promise(kept, risk, sureness)
            thresholds[way] = np.inf if promise is None else promise.threshold
        made += np.isfinite(thresholds["exact"])
        coverage.append(float((confidence[rest] >= thresholds["exact"]).mean()))
        for way, (by, rows) in judged.items():
            answered = confidence[rows] >= thresholds[by]
            broken[way] += bool(answered.any() and (~right[rows][answered]).mean() > risk)
    return {
        "risk": risk,
        "confidence": sureness,
        "calibration_rows": (size - size // 5) // 2,
        "promises_made": made / times,
        "coverage": float(np.mean(coverage)),
        **{f"broken_{way}": count / times for way, count in broken.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--model", default="tfidf")
    parser.add_argument("--resplits", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="50 resplits of the smallest two sets")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = ("chnsenticorp", "sst2") if arguments.quick else tuple(SETS)
    times = 50 if arguments.quick else arguments.resplits
    rows = []
    for name in names:
        confidence, right = held_out_answers(arguments.data / name, SETS[name], arguments.model)
        for risk in RISKS:
            if risk >= (~right).mean():  # answering everything would do
                continue
            for sureness in CONFIDENCES:
                found = resplit(confidence, right, risk, sureness, times)
                rows.append({"set": name, "model": arguments.model, "error": float((~right).mean()), **found})
                if not arguments.json:
                    print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in rows[-1].items()))
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
