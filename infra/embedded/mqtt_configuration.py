"""Configuration files of the two embedded MQTT brokers; both let a bridge acknowledge late.

A bridge acknowledges only what Kafka has, so the broker's limit of unacknowledged messages is the bridge's speed
limit, and its queue is what carries devices over an outage of the bridge.
"""

from typing import TYPE_CHECKING, Literal

from infra.embedded.ports import LOOPBACK
from schemas.topics import PACKET_MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

MAX_INFLIGHT = 20_000
MAX_QUEUED = 1_000_000
_AUTOSAVE_S = 30
_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENTS = 32
_ENTRY_BYTES = 37
"""What iotcore adds to a payload in its segments with a topic of 30 characters; measured."""


PAYLOAD_BYTES = 100
"""What a payload is taken to be where a broker counts bytes; three fields and a time are about that."""


def kept_messages(kind: Literal["mosquitto", "iotcore"], payload_bytes: int = PAYLOAD_BYTES) -> int:
    """Messages that the broker keeps for a bridge that is away; then Mosquitto drops the newest, iotcore the oldest.

    Mosquitto counts them. iotcore counts bytes, in segments of which the oldest is dropped as a whole.
    """
    if kind == "mosquitto":
        return MAX_QUEUED
    return (_SEGMENTS - 1) * _SEGMENT_BYTES // (payload_bytes + _ENTRY_BYTES)


def mosquitto_configuration(port: int, *, folder: "Path", user: str) -> str:
    """Text of `mosquitto.conf`: sessions, queues and retained messages survive a restart.

    Args:
        port: For clients of every version of MQTT.
        folder: Where the broker keeps its data.
        user: Account to run as when started by root.
    """
    lines = (
        f"listener {port} {LOOPBACK}",
        f"user {user}",
        "allow_anonymous true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        "connection_messages false",
        "persistence true",
        f"persistence_location {folder}/",
        f"autosave_interval {_AUTOSAVE_S}",
        f"max_inflight_messages {MAX_INFLIGHT}",
        f"max_queued_messages {MAX_QUEUED}",
        f"max_packet_size {PACKET_MAX_BYTES}",
        "max_queued_bytes 0",
        "set_tcp_nodelay true",
    )
    return "\n".join(lines) + "\n"


def iotcore_configuration(port: int, *, port_v5: int) -> str:
    """Text of the TOML file of `iotcore`, whose listeners speak one version of MQTT each.

    Args:
        port: For clients of MQTT 3.1.1.
        port_v5: For clients of MQTT 5.
    """
    return f"""id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
# Per topic filter; they are all that a bridge that is away finds when it is back.
max_segment_size = {_SEGMENT_BYTES}
max_segment_count = {_SEGMENTS}

{_listener("v4", port)}
{_listener("v5", port_v5)}"""


def _listener(version: str, port: int) -> str:
    return f"""[{version}.1]
name = "{version}"
listen = "{LOOPBACK}:{port}"
next_connection_delay_ms = 0
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {PACKET_MAX_BYTES}
max_inflight_count = {MAX_INFLIGHT}
dynamic_filters = true
"""
