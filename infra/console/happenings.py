"""The cards with a twin's latest events and commands."""

import asyncio
from collections.abc import Iterable
from typing import Any

from connectors.documents import COMMAND_TIMES, Collection, DocumentReader
from connectors.stores import StoreUnavailableError
from infra.console.elements import DataTable, card
from infra.console.units import shown
from schemas.definition import Definition
from schemas.messages import Event

_COMMANDS = 8
_EVENTS = 8
_TIMEOUT_S = 5.0

_COMMAND_COLUMNS = (
    {"key": "status", "label": "Status", "kind": "status", "header": False},
    {"key": "name", "label": "Command", "header": True},
    {"key": "value", "label": "Value", "kind": "number"},
    {"key": "issued", "label": "Issued", "kind": "time"},
    {"key": "since", "label": "Last change", "kind": "time", "narrow": True},
    {"key": "reason", "label": "Reason", "narrow": True},
)
_EVENT_COLUMNS = (
    {"key": "severity", "label": "Severity", "kind": "status"},
    {"key": "name", "label": "Event", "header": True},
    {"key": "time", "label": "Time", "kind": "time"},
    {"key": "data", "label": "Data", "kind": "readings", "wide": True},
)
_NO_COMMANDS = "No command yet: the twin has not told its device anything."
_NO_EVENTS = "No event in the stretch that is shown. Events of this twin appear here and as marks on the curves."


class EventsCard:
    """The latest events, from before the page was opened and since then.

    Args:
        definition: Of the type.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._events: dict[str, Event] = {}
        with card("Events"):
            self._table = DataTable("Latest events", _EVENT_COLUMNS, empty=_NO_EVENTS)

    def take(self, events: Iterable[Event]) -> None:
        """Show these, too; one that is known already is the same."""
        known = self._events | {f"{event.id}/{event.name}": event for event in events}
        latest = sorted(known.items(), key=lambda item: item[1].event_time_ns)[-_EVENTS:]
        self._events = dict(latest)
        self._table.show([self._row(key, event) for key, event in reversed(latest)])

    def _row(self, key: str, event: Event) -> dict[str, Any]:
        return {
            "key": key,
            "severity": event.severity,
            "name": event.name.replace("_", " "),
            "time": str(event.event_time_ns),
            "data": [
                {"name": name.replace("_", " "), "value": value, "unit": shown(self._definition.unit_of(name))}
                for name, value in event.data.items()
                if not isinstance(value, dict | list) and name != "id" and value not in {None, ""}
            ],
        }


class CommandsCard:
    """The latest commands, and what became of them.

    Args:
        definition: Of the type.
        documents: Where they are kept.
        twin: Whose they are.
    """

    def __init__(self, definition: Definition, documents: DocumentReader, twin: str) -> None:
        self._definition = definition
        self._documents = documents
        self._twin = twin
        with card("Commands"):
            self._table = DataTable("Latest commands", _COMMAND_COLUMNS, empty=_NO_COMMANDS)

    async def read(self) -> None:
        """Show them as they are stored."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                found = await self._documents.list(
                    Collection.COMMANDS,
                    type_name=str(self._definition.type_name),
                    twin=self._twin,
                    limit=_COMMANDS,
                )
        except (StoreUnavailableError, TimeoutError):
            self._table.show_empty("The commands can't be read now: the document store does not answer.")
            return
        self._table.show([self._row(document) for document in found.items])

    def _row(self, document: dict[str, Any]) -> dict[str, Any]:
        declared = self._definition.outputs.commands.get(document["name"])
        since = max(document.get(name) or 0 for name in COMMAND_TIMES)
        return {
            "key": document["id"],
            "status": document["status"],
            "name": document["name"].replace("_", " "),
            "value": _value(document["value"], shown(declared.unit) if declared else ""),
            "issued": str(document["issued_ns"]),
            "since": str(since) if since else "",
            "reason": document.get("reason") or "",
        }


def _value(value: object, unit: str) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    return {"value": value, "unit": unit}
