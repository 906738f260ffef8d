"""Kafka topics: their names, and how each is kept."""

from dataclasses import dataclass

DEFINITIONS = "twinstream.definitions"
DEADLETTER = "twinstream.deadletter"
LOGS = "twinstream.logs"
ACCOUNT = "twinstream.account"
TOKENS = "twinstream.tokens"
AUDIT = "twinstream.audit"

DEADLETTER_MAX_BYTES = 4 * 1024 * 1024
TELEMETRY_MAX_BYTES = 2 * 1024 * 1024
"""Of a record with its headers: a payload of just the limit must fit, which it does not by a broker's own default."""
LOGS_RETENTION_MS = 24 * 3600 * 1000
STATE_TOMBSTONES_S = 24 * 3600
"""So long a state topic keeps that a row was deleted, at least: whoever has the row must have learnt of it by then."""
PAYLOAD_MAX_BYTES = 1024 * 1024
"""A larger telemetry payload is a dead letter `too_large`."""
PACKET_MAX_BYTES = 4 * PAYLOAD_MAX_BYTES
"""Of a whole message with its address, as brokers take and a bridge reads it at all; smaller ones get a dead letter."""


@dataclass(frozen=True, slots=True)
class TypeTopics:
    """The topics of one twin type, all with the same number of partitions.

    Attributes:
        type: Qualified type name.
    """

    type: str

    @property
    def telemetry(self) -> str:
        """The one ordered input of the type; key = twin id."""
        return f"twinstream.{self.type}.telemetry"

    @property
    def commands(self) -> str:
        """Commands, JSON; key = twin id."""
        return f"twinstream.{self.type}.commands"

    @property
    def events(self) -> str:
        """Events, JSON; key = twin id."""
        return f"twinstream.{self.type}.events"

    @property
    def timeseries(self) -> str:
        """Blocks of line protocol; no key."""
        return f"twinstream.{self.type}.timeseries"

    @property
    def metadata(self) -> str:
        """Twin documents, JSON, compacted; key = twin id."""
        return f"twinstream.{self.type}.metadata"

    @property
    def state(self) -> str:
        """Rows, binary, compacted; key = twin id."""
        return f"twinstream.{self.type}.state"

    def all(self) -> tuple[str, ...]:
        """Every topic of the type."""
        return (self.telemetry, self.commands, self.events, self.timeseries, self.metadata, self.state)


def topic_config(topic: str) -> dict[str, str]:
    """Broker-side settings of `topic` that its meaning depends on."""
    if topic == LOGS:
        return {"cleanup.policy": "delete", "retention.ms": str(LOGS_RETENTION_MS)}
    if topic == DEADLETTER:
        return {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(DEADLETTER_MAX_BYTES)}
    if topic.endswith(".telemetry"):
        return {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(TELEMETRY_MAX_BYTES)}
    if topic.endswith(".state"):
        return {"cleanup.policy": "compact", "delete.retention.ms": str(STATE_TOMBSTONES_S * 1000)}
    if topic in {DEFINITIONS, ACCOUNT, TOKENS} or topic.endswith(".metadata"):
        return {"cleanup.policy": "compact"}
    return {"cleanup.policy": "delete", "retention.ms": "-1"}


def type_of_topic(topic: str) -> str:
    """Qualified type name inside a type's topic name, `""` for a shared topic."""
    prefix, _, rest = topic.partition(".")
    name, _, kind = rest.rpartition(".")
    return name if prefix == "twinstream" and kind else ""
