"""What becomes of a delivery."""

import base64
import gzip

import msgspec
import pytest

from connectors.inbound import MqttInbound
from connectors.intake import Intake
from connectors.patterns import MQTT
from connectors.ports import Delivery
from connectors.routes import Routes
from schemas.headers import UNKNOWN
from schemas.messages import DeadLetter
from schemas.reasons import Reason

ROUTES = Routes(
    [
        MqttInbound(topic="plant/{id}/{field}", type="tank", format="value"),
        MqttInbound(topic="saver/{id}", type="tank", kind="request", name="saver", format="value", field="enabled"),
    ],
    MQTT,
    default_routes=True,
)


def delivery(topic: str, payload: bytes) -> Delivery:
    return Delivery(topic, "", f"mqtt:{topic}", payload, 123, 1)


def intake() -> Intake:
    return Intake(ROUTES, lambda name: name == "tank", lambda: "new-id")


@pytest.mark.parametrize(
    ("topic", "payload", "value"),
    [
        ("plant/t-1/level", b" 21.50 ", b'{"level":21.50}'),
        ("plant/t-1/level", b'{"any": 12345678901234567890}', b'{"level":12345678901234567890}'),
        ("plant/t-1/open", b"true", b'{"open":true}'),
        ("saver/t-1", b'{"energysaver": false}', b'{"enabled":false}'),
        ("twins/tank/t-1/requests/reset", b"", b"{}"),
        ("twins/tank/t-1/requests/reset", b" ", b"{}"),
        ("twins/tank/t-1/telemetry", b"", b""),
        ("twins/tank/t-1/telemetry", b"\xff", b"\xff"),
    ],
)
def test_value_of_the_record(topic: str, payload: bytes, value: bytes) -> None:
    entry = intake().entry(delivery(topic, payload))
    assert entry is not None
    assert (entry.topic, entry.key, entry.value, entry.reason) == ("twinstream.tank.telemetry", b"t-1", value, "")


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("plant/t-1/level", b"warm", Reason.UNDECODABLE),
        ("plant/t-1/level", b'1, "x": 2', Reason.UNDECODABLE),
        ("plant/t-1/level", b"\xff", Reason.UNDECODABLE),
        ("plant/t-1/level", b"", Reason.UNDECODABLE),
        ("plant/t-1/level", b"[" * 100_000, Reason.UNDECODABLE),
        ("plant/t-1/level", b"[1]", Reason.NOT_FLAT),
        ("plant/t-1/level", b'{"a": 1, "b": 2}', Reason.NOT_FLAT),
        ("plant/t-1/le-vel", b"1", Reason.INVALID_NAME),
        ("plant/t-1/", b"1", Reason.INVALID_NAME),
        ("twins/tank/t-1/telemetry", b"x" * (2**20 + 1), Reason.TOO_LARGE),
        ("twins/pump/p-1/telemetry", b"1", Reason.UNKNOWN_TYPE),
        ("elsewhere", b"1", Reason.INVALID_NAME),
    ],
)
def test_reason_of_the_dead_letter(topic: str, payload: bytes, reason: Reason) -> None:
    entry = intake().entry(delivery(topic, payload))
    assert entry is not None
    letter = msgspec.json.decode(entry.value, type=DeadLetter)
    assert (entry.topic, letter.reason, letter.source) == ("twinstream.deadletter", reason, f"mqtt:{topic}")
    assert letter.received_ns == 123
    assert payload.startswith(base64.b64decode(letter.raw_base64))
    assert letter.size == len(payload)


def test_label_of_a_type_that_is_not_deployed_is_empty() -> None:
    entry = intake().entry(delivery("twins/pump/p-1/telemetry", b""))
    assert entry is not None
    assert entry.type == ""
    assert entry.key == b"p-1"


def test_own_output_becomes_nothing() -> None:
    assert intake().entry(delivery("twins/tank/t-1/commands/heater", b"")) is None


