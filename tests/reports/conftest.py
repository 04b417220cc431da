"""A comparison as `wenmo compare` would give it: made up, but with the proportions of a real one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wenmo.experiments.choosing import choose, sentences
from wenmo.tasks.metrics import classification_metrics, confusion_matrix, pareto_front, per_class, wilson_interval

# name, linear, dev accuracy, parameters, train seconds, latency p50 in ms, texts per second
MODELS = [
    ("textcnn", False, 0.934, 3_460_000, 74.0, 0.62, 14_300),
    ("bilstm", False, 0.929, 4_120_000, 233.0, 2.31, 2_950),
    ("nbsvm", True, 0.926, 412_000, 2.6, 0.34, 21_800),
    ("tfidf", True, 0.918, 388_000, 4.1, 0.41, 18_900),
    ("bag", False, 0.911, 3_080_000, 12.0, 0.18, 48_200),
    ("bigru", False, 0.927, 3_610_000, 197.0, 1.94, 3_420),
    ("lstm", False, 0.921, 3_320_000, 141.0, 1.42, 5_130),
    ("gru", False, 0.919, 3_110_000, 118.0, 1.17, 6_040),
    ("rnn", False, 0.884, 2_900_000, 88.0, 0.79, 9_260),
    ("transformer", False, 0.908, 7_940_000, 305.0, 3.64, 1_830),
    ("textcnn-multichannel", False, 0.931, 6_700_000, 151.0, 0.93, 9_870),
    ("ernie2-tiny-distilled-from-base", False, 0.9305, 14_300_000, 640.0, 7.85, 610),
]
CHINESE_LABELS = ["积极", "消极"]
TOPICS = [
    "财经", "房产", "股票", "教育", "科技", "社会", "时政", "体育", "游戏", "娱乐", "家居", "彩票", "星座", "时尚",
    "国际新闻与评论",
]  # fmt: skip
TEXTS = [
    "房间很大，服务也热情，可是隔音实在太差，半夜被吵醒三次，前台只说抱歉。下次不会再来了。",
    "這間酒店環境和服務態度亦算不錯,但房間空間太小~~不宜容納太大件行李~~",
    "Not bad at all 😀 — 3.5折买的 iPhone15，http://example.com/item?id=1&ref=2",
    "书的内容没有封面说的那么好，但是印刷和纸张都不错，给孩子看还可以。",
    "شكرا جزيلا, the seller was kind and the parcel never came.",
    "第一次在这里买东西，客服回复特别慢，" * 40,
]


@pytest.fixture
def make_result() -> Callable[..., dict[str, Any]]:
    """``make_result(num_models=6, labels=None, seeds=3)``; None are two Chinese labels."""
    return build_result


@pytest.fixture
def make_plain_result() -> Callable[..., dict[str, Any]]:
    """``make_plain_result(metric, num_models=6)``: of a task without labels, by a metric that is no share."""
    return plain_result


@pytest.fixture
def make_failed_row() -> Callable[[str, str], dict[str, Any]]:
    """``make_failed_row(model, why)``."""
    return failed_row


def build_result(num_models: int = 6, labels: list[str] | None = None, seeds: int = 3) -> dict[str, Any]:
    """A whole result; the same arguments give the same one."""
    labels = labels or CHINESE_LABELS
    rng = np.random.default_rng(3)
    rows = sorted((_row(rng, seeds, *model) for model in MODELS[:num_models]), key=lambda row: -row["value"])
    for row in rows[1:]:
        row["paired_p"] = float(max(1e-5, 0.6 * np.exp(-((rows[0]["value"] - row["value"]) * 240))))
        row["tied_with_best"] = row["paired_p"] >= 0.05
    rows[0]["tied_with_best"] = True
    front = pareto_front([(row["value"], row["latency_ms_p50"]) for row in rows], ["max", "min"])
    for row, on in zip(rows, front, strict=True):
        row["pareto"] = on
    linear = next((row["model"] for row in rows if row["is_linear"]), None)
    return {
        "format_version": 1,
        "wenmo_version": "0.1.0",
        "created": "2026-03-14T09:26:53Z",
        "data": _data(rng, labels),
        "settings": {
            "models": [row["model"] for row in rows],
            "seeds": seeds,
            "folds": None,
            "budget_seconds": 600,
            "max_size_bytes": 20_000_000,
            "metric": "accuracy",
        },
        "machine": {"processor": "AMD EPYC 7B13", "cores": 2, "memory_bytes": 8_200_000_000, "torch": "2.13.0"},
        "rows": rows,
        "winners": {
            "accurate": rows[0]["model"],
            "fast": min(rows, key=lambda row: row["latency_ms_p50"])["model"],
            "small": min(rows, key=lambda row: row["bytes"])["model"],
        },
        "winner_reason": f"{rows[0]['model']} has the highest accuracy on the dev texts, "
        f"{100 * rows[0]['value']:.1f} %, and answers a text in {rows[0]['latency_ms_p50']} ms.",
        "test": _test(rng, rows[0]["model"], linear, labels),
        "hardest": [
            {
                "text": text,
                "label": labels[i % len(labels)],
                "predicted": labels[(i + 1) % len(labels)],
                "probability": 0.9987 - 0.013 * i,
                "source": f"reviews.tsv:{1017 * i + 26}",
            }
            for i, text in enumerate(TEXTS)
        ],
        "sentences": [
            "The best network is 0.8 points above the best linear baseline, nbsvm, at twice its latency.",
            "The comparison used 9 min 12 s of its budget of 10 min.",
        ],
        "report": "report.html",
        "winner_folder": "winner",
    }


def plain_result(metric: str, num_models: int = 6) -> dict[str, Any]:
    """The same models by another metric: accuracies of 0.934 and 0.929 are 2.066 and 2.071 nats, or BLEU 93.4, 92.9."""
    result = build_result(num_models)
    lower = metric != "bleu"

    def other(value: float) -> float:
        return 3 - value if lower else 100 * value

    for row in result["rows"]:
        ends = sorted(other(row[name]) for name in ("low", "high"))
        row |= {"metric": metric, "value": other(row["value"]), "low": ends[0], "high": ends[1]}
        row["values"] = [other(each) for each in row["values"]]
        row["spread"] = row["spread"] and row["spread"] * (1 if lower else 100)
        row["curve"] = [point | {"dev": other(point["dev"])} for point in row["curve"]]
    names = ("cross_entropy", "perplexity", "bits_per_character") if lower else ("bleu", "chrf")
    found = {name: {"value": 2.0512 + i, "low": 1.91 + i, "high": 2.2 + i} for i, name in enumerate(names)}
    task = "generate" if lower else "translate"
    result["settings"] |= {"metric": metric, "lower_is_better": lower}
    result["data"] |= {"task": task, "labels": [], "label_counts": {"train": {}, "dev": {}, "test": {}}}
    result["test"] = {"model": result["rows"][0]["model"], "metrics": found, "labels": [], "confusion": None}
    rows = [row | {"too_large": False} for row in result["rows"]]
    winners, reason = choose(rows)
    result |= {"hardest": [], "rows": rows, "winners": winners | {"fast": "bag"}, "winner_reason": reason}
    return result | {"sentences": sentences(result)}


def _row(
    rng: np.random.Generator,
    seeds: int,
    model: str,
    is_linear: bool,
    value: float,
    parameters: int,
    train_seconds: float,
    latency: float,
    rate: float,
) -> dict[str, Any]:
    values = [value] if is_linear else [float(v) for v in value + rng.normal(0, 0.0025, seeds)]
    epochs = 1 if is_linear else 12
    levels = value - 0.3 * np.exp(-np.arange(1, 25) / 4) - 0.004 * rng.random(24)
    levels[17:] -= 0.001 * np.arange(7)
    return {
        "model": model,
        "folder": f"models/{model}",
        "metric": "accuracy",
        **wilson_interval(round(value * 1200), 1200),
        "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "values": values,
        "paired_p": None,
        "tied_with_best": False,
        "parameters": parameters,
        "bytes": parameters * 4 + 900_000,
        "train_seconds": train_seconds,
        "latency_ms_p50": latency,
        "latency_ms_p95": latency * 1.6,
        "texts_per_second": rate,
        "pareto": False,
        "curve": []
        if is_linear
        else [
            {"step": 50 * i, "seconds": train_seconds * i / 24, "loss": float(2 * np.exp(-i / 6)), "dev": float(level)}
            for i, level in enumerate(levels, start=1)
        ],
        "epochs": epochs,
        "failed": None,
        "is_linear": is_linear,
    }


def failed_row(model: str, why: str) -> dict[str, Any]:
    """What stands for a model that gave up: nothing was measured."""
    measured = (
        "value low high spread paired_p parameters bytes train_seconds latency_ms_p50 latency_ms_p95 texts_per_second"
    )
    row: dict[str, Any] = dict.fromkeys([*measured.split(), "folder", "epochs"])
    return row | {
        "model": model, "metric": "accuracy", "values": [], "tied_with_best": False, "pareto": False, "curve": [],
        "failed": why, "is_linear": False,
    }  # fmt: skip


def _data(rng: np.random.Generator, labels: list[str]) -> dict[str, Any]:
    sizes = {"train": 9600, "dev": 1200, "test": 1200}
    shares = rng.dirichlet(np.full(len(labels), 6.0))
    return {
        "sources": {"train": "reviews.tsv", "dev": None, "test": "reviews_test.tsv"},
        "sha256": "3f1c9a6be1d04b7d8e0a52c2f7b1e9637c51d3ab90e4f2786d1b5c08a9e7f412",
        "task": "classify",
        "labels": labels,
        "sizes": sizes,
        "label_counts": {
            part: dict(zip(labels, (int(n) for n in rng.multinomial(size, shares)), strict=True))
            for part, size in sizes.items()
        },
        "notes": [
            "reviews.tsv was read as GB18030, because it is not UTF-8.",
            "The column review was taken as the text, stars as the label.",
            "31 rows without a text were left out.",
        ],
        "token_lengths": {"p50": 64, "p95": 242, "max": 1817},
    }


def _test(rng: np.random.Generator, winner: str, linear: str | None, labels: list[str]) -> dict[str, Any]:
    num_labels = len(labels)
    gold = rng.integers(0, num_labels, 1200)
    neighbour = (gold + rng.choice([1, 1, 1, num_labels - 1, 2], 1200)) % num_labels
    predicted = np.where(rng.random(1200) < 0.93, gold, neighbour)
    other = np.where(rng.random(1200) < 0.99, predicted, neighbour)
    return {
        "model": winner,
        "metrics": classification_metrics(gold, np.eye(num_labels)[predicted], multi_label=False),
        "confusion": confusion_matrix(gold, predicted, num_labels).tolist(),
        "labels": labels,
        "per_class": per_class(gold, predicted, labels),
        "linear": linear
        and {"model": linear, "metrics": classification_metrics(gold, np.eye(num_labels)[other], multi_label=False)},
    }
