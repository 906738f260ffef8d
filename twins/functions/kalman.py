# ruff: noqa: N803  # matrices bear their usual letters
"""Steps of a linear Kalman filter, in place on a twin's `state.x` and `state.P`.

    predict:  x = F·x + b,  P = F·P·Fᵀ + Q          b: drive by the inputs, such as G·u
    update:   s = h·P·hᵀ + r,  K = P·hᵀ/s,  x = x + K·(z - h·x),  P = P - K·h·P       one scalar measurement z

Several measurements with independent noise are taken one after another, which gives the same as all at once.
Source: R. E. Kalman, Journal of Basic Engineering 82 (1960) 35-45. `predict_2` and `update_2` are the same for two
states, written out: they allocate nothing.
"""

import numpy as np

from twins.functions.built_in import Array


def begin(x: Array, P: Array, x0: Array, P0: Array) -> None:
    """Set n states and their covariance, by element: whole arrays would take a second more to compile."""
    for i in range(x.shape[0]):
        x[i] = x0[i]
        for j in range(x.shape[0]):
            P[i, j] = P0[i, j]


def predict(x: Array, P: Array, F: Array, Q: Array) -> None:
    """Carry n states over one step without inputs; add their effect with `drive`.

    Args:
        x: States, shape (n,), changed in place.
        P: Their covariance, shape (n, n), changed in place.
        F: Transition matrix, shape (n, n).
        Q: Covariance of the process noise of one step, shape (n, n).
    """
    n = x.shape[0]
    fx = np.empty(n)
    for i in range(n):
        fx[i] = 0.0
        for k in range(n):
            fx[i] += F[i, k] * x[k]
    for i in range(n):
        x[i] = fx[i]
    spread(P, F, Q)


def spread(P: Array, F: Array, Q: Array) -> None:
    """Carry the covariance of n states over one step: P = F·P·Fᵀ + Q, in place, shapes (n, n)."""
    n = P.shape[0]
    fp = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            fp[i, j] = 0.0
            for k in range(n):
                fp[i, j] += F[i, k] * P[k, j]
    for i in range(n):
        for j in range(i + 1):
            total = Q[i, j]
            for k in range(n):
                total += fp[i, k] * F[j, k]
            P[i, j] = total
            P[j, i] = total


def drive(x: Array, g: Array, u: float) -> None:
    """Add the effect of one input `u`: x = x + g·u, with `g` its column of G."""
    for i in range(x.shape[0]):
        x[i] += g[i] * u


def update(x: Array, P: Array, h: Array, z: float, r: float) -> float:
    """Take one scalar measurement into n states.

    Args:
        x: States, shape (n,), changed in place.
        P: Their covariance, shape (n, n), symmetric, changed in place.
        h: The measurement's row of H, shape (n,).
        z: The measured value.
        r: Variance of its noise, above 0.

    Returns:
        The innovation z - h·x, x being the states before the update.
    """
    n = x.shape[0]
    ph = np.empty(n)
    s = r
    innovation = z
    for i in range(n):
        ph[i] = 0.0
        for k in range(n):
            ph[i] += P[i, k] * h[k]
        s += h[i] * ph[i]
        innovation -= h[i] * x[i]
    for i in range(n):
        x[i] += ph[i] * innovation / s
        for j in range(n):
            P[i, j] -= ph[i] * ph[j] / s
    return innovation


def innovation_variance(P: Array, h: Array, r: float) -> float:
    """Variance s = h·P·hᵀ + r of the innovation that `update` will give."""
    n = h.shape[0]
    s = r
    for i in range(n):
        ph = 0.0
        for k in range(n):
            ph += P[i, k] * h[k]
        s += h[i] * ph
    return s


def predict_2(
    x: Array,
    P: Array,
    f_00: float,
    f_01: float,
    f_10: float,
    f_11: float,
    b_0: float,
    b_1: float,
    q_00: float,
    q_01: float,
    q_11: float,
) -> None:
    """Carry two states over one step, with their drive by the inputs.

    Args:
        x: States, shape (2,), changed in place.
        P: Their covariance, shape (2, 2), symmetric, changed in place.
        f_00: First row of the transition matrix.
        f_01: First row of the transition matrix.
        f_10: Second row of the transition matrix.
        f_11: Second row of the transition matrix.
        b_0: Drive of the first state.
        b_1: Drive of the second state.
        q_00: Covariance of the process noise of one step.
        q_01: Covariance of the process noise of one step.
        q_11: Covariance of the process noise of one step.
    """
    x_0, x_1 = x[0], x[1]
    x[0] = f_00 * x_0 + f_01 * x_1 + b_0
    x[1] = f_10 * x_0 + f_11 * x_1 + b_1
    p_00, p_01, p_11 = P[0, 0], P[0, 1], P[1, 1]
    fp_00, fp_01 = f_00 * p_00 + f_01 * p_01, f_00 * p_01 + f_01 * p_11
    fp_10, fp_11 = f_10 * p_00 + f_11 * p_01, f_10 * p_01 + f_11 * p_11
    P[0, 0] = fp_00 * f_00 + fp_01 * f_01 + q_00
    P[0, 1] = fp_00 * f_10 + fp_01 * f_11 + q_01
    P[1, 0] = P[0, 1]
    P[1, 1] = fp_10 * f_10 + fp_11 * f_11 + q_11


def update_2(x: Array, P: Array, h_0: float, h_1: float, z: float, r: float) -> float:
    """Take one scalar measurement z = h_0·x[0] + h_1·x[1] + noise of variance r into two states.

    Returns:
        The innovation, as `update` does.
    """
    p_00, p_01, p_11 = P[0, 0], P[0, 1], P[1, 1]
    ph_0, ph_1 = p_00 * h_0 + p_01 * h_1, p_01 * h_0 + p_11 * h_1
    s = h_0 * ph_0 + h_1 * ph_1 + r
    innovation: float = z - h_0 * x[0] - h_1 * x[1]
    x[0] += ph_0 * innovation / s
    x[1] += ph_1 * innovation / s
    P[0, 0] = p_00 - ph_0 * ph_0 / s
    P[0, 1] = p_01 - ph_0 * ph_1 / s
    P[1, 0] = P[0, 1]
    P[1, 1] = p_11 - ph_1 * ph_1 / s
    return innovation
