"""Every built-in step: its registration, its faults and that it compiles."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from reference.jitted import jitted

from twins.functions.built_in import BoundStep
from twins.functions.durations import to_ns
from twins.functions.ranges import LARGEST
from twins.functions.registry import BUILT_INS
from twins.functions.state_view import StateView
from twins.functions.testing import new_records, new_state

CONFIGS: dict[str, Mapping[str, Any]] = {
    "change_of_value": {"increment": 0.5, "maximum_silence_s": 5.0, "minimum_interval_s": 1.0},
    "dead_band": {"band": 0.5},
    "exponential_average": {"time_constant_s": 30.0},
    "extended_kalman_filter": {
        "transition": "model.py:transition",
        "measurement": "model.py:measurement",
        "measurement_jacobian": "model.py:measurement_jacobian",
        "x0": [1.0, 0.0],
        "Q": [[0.01, 0.0], [0.0, 0.02]],
        "noise_per": "second",
        "R": [[0.2, 0.05], [0.05, 0.3]],
        "measurements": ["z", "y"],
        "innovations": True,
    },
    "first_order_lag": {"time_constant_s": 30.0, "gain": 2.0, "initial": 1.0},
    "innovation_monitor": {"innovations": ["e", "f"], "known_variances": [2.0, 3.0], "false_alarm_records": 50.0},
    "integrator": {"lower": -5.0, "upper": 5.0, "reset": True},
    "kalman_filter": {
        "F": [[1.0, 0.1], [0.0, 0.9]],
        "G": [[0.0], [0.5]],
        "H": [[1.0, 0.0], [1.0, 1.0]],
        "Q": [[0.01, 0.0], [0.0, 0.02]],
        "R": [[0.2, 0.05], [0.05, 0.3]],
        "controls": ["u"],
        "measurements": ["z", "y"],
        "innovations": True,
    },
    "linear_calibration": {"points": [[4, 0], [20, 100]]},
    "lookup_table": {"points": [[-1, 3], [0, 1], [2, 2]], "outside": "extrapolate"},
    "on_off_controller": {"below": 0.5, "above": 0.5, "minimum_on_s": 3.0, "minimum_off_s": 2.0},
    "pid": {
        "form": "standard",
        "kp": 2.0,
        "ti_s": 9.0,
        "lower": -4.0,
        "upper": 4.0,
        "filter_s": 0.5,
        "setpoint_weight": 0.7,
        "manual": True,
        "wired": ["td_s"],
    },
    "rate_limiter": {"rising_per_s": 0.5},
    "rate_of_change": {},
    "running_statistics": {},
    "state_machine": {
        "states": ["cold", "warm", "hot"],
        "transitions": [
            {"from": "*", "to": "hot", "when": "value > 2.5 and records_in_state > 1"},
            {"from": "cold", "to": "warm", "when": "value > limit / 2"},
            {"from": ["warm", "hot"], "to": "cold", "after_s": "pause_s", "when": "value < 0 or elapsed_s >= 9"},
        ],
        "values": {"warm": {"power": 0.5}, "hot": {"power": 1}},
        "report": ["elapsed_s", "changed"],
    },
    "staleness": {"max_age_s": 2.0, "band": 1.0},
    "state_space": {
        "time": "continuous",
        "A": [[-0.2, 0.1], [0.3, -0.5]],
        "B": [[0.4], [0.1]],
        "C": [[1.0, 0.0], [1.0, 1.0]],
        "D": [[0.0], [2.0]],
        "inputs": ["u"],
    },
    "threshold": {"above": 1.0, "below": -1.0, "hold_s": 2.0, "release_s": 1.0},
    "unit_conversion": {"from": "degF", "to": "K"},
    "weighted_average": {"weights": {"t1": 1.0, "t2": 3.0}},
    "window_statistics": {"window_s": 6.0, "hop_s": 2.0, "grace_s": 3.0},
}


def transition(x: Any, out: Any, push: float, dt_s: float) -> None:
    """An author's model, for the steps that call one."""
    out[0] = x[0] + dt_s * x[1]
    out[1] = x[1] - dt_s * 0.1 * math.sin(x[0]) + push


