"""Telemetry payloads of the three formats, and line protocol by itself."""

import contextlib
import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.counters import counter_in, read_counter
from schemas.errors import PayloadError
from schemas.line_protocol import Point, escape_measurement, escape_tag, parse_line, parse_lines
from schemas.reasons import Reason
from schemas.telemetry import Reading, parse_telemetry, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VALUES = {"t1": 20.5, "on": True, "n": 3}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"t1":20.5,"on":true,"n":3,"time":1700000000000000001}',
        b' \n{"time":"2023-11-14T22:13:20.000000001Z","t1":20.5,"on":true,"n":3}\n',
        b'{"measurement":"m","time":1700000000000000001,"tags":{"a":"b"},"fields":{"t1":20.5,"on":true,"n":3}}',
        b"m,a=b t1=20.5,on=true,n=3i 1700000000000000001",
        b"# comment\n\nm t1=20.5,on=T,n=3u 1700000000000000001\n",
    ],
)
def test_all_formats_say_the_same(raw: bytes) -> None:
    assert parse_telemetry(raw) == Reading(1_700_000_000_000_000_001, None, "", VALUES)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"t1":1,"seq":7,"boot":"b"}',
        b'{"measurement":"m","fields":{"t1":1,"seq":7,"boot":"b"}}',
        b'm t1=1,seq=7i,boot="b"',
    ],
)
def test_counter_and_boot_are_taken_out_of_every_format(raw: bytes) -> None:
    assert parse_telemetry(raw) == Reading(None, 7, "b", {"t1": 1})


def test_an_object_with_a_number_called_fields_is_flat() -> None:
    assert parse_telemetry(b'{"measurement":1,"fields":2}').values == {"measurement": 1, "fields": 2}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.UNDECODABLE),
        (b"{", Reason.UNDECODABLE),
        (b"{}{}", Reason.UNDECODABLE),
        (b"hello", Reason.UNDECODABLE),
        (b"m a=1\nm a=2", Reason.UNDECODABLE),
        (b"m a=x", Reason.UNDECODABLE),
        (b'm a="x', Reason.UNDECODABLE),
        (b"\xff", Reason.UNDECODABLE),
        (b'{"a":"\xff"}', Reason.UNDECODABLE),
        (b'{"a":"\\ud800"}', Reason.UNDECODABLE),
        (b"[" * 100_000, Reason.UNDECODABLE),
        (b"[]", Reason.NOT_FLAT),
        (b'[{"a":1}]', Reason.NOT_FLAT),
        (b'{"a":NaN}', Reason.NOT_FINITE),
        (b'{"a":-Infinity}', Reason.NOT_FINITE),
        (b'{"a":1e999}', Reason.NOT_FINITE),
        (b'{"time":1.5}', Reason.INVALID_TIME),
        (b'{"time":true}', Reason.INVALID_TIME),
        (b'{"time":-1}', Reason.INVALID_TIME),
        (b'{"time":9223372036854775808}', Reason.INVALID_TIME),
        (b'{"time":"1700000000000000000"}', Reason.INVALID_TIME),
        (b"m a=1 soon", Reason.INVALID_TIME),
        (b"m a=1 -5", Reason.INVALID_TIME),
        (b'{"seq":-1}', Reason.WRONG_TYPE),
        (b'{"seq":1.0}', Reason.WRONG_TYPE),
        (b'{"seq":true}', Reason.WRONG_TYPE),
        (b'{"seq":9223372036854775808}', Reason.WRONG_TYPE),
        (b'{"boot":1}', Reason.WRONG_TYPE),
        (b'{"boot":null}', Reason.WRONG_TYPE),
    ],
)
def test_a_payload_that_cannot_be_read_has_its_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_telemetry(raw)
    assert caught.value.reason is reason
    assert caught.value.detail