def test_what_the_topic_of_one_type_can_not_take_is_a_dead_letter_when_it_comes_again() -> None:
    deciding = Intake(ROUTES, lambda _: True, lambda: "new-id")

    def reason(topic: str, size: int) -> str:
        entry = deciding.entry(delivery(topic, b"x" * size))
        assert entry is not None
        return entry.reason

    tank, pump = "twins/tank/t-1/telemetry", "twins/pump/p-1/telemetry"
    assert reason(tank, 1_048_500) == ""
    deciding.too_large("tank", 1_048_500)
    assert reason(tank, 1_048_500) == Reason.TOO_LARGE
    assert (reason(tank, 1_048_499), reason(pump, 2**20)) == ("", "")


def test_a_packed_payload_is_unpacked_before_anything_is_said_of_it() -> None:
    packed = msgspec.structs.replace(delivery("twins/tank/t-1/telemetry", gzip.compress(b'{"a": 1}')), encoding="gzip")
    unknown = Intake(ROUTES, lambda _: False, lambda: "new-id").entry(packed)
    assert unknown is not None
    assert msgspec.json.decode(unknown.value, type=DeadLetter).raw_base64 == base64.b64encode(b'{"a": 1}').decode()
    known = Intake(ROUTES, lambda _: True, lambda: "new-id").entry(packed)
    assert known is not None
    assert (known.value, known.size) == (b'{"a": 1}', 8)


def test_a_letter_says_what_its_delivery_was_meant_to_be() -> None:
    found = Intake(ROUTES, lambda _: False, lambda: "new-id").entry(delivery("saver/t-1", b"true"))
    assert found is not None
    letter = msgspec.json.decode(found.value, type=DeadLetter)
    assert (letter.headers, letter.field) == ({"ts-kind": "request", "ts-name": "saver"}, "enabled")
    assert (letter.type, letter.twin) == ("tank", "t-1")


@pytest.mark.parametrize(
    ("topic", "payload", "key", "value"),
    [
        ("plant/t-1/level", b"warm", b"t-1", b"null"),
        ("plant/t-1/le-vel", b"1", b"t-1", b"null"),
        (
            "twins/tank/t-1/telemetry",
            b'{"seq": 7, "boot": "x", "a": "%b"}' % (b"x" * 2**20),
            b"t-1",
            b'{"reason":"too_large","seq":7,"boot":"x"}',
        ),
        ("twins/tank/t-1/telemetry", b'{"a": "%b"}' % (b"x" * 2**20), b"t-1", b'{"reason":"too_large"}'),
        ("twins/tank/t!1/telemetry", b'{"seq": 7}', None, b'{"reason":"invalid_name","seq":7,"boot":""}'),
    ],
)
def test_telemetry_of_a_deployed_type_that_is_refused_is_noted_in_its_input(
    topic: str, payload: bytes, key: bytes | None, value: bytes
) -> None:
    entry = intake().entry(delivery(topic, payload))
    assert entry is not None
    assert entry.note is not None
    assert (entry.note.topic, entry.note.key, entry.note.value) == ("twinstream.tank.telemetry", key, value)
    assert dict(entry.note.headers) == {
        "ts-received": b"123",
        "ts-source": f"mqtt:{topic}".encode(),
        "ts-kind": b"refused",
    }
    assert entry.headers == []


@pytest.mark.parametrize(
    ("topic", "unknown"),
    [
        ("twins/pump/p-1/telemetry", True),
        ("elsewhere", True),
        ("twins/pump/p-1/requests/reset", False),
        ("twins/tank/t-1/acks/1st", False),
        ("saver/t-1", False),
    ],
)
def test_what_no_input_has_a_note_of_says_so_in_its_letter(topic: str, unknown: bool) -> None:  # noqa: FBT001
    entry = intake().entry(delivery(topic, b"?"))
    assert entry is not None
    assert entry.note is None
    assert dict(entry.headers) == ({UNKNOWN: b"1"} if unknown else {})
