"""Steps in plain Python in processes of their own: whatever one does, its twin alone is quarantined, and told why."""

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from support import stepping
from support.faulty import DEFINITION, STEPS, line_of
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading, request

from streams.processor import NotNowError
from streams.rows_thread import RowsThread
from twins.apart import process as process_module
from twins.apart import processes as processes_module
from twins.apart import traces
from twins.apart.process import StepProcess
from twins.apart.processes import Processes
from twins.apart.steps import apart
from twins.twin_type import TwinType


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
    (-1.0, f"step s raised ValueError: negative (steps.py:{line_of('raise ValueError')})", ""),
    (-2.0, "step s took longer than its limit of 0.15 s: give its loops and waiting an end", "time"),
    (-3.0, "step s took longer than its limit of 0.15 s: give its loops and waiting an end", "time"),
    (-4.0, "step s ended its process (exit code 7): no step may", "ended"),
    (-5.0, "step s ended its process (signal SIGSEGV): no step may", "ended"),
    (
        -6.0,
        f"step s raised MemoryError (steps.py:{line_of('eaten.append')}): needs more memory than its limit of 64 MiB",
        "memory",
    ),
    (
        -7.0,
        f"step s raised ModuleNotFoundError: No module named 'no_such_module' (steps.py:{line_of('import no_')})",
        "",
    ),
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
    # Where others may have left something behind it is called once more.
    assert module_apart[2] in ([[why], [why] * 2] if why else [[]])
    engine.step(request(bad, "release"), reading(bad, 3, a=4.0))
    assert engine.state(bad).state["s"]["n"] == 2


def test_what_had_to_be_ended_is_told_at_its_line(there: TwinType) -> None:
    engine = Stepping(there)
    lines = {}
    for twin, value in zip(TWINS, (-2.0, -3.0, -5.0, -9.0), strict=False):
        letter = engine.step(reading(twin, 0, a=value)).messages("deadletter")[-1]
        lines[value] = letter["detail"].rpartition("steps.py:")[2].rstrip(")")
    endless = line_of("while True:")
    assert lines[-2.0] in {str(endless), str(endless + 1)}
    told = [int(lines[value]) for value in (-3.0, -5.0, -9.0)]
    assert told == [line_of("time.sleep(60)"), line_of("ctypes.string_at"), line_of("sum(range(10**15))")]


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


@pytest.mark.parametrize(
    ("left", "then", "limit"),
    [
        (-15.0, -17.0, "ended"),  # a thread that ends the process a moment later
        (-16.0, -18.0, "time"),  # a lock that nobody lets go
        (-20.0, -21.0, "memory"),  # 48 of 64 MiB
    ],
)
def test_what_one_call_leaves_behind_is_not_blamed_on_the_next_twin(
    there: TwinType, module_apart: tuple[TwinType, Processes, list[str]], left: float, then: float, limit: str
) -> None:
    engine = Stepping(there)
    run = engine.step(*(reading(twin, 0, a=left if twin == TWINS[1] else then) for twin in TWINS[1:4]))
    assert run.messages("deadletter") == []
    assert limit in module_apart[2]
    for twin in TWINS[1:4]:
        assert (engine.state(twin).status, engine.state(twin).state["s"]["n"]) == ("ok", 1)


