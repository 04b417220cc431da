"""How fast a BiLSTM with a CRF tags sentences, from raw text to spans, against the loop that others have.

    python benchmarks/tagging.py [--quick] [--json] [--threads N]

The same weights of the tagger of Ma and Hovy (200 units each way, 30 filters over the characters, 100-d vectors, 17
tags in BIOES) tag the same sentences, the methods taking turns in one process after a round that does not count:

- plain: torch.nn.LSTM over batches of 32 in the given order, padded to the longest sentence and word of the batch,
  words by str.split and a dictionary, Viterbi over the padded batch and back through it sentence by sentence, as
  popular repositories have it;
- plain, packed: the same with pack_padded_sequence, which answers right where the other one reads padding;
- torch: `Tagger.predict` with runtime torch;
- packed: `Tagger.predict` with runtime packed, what `auto` takes, in float32 and bfloat16;
- packed, treebank: the same with the segmenter that English data chooses, so with some other tokens;
- flair (``--flair PYTHON``, the interpreter of an environment with flair): its SequenceTagger of the same shape, in a
  process of its own behind the others (`benchmarks/flair_tagger.py`).

Sentences are those of CoNLL-2003's test part (WENMO_DATA/conll2003) where it is, else drawn with like lengths.
``same_spans`` is the share of sentences with the spans that "plain, packed" gives. Weights are random; a bias makes
most tokens O, as they are in real text.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wenmo.data.tag_schemes import tags_of_types
from wenmo.folder import ModelFolder
from wenmo.inference.tagging import Tagger
from wenmo.models.recurrent import Recurrent, RecurrentConfig
from wenmo.tasks.tagging import Tagging, TaggingConfig
from wenmo.tasks.words import known_characters
from wenmo.text.tokenizers import Tokenizer, TokenizerConfig

Spans = list[tuple[int, int, str]]

TYPES = ("LOC", "MISC", "ORG", "PER")
BATCH_SIZE = 32
QUICK_SENTENCES = 1000
BIAS_OF_OUTSIDE = 3.0
"""With it about one token in five is in an entity."""


def read_sentences(number: int) -> list[str]:
    """That many sentences with spaces between their tokens; the test part has 3,453, which are repeated."""
    source = Path(os.environ.get("WENMO_DATA", "")) / "conll2003" / "test.conll"
    if source.is_file():
        blocks = source.read_text(encoding="utf-8").strip().split("\n\n")
        found = [" ".join(line.split(" ")[0] for line in block.split("\n")) for block in blocks]
        return (found * (number // len(found) + 1))[:number]
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, length)) for length in rng.integers(1, 12, 9000)]
    chances = 1 / np.arange(3, len(words) + 3) ** 1.05
    lengths = np.clip(np.rint(rng.gamma(1.5, 9, number)), 1, 120).astype(int)
    draw = rng.choice(len(words), lengths.sum(), p=chances / chances.sum())
    return [" ".join(words[i] for i in each) for each in np.split(draw, np.cumsum(lengths)[:-1])]


def make_folder(sentences: list[str], segmenter: str) -> ModelFolder:
    """The tagger with random weights."""
    words = [sentence.split() for sentence in sentences]
    tokenizer = Tokenizer.train_on_words(words, TokenizerConfig(segmenter=segmenter))
    labels = tuple(tags_of_types(TYPES, "BIOES"))
    settled = TaggingConfig(labels=labels, scheme="BIOES", trained_scheme="BIOES", metric="f1")
    config = replace(settled, characters=known_characters(words))
    model = RecurrentConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=100,
        num_units=200,
        bidirectional=True,
        character_features="cnn",
        character_vocab_size=config.num_characters,
    )
    task = Tagging(Recurrent(model), model, config)
    task.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        task.classifier.weight.mul_(20)
        task.classifier.bias[0] = BIAS_OF_OUTSIDE
    return ModelFolder(task, tokenizer)


class PlainTagger(nn.Module):
    """BiLSTM, character CNN and CRF as popular repositories have them, with the weights of ours."""

    def __init__(self, task: Tagging, *, packs: bool) -> None:
        super().__init__()
        model = task.extractor
        self.packs = packs
        self.words = nn.Embedding.from_pretrained(model.embeddings.words.weight.detach())
        self.characters = nn.Embedding.from_pretrained(model.characters.embeddings.weight.detach())
        self.conv = nn.Conv1d(30, 30, 3, padding=1)
        self.lstm = nn.LSTM(130, 200, bidirectional=True, batch_first=True)
        self.out = task.classifier
        with torch.no_grad():
            self.conv.load_state_dict(model.characters.conv.state_dict())
            for suffix, cell in zip(("", "_reverse"), model.stack.cells(), strict=True):
                for name in ("weight_ih", "weight_hh", "bias_ih"):
                    getattr(self.lstm, f"{name}_l0{suffix}").copy_(getattr(cell, name))
                getattr(self.lstm, f"bias_hh_l0{suffix}").zero_()
        self.transitions, self.start, self.end = (scores.detach() for scores in task.crf.scores())

    def forward(self, ids: Tensor, characters: Tensor, mask: Tensor) -> list[list[int]]:
        """Tags of each sentence of a padded batch."""
        batch, length, size = characters.shape
        maps = self.conv(self.characters(characters.view(-1, size)).transpose(1, 2))
        maps = maps.masked_fill((characters.view(-1, 1, size) == 0), -torch.inf)
        x = torch.cat([self.words(ids), maps.amax(dim=2).nan_to_num(neginf=0.0).view(batch, length, -1)], dim=2)
        if self.packs:
            packed = pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        else:
            states, _ = self.lstm(x)
        return self.viterbi(self.out(states), mask)

    def viterbi(self, scores: Tensor, mask: Tensor) -> list[list[int]]:
        """Forward for the batch, back for each sentence."""
        best = self.start + scores[:, 0]
        history = []
        for t in range(1, scores.size(1)):
            reached, before = (best.unsqueeze(2) + self.transitions + scores[:, t].unsqueeze(1)).max(dim=1)
            best = torch.where(mask[:, t].unsqueeze(1), reached, best)
            history.append(before)
        best = best + self.end
        found = []
        for row, length in enumerate(mask.sum(1).tolist()):
            tags = [int(best[row].argmax())]
            for before in reversed(history[: length - 1]):
                tags.append(int(before[row][tags[-1]]))
            found.append(tags[::-1])
        return found


def plain_loop(folder: ModelFolder, *, packs: bool) -> Callable[[list[str]], list[Spans]]:
    """From raw texts to spans, batch by batch."""
    net = PlainTagger(folder.task, packs=packs).eval()
    words = {word: i for i, word in enumerate(folder.tokenizer.vocabulary)}
    characters = {character: i for i, character in enumerate(folder.task.config.characters, start=2)}
    labels = folder.task.config.labels

    def answer(texts: list[str]) -> list[Spans]:
        spans: list[Spans] = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH_SIZE):
                sentences = [text.split() for text in texts[start : start + BATCH_SIZE]]
                length = max(map(len, sentences))
                widest = min(50, max(len(word) for sentence in sentences for word in sentence))
                ids = torch.zeros(len(sentences), length, dtype=torch.long)
                shapes = torch.zeros(len(sentences), length, widest, dtype=torch.long)
                mask = torch.zeros(len(sentences), length, dtype=torch.bool)
                for row, sentence in enumerate(sentences):
                    ids[row, : len(sentence)] = torch.tensor([words.get(word.lower(), 1) for word in sentence])
                    mask[row, : len(sentence)] = True
                    padded = [
                        [characters.get(c, 1) for c in word[:50]] + [0] * (widest - len(word)) for word in sentence
                    ]
                    shapes[row, : len(sentence)] = torch.tensor(padded)
                for sentence, tags in zip(sentences, net(ids, shapes, mask), strict=True):
                    spans.append(read_spans(sentence, [labels[i] for i in tags]))
        return spans

    return answer


def read_spans(words: Sequence[str], tags: Sequence[str]) -> Spans:
    """Offsets of the entities in words that have a space between them; the CRF keeps tags to BIOES."""
    spans, place, start = [], 0, 0
    for word, tag in zip(words, tags, strict=True):
        if tag[0] in "BS":
            start = place
        if tag[0] in "ES":
            spans.append((start, place + len(word), tag[2:]))
        place += len(word) + 1
    return spans


def tagging(folder: ModelFolder, runtime: str, precision: str = "float32") -> Callable[[list[str]], list[Spans]]:
    """The same with wenmo, which gives tokens and tags as well."""
    tagger = Tagger(folder, device="cpu", runtime=runtime, precision=precision)
    return lambda texts: [[(s.start, s.end, s.type) for s in answer.spans] for answer in tagger.stream(texts)]


def measure(num_sentences: int, rounds: int) -> list[dict[str, Any]]:
    """Let the methods take turns; medians over the rounds."""
    texts = read_sentences(num_sentences)
    folder, treebank = make_folder(texts, "whitespace"), make_folder(texts, "treebank")
    methods = {
        ("plain", "float32"): plain_loop(folder, packs=False),
        ("plain, packed", "float32"): plain_loop(folder, packs=True),
        ("torch", "float32"): tagging(folder, "torch"),
        ("packed", "float32"): tagging(folder, "packed"),
        ("packed", "bfloat16"): tagging(folder, "packed", "bfloat16"),
        ("packed, treebank", "float32"): tagging(treebank, "packed"),
        ("packed, treebank", "bfloat16"): tagging(treebank, "packed", "bfloat16"),
    }
    answers, seconds = {}, {name: [] for name in methods}
    for counted in range(-1, rounds):
        for name, answer in methods.items():
            begun = time.perf_counter()
            answers[name] = answer(texts)
            if counted >= 0:
                seconds[name].append(time.perf_counter() - begun)
    truth = answers["plain, packed", "float32"]
    plain = statistics.median(seconds["plain", "float32"])
    return [
        {
            "model": "bilstm-crf",
            "texts": len(texts),
            "method": method,
            "precision": precision,
            "texts_per_second": round(len(texts) / statistics.median(seconds[method, precision])),
            "ratio_to_plain": round(plain / statistics.median(seconds[method, precision]), 2),
            "same_spans": None
            if "treebank" in method
            else statistics.mean(a == b for a, b in zip(answers[method, precision], truth, strict=True)),
        }
        for method, precision in methods
    ]


def with_flair(python: str, rows: list[dict[str, Any]], rounds: int) -> list[dict[str, Any]]:
    """A row for flair besides; its sentences a second are those of whole sentences again and again."""
    texts = read_sentences(rows[0]["texts"])
    script = Path(__file__).with_name("flair_tagger.py")
    command = [python, str(script), str(rounds), str(torch.get_num_threads())]
    said = subprocess.run(command, input="\n".join(texts), stdout=subprocess.PIPE, text=True, check=True)
    rate = len(texts) / statistics.median(map(float, said.stdout.splitlines()[-rounds:]))  # flair logs before them
    flair = {"method": "flair", "texts_per_second": round(rate), "same_spans": None}
    return [*rows, {**rows[0], **flair, "ratio_to_plain": round(rate / rows[0]["texts_per_second"], 2)}]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SENTENCES:,} sentences, 1 round")
    parser.add_argument("--texts", type=int, default=3453)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--flair", metavar="PYTHON", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    num_texts, rounds = (QUICK_SENTENCES, 1) if options.quick else (options.texts, options.rounds)
    rows = measure(num_texts, rounds)
    if options.flair:
        rows = with_flair(options.flair, rows, rounds)
    if options.json:
        print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}))
        return
    for row in rows:
        same = "" if row["same_spans"] is None else f"same spans {row['same_spans']:.1%}"
        print(
            f"{row['method']:17} {row['precision']:9}{row['texts_per_second']:>8,} sentences/s "
            f"{row['ratio_to_plain']:>6.2f} x  {same}"
        )


if __name__ == "__main__":
    main()
