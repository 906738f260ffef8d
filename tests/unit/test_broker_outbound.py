"""Outbound routes: where a command or an event goes, and as what."""

from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dispatch import Plan, groups, outcome, outcomes, outgoing, plan
from connectors.outbound import AmqpOutbound, MqttOutbound, outbound_routes
from connectors.patterns import AMQP, MQTT
from connectors.ports import Receipt
from schemas.headers import STATUS
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


def addresses_of(made: Plan) -> list[str]:
    return [one.address for one in outgoing(made.dispatches, 0) if one is not None]


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
    made = plan([record(command()), record(EVENT)], outbound_routes((), dialect, default_routes=True))
    assert addresses_of(made) == addresses


def test_message_leaves_by_every_route_that_takes_it() -> None:
    routes = outbound_routes(
        [MqttOutbound(topic="h", name="heater"), MqttOutbound(topic="other", id="t-2")], MQTT, default_routes=True
    )
    made = plan([record(command()), record(command(name="fan"))], routes)
    assert addresses_of(made) == [
        "h",
        "twins/tank/t-1/commands/heater",
        "twins/tank/t-1/commands/fan",
    ]


def test_expired_command_does_not_leave_and_is_told_unless_no_route_takes_it() -> None:
    late, in_time = record(command(expires_ns=99)), record(command(expires_ns=100))
    dispatches = plan([late, in_time], [MqttOutbound(topic="h")]).dispatches
    first, second = outgoing(dispatches, 100)
    assert (first, second is None) == (None, False)
    told = outcomes(dispatches, [None, Receipt.TAKEN], "mqtt", 9)
    assert [one.name for one in told] == ["command_expired", "command_sent"]
    assert plan([late, in_time], [MqttOutbound(topic="h", id="else")]).dispatches == []


def test_a_command_that_its_limits_refused_never_leaves_told_by_header_or_by_itself() -> None:
    refused = msgspec.structs.replace(command(), status="refused", reason="range: outside the declared range [0, 1]")
    by_header = record(command())._replace(headers=((STATUS, b"refused"),))
    garbled = by_header._replace(value=b"{")
    made = plan([record(refused), by_header, garbled], [MqttOutbound(topic="h"), MqttOutbound(topic="e", kind="event")])
    assert (made.dispatches, made.unusable) == ([], [])


def test_what_brokers_get_of_a_command_has_neither_status_nor_reason() -> None:
    (dispatch,) = plan([record(command())], [MqttOutbound(topic="h")]).dispatches
    sent = msgspec.json.decode(dispatch.rendered[0].payload)
    assert list(sent) == ["id", "type", "twin", "name", "value", "issued_ns", "expires_ns", "cause"]
    with pytest.raises(ValueError, match="status"):
        MqttOutbound(topic="h", payload="{status}")


def test_messages_of_two_routes_with_one_address_are_told_apart() -> None:
    routes = [MqttOutbound(topic="h"), MqttOutbound(topic="h", payload="ON"), MqttOutbound(topic="h", name="fan")]
    (dispatch,) = plan([record(command())], routes).dispatches
    assert len(set(dispatch.targets())) == 2
    assert [one.targets() for one in dispatch.apart()] == [[target] for target in dispatch.targets()]


def test_command_may_be_thrown_away_by_the_broker_when_it_expires() -> None:
    made = plan([record(command(expires_ns=3_500_000_000))], [MqttOutbound(topic="h")])
    (one,) = outgoing(made.dispatches, 1_000_000_000)
    assert one is not None
    assert one.expires_in_s == 2.5
    made = plan([record(EVENT)], [MqttOutbound(topic="h", kind="event")])
    (one,) = outgoing(made.dispatches, 1_000_000_000)
    assert one is not None
    assert one.expires_in_s is None


