"""A type with everything, over random streams: no result depends on block cuts, restarts or when versions switch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.oracle import load_type
from support.stepping import TWINS, Stepping, acknowledgement, put, reading, record, request, switch, tick, write_type

from streams.log.record import LogRecord
from streams.processor import Outcome
from twins.twin_type import TwinType

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """\
name: all
version: 1.0.0
late: flag
missing: hold_last
tick_s: 1
inputs:
  a: {type: float, range: [-100, 100], outside: clamp, max_age_s: 3}
  b: {type: int}
  c: {type: bool}
parameters:
  target: {type: string, default: ""}
  top: {type: float, default: 50.0}
pipeline:
  - name: py
    step: steps.py:py
    compiled: false
    runs_on: both
    state: {n: {type: int}, v: {shape: [2]}}
    outputs: {q: {type: float}, big: {type: bool}}
  - {name: tk, step: "steps.py:tk", runs_on: ticks, inputs: {x: q}, outputs: {r: {type: float}}}
  - name: last
    step: steps.py:last
    inputs: {prev: {previous: r}}
    state: {s: {}}
    outputs: {z: {type: int}, w: {type: float}}
  - name: win
    step: window_statistics
    inputs: {value: a}
    config: {window_s: 4, hop_s: 2, grace_s: 1}
    outputs: {lo: {}, hi: {}, mean: {}, closed: {type: bool}}
  - name: stal
    step: staleness
    runs_on: both
    inputs: {value: a}
    config: {max_age_s: 2}
    outputs: {st: {type: bool}, age: {}}
outputs:
  timeseries: {fields: [q, r, z, a_outside, mean], when: change, route: {type: other, id: target, as: {p: q, o: r}}}
  status: {stale: st, drifting: big}
  metadata: [big, z, closed]
  events:
    e1: {when: big, edge: both, data: [q, r], route: {type: other2, id: b, as: {k: z}}}
    e2: {when: c, edge: each}
    e3: {when: a_stale, edge: rising}
  commands:
    m:
      field: q
      range: [-80, 80]
      max_rate: 30
      min_interval_s: 1
      refresh_s: 2
      interlocks: {i: "abs(a) <= top and not a_stale", j: "top / (a - 10) < 50"}
      confirm: {field: r, within_s: 3, tolerance: 5}
    k: {field: z, type: int, when: c, confirm: {field: a, within_s: 2}, route: {type: other, id: target, as: {p: r}}}
"""
STEPS = """\
def py(state, a, b, dt_s):
    state.n += 1
    state.v[0] += a * dt_s
    if b == 13:
        raise ValueError("no")
    if b == 14:
        return float("nan"), True
    return a + 0.1 * state.n, a > 40


def tk(x, dt_s):
    if x > 95.0:
        return 1.0 / (x - x)
    return x * 0.5 + dt_s


def last(state, prev, q, records):
    state.s += q
    return records, prev + state.s
