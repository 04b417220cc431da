"""How good tags are: entities by seqeval's strict mode, tokens by their share; each with a 95 % interval.

An entity is right if its borders and its type are. Precision, recall and F1 are those over all entities of all
sentences (micro). The intervals are percentile bootstraps over sentences (Efron and Tibshirani 1993, section 13.3):
entities of a sentence are not independent of each other, so neither entities nor tokens could be drawn one by one.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from wenmo.data.tag_schemes import SchemeName, Span, spans_of
from wenmo.tasks.metrics import Interval, percentile_interval

Tags = Sequence[str]


class TypeScores(TypedDict):
    """The scores of one type of entity, or of one plain tag; ``support`` is how many there are in gold."""

    precision: float
    recall: float
    f1: float
    support: int


def tagging_metrics(
    gold: Sequence[Tags], predicted: Sequence[Tags], scheme: SchemeName, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Interval]:
    """``f1``, ``precision`` and ``recall`` of entities, and ``accuracy`` of tokens; of plain tags the last alone.

    Args:
        gold: the right tags of each sentence.
        predicted: those said, as many for each sentence.
        scheme: in which both are written.
        seed: of the bootstrap.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: the numbers of sentences, or of tags of a sentence, differ; or there is no sentence.
    """
    counts = _counts(gold, predicted, scheme)
    samples = _bootstrap(counts, seed, resamples)
    totals = counts.sum(axis=0)
    of_entities = {} if scheme == "none" else {"f1": _f1, "precision": _precision, "recall": _recall}
    figures = {**of_entities, "accuracy": _accuracy}
    return {name: percentile_interval(float(figure(totals)), figure(samples)) for name, figure in figures.items()}


def entity_f1(gold: Sequence[Tags], predicted: Sequence[Tags], scheme: SchemeName) -> float:
    """The value of ``f1`` alone, without its interval."""
    return float(_f1(_counts(gold, predicted, scheme).sum(axis=0)))


def token_accuracy(gold: Sequence[Tags], predicted: Sequence[Tags]) -> float:
    """The share of tokens with the right tag."""
    return float(_accuracy(_counts(gold, predicted, "none").sum(axis=0)))


def per_type(gold: Sequence[Tags], predicted: Sequence[Tags], scheme: SchemeName) -> dict[str, TypeScores]:
    """Precision, recall, F1 and support of each type, sorted by name; 0 where a ratio is 0/0."""
    hits: Counter[str] = Counter()
    said: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for right, answer in zip(gold, predicted, strict=True):
        of_gold, of_answer = set(spans_of(right, scheme)), set(spans_of(answer, scheme))
        hits.update(span.type for span in of_gold & of_answer)
        said.update(span.type for span in of_answer)
        wanted.update(span.type for span in of_gold)
    found = {}
    for kind in sorted(said | wanted):
        parts = np.array([hits[kind], wanted[kind], said[kind]])
        found[kind] = TypeScores(
            precision=float(_precision(parts)),
            recall=float(_recall(parts)),
            f1=float(_f1(parts)),
            support=wanted[kind],
        )
    return found


def difference_by_chance(
    gold: Sequence[Tags],
    predicted: Sequence[Tags],
    others: Sequence[Tags],
    scheme: SchemeName,
    *,
    seed: int = 0,
    rounds: int = 4999,
) -> float:
    """The p-value of a difference in F1, or of plain tags in accuracy, between two models.

    Each round swaps their answers to every sentence with probability 1/2 (`wenmo.tasks.metrics` has the sources); the
    observed difference counts as one round, so p is never 0.
    """
    figure = _accuracy if scheme == "none" else _f1
    a, b = (_counts(gold, each, scheme) for each in (predicted, others))
    changes = (b - a)[(b != a).any(axis=1)]
    totals_a, totals_b = a.sum(axis=0), b.sum(axis=0)
    observed = abs(float(figure(totals_a) - figure(totals_b)))
    rng = np.random.default_rng(seed)
    as_large = 1
    for _ in range(rounds):
        swapped = (rng.random(len(changes)) < 0.5) @ changes
        difference = abs(float(figure(totals_a + swapped) - figure(totals_b - swapped)))
        as_large += difference >= observed - 1e-12
    return as_large / (rounds + 1)


def _counts(gold: Sequence[Tags], predicted: Sequence[Tags], scheme: SchemeName) -> NDArray[np.int64]:
    """``(sentences, 5)``: entities found, entities in gold, entities said, tokens that are right, tokens."""
    if len(gold) != len(predicted) or not gold:
        raise ValueError(f"{len(gold)} sentences and {len(predicted)} answers; there must be as many, and at least one")
    counts = np.empty((len(gold), 5), np.int64)
    for row, (right, answer) in enumerate(zip(gold, predicted, strict=True)):
        if len(right) != len(answer):
            raise ValueError(f"sentence {row} has {len(right)} tokens and {len(answer)} predicted tags")
        of_gold = _entities(right, scheme)
        of_answer = of_gold if answer == right else _entities(answer, scheme)
        same = sum(a == b for a, b in zip(right, answer, strict=True))
        counts[row] = (len(of_gold & of_answer), len(of_gold), len(of_answer), same, len(right))
    return counts


def _entities(tags: Tags, scheme: SchemeName) -> set[Span]:
    return set() if scheme == "none" else set(spans_of(tags, scheme))


def _bootstrap(counts: NDArray[np.int64], seed: int, resamples: int) -> NDArray[np.float64]:
    """``(resamples, 5)``: the totals of as many sentences drawn with replacement."""
    rng = np.random.default_rng(seed)
    size = len(counts)
    totals = np.empty((resamples, counts.shape[1]))
    for row in totals:
        row[:] = np.bincount(rng.integers(0, size, size), minlength=size) @ counts
    return totals


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0))


def _precision(counts: NDArray[Any]) -> NDArray[np.float64]:
    return _ratio(counts[..., 0], counts[..., 2])


def _recall(counts: NDArray[Any]) -> NDArray[np.float64]:
    return _ratio(counts[..., 0], counts[..., 1])


def _f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _accuracy(counts: NDArray[Any]) -> NDArray[np.float64]:
    return _ratio(counts[..., 3], counts[..., 4])
