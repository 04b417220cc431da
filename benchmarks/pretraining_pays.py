"""Does pre-training pay? A language model of reviews under a sentiment classifier, and a small ELMo under a tagger.

    WENMO_DATA=... python benchmarks/pretraining_pays.py lstm --out runs/pays-lstm
    WENMO_DATA=... python benchmarks/pretraining_pays.py elmo --out runs/pays-elmo

``lstm``: an LSTM of two layers over characters learns what comes next in the reviews of online_shopping_10_cats,
without their labels and without texts that ChnSentiCorp has too; then it is fine-tuned on ChnSentiCorp, beside the same
LSTM from random weights with the settings that a recurrent model has of itself. Three seeds; test and the test reviews
that train does not hold.

``elmo``: an ELMo of the size mini reads raw_en; then its layers, mixed, stand in the place of word vectors in the
CoNLL-2003 tagger of Ma and Hovy without GloVe, beside the same tagger with words of its own.

What is done stands in OUT/rows.jsonl, a line for each finished run, and a script that was stopped goes on behind it.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

import wenmo
from finished import Finished, Row
from wenmo.data.readers import read_rows

DATA = Path(os.environ.get("WENMO_DATA", ""))


def show(rows: list[Row], metric: str) -> None:
    """Means over seeds."""
    for name in dict.fromkeys(row["name"] for row in rows):
        values = [row[metric] for row in rows if row["name"] == name and metric in row]
        if values and name != "pretraining":
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name:12} {metric:12} {100 * statistics.mean(values):.1f} ± {100 * spread:.1f} ({len(values)})")


def reviews(place: Path) -> Path:
    """The reviews without labels and without what ChnSentiCorp has, a document a line."""
    held = {
        "".join(row.text.split())
        for part in ("train", "dev", "test")
        for row in read_rows(DATA / "chnsenticorp" / f"{part}.tsv").rows
    }
    rows = read_rows(DATA / "online_shopping_10_cats" / "all.tsv.gz", text_column="text", label_column="label").rows
    kept = [" ".join(row.text.split()) for row in rows if "".join(row.text.split()) not in held]
    place.write_text("\n".join(kept) + "\n", encoding="utf-8")
    print(f"{len(kept):,} reviews, {len(rows) - len(kept):,} left out")
    return place


def lstm(out: Path, steps: int, seeds: int) -> None:
    """A language model under a classifier."""
    finished = Finished(out / "rows.jsonl")
    base, train = out / "pretrained", DATA / "chnsenticorp"

    def pretrain() -> Row:
        result = wenmo.pretrain(
            reviews(out / "reviews.txt"),
            out=base,
            model="lstm",
            size="small",
            resume=base.exists(),
            overrides=[
                "corpus.documents=lines",
                "corpus.tokenizer.segmenter=characters",
                "corpus.tokenizer.min_frequency=3",
                "corpus.length=64",
                "corpus.long_share=0",
                f"training.max_steps={steps}",
                "training.precision=bfloat16",
            ],
        )
        return {"dev": result.dev, "steps": result.steps}

    finished.once({"name": "pretraining", "seed": 0}, pretrain)
    for seed in range(seeds):
        for name in ("scratch", "pretrained"):

            def tune(name: str = name, seed: int = seed) -> Row:
                place = out / f"{name}-{seed}"
                sizes = json.loads((base / "config.json").read_text())
                settings = ["training.precision=bfloat16", "data.max_length=256"]
                if name == "scratch":
                    same = ("embedding_size", "num_units", "num_hidden_layers")
                    settings += [f"model.{field}={sizes[field]}" for field in same]
                    settings += ["data.tokenizer.segmenter=characters", "data.tokenizer.min_frequency=3"]
                result = wenmo.train(
                    train / "train.tsv",
                    dev=train / "dev.tsv",
                    test=train / "test.tsv",
                    model="lstm" if name == "scratch" else f"lstm:{base}",
                    out=place,
                    overrides=settings,
                    seed=seed,
                )
                unseen = wenmo.evaluate(place, train / "test_unseen.tsv")["metrics"]["accuracy"]["value"]
                accuracy = {part: getattr(result, part)["accuracy"]["value"] for part in ("dev", "test")}
                return {**accuracy, "unseen": unseen}

            finished.once({"name": name, "seed": seed}, tune)
    for metric in ("dev", "test", "unseen"):
        show(finished.rows, metric)


def elmo(out: Path, steps: int, seeds: int) -> None:
    """An ELMo under a tagger."""
    finished = Finished(out / "rows.jsonl")
    base, conll = out / "pretrained", DATA / "conll2003"

    def pretrain() -> Row:
        result = wenmo.pretrain(
            DATA / "raw_en",
            out=base,
            model="elmo",
            size="mini",
            resume=base.exists(),
            overrides=[
                f"training.max_steps={steps}",
                "training.precision=bfloat16",
                "corpus.tokenizer.segmenter=treebank",
                "corpus.tokenizer.vocab_size=30000",
                "objectives.softmax.kind=sampled",
                "training.batch_size=64",
            ],
        )
        return {"dev": result.dev, "steps": result.steps}

    finished.once({"name": "pretraining", "seed": 0}, pretrain)
    recipe = Path(__file__).parent.parent / "recipes" / "conll2003-bilstm-cnn-crf.toml"
    plain = ["data.vectors=", "data.keep_vector_words=false", "training.max_epochs=12"]
    for seed in range(seeds):
        for name in ("words", "elmo"):

            def tune(name: str = name, seed: int = seed) -> Row:
                settings = list(plain)
                if name == "elmo":
                    settings += ["model.character_features=none", "data.tokenizer.normalize_digits=false"]
                result = wenmo.train(
                    conll / "train.conll",
                    dev=conll / "dev.conll",
                    test=conll / "test.conll",
                    recipe=recipe,
                    features=f"elmo:{base}" if name == "elmo" else None,
                    overrides=settings,
                    seed=seed,
                    out=out / f"{name}-{seed}",
                )
                return {part: getattr(result, part)["f1"]["value"] for part in ("dev", "test")}

            finished.once({"name": name, "seed": seed}, tune)
    for metric in ("dev", "test"):
        show(finished.rows, metric)


def main() -> None:
    """Run what is not done yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["lstm", "elmo"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=0, help="updates of the pre-training; else what takes 25 minutes")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    {"lstm": lstm, "elmo": elmo}[asked.what](asked.out, asked.steps or 6000, asked.seeds)


if __name__ == "__main__":
    main()
