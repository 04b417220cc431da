"""The promise against MAPIE 1.6's Learn-then-Test controller, on the same calibration rows and the same thresholds.

There, "the error among the answered" is one minus the precision of a binary classifier: what is to be found is whether
the answer is right, and what is thresholded is the confidence. Its p-value is the smaller of Hoeffding's and the
binomial one, and the binomial one always is. It finds the number of errors again as rows times mean error, rounded up,
which counts one error too many where that product is a hair above a whole number; there it may be larger than ours.
"""

import numpy as np
import pytest

from wenmo.tasks import abstention
from wenmo.tasks.abstention import CalibrationRows, Layout, binomial_tail, make_promise

mapie = pytest.importorskip("mapie.risk_control", reason="MAPIE is not installed")

ROWS = 1500


@pytest.mark.filterwarnings("ignore::UserWarning:mapie")
@pytest.mark.parametrize(("risk", "confidence"), [(0.05, 0.95), (0.1, 0.9), (0.15, 0.95), (0.2, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_p_values_and_threshold_are_mapies(seed: int, risk: float, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.beta(3, 1, size=(2, ROWS))
    right = rng.uniform(size=(2, ROWS)) < sure
    layout = Layout.of(sure[0], right[0])
    kept = CalibrationRows.of(sure[1], right[1], layout, {}, np.zeros(ROWS))
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
    theirs = np.asarray(controller.p_values).ravel()
    ours = np.ones(len(thresholds))
    exact = 0
    for each, threshold in enumerate(thresholds):
        above = kept.confidence >= threshold
        answered, wrong = int(above.sum()), int((above & ~kept.right).sum())
        ours[each] = binomial_tail(wrong, answered, risk)
        if not answered:
            assert np.isnan(theirs[each])
            continue
        one_more = binomial_tail(wrong + 1, answered, risk)
        exact += theirs[each] == pytest.approx(ours[each], rel=1e-10)
        assert ours[each] * (1 - 1e-10) <= theirs[each] <= one_more * (1 + 1e-10)
    assert exact > len(thresholds) / 3

    start = abstention._start(layout, ROWS, risk)
    rejected = mapie.control_fwer(ours[start:], 1 - confidence, "fixed_sequence")
    promise = make_promise(kept, risk, confidence)
    wanted = thresholds[start + rejected[-1]] if len(rejected) else None
    assert (promise.threshold if promise else None) == wanted
