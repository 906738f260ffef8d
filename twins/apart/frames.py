"""Messages between a worker and a process of its steps: four bytes of length, then JSON.

A message that a process did not live to finish is none.
"""

import socket
import struct

import msgspec

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 16


def send(line: socket.socket, message: msgspec.Struct) -> None:
    """Send a message; waits while the other side reads.

    Raises:
        OSError: there is no other side.
    """
    content = msgspec.json.encode(message)
    line.sendall(_LENGTH.pack(len(content)) + content)


class Incoming:
    """What has arrived of messages."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._bytes = bytearray()

    def receive(self) -> bool:
        """Wait for more; False when nothing comes any more."""
        try:
            found = self._line.recv(_READ_BYTES)
        except OSError:
            return False
        self._bytes += found
        return bool(found)

    def next(self) -> bytes | None:
        """The next whole message."""
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes)
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        content = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        return content

    def wait(self) -> bytes | None:
        """The next whole message, waited for; None when none comes any more."""
        while (content := self.next()) is None:
            if not self.receive():
                return None
        return content
