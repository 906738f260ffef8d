"""Extended Kalman filter: against the textbook in NumPy, the linear filter, and compiled in a folder of its own."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.plain_twin import PlainTwin
from support.oracle import load_type
from support.stepping import START_NS, TWINS, Stepping, reading, write_type

from twins.check import check_folder
from twins.functions.built_in import BoundStep
from twins.functions.registry import BUILT_INS
from twins.functions.testing import built_in, load_trial, new_state
from twins.twin_type import TwinType

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)


def _covariance(random: np.random.Generator, size: int) -> Array:
    root = random.normal(size=(size, size))
    matrix = root @ root.T + 0.1 * np.eye(size)
    symmetric: Array = (matrix + matrix.T) / 2
    return symmetric


def _linked(functions: dict[str, Callable[..., None]], **config: Any) -> BoundStep:
    names = {setting: f"model.py:{function.__name__}" for setting, function in functions.items()}
    bound = BUILT_INS["extended_kalman_filter"].bind({**names, **config})
    assert bound.link is not None
    assert {setting: call.target for setting, call in bound.calls.items()} == names
    linked = bound.link(functions)
    assert (linked.outputs, linked.state) == (bound.outputs, bound.state)
    return linked


def _config(q: Array, r: Array, x: Array, p: Array, **others: Any) -> dict[str, Any]:
    found = {"Q": q.tolist(), "R": r.tolist(), "x0": x.tolist(), "P0": p.tolist()}
    return {**found, "measurements": [f"z{i}" for i in range(len(r))], **others}


@settings(max_examples=40)
@given(st.integers(1, 8), st.integers(1, 4), SEEDS, st.booleans())
def test_the_filter_is_that_of_the_textbook(n: int, p: int, seed: int, derived: bool) -> None:  # noqa: FBT001
    random = np.random.default_rng(seed)
    a, b, c = random.normal(size=(n, n)) / n, random.normal(size=n), random.normal(size=(p, n))

    def transition(x: Array, out: Array, u: float, dt_s: float) -> None:
        out[:] = x + dt_s * (np.sin(a @ x) + b * u)

    def measurement(x: Array, out: Array, gain: float) -> None:
        out[:] = gain * np.tanh(c @ x) + (c @ x)

    def transition_jacobian(x: Array, out: Array, dt_s: float) -> None:
        out[:] = np.eye(n) + dt_s * np.cos(a @ x)[:, None] * a

    def measurement_jacobian(x: Array, out: Array, gain: float) -> None:
        out[:] = (gain * (1 - np.tanh(c @ x) ** 2) + 1)[:, None] * c

    q, r, x, cov = _covariance(random, n) / 9, _covariance(random, p), random.normal(size=n), _covariance(random, n)
    functions: dict[str, Callable[..., None]] = {"transition": transition, "measurement": measurement}
    if derived:
        functions |= {"transition_jacobian": transition_jacobian, "measurement_jacobian": measurement_jacobian}
    bound = _linked(functions, **_config(q, r, x, cov, noise_per="second", innovations=True))
    assert bound.arguments == (*(f"z{i}" for i in range(p)), "u", "dt_s", "gain")
    state = new_state(bound.state)
    for _ in range(8):
        u, dt_s, gain, z = random.normal(), random.uniform(0, 2), random.uniform(0, 2), random.normal(size=p)
        results = bound.function(state, *z, u, dt_s, gain, *bound.constants.values())
        f, h, seen = np.empty((n, n)), np.empty((p, n)), np.empty(p)
        transition_jacobian(x, f, dt_s)
        before = x.copy()
        transition(before, x := np.empty(n), u, dt_s)
        cov = f @ cov @ f.T + q * dt_s
        measurement_jacobian(x, h, gain)
        measurement(x, seen, gain)
        s = h @ cov @ h.T + r
        k = cov @ h.T @ np.linalg.inv(s)
        innovation = z - seen
        x, cov = x + k @ innovation, (np.eye(n) - k @ h) @ cov
        measurement(x, seen, gain)
        np.testing.assert_allclose(results[: n + p], [*x, *(z - seen)], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(state.P, cov, rtol=1e-6, atol=1e-6)
        assert (state.P == state.P.T).all()
        assert np.linalg.eigvalsh(state.P).min() > -1e-10
        e, variances = np.array(results[n + p : n + 2 * p]), np.array(results[n + 2 * p :])
        assert variances.min() > 0.0
        nis = float(innovation @ np.linalg.inv(s) @ innovation)
        assert float((e**2 / variances).sum()) == pytest.approx(nis, rel=1e-5, abs=1e-7)


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(1, 3), SEEDS)
def test_a_linear_model_gives_what_the_linear_filter_gives(n: int, p: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    f, g, h = random.normal(size=(n, n)) / n, random.normal(size=n), random.normal(size=(p, n))

    def transition(x: Array, out: Array, u: float) -> None:
        out[:] = f @ x + g * u

    def measurement(x: Array, out: Array) -> None:
        out[:] = h @ x

    shared = _config(_covariance(random, n), _covariance(random, p), random.normal(size=n), _covariance(random, n))
    bound = _linked({"transition": transition, "measurement": measurement}, **shared, innovations=True)
    matrices = {"F": f.tolist(), "G": g[:, None].tolist(), "H": h.tolist(), "controls": ["u"], "innovations": True}
    linear = BUILT_INS["kalman_filter"].bind({**shared, **matrices})
    assert list(bound.outputs) == list(linear.outputs)
    one, other = new_state(bound.state), new_state(linear.state)
    for _ in range(10):
        u, z = random.normal(), random.normal(size=p)
        found = bound.function(one, *z, u, *bound.constants.values())
        np.testing.assert_allclose(
            found, linear.function(other, u, *z, *linear.constants.values()), rtol=1e-6, atol=1e-6
        )


PENDULUM = """\
name: pendulum
version: 1.0.0
inputs:
  push: {unit: N, range: [-10, 10]}
  tilt: {unit: rad, range: [-10, 10]}
