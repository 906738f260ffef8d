"""Extended Kalman filter with an author's own model, up to eight states."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Call, Constant, FolderFunction, constant_array
from twins.functions.extended_kalman import central, copied, interval, shifted, take, unset, unset_matrix, update_all
from twins.functions.generated import check_arguments, function_from
from twins.functions.kalman import begin, spread
from twins.functions.matrices import Matrix, Names, Row, check_covariances, check_shapes, decorrelation


class ExtendedKalmanFilterConfig(Strict):
    """Settings of `extended_kalman_filter`, with n states and p measurements.

    Attributes:
        transition: Function of the folder that gives the states after one record from those before.
        measurement: Function of the folder that gives what should be measured in these states.
        transition_jacobian: Function of the folder that gives the derivatives of the transition, n by n: in `out[i, k]`
            that of state i by state k; central differences unless given.
        measurement_jacobian: The same for the measurement, p by n.
        x0: The n states before the first record.
        P0: Their covariance; Q unless given.
        Q: Covariance of the process noise, n by n.
        noise_per: Whether Q is that of one `record` or that of one `second`, which counts by the interval.
        R: Covariance of the measurement noise, p by p, positive definite.
        measurements: Names of the p measurement arguments.
        innovations: Whether the innovations and their variances are outputs, too.
    """

    transition: FolderFunction
    measurement: FolderFunction
    transition_jacobian: FolderFunction | None = None
    measurement_jacobian: FolderFunction | None = None
    x0: Row
    P0: Matrix | None = None
    Q: Matrix
    noise_per: Literal["record", "second"] = "record"
    R: Matrix
    measurements: Annotated[Names, Field(min_length=1)]
    innovations: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        n, p = len(self.x0), len(self.measurements)
        check_arguments(self.measurements, taken={"state", "dt_s", "x", "out"})
        check_shapes(self, {"Q": (n, n), "P0": (n, n), "R": (p, p)})
        check_covariances(self, definite=("R",), semidefinite=("Q", "P0"))
        return self


def _source(config: ExtendedKalmanFilterConfig, named: Mapping[str, tuple[str, ...]], arguments: list[str]) -> str:
    """Source of the step; `named` has the arguments of the author's functions after `x` and `out`."""

    def call(name: str, x: str, out: str) -> str:
        return f"    _{name}({', '.join([x, out, *named[name]])})"

    def jacobian(name: str, out: str, rows: int) -> list[str]:
        if f"{name}_jacobian" in named:
            return [f"    {out} = _unset_matrix({rows}, {n})", call(f"{name}_jacobian", "_copied(state.x)", out)]
        return [
            f"    {out} = _unset_matrix({rows}, {n})",
            f"    for _k in range({n}):",
            f"        _above, _below = _unset({rows}), _unset({rows})",
            "    " + call(name, "_shifted(state.x, _k, 1.0)", "_above"),
            "    " + call(name, "_shifted(state.x, _k, -1.0)", "_below"),
            f"        _central(state.x, _k, _above, _below, {out})",
        ]

    n, p = len(config.x0), len(config.measurements)
    order = range(p)
    results = [f"state.x[{index}]" for index in range(n)]
    results += [f"{name} - _seen[{row}]" for row, name in enumerate(config.measurements)]
    if config.innovations:
        results += [f"_e[{row}]" for row in order] + [f"_s[{row}]" for row in order]
    per = "_interval(dt_s)" if config.noise_per == "second" else "1.0"
    lines = [
        f"def extended_kalman_filter({', '.join(['state', *arguments, *_CONSTANTS])}):",
        "    if not state.started:",
        "        state.started = True",
        "        _begin(state.x, state.P, _x0, _P0)",
        *jacobian("transition", "_F", n),
        f"    _next = _unset({n})",
        call("transition", "_copied(state.x)", "_next"),
        "    _take(state.x, _next)",
        f"    _spread(state.P, _F, _Q * {per})",
        *jacobian("measurement", "_H", p),
        f"    _seen, _e, _s = _unset({p}), _unset({p}), _unset({p})",
        call("measurement", "_copied(state.x)", "_seen"),
        *(f"    _e[{row}] = {name} - _seen[{row}]" for row, name in enumerate(config.measurements)),
        "    _update_all(state.x, state.P, _H, _W, _r, _e, _s)",
        call("measurement", "_copied(state.x)", "_seen"),
        f"    return {', '.join(results)}",
        "",
    ]
    return "\n".join(lines)