def measurement(x: Any, out: Any) -> None:
    out[0] = x[0]
    out[1] = x[0] * x[1]


def measurement_jacobian(x: Any, out: Any) -> None:
    out[0, 0], out[0, 1] = 1.0, 0.0
    out[1, 0], out[1, 1] = x[1], x[0]


MODEL = {one.__name__: one for one in (transition, measurement, measurement_jacobian)}


def _bound(name: str) -> BoundStep:
    bound = BUILT_INS[name].bind(CONFIGS[name])
    return bound.link({setting: MODEL[setting] for setting in bound.calls}) if bound.link else bound


EXTREMES: dict[str, Mapping[str, Any]] = {
    "change_of_value": {"increment": LARGEST, "maximum_silence_s": 1e9},
    "dead_band": {"band": LARGEST},
    "first_order_lag": {"time_constant_s": 5e-324, "gain": LARGEST},
    "integrator": {"initial": LARGEST},
    "linear_calibration": {"points": [[0, LARGEST], [2.0, -LARGEST]]},
    "lookup_table": {"points": [[0, LARGEST], [1e-100, -LARGEST]], "outside": "extrapolate"},
    "pid": {"kp": LARGEST, "ki": LARGEST, "kd": LARGEST, "lower": -LARGEST, "upper": LARGEST},
    "rate_limiter": {"rising_per_s": LARGEST},
    "rate_of_change": {},
    "staleness": {"max_age_s": 1e9, "band": LARGEST},
    "unit_conversion": {"from": "Gm", "to": "pm"},
    "window_statistics": {"window_s": 1e9},
}
"""Settings at the edge of what is permitted, for every step that has the range of its values in its settings."""


def test_every_built_in_is_in_this_table() -> None:
    assert CONFIGS.keys() == BUILT_INS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_arguments_constants_and_outputs_match_the_function(name: str) -> None:
    bound = _bound(name)
    expected = [*(["state"] if bound.state else []), *bound.arguments, *bound.constants]
    assert list(inspect.signature(bound.function).parameters) == expected
    assert BUILT_INS[name].name == name
    assert len(BUILT_INS[name].doc) > 80
    assert "Source: " in BUILT_INS[name].doc
    for constant in bound.constants.values():
        assert not isinstance(constant, np.ndarray) or not constant.flags.writeable


def test_a_step_that_calls_the_folder_raises_until_it_is_linked() -> None:
    bound = BUILT_INS["extended_kalman_filter"].bind(CONFIGS["extended_kalman_filter"])
    assert list(bound.calls) == list(MODEL)
    with pytest.raises(TypeError, match="link it first"):
        bound.function()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_compiled_function_gives_what_plain_python_gives(name: str) -> None:
    bound = _bound(name)
    compiled = jitted(bound.function)
    plain, records = new_state(bound.state), new_records(bound.state)
    random = np.random.default_rng(7)
    time_ns = 1_700_000_000 * 10**9
    for _ in range(200):
        dt_s = int(random.integers(0, 4))
        time_ns += dt_s * 10**9
        ambient = {"dt_s": float(dt_s), "time_ns": time_ns}
        arguments = [
            ambient[argument] if argument in ambient else float(random.normal(0, 1.5)) for argument in bound.arguments
        ]
        constants = bound.constants.values()
        expected = bound.function(*([plain] if bound.state else []), *arguments, *constants)
        results = compiled(*([records[0]] if bound.state else []), *arguments, *constants)
        assert np.shape(expected) == np.shape(results)
        np.testing.assert_allclose(np.asarray(results), np.asarray(expected), rtol=1e-13, atol=1e-13)
        assert np.size(results) == len(bound.outputs)
    assert repr(StateView(records))[:6] == repr(plain)[:6]


