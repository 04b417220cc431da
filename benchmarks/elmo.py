"""How fast ELMo answers, against torch.nn.LSTM with a projection and against the character network word by word.

    python benchmarks/elmo.py [--quick] [--json] [--size small|medium|original]

Random weights of a released size read texts whose lengths are those of short real ones (log-normal, median 22 tokens,
p99 128), the methods taking turns in one process after a round that does not count. ``--quick``: the small size.

layers (from the vectors of words to the top layer; both directions, with residual):
- nn padded: two stacks of nn.LSTM(proj_size) over batches of 32 in the given order, the second over each text turned
  round: the 1 of the ratios; nn padded bf16: the same with everything in bfloat16;
- nn packed, nn packed bf16: the same with pack_padded_sequence;
- wenmo torch: the model itself on batches of 32 texts of similar length;
- wenmo packed, wenmo packed bf16: `PackedElmo`.
What nn does not do is clip. ``error`` is the largest difference to the model's equations in float32, text by text;
``min_cosine`` the least cosine between a text's mean vector and theirs.

characters (distinct words to vectors; the texts' words are drawn as in natural text from 60,000):
- at 50 characters: every token by the network as it is written, all of its 50 places: the 1 of the ratios;
- wenmo torch: `Elmo.word_vectors`, batch by batch; wenmo packed, wenmo packed bf16: each distinct word once.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wenmo.inference.elmo_engine import PackedElmo
from wenmo.models.elmo import Elmo, elmo_medium, elmo_original, elmo_small
from wenmo.models.packing import Packing
from wenmo.text.word_bytes import word_byte_ids

BATCH_SIZE = 32
NUM_ALONE = 16
VOCABULARY = 60_000
SIZES = {"small": elmo_small, "medium": elmo_medium, "original": elmo_original}
Sentences = list[list[str]]
Method = Callable[[], Any]


def read_sentences(number: int) -> Sentences:
    """Words of a made-up vocabulary, drawn as in natural text; the more frequent ones are shorter."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.rint(np.exp(rng.normal(np.log(22), np.log(128 / 22) / 2.326, number))), 4, 512).astype(int)
    sizes = np.clip(np.rint(rng.normal(3 + np.log2(np.arange(2, VOCABULARY + 2)) / 3, 2)), 1, 24).astype(int)
    letters = rng.integers(ord("a"), ord("z") + 1, (VOCABULARY, 24)).astype(np.uint8)
    words = [row[:size].tobytes().decode() for row, size in zip(letters, sizes, strict=True)]
    chances = 1 / np.arange(3, VOCABULARY + 3) ** 1.05
    drawn = rng.choice(VOCABULARY, lengths.sum(), p=chances / chances.sum())
    return [[words[i] for i in part] for part in np.split(drawn, np.cumsum(lengths)[:-1])]


class Plain(nn.Module):
    """Two stacks of nn.LSTM(proj_size) with the weights of ours, and the residual from the second layer on."""

    def __init__(self, model: Elmo, *, packed: bool) -> None:
        super().__init__()
        width, units = model.config.projection_size, model.config.num_units
        self.layers = nn.ModuleList(
            nn.LSTM(width, units, proj_size=width, batch_first=True) for _ in range(2 * model.config.num_hidden_layers)
        )
        self.packed = packed
        with torch.no_grad():
            for lstm, cell in zip(self.layers, [cell for pair in model.layers() for cell in pair], strict=True):
                for name in ("weight_ih", "weight_hh", "weight_hr", "bias_ih"):
                    getattr(lstm, f"{name}_l0").copy_(getattr(cell, name))
                lstm.bias_hh_l0.zero_()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``(batch, length, width)`` to the top layer, ``(batch, length, 2 * width)``."""
        places = torch.arange(x.size(1))
        turned = (lengths.unsqueeze(1) - 1 - places).where(places < lengths.unsqueeze(1), places).unsqueeze(-1)
        turned = turned.expand_as(x)
        halves = [x, x.gather(1, turned)]
        for i, lstm in enumerate(self.layers):
            given = halves[i % 2]
            if self.packed:
                packed = pack_padded_sequence(given, lengths, batch_first=True, enforce_sorted=False)
                output = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
            else:
                output = lstm(given)[0]
            halves[i % 2] = output + given if i >= 2 else output
        return torch.cat([halves[0], halves[1].gather(1, turned)], dim=2)


def batches_of(lengths: list[int], *, by_length: bool) -> list[list[int]]:
    """Rows of each batch of 32."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row]) if by_length else list(range(len(lengths)))
    return [order[i : i + BATCH_SIZE] for i in range(0, len(order), BATCH_SIZE)]


