"""A viewer of the console: Debian's Chromium, driven as a person would, that notices what must not happen."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

Theme = Literal["light", "dark"]
DESK, PHONE = (1440, 900), (390, 844)
SHOTS = os.environ.get("TWINSTREAM_SCREENSHOTS", "")
"""Where screenshots go; empty: nowhere."""


def find_chromium() -> str | None:
    """The browser of the system package `chromium`."""
    return shutil.which("chromium")


@contextmanager
def browser(*arguments: str) -> Iterator[Browser]:
    """A running browser without windows.

    Args:
        arguments: Further ones of its command line.
    """
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", *arguments])
        yield running
        running.close()


class Viewer:
    """One browser window.

    Attributes:
        faults: What went wrong in it: errors in the page, failed requests, requests to another host.
    """

    def __init__(self, running: Browser, url: str, *, theme: Theme = "light", size: tuple[int, int] = DESK) -> None:
        self._url = url
        self._theme = theme
        self._width = size[0]
        self.faults: list[str] = []
        self.context: BrowserContext = running.new_context(
            color_scheme=theme,
            viewport={"width": size[0], "height": size[1]},
            timezone_id="Europe/Berlin",
            ignore_https_errors=True,  # certificates of tests are signed by nobody whom a browser knows
        )
        self.page: Page = self.context.new_page()
        self.page.on("request", self._requested)
        self.page.on("console", self._printed)
        self.page.on("pageerror", lambda error: self.faults.append(f"error in the page: {error}"))

    def open(self, path: str) -> Page:
        """Go to a page of the console, and wait until it is connected."""
        self.page.goto(self._url + path)
        self.page.wait_for_function("window.did_handshake === true")
        return self.page

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page, if anybody wants them."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}-{self._theme}-{self._width}.png", full_page=True)

    def serious(self) -> list[str]:
        """What axe finds in the page that is serious or critical."""
        found: Any = Axe().run(self.page)
        return [
            f"{fault['id']}: {node['html'][:200]}"
            for fault in found.response["violations"]
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]

    def sideways(self) -> int:
        """Pixels that the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def close(self) -> None:
        """Close the window.

        Raises:
            AssertionError: something went wrong meanwhile.
        """
        self.context.close()
        assert not self.faults, "\n".join(self.faults)

    def _requested(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in {"data", "blob"} and asked.netloc != urlsplit(self._url).netloc:
            self.faults.append(f"another host was asked: {request.url}")

    def _printed(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"printed by the page: {message.text} ({message.location['url']})")
