"""From twin to twin: what is sent, to whom, and how far."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.oracle import block_of, load_type
from support.stepping import LINEAGE, START_NS, TWINS, Stepping, put, reading, record, request, write_type

from schemas.definition_file import examine
from schemas.headers import CAUSE, HOPS, HOPS_LIMIT, RECEIVED, SOURCE
from streams.log.record import LogRecord
from streams.processor import OutputRecord
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]

PUMP = """\
name: pump
project: site
version: 1.0.0
inputs:
  flow: {type: float, range: [0, 1000]}
  station: {type: int, range: [-5, 100]}
  busy: {type: bool}
parameters:
  line: {type: string, default: ""}
  house: {type: string, choices: [north, south], default: north}
  number: {type: int, default: 7}
  note: {type: string, default: nothing}
outputs:
  timeseries:
    fields: [flow]
    route: {type: site-line, id: line, as: {flow: flow}}
  events:
    started: {when: busy, route: {type: house, id: house, as: {pump_on: busy, at: station}}}
  commands:
    valve: {field: flow, range: [0, 500], route: {type: site-pump, id: station, as: {flow: flow, station: station}}}
    motor: {field: busy, type: bool, route: {type: motor, id: number, as: {run: busy}}}
requests:
  pair:
    arguments: {with: {type: string, choices: [line-1, line-2]}}
    sets: {line: with}
