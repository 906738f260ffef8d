"""Linear model in state space, discrete or continuous, up to eight states."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import Array, BoundStep, BuiltIn, Constant, State, constant_array
from twins.functions.durations import to_ns
from twins.functions.generated import check_arguments, function_from
from twins.functions.matrices import Matrix, Names, Row, check_shapes
from twins.functions.sampled import advance, transitions


class StateSpaceConfig(Strict):
    """Settings of `state_space`, with n states, m inputs and p outputs.

    Attributes:
        time: Whether the matrices hold from record to record (`discrete`) or are those of a differential equation with
            rates per second (`continuous`).
        A: Effect of the states, n by n.
        B: Effect of the inputs, n by m.
        C: What the outputs show of the states, p by n; the states themselves unless given.
        D: What they show of the inputs, p by m; nothing unless given.
        x0: States at the first record; zeros unless given.
        inputs: Names of the m arguments.
    """

    time: Literal["discrete", "continuous"]
    A: Matrix
    B: Matrix
    C: Matrix | None = None
    D: Matrix | None = None
    x0: Row | None = None
    inputs: Annotated[Names, Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        n, m, p = len(self.A), len(self.inputs), len(self.C or self.A)
        check_arguments(self.inputs, taken={"state", "dt_s", "steps", "C", "D", "x0"})
        check_shapes(self, {"A": (n, n), "B": (n, m), "C": (p, n), "D": (p, m), "x0": (n,)})
        return self


def begin(state: State, x0: Array) -> bool:
    """Set the states at the first record; whether this is one of those after it."""
    if state.started:
        return True
    state.started = True
    for i in range(x0.shape[0]):
        state.x[i] = x0[i]
    return False


def step(x: Array, u: Array, steps: Array) -> None:
    """Carry the states over one record: `steps` is A and B side by side, shape (n, n + m)."""
    n = x.shape[0]
    result = np.zeros(n)
    for i in range(n):
        for k in range(n):
            result[i] += steps[i, k] * x[k]
        for k in range(u.shape[0]):
            result[i] += steps[i, n + k] * u[k]
    for i in range(n):
        x[i] = result[i]


def _source(config: StateSpaceConfig) -> str:
    states, inputs = range(len(config.A)), list(enumerate(config.inputs))
    hold = [f"state.u[{index}] = {name}" for index, name in inputs]
    if config.time == "discrete":
        arguments, shown = [*config.inputs], list(config.inputs)
        body = ["if _begin(state, x0):", "    _step(state.x, state.u, steps)", *hold]
    else:
        arguments, shown = [*config.inputs, "dt_s"], [f"state.u[{index}]" for index, _ in inputs]
        body = [
            "if _begin(state, x0):",
            "    _advance(state.x, state.u, _empty(state.x.shape[0]), steps, _to_ns(dt_s))",
            "    if dt_s > 0.0:",
            *(f"        {line}" for line in hold),
            "else:",
            *(f"    {line}" for line in hold),
        ]
    results = []
    for row in range(len(config.C or config.A)):
        terms = [f"C[{row}, {index}] * state.x[{index}]" for index in states]
        terms += [f"D[{row}, {index}] * {name}" for index, name in enumerate(shown)] if config.D else []
        results.append(" + ".join(terms))
    constants = ["steps", "C", *(["D"] if config.D else []), "x0"]
    lines = [f"def state_space({', '.join(['state', *arguments, *constants])}):", *(f"    {line}" for line in body)]
    return "\n".join([*lines, f"    return {', '.join(results)}", ""])


def _make(config: StateSpaceConfig) -> BoundStep:
    """Simulate a linear model of n states, m inputs and p outputs.

    Discrete: x[k+1] = A·x[k] + B·u[k], y[k] = C·x[k] + D·u[k], one step a record whatever the interval. Continuous:
    dx/dt = A·x + B·u, y = C·x + D·u, solved exactly over the real event time between records, however irregular, with
    every input held until the next record; of records of the same event time the first counts, the inputs of the
    others, and of late ones, are passed over. The first record shows C·x0 + D·u. Rates in A and B are per second; the
    units of states and outputs are the author's. `first_order_lag` is the continuous model of one state with A = -1/T,
    B = gain/T.
    Source: K. J. Åström, B. Wittenmark, Computer-Controlled Systems, 3rd ed. (1997), chapter 2; the exponentials of A
    for 1, 2, 4, … ns are made once, by C. F. Van Loan, IEEE Transactions on Automatic Control 23 (1978) 395-404.

    Outputs are y_1 … y_p.
    """
    n, m, p = len(config.A), len(config.inputs), len(config.C or config.A)
    discrete = config.time == "discrete"
    a, b = np.array(config.A, dtype=np.float64), np.array(config.B, dtype=np.float64)
    constants: dict[str, Constant] = {
        "steps": constant_array(np.hstack((a, b)) if discrete else transitions(a, b)),
        "C": constant_array(config.C or np.eye(n)),
    }
    if config.D:
        constants["D"] = constant_array(config.D)
    scope = {"_begin": begin, "_step": step, "_advance": advance, "_to_ns": to_ns, "_empty": np.empty}
    return BoundStep(
        function=function_from(_source(config), "state_space", scope),
        arguments=config.inputs if discrete else (*config.inputs, "dt_s"),
        outputs={f"y_{index + 1}": StepOutput() for index in range(p)},
        state={"started": StateField(type="bool"), "x": StateField(shape=(n,)), "u": StateField(shape=(m,))},
        places=dict.fromkeys(config.inputs, "config.inputs"),
        constants=constants | {"x0": constant_array(config.x0 or [0.0] * n)},
    )


EXAMPLE = {
    "time": "continuous",
    "A": [[-0.1, 0.1], [0.0, -0.02]],
    "B": [[0.0], [0.02]],
    "C": [[1.0, 0.0]],
    "inputs": ["power"],
}
"""A sensor that lags behind a body that power heats."""

BUILT_IN = BuiltIn("state_space", StateSpaceConfig, _make, _make.__doc__ or "", EXAMPLE)
