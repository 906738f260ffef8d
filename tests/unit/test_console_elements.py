import asyncio
from typing import Any

from nicegui.client import Client
from support.console import blank_page

from infra.console.elements import DataTable, LiveValues

COLUMNS = ({"key": "id", "label": "Twin", "kind": "link"},)


def rows(*ids: str) -> list[dict[str, Any]]:
    return [{"key": name, "id": {"text": name, "href": f"/twins/box/{name}"}} for name in ids]


async def pushed(client: Client) -> list[str]:
    """What waits to be pushed, then nothing: updates of elements, and calls."""
    await asyncio.sleep(0.05)  # calls are put there by tasks of their own
    found = ["update"] * len(client.outbox.updates) + [kind for _, kind, _ in client.outbox.messages]
    client.outbox.updates.clear()
    client.outbox.messages.clear()
    return found


async def test_rows_are_pushed_once_and_only_when_they_are_others() -> None:
    async with blank_page() as client:
        table = DataTable("Twins", COLUMNS, rows("a"), empty="none")
        await pushed(client)
        table.show(rows("a"))
        table.show_empty("none")
        assert await pushed(client) == []
        table.show(rows("a", "b"))
        assert await pushed(client) == ["run_javascript"]
        table.show(row for row in rows("a", "b"))
        assert await pushed(client) == []
        table.show_empty("no twin fits")
        assert await pushed(client) == ["update"]


async def test_a_page_that_is_drawn_anew_has_the_rows_that_were_shown_last() -> None:
    async with blank_page():
        table = DataTable("Twins", COLUMNS, rows("a"))
        table.show(rows("b"))
        assert [row["key"] for row in table._to_dict()["props"]["rows"]] == ["b"]  # noqa: SLF001 - what NiceGUI sends


async def test_values_are_pushed_when_they_are_others() -> None:
    async with blank_page() as client:
        values = LiveValues("Now", [{"key": "t", "label": "t", "unit": "", "hint": ""}], {"t": 1.0})
        await pushed(client)
        values.show({"t": 1.0})
        assert await pushed(client) == []
        values.show({"t": 2.0})
        values.show({"t": 2.0})
        assert await pushed(client) == ["run_javascript"]


async def test_a_page_that_is_drawn_anew_has_the_values_that_were_shown_last() -> None:
    async with blank_page():
        values = LiveValues("Now", [{"key": "t", "label": "t", "unit": "", "hint": ""}], {"t": 1.0})
        values.show({"t": 2.0})
        assert values._to_dict()["props"]["values"] == {"t": 2.0}  # noqa: SLF001 - what NiceGUI sends
