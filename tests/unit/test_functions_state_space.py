"""State-space models against NumPy: powers, Runge-Kutta, the first-order lag."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twins.functions.built_in import BoundStep
from twins.functions.registry import BUILT_INS
from twins.functions.sampled import matrix_exponential
from twins.functions.testing import new_state

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
SIZES = (st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))


def _model(random: np.random.Generator, n: int, m: int, p: int) -> dict[str, Array]:
    a = random.normal(size=(n, n)) / n - 0.5 * np.eye(n)
    shapes = {"B": (n, m), "C": (p, n), "D": (p, m), "x0": (n,)}
    return {"A": a, **{name: random.normal(size=shape) for name, shape in shapes.items()}}


def _bound(time: str, model: dict[str, Array], m: int) -> BoundStep:
    config: dict[str, Any] = {name: matrix.tolist() for name, matrix in model.items()}
    return BUILT_INS["state_space"].bind({"time": time, "inputs": [f"u{i}" for i in range(m)], **config})


def _outputs(result: Any) -> Array:
    return np.atleast_1d(np.asarray(result, dtype=np.float64))


@settings(max_examples=40)
@given(*SIZES, SEEDS)
def test_the_discrete_model_is_its_impulse_response(n: int, m: int, p: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    model = _model(random, n, m, p)
    bound = _bound("discrete", model, m)
    state = new_state(bound.state)
    inputs = random.normal(size=(12, m))
    found = [_outputs(bound.function(state, *u, *bound.constants.values())) for u in inputs]
    a, b, c, d = (model[name] for name in "ABCD")
    for k in range(12):
        powers = [np.linalg.matrix_power(a, k - 1 - i) @ b @ inputs[i] for i in range(k)]
        x = np.linalg.matrix_power(a, k) @ model["x0"] + sum(powers, np.zeros(n))
        np.testing.assert_allclose(found[k], c @ x + d @ inputs[k], rtol=1e-8, atol=1e-9)


def _runge_kutta(a: Array, b: Array, x: Array, u: Array, interval_s: float) -> Array:
    steps = max(20, int(interval_s * 100))
    h = interval_s / steps
    for _ in range(steps):
        k1 = a @ x + b @ u
        k2 = a @ (x + h / 2 * k1) + b @ u
        k3 = a @ (x + h / 2 * k2) + b @ u
        k4 = a @ (x + h * k3) + b @ u
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


@settings(max_examples=30)
@given(*SIZES, SEEDS)
def test_the_continuous_model_solves_its_differential_equation(n: int, m: int, p: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    model = _model(random, n, m, p)
    bound = _bound("continuous", model, m)
    state = new_state(bound.state)
    x, u = model["x0"], random.normal(size=m)
    found = _outputs(bound.function(state, *u, 0.0, *bound.constants.values()))
    np.testing.assert_allclose(found, model["C"] @ x + model["D"] @ u, rtol=1e-12, atol=1e-12)
    for interval_ns in random.integers(1, 2_000_000_000, size=5):
        x = _runge_kutta(model["A"], model["B"], x, u, interval_ns * 1e-9)
        u = random.normal(size=m)
        found = _outputs(bound.function(state, *u, interval_ns * 1e-9, *bound.constants.values()))
        np.testing.assert_allclose(found, model["C"] @ x + model["D"] @ u, rtol=1e-6, atol=1e-6)


@given(st.floats(0.5, 100.0), st.floats(-5, 5), st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 50)), max_size=30))
def test_one_state_is_the_first_order_lag(
    time_constant_s: float, gain: float, records: list[tuple[float, float]]
) -> None:
    lag = BUILT_INS["first_order_lag"].bind({"time_constant_s": time_constant_s, "gain": gain, "initial": 2.0})
    model = {"A": [[-1 / time_constant_s]], "B": [[gain / time_constant_s]], "x0": [2.0]}
    bound = BUILT_INS["state_space"].bind({"time": "continuous", "inputs": ["value"], **model})
    one, other = new_state(lag.state), new_state(bound.state)
    for value, dt_s in records:
        expected = lag.function(one, value, dt_s, *lag.constants.values())
        assert bound.function(other, value, dt_s, *bound.constants.values()) == pytest.approx(expected, abs=1e-7)


@given(SEEDS, st.lists(st.integers(1, 10**10), min_size=1, max_size=6))
def test_a_held_input_may_be_sampled_at_will(seed: int, intervals_ns: list[int]) -> None:
    random = np.random.default_rng(seed)
    model = _model(random, 3, 1, 3)
    bound = _bound("continuous", model, 1)

    def last(intervals: list[int]) -> Array:
        state = new_state(bound.state)
        bound.function(state, 1.5, 0.0, *bound.constants.values())
        for interval in intervals:
            found = bound.function(state, 1.5, interval * 1e-9, *bound.constants.values())
        return np.array(found)

    once = last([sum(intervals_ns)])
    np.testing.assert_allclose(last(intervals_ns), once, rtol=1e-6, atol=1e-9 + 1e-9 * float(np.abs(once).max()))


@given(SEEDS, st.integers(1, 6), st.floats(-3, 3))
def test_the_exponential_is_that_of_the_eigenvalues(seed: int, n: int, scale: float) -> None:
    root = np.random.default_rng(seed).normal(size=(n, n)) * 10.0**scale
    symmetric = -root @ root.T
    values, vectors = np.linalg.eigh(symmetric)
    expected = vectors @ np.diag(np.exp(values)) @ vectors.T
    np.testing.assert_allclose(matrix_exponential(symmetric), expected, rtol=0, atol=1e-9)


def test_the_exponential_of_a_rotation_and_of_nothing() -> None:
    turn = matrix_exponential(np.array([[0.0, -np.pi / 2], [np.pi / 2, 0.0]]))
    np.testing.assert_allclose(turn, [[0.0, -1.0], [1.0, 0.0]], atol=1e-14)
    assert (matrix_exponential(np.zeros((3, 3))) == np.eye(3)).all()


def test_records_without_time_pass_their_inputs_over() -> None:
    model = {"A": [[-0.5]], "B": [[1.0]], "D": [[1.0]]}
    bound = BUILT_INS["state_space"].bind({"time": "continuous", "inputs": ["u"], **model})
    state = new_state(bound.state)
    found = [bound.function(state, u, dt_s, *bound.constants.values()) for u, dt_s in ((1, 0), (9, 0), (9, -3), (2, 1))]
    assert found[:3] == [1.0, 1.0, 1.0]
    assert found[3] == pytest.approx(2.0 * (1 - np.exp(-0.5)) + 2.0)
