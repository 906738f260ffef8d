"""Inbound routes and patterns: what an address means, and what a broker is asked for."""

import re
from typing import Any

import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.amqp.settings import AmqpSettings
from connectors.inbound import AmqpInbound, InboundRoute, MqttInbound
from connectors.mqtt.settings import MqttSettings
from connectors.patterns import AMQP, MQTT, Dialect, Pattern
from connectors.routes import Echo, Refusal, Routes, Target
from schemas.headers import Kind
from schemas.reasons import Reason

TYPES = st.from_regex(r"([a-z][a-z0-9_]{0,8}-)?[a-z][a-z0-9_]{0,39}", fullmatch=True).filter(
    lambda name: not name.startswith("main-")
)
TWINS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,40}", fullmatch=True)
WORDS = st.text(st.characters(exclude_characters="/+#{}", exclude_categories=["Cs"]), max_size=6)
FILTERS = st.lists(st.one_of(WORDS, st.just("+")), min_size=1, max_size=5).flatmap(
    lambda words: st.sampled_from([words, [*words, "#"]])
)
TOPICS = st.lists(WORDS, min_size=1, max_size=6)


def reference(words: list[str], topic: list[str]) -> bool:
    """MQTT 3.1.1, section 4.7, as a regular expression."""
    rest = words[-1] == "#"
    fixed = words[:-1] if rest else words
    text = "".join("/" + ("[^/]*" if word == "+" else re.escape(word)) for word in fixed) + ("(/.*)?" if rest else "")
    return re.fullmatch(text, "".join("/" + word for word in topic), re.DOTALL) is not None


def mqtt(words: list[str]) -> Pattern:
    return Pattern(MQTT, tuple(words))


