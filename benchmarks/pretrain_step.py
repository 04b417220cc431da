"""An update of masked words against transformers: tokens a second, and whether the losses are the same.

    python benchmarks/pretrain_step.py [--shapes base,small] [--precisions float32,bfloat16] [--rounds 5] [--json]
    python benchmarks/pretrain_step.py --curve 200

Two shapes: BERT base with 8 sequences of 128 tokens, and 4 layers of width 256 with a vocabulary of 21,128 and 32
sequences of 128. Both sides start from the same weights, read the same batches (15 % of the tokens foretold, full
sequences, no dropout) and make the same updates with AdamW. Updates alternate, so that whatever else the machine does
falls on both; the median of each is told. ``--quick`` is a small model for a look at the script itself.

``--curve N``: the losses of N updates from the same weights and batches on both sides, in float32, and how far they
ever are apart. ``waited``: the share of the time of a real `wenmo.pretrain` of the tiny model that it waits for data,
with ``--data FILE``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wenmo
from wenmo.data.batching import token_batch
from wenmo.features import IGNORED_LABEL
from wenmo.interchange.huggingface import to_huggingface
from wenmo.models.bert import Bert, BertConfig
from wenmo.pretraining.masking import MaskingConfig, Vocabulary
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.objectives import MaskedLm
from wenmo.pretraining.sequences import PretrainingExample
from wenmo.tasks.answering import autocast
from wenmo.training.optimization import build_optimizers
from wenmo.training.settings import TrainingSettings

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(learning_rate=1e-4, weight_decay=0.01, decay="matrices", epsilon=1e-6, lazy_rows=False)
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True)
class Shape:
    """A model and its batches."""

    layers: int
    width: int
    vocab_size: int
    rows: int
    length: int

    @property
    def config(self) -> BertConfig:
        """Of the model."""
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=max(1, self.width // 64),
            intermediate_size=4 * self.width,
            pooler="first",
            **_NO_DROPOUT,  # type: ignore[arg-type]
        )


SHAPES = {
    "base": Shape(layers=12, width=768, vocab_size=30_522, rows=8, length=128),
    "small": Shape(layers=4, width=256, vocab_size=21_128, rows=32, length=128),
    "quick": Shape(layers=2, width=64, vocab_size=500, rows=4, length=32),
}


def make_batch(shape: Shape, seed: int) -> PretrainingExample:
    """Random words, of which 15 % are foretold behind a mask."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, shape.vocab_size, (shape.rows, shape.length))
    labels = np.full(ids.shape, IGNORED_LABEL)
    for row in range(shape.rows):
        places = rng.choice(shape.length, round(0.15 * shape.length), replace=False)
        labels[row, places] = ids[row, places]
        ids[row, places] = 4
    batch = token_batch(list(ids.astype(np.int32)))
    return PretrainingExample(batch=batch, labels={"masked_lm": torch.from_numpy(labels)})


def ours(shape: Shape) -> Pretraining:
    """The model with its head, from a seed."""
    vocabulary = Vocabulary(mask_id=4, random_ids=np.arange(5, shape.vocab_size, dtype=np.int32))
    learner = Pretraining(Bert(shape.config), shape.config, [MaskedLm(MaskingConfig(), vocabulary)])
    learner.initialize(torch.Generator().manual_seed(0))
    return learner.train()


def theirs(learner: Pretraining) -> Any:
    """The same weights in transformers."""
    import transformers

    described, weights = to_huggingface(
        learner.extractor_config, learner.extractor.state_dict() | learner.heads.state_dict()
    )
    config = transformers.BertConfig(**{name: value for name, value in described.items() if name != "architectures"})
    model = transformers.BertForMaskedLM(config)
    report = model.load_state_dict(weights, strict=False)
    assert set(report.missing_keys) <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}, report
    assert not report.unexpected_keys, report
    model.tie_weights()
    return model.train()


Step = Callable[[PretrainingExample], float]


def our_step(learner: Pretraining, precision: str) -> Step:
    """One update as the training loop makes it."""
    optimizers = build_optimizers(learner, SETTINGS, lazy_rows=False)

    def step(example: PretrainingExample) -> float:
        counts = learner.counts(example)
        with autocast(CPU, precision):
            sums, _ = learner(example)
        loss = (sums / counts).sum()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def their_step(model: Any, precision: str) -> Step:
    """One update as its users write it."""
    kept = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    held = {id(p) for p in kept}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in held], "weight_decay": SETTINGS.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=SETTINGS.learning_rate, eps=SETTINGS.epsilon)

    def step(example: PretrainingExample) -> float:
        with autocast(CPU, precision):
            loss = model(
                input_ids=example.batch.input_ids,
                attention_mask=example.batch.attention_mask,
                labels=example.labels["masked_lm"],
            ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def throughput(name: str, precision: str, rounds: int) -> list[dict[str, Any]]:
    """Tokens a second of both, updates taken in turns."""
    shape = SHAPES[name]
    learner = ours(shape)
    steps = {"transformers": their_step(theirs(learner), precision), "wenmo": our_step(learner, precision)}
    seconds: dict[str, list[float]] = {method: [] for method in steps}
    for number in range(rounds + 1):  # the first update warms up
        example = make_batch(shape, number)
        for method, step in steps.items():
            begun = time.perf_counter()
            step(example)
            seconds[method].append(time.perf_counter() - begun)
    rates = {method: shape.rows * shape.length / statistics.median(each[1:]) for method, each in seconds.items()}
    return [
        {
            "model": name,
            "method": method,
            "precision": precision,
            "tokens_per_second": round(rate, 1),
            "ratio_to_transformers": round(rate / rates["transformers"], 3),
        }
        for method, rate in rates.items()
    ]


def curve(name: str, updates: int) -> dict[str, Any]:
    """The losses of both from the same weights and batches."""
    shape = SHAPES[name]
    learner = ours(shape)
    their, our = their_step(theirs(learner), "float32"), our_step(learner, "float32")
    pairs = []
    for number in range(updates):
        example = make_batch(shape, number % 20)
        pairs.append((our(example), their(example)))
    furthest = max(abs(a - b) for a, b in pairs)
    return {"model": name, "updates": updates, "first": pairs[0], "last": pairs[-1], "furthest_apart": furthest}


def waited(data: Path) -> dict[str, Any]:
    """How long the tiny model waits for its data."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tiny"
        steps = ["training.max_steps=300", "corpus.long_share=0", "training.eval_steps=300", "training.save_steps=300"]
        result = wenmo.pretrain(data, model="bert", size="tiny", out=out, overrides=[*steps, "schedule.masked_lm=300"])
        metrics = json.loads((out / "metrics.json").read_text())
        log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    share = metrics["seconds_waited_for_data"] / log[-1]["seconds"]
    return {"model": "tiny", "updates": result.steps, "share_of_time_waiting_for_data": round(share, 4)}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="base,small")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--curve", type=int, default=0, metavar="N")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    shapes = ["quick"] if given.quick else given.shapes.split(",")
    rows: list[dict[str, Any]] = []
    for name in shapes:
        if given.curve:
            rows.append(curve(name, given.curve))
        else:
            rows += [
                row for precision in given.precisions.split(",") for row in throughput(name, precision, given.rounds)
            ]
    if given.data:
        rows.append(waited(given.data))
    if given.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
