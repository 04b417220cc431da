"""The promise against MAPIE 1.6's Learn-then-Test controller, on the same calibration rows and the same thresholds.

There, "the error among the answered" is one minus the precision of a binary classifier: what is to be found is whether
the answer is right, and what is thresholded is the confidence. Its p-value is the smaller of Hoeffding's and the
binomial one, and the binomial one always is. (It multiplies the mean error by the number of rows again and rounds up, which may
count one error too many; the rows here do not meet that.)
"""

import numpy as np
import pytest

from wenmo.tasks.abstention import CalibrationRows, Layout, binomial_tail, make_promise

mapie = pytest.importorskip("mapie.risk_control")


@pytest.mark.parametrize(("risk", "confidence"), [(0.05, 0.95), (0.1, 0.9), (0.15, 0.95), (0.2, 0.8)])
@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_mapies(seed: int, risk: float, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.beta(3, 1, size=(2, 1500))
    right = rng.uniform(size=(2, 1500)) < sure
    layout = Layout.of(sure[0], right[0])
    kept = CalibrationRows.of(sure[1], right[1], layout, {}, np.zeros(1500))
    thresholds = np.array(layout.thresholds)

    controller = mapie.BinaryClassificationController(
        predict_function=lambda x: np.stack([1 - x.ravel(), x.ravel()], axis=1),
        risk="precision",
        target_level=1 - risk,
        confidence_level=confidence,
        list_predict_params=thresholds,
        fwer_method="fixed_sequence",
        best_predict_param_choice="recall",
    )
    controller.calibrate(kept.confidence[:, None], kept.right.astype(int))
    ours = []
    for threshold in thresholds:
        above = kept.confidence >= threshold
        ours.append(binomial_tail(int((above & ~kept.right).sum()), int(above.sum()), risk))
    theirs = np.asarray(controller.p_values).ravel()
    same = np.isclose(ours, theirs, rtol=1e-9, atol=0)
    assert same.mean() > 0.6
    assert (theirs[~same] > np.array(ours)[~same]).all()  # where it counts one error too many

    promise = make_promise(kept, risk, confidence)
    start = next(each for each in range(len(thresholds)) if promise is None or thresholds[each] >= promise.threshold)
    valid = mapie.control_fwer(np.array(ours)[_start_of(layout, risk) :], 1 - confidence, "fixed_sequence")
    del start
    found = None if not len(valid) else thresholds[_start_of(layout, risk) + valid[-1]]
    assert (promise.threshold if promise else None) == found


def _start_of(layout: Layout, risk: float) -> int:
    from wenmo.tasks.abstention import _start

    return _start(layout, 1500, risk)
