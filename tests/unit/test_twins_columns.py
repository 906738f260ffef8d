"""Columnar decoding says of any payload what careful decoding of that payload alone says."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.definition import Definition
from schemas.definition_file import read_definition
from schemas.reasons import Reason
from twins import telemetry as telemetry_module
from twins.columns import Columns
from twins.payloads import Payloads
from twins.telemetry import TelemetryDecoder

RECEIVED_NS = 1_700_000_000_000_000_000
BASE = """\
name: probe
version: 1.0.0
inputs:
  t1: {type: float, range: [-1000, 1000]}
  n: {type: int}
  hot: {type: bool}
"""
DEFINITIONS = {
    "plain": BASE,
    "strict": BASE + "extra: deadletter\n",
    "hold_last": BASE + "missing: hold_last\n",
    "clamped": BASE.replace("1000]", "1000], outside: clamp"),
    "fields": BASE + "  fields: {type: float}\n",
}

numbers = st.sampled_from(
    [
        "0",
        "-0.0",
        "1",
        "1.5",
        "3.0",
        "1e2",
        "-7",
        "1E400",
        "-1e400",
        "1" + "0" * 400,
        "NaN",
        "1e-400",
        "Infinity",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "01",
        "5000",
        "-9223372036854775809",
        "18446744073709551616",
        ".5",
        "+1",
    ]
)
others = st.sampled_from(
    [
        "true",
        "false",
        "null",
        '"x"',
        '"1"',
        '""',
        "[]",
        "[1,[2]]",
        "{}",
        '{"t1":1}',
        '"\\ud800"',
        '"\u00e9\\n"',
        "TRUE",
        "",
        " 1 ",
    ]
)
times = st.sampled_from(
    [
        "1700000000000000001",
        "null",
        '"2023-11-14T22:13:20Z"',
        '"2023-11-14T22:13:20.123456789+01:00"',
        '"1700000000000000000"',
        "1.7e18",
        "-1",
        "true",
        "9223372036854775807",
        "9223372036854775808",
        "[]",
        '" 1700000000000000000"',
        '"yesterday"',
        "4000000000000000000",
    ]
)
seqs = st.sampled_from(["0", "7", "3.0", "-1", "null", "true", '"1"', "9223372036854775807", "9223372036854775808"])
boots = st.sampled_from(['"a"', '""', "null", "1", '"\u00e9"', '"\\u0000"', '"\\ud800"'])
names = st.sampled_from(["t1", "n", "hot", "fields", "measurement", "tags", "x", "\u00fc", "T1", ""])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Nearly JSON: most of it fits, some of it in every way not."""
    pairs = [
        ("t1", draw(st.just("1.5") | st.just("2") | numbers | others)),
        ("n", draw(st.just("1") | st.just("2") | numbers | others)),
        ("hot", draw(st.just("true") | st.just("false") | others)),
        ("fields", draw(st.sampled_from(["1.0", "2"]))),
    ]
    pairs = [pair for pair in pairs if draw(st.integers(0, 9))]
    if not draw(st.integers(0, 2)):
        pairs.append(("time", draw(times)))
    if not draw(st.integers(0, 3)):
        pairs += [("seq", draw(seqs)), ("boot", draw(boots))]
    if not draw(st.integers(0, 4)):
        pairs.append((draw(names), draw(numbers | others)))
    if not draw(st.integers(0, 5)):
        pairs = draw(st.permutations(pairs))
    text = ",".join(f'"{name}":{value}' for name, value in pairs)
    text = "{" + text + "}"
    match draw(st.integers(0, 12)):
        case 0:
            text = f'{{"measurement":"m","tags":{{"a":"b"}},"time":{draw(times)},"fields":{text}}}'
        case 1:
            text = text[: draw(st.integers(0, len(text)))]
        case 2:
            text = text[draw(st.integers(0, len(text))) :]
        case 3:
            text = text + "," + text
        case 4:
            text = draw(
                st.sampled_from(["[%s]", " %s\n", "%s,", ",%s", "%s,1", "1,%s", "%s,1,%s", "[%s,1", "2,%s]"])
            ).replace("%s", text)
    return text.encode()


raw = st.binary(max_size=12) | st.sampled_from(
    [
        b"",
        b" ",
        b"1",
        b"[]",
        b"null",
        b"probe t1=1,n=1i,hot=t 5",
        b"probe t1=1",
        b"\xef\xbb\xbf{}",
        b"[" * 3000,
        b"5,6",
        b'"',
        b"],[",
    ]
)
payloads = st.lists(objects() | objects() | raw, min_size=1, max_size=6)


def _definition(name: str) -> Definition:
    return read_definition(DEFINITIONS[name])


def _row(columns: Columns, index: int) -> tuple[object, ...]:
    """What is known of one record; floats by their bits."""
    if index in columns.refused:
        return (columns.refused[index],)
    return (
        columns.inputs[index].tobytes(),
        int(columns.time_ns[index]),
        int(columns.seq[index]),
        int(columns.boot[index]),
        int(columns.payload[index]),
    )


