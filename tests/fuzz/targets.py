"""Every decoder of bytes that others wrote, as a function of bytes that raises for nothing but a fault of ours.

Each target swallows the errors that its decoder promises and checks what else must hold. The Hypothesis tests and
`scripts/fuzz` run the same ones.
"""

import asyncio
import contextlib
import functools
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiokafka.record.util import calc_crc32c
from support import stepping
from support.http_api import Api
from support.oracle import load_type

from connectors import dispatch
from connectors.inbound import MqttInbound
from connectors.intake import Intake
from connectors.lines import LineError, lines_of
from connectors.lines import parse_line as parse_stored_line
from connectors.outbound import outbound_routes
from connectors.patterns import AMQP, MQTT
from connectors.ports import Delivery
from connectors.projection import project
from connectors.routes import Routes
from infra.http.deadletters import DeadLetters
from infra.http.redriving import record_of, why_not
from infra.masking import Masker
from infra.printable import json_line, printable
from infra.settings_file import ConfigurationError, load
from schemas import bundle, line_protocol, nesting, telemetry
from schemas.definition import Definition
from schemas.definition_file import read_definition
from schemas.deployment import read_switch
from schemas.errors import DefinitionError, PayloadError
from schemas.expression import parse_condition
from schemas.headers import ID, KIND, NAME, REDRIVE
from schemas.messages import DeadLetter
from schemas.tick import read_tick
from streams import decompression, unpacking
from streams.batches import UnreadableBatchError, batches_of
from streams.changelog import Position
from streams.log.record import LogRecord
from twins.flat_json import FlatJsonDecoder
from twins.layout import RowLayout
from twins.payloads import Payloads
from twins.telemetry import TelemetryDecoder
from twins.twin_type import TwinType

Target = Callable[[bytes], None]

_PROBE = "name: probe\nversion: 1.0.0\ninputs: {a: {}, n: {type: int}, b: {type: bool}}\n"
_FLAT = b'{"a":1.5,"n":2,"b":true}'
_BATCH_HEADER_BYTES = 61
_CLEAN = b"\0"


@functools.cache
def _definition() -> Definition:
    return read_definition(_PROBE)


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="twinstream-fuzz-"))


@functools.cache
def _twin_type() -> TwinType:
    return load_type(stepping.probe_type(_folder()), "content", _folder() / "cache")


def telemetry_payload(data: bytes) -> None:
    """One payload, by the careful decoder."""
    with contextlib.suppress(PayloadError):
        telemetry.parse_telemetry(data)


@functools.cache
def _decoders() -> tuple[TelemetryDecoder, FlatJsonDecoder]:
    return TelemetryDecoder(_definition()), FlatJsonDecoder(_definition())


def telemetry_block(data: bytes) -> None:
    """Payloads of a block, parted by zero bytes: each means what it means alone, and what stands beside it does not."""
    decoder, _ = _decoders()
    payloads = [*data.split(_CLEAN)[:8], _FLAT]
    arrivals = np.full(len(payloads), stepping.START_NS, np.int64)
    together = decoder.decode(Payloads.of(payloads), arrivals)
    assert together.inputs[-1].tolist() == [1.5, 2.0, 1.0]
    for index, payload in enumerate(payloads):
        alone = decoder.decode(Payloads.of([payload]), arrivals[:1])
        assert (index in together.refused) == (0 in alone.refused)
        if 0 not in alone.refused:
            assert np.array_equal(together.inputs[index], alone.inputs[0], equal_nan=True)
            assert (together.time_ns[index], together.seq[index]) == (alone.time_ns[0], alone.seq[0])


def flat_json(data: bytes) -> None:
    """The compiled pass over flat JSON understands nothing otherwise than the careful decoder."""
    _, flat = _decoders()
    found = flat.decode(Payloads.of([data]))
    if found.understood[0]:
        reading = telemetry.parse_telemetry(data)
        assert found.inputs[0].tolist() == [float(reading.values[name]) for name in ("a", "n", "b")]
        assert int(found.seq[0]) == (-1 if reading.seq is None else reading.seq)
        start, end = (0, 0) if found.boots is None else found.boots[0].tolist()
        assert data[start:end].decode() == reading.boot


def json_nesting(data: bytes) -> None:
    """How deep JSON is nested."""
    if nesting.is_deep(data):
        assert nesting.may_be_deep(data)


def record_batches(data: bytes) -> None:
    """Fetched record batches: as they come, and with a checksum and a length that fit."""
    changed = bytearray(data.ljust(_BATCH_HEADER_BYTES, b"\0"))
    changed[16] = 2
    struct.pack_into(">i", changed, 8, len(changed) - 12)
    struct.pack_into(">I", changed, 17, calc_crc32c(memoryview(changed)[21:]))
    for raw in (data, bytes(changed)):
        for batch in batches_of(raw):
            with contextlib.suppress(UnreadableBatchError):
                batch.is_intact()
                block = batch.block(0)
                for index in range(min(len(block), 20)):
                    block.key(index), block.value(index), block.headers(index)


