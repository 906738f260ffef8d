"""Logging in and out as a viewer does: the server that the role runs, and a real browser."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, async_playwright, expect
from servers.availability import unavailable
from support.browsing import find_chromium
from support.console import desk_over
from support.http_api import Api

from infra.console.mounting import opened
from infra.http.app import create_app
from infra.http.server import listen, serve

pytestmark = [pytest.mark.slow, pytest.mark.system]


@dataclass
class Viewed:
    """The API on a port, and a window of a browser."""

    api: Api
    url: str
    page: Page

    async def log_in(self, *scopes: str, types: tuple[str, ...] = (), path: str = "/") -> None:
        """By the page for that."""
        token = self.api.token(*scopes, types=types, name="ann")["authorization"].removeprefix("Bearer ")
        await self.page.goto(self.url + path)
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(self.url + path)


@pytest.fixture
async def viewed() -> AsyncIterator[Viewed]:
    if find_chromium() is None:
        unavailable("Chromium", "the system package chromium is not installed")
    api = Api()
    api.row("a")
    api.require_tokens()
    app = create_app(api.services)
    listener = listen("127.0.0.1", 0)
    stop = asyncio.Event()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        async with opened(app, desk_over(api.services)), asyncio.TaskGroup() as group:
            group.create_task(serve(app, api.feed, listener, stop))
            yield Viewed(api, f"http://127.0.0.1:{listener.getsockname()[1]}", await browser.new_page())
            await browser.close()
            stop.set()


async def test_a_viewer_sees_who_they_are_and_logs_out(viewed: Viewed) -> None:
    await viewed.log_in("read", "request", path="/twins/box/a")
    head = viewed.page.get_by_role("banner")
    await expect(head.get_by_text("ann")).to_be_visible()
    await expect(viewed.page.get_by_role("button", name="Send request reset")).to_be_enabled()
    await head.get_by_role("button", name="Log out").click()
    await viewed.page.wait_for_url(viewed.url + "/login")
    await viewed.page.goto(viewed.url + "/types")
    await expect(viewed.page.get_by_role("button", name="Log in")).to_be_visible()


async def test_who_may_only_look_finds_every_button_off_and_why(viewed: Viewed) -> None:
    await viewed.log_in("read", path="/twins/box/a")
    await expect(viewed.page.get_by_text("This needs the scope request; you have read.")).to_have_count(2)
    for name in ("Send request reset", "No changes"):
        button = viewed.page.get_by_role("button", name=name)
        await expect(button).to_be_disabled()
        await expect(button).to_have_attribute("title", "This needs the scope request; you have read.")


async def test_who_is_limited_to_a_type_reads_so_and_logs_out(viewed: Viewed) -> None:
    await viewed.log_in("read", types=("box",))
    await expect(viewed.page.get_by_role("heading", name="You may not see this page")).to_be_visible()
    await expect(viewed.page.get_by_role("link", name="its twins")).to_have_attribute("href", "/api/twins?type=box")
    await viewed.page.get_by_role("button", name="Log out").click()
    await viewed.page.wait_for_url(viewed.url + "/login")
