"""Steps in plain Python in processes of their own: whatever one does, its twin alone is quarantined, and told why."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading, request

from twins.apart import processes as processes_module
from twins.apart import traces
from twins.apart.process import StepProcess
from twins.apart.processes import Processes
from twins.apart.steps import apart
from twins.twin_type import TwinType

DEFINITION = """\
name: faulty
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: before, step: "steps.py:before", outputs: [b]}
  - name: s
    step: steps.py:step
    compiled: false
    limits: {time_s: 0.15, memory_mb: 64}
    state: {total: {}, v: {shape: [2]}, n: {type: int}}
    outputs: {y: {}, whole: {type: int}, odd: {type: bool}}
  - {name: after, step: "steps.py:after", outputs: [z]}
outputs: {timeseries: {fields: [y, z]}}
"""
STEPS = """\
import ctypes
import math
import os
import subprocess
import sys
import time
import numpy as np
from twins.functions.random import uniform

kept = []


def before(a):
    return 2.0 * a


def step(state, b, random_seed, records):
    a = 0.5 * b
    if a == -1.0:
        raise ValueError("negative")
    if a == -2.0:
        while True:
            pass
    if a == -3.0:
        time.sleep(60)
    if a == -4.0:
        os._exit(7)
    if a == -5.0:
        ctypes.string_at(0)
    if a == -6.0:
        eaten = []
        while True:
            eaten.append(bytearray(1 << 20))
    if a == -7.0:
        import no_such_module
    if a == -8.0:
        return math.nan, 0, False
    if a == -9.0:
        sum(range(10**15))
    if a == -10.0:
        subprocess.Popen(["sleep", "600"])
        os._exit(0)
    if a == -11.0:
        kept.append(np.ones(1 << 20))
    if a == -12.0:
        print("it", "prints")
        print("and complains", file=sys.stderr)
        os.write(1, b"and writes\\n")
    if a == -13.0:
        os.closerange(3, 100)
        time.sleep(60)
    if a == -14.0:
        time.sleep(0.3)
    state.total += a
    state.v[1] = uniform(random_seed, 1)
    state.n += 1
    return state.total + state.v[1], records, state.n % 2 == 1