_CONSTANTS = ("_Q", "_W", "_r", "_x0", "_P0")
_SCOPE = {
    "_begin": begin,
    "_central": central,
    "_copied": copied,
    "_interval": interval,
    "_shifted": shifted,
    "_spread": spread,
    "_take": take,
    "_unset": unset,
    "_unset_matrix": unset_matrix,
    "_update_all": update_all,
}


def _not_linked(*_: Any) -> None:  # noqa: ANN401
    message = "the filter calls functions of the folder: link it first"
    raise TypeError(message)


def _make(config: ExtendedKalmanFilterConfig) -> BoundStep:
    """Estimate n states of an author's own model from p measurements, one step a record.

    The model are two functions of the folder, `transition(x, out, …)` and `measurement(x, out, …)`: they read the n
    states `x` and write every element of `out`, the n states after this record's interval, or the p values that should
    be measured then; an element that is not written is NaN. All further arguments are wired by name like those of a
    step: controls, `dt_s`, parameters of the twin.

    Every record, f being the transition and h the measurement: F = ∂f/∂x, x = f(x), P = F·P·Fᵀ + Q, H = ∂h/∂x, and the
    update with all measurements z by the innovation z - h(x), also for the first record, which starts at x0 and P0.
    Derivatives come from functions of the folder that write them into a matrix `out`, or from central differences.
    Source: A. H. Jazwinski, Stochastic Processes and Filtering Theory (1970), chapter 8; differences: W. H. Press et
    al., Numerical Recipes, 3rd ed. (2007), section 5.7; correlated measurement noise is removed first by the triangular
    factor of R, as in `kalman_filter`.

    Outputs are the states after the update, x_1 … x_n, then for every measurement its residual z - h(x) with that x.
    With `innovations: true` there follow innovations and variances as those of `kalman_filter`, for
    `innovation_monitor`.
    """
    n = len(config.x0)
    results = [f"x_{index + 1}" for index in range(n)]
    units = {}
    for kind, power in (("residual", ""), ("innovation", ""), ("variance", "**2")):
        for index, name in enumerate(config.measurements, start=1):
            if kind == "residual" or config.innovations:
                results.append(f"{kind}_{index}")
                units[results[-1]] = f"{{delta {name}}}{power}"
    settings = ("transition", "measurement", "transition_jacobian", "measurement_jacobian")
    whitening, variances = decorrelation(np.array(config.R))
    constants: dict[str, Constant] = {
        "_Q": constant_array(config.Q),
        "_W": constant_array(whitening),
        "_r": constant_array(variances),
        "_x0": constant_array(config.x0),
        "_P0": constant_array(config.P0 or config.Q),
    }

    outputs = {name: StepOutput() for name in results}
    state = {"started": StateField(type="bool"), "x": StateField(shape=(n,)), "P": StateField(shape=(n, n))}

    def link(functions: Mapping[str, Callable[..., Any]]) -> BoundStep:
        # After x and out.
        named = {setting: tuple(inspect.signature(one).parameters)[2:] for setting, one in functions.items()}
        ambient = ["dt_s"] if config.noise_per == "second" else []
        others = [name for names in named.values() for name in names]
        arguments = list(dict.fromkeys([*config.measurements, *others, *ambient]))
        scope = _SCOPE | {f"_{setting}": one for setting, one in functions.items()}
        function = function_from(_source(config, named, arguments), "extended_kalman_filter", scope)
        places = dict.fromkeys(config.measurements, "config.measurements")
        return BoundStep(function, tuple(arguments), outputs, state, constants, units=units, places=places)

    return BoundStep(
        function=_not_linked,
        arguments=config.measurements,
        outputs=outputs,
        state=state,
        constants=constants,
        units=units,
        calls={
            setting: Call(target, {"x": 1, "out": 2 if setting.endswith("jacobian") else 1})
            for setting in settings
            if (target := getattr(config, setting)) is not None
        },
        link=link,
    )


EXAMPLE = {
    "transition": "model.py:transition",
    "measurement": "model.py:measurement",
    "x0": [20.0, 0.0],
    "Q": [[0.01, 0.0], [0.0, 0.001]],
    "noise_per": "second",
    "R": [[0.25]],
    "measurements": ["temperature"],
}
"""A temperature and a loss, measured by one sensor; `model.py` is the author's."""

BUILT_IN = BuiltIn("extended_kalman_filter", ExtendedKalmanFilterConfig, _make, _make.__doc__ or "", EXAMPLE)
