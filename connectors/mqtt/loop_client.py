"""paho's client on the event loop, without a thread of its own.

The only module that leans on what paho does not document: `_sock_recv`, `_sock_close`, `_packet_queue` and
`_handle_on_message`. Its version is pinned, and `test_mqtt_loop_client.py` fails when they change.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

if TYPE_CHECKING:
    import socket

_READ_BYTES = 65_536
_PACKETS_AT_ONCE = 200
"""So many packets are read before others get their turn on the event loop."""
_MISC_S = 1.0
_PUBACK = 0x40


class LoopClient(paho.Client):
    """A client that reads and writes on an asyncio event loop once `attach` was called, after `connect`.

    paho reads a packet in three or more calls of the system; here one call fetches what there is. What is fetched and
    not yet read belongs to the one connection that an instance has.

    Args:
        failed: Told of an exception that a callback raised.
        arguments: Those of `paho.Client`.
    """

    def __init__(self, failed: Callable[[Exception], None], **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._failed = failed
        self._events: asyncio.AbstractEventLoop | None = None
        self._attached: socket.socket | None = None
        self._misc: asyncio.TimerHandle | None = None
        self._fetched = b""
        self._at = 0
        self._is_drained = False
        self._is_paused = False
        self.on_socket_register_write = self._wants_to_write
        self.on_socket_unregister_write = self._has_written
        self.on_socket_close = self._detach

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on with the open connection on `loop`."""
        self._events = loop
        self._attached = cast("socket.socket | None", self.socket())
        if self._attached is None:
            return
        loop.add_reader(self._attached, self._read)
        self._misc = loop.call_later(_MISC_S, self._look_after)
        if self.want_write():
            loop.add_writer(self._attached, self._write)

    def pause(self) -> None:
        """Read no more for now, so that TCP holds the broker back."""
        if not self._is_paused and self._events is not None and self._attached is not None:
            self._events.remove_reader(self._attached)
        self._is_paused = True

    def resume(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            if self._events is not None and self._attached is not None:
                self._events.add_reader(self._attached, self._read)
                self._events.call_soon(self._read)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of QoS 1 messages, in this order and in one piece."""
        frames = b"".join([struct.pack("!BBH", _PUBACK, 2, packet_id) for packet_id in packet_ids])
        self._packet_queue(_PUBACK, frames, 0, 1)

    def cut(self) -> None:
        """Close the connection without a word."""
        if self._attached is not None:
            self._sock_close()

    def _read(self) -> None:
        """Handle what has arrived; TLS may hold more than the socket tells, so read until there is no more."""
        self._is_drained = False
        for _ in range(_PACKETS_AT_ONCE):
            if self._is_paused or self._attached is None:
                return
            if self._guarded(self.loop_read) != MQTTErrorCode.MQTT_ERR_SUCCESS or self._is_drained:
                return
        if self._events is not None:
            self._events.call_soon(self._read)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._fetched):
            try:
                self._fetched, self._at = super()._sock_recv(_READ_BYTES), 0
            except BlockingIOError:
                self._is_drained = True
                raise
        start = self._at
        self._at = min(start + bufsize, len(self._fetched))
        return self._fetched[start : self._at]

    def _handle_on_message(self, message: paho.MQTTMessage) -> None:
        # There are no callbacks for filters; looking for them takes a quarter of the time of a message.
        if self.on_message is not None:
            self.on_message(self, None, message)

    def _write(self) -> None:
        self._guarded(self.loop_write)

    def _guarded(self, step: Callable[[], MQTTErrorCode]) -> MQTTErrorCode:
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - the event loop would log it and go on
            self._failed(error)
            return MQTTErrorCode.MQTT_ERR_UNKNOWN

    def _wants_to_write(self, *_: object) -> None:
        # Also in the thread that connects; nothing is attached then.
        if self._events is not None and self._attached is not None:
            self._events.add_writer(self._attached, self._write)

    def _has_written(self, *_: object) -> None:
        if self._events is not None and self._attached is not None:
            self._events.remove_writer(self._attached)

    def _detach(self, *_: object) -> None:
        if self._misc is not None:
            self._misc.cancel()
        if self._events is not None and self._attached is not None:
            self._events.remove_reader(self._attached)
            self._events.remove_writer(self._attached)
        self._attached = None

    def _look_after(self) -> None:
        """Send pings, and notice a broker that does not answer them; not while nothing is read, answers included."""
        if self._events is None or self._attached is None:
            return
        self._misc = self._events.call_later(_MISC_S, self._look_after)
        if not self._is_paused:
            self._guarded(self.loop_misc)
