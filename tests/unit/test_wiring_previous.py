"""Fields of the previous record: loops between steps, the same compiled, in plain Python and after any restart."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference.plain_twin import PlainTwin
from support.oracle import load_type
from support.stepping import START_NS, TWINS, Stepping, reading, stepped, write_type
from support.stepping import request as reset

from schemas.line_protocol import parse_line
from twins.check import check_folder
from twins.twin_type import TwinType

DEFINITION = """\
name: loop
version: 1.0.0
missing: hold_last
inputs:
  level: {unit: m}
  open: {type: bool}
pipeline:
  - name: control
    step: steps.py:control
    inputs:
      level: {previous: level}
      leak: {previous: leak}
      opened: {previous: open}
      count: {previous: count}
      own: {previous: wanted}
    outputs: {wanted: {unit: m}, next_count: {type: int}}
  - name: leak
    step: steps.py:leak
    outputs: {leak: {type: bool}, count: {type: int}}
outputs:
  timeseries: {fields: [wanted, leak, count]}
"""
STEPS = """\
def control(level: float, leak: bool, opened: bool, count: int, own: float) -> tuple[float, int]:
    return (0.5 * own + level if leak or opened else own - 1.0), count + 1

def leak(level: float, wanted: float, next_count: int) -> tuple[bool, int]:
    return level > wanted, next_count
"""
PROPERTY = settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
STORED = ("wanted", "leak", "count")


@pytest.fixture(scope="module", params=["", "control", "leak"], ids=["compiled", "plain-control", "plain-leak"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    step = f"step: steps.py:{request.param}\n"
    made = DEFINITION.replace(step, f"{step}    compiled: false\n")
    assert (made != DEFINITION) == bool(request.param)
    return write_type(tmp_path_factory.mktemp("loop") / "loop", made, steps=STEPS)


@pytest.fixture(scope="module")
def loop(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(folder, "content", tmp_path_factory.mktemp("kernels"))


def _series(lines: list[str]) -> list[tuple[float, ...]]:
    points = [parse_line(line).fields for line in lines]
    return [tuple(float(point[name]) for name in STORED) for point in points]


HISTORY = st.lists(
    st.just("reset") | st.tuples(st.floats(-5, 5), st.booleans()),
    min_size=1,
    max_size=30,
)


@given(HISTORY, st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=5))
@PROPERTY
def test_a_loop_gives_the_same_compiled_in_plain_python_and_with_any_cuts_and_restarts(
    loop: TwinType, folder: Path, history: list[Any], cuts: list[tuple[int, bool]]
) -> None:
    plain, expected = PlainTwin(folder), []
    made = [reading(TWINS[0], 0.0, level=1.0, open=False)]
    expected.append(plain.step({"time": START_NS, "level": 1.0, "open": False}))
    for index, item in enumerate(history, start=1):
        if item == "reset":
            made.append(reset(TWINS[0], "reset", f"r{index}"))
            plain.request("reset", {})
        else:
            level, opened = item
            made.append(reading(TWINS[0], float(index), level=level, open=opened))
            expected.append(plain.step({"time": START_NS + index * 10**9, "level": level, "open": opened}))
    made = [item._replace(offset=index) for index, item in enumerate(made)]

    whole = stepped(loop, made)

    assert _series(whole.lines()) == [tuple(float(row[name]) for name in STORED) for row in expected]
    assert stepped(loop, made, cuts).result.states == whole.result.states


def test_at_first_and_after_a_reset_there_is_nothing_before(loop: TwinType) -> None:
    engine = Stepping(loop)
    engine.step(reading(TWINS[0], 0.0, level=4.0, open=True))
    engine.step(reading(TWINS[0], 1.0, level=0.0, open=False))
    engine.step(reset(TWINS[0], "reset"))
    engine.step(reading(TWINS[0], 2.0, level=0.0, open=False))
    # The reset forgets outputs; the input that was last received is still known.
    assert _series(engine.run.lines()) == [(-1.0, 1.0, 1.0), (3.5, 0.0, 2.0), (-1.0, 1.0, 1.0)]


def test_what_has_no_previous_value_is_a_located_fault(tmp_path: Path) -> None:
    faulty = DEFINITION.replace("{previous: leak}", "{previous: leck}").replace(
        "{previous: count}", "{previous: count, to: m}"
    )
    problems = check_folder(write_type(tmp_path / "loop", faulty, steps=STEPS))
    assert [(problem.line, problem.path) for problem in problems] == [(14, "pipeline.0.inputs.count.to")]

    faulty = DEFINITION.replace("{previous: leak}", "{previous: leck}").replace("{previous: count}", "{previous: dt_s}")
    problems = check_folder(write_type(tmp_path / "loop", faulty, steps=STEPS))
    assert [(problem.line, problem.message) for problem in problems] == [
        (12, "no input or output leck, whose value was kept"),
        (14, "no input or output dt_s, whose value was kept"),
    ]