def reading(net: nn.Module, texts: list[Tensor], dtype: torch.dtype = torch.float32) -> Method:
    """The mean vector of each text by a plain loop over padded batches."""
    net = net.to(dtype).eval()

    @torch.inference_mode()
    def run() -> Tensor:
        found = torch.empty(len(texts), 2 * texts[0].size(1))
        for rows in batches_of([len(text) for text in texts], by_length=False):
            x = nn.utils.rnn.pad_sequence([texts[i] for i in rows], batch_first=True).to(dtype)
            lengths = torch.tensor([len(texts[i]) for i in rows])
            states = net(x, lengths).float()
            inside = (torch.arange(x.size(1)) < lengths.unsqueeze(1)).unsqueeze(-1)
            found[rows] = states.where(inside, 0).sum(1) / lengths.unsqueeze(1)
        return found

    return run


def by_model(model: Elmo, texts: list[Tensor], batches: list[list[int]]) -> Method:
    """The same by the model's own layers, without its characters and markers."""

    @torch.inference_mode()
    def run() -> Tensor:
        found = torch.empty(len(texts), model.config.hidden_size)
        for rows in batches:
            x = nn.utils.rnn.pad_sequence([texts[i] for i in rows], batch_first=True)
            lengths = torch.tensor([len(texts[i]) for i in rows])
            packing = Packing.of((torch.arange(x.size(1)) < lengths.unsqueeze(1)).long())
            top = model.read(packing.pack(x), packing, None)[0][-1]
            found[rows] = packing.unpack(top).sum(1) / lengths.unsqueeze(1)
        return found

    return run


def by_engine(engine: PackedElmo, sentences: Sentences) -> Method:
    """The same by the engine, its words in the cache."""

    @torch.inference_mode()
    def run() -> Tensor:
        found = torch.empty(len(sentences), 0)
        for block in engine.blocks(sentences):
            states = block.packing.unpack(block.layers[-1])
            found = found if found.size(1) else torch.empty(len(sentences), states.size(2))
            found[block.rows] = states.sum(1) / (block.lengths + 2).unsqueeze(1)
        return found

    return run


def layers(model: Elmo, sentences: Sentences, rounds: int) -> list[dict[str, object]]:
    """Rows of the table of layers; every method reads the markers as well."""
    engines = {"wenmo packed": PackedElmo(model), "wenmo packed bf16": PackedElmo(model, torch.bfloat16)}
    marked = [["<S>", *words, "</S>"] for words in sentences]
    exact = engines["wenmo packed"]
    with torch.inference_mode():
        texts = [exact.words.of(list(dict.fromkeys(words))) for words in marked]
        texts = [
            vectors[[list(dict.fromkeys(words)).index(word) for word in words]]
            for vectors, words in zip(texts, marked, strict=True)
        ]
    by_length = batches_of([len(text) for text in texts], by_length=True)
    methods: dict[str, Method] = {
        "nn padded": reading(Plain(model, packed=False), texts),
        "nn packed": reading(Plain(model, packed=True), texts),
        "nn padded bf16": reading(Plain(model, packed=False), texts, torch.bfloat16),
        "nn packed bf16": reading(Plain(model, packed=True), texts, torch.bfloat16),
        "wenmo torch": by_model(model, texts, by_length),
        **{name: by_engine(engine, sentences) for name, engine in engines.items()},
    }
    seconds, vectors = take_turns(methods, rounds)
    truth = by_model(model, texts[:NUM_ALONE], [[i] for i in range(min(NUM_ALONE, len(texts)))])()
    return [
        {
            "work": "layers",
            "method": name,
            **rates(sum(map(len, texts)), seconds, name),
            "error": float((vectors[name][:NUM_ALONE] - truth).abs().max()),
            "min_cosine": round(float(torch.cosine_similarity(vectors[name][:NUM_ALONE], truth).min()), 6),
        }
        for name in methods
    ]


