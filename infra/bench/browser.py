"""One page in a real browser, without a window, asked over its own debugging protocol what it shows."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp

from infra.bench.child import cpu_seconds_of
from infra.embedded.process import ChildProcess
from schemas.clock import SystemClock
from schemas.errors import SetupError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 10.0
_LOOK_S = 0.5
_MAIN_TEXT = "document.getElementById('content')?.innerText ?? ''"
_HANDSHAKE = "window.did_handshake === true"


def find_browser() -> str | None:
    """A Chromium of this machine."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class BrowserPage:
    """A page that is open in a browser of its own; enter it to open it and wait until it is connected.

    Args:
        program: Of the browser.
        folder: For what it writes.
        url: Of the page.
    """

    def __init__(self, program: str, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        argv = (
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "about:blank"),
        )
        self._process = ChildProcess("browser", argv, log_path=folder / "browser.log")
        self._stack = AsyncExitStack()
        self._asked = 0

    async def __aenter__(self) -> Self:
        """Start the browser and open the page.

        Raises:
            SetupError: the browser does not start, or the page does not connect.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._process)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            port = await self._port()
            page = await self._page(http, port)
            self._socket = await stack.enter_async_context(http.ws_connect(page["webSocketDebuggerUrl"]))
            await self._call("Page.navigate", url=self._url)
            await self._until(_HANDSHAKE)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End the browser."""
        await self._stack.aclose()

    @property
    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return cpu_seconds_of(self._process.pid)

    async def text(self) -> str:
        """What the page shows now."""
        return str(await self._evaluate(_MAIN_TEXT))

    async def changes(self, stop: asyncio.Event) -> tuple[int, int]:
        """Look twice a second until `stop`: how often it showed something else than before, and of how many looks."""
        shown, changed, looks = await self.text(), 0, 0
        while not stop.is_set():
            await asyncio.sleep(_LOOK_S)
            now = await self.text()
            looks += 1
            changed += now != shown
            shown = now
        return changed, looks

    async def _port(self) -> int:
        """Where it listens; it writes that into its profile."""
        file = self._folder / "profile" / "DevToolsActivePort"

        async def written() -> bool:
            return file.exists() and "\n" in file.read_text()

        await self._process.until_ready(written, _START_TIMEOUT_S)
        return int(file.read_text().splitlines()[0])

    async def _page(self, http: aiohttp.ClientSession, port: int) -> dict[str, Any]:
        """Its first page; the port is open a moment before there is one."""
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + _START_TIMEOUT_S
        while True:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages: list[dict[str, Any]] = [one for one in await answer.json() if one["type"] == "page"]
            if pages:
                return pages[0]
            if clock.monotonic_s() > deadline_s:
                message = f"a real browser opens no page:\n{self._process.log_tail()[-2000:]}"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)

    async def _until(self, expression: str) -> None:
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + _START_TIMEOUT_S
        while not await self._evaluate(expression):
            if clock.monotonic_s() > deadline_s:
                message = f"a real browser does not connect to {self._url}:\n{self._process.log_tail()[-2000:]}"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)

    async def _evaluate(self, expression: str) -> object:
        answer = await self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._asked += 1
        await self._socket.send_str(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            told: dict[str, Any] = await self._socket.receive_json(timeout=_ANSWER_TIMEOUT_S)
            if told.get("id") == self._asked:
                if "error" in told:
                    message = f"{method}: {told['error']}"
                    raise SetupError(message)
                result: dict[str, Any] = told["result"]
                return result
