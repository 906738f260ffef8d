"""What becomes of a record: stepped, refused with its reason, or answered; and what a twin keeps through it all."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import stepping
from support.oracle import block_of, load_type
from support.stepping import SECOND, START_NS, STRANGERS, TWINS, Run, Stepping, put, reading, record, request

from schemas.headers import RECEIVED
from schemas.messages import RAW_LIMIT_BYTES
from schemas.reasons import Reason
from streams.log.record import LogRecord
from streams.unpacking import KEY_SIZE, VALUE_SIZE
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]
GOOD = {"a": 10.0, "b": 1, "c": True}
LARGEST_OUTPUT_BYTES = 512 * 1024


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def probe(cache: Path, tmp_path: Path) -> TwinType:
    return load_type(stepping.probe_type(tmp_path), "content", cache)


def _changed(cache: Path, folder: Path, **changes: str) -> Stepping:
    return Stepping(load_type(stepping.probe_type(folder, **changes), "content", cache))


def _dead(run: Run) -> list[tuple[str, bytes]]:
    return [(letter["reason"], base64.b64decode(letter["raw_base64"])) for letter in run.messages("deadletter")]


def _events(run: Run, name: str) -> list[dict[str, Any]]:
    return [event for event in run.messages("events") if event["name"] == name]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (record(TWIN, b"\xff\x00"), Reason.UNDECODABLE),
        (record(TWIN, None), Reason.UNDECODABLE),
        (record(TWIN, b"[1]"), Reason.NOT_FLAT),
        (record(TWIN, b'{"a":"1","b":1,"c":true}'), Reason.WRONG_TYPE),
        (record(TWIN, b'{"a":1,"b":1}'), Reason.MISSING_FIELD),
        (record(TWIN, b'{"a":NaN,"b":1,"c":true}'), Reason.NOT_FINITE),
        (record(TWIN, b'{"a":1001,"b":1,"c":true}'), Reason.OUT_OF_RANGE),
        (record(TWIN, b'{"a":1,"b":1,"c":true,"time":"soon"}'), Reason.INVALID_TIME),
        (reading(TWIN, 86401, **GOOD), Reason.FUTURE_TIME),
        (reading(b"no/slash", 0, **GOOD), Reason.INVALID_NAME),
        (record(None, b'{"a":1,"b":1,"c":true}'), Reason.INVALID_NAME),
        (reading(b"\xff\xfe", 0, **GOOD), Reason.INVALID_NAME),
        (reading(STRANGERS[0], 0, **GOOD), Reason.WRONG_PARTITION),
        (record(TWIN, b"{}", kind="surprise"), Reason.UNKNOWN_KIND),
        (request(OTHER, "limit", limit=3), Reason.UNKNOWN_TWIN),
        (record(OTHER, b'{"id":"1"}', kind="ack"), Reason.UNKNOWN_TWIN),
        (put(STRANGERS[0], {}), Reason.WRONG_PARTITION),
        (record(TWIN, b'{"no":"id"}', kind="ack"), Reason.INVALID_REQUEST),
        (record(TWIN, b"[" * 9000, kind="ack"), Reason.INVALID_REQUEST),
        (record(TWIN, b'{"a":14,"b":1,"c":true}'), Reason.STEP_FAILED),
        (record(TWIN, b'{"a":13,"b":1,"c":true}'), Reason.STEP_FAILED),
        (record(TWIN, b'{"a":1,"b":4,"c":true}'), Reason.STEP_FAILED),
    ],
)
def test_a_record_that_cannot_be_used_is_a_dead_letter_between_neighbours_that_are_stepped(
    probe: TwinType, made: LogRecord, reason: Reason
) -> None:
    engine = Stepping(probe)
    source = ("ts-source", b"mqtt:twins/probe/x/telemetry")
    made = made._replace(headers=(*made.headers, source, (RECEIVED, b"%d" % (START_NS + 7))))
    run = engine.step(reading(TWIN, 0, **GOOD), made, reading(TWINS[2], 1, **GOOD), reading(TWINS[2], 2, **GOOD))
    assert _dead(run) == [(reason, made.value or b"")]
    letter = run.messages("deadletter")[0]
    assert letter["source"] == "mqtt:twins/probe/x/telemetry"
    assert (letter["received_ns"], letter["size"], letter["type"]) == (START_NS + 7, len(made.value or b""), "probe")
    assert letter["twin"] == (made.key or b"").decode(errors="replace")
    assert run.counts["deadletter", reason] == 1
    assert run.counts["accepted", ""] == len(run.lines()) == 3


def test_a_dead_letter_without_a_source_names_the_place_in_the_log(probe: TwinType) -> None:
    run = Stepping(probe).step(record(TWIN, b"?")._replace(offset=41))
    assert run.messages("deadletter")[0]["source"] == "kafka:twinstream.probe.telemetry/0/41"


def test_undeclared_fields_are_counted_or_refused_as_the_type_says(
    probe: TwinType, cache: Path, tmp_path: Path
) -> None:
    lenient = Stepping(probe).step(reading(TWIN, 0, **GOOD, more=1, x=None))
    assert (lenient.counts["extra", ""], lenient.counts["accepted", ""]) == (2, 1)
    strict = _changed(cache, tmp_path / "strict", extra="deadletter").step(reading(TWIN, 0, **GOOD, more=1))
    assert [reason for reason, _ in _dead(strict)] == [Reason.EXTRA_FIELD]


def test_late_records_are_dropped_refused_or_flagged_as_the_type_says(
    probe: TwinType, cache: Path, tmp_path: Path
) -> None:
    rows = [reading(TWIN, 5, **GOOD), reading(TWIN, 3, **{**GOOD, "a": 2.0}), reading(TWIN, 6, **GOOD)]
    dropped = Stepping(probe).step(*rows)
    assert (dropped.counts["late", ""], dropped.counts["accepted", ""], _dead(dropped)) == (1, 2, [])
    refused = _changed(cache, tmp_path / "deadletter", late="deadletter").step(*rows)
    assert [reason for reason, _ in _dead(refused)] == [Reason.LATE]
    assert refused.counts["late", ""] == 1
    engine = _changed(cache, tmp_path / "flag", late="flag")
    flagged = engine.step(*rows)
    assert (flagged.counts["late", ""], flagged.counts["accepted", ""]) == (1, 3)
    assert engine.state(TWIN).event_time_ns == START_NS + 6 * SECOND
    # Time does not run backwards for a step: dt is 0 for the late record, and counts from the latest after it.
    assert engine.state(TWIN).state["ratio"]["total"] == 10.0


def test_an_equal_time_is_accepted_unless_the_payload_is_the_same_too(probe: TwinType) -> None:
    run = Stepping(probe).step(
        reading(TWIN, 1, **GOOD), reading(TWIN, 1, **GOOD), reading(TWIN, 1, **{**GOOD, "a": 11.0})
    )
    assert (run.counts["accepted", ""], run.counts["duplicate", ""], _dead(run)) == (2, 1, [])


def test_the_last_value_holds_for_fields_that_are_not_sent_once_each_was(cache: Path, tmp_path: Path) -> None:
    engine = _changed(cache, tmp_path, missing="hold_last")
    run = engine.step(
        record(TWIN, b'{"a":8,"b":1}'), record(TWIN, b'{"a":8,"b":1,"c":true}'), record(TWIN, b'{"b":2,"a":null}')
    )
    assert [reason for reason, _ in _dead(run)] == [Reason.MISSING_FIELD]
    assert engine.state(TWIN).inputs == {"a": 8.0, "b": 2, "c": True}
    assert run.counts["accepted", ""] == 2


def test_a_type_of_declared_twins_refuses_telemetry_until_a_put_creates_the_twin(cache: Path, tmp_path: Path) -> None:
    engine = _changed(cache, tmp_path, provision="declared")
    run = engine.step(
        reading(TWIN, 0, **GOOD), put(TWIN, {"divisor": 5.0}, {"place": "hall"}), reading(TWIN, 1, **GOOD)
    )
    assert [reason for reason, _ in _dead(run)] == [Reason.UNKNOWN_TWIN]
    assert run.lines() == [
        f"probe,twin={TWIN.decode()},place=hall quotient=2.0,a=10.0,b=1.0,high=0.0 {START_NS + SECOND}"
    ]


def test_a_refused_put_for_an_unknown_twin_creates_none(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(put(TWIN, {"limit": 101}, record_id="p7"))
    rejected = _events(run, "request_rejected")
    assert [(event["id"], event["data"]["id"]) for event in rejected] == [("p7", "p7")]
    assert "limit" in rejected[0]["data"]["reason"]
    assert [key for key in engine.snapshot() if not key.startswith(b"#")] == []
    assert run.messages("metadata") == []
    # The twin that comes next gets the row that was given back.
    engine.step(reading(OTHER, 0, **GOOD))
    assert engine.state(OTHER).parameters["limit"] == 50.0


@pytest.mark.parametrize("failing", [{"a": 13.0}, {"a": 14.0}, {"b": 9}])
def test_a_failing_step_quarantines_its_twin_with_the_last_good_state_until_release(
    probe: TwinType, failing: dict[str, Any]
) -> None:
    engine = Stepping(probe)
    engine.step(reading(TWIN, 0, **GOOD), reading(TWIN, 1, **{**GOOD, "a": 4.0}))
    good = engine.state(TWIN)
    run = engine.step(reading(TWIN, 2, **{**GOOD, **failing}), reading(TWIN, 3, **GOOD), reading(OTHER, 3, **GOOD))
    held = engine.state(TWIN)
    assert (held.state, held.outputs, held.inputs) == (good.state, good.outputs, good.inputs)
    assert (held.status, held.event_time_ns) == ("quarantined", good.event_time_ns)
    assert [reason for reason, _ in _dead(run)] == [Reason.STEP_FAILED, Reason.QUARANTINED]
    alarm = _events(run, "quarantined")
    assert [(event["twin"], event["severity"], event["cause"]["offset"]) for event in alarm] == [
        (TWIN.decode(), "critical", 2)
    ]
    assert [doc["status"] for doc in run.messages("metadata") if doc["id"] == TWIN.decode()][-1] == "quarantined"

    engine.restart()
    run = engine.step(request(TWIN, "release", "r9"), reading(TWIN, 4, **{**GOOD, "a": 6.0}))
    after = engine.state(TWIN)
    assert after.status == "ok"
    assert after.state["ratio"]["total"] == good.state["ratio"]["total"] + 6.0 * 3
    assert [doc["status"] for doc in run.messages("metadata") if doc["id"] == TWIN.decode()][-1] == "ok"


def test_nan_for_a_whole_number_quarantines_as_well(cache: Path, tmp_path: Path) -> None:
    definition = (
        "name: whole\nversion: 1.0.0\ninputs: {a: {}}\npipeline:\n"
        "- {name: s, step: 'steps.py:f', outputs: {n: {type: int}}}\noutputs: {timeseries: {fields: [n]}}\n"
    )
    folder = stepping.write_type(tmp_path, definition, steps="import math\ndef f(a):\n    return math.sqrt(a)\n")
    run = Stepping(load_type(folder, "whole", cache)).step(reading(TWIN, 0, a=9), reading(TWIN, 1, a=-1))
    assert [reason for reason, _ in _dead(run)] == [Reason.STEP_FAILED]
    assert [line.split()[1] for line in run.lines()] == ["n=3.0"]


def test_refused_requests_change_nothing_but_offset_and_revision(probe: TwinType) -> None:
    engine = Stepping(probe)
    engine.step(reading(TWIN, 0, **GOOD), put(TWIN, {}, {"place": "hall"}))
    before = engine.state(TWIN)
    refused = [
        request(TWIN, "limit", "r0", limit=200),
        request(TWIN, "limit", "r1", limit=20, other=1),
        request(TWIN, "limit", "r2"),
        request(TWIN, "limit", "r3", limit=10, steps=1.5),
        request(TWIN, "unheard_of", "r4"),
        request(TWIN, "bump", "r5", by=3, refuse=True),
        request(TWIN, "bump", "r6", by=3, fail=True),
        record(TWIN, b"\xff", kind="request", name="bump", record_id="r7"),
        record(TWIN, b'"\xff"', kind="request", name="bump", record_id="r8"),
        record(TWIN, b"[" * 9000, kind="request", name="bump", record_id="r9"),
        put(TWIN, {"divisor": 3.0, "limit": -1}, {"place": "x"}, "r10"),
        record(TWIN, b"[" * 9000, kind="parameters", record_id="r11"),
        record(TWIN, b'{"tags":{"a":"\xff"}}', kind="parameters", record_id="r12"),
        record(TWIN, b'{"tagz":{}}', kind="parameters", record_id="r13"),
    ]
    run = engine.step(*refused)
    events = _events(run, "request_rejected")
    assert [event["id"] for event in events] == [f"r{number}" for number in range(len(refused))]
    assert all(event["data"]["reason"] and event["data"]["id"] == event["id"] for event in events)
    assert events[5]["data"]["reason"] == "not today"
    after = engine.state(TWIN)
    assert (after.state, after.parameters, after.tags, after.outputs) == (
        before.state,
        before.parameters,
        before.tags,
        before.outputs,
    )
    assert after.parameter_revision == before.parameter_revision
    assert after.offset == before.offset + len(refused)


def test_accepted_requests_set_parameters_run_handlers_and_hold_from_the_next_record_on(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(
        reading(TWIN, 0, **GOOD),
        request(TWIN, "limit", "r1", limit=1),
        request(TWIN, "bump", "r2", by=100),
        reading(TWIN, 1, **GOOD),
        request(TWIN, "limit", "r3", limit=2, steps=5),
        reading(TWIN, 2, **GOOD),
    )
    assert [event["id"] for event in _events(run, "request_accepted")] == ["r1", "r2", "r3"]
    assert [line.rpartition("high=")[2].split()[0] for line in run.lines()] == ["0.0", "1.0", "1.0"]
    state = engine.state(TWIN)
    assert (state.parameters["limit"], state.parameters["steps"], state.parameter_revision) == (2.0, 5, 2)
    assert (state.state["ratio"]["total"], state.state["ratio"]["calls"]) == (120.0, 1 + 1 + 5)
    causes = [event["cause"]["parameters"] for event in _events(run, "changed")]
    assert causes == [1]


def test_reset_starts_every_step_anew_and_keeps_parameters_tags_and_time(probe: TwinType) -> None:
    engine = Stepping(probe)
    engine.step(put(TWIN, {"limit": 1}, {"place": "hall"}), reading(TWIN, 0, **GOOD), reading(TWIN, 1, **GOOD))
    sent = len(engine.run.messages("commands"))
    engine.step(request(TWIN, "reset"))
    state = engine.state(TWIN)
    assert state.state["ratio"] == {"total": 0.0, "ring": [7.0, 0.0, 0.0, 0.0], "calls": 0, "seen": False}
    assert set(state.outputs.values()) == {None}
    assert (state.parameters["limit"], state.tags) == (1.0, {"place": "hall"})
    # The first record afterwards commands everything again, as a new twin's first record does.
    commands = engine.step(reading(TWIN, 2, **GOOD)).messages("commands")[sent:]
    assert [command["name"] for command in commands] == ["valve", "power", "count"]


def test_commands_leave_first_on_change_and_when_due_and_never_outside_their_range(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(
        *(reading(TWIN, at_s, **{**GOOD, "a": a}) for at_s, a in ((0, 10), (4, 10), (5, 10), (6, 1000), (11, 10)))
    )
    valve = [
        (command["issued_ns"] - START_NS) // SECOND
        for command in run.messages("commands")
        if command["name"] == "valve"
    ]
    assert valve == [0, 5, 6, 11]
    power = [
        (command["value"], command["status"]) for command in run.messages("commands") if command["name"] == "power"
    ]
    # Back at 5.0, the device has what it was told last.
    assert power == [(5.0, "issued"), (500.0, "refused")]
    refused = _events(run, "command_refused")
    assert [(event["data"]["name"], event["data"]["value"]) for event in refused] == [("power", 500.0)]
    first = run.messages("commands")[0]
    assert first["expires_ns"] == START_NS + 60 * SECOND
    assert first["cause"] == {"partition": 0, "offset": 0, "definition": "content", "parameters": 0}


def test_ids_of_commands_are_the_same_after_a_replay_and_others_in_another_topic(probe: TwinType) -> None:
    rows = [reading(TWIN, at_s, **GOOD) for at_s in range(10)]
    first, again = (stepping.stepped(probe, [row._replace(offset=i) for i, row in enumerate(rows)]) for _ in range(2))
    ids = [command["id"] for command in first.messages("commands")]
    assert ids == [command["id"] for command in again.messages("commands")]
    moved = stepping.stepped(probe, [row._replace(offset=i + 1) for i, row in enumerate(rows)])
    assert not set(ids) & {command["id"] for command in moved.messages("commands")}


def test_a_document_says_what_its_own_record_made_of_the_twin(probe: TwinType) -> None:
    rows = [reading(TWIN, at_s, **{**GOOD, "b": at_s % 3}) for at_s in range(4)]
    documents = Stepping(probe).step(*rows).messages("metadata")
    assert [document["metadata"].get("b") for document in documents] == [None, 0, 1, 2, 0]
    assert [document["revision"] for document in documents] == [0, 1, 2, 3, 4]


def test_a_tombstone_deletes_the_twin_for_good(probe: TwinType) -> None:
    engine = Stepping(probe)
    engine.step(reading(TWIN, 0, **GOOD), reading(OTHER, 0, **GOOD))
    engine.snapshot()
    engine.run.changelog[TWIN] = engine.run.changelog.pop(TWIN)
    rows = [*engine.run.changelog.items(), (TWIN, None)]
    engine.processor = TwinProcessor.of(probe, stepping.LINEAGE)
    engine.processor.restore(stepping.changelog(rows))
    engine.processor.restored()
    assert TWIN not in dict(engine.processor.snapshot())
    engine.step(reading(TWIN, 1, **GOOD))
    changed = dict(engine.processor.snapshot())
    assert changed.keys() == {TWIN, b"#account"}
    row = changed[TWIN]
    assert row is not None
    assert probe.layout.describe(row).revision == 1


def test_a_record_batch_that_nobody_could_read_is_one_dead_letter_between_its_neighbours(probe: TwinType) -> None:
    block = block_of([reading(TWIN, at_s, **GOOD)._replace(offset=7 * at_s) for at_s in range(3)])
    block.places[1, [KEY_SIZE, VALUE_SIZE]] = [-1, 5]
    block.unreadable[7] = "a record batch can't be read: wrong checksum"
    run = Stepping(probe).run
    run.take(TwinProcessor.of(probe, stepping.LINEAGE).process(block))
    (letter,) = run.messages("deadletter")
    assert letter["source"] == "kafka:twinstream.probe.telemetry/0/7"
    assert (letter["reason"], letter["detail"], letter["size"]) == ("undecodable", block.unreadable[7], 5)
    assert run.counts == {("accepted", ""): 2, ("deadletter", "undecodable"): 1}


@pytest.mark.parametrize("stamp", [b"9" * 30, b"9223372036854775808", b"-5", b"soon", b"\xff", b""])
def test_an_arrival_that_is_no_time_falls_back_on_the_time_of_writing(probe: TwinType, stamp: bytes) -> None:
    made = record(TWIN, msgspec.json.encode(GOOD))._replace(headers=((RECEIVED, stamp),))
    assert Stepping(probe).step(made).lines()[0].endswith(f" {START_NS}")


@pytest.mark.parametrize(
    "made",
    [
        record(b"k" * 900_000, b"x" * 100_000),
        record(TWIN, b"?", source="s" * 900_000),
        record(TWIN, b"?", kind="k" * 900_000),
        record(TWIN, b"{}", kind="request", name="n" * 900_000),
        record(TWIN, b"{}", kind="request", name="limit", record_id="i" * 900_000),
        record(TWIN, b'{"id":"c"}', kind="ack", name="n" * 900_000),
        request(TWIN, "limit", "r", limit=1, **{f"argument_{number}": 1 for number in range(40_000)}),
        put(TWIN, {f"parameter_{number}": 1 for number in range(40_000)}),
        put(TWIN, {}, {"tag": "\u0001" * 150_000}),
        put(TWIN, {}, {f"tag_{number}": "x" for number in range(60_000)}),
    ],
    ids=["key", "source", "kind", "request", "id", "ack", "arguments", "parameters", "tag", "tags"],
)
def test_nothing_that_is_sent_makes_an_output_too_large_to_be_written(probe: TwinType, made: LogRecord) -> None:
    engine = Stepping(probe)
    run = engine.step(reading(TWIN, 0, **GOOD), made, reading(TWIN, 1, **GOOD))
    sizes = [len(key or b"") + len(value) for outputs in run.outputs.values() for key, value in outputs]
    sizes += [len(value or b"") for value in engine.snapshot().values()]
    assert max(sizes) < LARGEST_OUTPUT_BYTES
    assert len(run.lines()) == 2


def test_a_large_payload_keeps_its_first_64_kilobytes_in_its_dead_letter(probe: TwinType) -> None:
    raw = bytes(range(256)) * 1000
    run = Stepping(probe).step(record(TWIN, raw))
    assert _dead(run) == [(Reason.UNDECODABLE, raw[:RAW_LIMIT_BYTES])]
    assert run.messages("deadletter")[0]["size"] == len(raw)


def test_a_switch_is_insisted_on_and_what_is_no_switch_is_not(probe: TwinType) -> None:
    made = Stepping(probe).processor
    switch = stepping.switch("0" * 64)._replace(offset=3)
    asked = [switch, switch._replace(value=b"[]"), reading(TWIN, 0, **GOOD)._replace(offset=3)]
    assert [made.insists(block_of([item])) for item in asked] == [True, False, False]
    block = block_of([switch])
    block.unreadable[3] = "its batch is damaged"
    assert not made.insists(block)


@pytest.mark.parametrize("tags", ["place", "floor"])
def test_lines_and_documents_go_on_under_another_version(
    cache: Path, tmp_path: Path, probe: TwinType, tags: str
) -> None:
    definition = stepping.PROBE.replace("1.0.0", "1.1.0").replace("tags: [place]", f"tags: [{tags}]")
    later = load_type(stepping.write_type(tmp_path / "later", definition, steps=stepping.PROBE_STEPS), "later", cache)
    engine = Stepping(probe)
    engine.step(put(TWIN, {"limit": 3.0}, {"place": "hall", "floor": "second"}), reading(OTHER, 0, **GOOD))
    engine.switch(later)
    written = {document["id"]: document for document in engine.run.messages("metadata")[-2:]}
    assert {document["version"] for document in written.values()} == {"1.1.0"}
    parameters = {name: document["parameters"]["limit"] for name, document in written.items()}
    assert parameters == {TWIN.decode(): 3.0, OTHER.decode(): probe.definition.parameters["limit"].default}
    engine.step(reading(TWIN, 1, **GOOD), reading(OTHER, 1, **GOOD))
    begins = [line.split()[0] for line in engine.run.lines()[-2:]]
    tag = {"place": "hall", "floor": "second"}[tags]
    assert begins == [f"probe,twin={TWIN.decode()},{tags}={tag}", f"probe,twin={OTHER.decode()}"]


LABELLED = """\
name: labelled
version: 1.0.0
inputs: {a: {}}
parameters: {label: {type: string, default: ""}}
pipeline:
  - {name: keep, step: steps.py:keep, state: {length: {type: int}}, outputs: {length: {type: int}},
     requests: {name_it: steps.py:name_it}}
