"""Records that come out of order by less than a type's window are stepped in order, however they come."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import stepping
from support.oracle import load_type
from support.played import played
from support.stepping import TWINS, Stepping, reading, record, request, stepped, tick, write_type

from schemas.definition_file import examine
from streams.processor import HeldRecordsError
from twins.kernel.run import KernelRun
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]
WINDOW_S = 5

GATE = """\
name: gate
version: {version}
reorder_s: {window}
tick_s: 1
inputs: {{level: {{max_age_s: 60}}}}
pipeline:
  - name: trace
    step: steps.py:trace
    state: {{digest: {{type: int}}}}
    outputs: {{digest: {{type: int}}}}
outputs:
  timeseries: {{fields: [level, digest]}}
  commands: {{echo: {{field: level}}}}
"""
STEPS = '''\
def trace(state, level):
    """Depends on the order of all values so far."""
    state.digest = (state.digest * 31 + int(level) + 7) % 1_000_000_007
    return state.digest
'''


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def _type(folder: Path, cache: Path, window: float, version: str = "1.0.0") -> TwinType:
    text = GATE.format(window=window, version=version)
    return load_type(
        write_type(folder / f"gate-{version}", text, steps=STEPS), hashlib.sha256(version.encode()).hexdigest(), cache
    )


@pytest.fixture(scope="module")
def gate(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("gate"), cache, WINDOW_S)


@pytest.fixture(scope="module")
def plain(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("plain"), cache, 0)


_END = tick(1000.0)
_delays = st.lists(st.tuples(st.booleans(), st.floats(0, WINDOW_S - 0.01)), min_size=1, max_size=30)
_cuts = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=4)


@settings(max_examples=60)
@given(delays=_delays, cuts=_cuts)
def test_what_comes_late_by_less_than_the_window_ends_as_if_it_had_come_in_order(
    gate: TwinType, plain: TwinType, delays: list[tuple[bool, float]], cuts: list[tuple[int, bool]]
) -> None:
    sent = [(float(at), TWIN if mine else OTHER) for at, (mine, _) in enumerate(delays)]
    # What is sent at a time comes with its delay, and never so late that the window is over.
    came = sorted(range(len(sent)), key=lambda index: sent[index][0] + delays[index][1])
    records = [reading(sent[index][1], sent[index][0], level=index) for index in came]
    run = stepped(gate, [*records, _END], cuts)
    ordered = stepped(plain, [reading(twin, at, level=index) for index, (at, twin) in enumerate(sent)])
    assert sorted(run.lines()) == sorted(ordered.lines())
    for twin in {twin for _, twin in sent}:
        states = [one.layout.describe(r.result.states[twin]) for one, r in ((gate, run), (plain, ordered))]
        assert states[0].state == states[1].state
    assert run.counts["late", ""] == 0
    assert not [key for key, value in run.changelog.items() if key.startswith(b"#held/") and value is not None]


_anything = st.lists(
    st.one_of(
        st.tuples(st.just("reading"), st.integers(0, 1), st.integers(0, 40)),
        st.tuples(st.just("tick"), st.just(0), st.integers(0, 40)),
        st.tuples(st.just("reset"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("rubbish"), st.integers(0, 1), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(items=_anything, cuts=_cuts)
def test_neither_cuts_nor_restarts_change_anything(
    gate: TwinType, items: list[tuple[str, int, int]], cuts: list[tuple[int, bool]]
) -> None:
    records = []
    for number, (kind, which, at) in enumerate(items):
        twin = TWINS[which]
        records.append(
            {
                "reading": lambda: reading(twin, at, level=number),  # noqa: B023
                "tick": lambda: tick(at),  # noqa: B023
                "reset": lambda: request(twin, "reset", f"r{number}"),  # noqa: B023
                "rubbish": lambda: record(twin, b"{"),  # noqa: B023
            }[kind]()
        )
    whole, cut = stepped(gate, records), stepped(gate, records, cuts)
    assert (cut.lines(), cut.counts, cut.result.states) == (whole.lines(), whole.counts, whole.result.states)
    assert cut.outputs.keys() == whole.outputs.keys()
    held = [{key: value for key, value in run.changelog.items() if value is not None} for run in (cut, whole)]
    assert held[0] == held[1]


def test_a_record_waits_until_a_later_one_or_a_tick_and_what_comes_later_still_is_late(gate: TwinType) -> None:
    engine = Stepping(gate)
    assert engine.step(reading(TWIN, 10, level=1), reading(TWIN, 12, level=2)).lines() == []
    assert len(engine.step(reading(TWIN, 15, level=3)).lines()) == 1, "10 + 5"
    run = engine.step(reading(TWIN, 9, level=4))
    assert run.counts["late", ""] == 1
    engine.restart()
    run = engine.step(tick(4))
    assert len(run.lines()) == 1, "it came less than 5 s before"
    run = engine.step(tick(5))
    assert [line.split("level=")[1].split(",")[0] for line in run.lines()] == ["1.0", "2.0", "3.0"]
    assert [one["value"] for one in run.messages("commands") if one["status"] == "issued"] == [1, 2, 3]


def test_of_records_that_waited_the_one_alone_that_fails_becomes_a_letter(
    gate: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = KernelRun.run

    def failing(self: KernelRun, slot: Any, offsets: Any, columns: Any) -> Any:
        if 1 in offsets:
            message = "no memory"
            raise RuntimeError(message)
        return run(self, slot, offsets, columns)

    monkeypatch.setattr(KernelRun, "run", failing)
    waiting = [reading(TWIN, at, level=at) for at in (10, 11, 12)]

    def engine(suspected: dict[int, str]) -> Stepping:
        found = Stepping(gate)
        found.step(*waiting)
        found.restart()
        found.processor.suspect(suspected)
        return found

    for suspected in ({}, {0: "", 1: "", 2: ""}):
        with pytest.raises(HeldRecordsError) as caught:
            engine(suspected).step(tick(100))
        assert caught.value.offsets == ((1,) if suspected else (0, 1, 2))
        assert str(caught.value.__cause__) == "no memory"
    last = engine({0: "", 1: "RuntimeError: no memory", 2: ""})
    run_ = last.step(tick(100))
    assert [letter["detail"] for letter in run_.messages("deadletter")] == [
        "processing failed: RuntimeError: no memory"
    ]
    assert last.state(TWIN).state["trace"]["digest"] == _digest(10, 12)
    assert not [key for key, value in run_.changelog.items() if key.startswith(b"#held/") and value is not None]


def test_what_is_suspected_before_the_first_version_is_in_force_is_suspected_under_it(gate: TwinType) -> None:
    engine = Stepping(gate)
    engine.processor = TwinProcessor("gate", stepping.LINEAGE, {gate.content: gate})
    engine.processor.suspect({1: ""})
    engine.step(stepping.switch(gate.content))
    assert engine.processor.version is not None
    assert engine.processor.version.waiting.suspected == {1: ""}


def test_a_switch_lets_everything_go_under_the_version_that_took_it(
    gate: TwinType, cache: Path, tmp_path: Path
) -> None:
    engine = Stepping(gate)
    engine.step(reading(TWIN, 10, level=1), reading(TWIN, 9, level=2))
    engine.switch(_type(tmp_path, cache, 0, "1.0.1"))
    assert len(engine.run.lines()) == 2
    engine.restart()
    assert not [key for key, value in engine.run.changelog.items() if key.startswith(b"#held/") and value is not None]
    assert len(engine.step(reading(TWIN, 11, level=3)).lines()) == 3
    assert engine.state(TWIN).state["trace"]["digest"] == _digest(2, 1, 3)


def test_a_change_that_overtook_a_record_is_still_seen_as_applied(gate: TwinType) -> None:
    engine = Stepping(gate)
    engine.step(reading(TWIN, 10, level=1), tick(10), reading(TWIN, 11, level=2), request(TWIN, "reset"))
    offset = engine.state(TWIN).offset
    engine.step(tick(20))
    assert engine.state(TWIN).offset >= offset


def test_a_redelivery_of_a_record_that_waits_is_a_duplicate(gate: TwinType) -> None:
    engine = Stepping(gate)
    run = engine.step(reading(TWIN, 1, level=1, seq=4), reading(TWIN, 1, level=1, seq=4), tick(20))
    assert (run.counts["accepted", ""], run.counts["duplicate", ""]) == (1, 1)


def _digest(*levels: int) -> int:
    found = 0
    for level in levels:
        found = (found * 31 + level + 7) % 1_000_000_007
    return found


def test_try_plays_a_recording_in_order_to_its_end(cache: Path, tmp_path: Path) -> None:
    text = GATE.format(window=WINDOW_S, version="1.0.0")
    folder = write_type(tmp_path / "gate", text, steps=STEPS)
    start_ns = stepping.START_NS
    file = tmp_path / "data.csv"
    rows = [(1, 1), (3, 2), (2, 3), (30, 4), (2, 5), (31, 6)]
    file.write_text("time,level\n" + "".join(f"{start_ns + at * 10**9},{level}\n" for at, level in rows))
    result = played(folder, file, cache)
    assert (result.trial.accepted, result.trial.late) == (5, 1)
    assert [(refusal.line, refusal.reason) for refusal in result.refusals] == [(6, "late")]
    assert result.series("digest")[1][-1] == _digest(1, 3, 2, 4, 6)


@pytest.mark.parametrize(
    ("key", "replaced", "by"),
    [
        ("reorder_s", "tick_s: 1\n", ""),
        ("inputs.level.max_age_s", "max_age_s: 60", "max_age_s: 5"),
        ("reorder_s", "reorder_s: 5", "reorder_s: 4000"),
    ],
)
def test_a_window_that_can_t_work_is_a_fault(key: str, replaced: str, by: str) -> None:
    text = GATE.format(window=WINDOW_S, version="1.0.0").replace(replaced, by)
    assert key in [problem.path for problem in examine(text).problems]