@given(FILTERS, TOPICS)
def test_pattern_matches_as_the_mqtt_standard_says(words: list[str], topic: list[str]) -> None:
    assert (mqtt(words).match("/".join(topic)) is not None) == reference(words, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_what_covers_matches_everything_that_the_other_matches(a: list[str], b: list[str], topic: list[str]) -> None:
    if reference(b, topic) and mqtt(a).covers(mqtt(b)):
        assert reference(a, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_patterns_that_do_not_overlap_never_match_the_same_topic(a: list[str], b: list[str], topic: list[str]) -> None:
    if not mqtt(a).overlaps(mqtt(b)):
        assert not (reference(a, topic) and reference(b, topic))


@given(FILTERS)
def test_pattern_covers_and_overlaps_itself(words: list[str]) -> None:
    assert mqtt(words).covers(mqtt(words))
    assert mqtt(words).overlaps(mqtt(words))


@pytest.mark.parametrize(
    ("key", "address", "matches"),
    [
        ("a.#.z", "a.z", True),
        ("a.#.z", "a.b.c.z", True),
        ("a.#.z", "a.b.c", False),
        ("#.{id}", "x.y", True),
        ("*.b", "a.b", True),
        ("*.b", "b", False),
        ("#", "", True),
    ],
)
def test_hash_stands_anywhere_in_a_binding_key(key: str, address: str, matches: bool) -> None:  # noqa: FBT001
    assert (Pattern.parse(key, AMQP, ["id"]).match(address) is not None) is matches


@pytest.mark.parametrize("text", ["", "a/{nope}/b", "a/x{id}/b", "a/{id}/{id}", "a/#/b", "a/b+/c", "a/{id"])
def test_faulty_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        Pattern.parse(text, MQTT, ["id"])


@pytest.mark.parametrize("dialect", [MQTT, AMQP])
@given(type_name=TYPES, twin=TWINS, name=NAMES)
def test_default_routes_take_every_sound_name(dialect: Dialect, type_name: str, twin: str, name: str) -> None:
    routes = Routes((), dialect, default_routes=True)
    exchange = "twinstream" if dialect is AMQP else ""

    def resolve(*words: str) -> object:
        return routes.resolve(dialect.separator.join(("twins", type_name, twin, *words)), exchange)

    assert resolve("telemetry") == Target(type_name, twin, Kind.TELEMETRY)
    assert resolve("requests", name) == Target(type_name, twin, Kind.REQUEST, name)
    assert resolve("acks", name) == Target(type_name, twin, Kind.ACK, name)
    assert resolve("commands", name) == Echo()
    assert resolve("events", name) == Echo()


@given(st.text(), st.text(), st.text())
def test_whatever_comes_is_a_sound_target_or_a_refusal(type_name: str, twin: str, name: str) -> None:
    assume("/" not in type_name + twin + name)
    found = Routes((), MQTT, default_routes=True).resolve(f"twins/{type_name}/{twin}/requests/{name}")
    if isinstance(found, Target):
        assert re.fullmatch(r"([a-z][a-z0-9_]*-)?[a-z][a-z0-9_]*", found.type)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", found.twin)
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", found.name)
    else:
        assert isinstance(found, Refusal)
        assert found.reason is Reason.INVALID_NAME


def test_refusal_keeps_the_part_of_the_name_that_is_sound() -> None:
    routes = Routes((), MQTT, default_routes=True)
    assert routes.resolve("twins/tank/a b/telemetry") == Refusal(
        Reason.INVALID_NAME,
        "twin id 'a b' must be of letters, digits, - and _, at most 64, beginning with a letter or digit",
        "tank",
        "",
    )
    found = routes.resolve("twins/Tank/a/telemetry")
    assert isinstance(found, Refusal)
    assert (found.type, found.twin) == ("", "a")


def test_configured_route_fixes_what_the_address_does_not_say() -> None:
    route = MqttInbound(topic="plant/{id}/temp", type="tank", format="value", field="level")
    routes = Routes([route], MQTT, default_routes=False)
    assert routes.resolve("plant/t-1/temp") == Target("tank", "t-1", Kind.TELEMETRY, "", "level")
    assert isinstance(routes.resolve("twins/tank/a/telemetry"), Refusal)


def test_first_matching_route_counts_and_default_ones_come_last() -> None:
    route = MqttInbound(topic="twins/{type}/{id}/telemetry", kind="ack", name="x")
    assert Routes([route], MQTT, default_routes=True).resolve("twins/a/b/telemetry") == Target("a", "b", Kind.ACK, "x")


def test_exchange_is_part_of_an_amqp_address() -> None:
    route = AmqpInbound(exchange="other", key="k", type="tank", id="a")
    routes = Routes([route], AMQP, default_routes=True)
    assert routes.resolve("k", "other") == Target("tank", "a", Kind.TELEMETRY)
    assert isinstance(routes.resolve("k", "twinstream"), Refusal)
    assert isinstance(routes.resolve("twins.tank.a.telemetry", "other"), Refusal)
    own = [("twinstream", "twins.#"), ("twinstream.devices", "twins.#")]
    assert routes.subscriptions() == [("other", "k"), *own]


def test_what_devices_with_rights_of_their_own_publish_comes_in_and_nothing_goes_out_there() -> None:
    routes = Routes([], AMQP, default_routes=True)
    assert routes.resolve("twins.tank.a.telemetry", "twinstream.devices") == Target("tank", "a", Kind.TELEMETRY)
    assert isinstance(routes.resolve("twins.tank.a.commands.x", "twinstream"), Echo)
    assert isinstance(routes.resolve("twins.tank.a.commands.x", "twinstream.devices"), Refusal)


def test_subscriptions_leave_out_what_another_covers() -> None:
    inbound = [
        MqttInbound(topic="twins/{type}/{id}/state"),
        MqttInbound(topic="plant/{id}/a", type="tank"),
        MqttInbound(topic="plant/#", type="tank", id="rest"),
    ]
    assert Routes(inbound, MQTT, default_routes=True).subscriptions() == [("", "plant/#"), ("", "twins/#")]
    assert Routes(inbound[:1], MQTT, default_routes=False).subscriptions() == [("", "twins/+/+/state")]


def test_bridges_with_types_of_their_own_ask_for_these_alone() -> None:
    inbound = [MqttInbound(topic="twins/tank/{id}/state", type="tank"), MqttInbound(topic="site/{id}", type="pump")]
    routes = Routes(inbound, MQTT, default_routes=True, types=["tank", "plant-mixer"])
    assert routes.subscriptions() == [("", "site/+"), ("", "twins/tank/#"), ("", "twins/plant-mixer/#")]
    # What a session still brings of others is taken in: nobody else may have it.
    assert routes.resolve("twins/pump/p-1/telemetry") == Target("pump", "p-1", Kind.TELEMETRY)
    own = [("twinstream", "twins.tank.#"), ("twinstream.devices", "twins.tank.#")]
    assert Routes((), AMQP, default_routes=True, types=["tank"]).subscriptions() == own


def test_what_an_earlier_configuration_asked_for_is_let_go() -> None:
    assert Routes((), MQTT, default_routes=True).left_behind() == []
    assert Routes((), MQTT, default_routes=True, types=["tank"]).left_behind() == [("", "twins/#")]
    everything = [("twinstream", "twins.#"), ("twinstream.devices", "twins.#")]
    assert Routes((), AMQP, default_routes=False).left_behind() == everything


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"types": ["Tank"]}, "small letters"),
        ({"types": ["tank", "tank"]}, "twice"),
        ({"types": ["tank"], "default_routes": False}, "means nothing without the default routes"),
        ({"types": ["tank"], "inbound": [{"topic": "twins/{type}/a/t", "id": "a"}]}, "overlap"),
    ],
)
def test_types_that_can_not_be_are_told(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        MqttSettings.model_validate(keys)


def test_known_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.routes._KNOWN_ADDRESSES", 3)
    routes = Routes((), MQTT, default_routes=True)
    for number in range(10):
        assert routes.resolve(f"twins/tank/{number}/telemetry") == Target("tank", str(number), Kind.TELEMETRY)
        assert len(routes._known) <= 3  # noqa: SLF001


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"topic": "a/b", "id": "x"}, "type is missing"),
        ({"topic": "a/b", "type": "t"}, "id is missing"),
        ({"topic": "a/{type}/{id}", "type": "t"}, "type is both fixed and a part"),
        ({"topic": "{type}/{id}", "kind": "request"}, "name is missing with kind request"),
        ({"topic": "{type}/{id}", "name": "n"}, "name means nothing with kind telemetry"),
        ({"topic": "{type}/{id}", "format": "value"}, "field is missing with format value"),
        ({"topic": "{type}/{id}", "field": "t1"}, "field means nothing with format auto"),
        ({"topic": "{id}", "type": "Bad"}, "type 'Bad' must be"),
        ({"topic": "{type}", "id": "a b"}, "twin id 'a b' must be"),
        ({"topic": "{type}/{id}", "kind": "tick"}, "Input should be 'telemetry'"),
        ({"topic": "{type}/{id}", "colour": "red"}, "Extra inputs"),
    ],
)
def test_faulty_route_is_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        MqttInbound.model_validate(keys)


