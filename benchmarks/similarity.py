"""How alike two texts are, by the vectors of models that never learnt it, and by the same models behind some training.

    WENMO_DATA=... python benchmarks/similarity.py --out runs/alike --sets mrpc --models minilm=FOLDER,elmo=FOLDER
    WENMO_DATA=... python benchmarks/similarity.py --out runs/alike --sets mrpc --models minilm=FOLDER --trained siamese

Pairs with labels of 0 and 1: MRPC's test part, AFQMC's dev part, LCQMC's test part. A line of OUT/rows.jsonl for each
model, set and pooling: Spearman's and Pearson's correlation of the cosine with the label, and the accuracy at the
threshold that was best on other pairs (of MRPC and AFQMC on 1,000 pairs of train, of LCQMC on dev). ``--trained
siamese,joined`` fine-tunes each model on the train part (of LCQMC on dev, there is no train part) and scores it on the
same pairs. What is done is not done again.
"""

import argparse
import os
import random
from pathlib import Path
from typing import Any

import wenmo
from finished import Finished, Row

SETS = {
    "mrpc": ("mrpc/train.tsv", "mrpc/test.tsv"),
    "afqmc": ("afqmc/train.tsv", "afqmc/dev.tsv"),
    "lcqmc": ("lcqmc_dev_test/dev.tsv", "lcqmc_dev_test/test.tsv"),
}
"""Pairs to learn from, and to be scored by."""
METRICS = ("spearman", "pearson", "accuracy")


def sample(train: Path, place: Path) -> Path:
    """1,000 pairs that a threshold is chosen on."""
    header, *lines = train.read_text(encoding="utf-8").splitlines()
    chosen = random.Random(0).sample(lines, 1000)
    place.write_text("\n".join([header, *chosen]) + "\n", encoding="utf-8")
    return place


def untrained(folder: str, name: str, pooling: str, data: Path, out: Path) -> dict[str, Any]:
    """By the cosine of the vectors as they are."""
    train, test = (data / file for file in SETS[name])
    dev = sample(train, out / f"{name}-1000.tsv")
    return wenmo.evaluate(folder, test, task="similarity", pooling=pooling, dev=dev)["metrics"]


def trained(model: str, folder: str, name: str, pair: str, data: Path, out: Path, precision: str) -> dict[str, Any]:
    """Behind three epochs; a tenth of the pairs chooses the epoch and the threshold."""
    train, test = (data / file for file in SETS[name])
    settings = [f"task.pair={pair}", "training.max_epochs=3", "training.learning_rate=5e-5"]
    place = out / f"{model}-{name}-{pair}"
    result = wenmo.train(
        train,
        test=test,
        model=folder,
        task="similarity",
        out=place,
        overrides=settings,
        precision=precision,
        resume=True,
    )
    return dict(result.test)


def main() -> None:
    """Measure what is not measured yet, then print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="", help="name=FOLDER, name=FOLDER")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--poolings", default="first,mean,max,last")
    parser.add_argument("--trained", default="", help="siamese, joined; instead of the poolings")
    parser.add_argument("--precision", default="bfloat16", help="of training")
    asked = parser.parse_args()
    data = Path(os.environ["WENMO_DATA"])
    finished = Finished(asked.out / "rows.jsonl")
    for model, folder in (each.split("=", 1) for each in asked.models.split(",") if each):
        for name in asked.sets.split(","):
            for how in (asked.trained or asked.poolings).split(","):

                def measure(model: str = model, folder: str = folder, name: str = name, how: str = how) -> Row:
                    if asked.trained:
                        return {"metrics": trained(model, folder, name, how, data, asked.out, asked.precision)}
                    return {"metrics": untrained(folder, name, how, data, asked.out)}

                finished.once({"model": model, "set": name, "how": how}, measure)
    for row in finished.rows:
        figures = "  ".join(
            f"{metric} {100 * each['value']:.1f} ({100 * each['low']:.1f}–{100 * each['high']:.1f})"
            for metric in METRICS
            if (each := row["metrics"].get(metric))
        )
        print(f"{row['model']:12} {row['set']:6} {row['how']:8} {figures}")


if __name__ == "__main__":
    main()