def records(data: bytes) -> None:
    """The records section of a batch."""
    array = np.frombuffer(data, np.uint8)
    for count in (1, 2, 5):
        found = unpacking.unpacked(array, (0, len(array)), count, (0, 1 << 40), 0)
        if found is not None:
            offsets, _, places = found
            assert (np.diff(offsets) > 0).all()
            assert (places[:, unpacking.VALUE_AT] + places[:, unpacking.VALUE_SIZE] <= len(array)).all()
            names = unpacking.HeaderNames("ts-kind", "x")
            unpacking.find_headers(array, places, names)
            for at, number in places[:, [unpacking.HEADERS_AT, unpacking.HEADERS]].tolist():
                unpacking.read_headers(array, at, number)


def compressed(data: bytes) -> None:
    """Each way of compression."""
    magics = (b"", b"\x1f\x8b\x08", b"\x82SNAPPY\0\0\0\0\1\0\0\0\1", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")
    ways = (decompression.gunzip, decompression.unsnappy, decompression.unlz4, decompression.unzstd)
    for magic in magics:
        for way in ways:
            with contextlib.suppress(ValueError):
                assert len(way(magic + data)) <= decompression.LIMIT_BYTES


_KINDS = ("telemetry", "request", "parameters", "ack", "tick", "switch", "\ufffd")
_NAMES = ("release", "reset", "bump", "setup", "")


def input_record(data: bytes) -> None:
    """A record of the input topic, whole: key, kind, name and value, stepped beside a good one, which goes on."""
    if not data:
        return
    kind, name, value = data[0] % len(_KINDS), data[0] // len(_KINDS) % len(_NAMES), data[1:]
    key: bytes | None = stepping.TWINS[0]
    if data[0] >= 200:
        key, _, value = value.partition(_CLEAN)
    headers = [(KIND, _KINDS[kind].encode()), (NAME, _NAMES[name].encode()), (ID, value[:40]), (REDRIVE, value[-3:])]
    steps = _steps()
    bad = LogRecord("input", 0, -1, 1, key, value, tuple(headers[: 2 + data[0] % 3]))
    good = stepping.reading(stepping.TWINS[1], 1.0, a=1.0)
    steps.step(bad, good)
    for _, letter in steps.run.outputs.pop("twinstream.deadletter", []):
        msgspec.json.decode(letter)
    steps.run.outputs.clear()


@functools.cache
def _steps() -> stepping.Stepping:
    return stepping.Stepping(_twin_type())


def small_records(data: bytes) -> None:
    """Ticks, switches and positions."""
    for read in (read_tick, read_switch):
        with contextlib.suppress(PayloadError, ValueError):
            read(data)
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msgspec.json.decode(data, type=Position)


def changelog_row(data: bytes) -> None:
    """A row of the changelog: right length, any content; and any length."""
    layout = RowLayout.of(_twin_type().definition)
    size = len(layout.new_row(b"").tobytes())
    for value in (data, layout.fingerprint + data, layout.fingerprint + data[:size].ljust(size, b"\0") + data[size:]):
        with contextlib.suppress(ValueError, msgspec.DecodeError, UnicodeDecodeError):
            layout.describe(value)


def packed_bundle(data: bytes) -> None:
    """A packed folder: as it comes, and as the content of an archive."""
    good = bundle.bundle_of({"twin.yaml": data[:2000]}).pack()
    at = len(data) % len(good)
    for packed in (data, good[:at] + data[:4] + good[at + 4 :]):
        with contextlib.suppress(ValueError):
            bundle.unpack(packed, "0" * 64)


def definition(data: bytes) -> None:
    """A twin type's definition."""
    with contextlib.suppress(DefinitionError):
        read_definition(data.decode(errors="replace"))
    with contextlib.suppress(DefinitionError):
        read_definition(_PROBE + data.decode(errors="replace"))


def expression(data: bytes) -> None:
    """A condition."""
    with contextlib.suppress(ValueError):
        parse_condition(data.decode(errors="replace"))


def lines(data: bytes) -> None:
    """Line protocol, as sinks and as the decoder of telemetry read it."""
    for raw, text in lines_of(data):
        assert b"\n" not in raw
        if text is not None:
            with contextlib.suppress(LineError):
                parse_stored_line(text)
    with contextlib.suppress(PayloadError):
        list(line_protocol.parse_lines(data.decode(errors="replace")))


def outputs(data: bytes) -> None:
    """Records of output topics, as bridges and sinks read them."""
    topics = (
        "twinstream.probe.commands",
        "twinstream.probe.events",
        "twinstream.probe.metadata",
        "twinstream.definitions",
    )
    found = [LogRecord(topic, 0, 0, 1, key, data, ()) for topic in topics for key in (b"a", b"type/a", data[:9])]
    project(found)
    dispatch.plan(found[:6], outbound_routes((), MQTT, default_routes=True))


def dead_letters(data: bytes) -> None:
    """Dead letters and notes about them, as the API reads them; and what would be sent again."""
    letters = DeadLetters()
    records_ = [
        LogRecord("twinstream.deadletter", 0, 0, 1, None, data, ((name, data[:32]),)) for name in ("x", "ts-letter")
    ]
    letters.apply(records_)
    letters.close()
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        letter = msgspec.json.decode(data, type=DeadLetter)
        if not why_not(letter, lambda _: True):
            record_of(letter, 8)


def settings_file(data: bytes) -> None:
    """A configuration file."""
    path = _folder() / "settings.yaml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigurationError):
        load(path)


def address(data: bytes) -> None:
    """Topics and routing keys, and what comes with them."""
    text = data.decode(errors="replace")
    inbound = [MqttInbound(topic="p/{id}/{field}", type="probe", format="value")]
    for routes, exchange in (
        (Routes(inbound, MQTT, default_routes=True), ""),
        (Routes([], AMQP, default_routes=True), "twinstream"),
    ):
        intake = Intake(routes, lambda _: True, lambda: "0" * 32)
        for topic in (text, f"twins/{text}", f"p/{text}", f"twins.{text}"):
            entry = intake.entry(Delivery(topic, exchange, f"x:{topic}", data, 1, 1))
            if entry is not None and not entry.reason:
                assert (entry.key or b"") in topic.encode()


def http_bodies(data: bytes) -> None:
    """Bodies, paths and queries of the API: no answer is a failure of ours."""
    asyncio.run(_asked(data))


async def _asked(data: bytes) -> None:
    api = Api()
    api.row("a")
    text = data[:200].decode("latin-1")
    async with api.client() as client:
        headers = {"content-type": "application/json"}
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/api/twins/box/a/requests/target", {"content": data}),
            ("PUT", "/api/twins/box/b", {"content": data}),
            ("POST", "/api/deadletters/redrive", {"content": data}),
            ("GET", "/api/deadletters", {"params": {"since": text, "cursor": text}}),
            ("GET", "/api/twins/box/a/series/mean", {"params": {"start": text, "limit": text}}),
        ]
        for method, path, options in asked:
            answer = await client.request(method, path, headers=headers, **options)
            assert answer.status_code != 500, (method, path, answer.text)


