"""Matrices and names of arguments in configurations of models with up to eight states."""

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from twins.functions.built_in import Array
from twins.functions.ranges import Number

SIZE_LIMIT = 8

Row = Annotated[tuple[Number, ...], Field(min_length=1, max_length=SIZE_LIMIT, strict=False)]
Matrix = Annotated[tuple[Row, ...], Field(min_length=1, max_length=SIZE_LIMIT, strict=False)]
Names = Annotated[tuple[str, ...], Field(max_length=SIZE_LIMIT, strict=False)]


def check_shapes(config: BaseModel, shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that the matrices and vectors of a configuration have these shapes; None passes.

    Raises:
        ValueError: one has another shape.
    """
    for name, shape in shapes.items():
        value: Any = getattr(config, name)
        if value is None:
            continue
        if len({np.shape(row) for row in value}) != 1 or np.shape(value) != shape:
            message = f"{name} must have {' rows of '.join(map(str, shape))} numbers"
            raise ValueError(message)


def check_covariances(config: BaseModel, *, definite: tuple[str, ...], semidefinite: tuple[str, ...]) -> None:
    """Check that matrices of a configuration can be covariances; None passes.

    Raises:
        ValueError: one is not symmetric, or not positive definite or semidefinite as it should be.
    """
    for name in (*semidefinite, *definite):
        matrix = getattr(config, name)
        lowest = float(np.finfo(np.float64).tiny) if name in definite else 0.0
        if matrix is not None and not _covariance(np.array(matrix), lowest):
            message = f"{name} must be symmetric and positive {'definite' if lowest else 'semidefinite'}"
            raise ValueError(message)


def _covariance(matrix: Array, lowest: float) -> bool:
    """Whether a matrix is symmetric with eigenvalues of at least `lowest`, up to rounding."""
    rounding = 0.0 if lowest else 1e-12 * float(np.abs(matrix).max())
    return bool((matrix == matrix.T).all() and np.linalg.eigvalsh(matrix).min() >= lowest - rounding)


def decorrelation(noise: Array) -> tuple[Array, Array]:
    """Unit lower triangular W and variances r with W·R·Wᵀ = diag(r): W·z are measurements with independent noise."""
    root = np.linalg.cholesky(noise)
    scale = root.diagonal()
    return np.linalg.inv(root / scale), np.square(scale, dtype=np.float64)