parameters:
  mass: {unit: kg, default: 2.0, above: 0}
  rod: {unit: m, default: 1.5, above: 0}
pipeline:
  - name: filter
    step: extended_kalman_filter
    inputs: {angle: tilt, length: rod}
    config:
      transition: model.py:swing
      measurement: model.py:sensor
      x0: [0.5, 0.0]
      Q: [[0.001, 0.0], [0.0, 0.01]]
      noise_per: second
      R: [[0.04]]
      measurements: [angle]
      innovations: true
    outputs: [angle, speed, residual, innovation, variance]
  - name: monitor
    step: innovation_monitor
    outputs: {nis: {}, cusum: {}, drifting: {type: bool}}
outputs:
  timeseries: {fields: [angle, speed, residual, nis, drifting]}
"""
MODEL = '''\
"""A pendulum that is pushed."""
import math

G = 9.81


def swing(x, out, push, mass, length, dt_s):
    out[0] = x[0] + dt_s * x[1]
    out[1] = x[1] - dt_s * (G / length * math.sin(x[0]) + 0.1 * x[1] - push / (mass * length))


def swing_slopes(x, out, length, dt_s):
    out[0, 0] = 1.0
    out[0, 1] = dt_s
    out[1, 0] = -dt_s * G / length * math.cos(x[0])
    out[1, 1] = 1.0 - 0.1 * dt_s


def sensor(x, out):
    out[0] = x[0]
'''


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    folder = _folder(tmp_path_factory.mktemp("pendulum"))
    assert check_folder(folder) == []
    return load_type(folder, "content", tmp_path_factory.mktemp("kernels"))


def _folder(path: Path, definition: str = PENDULUM, model: str = MODEL) -> Path:
    return write_type(path / "pendulum", definition, model=model)


@pytest.mark.slow
def test_the_compiled_filter_gives_what_plain_python_gives_and_finds_the_pendulum(pendulum: TwinType) -> None:
    plain, stepping = PlainTwin(pendulum.code.folder), Stepping(pendulum)
    random, angle, speed = np.random.default_rng(2), 1.0, 0.0
    for k in range(200):
        push = math.sin(k / 20)
        for _ in range(10):
            acceleration = -9.81 / 1.5 * math.sin(angle) - 0.1 * speed + push / 3.0
            angle, speed = angle + 0.005 * speed, speed + 0.005 * acceleration
        made = {"push": push, "tilt": angle + 0.2 * random.normal()}
        stepping.step(reading(TWINS[0], k * 0.05, **made))
        expected = plain.step({"time": START_NS + k * 50_000_000, **made})
        assert stepping.state(TWINS[0]).outputs == pytest.approx(expected, rel=1e-9, abs=1e-9)
    found = stepping.state(TWINS[0]).outputs
    assert found["angle"] == pytest.approx(angle, abs=0.2)
    assert found["speed"] == pytest.approx(speed, abs=0.6)
    assert found["drifting"] is False


@pytest.mark.slow
def test_derivatives_of_the_author_change_nothing_but_the_work(pendulum: TwinType, tmp_path: Path) -> None:
    definition = PENDULUM.replace("      x0:", "      transition_jacobian: model.py:swing_slopes\n      x0:")
    derived = load_type(_folder(tmp_path, definition), "derived", tmp_path)
    results = []
    for twin_type in (pendulum, derived):
        stepping = Stepping(twin_type)
        stepping.step(*(reading(TWINS[0], k * 0.1, push=1.0, tilt=math.sin(k / 9)) for k in range(50)))
        results.append(stepping.state(TWINS[0]).outputs)
    assert results[0] == pytest.approx(results[1], rel=1e-6, abs=1e-6)


def test_the_filter_is_called_in_a_test_as_any_step(tmp_path: Path) -> None:
    by_folder = load_trial(_folder(tmp_path), "filter")
    config = {"transition": "m.py:f", "measurement": "m.py:h", "x0": [1.0], "Q": [[1.0]], "R": [[2.0]]}

    def keep(x: Array, out: Array) -> None:
        out[0] = x[0]

    by_functions = built_in(
        "extended_kalman_filter", {**config, "measurements": ["z"]}, {"transition": keep, "measurement": keep}
    )
    assert by_functions(z=4.0) == pytest.approx({"x_1": 2.5, "residual_1": 1.5})
    found = by_folder(0.0, angle=0.5, push=0.0, mass=2.0, length=1.5)
    assert (found["angle"], found["innovation"]) == (0.5, 0.0)
    with pytest.raises(KeyError, match="transition"):
        built_in("extended_kalman_filter", {**config, "measurements": ["z"]})


FAILING = """\
def swing(x, out, push):
    out[0] = x[0]
    if push == 1.0:
        out[2] = x[1]
    elif push == 2.0:
        out[1] = x[5]
    elif push == 3.0:
        out[1] = 1.0 / (push - push)
    elif push == 4.0:
        x[1] = out[1] = 7.0
    # Else an element is forgotten.


