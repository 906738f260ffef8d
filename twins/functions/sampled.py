"""Linear differential equations between records: exact solutions for inputs that are held."""

import numpy as np

from twins.functions.built_in import Array

LAST_BIT = 62
"""Event times are 64-bit nanoseconds, so that an interval has at most this number as its highest bit."""

_TERMS = 18


def matrix_exponential(matrix: Array) -> Array:
    """Exponential of a square matrix, by scaling and squaring.

    The matrix is halved until its norm is at most 1/2, where the first 18 terms of the series are exact to rounding,
    and the result squared as often.
    Source: method 3 of C. Moler, C. Van Loan, Nineteen Dubious Ways to Compute the Exponential of a Matrix,
    SIAM Review 45 (2003) 3-49.
    """
    norm = float(np.abs(matrix).sum(axis=1).max(initial=0.0))
    halvings = max(0, int(np.frexp(norm)[1]) + 1) if norm > 0.0 else 0
    scaled = matrix / 2.0**halvings
    result = term = np.eye(len(matrix))
    for order in range(1, _TERMS + 1):
        term = term @ scaled / order
        result = result + term
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(halvings):
            result = result @ result
    return result


def transitions(A: Array, B: Array) -> Array:  # noqa: N803 - the usual letters
    """What becomes of the states of dx/dt = A·x + B·u over 1, 2, 4, … nanoseconds with u held.

    Over an interval T: x ← Φ·x + Γ·u, with [[Φ, Γ], [0, 1]] = exp([[A, B], [0, 0]]·T).
    Source: C. F. Van Loan, IEEE Transactions on Automatic Control 23 (1978) 395-404; zero-order hold.

    Args:
        A: Shape (n, n), per second.
        B: Shape (n, m), per second.

    Returns:
        Φ and Γ side by side, shape (63, n, n + m): `result[k]` for 2ᵏ ns. Where an unstable model leaves the range of
        floats it is infinite or NaN.
    """
    n, m = B.shape
    block = np.zeros((n + m, n + m))
    block[:n] = np.hstack((A, B))
    result = np.empty((LAST_BIT + 1, n, n + m))
    for bit in range(LAST_BIT + 1):
        result[bit] = matrix_exponential(block * (2.0**bit * 1e-9))[:n]
    return result


def advance(x: Array, u: Array, scratch: Array, steps: Array, interval_ns: int) -> None:
    """Carry states over an interval with held inputs, exactly: one matrix for each bit of the interval.

    Args:
        x: States, shape (n,), changed in place.
        u: Inputs, shape (m,), held over the whole interval.
        scratch: Shape (n,), overwritten.
        steps: As `transitions` gives them.
        interval_ns: Length of the interval; negative counts as 0.
    """
    n = x.shape[0]
    bit = 0
    while interval_ns > 0:
        if interval_ns & 1:
            for i in range(n):
                scratch[i] = 0.0
                for k in range(n):
                    scratch[i] += steps[bit, i, k] * x[k]
                for k in range(u.shape[0]):
                    scratch[i] += steps[bit, i, n + k] * u[k]
            for i in range(n):
                x[i] = scratch[i]
        interval_ns >>= 1
        bit += 1