"""
CHANGES = [
    [
        ("version: 1.0.0", "version: 1.1.0"),
        ("default: 50.0}", "default: 30.0}\n  limit: {type: int, default: 3}"),
        ("v: {shape: [2]}", "v: {shape: [3]}"),
        ("runs_on: ticks, ", "runs_on: both, "),
        ("      max_rate: 30\n", ""),
        ("      confirm: {field: r, within_s: 3, tolerance: 5}\n", ""),
        ("outputs:\n  timeseries", "migration: {parameters: {limit: top}}\noutputs:\n  timeseries"),
    ],
    [
        ("version: 1.0.0", "version: 1.2.0"),
        ("tick_s: 1\n", ""),
        ("runs_on: ticks, ", ""),
        ("    runs_on: both\n", ""),
        ("when: change, ", "when: interval, interval_s: 2, "),
        ("default: 50.0}", "default: 60.0}\n  mode: {type: string, choices: [q, r], default: r}"),
    ],
]
PROPERTY = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _definition(changes: list[tuple[str, str]]) -> str:
    text = DEFINITION
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[tuple[str, str]]], TwinType]:
    folder: Path = tmp_path_factory.mktemp("all")

    def loaded(changes: list[tuple[str, str]]) -> TwinType:
        content = f"content{len(changes)}"
        return load_type(write_type(folder / content, _definition(changes), steps=STEPS), content, folder / "cache")

    return loaded


PARAMETERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"target": "x"}, {"target": ""}, {"top": 20.0}, {"limit": 7}]
)


@st.composite
def streams(draw: st.DrawFn, versions: tuple[str, ...]) -> list[LogRecord]:
    """Telemetry of three twins, mostly, and what else may come in between, at times that mostly go on."""
    made: list[LogRecord] = []
    now = 0.0
    kinds = ["reading"] * 6 + ["tick"] * 2 + ["release", "reset", "put", "ack", *(["switch"] if versions else [])]
    for index in range(draw(st.integers(5, 40))):
        twin = draw(st.sampled_from(TWINS[:3]))
        now += draw(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 5.0]))
        kind = draw(st.sampled_from(kinds))
        if kind == "reading":
            values: dict[str, Any] = {
                "a": draw(st.sampled_from([10.0, 45.0, 96.0, -120.0, 7.25, None])),
                "b": draw(st.sampled_from([1, 2, 3, 4, 13, 14, None])),
                "c": draw(st.sampled_from([True, False, None])),
            }
            late_s = draw(st.sampled_from([0.0, 0.0, 0.0, 1.0, 3.0]))
            given_values = {name: value for name, value in values.items() if value is not None}
            made.append(reading(twin, max(0.0, now - late_s), **given_values))
        elif kind == "tick":
            made.append(tick(int(now)))
        elif kind == "put":
            made.append(put(twin, draw(PARAMETERS), record_id=f"p{index}"))
        elif kind == "ack":
            offset = draw(st.integers(0, max(0, index - 1)))
            made.append(record(twin, acknowledgement(offset, twin, "m"), kind="ack", name="m"))
        elif kind == "switch":
            made.append(switch(draw(st.sampled_from(versions))))
        else:
            made.append(request(twin, kind, f"r{index}"))
    return made


CUTS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=8).map(sorted)


def _played(
    versions: dict[str, TwinType], records: list[LogRecord], cuts: list[tuple[int, bool]], *, warm: bool = False
) -> tuple[Any, ...]:
    """Everything that leaves and stays; after a restart by rows that another owner had warm, if so wished."""
    engine = Stepping(next(iter(versions.values())))
    routed: list[tuple[Any, ...]] = []
    engine.versions.update(versions)
    take = engine.run.take

    def noted(outcome: Outcome) -> None:
        routed.extend((topic, *one) for topic, found in outcome.routed.items() for one in found)
        take(outcome)

    engine.run.take = noted  # type: ignore[method-assign]

    def version() -> TwinType:
        return versions[engine.processor.note()["definition"]]

    first = 0
    for cut, restart in cuts:
        if first < cut < len(records):
            engine.step(*records[first:cut])
            first = cut
        if restart:
            (engine.hand_over if warm else engine.restart)(version())
    if records[first:]:
        engine.step(*records[first:])
    engine.snapshot()
    run, layout = engine.run, version().layout
    for kind in ("events", "commands"):
        told = [one["id"] for one in run.messages(kind)]
        assert len(told) == len(set(told)), f"{kind} twice"
    issued = {one["id"] for one in run.messages("commands")}
    about = [one for one in run.messages("events") if one["name"].startswith("command_")]
    assert all(one["data"]["id"] in issued for one in about)
    outputs = {
        # Order is that of each twin; lines of one block are in one value.
        topic: sorted(values, key=lambda one: one[0] or b"")
        for topic, values in run.outputs.items()
        if not topic.endswith(".timeseries")
    }
    states = {
        twin: msgspec.json.encode(layout.describe(value))
        for twin, value in run.result.states.items()
        if value.startswith(layout.fingerprint)
    }
    sent = {topic: [one for one in routed if one[0] == topic] for topic in {one[0] for one in routed}}
    return outputs, sorted(run.lines()), sent, states


def _agree(
    versions: dict[str, TwinType], records: list[LogRecord], cuts: list[tuple[int, bool]], *, warm: bool = False
) -> None:
    whole = _played(versions, records, [])
    for found, expected in zip(_played(versions, records, cuts, warm=warm), whole, strict=True):
        assert found == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_result_depends_on_block_cuts_or_restarts_while_versions_switch(
    load: Callable[[list[tuple[str, str]]], TwinType],
) -> None:
    versions = {one.content: one for one in map(load, [[], *CHANGES])}

    @settings(PROPERTY, max_examples=100)
    @given(streams(tuple(versions)), CUTS)
    def agree(records: list[LogRecord], cuts: list[tuple[int, bool]]) -> None:
        _agree(versions, records, cuts)

    agree()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_result_depends_on_two_owners_that_take_turns_with_rows_they_kept_warm(
    load: Callable[[list[tuple[str, str]]], TwinType],
) -> None:
    versions = {one.content: one for one in map(load, [[], CHANGES[1]])}

    @settings(PROPERTY, max_examples=60)
    @given(streams(tuple(versions)), CUTS)
    def agree(records: list[LogRecord], cuts: list[tuple[int, bool]]) -> None:
        _agree(versions, records, cuts, warm=True)

    agree()