def sensor(x, out):
    out[0] = x[0]
"""


@pytest.mark.slow
def test_a_model_that_fails_costs_only_its_twin(tmp_path: Path) -> None:
    folder = _folder(tmp_path, PENDULUM.replace(", length: rod", ""), FAILING)
    stepping = Stepping(load_type(folder, "failing", tmp_path))
    run = stepping.step(*(reading(twin, 0, push=float(push), tilt=0.5) for push, twin in enumerate(TWINS[:5])))
    assert [stepping.state(twin).status for twin in TWINS[:5]] == ["quarantined"] * 4 + ["ok"]
    assert [letter["reason"] for letter in run.messages("deadletter")] == ["step_failed"] * 4
    # What it writes into x reaches nothing.
    assert stepping.state(TWINS[4]).outputs["speed"] == 7.0


@pytest.mark.parametrize(
    ("changed", "model", "place", "said"),
    [
        (("model.py:swing", "model.py:swung"), MODEL, ("twin.yaml", 14, "pipeline.0.config.transition"), "swung"),
        (("model.py:sensor", "models.py:sensor"), MODEL, ("twin.yaml", 15, "pipeline.0.config.measurement"), "no file"),
        (("model.py:swing", "swing"), MODEL, ("twin.yaml", 14, "pipeline.0.config.transition"), "swing must be"),
        (("x0: [0.5, 0.0]", "x0: [0.5]"), MODEL, ("twin.yaml", 17, "pipeline.0.config.Q"), "Q must have 1 rows of 1"),
        (("", ""), MODEL.replace("x, out, push", "out, push, x"), ("model.py", 7, "swing"), "x and out"),
        (("", ""), MODEL.replace("push, mass", "state, push, mass"), ("model.py", 7, "swing"), "takes state"),
        (("", ""), MODEL.replace("push, mass", "push, _mass, mass"), ("model.py", 7, "swing"), "_mass"),
        (("", ""), MODEL.replace("push, mass", "push, masse, mass"), ("twin.yaml", 12, "pipeline.0.inputs"), "masse"),
        (("", ""), MODEL.replace("math.sin(", "math.sine("), ("model.py", 9, "swing"), "math has no sine"),
        (("", ""), MODEL.replace("+ dt_s * x[1]", "+ 'text'"), ("model.py", 8, "swing"), "swing can't be compiled"),
        (
            ("", ""),
            MODEL.replace("out[0] = x[0]\n", "out[0] = x\n"),
            ("model.py", 20, "sensor"),
            "sensor can't be compiled",
        ),
        (("", ""), MODEL.replace("def sensor(x, out):", "def sensor(x, out)"), ("model.py", 19, "file"), "syntax"),
    ],
)
def test_faults_of_the_model_are_located(
    tmp_path: Path, changed: tuple[str, str], model: str, place: tuple[str, int, str], said: str
) -> None:
    (problem,) = check_folder(_folder(tmp_path, PENDULUM.replace(*changed), model))
    assert (problem.file, problem.line, problem.path) == place
    assert said in problem.message
    assert problem.remedy
