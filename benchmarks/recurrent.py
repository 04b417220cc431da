"""How fast recurrent layers answer and learn, against torch.nn's own on padded batches in the given order.

    python benchmarks/recurrent.py [--quick] [--json] [--cell lstm|gru|rnn]

Two layers in two directions, 300-d vectors, 512 units in each direction, 20,000 words, maximum over time. The same
weights read the same texts (lengths log-normal, median 22 tokens, p99 128), from ids to the vector of the text, the
methods taking turns in one process after a round that does not count.

answering:
- nn given: an embedding and nn.LSTM over batches of 32 in the given order, padded to the longest of the batch: what
  most repositories have, and the 1 of the ratios;
- nn given packed: the same with pack_padded_sequence;
- nn sorted: the first, texts sorted by length beforehand; nn sorted bf16: the same with everything in bfloat16;
- wenmo torch: the model itself, through `TorchEngine`;
- wenmo packed: `PackedRecurrent`, what `auto` takes; wenmo packed bf16: with --precision bfloat16.

learning (forward, backward and AdamW of the recurrent layers; batches of 32, the loss a sum over both classes):
- nn given, nn sorted: as above; nn sorted packed;
- wenmo given: our layers on the very same batches; wenmo: on batches of similar length, as `wenmo train` makes them;
  wenmo bf16: with training.precision=bfloat16.

``error`` is the largest difference to each text read alone by torch.nn (of the vectors; for learning, of the gradient
of a recurrent weight of the second layer on one batch, relative to its largest number), ``min_cosine`` the least cosine
to it. The padded second direction of nn reads the padding first, so without packing its vectors are others: that is its
error. Ours is rounding.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wenmo.data.batching import BatchOrder, token_batch
from wenmo.inference.engines import TorchEngine
from wenmo.inference.recurrent_engine import PackedRecurrent
from wenmo.models.recurrent import Recurrent, RecurrentConfig

VOCAB_SIZE = 20_000
BATCH_SIZE = 32
NUM_ALONE = 64
CPU = torch.device("cpu")
Texts = list[np.ndarray]


def read_texts(number: int) -> Texts:
    """Ids of texts whose lengths are those of short real ones, words drawn as in natural text."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.rint(np.exp(rng.normal(np.log(22), np.log(128 / 22) / 2.326, number))), 4, 512).astype(int)
    chances = 1 / np.arange(3, VOCAB_SIZE + 1) ** 1.05
    ids = rng.choice(np.arange(2, VOCAB_SIZE), lengths.sum(), p=chances / chances.sum()).astype(np.int32)
    return np.split(ids, np.cumsum(lengths)[:-1])


class Plain(nn.Module):
    """An embedding, torch.nn's recurrent module and the maximum over time, with the weights of ours."""

    def __init__(self, model: Recurrent, *, packed: bool) -> None:
        super().__init__()
        config = model.config
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[config.cell]
        self.words = nn.Embedding(config.vocab_size, config.embedding_size)
        self.rnn = kind(config.embedding_size, config.num_units, 2, bidirectional=True, batch_first=True)
        self.packed = packed
        with torch.no_grad():
            self.words.weight.copy_(model.embeddings.words.weight)
            suffixes = [f"_l{layer}{end}" for layer in range(2) for end in ("", "_reverse")]
            for cell, suffix in zip(model.stack.cells(), suffixes, strict=True):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(self.rnn, name + suffix).copy_(getattr(cell, name))

    def forward(self, batch: Any) -> Tensor:
        x = self.words(batch.input_ids)
        if self.packed:
            lengths = batch.num_tokens
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            states = pad_packed_sequence(self.rnn(x)[0], batch_first=True)[0]
        else:
            states = self.rnn(x)[0]
        return states.masked_fill(~batch.attention_mask.bool().unsqueeze(-1), -torch.inf).amax(1)


def make_model(cell: str) -> Recurrent:
    """Random weights with two biases, as torch.nn has them."""
    config = RecurrentConfig(
        vocab_size=VOCAB_SIZE, cell=cell, num_units=512, num_hidden_layers=2, bidirectional=True, num_biases=2
    )  # fmt: skip
    model = Recurrent(config).eval()
    model.embeddings.initialize(torch.Generator().manual_seed(0))
    for each in model.stack.cells():
        each.initialize(torch.Generator().manual_seed(1), "uniform")
    return model


def batches_of(texts: Texts, how: str) -> list[list[int]]:
    """Rows of each batch of 32: in the given order, or of similar length."""
    if how == "given":
        return [list(range(i, min(i + BATCH_SIZE, len(texts)))) for i in range(0, len(texts), BATCH_SIZE)]
    order = BatchOrder(batch_size=BATCH_SIZE, bucket=50, shuffle=True)
    return [batch.tolist() for batch in order.epoch(np.array([len(text) for text in texts]), 0)]


