"""Every built-in step: its registration, its faults and that it compiles."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from reference.jitted import jitted

from twins.functions.registry import BUILT_INS
from twins.functions.state_view import StateView
from twins.functions.testing import new_records, new_state

CONFIGS: dict[str, Mapping[str, Any]] = {
    "exponential_average": {"time_constant_s": 30.0},
    "kalman_filter": {
        "F": [[1.0, 0.1], [0.0, 0.9]],
        "G": [[0.0], [0.5]],
        "H": [[1.0, 0.0], [1.0, 1.0]],
        "Q": [[0.01, 0.0], [0.0, 0.02]],
        "R": [[0.2, 0.05], [0.05, 0.3]],
        "controls": ["u"],
        "measurements": ["z", "y"],
    },
    "on_off_controller": {"below": 0.5, "above": 0.5, "minimum_on_s": 3.0, "minimum_off_s": 2.0},
    "running_statistics": {},
    "threshold": {"above": 1.0, "below": -1.0, "hold_s": 2.0, "release_s": 1.0},
    "weighted_average": {"weights": {"t1": 1.0, "t2": 3.0}},
}


def test_every_built_in_is_in_this_table() -> None:
    assert CONFIGS.keys() == BUILT_INS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_arguments_constants_and_outputs_match_the_function(name: str) -> None:
    bound = BUILT_INS[name].bind(CONFIGS[name])
    expected = [*(["state"] if bound.state else []), *bound.arguments, *bound.constants]
    assert list(inspect.signature(bound.function).parameters) == expected
    assert BUILT_INS[name].name == name
    assert len(BUILT_INS[name].doc) > 80
    for constant in bound.constants.values():
        assert not isinstance(constant, np.ndarray) or not constant.flags.writeable


@pytest.mark.parametrize("name", CONFIGS)
def test_the_compiled_function_gives_what_plain_python_gives(name: str) -> None:
    bound = BUILT_INS[name].bind(CONFIGS[name])
    compiled = jitted(bound.function)
    plain, records = new_state(bound.state), new_records(bound.state)
    random = np.random.default_rng(7)
    for _ in range(200):
        arguments = [
            float(random.integers(0, 4)) if argument == "dt_s" else float(random.normal(0, 1.5))
            for argument in bound.arguments
        ]
        constants = bound.constants.values()
        expected = bound.function(*([plain] if bound.state else []), *arguments, *constants)
        results = compiled(*([records[0]] if bound.state else []), *arguments, *constants)
        assert np.shape(expected) == np.shape(results)
        np.testing.assert_allclose(np.asarray(results), np.asarray(expected), rtol=1e-13, atol=1e-13)
        assert np.size(results) == len(bound.outputs)
    assert repr(StateView(records))[:6] == repr(plain)[:6]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("exponential_average", {}),
        ("exponential_average", {"time_constant_s": 0.0}),
        ("running_statistics", {"window": 3}),
        ("threshold", {"above": 1.0, "below": 2.0}),
        ("threshold", {"above": 1.0, "hold_s": -1.0}),
        ("on_off_controller", {"action": "both"}),
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