def characters(model: Elmo, sentences: Sentences, rounds: int) -> list[dict[str, object]]:
    """Rows of the table of characters."""
    tokens = [word for words in sentences for word in words]
    distinct = list(dict.fromkeys(tokens))
    batches = [
        [word for i in rows for word in sentences[i]] for rows in batches_of([1] * len(sentences), by_length=False)
    ]

    def ids_of(words: list[str]) -> Tensor:
        return torch.from_numpy(word_byte_ids(words)).long()

    @torch.inference_mode()
    def as_written() -> Tensor:
        network = model.characters
        found = []
        for words in batches:
            x = F.embedding(ids_of(words), network.embeddings.weight).transpose(1, 2)
            y = F.relu(torch.cat([conv(x).amax(dim=2) for conv in network.convs], dim=1))
            for highway in network.highways:
                y = highway(y)
            found.append(network.projection(y))
        return torch.cat(found)

    @torch.inference_mode()
    def by_batches() -> Tensor:
        return torch.cat([model.word_vectors(ids_of(words)) for words in batches])

    def by_words(dtype: torch.dtype | None) -> Method:
        place = {word: i for i, word in enumerate(distinct)}
        index = torch.tensor([place[word] for word in tokens])
        # A new engine each time, so that nothing is in its cache; its layers' matrices are made outside.
        engine = PackedElmo(model, dtype)
        return lambda: engine._word_vectors(distinct).index_select(0, index)

    methods: dict[str, Method] = {
        "at 50 characters": as_written,
        "wenmo torch": by_batches,
        "wenmo packed": by_words(None),
        "wenmo packed bf16": by_words(torch.bfloat16),
    }
    seconds, vectors = take_turns(methods, rounds)
    truth = vectors["at 50 characters"]
    return [
        {
            "work": "characters",
            "method": name,
            **rates(len(tokens), seconds, name),
            "distinct_words": len(distinct),
            "error": float((vectors[name] - truth).abs().max()),
            "min_cosine": round(float(torch.cosine_similarity(vectors[name], truth).min()), 6),
        }
        for name in methods
    ]


def take_turns(methods: dict[str, Method], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each method over the rounds, and what it gave last; a first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    found: dict[str, Any] = {}
    for counted in range(-1, rounds):
        for name, method in methods.items():
            begun = time.perf_counter()
            found[name] = method()
            if counted >= 0:
                seconds[name].append(time.perf_counter() - begun)
    return seconds, found


def rates(num_tokens: int, seconds: dict[str, list[float]], name: str) -> dict[str, object]:
    """Tokens a second by the median round, and how many times those of the first method."""
    median = {each: statistics.median(times) for each, times in seconds.items()}
    first = next(iter(median))
    return {
        "tokens": num_tokens,
        "tokens_per_second": round(num_tokens / median[name]),
        "ratio_to_first": round(median[first] / median[name], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small size, 64 texts, 1 round")
    parser.add_argument("--size", choices=tuple(SIZES), default="original")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    size, num_texts, rounds = ("small", 64, 1) if options.quick else (options.size, options.texts, options.rounds)
    model = Elmo(SIZES[size]()).eval()
    model.initialize(torch.Generator().manual_seed(0))
    sentences = read_sentences(num_texts)
    rows = layers(model, sentences, rounds) + characters(model, sentences, rounds)
    if options.json:
        print(json.dumps({"size": size, "threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}))
        return
    for row in rows:
        print(
            f"{row['work']:10}  {row['method']:18} {row['tokens_per_second']:8,} tokens/s  "
            f"{row['ratio_to_first']:5.2f}x  error {row['error']:.1e}  cosine {row['min_cosine']:.6f}"
        )


if __name__ == "__main__":
    main()