def test_all_problems_of_the_settings_are_named_at_once() -> None:
    bad = {
        "url": "http://host",
        "protocol": 4,
        "receive_maximum": 0,
        "inbound": [{"topic": "a/b"}, {"topic": "a/+x", "type": "t", "id": "i"}],
        "outbound": [{"topic": "{value}", "payload": {"heater": "{valu}"}}],
    }
    with pytest.raises(pydantic.ValidationError) as caught:
        MqttSettings.model_validate(bad)
    places = {error["loc"] for error in caught.value.errors()}
    assert places == {
        ("url",),
        ("protocol",),
        ("receive_maximum",),
        ("inbound", 0),
        ("inbound", 1),
        ("outbound", 0),
    }
    outbound = next(error["msg"] for error in caught.value.errors() if error["loc"][0] == "outbound")
    assert "{value} is not among" in outbound
    assert "{valu} is no field" in outbound


def test_mqtt_topics_of_which_neither_covers_the_other_are_refused() -> None:
    topics = ["plant/{id}/a", "plant/x/+"]
    inbound = [{"topic": topic, "type": "tank"} | ({} if "{id}" in topic else {"id": "i"}) for topic in topics]
    with pytest.raises(pydantic.ValidationError, match="overlap"):
        MqttSettings.model_validate({"inbound": inbound})
    with pytest.raises(pydantic.ValidationError, match="overlap"):
        MqttSettings.model_validate({"inbound": [{"topic": "+/{type}/{id}/telemetry"}]})


def test_amqp_route_needs_a_described_exchange() -> None:
    route = {"exchange": "E", "key": "k", "type": "tank", "id": "a"}
    with pytest.raises(pydantic.ValidationError, match="'E' is not described under exchanges"):
        AmqpSettings.model_validate({"inbound": [route]})
    settings = AmqpSettings.model_validate({"inbound": [route], "exchanges": {"E": {"type": "fanout"}}})
    assert settings.declared()["E"].type == "fanout"
    assert settings.declared()["twinstream"].durable
    AmqpSettings.model_validate({"outbound": [{"exchange": "", "key": "some-queue"}]})
    with pytest.raises(pydantic.ValidationError, match="our own exchange"):
        AmqpSettings.model_validate({"exchanges": {"twinstream": {"durable": False}}})


def test_credentials_are_decoded_and_never_shown() -> None:
    settings = MqttSettings(url="mqtts://plant%20operator:p%40ss%2Fword%3A1@broker")
    endpoint = settings.endpoint()
    assert (endpoint.host, endpoint.port, endpoint.tls) == ("broker", 8883, True)
    assert (endpoint.username, endpoint.password) == ("plant operator", "p@ss/word:1")
    assert "p%40ss" not in repr(settings)
    assert "p@ss" not in repr(settings) + repr(endpoint) + str(endpoint)
    keys = AmqpSettings.model_validate({"url": "amqp://u:p@h/%2Fvhost", "username": "x", "password": "y"}).endpoint()
    assert (keys.username, keys.password, keys.path, keys.port) == ("x", "y", "/vhost", 5672)


@pytest.mark.parametrize("url", ["mqtt://", "mqtt://h:port", "mqtt://[::1", "host:1883", "ws://h"])
def test_url_that_names_no_broker_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        MqttSettings(url=f"{url}")
    assert "must start with mqtt:// or mqtts://" in str(caught.value)
    assert "input_value" not in str(caught.value)


def test_models_are_frozen_and_plain() -> None:
    route: InboundRoute = MqttInbound(topic="{type}/{id}")
    with pytest.raises(pydantic.ValidationError):
        route.type = "x"
    assert MqttInbound.model_validate(route.model_dump()) == route
