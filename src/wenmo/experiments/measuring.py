"""What a trained model costs to use: the time of one text, texts a second, bytes on disk."""

import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wenmo.data.rows import Text
from wenmo.inference.predictor import Predictor, TextCounts

_SINGLE_TEXTS = 200
_LEAST_SECONDS = 0.5
_ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """How fast a model answers on this machine."""

    latency_ms_p50: float
    latency_ms_p95: float
    texts_per_second: float


def measure_speed(model: Any, texts: Sequence[Text]) -> Speed:
    """Answer texts, or pairs, one by one, then all together, from raw text to answer, with a model of `wenmo.load`.

    Latency is over up to 200 texts after a warm-up; throughput is the median of three rounds of half a second or more.
    """
    single = list(texts[:_SINGLE_TEXTS])
    _answer(model, single[:20])
    latencies = []
    for text in single:
        begun = time.perf_counter()
        _answer(model, [text])
        latencies.append((time.perf_counter() - begun) * 1e3)
    latencies.sort()
    rates = []
    for _ in range(_ROUNDS):
        begun, answered = time.perf_counter(), 0
        while time.perf_counter() - begun < _LEAST_SECONDS:
            answered += _answer(model, texts)
        rates.append(answered / (time.perf_counter() - begun))
    return Speed(
        latency_ms_p50=statistics.median(latencies),
        latency_ms_p95=latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
        texts_per_second=statistics.median(rates),
    )


def _answer(model: Any, texts: Sequence[Text]) -> int:
    """Predict without a word about texts that are cut or unknown: they are the same ones every time."""
    answers = model.stream(texts, counts=TextCounts()) if isinstance(model, Predictor) else model.stream(texts)
    return sum(1 for _ in answers)


def machine() -> dict[str, object]:
    """What these times were measured on."""
    return {
        "processor": _processor(),
        "cores": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
