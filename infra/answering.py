"""Whether an embedded server answers: one small request of its own protocol, and any answer to it in time.

That a connection is accepted says nothing: the system does that also for a process that stands still. No client library
is used, so that who asks for the status does not wait for its import.
"""

import socket
import struct
from typing import NamedTuple

_TIMEOUT_S = 2.0


class _Question(NamedTuple):
    """What is asked, and what is said before hanging up."""

    request: bytes
    goodbye: bytes = b""


def _api_versions() -> bytes:
    """Kafka's ApiVersions, version 0: length, API key, version, correlation id, no client id."""
    return struct.pack(">ihhih", 10, 18, 0, 0, -1)


def _ping() -> bytes:
    """`ping` as MongoDB's OP_MSG: length, request id, no response, opcode, no flags, one section with a document."""
    fields = b"\x10ping\0" + struct.pack("<i", 1) + b"\x02$db\0" + struct.pack("<i", 6) + b"admin\0\0"
    document = struct.pack("<i", 4 + len(fields)) + fields
    return struct.pack("<iiiiib", 21 + len(document), 1, 0, 2013, 0, 0) + document


_QUESTIONS = {
    "kafka": _Question(_api_versions()),
    # MQTT 3.1.1: CONNECT with a clean session, keep-alive 5 s and an empty client id; DISCONNECT.
    "mqtt": _Question(bytes.fromhex("10 0c 0004 4d515454 04 02 0005 0000"), bytes.fromhex("e000")),
    "documents": _Question(_ping()),
}
SERVERS = frozenset(_QUESTIONS)
"""Names of the servers that can be asked."""


def answers(server: str, port: int, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether the server answers.

    Args:
        server: `EmbeddedServer.name`.
        port: On the loopback address.
        timeout_s: For connecting, and again for the answer.
    """
    question = _QUESTIONS[server]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(question.request)
            answered = bool(connection.recv(1))
            connection.sendall(question.goodbye)
    except OSError:
        return False
    return answered
