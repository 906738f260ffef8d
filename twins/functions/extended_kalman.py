# ruff: noqa: N803  # matrices bear their usual letters
"""Steps of an extended Kalman filter, in place on a twin's `state.x` and `state.P`; `kalman` has the linear ones."""

import math

import numpy as np

from twins.functions.built_in import Array
from twins.functions.kalman import innovation_variance, update

_RELATIVE_STEP = float(np.cbrt(np.finfo(np.float64).eps))
"""Of central differences: there the errors of rounding and of the third derivative are alike."""


def unset(size: int) -> Array:
    """A vector of NaN, so that an element that the author's function forgets is found."""
    result = np.empty(size)
    for i in range(size):
        result[i] = math.nan
    return result


def unset_matrix(rows: int, columns: int) -> Array:
    """The same as a matrix."""
    result = np.empty((rows, columns))
    for i in range(rows):
        for k in range(columns):
            result[i, k] = math.nan
    return result


def copied(x: Array) -> Array:
    """States for an author's function, whose writes must not reach the twin's."""
    result = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        result[i] = x[i]
    return result


def take(x: Array, result: Array) -> None:
    """Give the states their new values, in place."""
    for i in range(x.shape[0]):
        x[i] = result[i]


def shifted(x: Array, k: int, direction: float) -> Array:
    """States with state `k` moved by the step of central differences: ∛ε · max(1, |x|)."""
    result = copied(x)
    result[k] += direction * _RELATIVE_STEP * max(1.0, abs(x[k]))
    return result


def central(x: Array, k: int, above: Array, below: Array, out: Array) -> None:
    """Column `k` of a Jacobian from what a function gives for both shifted states."""
    step = _RELATIVE_STEP * max(1.0, abs(x[k]))
    # What rounding made of the two steps, not what was asked for.
    width = (x[k] + step) - (x[k] - step)
    for i in range(above.shape[0]):
        out[i, k] = (above[i] - below[i]) / width


def interval(dt_s: float) -> float:
    """Seconds that process noise counts for."""
    return max(dt_s, 0.0)


def update_all(x: Array, P: Array, H: Array, W: Array, r: Array, e: Array, s: Array) -> None:
    """Take p measurements into n states.

    Args:
        x: States, shape (n,), changed in place.
        P: Their covariance, shape (n, n), symmetric, changed in place.
        H: Jacobian of the measurement, shape (p, n).
        W: Unit lower triangular, shape (p, p): W·z have independent noise.
        r: Variances of that noise, shape (p,).
        e: Innovations z - h(x), shape (p,); overwritten by those of W·z, each given the ones before it.
        s: Their variances, shape (p,), overwritten.
    """
    n, p = x.shape[0], e.shape[0]
    h, moved = np.empty(n), np.zeros(n)
    # From below: a row takes the innovations up to its own.
    for row in range(p - 1, -1, -1):
        total = 0.0
        for j in range(row + 1):
            total += W[row, j] * e[j]
        e[row] = total
    for row in range(p):
        for k in range(n):
            h[k] = 0.0
            for j in range(row + 1):
                h[k] += W[row, j] * H[j, k]
        s[row] = innovation_variance(P, h, r[row])
        e[row] = update(moved, P, h, e[row], r[row])
    for i in range(n):
        x[i] += moved[i]