def _received(count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return RECEIVED_NS + np.arange(count, dtype=np.int64)


def _carefully(decoder: TelemetryDecoder, raws: Sequence[bytes]) -> Columns:
    columns = decoder._one_by_one(raws, _received(len(raws)))  # noqa: SLF001 - the two ways are compared
    decoder._check_ranges(columns)  # noqa: SLF001
    decoder._check_future(columns, _received(len(raws)))  # noqa: SLF001
    return columns


@pytest.mark.parametrize("name", DEFINITIONS)
def test_any_payloads_together_decode_as_each_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = TelemetryDecoder(_definition(name))
    # Few of them are tried at once, too.
    monkeypatch.setattr(telemetry_module, "_TOGETHER", 3)
    monkeypatch.setattr(telemetry_module, "_WORTH_IT", 1)

    @given(payloads)
    @settings(max_examples=300)
    @example([b'{"t1":1,"n":1,"hot":true},{"t1":2,"n":2,"hot":true}'])
    @example([b'{"t1":1,"n":1,"hot":true},{"t1":2,"n":2,"hot":true,"x":1}', b'{"t1":1,"n":1,"hot":true}'])
    @example([b'{"t1":1', b'"t2":2}'])
    @example([b'{"t1":1,"n":1,"hot":true,"x":[1', b"2]}"])
    @example([b'{"t1":1,"n":1,"hot":true,"x":"', b'"}'])
    @example([b'{"t1":1,"n":1,"hot":true,"time":"1700000000000000000"}'])
    def check(raws: list[bytes]) -> None:
        found, expected = decoder.decode(Payloads.of(raws), _received(len(raws))), _carefully(decoder, raws)
        for index in range(len(raws)):
            assert _row(found, index) == _row(expected, index), raws[index]
        assert found.extra == expected.extra

    check()


@pytest.mark.parametrize("name", DEFINITIONS)
def test_good_payloads_are_decoded_at_once(name: str) -> None:
    decoder = TelemetryDecoder(_definition(name))
    raws = [json.dumps({"t1": 1, "n": index, "hot": True, "fields": 2.5}).encode() for index in range(5)]
    raws = [raw.replace(b', "fields": 2.5', b"") for raw in raws] if name != "fields" else raws
    found = decoder._bulk_json.decode(raws, _received(5))  # noqa: SLF001
    assert found is not None
    assert found.inputs[:, 1].tolist() == [0, 1, 2, 3, 4]
    assert found.time_ns.tolist() == _received(5).tolist()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"t1":1,"n":1}', Reason.MISSING_FIELD),
        (b'{"t1":null,"n":1,"hot":true}', Reason.WRONG_TYPE),
        (b'{"t1":true,"n":1,"hot":true}', Reason.WRONG_TYPE),
        (b'{"t1":"1","n":1,"hot":true}', Reason.WRONG_TYPE),
        (b'{"t1":1,"n":1.5,"hot":true}', Reason.WRONG_TYPE),
        (b'{"t1":1,"n":1,"hot":1}', Reason.WRONG_TYPE),
        (b'{"t1":1000.1,"n":1,"hot":true}', Reason.OUT_OF_RANGE),
        (b'{"t1":NaN,"n":1,"hot":true}', Reason.NOT_FINITE),
        (b'{"t1":-Infinity,"n":1,"hot":true}', Reason.NOT_FINITE),
        (b'{"t1":1e400,"n":1,"hot":true}', Reason.NOT_FINITE),
        (b'{"t1":1,"n":1' + b"0" * 400 + b',"hot":true}', Reason.NOT_FINITE),
        (b'{"t1":1,"n":1,"hot":true,"boot":"\\ud800"}', Reason.UNDECODABLE),
        (b'{"t1":1,"n":1,"hot":true,"time":"noon"}', Reason.INVALID_TIME),
        (b'{"t1":1,"n":1,"hot":true,"time":1700090000000000000}', Reason.FUTURE_TIME),
        (b"[1]", Reason.NOT_FLAT),
        (b"\x00", Reason.UNDECODABLE),
        (b'{"t1":1,"n":1,"hot":true}{}', Reason.UNDECODABLE),
        (b'{"t1":1,"n":1,"hot":true},{"t1":1,"n":1,"hot":true}', Reason.UNDECODABLE),
    ],
)
def test_one_bad_payload_costs_only_itself(raw: bytes, reason: Reason) -> None:
    decoder = TelemetryDecoder(_definition("plain"))
    good = b'{"t1":1,"n":2,"hot":true}'
    columns = decoder.decode(Payloads.of([good, raw, good]), _received(3))
    assert {index: why for index, (why, _) in columns.refused.items()} == {1: reason}
    assert columns.inputs[[0, 2]].tolist() == [[1, 2, 1], [1, 2, 1]]


def test_whole_numbers_pass_for_floats_and_the_other_way_round() -> None:
    decoder = TelemetryDecoder(_definition("plain"))
    columns = decoder.decode(Payloads.of([b'{"t1":3,"n":3.0,"hot":false}']), _received(1))
    assert columns.inputs.tolist() == [[3.0, 3.0, 0.0]]
    assert not columns.refused


def test_a_field_that_was_not_sent_is_nan_where_the_last_value_holds() -> None:
    decoder = TelemetryDecoder(_definition("hold_last"))
    columns = decoder.decode(Payloads.of([b'{"n":3}', b'{"t1":null,"n":1,"hot":true}']), _received(2))
    assert np.isnan(columns.inputs).tolist() == [[True, False, True], [True, False, False]]
    assert not columns.refused


def test_the_hash_of_a_payload_tells_readings_of_one_time_apart() -> None:
    decoder = TelemetryDecoder(_definition("plain"))
    raws = [b'{"t1":%d,"n":1,"hot":true,"time":5}' % value for value in (1, 2, 1)]
    columns = decoder.decode(Payloads.of(raws), _received(3))
    first, second, again = columns.payload.tolist()
    assert first == again != second
    assert 0 not in {first, second}
    untimed = decoder.decode(Payloads.of([b'{"t1":1,"n":1,"hot":true}']), _received(1))
    assert untimed.payload.tolist() == [0]
