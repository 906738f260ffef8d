"""A page of the console as the server sees it: its document, its socket, and what is pushed to it; nothing is drawn."""

import asyncio
import re
import time
from ast import literal_eval
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import socketio

_QUERY = re.compile(r"query: (\{[^{}]*\}),")
_SOCKET = "/_nicegui_ws/socket.io"
_CONNECT_TIMEOUT_S = 20.0
_ACK_S = 3.0
"""As often as the page's own script tells what it has."""


class PageSession:
    """One open page; enter it to load it and connect.

    Args:
        http: Connections to the server.
        url: Of the API.
        path: Of the page, with its query.

    Attributes:
        pushes: Messages that the server pushed so far.
        longest_silence_s: Between two of them, or to the end.
        fault: Why it is no longer connected; empty while it is.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, path: str) -> None:
        self.path = path
        self._http = http
        self._url = url
        self._socket = socketio.AsyncClient(reconnection=False, handle_sigint=False, http_session=http)
        self._socket.on("*", self._pushed)
        self._socket.on("disconnect", self._lost)
        self._client_id = ""
        self._next = 0
        self._heard_s = 0.0
        self._leaving = False
        self._silence_s = 0.0
        self.pushes = 0
        self.fault = ""

    async def __aenter__(self) -> Self:
        """Load the page and open its socket.

        Raises:
            ConnectionError: the server does not give the page, or not its socket.
        """
        async with self._http.get(self._url + self.path) as answer:
            document = await answer.text()
            query = _QUERY.search(document)
            if answer.status != 200 or query is None:  # noqa: PLR2004 - OK
                message = f"{self.path} answers {answer.status} and is no page of the console"
                raise ConnectionError(message)
        # Written as Python writes it; the page's script knows what True is.
        given: dict[str, Any] = literal_eval(query[1])
        self._client_id, self._next = given["client_id"], given["next_message_id"]
        given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}
        given |= {"document_id": str(uuid4()), "tab_id": str(uuid4()), "old_tab_id": ""}
        try:
            await self._socket.connect(
                f"{self._url}?{urlencode(given)}",
                transports=["websocket"],
                socketio_path=_SOCKET,
                wait_timeout=_CONNECT_TIMEOUT_S,
            )
        except socketio.exceptions.ConnectionError as error:
            message = f"{self.path}: no socket: {error}"
            raise ConnectionError(message) from error
        self._heard_s = time.perf_counter()
        self._telling = asyncio.create_task(self._tell())
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close it."""
        self._leaving = True
        self._telling.cancel()
        with suppress(asyncio.CancelledError):
            await self._telling
        await self._socket.disconnect()

    @property
    def longest_silence_s(self) -> float:
        """The longest time without a push, the present one included."""
        return max(self._silence_s, time.perf_counter() - self._heard_s)

    def begin(self) -> None:
        """Count from now."""
        self.pushes, self._silence_s, self._heard_s = 0, 0.0, time.perf_counter()

    async def _pushed(self, _event: str, data: Any = None) -> None:  # noqa: ANN401 - whatever the page is told
        now_s = time.perf_counter()
        self._silence_s = max(self._silence_s, now_s - self._heard_s)
        self._heard_s = now_s
        self.pushes += 1
        if isinstance(data, dict) and "_id" in data:
            self._next = data["_id"] + 1

    async def _lost(self, reason: str = "") -> None:
        if not self._leaving:
            self.fault = f"{self.path}: disconnected: {reason or 'no reason given'}"

    async def _tell(self) -> None:
        """Tell what came, so that the server need not keep it."""
        told = -1
        while True:
            await asyncio.sleep(_ACK_S)
            if self._next > told and not self.fault:
                told = self._next
                await self._socket.emit("ack", {"client_id": self._client_id, "next_message_id": told})
