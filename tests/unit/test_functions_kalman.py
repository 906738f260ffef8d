"""Kalman filter, built in and as library functions, against the textbook equations in NumPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.jitted import jitted

from twins.functions.kalman import drive, predict, predict_2, update, update_2
from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_records, new_state

Array = NDArray[np.float64]


def _covariance(random: np.random.Generator, size: int) -> Array:
    root = random.normal(size=(size, size))
    matrix = root @ root.T + 0.1 * np.eye(size)
    symmetric: Array = (matrix + matrix.T) / 2
    return symmetric


def _textbook(matrices: dict[str, Array], x: Array, p: Array, u: Array, z: Array) -> tuple[Array, Array]:
    """All measurements at once, with the gain by matrix inversion."""
    f, g, h, q, r = (matrices[name] for name in "FGHQR")
    x, p = f @ x + g @ u, f @ p @ f.T + q
    gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
    return x + gain @ (z - h @ x), (np.eye(len(x)) - gain @ h) @ p


@settings(max_examples=60)
@given(st.integers(1, 8), st.integers(0, 3), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_built_in_filter_is_the_textbook_filter(states: int, controls: int, measured: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrices = {
        "F": random.normal(size=(states, states)) / states,
        "G": random.normal(size=(states, controls)),
        "H": random.normal(size=(measured, states)),
        "Q": _covariance(random, states),
        "R": _covariance(random, measured),
    }
    x, p = random.normal(size=states), _covariance(random, states)
    config: dict[str, Any] = {name: matrix.tolist() for name, matrix in matrices.items() if name != "G" or controls}
    config |= {
        "x0": x.tolist(),
        "P0": p.tolist(),
        "controls": [f"u{i}" for i in range(controls)],
        "measurements": [f"z{i}" for i in range(measured)],
    }
    bound = BUILT_INS["kalman_filter"].bind(config)
    state = new_state(bound.state)
    for _ in range(20):
        u, z = random.normal(size=controls), random.normal(size=measured)
        results = bound.function(state, *u, *z, **bound.constants)
        x, p = _textbook(matrices, x, p, u, z)
        np.testing.assert_allclose(results, [*x, *(z - matrices["H"] @ x)], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(state.P, p, rtol=1e-7, atol=1e-9)
        assert (state.P == state.P.T).all()
        assert np.linalg.eigvalsh(state.P).min() > -1e-12


@pytest.mark.slow
def test_eight_states_and_eight_measurements_are_filtered_by_compiled_code_as_in_the_textbook() -> None:
    random = np.random.default_rng(8)
    matrices = {
        "F": random.normal(size=(8, 8)) / 8,
        "G": random.normal(size=(8, 2)),
        "H": random.normal(size=(8, 8)),
        "Q": _covariance(random, 8),
        "R": _covariance(random, 8),
    }
    x, p = np.zeros(8), matrices["Q"]
    config: dict[str, Any] = {name: matrix.tolist() for name, matrix in matrices.items()}
    names = {"controls": ["u", "v"], "measurements": [f"z{i}" for i in range(8)]}
    bound = BUILT_INS["kalman_filter"].bind(config | names)
    records, compiled = new_records(bound.state), jitted(bound.function)
    for _ in range(30):
        u, z = random.normal(size=2), random.normal(size=8)
        results = compiled(records[0], *u, *z, *bound.constants.values())
        x, p = _textbook(matrices, x, p, u, z)
        np.testing.assert_allclose(results, [*x, *(z - matrices["H"] @ x)], rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(records["P"][0], p, rtol=1e-7, atol=1e-8)
        assert (records["P"][0] == records["P"][0].T).all()
        assert np.linalg.eigvalsh(records["P"][0]).min() > -1e-12


@given(st.integers(0, 2**32 - 1))
def test_the_functions_for_two_states_are_those_for_n(seed: int) -> None:
    random = np.random.default_rng(seed)
    f, q, h = random.normal(size=(2, 2)) / 2, _covariance(random, 2), random.normal(size=2)
    x, p = random.normal(size=2), _covariance(random, 2)
    x_2, p_2 = x.copy(), p.copy()
    for _ in range(20):
        g, u, z = random.normal(size=2), random.normal(), random.normal()
        predict(x, p, f, q)
        drive(x, g, u)
        innovation = update(x, p, h, z, 0.3)
        predict_2(x_2, p_2, f[0, 0], f[0, 1], f[1, 0], f[1, 1], g[0] * u, g[1] * u, q[0, 0], q[0, 1], q[1, 1])
        assert update_2(x_2, p_2, h[0], h[1], z, 0.3) == pytest.approx(innovation, rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(x_2, x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(p_2, p, rtol=1e-9, atol=1e-9)


def test_the_filter_finds_a_constant_that_it_measures_through_noise() -> None:
    bound = BUILT_INS["kalman_filter"].bind(
        {"F": [[1.0]], "H": [[1.0]], "Q": [[0.0]], "R": [[4.0]], "P0": [[1e9]], "measurements": ["level"]}
    )
    state = new_state(bound.state)
    readings = 7.0 + 2.0 * np.random.default_rng(3).normal(size=400)
    for reading in readings:
        estimate, residual = bound.function(state, reading, **bound.constants)
    assert estimate == pytest.approx(readings.mean(), rel=1e-6)
    assert residual == pytest.approx(readings[-1] - readings.mean(), rel=1e-6)
    assert state.P[0, 0] == pytest.approx(4.0 / 400, rel=1e-6)
