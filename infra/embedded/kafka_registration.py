"""The registration that a killed broker left behind is ended before the next broker starts.

A broker that is its own controller finds itself registered, and leading every partition, in the metadata log of a life
that was cut off. Its transaction coordinator then starts at once and sends the markers of decided transactions to a
listener that is not open yet; when the old session times out no partition has a leader for a moment, Kafka takes those
partitions for deleted ones, and their markers are never written: readers of committed records stand still for ever.
So a controller alone, without a broker, comes first and forgets the old registration
(docs/adr/0006-killed-broker-is-unregistered.md).

Source: Kafka protocol guide, UnregisterBroker API (key 64), version 0.
"""

from pathlib import Path

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactString, Int16, Int32, Schema, TaggedFields

from infra.embedded.ports import LOOPBACK, accepts

_NO_ERROR = 0
_BROKER_ID_NOT_REGISTERED = 102
_REQUEST_TIMEOUT_MS = 5000


def was_cut_off(log_dir: Path) -> bool:
    """Whether a broker ran on this log directory and left no file that says that it was stopped cleanly."""
    return (log_dir / "__cluster_metadata-0").exists() and not (log_dir / ".kafka_cleanshutdown").exists()


async def unregister(node_id: int, controller_port: int) -> bool:
    """Make an active controller forget a broker that does not run.

    Returns:
        Whether it is forgotten, durably; False: the controller can't be asked yet.
    """
    if not accepts(controller_port):
        return False
    try:
        connection = await create_conn(LOOPBACK, controller_port, request_timeout_ms=_REQUEST_TIMEOUT_MS)
        try:
            response = await connection.send(UnregisterBrokerRequest(node_id))
        finally:
            connection.close()
    except (KafkaError, OSError, TimeoutError):
        return False
    return response.error_code in {_NO_ERROR, _BROKER_ID_NOT_REGISTERED}


class UnregisterBrokerResponseV0(Response):
    """Whether the broker is forgotten."""

    API_KEY = 64
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", CompactString("utf-8")),
        ("tags", TaggedFields),
    )


class UnregisterBrokerRequestV0(RequestStruct):
    """The id of a broker."""

    API_KEY = 64
    API_VERSION = 0
    RESPONSE_TYPE = UnregisterBrokerResponseV0
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(("node_id", Int32), ("tags", TaggedFields))


class UnregisterBrokerRequest(Request[UnregisterBrokerRequestV0]):
    """Forget a broker."""

    API_KEY = 64

    def __init__(self, node_id: int) -> None:
        self._node_id = node_id

    def build(self, request_struct_class: type[UnregisterBrokerRequestV0]) -> UnregisterBrokerRequestV0:
        """Fill the wire structure."""
        return request_struct_class(self._node_id, {})
