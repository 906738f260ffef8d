"""The compiled parser understands what devices send, and says of it what the careful decoder says."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.definition_file import read_definition
from twins import telemetry as telemetry_module
from twins.columns import Columns
from twins.flat_json import FlatJsonDecoder
from twins.payloads import Payloads
from twins.telemetry import TelemetryDecoder

DEFINITION = """\
name: probe
version: 1.0.0
inputs:
  t1: {type: float}
  n: {type: int}
  hot: {type: bool}
"""
GOOD = b'{"t1":21.25,"n":3,"hot":true,"time":1700000000000000001,"seq":7}'

parser = FlatJsonDecoder(read_definition(DEFINITION))


def _number_text(text: str) -> tuple[bool, float]:
    found = parser.decode(Payloads.of([GOOD, b'{"t1":%b,"n":3,"hot":true}' % text.encode(), GOOD]))
    assert found.understood[0]
    assert found.understood[2]
    assert found.inputs[2].tolist() == [21.25, 3.0, 1.0]
    return bool(found.understood[1]), float(found.inputs[1, 0])


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-200, 200) | st.integers(-(10**20), 10**20))
@settings(max_examples=500)
@example(9007199254740991.0)
@example(9007199254740993)
@example(0.1)
@example(5e-324)
@example(1.7976931348623157e308)
def test_numbers_are_rounded_as_python_rounds_them_or_left_alone(number: float) -> None:
    for text in (repr(number), f"{float(number):.3f}", f"{float(number):.17g}", f"{float(number):E}"):
        understood, value = _number_text(text)
        if understood:
            assert struct.pack("<d", value) == struct.pack("<d", float(text))


@pytest.mark.parametrize("text", ["0", "21", "21.5", "-0.001", "1e2", "1E+2", "1.25e-3", "36.687", "999999999999999"])
def test_ordinary_numbers_are_understood(text: str) -> None:
    assert _number_text(text) == (True, float(text))


@pytest.mark.parametrize(
    "text",
    ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "Infinity", "-0", "-0.0", "0x1", "1_0", "1 2", "true", '"1"'],
)
def test_what_may_be_no_number_is_left_alone(text: str) -> None:
    assert not _number_text(text)[0]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b'{"t1":1,"n":1,"hot":true',
        b'{"t1":1,"n":1,"hot":true}}',
        b'{"t1":1,"n":1,"hot":true},',
        b'{"t1":1,"n":1,"hot":true,}',
        b'{"t1":1,"n":1}',
        b'{"t1":1,"t1":1,"n":1,"hot":true}',
        b'{"t1":1,"n":1.0,"hot":true}',
        b'{"t1":1,"n":1,"hot":tru}',
        b'{"t1":1,"n":1,"hot":1}',
        b'{"t1":1,"n":1,"hot":true,"x":[1]}',
        b'{"t1":null,"n":1,"hot":true}',
        b'{"t\\u0031":1,"n":1,"hot":true}',
        b'{"t1":1,"n":1,"hot":true,"time":-1}',
        b'{"t1":1,"n":1,"hot":true,"time":9223372036854775808}',
        b'{"t1":1,"n":1,"hot":true,"seq":01}',
        b'{"t1":1,"n":1,"hot":true,"boot":"\\n"}',
        b'{"t1":1,"n":1,"hot":true,"boot":"\xc3\xa9"}',
        b'{"t1":1,"n":1,"hot":true,"boot":"x',
        b'{"t1":1,"n":1,"hot":tr',
    ],
)
def test_everything_else_is_left_alone_and_its_neighbours_are_not_touched(payload: bytes) -> None:
    found = parser.decode(Payloads.of([GOOD, payload, b'ue}"}', GOOD]))
    assert found.understood.tolist() == [True, False, False, True]
    assert found.inputs[3].tolist() == [21.25, 3.0, 1.0]
    assert found.time_ns[3] == 1700000000000000001
    assert found.seq[3] == 7


@given(
    st.fixed_dictionaries(
        {"t1": st.floats(-1e6, 1e6).map(lambda value: round(value, 4) or 0.5), "n": st.integers(0, 2**53 - 1)},
        optional={
            "time": st.integers(0, 9 * 10**18),
            "seq": st.integers(0, 2**62),
            "boot": st.text(
                st.characters(codec="ascii", exclude_characters='"\\', min_codepoint=32, max_codepoint=126)
            ),
        },
    ),
    st.booleans(),
    st.permutations(["t1", "n", "hot", "time", "seq", "boot"]),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")]),
)
@settings(max_examples=300)
def test_flat_objects_are_understood_in_any_order_and_spacing(
    fields: dict[str, object],
    hot: bool,  # noqa: FBT001 - Hypothesis gives it by position
    order: list[str],
    separators: tuple[str, str],
) -> None:
    fields = {"hot": hot, **fields}
    payload = json.dumps({name: fields[name] for name in order if name in fields}, separators=separators).encode()
    found = parser.decode(Payloads.of([b" %b\n" % payload]))
    assert found.understood.all()
    assert found.inputs[0].tolist() == [fields["t1"], float(str(fields["n"])), float(hot)]
    assert found.time_ns[0] == fields.get("time", -1)
    assert found.seq[0] == fields.get("seq", -1)
    assert (found.boots is not None) == ("boot" in fields)
    if found.boots is not None:
        start, end = (found.boots[0] - 1).tolist()  # a blank stands before the payload
        assert payload[start:end].decode() == fields["boot"]


def test_a_missing_field_is_nan_where_the_last_value_holds() -> None:
    holding = FlatJsonDecoder(read_definition(DEFINITION + "missing: hold_last\n"))
    found = holding.decode(Payloads.of([b'{"n":4}']))
    assert found.understood.all()
    assert math.isnan(found.inputs[0, 0])
    assert found.inputs[0, 1] == 4.0


def test_odd_payloads_in_a_plain_block_decode_as_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [
        b'{"t1":1,"n":1,"hot":true,"time":"2023-11-14T22:13:20Z"}',
        b'{"measurement":"m","time":5,"tags":{},"fields":{"t1":2,"n":2,"hot":false}}',
        b"probe t1=3,n=3i,hot=true 7",
        b'{"t1":-0.0,"n":1.0,"hot":true,"seq":3,"boot":"\\u00e9"}',
        b'{"t1":1,"n":1,"hot":true,"more":[1,2]}',
        b"nonsense",
        b'{"t1":1,"n":1,"hot":"yes"}',
        b'{"t1":4.5,"n":1,"hot":true}',
        b'{"t1":4.5,"n":1,"hot":true,"time":12}',
        b'{"t1":4.5,"n":1,"hot":true,"boot":"one","seq":1}',
    ]
    payloads = [payload for one in odd for payload in (GOOD, one, GOOD)]
    received = 1_700_000_000_000_000_000 + np.arange(len(payloads), dtype=np.int64)
    results = []
    for worth_it in (2, 1000):
        monkeypatch.setattr(telemetry_module, "_TOGETHER", 4)
        monkeypatch.setattr(telemetry_module, "_WORTH_IT", worth_it)
        results.append(TelemetryDecoder(read_definition(DEFINITION)).decode(Payloads.of(payloads), received))
    results.append(TelemetryDecoder(read_definition(DEFINITION))._one_by_one(list(payloads), received))  # noqa: SLF001
    *others, careful = results
    for mixed in others:
        _assert_same(mixed, careful, payloads)


def _assert_same(mixed: Columns, careful: Columns, payloads: list[bytes]) -> None:
    assert mixed.refused == careful.refused
    assert mixed.extra == careful.extra == 1
    kept = [index for index in range(len(payloads)) if index not in careful.refused]
    assert len(kept) == len(payloads) - 2
    for name in ("inputs", "time_ns", "seq", "boot", "payload"):
        assert getattr(mixed, name)[kept].tobytes() == getattr(careful, name)[kept].tobytes(), name


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "t", "t10", "fields", "measurement", "", "n n"]) | st.text("ab", max_size=6),
            st.sampled_from(["1", "-0", "0.1234567890123456789", "1e99", "1E-99", "true", "false", '"x"', '""'])
            | st.sampled_from(["01", "1.", "-", "1e", "1e999", "tru", '"\\u00e9"', "null", "[1]", "{}", "NaN", '"\t"'])
            | st.floats(allow_nan=False, allow_infinity=False).map(repr),
        ),
        max_size=3,
    ),
    st.integers(0, 3),
)
@settings(max_examples=500)
def test_undeclared_fields_are_passed_over_or_their_record_is_left_alone(
    others: list[tuple[str, str]], place: int
) -> None:
    pairs = ['"t1":21.5', '"n":3', '"hot":true']
    pairs[place:place] = [f'"{name}":{value}' for name, value in others]
    payload = f"{{{','.join(pairs)}}}".encode()
    found = parser.decode(Payloads.of([GOOD, payload, GOOD]))
    received = np.zeros(3, np.int64)
    alone = TelemetryDecoder(read_definition(DEFINITION)).decode(Payloads.of([payload]), received[:1])
    careful = _careful(payload)
    assert (alone.refused, alone.extra) == (careful.refused, careful.extra)
    if found.understood[1]:
        assert not careful.refused
        assert found.inputs[1].tolist() == [21.5, 3.0, 1.0]
        assert found.extra == careful.extra


def _careful(payload: bytes) -> Columns:
    decoder = TelemetryDecoder(read_definition(DEFINITION))
    return decoder._one_by_one([payload], np.zeros(1, np.int64))  # noqa: SLF001 - what the others must equal


def test_many_undeclared_fields_and_those_that_come_twice_are_left_to_the_careful_decoder() -> None:
    for others, understood in (([f'"x{n}":1' for n in range(16)], True), ([f'"x{n}":1' for n in range(17)], False)):
        found = parser.decode(Payloads.of([f'{{"t1":1,"n":3,"hot":true,{",".join(others)}}}'.encode()]))
        assert found.understood[0] == understood
        assert found.extra == (16 if understood else 0)
    assert not parser.decode(Payloads.of([b'{"t1":1,"x":1,"n":3,"x":2,"hot":true}'])).understood[0]


def test_where_undeclared_fields_are_refused_their_records_are_left_alone() -> None:
    strict = FlatJsonDecoder(read_definition(DEFINITION + "extra: deadletter\n"))
    assert strict.decode(Payloads.of([GOOD, b'{"t1":1,"n":3,"hot":true,"x":1}'])).understood.tolist() == [True, False]
