"""The bridges: a broker into Kafka and back."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from connectors.amqp.connector import connector as amqp_connector
from connectors.bridge_in import InboundBridge
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge, group_of
from connectors.connector import Connector
from connectors.mqtt.connector import connector as mqtt_connector
from connectors.outage_budget import OutageBudget
from connectors.ports import Receipt
from connectors.reconnect import Reachability, first_failure
from infra.embedded.ports import is_loopback
from infra.masking import without_credentials
from infra.membership import Membership
from infra.roles.role import Body, Role
from infra.settings import Settings
from schemas.clock import AnchoredClock, Clock
from schemas.errors import SetupError
from schemas.topics import DEFINITIONS
from streams.log.beginning import begin_at
from streams.log.group import GroupReader
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

if TYPE_CHECKING:
    from connectors.broker_settings import BrokerSettings

log = structlog.get_logger(__name__)

CONNECTORS: dict[str, Callable[[Any, Clock], Connector]] = {
    "mqtt": mqtt_connector,
    "amqp": amqp_connector,
}
"""Brokers by the name of their section in the settings. A new one is a line here and one in `Settings`."""


def body(broker: str, settings: Settings) -> Body:
    """The bridge of a broker.

    Raises:
        SetupError: there is no such broker, or its section names no address.
    """
    if broker not in CONNECTORS:
        raise SetupError(f"no broker {broker}: there are {', '.join(CONNECTORS)}")
    section: BrokerSettings = getattr(settings, broker)
    if section.url is None and broker == "mqtt":
        section = section.with_url(f"mqtt://127.0.0.1:{settings.embedded.mqtt_port}")
    if section.url is None:
        variable = f"TWINSTREAM_{broker.upper()}__URL"
        raise SetupError(f"the {broker.upper()} bridge is off: set {broker}.url in the configuration or {variable}")
    endpoint = section.endpoint()
    if not endpoint.username and not is_loopback(endpoint.host):
        # A broker with a guest account of its own is no better.
        log.warning(
            "the bridge has no account at this broker: if devices need none either, each can speak for every twin",
            broker=broker,
            host=endpoint.host,
            see="docs/security.md",
        )
    # Arrivals and times to live must not jump with the host's clock.
    clock = AnchoredClock()
    connector = CONNECTORS[broker](section, clock)
    return partial(_bridge, connector, clock, without_credentials(section.url), section.group or group_of(broker))


async def _bridge(connector: Connector, clock: Clock, url: str, group: str, role: Role) -> None:
    role.presence.change(url=url, detail=f"waiting for Kafka at {role.kafka.bootstrap_servers}")
    await role.shared_topics()
    await _begin(connector.name, group, role)
    with Membership(role.settings.data_dir, role.name) as membership:
        await _both_ways(connector, clock, url, group, role, membership)


async def _begin(broker: str, group: str, role: Role) -> None:
    """Leave what was written before this process started alone, if the bridge of this broker runs for the first time.

    Others delivered those commands. It is done before the first message is taken from the broker, so that no command
    that follows from one is missed.
    """
    started_ns = role.presence.entry.started_ns
    if await begin_at(
        role.kafka, group=group, pattern=OUTPUT_PATTERN, mark=DEFINITIONS, time_ms=started_ns // 1_000_000
    ):
        log.info("first start: sends only what is written from now on", broker=broker, group=group)


async def _both_ways(
    connector: Connector, clock: Clock, url: str, group: str, role: Role, membership: Membership
) -> None:
    readers: list[GroupReader] = []

    def reader() -> GroupReader:
        readers[:] = [GroupReader(role.kafka, group=group, pattern=OUTPUT_PATTERN, member=membership.name)]
        return readers[0]

    role.watch_lag(lambda: sum(open_reader.lag() for open_reader in readers))
    writer = partial(LogWriter, role.kafka)
    reachability = Reachability(connector.name, clock)
    budget = OutageBudget(connector.name, getattr(role.settings, connector.name), clock)
    observer = PrometheusBridgeObserver(role.metrics, connector.name, lambda: role.ready(detail=""), budget)
    async with Catalogue(role.kafka) as catalogue:
        await catalogue.ready()
        role.presence.change(detail=f"waiting for the broker at {url}")
        inbound = InboundBridge(
            connector=connector,
            writer=writer,
            known_type=lambda name: catalogue.get(name) is not None,
            clock=clock,
            observer=observer,
            reachability=reachability,
            tracer=role.tracer,
        )
        outbound = OutboundBridge(
            connector=connector,
            reader=reader,
            writer=writer,
            clock=clock,
            observer=observer,
            reachability=reachability,
            tracer=role.tracer,
        )
        await first_failure(inbound.run(), outbound.run(), budget.run())


class PrometheusBridgeObserver:
    """Counts what a bridge does.

    Args:
        registry: Where the figures go.
        broker: Their label `broker`.
        connected_both: Called when both directions are connected.
        budget: Is told what comes.
    """

    def __init__(
        self, registry: CollectorRegistry, broker: str, connected_both: Callable[[], None], budget: OutageBudget
    ) -> None:
        self._budget = budget
        self._broker = broker
        self._connected_both = connected_both
        self._up: set[str] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"twinstream_bridge_{name}", text, ["broker", *labels], registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"twinstream_bridge_{name}", text, ["broker", *labels], registry=registry)

        self._connection = gauge("connected", "Whether the connection is up: 1 or 0.", "direction")
        for direction in ("in", "out"):
            self._connection.labels(broker, direction)
        self._received = counter("received_messages", "Messages that the broker delivered.").labels(broker)
        self._bytes = counter("received_bytes", "Bytes of their payloads.").labels(broker)
        self._written = counter("written_records", "Records written to input topics.", "type", "kind")
        self._letters = counter("deadletters", "Dead letters written by this bridge.", "type", "reason")
        self._echoed = counter("echoed_messages", "Own commands and events that came back.").labels(broker)
        self._in_flight = gauge("in_flight", "Deliveries that wait for Kafka.").labels(broker)
        self._published = counter("published_messages", "Messages that the broker confirmed.", "kind")
        for kind in ("command", "event"):
            self._published.labels(broker, kind)
        self._expired = counter("expired_commands", "Commands that outlived their time to live.").labels(broker)
        survived = gauge("outage_survived_seconds", "Absence that the broker's queue carries, NaN when not known.")
        survived.labels(broker).set_function(lambda: budget.survived_s() or float("nan"))
        self._undelivered = counter("undelivered_messages", "Messages that reached nobody.", "receipt")
        for receipt in (Receipt.UNROUTABLE, Receipt.REFUSED):
            self._undelivered.labels(broker, receipt)

    def connected(self, direction: str, *, up: bool) -> None:
        """The connection of `direction`, `in` or `out`, came up or went away."""
        self._connection.labels(self._broker, direction).set(int(up))
        (self._up.add if up else self._up.discard)(direction)
        if self._up == {"in", "out"}:
            self._connected_both()

    def received(self, messages: int, payload_bytes: int) -> None:
        """The broker delivered this much."""
        self._received.inc(messages)
        self._budget.received(messages)
        self._bytes.inc(payload_bytes)

    def written(self, type_name: str, kind: str, records: int) -> None:
        """So many records are durable in the input topic of the type."""
        self._written.labels(self._broker, type_name, kind).inc(records)

    def dead_lettered(self, type_name: str, reason: str, letters: int) -> None:
        """So many dead letters are durable."""
        self._letters.labels(self._broker, type_name, reason).inc(letters)

    def echoed(self, messages: int) -> None:
        """So many messages were our own."""
        self._echoed.inc(messages)

    def in_flight(self, messages: int) -> None:
        """So many deliveries wait for Kafka now."""
        self._in_flight.set(messages)

    def published(self, kind: str, messages: int) -> None:
        """The broker confirmed so many messages."""
        self._published.labels(self._broker, kind).inc(messages)

    def expired(self, commands: int) -> None:
        """So many commands were not sent."""
        self._expired.inc(commands)

    def undelivered(self, receipt: str, messages: int) -> None:
        """So many messages reached nobody."""
        self._undelivered.labels(self._broker, receipt).inc(messages)