def reading(net: nn.Module, texts: Texts, how: str, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    """The vectors of all texts by a plain loop over padded batches."""
    net = net.to(dtype).eval()

    @torch.inference_mode()
    def run() -> Tensor:
        vectors = torch.empty(len(texts), 1024)
        for rows in batches_of(texts, how):
            vectors[rows] = net(token_batch([texts[i] for i in rows])).float()
        return vectors

    return run


def engine(which: Any, texts: Texts) -> Callable[[], Tensor]:
    """The vectors of all texts by one of our engines."""

    @torch.inference_mode()
    def run() -> Tensor:
        found: Tensor = which.pooled(texts)
        return found

    return run


def answering(cell: str, texts: Texts, rounds: int) -> list[dict[str, object]]:
    """Rows of the table of answering."""
    model = make_model(cell)
    methods = {
        "nn given": reading(Plain(model, packed=False), texts, "given"),
        "nn given packed": reading(Plain(model, packed=True), texts, "given"),
        "nn sorted": reading(Plain(model, packed=False), texts, "sorted"),
        "nn sorted bf16": reading(Plain(model, packed=False), texts, "sorted", torch.bfloat16),
        "wenmo torch": engine(TorchEngine(model, CPU), texts),
        "wenmo packed": engine(PackedRecurrent(model), texts),
        "wenmo packed bf16": engine(PackedRecurrent(model, torch.bfloat16), texts),
    }
    seconds, vectors = take_turns(methods, rounds)
    alone = [texts[i : i + 1] for i in range(NUM_ALONE)]
    with torch.inference_mode():
        truth = torch.cat([Plain(model, packed=True)(token_batch(text)) for text in alone])
    return [
        {
            "work": "answering",
            "cell": cell,
            "method": name,
            **rates(texts, seconds, name),
            "error": float((vectors[name][:NUM_ALONE] - truth).abs().max()),
            "min_cosine": round(float(torch.cosine_similarity(vectors[name][:NUM_ALONE], truth).min()), 6),
        }
        for name in methods
    ]


@dataclass
class Learner:
    """A module that learns from batches of one kind."""

    net: nn.Module
    read: Callable[[Any], Tensor]
    weight: nn.Parameter
    """The recurrent weight of the second layer's first direction."""
    how: str
    bfloat16: bool = False

    def __post_init__(self) -> None:
        self._optimizer = torch.optim.AdamW([p for n, p in self.net.named_parameters() if "words" not in n], fused=True)

    def epoch(self, texts: Texts) -> Callable[[], None]:
        """Forward, backward and an update for every batch."""

        def run() -> None:
            for rows in batches_of(texts, self.how):
                self.backward([texts[i] for i in rows])
                self._optimizer.step()
                self.net.zero_grad(set_to_none=True)

        return run

    def backward(self, texts: Texts) -> None:
        """The gradients of one batch."""
        with torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext():
            vectors = self.read(token_batch(texts)).float()
        (vectors[:, ::2].logsumexp(1) - vectors[:, 1::2].logsumexp(1)).square().sum().backward()

    def gradient(self, texts: Texts) -> Tensor:
        """Of the recurrent weight, on one batch, before anything is learnt."""
        self.backward(texts)
        assert self.weight.grad is not None
        found = self.weight.grad.clone()
        self.net.zero_grad(set_to_none=True)
        return found


def learners(cell: str) -> dict[str, Learner]:
    """Everybody starts with the same weights; the word vectors stay as they are, so that only the layers are timed."""

    def plain(how: str, packed: bool) -> Learner:
        net = Plain(make_model(cell), packed=packed)
        net.words.weight.requires_grad_(False)
        return Learner(net, net, net.rnn.weight_hh_l1, how)

    def ours(how: str, bfloat16: bool = False) -> Learner:
        model = make_model(cell).train()
        model.embeddings.words.weight.requires_grad_(False)
        weight = model.stack.cells()[2].weight_hh
        return Learner(model, lambda batch: model(batch).pooler_output, weight, how, bfloat16)

    return {
        "nn given": plain("given", packed=False),
        "nn sorted": plain("sorted", packed=False),
        "nn sorted packed": plain("sorted", packed=True),
        "wenmo given": ours("given"),
        "wenmo": ours("sorted"),
        "wenmo bf16": ours("sorted", bfloat16=True),
    }


def learning(cell: str, texts: Texts, rounds: int) -> list[dict[str, object]]:
    """Rows of the table of learning."""
    everybody = learners(cell)
    gradients = {name: learner.gradient(texts[:BATCH_SIZE]) for name, learner in everybody.items()}
    truth = gradients["nn sorted packed"]
    seconds, _ = take_turns({name: learner.epoch(texts) for name, learner in everybody.items()}, rounds)
    return [
        {
            "work": "learning",
            "cell": cell,
            "method": name,
            **rates(texts, seconds, name),
            "error": float((gradients[name] - truth).abs().max() / truth.abs().max()),
            "min_cosine": round(cosine(gradients[name], truth), 6),
        }
        for name in everybody
    ]


def cosine(one: Tensor, other: Tensor) -> float:
    """Between two matrices as vectors."""
    return float(torch.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0))


def take_turns(methods: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
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


def rates(texts: Sequence[Any], seconds: dict[str, list[float]], name: str) -> dict[str, object]:
    """Tokens a second by the median round, and how many times those of the first method."""
    median = {each: statistics.median(times) for each, times in seconds.items()}
    return {
        "texts": len(texts),
        "tokens_per_second": round(sum(map(len, texts)) / median[name]),
        "ratio_to_nn_given": round(median["nn given"] / median[name], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="256 and 64 texts, 1 round")
    parser.add_argument("--texts", type=int, default=1024, help="read when answering; a quarter of them when learning")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cell", choices=("lstm", "gru", "rnn"), default="lstm")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    num_texts, rounds = (256, 1) if options.quick else (options.texts, options.rounds)
    texts = read_texts(num_texts)
    rows = answering(options.cell, texts, rounds) + learning(options.cell, texts[: num_texts // 4], rounds)
    if options.json:
        print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}))
        return
    for row in rows:
        print(
            f"{row['work']:9}  {row['method']:18} {row['tokens_per_second']:8,} tokens/s  "
            f"{row['ratio_to_nn_given']:5.2f}x  error {row['error']:.1e}  cosine {row['min_cosine']:.6f}"
        )


if __name__ == "__main__":
    main()
