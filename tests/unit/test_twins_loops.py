"""Loops of compiled steps that never end: their twin is quarantined, told the line; nothing else is any different."""

import time
from pathlib import Path

import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading

from twins.authored import AuthoredCode
from twins.kernel.compiler import jit
from twins.kernel.loops import bounded
from twins.twin_type import TwinType

DEFINITION = """\
name: looping
version: 1.0.0
inputs: {a: {}, n: {type: int}}
pipeline:
  - {name: s, step: "steps.py:step", limits: {iterations: 20000}, state: {total: {}, v: {shape: [3]}}, outputs: [y]}
  - {name: t, step: "more.py:after", outputs: [z]}
outputs: {timeseries: {fields: [y, z]}}
"""
STEPS = """\
from more import helped


def step(state, a, n):
    if a == -1.0:
        while a < 0.0:
            a *= 2.0
            if a < -1e300:
                a = -1.0
    if a == -2.0:
        for index in range(10**15):
            a += index
    if a == -3.0:
        a = helped(a)
    if a == -4.0:
        for index in range(10**15):
            if a > 0.0:
                break
    if a == -5.0:
        for _ in range(200):
            for _ in range(n):
                a += 1.0

    for index in range(3):
        state.v[index] += a
    if a == -6.0:
        a = sum([a * i * j for i in range(n) for j in range(n)])

    count = 0
    while count < n:
        count += 1
    else:
        state.total += count
    for index in range(n):
        if index == 5:
            continue
        state.total += index * a
    return state.total + state.v[2]
"""
MORE = """\
def helped(a):
    while True:
        if a > 0.0:
            return a


def after(y):
    total = 0.0
    for index in range(500000):
        total += index * y
    return total
"""


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    folder = stepping.write_type(tmp_path_factory.mktemp("looping"), DEFINITION, steps=STEPS, more=MORE)
    return load_type(folder, "content", tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize(
    ("a", "n", "place"),
    [
        (-1.0, 1, "steps.py:6"),
        (-2.0, 1, "steps.py:11"),
        (-3.0, 1, "more.py:2"),
        (-4.0, 1, "steps.py:16"),
        (-5.0, 150, "steps.py:21"),
        (-6.0, 150, "steps.py:27"),
        (1.0, 20_001, "steps.py:30"),
        (1.0, 10_001, "steps.py:34"),
    ],
)
def test_a_loop_without_end_quarantines_its_twin_and_tells_the_line(
    looping: TwinType, a: float, n: int, place: str
) -> None:
    engine = Stepping(looping)
    bad, other = TWINS[0], TWINS[1]
    began_s = time.monotonic()
    run = engine.step(
        reading(bad, 0, a=1.0, n=7),
        reading(bad, 1, a=a, n=n),
        reading(other, 0, a=1.0, n=7),
        reading(bad, 2, a=1.0, n=7),
    )
    assert time.monotonic() - began_s < 3.0
    failed, refused = run.messages("deadletter")
    assert failed["detail"] == (
        "step s made more than 20,000 rounds of its loops in one call: give them an end, or raise limits.iterations"
        f" ({place})"
    )
    assert refused["reason"] == "quarantined"
    expected = {"total": 7.0 + 16.0, "v": [1.0, 1.0, 1.0]}
    for twin in (bad, other):
        assert engine.state(twin).state["s"] == expected
    assert (engine.state(bad).status, engine.state(other).status) == ("quarantined", "ok")


def test_a_function_within_another_and_one_that_remembers_its_maker_have_an_end_too(tmp_path: Path) -> None:
    source = """\
def made(limit, step):
    def made_step(a):
        def within(b):
            while b < limit:
                b += step
            return b

        for _ in range(int(a)):
            a = within(a)
        return a

    return made_step


ending = made(10.0, 1.0)
endless = made(10.0, -1.0)
"""
    (tmp_path / "steps.py").write_text(source)
    code = AuthoredCode(tmp_path)
    assert jit(code.function("steps.py:ending"), code, 100)(3.0) == 10.0
    with pytest.raises(Exception, match="more than 100 rounds"):
        jit(code.function("steps.py:endless"), code, 100)(3.0)


def test_what_has_no_loop_that_could_go_on_for_ever_is_compiled_as_it_stands(tmp_path: Path) -> None:
    source = """\
def step(a, x):
    for i in range(3):
        for j in range(2, 30, 4):
            a += x[i] * j
    for one in (1.0, 2.0):
        a += one
    return a + sum([x[i] * 2.0 for i in range(3)])
"""
    (tmp_path / "steps.py").write_text(source)
    function = AuthoredCode(tmp_path).function("steps.py:step")
    assert bounded(function, 100, {}) is function.__code__  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        "for i in range(1000):\n  for j in range(1000):\n    for k in range(1000): a += 1.0\nreturn a",
        "for i in range(5000): a += 1.0\nreturn a",
        "def within(b):\n  while b > 0.0: b += 1.0\n  return b\nreturn within(a)",
        "n = 0\nwhile n < 3:\n  n += 1\n  for i in range(9000): a += 1.0\nreturn a",
        "return sum([a * i for i in range(5000)])",
        "return sum([a * i * j for i in range(100) for j in range(100)])",
        "return sum([sum([a * j for j in range(i + 1)]) for i in range(100)])",
        "for i in range(50):\n  a += 0.0 * sum([a * j for j in range(int(a) + 99)])\nreturn a",
        "for i in range(50):\n  for k in range(100):\n    a += len([j for j in range(9)])\nreturn a",
        "x = np.zeros(5000)\nreturn sum([i * b for i, b in enumerate(x)])",
        "x = np.zeros(5000)\nreturn sum([c * b for c, b in zip(x, x)])",
        "return np.array([a * i for i in range(5000)]).sum()",
        "return a + len([i for i in range(10**12) if i < 0])",
    ],
)
def test_loops_are_counted_wherever_they_stand(tmp_path: Path, body: str) -> None:
    lines = body.replace("\n", "\n    ")
    (tmp_path / "steps.py").write_text(f"import numpy as np\n\ndef step(a):\n    {lines}\n")
    code = AuthoredCode(tmp_path)
    with pytest.raises(Exception, match="more than 4,000 rounds"):
        jit(code.function("steps.py:step"), code, 4000)(1.0)
    if "]" in body and "10**12" not in body:
        plain = code.function("steps.py:step")(1.0)
        assert jit(code.function("steps.py:step"), code, 10**7)(1.0) == pytest.approx(plain)
