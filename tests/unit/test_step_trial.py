"""A version is tried with records that have every input at mid-range before anything is stepped by it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from support import stepping

from infra.authoring.checking import STEP_LIMIT_S, check_apart, examine_apart
from infra.roles import worker
from schemas.bundle import bundle_of, read_folder
from schemas.clock import SystemClock
from twins.check import examine_folder
from twins.kernel import patience
from twins.kernel.trial_faults import Tried, tried
from twins.twin_type import TwinType
from twins.wiring import WiredStep

DEFINITION = """\
name: machine
version: 1.0.0
inputs: {a: {range: [2, 4]}, b: {type: bool}}
pipeline:
  - {name: smooth, step: exponential_average, inputs: {value: a}, config: {time_constant_s: 3}, outputs: [s]}
  - {name: one, step: "steps.py:one", compiled: false, outputs: [y]}
  - name: two
    step: steps.py:two
    compiled: false
    state: {n: {type: int}, h: {type: int, shape: [3]}, f: {type: bool}}
    outputs: [z]
outputs: {timeseries: {fields: [z]}}
"""
STEPS = """\
def one(s):
    return half(s)


def two(state, y):
    state.n += 1
    return y


def half(y):
    return y / 2
"""
COMPILED = DEFINITION.replace("compiled: false, ", "").replace("    compiled: false\n", "")
WITH = ", for a record with all inputs at mid-range (a = 3.0, b = false)"
ENDLESS = "    while y > 0.0:\n        y += 1.0\n    return y / 2\n"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("return y\n", "return [y]\n", [(5, "two", f"step two returned a list for z, not a number{WITH}")]),
        (
            "return half(s)\n",
            "return 'high'\n",
            [(1, "one", f"step one returned a str for y, not a number{WITH}")],
        ),
        (
            "state.n += 1\n",
            "state.n = y\n",
            [(6, "two", f"step two writes a float into its state n, which int can't hold{WITH}")],
        ),
        (
            "state.n += 1\n",
            "kept = state.h[1:]\n    kept[0] = y\n",
            [(7, "two", f"step two writes a float into its state h, which int can't hold{WITH}")],
        ),
        (
            "state.n += 1\n",
            "state.f = y > 1\n    state.h[:] += 1\n    (state.h * 0.5)[0] = y\n    state.f = y\n",
            [(9, "two", f"step two writes a float into its state f, which bool can't hold{WITH}")],
        ),
    ],
)
def test_a_step_that_is_not_compiled_gives_what_is_declared(
    tmp_path: Path, before: str, after: str, told: list[tuple[int, str, str]]
) -> None:
    found = examine_folder(stepping.write_type(tmp_path, DEFINITION, steps=STEPS.replace(before, after, 1)))
    assert [(one.line, one.path, one.message) for one in found.problems] == told
    assert all(one.file == "steps.py" and one.remedy for one in found.problems)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "    return y / 2",
            "    return y / 0",
            "step one raised ZeroDivisionError: float division by zero (steps.py:12)",
        ),
        ("state.n += 1\n", "y /= state.n\n", "step two raised ZeroDivisionError: float division by zero (steps.py:6)"),
        ("return y / 2", "return float('nan')", "step one gave nan for y"),
    ],
)
def test_a_step_that_can_not_make_sense_of_mid_range_is_a_note(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    # What follows never ends with the zero that a failed step would give.
    steps = STEPS.replace(before, after, 1).replace("    return y\n", "    while not y: pass\n    return y\n")
    found = examine_folder(stepping.write_type(tmp_path, DEFINITION, steps=steps))
    assert found.problems == []
    assert found.notes == [f"with all inputs at mid-range (a = 3.0, b = false) twins go into quarantine: {told}"]


def test_all_steps_that_return_no_number_are_told_at_once(tmp_path: Path) -> None:
    steps = STEPS.replace("return half(s)", "return None").replace("return y\n", "return [y]\n")
    problems = examine_folder(stepping.write_type(tmp_path, DEFINITION, steps=steps)).problems
    assert [(one.line, one.remedy) for one in problems] == [
        (1, "return one number for each of y"),
        (5, "return one number for each of z"),
    ]


def test_a_float_of_a_step_that_is_not_compiled_is_told_where_an_int_is_declared(tmp_path: Path) -> None:
    definition = DEFINITION.replace("outputs: [y]", "outputs: {y: {type: int}}")
    problems = examine_folder(stepping.write_type(tmp_path, definition, steps=STEPS)).problems
    assert [(one.line, one.path, one.message, one.remedy) for one in problems] == [
        (
            1,
            "one",
            f"step one returned a float for y, which int can't hold{WITH}",
            "write type: float, or return int(…) or a comparison",
        )
    ]


def test_a_compiled_step_that_fails_is_a_note(tmp_path: Path) -> None:
    found = examine_folder(stepping.write_type(tmp_path, COMPILED, steps=STEPS.replace("y / 2", "y / (y - y)")))
    assert found.problems == []
    (note,) = found.notes
    assert note == (
        "with all inputs at mid-range (a = 3.0, b = false) twins go into quarantine:"
        " step one raised ZeroDivisionError: division by zero"
    )


def test_a_step_that_is_at_work_when_its_time_is_over_is_told_where_it_is(tmp_path: Path) -> None:
    steps = STEPS.replace(
        "    return y / 2", "    while True:\n        AWAKE.wait(0.01)\n        if AWAKE.is_set(): return y"
    )
    folder = stepping.write_type(tmp_path, DEFINITION, steps=f"import threading\nAWAKE = threading.Event()\n{steps}")

    def trying(twin_type: TwinType, wired: list[WiredStep]) -> Tried:
        # It only waits: that takes some times as long.
        found = tried(twin_type, wired, 0.05)
        wired[1].function.__globals__["AWAKE"].set()
        return found

    (problem,) = examine_folder(folder, trying=trying).problems
    assert (problem.file, problem.path) == ("steps.py", "one")
    assert problem.line in {13, 14, 15}
    assert problem.message == (
        "step one did not finish within 0.05 s for a record with all inputs at mid-range (a = 3.0, b = false)"
    )
    assert "loops an end" in problem.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("definition", "body", "lines"),
    [
        (DEFINITION, ENDLESS, {11, 12}),
        # It never gives way to another thread.
        (DEFINITION, "    return sum(range(10**15)) + y\n", {11}),
    ],
    ids=["plain", "in C"],
)
def test_a_step_that_never_ends_ends_no_check(tmp_path: Path, definition: str, body: str, lines: set[int]) -> None:
    definition = definition.replace('one, step: "steps.py:one"', 'one, inputs: {y: s}, step: "steps.py:half"')
    steps = STEPS.replace("    return y / 2\n", body)
    (problem,) = check_apart(stepping.write_type(tmp_path, definition, steps=steps), step_limit_s=0.5)
    assert (problem.file, problem.path) == ("steps.py", "half")
    assert problem.line in lines
    assert "did not finish within 0.5 s for a record with all inputs at mid-range" in problem.message


def test_a_loop_of_a_compiled_step_that_never_ends_is_a_fault_at_its_line(tmp_path: Path) -> None:
    folder = stepping.write_type(tmp_path, COMPILED, steps=STEPS.replace("    return y / 2\n", ENDLESS))
    (problem,) = examine_folder(folder).problems
    assert (problem.file, problem.line, problem.path) == ("steps.py", 11, "half")
    assert problem.message == f"step one made more than 1,000,000 rounds of its loops in one call{WITH}"
    assert "limits.iterations" in problem.remedy


@pytest.mark.slow
def test_a_worker_refuses_a_candidate_that_never_ends_however_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stepping.write_type(tmp_path / "type", COMPILED, steps=STEPS.replace("    return y / 2\n", ENDLESS))
    monkeypatch.setattr(worker, "STEP_LIMIT_S", 0.5)
    role = SimpleNamespace(settings=SimpleNamespace(data_dir=tmp_path / "data"))
    catalogue = SimpleNamespace(bundle=lambda _: read_folder(folder), history=lambda _: [])
    candidate = SimpleNamespace(hash="0" * 64, type="machine")
    for _ in range(2):
        # The second time machine code is there.
        (problem,) = worker._check(role, catalogue, candidate)  # type: ignore[arg-type]  # noqa: SLF001
        assert (problem.file, problem.path) == ("steps.py", "half")
        assert "step one made more than 1,000,000 rounds" in problem.message


def test_check_tells_notes_of_a_type_that_is_compiled_throughout(tmp_path: Path) -> None:
    folder = stepping.write_type(tmp_path, COMPILED, steps=STEPS.replace("y / 2", "y / (y - y)"))
    (note,) = examine_apart(folder, costs=True).notes
    assert "twins go into quarantine" in note


@pytest.mark.parametrize(("known", "limit_s"), [((), STEP_LIMIT_S), (("0" * 64,), 0.0)])
def test_a_version_that_was_in_force_is_tried_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: tuple[str, ...], limit_s: float
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(worker, "check_apart", lambda *_, step_limit_s: asked.append(step_limit_s))
    role = SimpleNamespace(settings=SimpleNamespace(data_dir=tmp_path / "data"))
    history = [SimpleNamespace(hash=content) for content in known]
    catalogue = SimpleNamespace(bundle=lambda _: bundle_of({}), history=lambda _: history)
    worker._check(role, catalogue, SimpleNamespace(hash="0" * 64, type="machine"))  # type: ignore[arg-type]  # noqa: SLF001
    assert asked == [limit_s]


def test_only_computing_wears_patience_out(monkeypatch: pytest.MonkeyPatch) -> None:
    at = {"passed": 0.0, "computed": 0.0}
    monkeypatch.setattr(SystemClock, "monotonic_s", lambda _: at["passed"])
    monkeypatch.setattr(patience, "computed_s", lambda: at["computed"])
    waits = patience.Patience(10.0)
    seen = []
    for passed, computed in [(39.0, 9.0), (9.0, 60.0), (11.0, 10.0), (40.0, 0.0)]:
        at.update(passed=passed, computed=computed)
        seen.append(waits.is_over())
    assert seen == [False, False, True, True]