requests:
  name_it: {arguments: {label: {type: string}, more: {type: string, required: false}}, sets: {label: label}}
"""

LABELLED_STEPS = """\
def keep(state, a):
    return state.length


def name_it(state, label, more):
    if more:
        return "no " + more
    state.length = len(label)
"""


def test_an_argument_can_be_any_text_of_bounded_length(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(load_type(stepping.write_type(tmp_path, LABELLED, steps=LABELLED_STEPS), "content", cache))
    run = engine.step(
        put(TWIN, {}),
        request(TWIN, "name_it", "r1", label="Käse 2"),
        request(TWIN, "name_it", "r2", label="b", more="thanks"),
        *(request(TWIN, "name_it", "r3", label=label) for label in ("x" * 65, "a\nb", 5)),
    )
    state = engine.state(TWIN)
    assert (state.parameters["label"], state.state["keep"]["length"]) == ("Käse 2", 6)
    answers = [(event["name"], event["data"]["reason"].partition(",")[0]) for event in run.messages("events")]
    refusal = ("request_rejected", "label: expected a text of at most 64 characters")
    assert answers == [("request_accepted", ""), ("request_rejected", "no thanks"), refusal, refusal, refusal]


def test_whoever_waits_for_a_request_that_is_given_up_is_told(probe: TwinType) -> None:
    engine = Stepping(probe)
    engine.step(reading(TWIN, 0, **GOOD))
    given_up = [
        request(TWIN, "bump", "r7", by=1),
        put(TWIN, {}, record_id="p7"),
        reading(TWIN, 1, **GOOD),
        request(b"", "bump"),
    ]
    for offset, item in enumerate(given_up, 5):
        engine.run.take(engine.processor.refuse(block_of([item._replace(offset=offset)]), "MemoryError: no room"))
    told = [(event["id"], event["data"]["request"], event["data"]["reason"]) for event in engine.run.messages("events")]
    reason = "processing failed: MemoryError: no room"
    assert told == [("r7", "bump", reason), ("p7", "parameters", reason)]
    assert [reason for reason, _ in _dead(engine.run)] == [Reason.STEP_FAILED] * 4
