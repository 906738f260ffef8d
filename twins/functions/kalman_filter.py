"""Linear Kalman filter with constant matrices, up to eight states."""

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, constant_array
from twins.functions.generated import check_arguments, function_from
from twins.functions.kalman import begin, drive, innovation_variance, predict, update
from twins.functions.matrices import Matrix, Names, Row, check_covariances, check_shapes, decorrelation


class KalmanFilterConfig(Strict):
    """Settings of `kalman_filter`, with n states, m controls and p measurements.

    Attributes:
        F: Transition over one record, n by n.
        G: Effect of the controls over one record, n by m.
        H: What is measured, p by n.
        Q: Covariance of the process noise of one record, n by n.
        R: Covariance of the measurement noise, p by p, positive definite.
        x0: States before the first record; zeros unless given.
        P0: Their covariance; Q unless given.
        controls: Names of the m control arguments.
        measurements: Names of the p measurement arguments.
        innovations: Whether the innovations and their variances are outputs, too.
    """

    F: Matrix
    G: Matrix | None = None
    H: Matrix
    Q: Matrix
    R: Matrix
    x0: Row | None = None
    P0: Matrix | None = None
    controls: Names = ()
    measurements: Annotated[Names, Field(min_length=1)]
    innovations: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        n, m, p = len(self.F), len(self.controls), len(self.measurements)
        check_arguments(
            (*self.controls, *self.measurements), taken={"state", "F", "G", "H", "Q", "W", "r", "x0", "P0", "C"}
        )
        if m and self.G is None:
            message = "controls need G"
            raise ValueError(message)
        check_shapes(self, {"F": (n, n), "G": (n, m), "H": (p, n), "Q": (n, n), "R": (p, p), "P0": (n, n), "x0": (n,)})
        check_covariances(self, definite=("R",), semidefinite=("Q", "P0"))
        return self


def _source(config: KalmanFilterConfig) -> str:
    states, order = range(len(config.F)), range(len(config.measurements))
    constants = ["F", *(["G"] if config.controls else []), "H", "Q", "W", "r", "x0", "P0", "C"]
    lines = [
        f"def kalman_filter({', '.join(['state', *config.controls, *config.measurements, *constants])}):",
        "    if not state.started:",
        "        state.started = True",
        "        _begin(state.x, state.P, x0, P0)",
        "    _predict(state.x, state.P, F, Q)",
        *(f"    _drive(state.x, G[:, {index}], {name})" for index, name in enumerate(config.controls)),
    ]
    for row in order:
        combined = " + ".join(f"W[{row}, {index}] * {config.measurements[index]}" for index in range(row + 1))
        if config.innovations:
            lines.append(f"    _s{row} = _innovation_variance(state.P, H[{row}], r[{row}])")
        lines.append(f"    _e{row} = _update(state.x, state.P, H[{row}], {combined}, r[{row}])")
    results = [f"state.x[{index}]" for index in states]
    # The rows of H belong to the decorrelated measurements; the residual is of the one that came in.
    results += [
        f"{name} - ({' + '.join(f'C[{row}, {index}] * state.x[{index}]' for index in states)})"
        for row, name in enumerate(config.measurements)
    ]
    if config.innovations:
        results += [f"_e{row}" for row in order] + [f"_s{row}" for row in order]
    return "\n".join([*lines, f"    return {', '.join(results)}", ""])


def _make(config: KalmanFilterConfig) -> BoundStep:
    """Estimate n states from p measurements and m known controls, one step a record.

    Every record: x = F·x + G·u, P = F·P·Fᵀ + Q, then the update with all measurements, also for the first record,
    which starts at x0 and P0. Matrices hold for one record, whatever the real interval.
    Source: R. E. Kalman, Journal of Basic Engineering 82 (1960) 35-45; correlated measurement noise is removed first
    by the triangular factor of R (G. J. Bierman, Factorization Methods for Discrete Sequential Estimation, 1977).

    Outputs are the states after the update, x_1 … x_n, then for every measurement its residual z - H·x with that x,
    in the units of the states and measurements. With `innovations: true` there follow the innovations e_1 … e_p and
    their variances s_1 … s_p, in the units of the measurements and their squares, for `innovation_monitor`: of the
    first measurement z_1 - H·x before the update; of each further one what those before it do not already tell, so
    that all are independent and Σ e²/s is the normalised innovation squared of the whole record.
    """
    n = len(config.F)
    whitening, variances = decorrelation(np.array(config.R))
    constants: dict[str, Constant] = {"F": constant_array(config.F)}
    if config.controls:
        constants["G"] = constant_array(config.G)
    constants |= {
        "H": constant_array(whitening @ np.array(config.H)),
        "Q": constant_array(config.Q),
        "W": constant_array(whitening),
        "r": constant_array(variances),
        "x0": constant_array(config.x0 or [0.0] * n),
        "P0": constant_array(config.P0 or config.Q),
        "C": constant_array(config.H),
    }
    results = [f"x_{index + 1}" for index in range(n)]
    units = {}
    for kind, power in (("residual", ""), ("innovation", ""), ("variance", "**2")):
        for index, name in enumerate(config.measurements, start=1):
            if kind == "residual" or config.innovations:
                results.append(f"{kind}_{index}")
                units[results[-1]] = f"{{delta {name}}}{power}"
    return BoundStep(
        function=function_from(
            _source(config),
            "kalman_filter",
            {
                "_begin": begin,
                "_predict": predict,
                "_drive": drive,
                "_innovation_variance": innovation_variance,
                "_update": update,
            },
        ),
        arguments=(*config.controls, *config.measurements),
        outputs={name: StepOutput() for name in results},
        state={
            "started": StateField(type="bool"),
            "x": StateField(shape=(n,)),
            "P": StateField(shape=(n, n)),
        },
        constants=constants,
        units=units,
        places={
            **dict.fromkeys(config.controls, "config.controls"),
            **dict.fromkeys(config.measurements, "config.measurements"),
        },
    )


EXAMPLE = {
    "F": [[1.0, 1.0], [0.0, 1.0]],
    "H": [[1.0, 0.0]],
    "Q": [[0.01, 0.0], [0.0, 0.01]],
    "R": [[0.25]],
    "measurements": ["level"],
}
"""A level and its change from one record to the next."""

BUILT_IN = BuiltIn("kalman_filter", KalmanFilterConfig, _make, _make.__doc__ or "", EXAMPLE)