"""
READ: dict[str, Any] = {"flow": 1.5, "station": 3, "busy": False}


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(
        write_type(tmp_path_factory.mktemp("pump") / "pump", PUMP), "content", tmp_path_factory.mktemp("k")
    )


def _routed(pump: TwinType, records: Sequence[LogRecord], cuts: Sequence[int] = ()) -> dict[str, list[OutputRecord]]:
    """What goes to each topic, stepped in blocks that begin at `cuts`."""
    processor = TwinProcessor.of(pump, LINEAGE)
    numbered = [item._replace(offset=at) for at, item in enumerate(records)]
    found: dict[str, list[OutputRecord]] = {}
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(records)}), len(records)]
    for first, last in pairwise(bounds):
        for topic, sent in processor.process(block_of(numbered[first:last])).routed.items():
            found.setdefault(topic, []).extend(sent)
    return found


def test_a_routed_record_is_telemetry_with_the_time_the_arrival_and_the_name_of_its_cause(pump: TwinType) -> None:
    sent = _routed(pump, [record(TWIN, _json(**READ, time=START_NS + 5), received_ns=START_NS + 7)])
    cause = b"twinstream.site-pump.telemetry/0/0"
    headers = ((RECEIVED, b"%d" % (START_NS + 7)), (SOURCE, b"kafka:" + cause), (HOPS, b"1"), (CAUSE, cause))
    assert sent == {
        "twinstream.site-pump.telemetry": [(b"3", b'{"time":%d,"flow":1.5,"station":3}' % (START_NS + 5), headers)],
        "twinstream.motor.telemetry": [(b"7", b'{"time":%d,"run":false}' % (START_NS + 5), headers)],
    }


def test_whenever_the_output_leaves_and_at_no_other_time(pump: TwinType) -> None:
    at = [
        reading(TWIN, 0, **READ),
        reading(TWIN, 1, **{**READ, "flow": 700.0}),  # the command is refused
        reading(TWIN, 2, **READ),  # nothing new
        reading(TWIN, 2, **READ),  # a duplicate
        reading(TWIN, 1, **{**READ, "flow": 2.0}),  # late
        reading(TWIN, 3, **{**READ, "busy": True, "flow": 3.0}),
    ]
    sent = _routed(pump, [put(TWIN, {"line": "line-9"}), *at])
    assert {topic.split(".")[1]: [_seconds(value) for _, value, _ in found] for topic, found in sent.items()} == {
        "site-line": [0, 1, 2, 3],
        "site-pump": [0, 3],
        "motor": [0, 3],
        "house": [3],
    }
    assert {key for key, _, _ in sent["twinstream.site-line.telemetry"]} == {b"line-9"}
    assert sent["twinstream.house.telemetry"][0][:2] == (
        b"north", b'{"time":%d,"pump_on":true,"at":3}' % (START_NS + 3_000_000_000),
    )  # fmt: skip


def test_a_route_follows_an_interval_without_any_line(tmp_path: Path) -> None:
    folder = write_type(
        tmp_path / "pump",
        PUMP.replace("    fields: [flow]\n", "    when: interval\n    interval_s: 2\n").replace('""', "line-9"),
    )
    sent = _routed(load_type(folder, "content", tmp_path), [reading(TWIN, at, **READ) for at in range(5)])
    assert [_seconds(value) for _, value, _ in sent["twinstream.site-line.telemetry"]] == [0, 2, 4]


def test_lines_on_change_without_a_field_that_could_are_a_fault() -> None:
    (problem,) = examine(PUMP.replace("    fields: [flow]\n", "    when: change\n")).problems
    assert problem.path.startswith("outputs.timeseries")
    assert "when: change needs fields" in problem.message


def test_each_hop_is_counted_and_at_the_limit_the_record_is_a_dead_letter(pump: TwinType) -> None:
    def routed(hops: bytes, at_s: int) -> LogRecord:
        return reading(TWIN, at_s, **{**READ, "flow": at_s})._replace(headers=((HOPS, hops),))

    sent = _routed(pump, [routed(b"%d" % hops, hops) for hops in range(HOPS_LIMIT + 3)])
    hops = [dict(headers)[HOPS] for _, _, headers in sent["twinstream.site-pump.telemetry"]]
    assert hops == [b"%d" % number for number in range(1, HOPS_LIMIT + 1)]
    engine = Stepping(pump)
    run = engine.step(*(routed(text, at) for at, text in enumerate([b"8", b"x", b"-1", b"1" * 30, b"007", b""])))
    letters = [(letter["reason"], letter["detail"]) for letter in run.messages("deadletter")]
    no_number = ("too_many_hops", "header ts-hops is no number")
    assert letters == [
        ("too_many_hops", "routed 8 times, 7 are permitted: does it go in circles?"), no_number, no_number, no_number,
    ]  # fmt: skip
    assert run.counts["accepted", ""] == 2
    assert engine.state(TWIN).event_time_ns == START_NS + 5_000_000_000


def test_what_others_say_at_the_same_time_in_the_same_words_is_no_duplicate(pump: TwinType) -> None:
    said = reading(TWIN, 0, **READ)._replace(headers=((HOPS, b"1"),))
    run = Stepping(pump).step(said, said, said)
    assert (run.counts["accepted", ""], run.counts["duplicate", ""]) == (3, 0)


def test_a_target_that_nobody_declared_is_a_dead_letter_of_its_own(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_type(tmp_path / "pump", PUMP.replace("version: 1.0.0", "version: 1.0.0\nprovision: declared"))
    declared = load_type(folder, "content", tmp_path_factory.mktemp("kernels"))
    cause = "twinstream.other.telemetry/3/17"
    said = reading(TWIN, 0, **READ)._replace(headers=((HOPS, b"1"), (SOURCE, f"kafka:{cause}".encode())))
    letters = Stepping(declared).step(said, said._replace(key=OTHER)).messages("deadletter")
    assert [(one["reason"], one["twin"], one["source"]) for one in letters] == [
        ("unknown_twin", twin.decode(), f"kafka:{cause}") for twin in (TWIN, OTHER)
    ]
    assert letters[0]["id"] != letters[1]["id"]


def test_a_text_names_the_target_is_shown_kept_and_refused_when_it_names_no_twin(pump: TwinType) -> None:
    engine = Stepping(pump)
    run = engine.step(reading(TWIN, 0, **READ), put(TWIN, {"line": "line-1", "note": "an, odd=text"}, {"place": "x"}))
    engine.restart()
    state = engine.state(TWIN)
    assert (state.parameters["line"], state.parameters["note"], state.tags) == (
        "line-1", "an, odd=text", {"place": "x"},
    )  # fmt: skip
    assert run.messages("metadata")[-1]["parameters"] == {
        "line": "line-1", "house": "north", "number": 7, "note": "an, odd=text",
    }  # fmt: skip
    assert run.messages("metadata")[-1]["tags"] == {"place": "x"}
    assert run.counts["unrouted", ""] == 1
    engine.step(
        put(TWIN, {"line": "no/slash"}),
        put(TWIN, {"note": "x" * 65}),
        put(TWIN, {"note": 5}),
        put(TWIN, {}, {"#line": "line-5"}),
        request(TWIN, "pair", "r9", **{"with": "line-2"}),
    )
    refused = [event["data"]["reason"] for event in run.messages("events") if event["name"] == "request_rejected"]
    assert [reason.partition(":")[0] for reason in refused] == ["line", "note", "note", "no tag can be called #line"]
    assert engine.state(TWIN).parameters["line"] == "line-2"
    sent = engine.processor.process(block_of([reading(TWIN, 1, **READ)._replace(offset=99)])).routed
    assert sent["twinstream.site-line.telemetry"][0][0] == b"line-2"


def test_a_text_goes_on_in_a_later_version_also_under_another_name(
    pump: TwinType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    later = PUMP.replace("version: 1.0.0", "version: 1.1.0\nmigration: {parameters: {aisle: line}}")
    later = (
        later.replace("  line: {type", "  aisle: {type")
        .replace("id: line", "id: aisle")
        .replace("{line: w", "{aisle: w")
    )
    folder = write_type(tmp_path / "later", later)
    second = load_type(folder, "later", tmp_path_factory.mktemp("kernels"))
    engine = Stepping(pump)
    engine.step(put(TWIN, {"line": "line-3", "note": "n"}, {"place": "x"}))
    engine.switch(second)
    engine.restart()
    state = engine.state(TWIN)
    assert (state.parameters["aisle"], state.parameters["note"], state.tags) == ("line-3", "n", {"place": "x"})
    assert "line" not in state.parameters


_readings = st.lists(
    st.tuples(
        st.sampled_from([TWIN, OTHER]),
        st.sampled_from([b"", b"", b"2", b"9"]),
        st.fixed_dictionaries(
            {"flow": st.sampled_from([1.0, 2.0, 600.0]), "station": st.integers(0, 2), "busy": st.booleans()}
        ),
    ),
    min_size=1,
    max_size=20,
)


@given(_readings, st.lists(st.integers(0, 20), max_size=5))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_routed_and_its_order_do_not_depend_on_the_cut(
    pump: TwinType, rows: list[tuple[bytes, bytes, dict[str, Any]]], cuts: list[int]
) -> None:
    made = [
        reading(twin, at, **values)._replace(headers=((HOPS, hops),) if hops else ())
        for at, (twin, hops, values) in enumerate(rows)
    ]
    made = [put(TWIN, {"line": "line-1"}), *made]
    assert _routed(pump, made, cuts) == _routed(pump, made)


@pytest.mark.parametrize(
    ("route", "path", "message"),
    [
        ("{type: t, id: line, as: {a: gone}}", "as.a", "no field gone"),
        ("{type: t, id: line, as: {a: line}}", "as.a", "no field line"),
        ("{type: t, id: line, as: {}}", "as", "at least 1"),
        ("{type: t, id: line}", "as", "is missing"),
        ("{type: t, id: gone, as: {a: flow}}", "id", "no parameter or field gone"),
        ("{type: t, id: flow, as: {a: flow}}", "id", "flow is float, which names no twin"),
        ("{type: t, id: busy, as: {a: flow}}", "id", "busy is bool, which names no twin"),
        ("{type: t, id: note, as: {a: flow}}", "id", "note names no twin"),
        ("{type: T, id: line, as: {a: flow}}", "type", "must be of small letters"),
        ("{type: t, id: line, as: {time: flow}}", "as.time", "has the time of its cause"),
        ("{type: t, id: line, as: {a b: flow}}", "as.a b", "must be"),
        ("{type: t, id: line, as: {a: flow}, hops: 3}", "hops", "unknown key"),
        ("t", "", "keys and values"),
    ],
)
@pytest.mark.parametrize("place", ["timeseries", "events.started", "commands.motor"])
def test_faults_of_a_route_are_located(place: str, route: str, path: str, message: str) -> None:
    text = PUMP.replace("default: nothing", "default: no thing")
    line = {
        "timeseries": "    route: ",
        "events.started": "route: {type: house",
        "commands.motor": "route: {type: motor",
    }
    found = next(one for one in text.splitlines() if line[place] in one)
    before, _, after = found.partition("route: ")
    changed = text.replace(found, f"{before}route: {route}{'}' if after.endswith('}}}') else ''}")
    whole = f"outputs.{place}.route.{path}".rstrip(".")
    faults = [(problem.path, problem.message) for problem in examine(changed).problems if problem.line]
    assert any(where.startswith(whole) and message in said for where, said in faults), faults


def test_steps_and_conditions_do_not_see_texts() -> None:
    text = PUMP.replace("pipeline: []", "").replace(
        "outputs:\n  timeseries",
        "pipeline:\n  - {name: s, step: dead_band, inputs: {value: note}, config: {band: 1}, outputs: [a, b]}\n"
        "outputs:\n  timeseries",
    )
    text = text.replace("motor: {field: busy,", "motor: {field: busy, interlocks: {a: note > 1},")
    found = {problem.path: problem.message for problem in examine(text).problems}
    assert found["pipeline.0.inputs.value"] == "no field note before this step"
    assert found["outputs.commands.motor.interlocks.a"] == "no field or parameter note"


def _json(**values: Any) -> bytes:
    return msgspec.json.encode(values)


def _seconds(value: bytes | None) -> int:
    return (int(msgspec.json.decode(value or b"")["time"]) - START_NS) // 1_000_000_000