@pytest.mark.parametrize(("raw", "detail"), [(b'{"a":x}', "no JSON: invalid character (byte 5)")])
def test_what_is_no_json_is_told_once_and_where(raw: bytes, detail: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_telemetry(raw)
    assert caught.value.detail == detail


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_lead_to_any_other_error(raw: bytes) -> None:
    with contextlib.suppress(PayloadError):
        parse_telemetry(raw)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2262, 4, 1)),  # noqa: DTZ001 - the zone is drawn apart
    st.integers(0, 999_999_999),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
)
def test_rfc_3339_is_exact_to_the_nanosecond_in_every_zone(
    moment: datetime, nanoseconds: int, offset_minutes: int, separator: str
) -> None:
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset_minutes)))
    expected = (moment - EPOCH) // timedelta(seconds=1) * 10**9 + nanoseconds
    sign, minutes = "-" if offset_minutes < 0 else "+", abs(offset_minutes)
    zone = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    text = f"{moment:%Y-%m-%d}{separator}{moment:%H:%M:%S}.{nanoseconds:09}{zone}"
    if expected >= 0:
        assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("2023-11-14T22:13:20.1234567899z", 1_700_000_000_123_456_789),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
    ],
)
def test_times_that_are_known(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-02-29T00:00:00Z",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T24:00:01Z",
        "2023-11-14T22:13:60Z",
        "1969-12-31T23:59:59Z",
        "2023-11-14T22:13:20+1:00",
        "2023-11-14T22:13:20+24:00",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "\u0662023-11-14T22:13:20Z",
    ],
)
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_time(text)
    assert caught.value.reason is Reason.INVALID_TIME


# -- line protocol ----------------------------------------------------------------------------------------------------

plain = st.text(
    st.characters(codec="utf-8", exclude_characters="\\\n\r\t\x00\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"),
    min_size=1,
    max_size=8,
)
names = plain.filter(lambda text: not text.startswith("#") and text == text.strip())
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
)


def _written(point: Point) -> str:
    def value(item: Any) -> str:
        if isinstance(item, bool):
            return str(item).lower()
        if isinstance(item, int):
            return f"{item}i"
        return repr(item) if isinstance(item, float) else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'

    head = ",".join(
        [escape_measurement(point.measurement), *(f"{escape_tag(k)}={escape_tag(v)}" for k, v in point.tags.items())]
    )
    fields = ",".join(f"{escape_tag(name)}={value(item)}" for name, item in point.fields.items())
    return f"{head} {fields}" + (f" {point.time_ns}" if point.time_ns is not None else "")


points = st.builds(
    Point,
    names,
    st.dictionaries(names, names, max_size=2),
    st.dictionaries(names, scalars, min_size=1, max_size=3),
    st.none() | st.integers(0, 2**63 - 1),
)


@given(st.lists(points, max_size=4))
@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_what_was_written_is_read_again(given_points: list[Point]) -> None:
    assert list(parse_lines("\n".join(map(_written, given_points)))) == given_points


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("m a=1", {"a": 1.0}),
        ("m a=1i", {"a": 1}),
        ("m a=1u", {"a": 1}),
        ("m a=t,b=F,c=TRUE", {"a": True, "b": False, "c": True}),
        ('m a="x, y=1 \\"z\\" \\\\"', {"a": 'x, y=1 "z" \\'}),
        ("m a\\ b=1e-3", {"a b": 0.001}),
    ],
)
def test_field_values_are_read_as_their_types(line: str, fields: dict[str, Any]) -> None:
    assert parse_line(line).fields == fields


@pytest.mark.parametrize(
    "line", ["m", "m ", ",a=b c=1", "m,a c=1", "m,a= c=1", "m a", "m =1", "m a=1 2 3", "m a=1ii", 'm a="x', "m a=--1"]
)
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(PayloadError):
        parse_line(line)


@pytest.mark.parametrize(
    "number", ["1_0", "\u0661", "\uff11", "1_0i", "\u0661i", "1e\u0665", "0x10", "1e", ".", "1.i", "1" * 21 + "i"]
)
def test_what_only_python_takes_for_a_number_is_none(number: str) -> None:
    with pytest.raises(PayloadError):
        parse_line(f"m a={number}")
    with pytest.raises(PayloadError):
        parse_line(f"m a=1 {number}")


