"""What records lead to belongs to their traces: commands, events, series, letters and what goes to other twins."""

from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.oracle import block_of, load_type
from support.spans import KeptSpans
from support.stepping import LINEAGE, TWINS, put, reading, record, request, tick, write_type

from schemas.headers import REDRIVE, SOURCE, STATUS, TRACEPARENT
from schemas.topics import DEADLETTER
from schemas.trace import MOST_SPANS, NO_TRACER, Tracer
from streams.log.record import LogRecord
from streams.processor import Outcome, OutputRecord
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]

VALVE = """\
name: valve
version: 1.0.0
inputs:
  flow: {type: float, range: [0, 1000]}
  open: {type: bool}
outputs:
  timeseries: {fields: [flow], route: {type: line, id: line, as: {flow: flow}}}
  events:
    opened: {when: open}
  commands:
    motor: {field: open, type: bool, refresh_s: 0}
    speed: {field: flow, range: [0, 500]}
  metadata: [open]
parameters:
  line: {type: string, default: "line-1"}
requests:
  pair:
    arguments: {with: {type: string, choices: [line-1, line-2]}}
    sets: {line: with}
"""


def _parent(number: int, flags: str = "01") -> bytes:
    return f"00-{number:032x}-{number:016x}-{flags}".encode()


def _traced(item: LogRecord, traceparent: bytes) -> LogRecord:
    return item._replace(headers=(*item.headers, (TRACEPARENT, traceparent)))


def _load(folder: Path, **changes: str) -> TwinType:
    text = VALVE + "".join(f"{name}: {value}\n" for name, value in changes.items())
    return load_type(write_type(folder / "valve", text), "content", folder / "k")


@pytest.fixture(scope="module")
def valve(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _load(tmp_path_factory.mktemp("valve"))


def _stepped(
    valve: TwinType, records: Sequence[LogRecord], cuts: Sequence[int] = (), tracer: Tracer = NO_TRACER
) -> list[Outcome]:
    """What comes of records, stepped in blocks that begin at `cuts`."""
    processor = TwinProcessor("valve", LINEAGE, {"content": valve}, "content", tracer)
    numbered = [item._replace(offset=at) for at, item in enumerate(records)]
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(records)}), len(records)]
    return [processor.process(block_of(numbered[first:last])) for first, last in pairwise(bounds)]


def _outputs(outcomes: Sequence[Outcome]) -> dict[str, list[OutputRecord]]:
    found: dict[str, list[OutputRecord]] = {}
    for outcome in outcomes:
        for outputs in (outcome.outputs, outcome.routed):
            for topic, records in outputs.items():
                found.setdefault(topic.removeprefix("twinstream.valve."), []).extend(records)
    return found


def _traces(records: Sequence[OutputRecord]) -> list[list[bytes]]:
    return [[value for name, value in headers if name == TRACEPARENT] for _, _, headers in records]


def test_all_that_a_record_leads_to_belongs_to_its_trace(valve: TwinType) -> None:
    found = _outputs(_stepped(valve, [_traced(reading(TWIN, 1, flow=3.5, open=True), _parent(7))]))
    topics = {"commands", "events", "metadata", "timeseries", "twinstream.line.telemetry"}
    assert topics <= found.keys()
    for topic in topics:
        assert all(traces == [_parent(7)] for traces in _traces(found[topic])), topic


def test_the_document_of_a_new_twin_belongs_to_the_trace_of_the_record_that_it_came_with(valve: TwinType) -> None:
    records = [
        reading(OTHER, 1, flow=1.0, open=True),
        _traced(reading(TWIN, 1, flow=1.0, open=True), _parent(7)),
        _traced(reading(OTHER, 2, flow=1.0, open=True), _parent(8)),
    ]
    documents = _outputs(_stepped(valve, records))["metadata"]
    said = zip((twin for twin, _, _ in documents), _traces(documents), strict=True)
    assert dict(said) == {OTHER: [], TWIN: [_parent(7)]}


