"""Outbound routes: where a command or an event goes, and as what."""

from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.bridge_out import outcome, plan
from connectors.outbound import AmqpOutbound, MqttOutbound, outbound_routes
from connectors.patterns import AMQP, MQTT
from schemas.messages import Cause, Command, Event, Value, encode
from streams.log.record import LogRecord

CAUSE = Cause(partition=1, offset=2, definition="d", parameters=3)
EVENT = Event(
    id="e",
    type="tank",
    twin="t-1",
    name="overflow",
    severity="warning",
    event_time_ns=9,
    cause=CAUSE,
    data={"level": 1.5},
)


def command(value: Any = True, name: str = "heater", expires_ns: int = 100) -> Command:  # noqa: FBT002
    return Command(
        id="c", type="tank", twin="t-1", name=name, value=value, issued_ns=5, expires_ns=expires_ns, cause=CAUSE
    )


def record(message: Command | Event) -> LogRecord:
    topic = "twinstream.tank.commands" if isinstance(message, Command) else "twinstream.tank.events"
    return LogRecord(topic, 0, 0, 0, b"t-1", encode(message), ())


@pytest.mark.parametrize(
    ("template", "value", "payload"),
    [
        ({"heater": "{value}"}, True, b'{"heater":true}'),
        ({"heater": "{value}"}, "on", b'{"heater":"on"}'),
        ({"set": {"to": "{value}", "by": "twin {twin}"}}, 21.5, b'{"set":{"to":21.5,"by":"twin t-1"}}'),
        (["{name}", 7, None], 1, b'["heater",7,null]'),
        ("{value}", False, b"false"),
        ("{value}", "text", b"text"),
        ("{name} = {value}", 3, b"heater = 3"),
        ("ON", 1, b"ON"),
        (7, 1, b"7"),
        ({"due": "{expires_ns}"}, 1, b'{"due":100}'),
    ],
)
def test_template_keeps_json_types(template: Any, value: Any, payload: bytes) -> None:
    route = MqttOutbound(topic="a", payload=template)
    assert route.render(command(value)).payload == payload


@given(
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text())
)
def test_value_survives_the_template(value: Value) -> None:
    rendered = MqttOutbound(topic="a", payload={"v": "{value}"}).render(command(value))
    assert msgspec.json.decode(rendered.payload) == {"v": value}


def test_without_a_template_the_object_itself_is_sent() -> None:
    rendered = AmqpOutbound(key="x.{type}.{id}.{name}").render(command())
    assert (rendered.exchange, rendered.address, rendered.payload) == (
        "twinstream",
        "x.tank.t-1.heater",
        encode(command()),
    )


@pytest.mark.parametrize(
    ("dialect", "addresses"),
    [
        (MQTT, ["twins/tank/t-1/commands/heater", "twins/tank/t-1/events/overflow"]),
        (AMQP, ["twins.tank.t-1.commands.heater", "twins.tank.t-1.events.overflow"]),
    ],
)
def test_default_routes_send_everything_below_twins(dialect: Any, addresses: list[str]) -> None:
    made = plan([record(command()), record(EVENT)], outbound_routes((), dialect, default_routes=True), 0)
    assert [outgoing.address for outgoing, _ in made.outgoing] == addresses


def test_message_leaves_by_every_route_that_takes_it() -> None:
    routes = outbound_routes(
        [MqttOutbound(topic="h", name="heater"), MqttOutbound(topic="other", id="t-2")], MQTT, default_routes=True
    )
    made = plan([record(command()), record(command(name="fan"))], routes, 0)
    assert [outgoing.address for outgoing, _ in made.outgoing] == [
        "h",
        "twins/tank/t-1/commands/heater",
        "twins/tank/t-1/commands/fan",
    ]


def test_expired_command_is_set_apart_unless_no_route_takes_it() -> None:
    late = record(command(expires_ns=99))
    assert plan([late], [MqttOutbound(topic="h")], 100).expired == [command(expires_ns=99)]
    made = plan([late, record(command(expires_ns=100))], [MqttOutbound(topic="h", id="else")], 100)
    assert (made.expired, made.outgoing) == ([], [])


def test_command_may_be_thrown_away_by_the_broker_when_it_expires() -> None:
    made = plan([record(command(expires_ns=3_500_000_000))], [MqttOutbound(topic="h")], 1_000_000_000)
    assert made.outgoing[0][0].expires_in_s == 2.5
    made = plan([record(EVENT)], [MqttOutbound(topic="h", kind="event")], 1_000_000_000)
    assert made.outgoing[0][0].expires_in_s is None


def test_events_about_deliveries_stay_inside() -> None:
    routes = outbound_routes((), MQTT, default_routes=True)
    kept = [record(outcome(command(), name)) for name in ("command_sent", "command_expired")]
    kept.append(record(msgspec.structs.replace(EVENT, name="command_acknowledged")))
    assert [outgoing.address for outgoing, _ in plan(kept, routes, 0).outgoing] == [
        "twins/tank/t-1/events/command_expired"
    ]


def test_outcome_has_the_same_id_after_every_repeat() -> None:
    assert outcome(command(), "command_sent") == outcome(command(), "command_sent")
    assert outcome(command(), "command_sent").id != outcome(command(), "command_expired").id
    assert outcome(command(), "command_sent").cause == CAUSE


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"topic": ""}, "must not be empty"),
        ({"topic": "a/+/b"}, "publish to a wildcard"),
        ({"topic": "a/{twin}"}, r"\{twin\} is not among"),
        ({"topic": "a", "payload": {"x": ["{vlaue}"]}}, r"\{vlaue\} is no field of a command"),
        ({"topic": "a", "kind": "event", "payload": "{value}"}, r"\{value\} is no field of a event"),
        ({"topic": "a", "type": "Bad"}, "type 'Bad' must be"),
        ({"topic": "a", "name": "1"}, "must be"),
    ],
)
def test_faulty_outbound_route_is_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        MqttOutbound.model_validate(keys)