@pytest.mark.parametrize(("value", "seconds"), [(-10.0, "600"), (-19.0, "601"), (-22.0, "602")])
def test_what_a_step_started_ends_with_its_process(there: TwinType, value: float, seconds: str) -> None:
    def left() -> list[psutil.Process]:
        return [
            process
            for process in psutil.process_iter(["cmdline", "status"])
            if process.pid not in before
            and process.info["cmdline"] == ["sleep", seconds]
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    before = {process.pid for process in psutil.process_iter()}
    Stepping(there).step(reading(TWINS[0], 0, a=value))
    deadline_s = time.monotonic() + 5.0
    while left():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


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

    def used(processes: Processes, *, fresh: bool) -> StepProcess:
        process = given(processes, fresh=fresh)
        if not fresh:
            process.grown_mb, process.is_used = 30.0, True
        return process

    monkeypatch.setattr(Processes, "_given", used)
    (letter,) = Stepping(there).step(reading(TWINS[0], 0, a=-6.0)).messages("deadletter")
    assert "needs more memory than its limit of 64 MiB" in letter["detail"]
    assert set(module_apart[2]) == {"memory"}


def test_other_partitions_go_on_while_a_step_takes_its_time(there: TwinType, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = RowsThread(), list[str]()
    # So that a process is there: they also go on while one starts.
    Stepping(there).step(reading(TWINS[0], 0, a=1.0))
    give_up = StepProcess._give_up  # noqa: SLF001 - when its time is over

    def noted(process: StepProcess, *arguments: Any) -> None:
        done.append("its time is over")
        give_up(process, *arguments)

    monkeypatch.setattr(StepProcess, "_give_up", noted)
    hanging = threads.submit(1, lambda: Stepping(there).step(reading(TWINS[0], 0, a=-2.0)).messages("deadletter"))
    wait([hanging, threads.submit(2, lambda: done.append("other"))], 10.0)
    (letter,) = hanging.result()
    assert "took longer" in letter["detail"]
    assert done[:2] == ["other", "its time is over"]


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


def _no_process(*_: object, **__: object) -> None:
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


def _gone(pid: int) -> None:
    raise psutil.NoSuchProcess(pid)


@pytest.mark.parametrize(
    ("module", "name", "replaced"),
    [
        (subprocess, "Popen", _no_process),
        (process_module, "new_segment", _no_process),
        (process_module, "START_LIMIT_S", 0.01),
        (process_module, "Usage", _gone),
        (process_module, "pass_on", _no_process),
    ],
)
def test_a_machine_that_gives_no_process_is_no_record_s_fault_and_nothing_is_left_of_the_attempt(
    here: TwinType, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, replaced: object
) -> None:
    own = psutil.Process()
    before = {child.pid for child in own.children()}
    twin_type, processes = apart(here, lambda _: None)
    assert processes is not None
    monkeypatch.setattr(module, name, replaced)
    for _ in range(2):
        with pytest.raises(NotNowError, match="no process can be started for step s"):
            Stepping(twin_type).step(reading(TWINS[0], 0, a=1.0))
    deadline_s = time.monotonic() + 5.0
    while {child.pid for child in own.children()} - before:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    monkeypatch.undo()
    try:
        engine = Stepping(twin_type)
        with contextlib.suppress(NotNowError):  # of an attempt that was begun before
            engine.step(reading(TWINS[0], 0, a=1.0))
        engine.step(reading(TWINS[0], 1, a=1.0))
        assert engine.run.messages("deadletter") == []
        assert engine.state(TWINS[0]).state["s"]["n"] >= 1
    finally:
        processes.close()


def test_a_machine_that_gives_no_process_is_seen_before_rows_are_touched(
    here: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin_type, processes = apart(here, lambda _: None)
    assert processes is not None
    engine = Stepping(twin_type)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", _no_process)
            for _ in range(2):
                with pytest.raises(NotNowError, match="no process can be started"):
                    engine.processor.prepare()
        with contextlib.suppress(NotNowError):  # of an attempt that was begun before
            engine.processor.prepare()
        engine.processor.prepare()
        assert len(processes._ready) == 1  # noqa: SLF001 - what a step takes
        engine.step(reading(TWINS[0], 0, a=1.0))
        assert engine.state(TWINS[0]).state["s"]["n"] == 1
    finally:
        processes.close()


def test_what_is_its_author_s_fault_is_said_of_records_and_keeps_no_partition_waiting(
    here: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin_type, processes = apart(here, lambda _: None)
    assert processes is not None
    try:

        def start(_: StepProcess) -> None:
            raise process_module.NotStartedError("import failed", is_of_author=True)

        monkeypatch.setattr(StepProcess, "start", start)
        Stepping(twin_type).processor.prepare()
    finally:
        processes.close()


def test_with_no_file_number_left_who_waits_for_a_process_is_told_and_the_next_attempt_works(
    here: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = psutil.Process()
    before = {child.pid for child in own.children()}
    twin_type, processes = apart(here, lambda _: None)
    assert processes is not None

    def _none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(process_module, "Usage", _none_left)
    monkeypatch.setattr(psutil, "process_iter", _none_left)
    monkeypatch.setattr(psutil.Process, "children", _none_left)
    engine = Stepping(twin_type)
    for _ in range(2):
        with pytest.raises(NotNowError, match="Too many open files"):
            engine.step(reading(TWINS[0], 0, a=1.0))
    monkeypatch.undo()
    try:
        deadline_s = time.monotonic() + 10.0
        while {child.pid for child in own.children()} - before - {ready.pid for ready in processes._ready}:  # noqa: SLF001
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        with contextlib.suppress(NotNowError):  # of an attempt that was begun before
            engine.step(reading(TWINS[0], 0, a=1.0))
        engine.step(reading(TWINS[0], 1, a=1.0))
        assert engine.state(TWINS[0]).state["s"]["n"] >= 1
    finally:
        processes.close()


def test_whatever_fails_where_processes_are_started_they_are_started_again(
    here: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    twin_type, processes = apart(here, broken)
    assert processes is not None
    monkeypatch.setattr(subprocess, "Popen", _no_process)
    try:
        for _ in range(2):
            with pytest.raises(NotNowError, match="Too many open files"):
                Stepping(twin_type).step(reading(TWINS[0], 0, a=1.0))
    finally:
        processes.close()


@pytest.mark.parametrize("raised", ["MemoryError", "OSError(24, 'too many files')"])
def test_an_import_that_the_machine_has_no_room_for_is_no_fault_of_the_author(
    here: TwinType, tmp_path: Path, raised: str
) -> None:
    folder = stepping.write_type(tmp_path, DEFINITION, steps=f"raise {raised}")
    processes = apart(here, lambda _: None)[1]
    assert processes is not None
    process = StepProcess(msgspec.structs.replace(processes.plan, folder=str(folder)), "faulty")
    with pytest.raises(process_module.NotStartedError) as caught:
        process.start()
    process.end()
    assert not caught.value.is_of_author


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