def after(y):
    return y + 1.0
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    """The type with its steps called in this process."""
    folder = stepping.write_type(tmp_path_factory.mktemp("faulty"), DEFINITION, steps=STEPS)
    return load_type(folder, "content", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module")
def module_apart(here: TwinType) -> Iterator[tuple[TwinType, Processes, list[str]]]:
    told: list[str] = []
    twin_type, processes = apart(here, told.append)
    assert processes is not None
    processes.keep_ready()
    yield twin_type, processes, told
    processes.close()


@pytest.fixture
def there(module_apart: tuple[TwinType, Processes, list[str]]) -> TwinType:
    module_apart[2].clear()
    return module_apart[0]


FAULTS = [
    (-1.0, "step s raised ValueError: negative (steps.py:20)", ""),
    (-2.0, "step s took longer than its limit of 0.15 s: give its loops and waiting an end", "time"),
    (-3.0, "step s took longer than its limit of 0.15 s: give its loops and waiting an end", "time"),
    (-4.0, "step s ended its process (exit code 7): no step may", "ended"),
    (-5.0, "step s ended its process (signal SIGSEGV): no step may", "ended"),
    (-6.0, "step s raised MemoryError (steps.py:33): needs more memory than its limit of 64 MiB", "memory"),
    (-7.0, "step s raised ModuleNotFoundError: No module named 'no_such_module' (steps.py:35)", ""),
    (-8.0, "step s gave nan for y", ""),
    (-9.0, "step s took longer than its limit of 0.15 s: give its loops and waiting an end", "time"),
    (-13.0, "step s closed what connects its process: no step may", "ended"),
]


@pytest.mark.parametrize(("value", "told", "why"), FAULTS)
def test_a_fault_costs_its_twin_alone_and_its_neighbours_get_what_they_get_without_it(
    here: TwinType,
    there: TwinType,
    module_apart: tuple[TwinType, Processes, list[str]],
    value: float,
    told: str,
    why: str,
) -> None:
    bad = TWINS[1]
    first = [reading(twin, 0, a=1.0 + index) for index, twin in enumerate(TWINS)]
    second = [reading(twin, 1, a=value if twin == bad else 2.0) for twin in TWINS]
    third = [reading(twin, 2, a=3.0) for twin in TWINS]
    engine = Stepping(there)
    began_s = time.monotonic()
    run = engine.step(*first, *second, *third)
    assert time.monotonic() - began_s < 3.0
    plain = Stepping(here)
    wanted = plain.step(*first, *(one._replace(value=b"{}") if one.key == bad else one for one in second), *third)
    others = [twin for twin in TWINS if twin != bad]
    for twin in others:
        assert engine.state(twin) == plain.state(twin)
    assert [line for line in run.lines() if "twin=" + bad.decode() not in line] == [
        line for line in wanted.lines() if "twin=" + bad.decode() not in line
    ]
    letters = run.messages("deadletter")
    assert [letter["reason"] for letter in letters] == ["step_failed", "quarantined"]
    assert letters[0]["detail"].startswith(told)
    assert engine.state(bad).status == "quarantined"
    assert engine.state(bad).state["s"]["n"] == 1
    (event,) = [event for event in run.messages("events") if event["name"] == "quarantined"]
    assert event["data"]["reason"].startswith(told)
    # Where others left little memory it is tried once more.
    assert module_apart[2] == ([why] if why else [])
    engine.step(request(bad, "release"), reading(bad, 3, a=4.0))
    assert engine.state(bad).state["s"]["n"] == 2


def test_what_had_to_be_ended_is_told_at_its_line(there: TwinType) -> None:
    engine = Stepping(there)
    lines = {}
    for twin, value in zip(TWINS, (-2.0, -3.0, -5.0, -9.0), strict=False):
        letter = engine.step(reading(twin, 0, a=value)).messages("deadletter")[-1]
        lines[value] = letter["detail"].rpartition("steps.py:")[2].rstrip(")")
    assert lines[-2.0] in {"22", "23"}
    assert (lines[-3.0], lines[-5.0], lines[-9.0]) == ("25", "29", "39")


def test_who_is_over_the_limit_is_to_blame_though_it_comes_to_its_end_meanwhile(
    here: TwinType, there: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "ask", lambda *_: time.sleep(0.5))
    engine, plain = Stepping(there), Stepping(here)
    run = engine.step(*(reading(twin, 0, a=-14.0 if twin == TWINS[1] else 2.0) for twin in TWINS))
    plain.step(*(reading(twin, 0, a=2.0) for twin in TWINS))
    assert [letter["twin"] for letter in run.messages("deadletter")] == [TWINS[1].decode()]
    for twin in (TWINS[0], *TWINS[2:]):
        assert engine.state(twin).state == plain.state(twin).state


def test_what_a_step_started_ends_with_its_process(there: TwinType) -> None:
    before = {process.pid for process in psutil.process_iter()}
    Stepping(there).step(reading(TWINS[0], 0, a=-10.0))
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in before and process.info["cmdline"] == ["sleep", "600"]
    ]
    psutil.wait_procs(left, 2.0)
    assert not [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_what_many_records_leave_behind_costs_no_twin(
    there: TwinType, module_apart: tuple[TwinType, Processes, list[str]]
) -> None:
    engine = Stepping(there)
    for at_s in range(12):
        run = engine.step(*(reading(twin, at_s, a=-11.0) for twin in TWINS[:2]))
        assert run.messages("deadletter") == []
    assert set(module_apart[2]) <= {"grown", "memory"}
    assert module_apart[2]


def test_who_asks_for_too_much_is_told_so_though_none_that_is_roomy_ever_comes(
    there: TwinType, module_apart: tuple[TwinType, Processes, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Processes._given  # noqa: SLF001 - as if others were faster

    def used(processes: Processes) -> StepProcess:
        process = given(processes)
        process.grown_mb = 30.0
        return process

    monkeypatch.setattr(Processes, "_given", used)
    (letter,) = Stepping(there).step(reading(TWINS[0], 0, a=-6.0)).messages("deadletter")
    assert "needs more memory than its limit of 64 MiB" in letter["detail"]
    assert module_apart[2] == ["memory", "memory"]


def test_what_a_step_prints_is_logged(there: TwinType, capfd: pytest.CaptureFixture[str]) -> None:
    Stepping(there).step(reading(TWINS[0], 0, a=-12.0))
    deadline_s = time.monotonic() + 5.0
    found = ""
    while time.monotonic() < deadline_s and "and writes" not in found:
        time.sleep(0.02)
        found += "".join(capfd.readouterr())
    for text in ("it prints", "and complains", "and writes"):
        assert text in found


def test_random_records_give_the_same_bits_in_another_process(here: TwinType, there: TwinType) -> None:
    random = np.random.default_rng(7)
    records = [
        reading(TWINS[int(random.integers(len(TWINS)))], float(at_s), a=float(random.normal())) for at_s in range(400)
    ]
    records = [item._replace(offset=index) for index, item in enumerate(records)]
    found, wanted = stepping.stepped(there, records), stepping.stepped(here, records)
    assert found.result.states == wanted.result.states
    assert found.lines() == wanted.lines()


def test_a_type_whose_modules_can_not_be_imported_any_more_quarantines_its_twins(
    tmp_path: Path, here: TwinType
) -> None:
    steps = "import sys\nif 'twins.apart.child' in sys.modules or sys.argv[1:]: raise OSError('gone')\n" + STEPS
    folder = stepping.write_type(tmp_path / "type", DEFINITION, steps=steps)
    before, sys.argv[1:] = sys.argv[1:], []
    try:
        twin_type = load_type(folder, "gone", here.kernels.folder.parent)
    finally:
        sys.argv[1:] = before
    told: list[str] = []
    twin_type, processes = apart(twin_type, told.append)
    assert processes is not None
    try:
        (letter,) = Stepping(twin_type).step(reading(TWINS[0], 0, a=1.0)).messages("deadletter")
        assert "step s can't be called: import failed: OSError: gone (steps.py:2)" in letter["detail"]
        assert told == ["start"]
    finally:
        processes.close()


_WORKER = """
import sys, time
from pathlib import Path
sys.path[:0] = [ROOT + "/tests", ROOT]
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading
from twins.apart.steps import apart
twin_type, processes = apart(load_type(Path(FOLDER), "content", Path(CACHE)), lambda _: None)
processes.keep_ready()
print("ready", flush=True)
Stepping(twin_type).step(reading(TWINS[0], 0, a=float(sys.argv[1])))
time.sleep(60)
"""


@pytest.mark.slow
def test_nothing_outlives_a_killed_worker(here: TwinType, tmp_path: Path) -> None:
    folder = stepping.write_type(
        tmp_path / "type",
        DEFINITION.replace("time_s: 0.15", "time_s: 60"),
        steps=STEPS.replace("        os._exit(0)", "        sum(range(10**15))"),
    )
    root = Path(__file__).parents[2]
    code = _WORKER.replace("ROOT", repr(str(root))).replace("FOLDER", repr(str(folder)))
    code = code.replace("CACHE", repr(str(here.kernels.folder.parent)))
    worker = subprocess.Popen([sys.executable, "-c", code, "-10"], cwd=root, stdout=subprocess.PIPE)
    try:
        tree: list[psutil.Process] = []
        deadline_s = time.monotonic() + 60.0
        while not any("sleep" in process.name() for process in tree) and time.monotonic() < deadline_s:
            time.sleep(0.1)
            tree = psutil.Process(worker.pid).children(recursive=True)
        assert len(tree) >= 3, tree
        worker.kill()
        _, alive = psutil.wait_procs(tree, 5.0)
        assert not alive
    finally:
        worker.kill()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()


def test_processes_of_a_version_that_steps_nothing_end_and_come_again(
    here: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "IDLE_S", 0.3)
    monkeypatch.setattr(processes_module, "_LOOK_S", 0.05)
    twin_type, processes = apart(here, lambda _: None)
    assert processes is not None
    own = psutil.Process(os.getpid())
    try:
        engine = Stepping(twin_type)
        before = {child.pid for child in own.children()}
        engine.step(reading(TWINS[0], 0, a=1.0))
        begun = [child for child in own.children() if child.pid not in before]
        _, alive = psutil.wait_procs(begun, 5.0)
        assert begun
        assert not alive
        engine.step(reading(TWINS[0], 1, a=1.0))
        assert engine.state(TWINS[0]).state["s"]["n"] == 2
    finally:
        processes.close()
