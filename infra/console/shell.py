"""The frame of every page: head, navigation, colours that follow the system until the viewer chooses."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from nicegui import background_tasks, ui
from nicegui.client import Client, ClientConnectionTimeout

from infra.access.caller import Caller
from infra.http.access import caller_of

log = structlog.get_logger(__name__)

STATIC = Path(__file__).with_name("static")
TITLE = "twinstream"

PLACES = (
    ("Fleet", "/"),
    ("Types", "/types"),
    ("Dead letters", "/deadletters"),
    ("System", "/system"),
    ("Try it", "/try"),
)

_CONNECT_TIMEOUT_S = 60.0


@contextmanager
def page(title: str, here: str) -> Iterator[None]:
    """Everything around a page's content.

    Args:
        title: Its name.
        here: Path of the place in the navigation that it belongs to.
    """
    client = ui.context.client
    client.title = f"{title} · {TITLE}"
    ui.add_head_html(head())
    client.content.classes("ts-page")
    client.content.props["id"] = "content"
    with ui.element("header").classes("ts-header") as header:
        header.move(client.layout, 0)
        skip = ui.element("a").classes("ts-skip")
        skip.props["href"] = "#content"
        skip.props["innerText"] = "Skip to content"
        _link(TITLE, "/", "ts-brand")
        with ui.element("nav").classes("ts-nav") as nav:
            nav.props["aria-label"] = "Main"
            for name, path in PLACES:
                link = _link(name, path, "ts-place")
                if path == here:
                    link.props["aria-current"] = "page"
        _viewer(caller_of(client.request.scope))
        theme = ui.element("button").classes("ts-theme")
        theme.props.update({"type": "button", "id": "theme", "aria-label": "Light or dark colours"})
        theme.props["title"] = "Light or dark colours"
    yield


def _viewer(caller: Caller) -> None:
    """Who looks, and how to be nobody again; nothing where nobody has to show who they are."""
    if caller.via == "nothing":
        return
    who = ui.element("span").classes("ts-who")
    who.props.update({"innerText": caller.name, "title": f"You are {caller.name}"})
    if caller.session:
        out = ui.element("button").classes("ts-button ts-small")
        out.props.update({"type": "button", "id": "logout", "innerText": "Log out"})


def _link(text: str, path: str, classes: str) -> ui.element:
    link = ui.element("a").classes(classes)
    link.props.update({"href": path, "innerText": text})
    return link


def head() -> str:
    """Style and scripts of every page."""
    style = (STATIC / "console.css").read_text()
    scripts = "".join(f"<script>{(STATIC / name).read_text()}</script>" for name in ("theme.js", "session.js"))
    return f"<style>{style}</style>{scripts}"


def live(client: Client, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do `work` from when the page is connected until it is closed."""

    async def run() -> None:
        try:
            await client.connected(_CONNECT_TIMEOUT_S)
            with client:
                await work()
        except ClientConnectionTimeout:
            pass  # fetched by something that shows no page
        except Exception:
            log.exception("a page's live part failed", path=client.page.path)
            with client:
                tell("Live updates of this page stopped. Load it again.", bad=True)

    task = background_tasks.create(run(), name="console page", handle_exceptions=False)
    client.on_delete(task.cancel)


def tell(message: str, *, bad: bool = False) -> None:
    """A short message that goes away by itself; a bad one stays until it is closed."""
    ui.notify(
        message,
        position="bottom",
        type="negative" if bad else "positive",
        timeout=0 if bad else 4000,
        close_button="Close" if bad else False,
        multi_line=len(message) > 80,  # noqa: PLR2004
    )