def test_groups_are_no_larger_than_the_window_and_keep_the_routes_of_a_message_together() -> None:
    routes = [MqttOutbound(topic="a"), MqttOutbound(topic="b", name="fan")]
    records = [record(command(name=name)) for name in ("heater", "fan", "heater", "heater", "fan")]
    dispatches = plan(records, routes).dispatches
    cut = {window: [len(outgoing(group, 0)) for group in groups(dispatches, window)] for window in (1, 2, 3, 100)}
    assert cut == {1: [1, 2, 1, 1, 2], 2: [1, 2, 2, 2], 3: [3, 2, 2], 100: [7]}
    assert all([one for group in groups(dispatches, window) for one in group] == dispatches for window in cut)


def test_a_command_is_refused_only_when_every_route_was_refused() -> None:
    made = plan([record(command()), record(EVENT)], [MqttOutbound(topic="a"), MqttOutbound(topic="b", kind="event")])
    twice = plan([record(command())], [MqttOutbound(topic="a"), MqttOutbound(topic="b")])
    taken, refused = Receipt.TAKEN, Receipt.REFUSED
    assert [one.name for one in outcomes(made.dispatches, [taken, refused], "mqtt", 9)] == ["command_sent"]
    at_one = outcomes(twice.dispatches, [refused, Receipt.UNROUTABLE], "mqtt", 9)
    assert [one.name for one in at_one] == ["command_sent"]
    for rest in (taken, refused):
        (event,) = outcomes(twice.dispatches, [None, rest], "mqtt", 9)
        assert event.name == ("command_sent" if rest is taken else "command_expired")
    (event,) = outcomes(twice.dispatches, [refused, refused], "mqtt", 9)
    assert (event.name, event.severity, event.data["id"]) == ("command_refused", "warning", "c")


_BAD = {
    b"{": "undecodable",
    b"\xff": "undecodable",
    b"[" * 100_000: "undecodable",
    encode(EVENT).replace(b'{"level":1.5}', b'{"a":' * 100_000 + b"1" + b"}" * 100_000): "undecodable",
    encode(EVENT).replace(b'"overflow"', b'"#"'): "invalid_name",
    encode(EVENT).replace(b'"overflow"', b'"a/+/b"'): "invalid_name",
    encode(EVENT).replace(b'"t-1"', b'"+"'): "invalid_name",
    encode(EVENT).replace(b'"tank"', b'"Tank"'): "invalid_name",
    encode(EVENT).replace(b'"tank"', b'"incubator"'): "invalid_name",
    encode(EVENT).replace(b'"e"', b'"%s"' % (b"e" * 1000)): "invalid_name",
}


@pytest.mark.parametrize(("value", "reason"), _BAD.items(), ids=range(len(_BAD)))
def test_a_record_that_can_never_leave_is_set_apart_alone(value: bytes, reason: str) -> None:
    bad = record(EVENT)._replace(value=value, offset=7)
    made = plan([record(EVENT), bad, record(EVENT)], outbound_routes((), MQTT, default_routes=True))
    assert [one.message for one in made.dispatches] == [EVENT, EVENT]
    ((found, why, detail),) = made.unusable
    assert (found, why, bool(detail)) == (bad, reason, True)


def test_events_about_deliveries_stay_inside() -> None:
    routes = outbound_routes((), MQTT, default_routes=True)
    kept = [record(outcome(command(), name, "mqtt", 9)) for name in ("command_sent", "command_expired")]
    kept.append(record(msgspec.structs.replace(EVENT, name="command_acknowledged")))
    assert addresses_of(plan(kept, routes)) == ["twins/tank/t-1/events/command_expired"]


def test_outcome_has_the_same_id_after_every_repeat_and_another_at_every_broker() -> None:
    sent = outcome(command(), "command_sent", "mqtt", 9)
    assert sent.id == outcome(command(), "command_sent", "mqtt", 10).id
    assert sent.id != outcome(command(), "command_expired", "mqtt", 9).id
    assert sent.id != outcome(command(), "command_sent", "amqp", 9).id
    assert (sent.cause, sent.event_time_ns) == (CAUSE, 5)
    assert sent.data == {"id": "c", "name": "heater", "broker": "mqtt", "at_ns": 9}


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
