"""Innovation monitor against likelihood ratios in NumPy, and with a filter whose plant changes."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twins.functions.built_in import BoundStep
from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

PAIRS = st.lists(st.lists(st.tuples(st.floats(-20, 20), st.floats(0.01, 9)), min_size=3, max_size=3), max_size=40)


def _run(bound: BoundStep, records: NDArray[np.float64]) -> list[tuple[float, float, bool]]:
    state = new_state(bound.state)
    return [bound.function(state, *record, *bound.constants.values()) for record in records.tolist()]


def _log_gamma_density(nis: float, count: int, scale: float) -> float:
    """Logarithm of the density of `scale` times a chi-square variable, up to what does not depend on the scale."""
    return -count / 2 * math.log(scale) - nis / (2 * scale)


@given(PAIRS, st.floats(1.1, 9.0), st.floats(10.0, 1e9))
def test_the_sum_is_that_of_log_likelihood_ratios_of_chi_square(
    records: list[list[tuple[float, float]]], inflation: float, false_alarm_records: float
) -> None:
    names = {"innovations": ["a", "b", "c"], "variances": ["u", "v", "w"]}
    settings_ = {"inflation": inflation, "false_alarm_records": false_alarm_records}
    bound = BUILT_INS["innovation_monitor"].bind({**names, **settings_})
    values = np.array(records).reshape(-1, 3, 2)
    found = _run(bound, np.concatenate((values[:, :, 0], values[:, :, 1]), axis=1))
    threshold, total, drifting = math.log(false_alarm_records), 0.0, False
    for record, (nis, cusum, drifts) in zip(values, found, strict=True):
        # The textbook's form, with the inverse of the covariance.
        innovation = record[:, 0]
        expected = float(innovation @ np.linalg.inv(np.diag(record[:, 1])) @ innovation)
        assert nis == pytest.approx(expected, rel=1e-12)
        ratio = _log_gamma_density(expected, 3, inflation) - _log_gamma_density(expected, 3, 1.0)
        total = min(max(total + ratio, 0.0), threshold)
        assert cusum == pytest.approx(total, rel=1e-9, abs=1e-9)
        assert 0.0 <= cusum <= threshold
        total = cusum
        drifting = cusum >= threshold or (drifting and cusum > 0.0)
        assert drifts == drifting


def test_false_alarms_are_as_rare_as_asked_and_a_drift_is_found_soon() -> None:
    bound = BUILT_INS["innovation_monitor"].bind({"known_variances": [4.0], "false_alarm_records": 2000.0})
    random = np.random.default_rng(11)
    alarms = np.array([drifting for _, _, drifting in _run(bound, random.normal(0, 2.0, (60_000, 1)))])
    assert (np.diff(alarms.astype(int)) == 1).sum() <= 60_000 / 2000
    inflated = _run(bound, random.normal(0, 2.0 * math.sqrt(3.0), (400, 1)))
    first = [drifting for _, _, drifting in inflated].index(True)
    assert first < 100
    # A sensor that is right again ends it.
    healed = np.concatenate((random.normal(0, 9.0, (50, 1)), random.normal(0, 2.0, (400, 1))))
    found = [drifting for _, _, drifting in _run(bound, healed)]
    assert found[49]
    assert not found[-1]


def _filter(**config: Any) -> BoundStep:
    return BUILT_INS["kalman_filter"].bind(
        {
            "F": [[1.0, 0.1], [0.0, 0.9]],
            "H": [[1.0, 0.0], [1.0, 1.0]],
            "Q": [[0.01, 0.0], [0.0, 0.02]],
            "R": [[0.2, 0.05], [0.05, 0.3]],
            "measurements": ["z", "y"],
            **config,
        }
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_filters_innovations_give_the_nis_of_the_textbook(seed: int) -> None:
    random = np.random.default_rng(seed)
    plain, bound = _filter(), _filter(innovations=True)
    assert list(bound.outputs)[: len(plain.outputs)] == list(plain.outputs)
    assert list(bound.outputs)[4:] == ["innovation_1", "innovation_2", "variance_1", "variance_2"]
    state, other = new_state(bound.state), new_state(plain.state)
    f, h, q, r = (bound.constants["F"], bound.constants["C"], bound.constants["Q"], [[0.2, 0.05], [0.05, 0.3]])
    for _ in range(15):
        x = f @ state.x
        p = f @ (state.P if state.started else np.array(q)) @ np.transpose(f) + q
        z = random.normal(size=2) * 3
        results = bound.function(state, *z, *bound.constants.values())
        assert results[:4] == plain.function(other, *z, *plain.constants.values())
        s = h @ p @ np.transpose(h) + r
        innovation = z - h @ x
        assert results[4] == pytest.approx(innovation[0], rel=1e-9, abs=1e-9)
        assert results[6] == pytest.approx(s[0, 0], rel=1e-9)
        nis = float(innovation @ np.linalg.inv(s) @ innovation)
        found = results[4] ** 2 / results[6] + results[5] ** 2 / results[7]
        assert found == pytest.approx(nis, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("gain", "drifts"), [(0.9, False), (0.4, True)])
def test_a_plant_that_changed_is_found_through_its_filter(gain: float, drifts: bool) -> None:  # noqa: FBT001
    model: dict[str, Any] = {"F": [[0.9]], "G": [[1.0]], "H": [[1.0]], "Q": [[0.01]], "R": [[0.04]]}
    bound = BUILT_INS["kalman_filter"].bind({**model, "controls": ["u"], "measurements": ["z"], "innovations": True})
    monitor = BUILT_INS["innovation_monitor"].bind({})
    state, watch = new_state(bound.state), new_state(monitor.state)
    random = np.random.default_rng(5)
    x, drifting = 0.0, False
    for k in range(400):
        u = math.sin(k / 5)
        x = (0.9 if k < 200 else gain) * x + u + 0.1 * random.normal()
        *_, innovation, variance = bound.function(state, u, x + 0.2 * random.normal(), *bound.constants.values())
        _, _, drifting = monitor.function(watch, innovation, variance, *monitor.constants.values())
        assert not drifting or k >= 200
    assert drifting == drifts