@pytest.mark.parametrize("name", EXTREMES)
@given(
    st.lists(
        st.tuples(
            st.floats(-LARGEST, LARGEST) | st.sampled_from([0.0, LARGEST, -LARGEST, 5e-324]),
            st.just(0.0) | st.just(1e-9) | st.floats(1e-9, 1e10),
        ),
        max_size=20,
    )
)
def test_finite_values_give_finite_results(name: str, records: list[tuple[float, float]]) -> None:
    bound = BUILT_INS[name].bind(EXTREMES[name])
    state = new_state(bound.state) if bound.state else None
    time_ns = 0
    for value, dt_s in records:
        # Event times end in the year 2262.
        time_ns = min(time_ns + to_ns(dt_s), 2**63 - 1)
        given_values = {"value": value, "setpoint": -value, "dt_s": dt_s, "time_ns": time_ns}
        arguments = [given_values[argument] for argument in bound.arguments]
        results = bound.function(*([state] if state else []), *arguments, *bound.constants.values())
        assert np.isfinite(results).all()
        assert state is None or all(np.isfinite(getattr(state, field)) for field in bound.state)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("change_of_value", {"increment": 0.0}),
        ("change_of_value", {"increment": 1.0, "maximum_silence_s": 2.0, "minimum_interval_s": 3.0}),
        ("change_of_value", {"increment": 1.0, "maximum_silence_s": 1e10}),
        ("dead_band", {}),
        ("dead_band", {"band": -1.0}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "transition": "transition"}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "measurement": "../model.py:measurement"}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "x0": [0.0]}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "R": [[0.2, 0.3], [0.3, 0.2]]}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "measurements": ["x", "y"]}),
        ("extended_kalman_filter", {**CONFIGS["extended_kalman_filter"], "noise_per": "hour"}),
        ("first_order_lag", {"time_constant_s": 0.0}),
        ("first_order_lag", {"time_constant_s": 1.0, "gain": float("nan")}),
        ("innovation_monitor", {"innovations": ["a", "b"]}),
        ("innovation_monitor", {"known_variances": [0.0]}),
        ("innovation_monitor", {"known_variances": [1.0], "variances": ["v"]}),
        ("innovation_monitor", {"inflation": 1.0}),
        ("innovation_monitor", {"innovations": ["state"]}),
        ("innovation_monitor", {"innovations": []}),
        ("integrator", {"lower": 1.0, "upper": -1.0}),
        ("integrator", {"lower": 1.0}),
        ("integrator", {"upper": float("inf")}),
        ("linear_calibration", {"gain": float("inf")}),
        ("linear_calibration", {"gain": 1.0, "points": [[0, 0], [1, 1]]}),
        ("linear_calibration", {"points": [[1, 0], [1, 5]]}),
        ("linear_calibration", {"points": [[0, 0], [1e-200, 1]]}),
        ("linear_calibration", {"points": [[0, 0], [1, 1], [2, 2]]}),
        ("lookup_table", {"points": [[0, 0]]}),
        ("lookup_table", {"points": [[1, 0], [0, 1]]}),
        ("lookup_table", {"points": [[0, 0], [0, 1]]}),
        ("lookup_table", {"points": [[0, 0], [1]]}),
        ("lookup_table", {"points": [[0, 0], [1, float("nan")]]}),
        ("lookup_table", {"points": [[0, 0], [1, 1]], "outside": "refuse"}),
        ("pid", {"kp": 1.0}),
        ("pid", {"kp": 1.0, "lower": 1.0, "upper": 0.0}),
        ("pid", {"kp": 1.0, "lower": 0.0, "upper": 1.0, "ti_s": 3.0}),
        ("pid", {"form": "standard", "kp": 1.0, "lower": 0.0, "upper": 1.0, "ki": 3.0}),
        ("pid", {"form": "standard", "kp": 1.0, "lower": 0.0, "upper": 1.0, "wired": ["kd"]}),
        ("pid", {"kp": 1.0, "lower": 0.0, "upper": 1.0, "wired": ["kp"]}),
        ("pid", {"kp": 1.0, "lower": 0.0, "upper": 1.0, "wired": ["filter_s"]}),
        ("pid", {"kp": -1.0, "lower": 0.0, "upper": 1.0}),
        ("pid", {"kp": 1.0, "lower": 0.0, "upper": 1.0, "setpoint_weight": 2.0}),
        ("rate_limiter", {"rising_per_s": -1.0}),
        ("rate_limiter", {"falling_per_s": 1.0}),
        ("rate_of_change", {"window_s": 3.0}),
        ("exponential_average", {}),
        ("exponential_average", {"time_constant_s": 0.0}),
        ("running_statistics", {"window": 3}),
        ("state_machine", {"states": ["a", "b"], "transitions": [{"from": "b", "to": "a"}]}),
        ("staleness", {"max_age_s": 0.0}),
        ("staleness", {"max_age_s": 1.0, "since": "tick"}),
        ("state_space", {**CONFIGS["state_space"], "time": "sampled"}),
        ("state_space", {**CONFIGS["state_space"], "B": [[1.0]]}),
        ("state_space", {**CONFIGS["state_space"], "A": [[1.0, 1e200], [0.0, 1.0]]}),
        ("state_space", {**CONFIGS["state_space"], "D": [[1.0, 1.0]]}),
        ("state_space", {**CONFIGS["state_space"], "x0": [1.0]}),
        ("state_space", {**CONFIGS["state_space"], "inputs": ["dt_s"]}),
        ("threshold", {"above": 1.0, "below": 2.0}),
        ("threshold", {"above": 1.0, "hold_s": -1.0}),
        ("threshold", {"above": 1.0, "hold_s": 1e300}),
        ("on_off_controller", {"minimum_on_s": 1e300}),
        ("on_off_controller", {"action": "both"}),
        ("unit_conversion", {"from": "degC"}),
        ("unit_conversion", {"from": "degC", "to": "bar"}),
        ("window_statistics", {"window_s": 0.0}),
        ("window_statistics", {"window_s": 1e12}),
        ("window_statistics", {"window_s": 5.0, "hop_s": 2.0}),
        ("window_statistics", {"window_s": 5.0, "hop_s": 10.0}),
        ("window_statistics", {"window_s": 65.0, "hop_s": 1.0}),
        ("window_statistics", {"window_s": 1.0, "grace_s": -1.0}),
        ("window_statistics", {"window_s": 10.0, "hop_s": 1.0, "grace_s": 27.0}),
        ("weighted_average", {"weights": {}}),
        ("weighted_average", {"weights": {"a": 0.0}}),
        ("weighted_average", {"weights": {"a": -1.0, "b": 2.0}}),
        ("weighted_average", {"weights": {"lambda": 1.0}}),
        ("weighted_average", {"weights": {"a); import os #": 1.0}}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "F": [[1.0, 0.1]]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "F": [[1.0, 0.1], [0.0]]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "R": [[0.2, 0.3], [0.3, 0.2]]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "Q": [[-1.0, 0.0], [0.0, 1.0]]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "G": None}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "measurements": ["u", "y"]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "measurements": ["F", "y"]}),
        ("kalman_filter", {**CONFIGS["kalman_filter"], "F": [[float("nan"), 0.1], [0.0, 1.0]]}),
    ],
)
def test_a_faulty_config_is_refused(name: str, config: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BUILT_INS[name].bind(config)


def test_a_state_field_may_bear_the_name_of_a_numpy_method() -> None:
    bound = BUILT_INS["running_statistics"].bind({})
    state = new_state(bound.state)
    state.mean = 3.0
    assert state.mean == 3.0
    with pytest.raises(AttributeError, match="no field median; it has count, mean, m2"):
        _ = state.median
    with pytest.raises(AttributeError, match="no field median"):
        state.median = 1.0
