"""How fast a TextCNN answers short texts, from raw text to label, against the loop that others have.

    python benchmarks/textcnn_predict.py [--quick] [--json]

The same weights of Kim's TextCNN (widths 3, 4, 5 with 100 filters each, 300-d vectors, 20,000 words) answer the same
texts, the methods taking turns in one process after a round that does not count:

- conv2d: torch.nn.Conv2d over batches of 64 in the given order, padded to the longest of the batch, words by
  str.split and a dictionary, as popular repositories have it;
- torch: `Predictor.predict` with runtime torch;
- packed: `Predictor.predict` with runtime packed, what `auto` takes;
- packed, words: the same with the tokenizer that English gets by default, so with other tokens.

Texts are the sentences of MR (WENMO_DATA/mr) where it is, else drawn with the same lengths and a Zipf vocabulary.
``same_labels`` is the share of texts that get the label which the Conv2d network gives them alone, without padding;
the loop itself falls short of 1 because its maxima run over the padding too.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from wenmo.folder import ModelFolder
from wenmo.inference.predictor import Predictor, TextCounts
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

LABELS = ("negative", "positive")
VOCAB_SIZE = 20_000
WIDTHS = (3, 4, 5)
NUM_ALONE = 1000


def read_texts(number: int) -> list[str]:
    """That many short texts; MR has 10,662, which are repeated."""
    source = Path(os.environ.get("WENMO_DATA", "")) / "mr" / "all.tsv"
    rng = np.random.default_rng(0)
    if source.is_file():
        lines = [line.split("\t")[1] for line in source.read_text(encoding="utf-8").splitlines()[1:]]
        rng.shuffle(lines)
        return (lines * (number // len(lines) + 1))[:number]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, length)) for length in rng.integers(2, 10, VOCAB_SIZE + 2000)]
    chances = 1 / np.arange(3, len(words) + 3) ** 1.05
    lengths = np.clip(np.rint(rng.normal(21, 9.4, number)), 3, 56).astype(int)
    draw = rng.choice(len(words), lengths.sum(), p=chances / chances.sum())
    return [" ".join(words[i] for i in text) for text in np.split(draw, np.cumsum(lengths)[:-1])]


def make_folder(texts: list[str], segmenter: str) -> ModelFolder:
    """A TextCNN with random weights whose answers are spread over both labels."""
    tokenizer = Tokenizer.train(texts, TokenizerConfig(segmenter=segmenter, vocab_size=VOCAB_SIZE))
    config = TextCnnConfig(vocab_size=tokenizer.vocab_size, kernel_sizes=WIDTHS)
    task = Classification(TextCnn(config), config, ClassificationConfig(labels=LABELS)).eval()
    generator = torch.Generator().manual_seed(0)
    task.initialize(generator)
    with torch.no_grad():
        for conv in task.extractor.convs:
            conv.weight.normal_(0, 0.1, generator=generator)
        task.classifier.weight.normal_(generator=generator)
    folder = ModelFolder(task, tokenizer, {"data": {"max_length": 512}})
    centre = Predictor(folder).embed(texts[:2000]).mean(axis=0)
    with torch.no_grad():
        task.classifier.bias.copy_(-task.classifier.weight @ torch.from_numpy(centre))
    return folder


class Conv2dNet(nn.Module):
    """TextCNN as popular repositories have it, with the weights of ours."""

    def __init__(self, task: Classification) -> None:
        super().__init__()
        weights = task.state_dict()
        self.words = nn.Embedding.from_pretrained(weights["extractor.embeddings.words.weight"], padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv2d(1, 100, (width, 300)) for width in WIDTHS)
        self.out = nn.Linear(300, len(LABELS))
        with torch.no_grad():
            for i, conv in enumerate(self.convs):
                conv.weight.copy_(weights[f"extractor.convs.{i}.weight"].transpose(1, 2).unsqueeze(1))
                conv.bias.copy_(weights[f"extractor.convs.{i}.bias"])
            self.out.weight.copy_(weights["classifier.weight"])
            self.out.bias.copy_(weights["classifier.bias"])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids).unsqueeze(1)
        maps = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        pooled = [F.max_pool1d(each, each.size(2)).squeeze(2) for each in maps]
        return self.out(torch.cat(pooled, 1))


def conv2d_loop(folder: ModelFolder, batch_size: int = 64) -> Callable[[list[str]], list[str]]:
    """From raw texts to labels, batch by batch."""
    net = Conv2dNet(folder.task).eval()
    words = {word: i for i, word in enumerate(folder.tokenizer.vocabulary)}

    def answer(texts: list[str]) -> list[str]:
        labels: list[str] = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                ids = [
                    [words.get(word, 1) for word in text.lower().split()] for text in texts[start : start + batch_size]
                ]
                length = max(max(WIDTHS), max(len(text) for text in ids))
                padded = torch.tensor([text + [0] * (length - len(text)) for text in ids])
                labels += [LABELS[i] for i in net(padded).argmax(1).tolist()]
        return labels

    return answer


def predicting(folder: ModelFolder, runtime: str) -> Callable[[list[str]], list[str]]:
    """The same with wenmo, which also gives the probabilities; texts of unknown words are not reported each time."""
    model = Predictor(folder, device="cpu", runtime=runtime)
    return lambda texts: [str(answer.label) for answer in model.stream(texts, counts=TextCounts())]


def measure(num_texts: int, rounds: int) -> list[dict[str, object]]:
    """Let the methods take turns; medians over the rounds."""
    texts = read_texts(num_texts)
    folder = make_folder(texts, "whitespace")
    loop = conv2d_loop(folder)
    methods = {
        "conv2d": loop,
        "torch": predicting(folder, "torch"),
        "packed": predicting(folder, "packed"),
        "packed, words": predicting(make_folder(texts, "words"), "packed"),
    }
    answers, seconds = {}, {name: [] for name in methods}
    for counted in range(-1, rounds):
        for name, answer in methods.items():
            begun = time.perf_counter()
            answers[name] = answer(texts)
            if counted >= 0:
                seconds[name].append(time.perf_counter() - begun)
    # Shorter texts have padding in the Conv2d network even when they are alone.
    alone = [i for i, text in enumerate(texts) if len(text.split()) >= max(WIDTHS)][:NUM_ALONE]
    truth = [loop([texts[i]])[0] for i in alone]
    rows = []
    for name in methods:
        agreeing = statistics.mean(answers[name][i] == label for i, label in zip(alone, truth, strict=True))
        rows.append(
            {
                "model": "textcnn",
                "texts": num_texts,
                "method": name,
                "precision": "float32",
                "texts_per_second": round(num_texts / statistics.median(seconds[name])),
                "ratio_to_conv2d": round(statistics.median(seconds["conv2d"]) / statistics.median(seconds[name]), 2),
                "same_labels": None if name == "packed, words" else agreeing,
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 texts, 3 rounds")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    num_texts, rounds = (5_000, 3) if options.quick else (options.texts, options.rounds)
    rows = measure(num_texts, rounds)
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        agreement = "" if row["same_labels"] is None else f"same labels {row['same_labels']:.1%}"
        print(f"{row['method']:15}{row['texts_per_second']:>10,} texts/s {row['ratio_to_conv2d']:>8.2f} x  {agreement}")


if __name__ == "__main__":
    main()
