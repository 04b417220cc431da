"""How long it takes to train a TextCNN, against two loops that others have.

    python benchmarks/textcnn_train.py [--quick] [--json]

Three programs train Kim's TextCNN (widths 3, 4, 5 with 100 filters each, 300-d random vectors, dropout 0.5, batches of
50) on the same texts, alternating, each in a process of its own that is timed as a whole, imports and reading included:

- conv2d: torch.nn.Conv2d over padded batches and Adam, as popular repositories have it;
- conv1d: torch.nn.Conv1d, fused Adam, batches of texts of similar length: a tuned loop;
- wenmo: `wenmo train`.

Texts are MR (WENMO_DATA/mr) where it is, else drawn with the same lengths and a Zipf vocabulary.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROGRAMS = ("conv2d", "conv1d", "wenmo")


def write_texts(folder: Path) -> None:
    """9,600 training texts and 1,062 for dev, as label-tab-text files."""
    source = Path(os.environ.get("WENMO_DATA", "")) / "mr" / "all.tsv"
    rng = np.random.default_rng(0)
    if source.is_file():
        lines = source.read_text(encoding="utf-8").splitlines()[1:]
    else:
        chances = 1 / np.arange(3, 18_768) ** 1.05
        lengths = np.clip(np.rint(rng.normal(21, 9.4, 10_662)), 3, 56).astype(int)
        words = [f"w{i}" for i in range(18_765)]
        draw = rng.choice(len(words), lengths.sum(), p=chances / chances.sum())
        texts = np.split(draw, np.cumsum(lengths)[:-1])
        lines = [f"{'np'[rng.integers(2)]}\t{' '.join(words[i] for i in text)}" for text in texts]
    rng.shuffle(lines)
    for name, part in (("train", lines[:9600]), ("dev", lines[9600:])):
        (folder / f"{name}.tsv").write_text("label\ttext\n" + "\n".join(part) + "\n", encoding="utf-8")


def peer(kind: str, folder: Path, epochs: int) -> float:
    """The two other loops; the accuracy on dev after the last epoch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    def read(name: str) -> list[tuple[str, list[str]]]:
        lines = (folder / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        return [(label, text.split()) for label, text in (line.split("\t") for line in lines)]

    train, dev = read("train"), read("dev")
    words = {word: i + 2 for i, word in enumerate(dict.fromkeys(w for _, text in train for w in text))}
    labels = {label: i for i, label in enumerate(sorted({label for label, _ in train}))}

    def tensors(rows: list[tuple[str, list[str]]]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = [[words.get(word, 1) for word in text] for _, text in rows]
        length = max(5, max(len(text) for text in ids))
        padded = torch.tensor([text + [0] * (length - len(text)) for text in ids])
        return padded, torch.tensor([labels[label] for label, _ in rows])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(len(words) + 2, 300, padding_idx=0)
            if kind == "conv2d":
                self.convs = nn.ModuleList(nn.Conv2d(1, 100, (width, 300)) for width in (3, 4, 5))
            else:
                self.convs = nn.ModuleList(nn.Conv1d(300, 100, width) for width in (3, 4, 5))
            self.out = nn.Linear(300, len(labels))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.words(ids)
            if kind == "conv2d":
                maps = [F.relu(conv(x.unsqueeze(1))).squeeze(3) for conv in self.convs]
                pooled = [F.max_pool1d(m, m.size(2)).squeeze(2) for m in maps]
            else:
                pooled = [F.relu(conv(x.transpose(1, 2))).amax(2) for conv in self.convs]
            return self.out(F.dropout(torch.cat(pooled, 1), 0.5, self.training))

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=kind == "conv1d")
    lengths = np.array([len(text) for _, text in train])
    for _ in range(epochs):
        net.train()
        order = rng.permutation(len(train))
        if kind == "conv1d":
            windows = [order[i : i + 1000] for i in range(0, len(order), 1000)]
            order = np.concatenate([w[np.argsort(lengths[w], kind="stable")] for w in windows])
        batches = [order[i : i + 50] for i in range(0, len(order), 50)]
        for b in rng.permutation(len(batches)):
            ids, gold = tensors([train[i] for i in batches[b]])
            optimizer.zero_grad()
            F.cross_entropy(net(ids), gold).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        right = 0
        for i in range(0, len(dev), 50):
            ids, gold = tensors(dev[i : i + 50])
            right += int((net(ids).argmax(1) == gold).sum())
    return right / len(dev)


def timed(program: str, folder: Path, epochs: int) -> tuple[float, float]:
    """Seconds of a whole process, and its accuracy on dev after the last epoch."""
    begun = time.perf_counter()
    if program == "wenmo":
        out = Path(tempfile.mkdtemp(dir=folder)) / "model"
        command = [
            sys.executable, "-m", "wenmo", "train", str(folder / "train.tsv"), "--dev", str(folder / "dev.tsv"),
            "--model", "textcnn", "--out", str(out), "--json", "-o", "data.tokenizer=whitespace",
            "-o", "training.optimizer=adam", "-o", "training.learning_rate=0.001", "-o", "training.batch_size=50",
            "-o", "task.dropout_prob=0.5", "-o", f"training.max_epochs={epochs}", "-o", "training.patience=0",
        ]  # fmt: skip
    else:
        command = [sys.executable, __file__, "--peer", program, "--folder", str(folder), "--epochs", str(epochs)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    if program == "wenmo":
        return seconds, json.loads(finished.stdout)["dev"]["accuracy"]["value"]
    return seconds, float(finished.stdout)


def main() -> None:
    """Alternate the programs and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 epochs, one round")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", choices=PROGRAMS[:2], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(peer(options.peer, options.folder, options.epochs))
        return
    epochs, rounds = (2, 1) if options.quick else (options.epochs, options.rounds)
    seconds: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    accuracy: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    with tempfile.TemporaryDirectory() as name:
        write_texts(Path(name))
        for _ in range(rounds):
            for program in PROGRAMS:
                took, right = timed(program, Path(name), epochs)
                seconds[program].append(took)
                accuracy[program].append(right)
    base = statistics.median(seconds["conv2d"])
    rows = [
        {
            "model": "textcnn",
            "method": program,
            "precision": "float32",
            "epochs": epochs,
            "seconds": round(statistics.median(values), 1),
            "all_seconds": [round(value, 1) for value in values],
            "times_conv2d": round(base / statistics.median(values), 2),
            "dev_accuracy": round(statistics.mean(accuracy[program]), 4),
        }
        for program, values in seconds.items()
    ]
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(f"{row['method']:7} {row['seconds']:7.1f} s  {row['times_conv2d']:5.2f}x  dev {row['dev_accuracy']:.4f}")


if __name__ == "__main__":
    main()