def test_lines_that_are_cut_apart_belong_to_the_traces_of_their_own_records(
    valve: TwinType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twins.lines.BLOCK_BYTES", 100)
    records = [_traced(reading(TWIN, at, flow=float(at), open=True), _parent(at)) for at in range(1, 10)]
    series = _outputs(_stepped(valve, records))["timeseries"]
    assert len(series) > 2
    at = 0
    for (_, text, _), traces in zip(series, _traces(series), strict=True):
        count = (text or b"").count(b"\n")
        assert traces == [_parent(at + 1 + index) for index in range(count)]
        at += count
    assert at == len(records)


def test_neighbours_of_a_record_do_not_belong_to_its_trace(valve: TwinType) -> None:
    records = [
        reading(TWIN, 1, flow=1.0, open=True),
        _traced(reading(OTHER, 1, flow=2.0, open=True), _parent(7)),
        reading(TWIN, 2, flow=3.0, open=False),
    ]
    found = _outputs(_stepped(valve, records))
    assert len(found["commands"]) == 6
    for topic in ("commands", "events", "twinstream.line.telemetry"):
        said = zip(found[topic], _traces(found[topic]), strict=True)
        for (_, value, headers), traces in said:
            belongs = msgspec.json.decode(value or b"").get("twin") == OTHER.decode()
            belongs |= (SOURCE, b"kafka:twinstream.valve.telemetry/0/1") in headers
            assert traces == ([_parent(7)] if belongs else []), topic


def test_a_refused_command_keeps_its_own_header(valve: TwinType) -> None:
    found = _outputs(_stepped(valve, [_traced(reading(TWIN, 1, flow=999.0, open=True), _parent(7))]))
    refused = [headers for _, _, headers in found["commands"] if (STATUS, b"refused") in headers]
    assert refused == [((STATUS, b"refused"), (TRACEPARENT, _parent(7)))]


def test_a_dead_letter_belongs_to_the_trace_of_its_record(valve: TwinType) -> None:
    bad = [
        _traced(record(TWIN, b"{"), _parent(1)),
        _traced(record(TWIN, b"{}", kind="what"), _parent(2)),
        record(TWIN, b"{"),
    ]
    letters = _outputs(_stepped(valve, bad))[DEADLETTER]
    assert _traces(letters) == [[_parent(1)], [_parent(2)], []]
    # Sent again it belongs to the same one.
    kept = msgspec.json.decode(letters[0][1] or b"")["headers"]
    assert kept[TRACEPARENT] == _parent(1).decode()


def test_what_becomes_of_a_redriven_record_belongs_to_its_trace(valve: TwinType) -> None:
    again = _traced(reading(TWIN, 1, flow=1.0, open=True), _parent(3))
    again = again._replace(headers=(*again.headers, (REDRIVE, b"0" * 32)))
    assert _traces(_outputs(_stepped(valve, [again]))["commands"]) == [[_parent(3)], [_parent(3)]]


def test_a_record_that_is_given_up_leaves_a_letter_of_its_trace(valve: TwinType) -> None:
    processor = TwinProcessor.of(valve, LINEAGE)
    refused = _traced(reading(TWIN, 1, flow=1.0), _parent(4))._replace(offset=0)
    outcome = processor.refuse(block_of([refused]), "it failed")
    assert _traces(outcome.outputs[DEADLETTER]) == [[_parent(4)]]
    later = processor.process(block_of([reading(TWIN, 2, flow=1.0, open=True)._replace(offset=0)]))
    assert _traces(_outputs([later])["commands"]) == [[], []]


def test_nothing_is_kept_of_traces_whose_records_are_stepped(valve: TwinType) -> None:
    processor = TwinProcessor.of(valve, LINEAGE)
    records = [_traced(reading(TWIN, 1, flow=1.0, open=True), _parent(1)), _traced(record(TWIN, b"{"), _parent(2))]
    processor.process(block_of([item._replace(offset=at) for at, item in enumerate(records)]))
    assert processor._traces.headers == {}  # noqa: SLF001


def test_requests_and_changes_lead_to_events_and_documents_of_their_traces(valve: TwinType) -> None:
    records = [
        _traced(put(TWIN, {"line": "line-3"}), _parent(5)),
        _traced(request(TWIN, "pair", **{"with": "line-2"}), _parent(6)),
        put(TWIN, {"line": "line-4"}),
    ]
    found = _outputs(_stepped(valve, records))
    assert _traces(found["metadata"]) == [[_parent(5)], [_parent(6)], []]
    assert _traces(found["events"]) == [[_parent(6)]]


@pytest.mark.parametrize("bad", [b"", b"00-x", b"\xff" * 55, b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01"])
def test_a_traceparent_that_is_none_changes_nothing(valve: TwinType, bad: bytes) -> None:
    plain = reading(TWIN, 1, flow=1.0, open=True)
    assert _outputs(_stepped(valve, [_traced(plain, bad)])) == _outputs(_stepped(valve, [plain]))


def test_a_record_that_waits_for_earlier_ones_keeps_its_trace(tmp_path: Path) -> None:
    valve = _load(tmp_path, reorder_s="2", tick_s="1")
    records = [
        _traced(reading(TWIN, 3, flow=3.0, open=True), _parent(3)),
        _traced(reading(TWIN, 2, flow=2.0, open=False), _parent(2)),
        tick(60),
    ]
    records = [item._replace(timestamp_ms=records[0].timestamp_ms) for item in records]
    kept = KeptSpans()
    before, after = _stepped(valve, records, [2], kept)
    assert not before.outputs.get("twinstream.valve.commands")
    commands = _outputs([after])["commands"]
    values = [msgspec.json.decode(value or b"")["value"] for _, value, _ in commands]
    assert values == [False, 2.0, True, 3.0]
    # Spans are those of the stepping, not of the arrival: each record has one.
    assert [span.parent for span in kept.spans] == [_parent(2), _parent(3)]
    assert _traces(commands) == [[span.traceparent] for span in kept.spans for _ in range(2)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=25),
    st.lists(st.integers(0, 25), max_size=4),
)
def test_traces_do_not_depend_on_how_records_are_cut_into_blocks(
    valve: TwinType, drawn: list[tuple[int, bool, bool]], cuts: list[int]
) -> None:
    records = []
    for at, (twin, is_open, is_traced) in enumerate(drawn):
        item = reading(TWINS[twin], at, flow=float(at), open=is_open)
        records.append(_traced(item, _parent(at + 1)) if is_traced else item)
    both = _outputs(_stepped(valve, records)), _outputs(_stepped(valve, records, cuts))
    lines = [[line for _, text, _ in found["timeseries"] for line in (text or b"").splitlines()] for found in both]
    assert lines[0] == lines[1]
    for found in both:
        said = [value for traces in _traces(found.pop("timeseries")) for value in traces]
        assert said == [_parent(at + 1) for at, (_, _, is_traced) in enumerate(drawn) if is_traced]
        found["metadata"].sort(key=itemgetter(0))  # twins' documents come in any order
    assert both[0] == both[1]


def test_spans_are_begun_for_sampled_records_and_their_outputs_name_them(valve: TwinType) -> None:
    kept = KeptSpans()
    records = [
        _traced(reading(TWIN, 1, flow=1.0, open=True), _parent(1)),
        _traced(reading(TWIN, 2, flow=2.0, open=False), _parent(2, "00")),
        reading(TWIN, 3, flow=3.0, open=True),
    ]
    (outcome,) = _stepped(valve, records, tracer=kept)
    (span,) = kept.spans
    assert outcome.spans == [span]
    assert (span.name, span.kind, span.parent, span.ended) == ("step valve", "consumer", _parent(1), 0)
    assert span.attributes["twinstream.twin"] == TWIN.decode()
    assert span.attributes["messaging.kafka.offset"] == 0
    said = _traces(_outputs([outcome])["commands"])[::2]
    assert said == [[span.traceparent], [_parent(2, "00")], []]


def test_of_a_block_only_so_many_records_get_spans_and_the_others_go_on_as_they_came(valve: TwinType) -> None:
    kept = KeptSpans()
    count = MOST_SPANS + 5
    records = [_traced(reading(TWIN, at, flow=1.0, open=True), _parent(at + 1)) for at in range(count)]
    (outcome,) = _stepped(valve, records, tracer=kept)
    assert len(kept.spans) == len(outcome.spans) == MOST_SPANS
    found = _outputs([outcome])
    sent = [traces[0] for traces in _traces(found["twinstream.line.telemetry"])]
    assert sent[:MOST_SPANS] == [span.traceparent for span in kept.spans]
    assert sent[MOST_SPANS:] == [_parent(at + 1) for at in range(MOST_SPANS, count)]
    assert len(_traces(found["timeseries"])[0]) == MOST_SPANS