def shown_text(data: bytes) -> None:
    """What people see of any text."""
    text = data.decode(errors="surrogateescape")
    assert printable(Masker(["secret"]).text(text)).isprintable()
    assert json_line({text: text}).isprintable()


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        telemetry_payload,
        telemetry_block,
        flat_json,
        json_nesting,
        record_batches,
        records,
        compressed,
        input_record,
        small_records,
        changelog_row,
        packed_bundle,
        definition,
        expression,
        lines,
        outputs,
        dead_letters,
        settings_file,
        address,
        http_bodies,
        shown_text,
    )
}
"""By name."""

SEEDS: dict[str, list[bytes]] = {
    "record_batches": [b"}\xff\xff\xff\x80\x92" + bytes(9) + b"\xff\0"],
    "telemetry_payload": [
        _FLAT,
        b'{"measurement":"m","fields":{"a":1},"time":"2023-01-01T00:00:00Z"}',
        b"m,t=x a=1,b=t 7",
    ],
    "telemetry_block": [_FLAT, _FLAT + b"\0" + b'{"a":1,"n":2,"b":true,"zz":[1]}' + b"\0" + b"m a=1,n=2i,b=t 7"],
    "flat_json": [_FLAT, b'{ "b":false ,"a":-2.5e-3,"n":7,"time":12,"seq":3,"boot":"x"}'],
    "input_record": [
        bytes([n]) + value
        for n in range(0, 256, 5)
        for value in (b'{"a":1,"time":1700000000000000001}', b'{"id":"00"}', b'{"parameters":{},"tags":{"t":"x"}}')
    ],
    "small_records": [b'{"time_ns":5}', b'{"definition":"x","version":"1","who":"me"}', b'{"offset":1,"note":{}}'],
    "definition": [_PROBE.encode(), stepping.PROBE.encode()],
    "expression": [b"a > 1 and not (b < 2 or c == 'x')", b"a / b >= 0"],
    "lines": [b"m,twin=a,x=b\\ c f=1.5,g=2 7\n", b'm f="a b\\"c" 7\n'],
    "settings_file": [b"mqtt: {url: 'mqtt://a:b@c', inbound: [{topic: 'a/{id}', type: t}]}\nhttp: {port: 1}\n"],
    "address": [b"probe/a/telemetry", b"probe/a/requests/x", b"a/field"],
    "http_bodies": [b'{"celsius":5,"why":"plan"}', b'{"parameters":{"noise":0.2},"tags":{}}', b'{"type":"box"}'],
}
"""Where mutations begin."""
