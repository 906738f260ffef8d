"""Results depend on the order of a twin's records alone, never on how they fell into blocks."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import stepping
from support.oracle import load_type
from support.stepping import SECOND, START_NS, STRANGERS, TWINS, Run, acknowledgement, record, stepped

from schemas.topics import DEADLETTER
from streams.log.record import LogRecord
from twins.twin_type import TwinType

ROOT = Path(__file__).parents[2]
PROPERTY = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

twins = st.sampled_from([*TWINS[:3], TWINS[0]])
odd_twins = st.sampled_from([STRANGERS[0], b"", None, b"\xff", b"no/slash", b"x" * 70])
times_s = st.integers(0, 12)
cuts = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8)


@st.composite
def good(draw: st.DrawFn) -> bytes:
    """Telemetry of the probe: mostly fine, at times such that a step raises or gives NaN."""
    fields: dict[str, object] = {
        "a": draw(st.sampled_from([1.0, 2.5, 13.0, 14.0, -7, 120.25, 400.0, 1000]) | st.floats(-100, 100)),
        "b": draw(st.sampled_from([0, 1, 2, 3, 3, 2, 1, 0, 4, 9])),
        "c": draw(st.booleans()),
    }
    time_ns = START_NS + draw(times_s) * SECOND
    shape = draw(st.sampled_from(["flat", "flat", "flat", "untimed", "numbered", "extra", "influx", "rfc3339", "line"]))
    if shape == "line":
        c = str(fields["c"]).lower()
        return f"probe,host=h a={float(str(fields['a']))!r},b={fields['b']}i,c={c} {time_ns}".encode()
    if shape == "influx":
        return msgspec.json.encode({"measurement": "m", "time": time_ns, "tags": {"x": "y"}, "fields": fields})
    if shape == "rfc3339":
        fields["time"] = f"2023-11-14T22:13:{20 + draw(times_s)}.5Z"
    elif shape != "untimed":
        fields["time"] = time_ns
    if shape == "numbered":
        fields |= {"seq": draw(st.integers(0, 70)), "boot": draw(st.sampled_from(["", "one", "two"]))}
    if shape == "extra":
        fields |= {"more": [1, {"x": None}], "fields": 3}
    return msgspec.json.encode(fields)


bad = st.sampled_from(
    [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"a":1}',
        b'{"a":"x","b":1,"c":true}',
        b'{"a":NaN,"b":1,"c":true}',
        b'{"a":1e999,"b":1,"c":true}',
        b'{"a":5000,"b":1,"c":true}',
        b'{"a":1,"b":1.5,"c":true}',
        b'{"a":1,"b":2.0,"c":true}',
        b'{"a":1,"b":1,"c":1}',
        b'{"a":1,"b":1,"c":true,"time":"yesterday"}',
        b'{"a":1,"b":1,"c":true,"time":"1700000001000000000"}',
        b'{"a":1,"b":1,"c":true,"time":1.7e18}',
        b'{"a":1,"b":1,"c":true,"seq":3.0}',
        b'{"a":1,"b":1,"c":true,"time":4000000000000000000}',
        b'{"a":1,"b":1,"c":true},{"a":2,"b":2,"c":true}',
        b'{"a":1,"b":1,"c":true',
        b'"b":2,"c":true}',
        b"probe a=1 2 3 4",
        b'{"a":1' + b"0" * 400 + b',"b":1,"c":true}',
        b'{"a":1,"b":1' + b"0" * 400 + b',"c":true}',
        b"[" * 5000,
    ]
)
requests = st.one_of(
    st.tuples(
        st.just("limit"),
        st.sampled_from([b'{"limit":60}', b'{"limit":20,"steps":3}', b'{"limit":-1}', b"{", b'{"x":1}']),
    ),
    st.tuples(
        st.just("bump"), st.sampled_from([b'{"by":2.5}', b'{"by":1,"refuse":true}', b'{"by":1,"fail":true}', b"{}"])
    ),
    st.tuples(
        st.sampled_from(["release", "release", "reset", "unheard_of"]), st.sampled_from([b"{}", b"", b"[]", b"\xff"])
    ),
)
puts = st.sampled_from(
    [
        b'{"parameters":{"divisor":0}}',
        b'{"parameters":{"divisor":4,"mode":"fast"},"tags":{"place":"A, B=1"}}',
        b'{"tags":{"place":"hall","other":"x"}}',
        b'{"parameters":{"limit":1000},"tags":{"place":"no"}}',
        b'{"parameters":{"mode":"medium"}}',
        b"{}",
        b"[]",
        b"\xff",
    ]
)
REAL_ACK = b"of a command"
acks = st.sampled_from([*[REAL_ACK] * 7, b'{"id":"abc"}', b"{}", b"[]", b'"id"', b"", b"\xff", b"[" * 5000])


@st.composite
def records(draw: st.DrawFn) -> list[LogRecord]:  # noqa: C901, PLR0912 - one case per kind
    """An input partition with everything that may lie in one."""
    found: list[LogRecord] = []
    for index in range(draw(st.integers(1, 25))):
        twin = draw(twins)
        what = draw(
            st.sampled_from(
                ["good"] * 8 + ["bad", "again", "request", "request", "put", "ack", "stranger", "kind", "tick"]
            )
        )
        match what:
            case "good":
                made = record(twin, draw(good()), timestamp_ms=START_NS // 1_000_000 + index)
                if draw(st.booleans()):
                    made = record(twin, made.value, source="mqtt:x", received_ns=START_NS + index)
            case "bad":
                made = record(twin, draw(bad))
            case "again" if found:
                made = draw(st.sampled_from(found))
            case "request":
                name, value = draw(requests)
                made = record(twin, value, kind="request", name=name, record_id=f"r{index}")
            case "put":
                made = record(twin, draw(puts), kind="parameters", record_id=f"p{index}")
            case "ack":
                made = record(twin, draw(acks), kind="ack", name="valve")
            case "stranger":
                made = record(draw(odd_twins), draw(good()), kind=draw(st.sampled_from(["", "request", "parameters"])))
            case "kind":
                made = record(twin, draw(good()), kind="surprise")
            case _:
                made = record(twin, b"{}", kind=draw(st.sampled_from(["tick", "switch", "telemetry"])))
        found.append(made._replace(offset=-1))
    holes = iter(draw(st.lists(st.integers(1, 3), min_size=len(found), max_size=len(found))))
    offset = 0
    found = [item._replace(offset=(offset := offset + next(holes))) for item in found]
    for index, item in enumerate(found):
        if item.value == REAL_ACK and item.key:
            cause = draw(st.sampled_from(found)).offset
            found[index] = item._replace(value=acknowledgement(cause, item.key, "valve"))
    return found


def _assert_equal(found: Run, expected: Run) -> None:
    assert found.result.states == expected.result.states
    for topic in expected.outputs.keys() | found.outputs.keys():
        # Blocks of lines follow the cuts; line by line they are the same, in the same order.
        assert _in_order(found, topic) == _in_order(expected, topic), topic
    assert found.counts == expected.counts


def _in_order(run: Run, topic: str) -> list[Any]:
    if topic.endswith(".timeseries"):
        return list(run.lines())
    if topic == DEADLETTER:
        # In the order of the records that they are about.
        return run.outputs.get(topic, [])
    # Outputs of one twin keep their order.
    return sorted(run.outputs.get(topic, []), key=_key)


def _key(output: tuple[bytes | None, bytes]) -> bytes:
    return output[0] or b""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module", params=["plain", "strict", "lenient"])
def probe(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    changes = {
        "plain": {},
        "strict": {"late": "deadletter", "extra": "deadletter", "provision": "declared"},
        "lenient": {"late": "flag", "missing": "hold_last", "max_ahead_s": "0"},
    }[request.param]
    return load_type(stepping.probe_type(tmp_path_factory.mktemp("probe"), **changes), "content", cache)


@given(records(), cuts)
@PROPERTY
def test_block_cuts_and_restarts_change_no_state_no_output_and_no_count(
    probe: TwinType, given_records: list[LogRecord], given_cuts: list[tuple[int, bool]]
) -> None:
    whole = stepped(probe, given_records)
    _assert_equal(stepped(probe, given_records, given_cuts), whole)
    _assert_equal(stepped(probe, given_records, [(index, False) for index in range(len(given_records))]), whole)


@given(records(), cuts)
@PROPERTY
def test_every_record_is_accounted_for_exactly_once(
    probe: TwinType, given_records: list[LogRecord], given_cuts: list[tuple[int, bool]]
) -> None:
    run = stepped(probe, given_records, given_cuts)
    dead = sum(times for (what, _), times in run.counts.items() if what == "deadletter")
    assert dead == len(run.messages("deadletter"))
    dropped = run.counts["duplicate", ""] + (run.counts["late", ""] if probe.definition.late == "drop" else 0)
    answers = [
        event
        for event in run.messages("events")
        if event["name"].startswith(("request_", "command_ack"))
        # A request to a twin that nobody made is a dead letter, too, and counted as such.
        and "made this twin" not in event["data"].get("reason", "")
    ]
    parameter_changes = sum(dict(item.headers).get("ts-kind") == b"parameters" for item in given_records)
    # A parameter change that is carried out is answered by the twin's document alone.
    silent = len(given_records) - run.counts["accepted", ""] - dropped - dead - len(answers)
    assert 0 <= silent <= parameter_changes


@pytest.mark.parametrize("name", ["examples/incubator", "tests/types/tank", "tests/types/statistics"])
def test_block_cuts_change_nothing_for_types_that_are_in_use(name: str, cache: Path) -> None:
    twin_type = load_type(ROOT / name, name.replace("/", "-"), cache)
    inputs = {key: declared.type for key, declared in twin_type.definition.inputs.items()}

    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(-1, 40), st.lists(st.floats(0, 40), min_size=5, max_size=5)),
            min_size=1,
            max_size=60,
        ),
        cuts,
    )
    @settings(max_examples=40)
    def check(rows: list[tuple[int, int, list[float]]], given_cuts: list[tuple[int, bool]]) -> None:
        clock = dict.fromkeys(TWINS, 0.0)
        made = []
        for index, (twin, step_s, numbers) in enumerate(rows):
            clock[TWINS[twin]] += step_s
            values = {
                key: number > 20 if kind == "bool" else min(number, 9.0) if name == "tests/types/tank" else number
                for (key, kind), number in zip(inputs.items(), numbers, strict=False)
            }
            made.append(stepping.reading(TWINS[twin], clock[TWINS[twin]], **values)._replace(offset=3 * index))
        _assert_equal(stepped(twin_type, made, given_cuts), stepped(twin_type, made))

    check()
