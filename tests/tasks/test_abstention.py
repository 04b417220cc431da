"""The promise: exact p-values, an order that the testing rows do not choose, and that it is kept."""

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from wenmo.errors import InputError
from wenmo.tasks.abstention import (
    CalibrationRows,
    Layout,
    binomial_tail,
    make_promise,
    require_promise,
    smallest_risk,
)


def answers(rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences, and answers that are right a little less often than those say."""
    rng = np.random.default_rng(seed)
    confidence = 0.5 + 0.5 * rng.beta(3, 1, size=rows)
    return confidence, rng.uniform(size=rows) < confidence**1.2


def kept_rows(rows: int, seed: int, layout: Layout | None = None) -> CalibrationRows:
    confidence, right = answers(rows, seed)
    return CalibrationRows.of(confidence, right, layout or Layout.of(*answers(500, 99)), {}, np.zeros(rows))


@pytest.mark.parametrize("trials", [1, 2, 7, 15, 16, 17, 60, 500, 3_001, 20_000])
@pytest.mark.parametrize("probability", [1e-4, 0.02, 0.1, 0.5, 0.93])
def test_the_binomial_tail_is_scipys(trials: int, probability: float) -> None:
    spread = (trials * probability * (1 - probability)) ** 0.5
    middle = [round(trials * probability + times * spread) for times in (-6, -3, -1, 0, 1, 3)]
    for most in {0, 1, trials - 1, trials, *middle}:
        if 0 <= most <= trials:
            wanted = float(binom.cdf(most, trials, probability))
            if wanted > 1e-290:
                assert binomial_tail(most, trials, probability) == pytest.approx(wanted, rel=1e-12)


def test_the_binomial_tail_worked_by_hand() -> None:
    assert binomial_tail(1, 3, 0.5) == pytest.approx(0.5)  # (1 + 3) / 8
    assert binomial_tail(0, 2, 0.1) == pytest.approx(0.81)
    assert (binomial_tail(-1, 3, 0.5), binomial_tail(3, 3, 0.5)) == (0.0, 1.0)


def test_a_promise_is_the_last_threshold_before_the_first_failed_test() -> None:
    layout = Layout.of(*answers(500, 99))
    kept = kept_rows(3000, 1, layout)
    promise = make_promise(kept, 0.1, 0.95)
    assert promise is not None
    where = layout.thresholds.index(promise.threshold)
    tails = []
    for threshold in layout.thresholds:
        above = kept.confidence >= threshold
        tails.append(float(binom.cdf((above & ~kept.right).sum(), above.sum(), 0.1)))
    assert tails[where] <= 0.05 < tails[where + 1]
    above = kept.confidence >= promise.threshold
    assert (promise.answered, promise.wrong) == (above.sum(), (above & ~kept.right).sum())
    assert promise.coverage == pytest.approx(above.mean())


def test_the_order_does_not_depend_on_the_rows_that_test() -> None:
    layout = Layout.of(*answers(500, 99))
    lucky, unlucky = (
        CalibrationRows.of(answers(1000, 3)[0], right, layout, {}, np.zeros(1000))
        for right in (np.ones(1000, bool), np.zeros(1000, bool))
    )
    everything = make_promise(lucky, 0.05)
    assert everything is not None and everything.threshold == 0 and everything.coverage == 1
    assert make_promise(unlucky, 0.05) is None


@pytest.mark.parametrize(("risk", "confidence"), [(0.05, 0.9), (0.1, 0.95), (0.15, 0.8)])
def test_the_promise_is_broken_no_more_often_than_promised(risk: float, confidence: float) -> None:
    population = answers(100_000, 5)
    order = np.argsort(-population[0])
    sorted_confidence = -population[0][order]
    wrong_above = np.concatenate([[0], np.cumsum(~population[1][order])])
    layout = Layout.of(*answers(500, 99))
    rng = np.random.default_rng(6)
    broken = made = 0
    times = 300
    for _ in range(times):
        rows = rng.integers(len(order), size=800)
        kept = CalibrationRows.of(population[0][rows], population[1][rows], layout, {}, np.zeros(800))
        promise = make_promise(kept, risk, confidence)
        if promise is None:
            continue
        made += 1
        answered = int(np.searchsorted(sorted_confidence, -promise.threshold, side="right"))
        broken += wrong_above[answered] / answered > risk
    assert made > times / 4  # a promise that is never made is never broken
    # Three deviations above what is allowed: one run in a thousand would pass by luck what is broken more often.
    assert broken / times <= 1 - confidence + 3 * (confidence * (1 - confidence) / times) ** 0.5


def test_the_rows_come_back_from_json_and_are_compact() -> None:
    kept = CalibrationRows.of(
        *answers(400, 2), Layout.of(*answers(100, 3)), {"好": 3, "b": 7}, np.linspace(0, 0.1, 400)
    )
    text = json.dumps(kept.to_dict())
    again = CalibrationRows.from_dict(json.loads(text))
    assert make_promise(again, 0.2) == make_promise(kept, 0.2) is not None
    assert again.to_dict() == kept.to_dict()
    assert len(text) < 20 * 400
    with pytest.raises(ValueError, match="layout"):
        CalibrationRows.from_dict({"version": 1})
    with pytest.raises(ValueError, match="different lengths"):
        CalibrationRows.from_dict({**kept.to_dict(), "right": "1"})


def test_what_cannot_be_promised_is_refused_with_what_can() -> None:
    kept = kept_rows(600, 1)
    least = smallest_risk(kept)
    assert least is not None and make_promise(kept, least) is not None
    with pytest.raises(InputError, match=r"at most 0.01 % cannot be promised.*600 calibration rows; the least"):
        require_promise(kept, 0.0001)
    with pytest.raises(InputError, match="keeps no calibration rows"):
        require_promise(None, 0.02)
    with pytest.raises(InputError, match="--abstain"):
        require_promise(kept, 1.5)
    with pytest.raises(InputError, match="--confidence"):
        require_promise(kept, 0.1, 1.0)


def test_a_promise_says_itself() -> None:
    promise = require_promise(kept_rows(3000, 1), 0.1)
    assert promise.sentence().startswith("error among the answered at most 10 %, with 95 % confidence: answers where")
    assert promise.to_dict()["coverage"] == promise.coverage


def test_promises_need_no_scipy() -> None:
    program = "import sys, wenmo.tasks.abstention, wenmo.tasks.drift; print([m for m in sys.modules if 'scipy' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