@pytest.mark.parametrize("number", ["1", "1.", ".5", "+1.5e-3", "1E9", "nan", "-inf", "Infinity"])
def test_what_is_a_number_is_taken_as_python_takes_it(number: str) -> None:
    value = parse_line(f"m a={number}").fields["a"]
    assert repr(value) == repr(float(number))


@pytest.mark.parametrize("number", ["9" * 500_000 + "x", "." + "9" * 500_000 + "i", "1e" + "9" * 500_000 + "x"])
def test_a_number_without_end_is_judged_in_little_time(number: str) -> None:
    started_s = time.process_time()
    with pytest.raises(PayloadError):
        parse_line(f"m a={number}")
    assert time.process_time() - started_s < 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"t":1e400}', Reason.NOT_FINITE),
        (b'{"t":' + b"9" * 100_000 + b"}", Reason.NOT_FINITE),
        (b'{"t":-' + b"9" * 5000 + b"}", Reason.NOT_FINITE),
        (b'{"t":NaN}', Reason.NOT_FINITE),
        (b'{"t":1,"boot":"\\ud800"}', Reason.UNDECODABLE),
        (b'{"\\udfff":1}', Reason.UNDECODABLE),
        (b'{"t":1,"boot":"\xed\xa0\x80"}', Reason.UNDECODABLE),
        (b'\xef\xbb\xbf{"t":1}', Reason.UNDECODABLE),
        ('{"t":1}'.encode("utf-16"), Reason.UNDECODABLE),
        (b'{"t":1}\0', Reason.UNDECODABLE),
        (b"[" * 100_000 + b"]" * 100_000, Reason.UNDECODABLE),
        (b'{"t":' * 100_000 + b"1" + b"}" * 100_000, Reason.UNDECODABLE),
    ],
    ids=range(12),
)
def test_bombs_and_what_only_looks_like_json_are_refused_in_little_time(payload: bytes, reason: Reason) -> None:
    started_s = time.process_time()
    with pytest.raises(PayloadError) as caught:
        parse_telemetry(payload)
    assert caught.value.reason is reason
    assert time.process_time() - started_s < 1


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert parse_telemetry(b'{"t":1,"time":5,"t":2,"time":6}') == Reading(6, None, "", {"t": 2})


@given(st.text(max_size=30))
def test_an_escaped_tag_never_ends_a_line_or_a_tag(text: str) -> None:
    line = f"m,k={escape_tag(text) or 'x'},l=1 a=1 5"
    point = parse_line(line)
    assert set(point.tags) == {"k", "l"}
    assert point.time_ns == 5
    assert not math.isnan(float(point.fields["a"]))
    assert msgspec.json.encode(point.tags)


def test_the_counter_of_a_boot_that_no_text_can_hold_is_told_as_json() -> None:
    counter = read_counter(b'{"t1":1,"seq":3,"boot":"\\ud800"}')
    assert counter is not None
    assert counter.boot.encode() == b'"\\ud800"'
    assert counter.seq == 3


@pytest.mark.parametrize(
    "raw",
    [
        b'{"t1":NaN,"seq":3,"boot":"b"}',
        b'{"t1":1e999,"seq":3,"boot":"b"}',
        b'{"t1":"\\ud800","seq":3,"boot":"b"}',
        b'{"t1":1,"seq":3,"boot":"b","time":"soon"}',
        b'{"t1":1,"seq":3,"boot":["b"]}',
        b'{"t1":1,"seq":-3,"boot":"b"}',
        b'{"t1":1,"seq":3,"boot":"b"',
        b"[1]",
        b"",
        b'{"measurement":"m","time":"soon","fields":{"t1":1,"seq":3,"boot":"b"}}',
    ],
)
def test_what_a_refused_payload_says_all_the_same_has_the_counter_that_it_has_alone(raw: bytes) -> None:
    with pytest.raises(PayloadError) as raised:
        parse_telemetry(raw)
    said = raised.value.fields
    assert (None if said is None else counter_in(said)) == read_counter(raw)
