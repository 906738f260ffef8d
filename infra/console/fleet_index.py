"""All twins at a glance: searched, filtered, sorted and cut into pages. Pure."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from infra.console.glance import Glance

STATUSES = ("ok", "stale", "drifting", "quarantined")
PAGE_ROWS = 50
_KEPT_ORDERS = 64

SortKey = Literal["id", "type", "status", "event_time_ns"]
_SEVERITY = {status: rank for rank, status in enumerate(reversed(STATUSES))}

_KEYS: dict[SortKey, Callable[[Glance], tuple[object, ...]]] = {
    "id": lambda twin: (twin.id, twin.type),
    "type": lambda twin: (twin.type, twin.id),
    "status": lambda twin: (_SEVERITY.get(twin.status, -1), twin.type, twin.id),
    "event_time_ns": lambda twin: (twin.event_time_ns, twin.type, twin.id),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which twins are wanted.

    Attributes:
        text: Part of an id or of a tag's value, whatever the case.
        tag: `name=value`, or `name` alone for any value.
        page: From 1.
    """

    text: str = ""
    type: str = ""
    tag: str = ""
    status: str = ""
    sort: SortKey = "type"
    descending: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """Some twins.

    Attributes:
        twins: At most `PAGE_ROWS`.
        found: How many there are over all pages.
        page: The present one, from 1: never behind the last.
        pages: At least 1.
        counts: Twins of each status, whatever the wanted status.
    """

    twins: list[Glance]
    found: int
    page: int
    pages: int
    counts: dict[str, int]


@dataclass
class FleetIndex:
    """The present glance of every twin.

    Attributes:
        version: Grows with every change.
    """

    version: int = 0
    _twins: dict[tuple[str, str], Glance] = field(default_factory=dict)
    _found: dict[Query, tuple[int, list[Glance], dict[str, int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many twins there are."""
        return len(self._twins)

    def put(self, twin: Glance) -> None:
        """A twin is there, or changed."""
        self._twins[twin.type, twin.id] = twin
        self.version += 1

    def drop(self, type_name: str, twin: str) -> None:
        """A twin is gone."""
        if self._twins.pop((type_name, twin), None) is not None:
            self.version += 1

    def types(self) -> list[str]:
        """Types that have twins."""
        return sorted({type_name for type_name, _ in self._twins})

    def page(self, query: Query) -> Page:
        """The wanted page; those who ask the same between two changes share one answer."""
        wanted = replace(query, page=1)
        known = self._found.get(wanted)
        if known is None or known[0] != self.version:
            if len(self._found) >= _KEPT_ORDERS:
                self._found.clear()
            known = self._found[wanted] = (self.version, *self._search(wanted))
        _, twins, counts = known
        pages = max(1, -(-len(twins) // PAGE_ROWS))
        page = max(1, min(query.page, pages))
        return Page(twins[(page - 1) * PAGE_ROWS : page * PAGE_ROWS], len(twins), page, pages, counts)

    def _search(self, query: Query) -> tuple[list[Glance], dict[str, int]]:
        found = [twin for twin in self._twins.values() if _fits(twin, query)]
        counted = Counter(twin.status for twin in found)
        if query.status:
            found = [twin for twin in found if twin.status == query.status]
        found.sort(key=_KEYS[query.sort], reverse=query.descending)
        return found, {status: counted[status] for status in STATUSES}


def _fits(twin: Glance, query: Query) -> bool:
    if query.type and twin.type != query.type:
        return False
    if query.tag:
        name, equals, value = query.tag.partition("=")
        if name not in twin.tags or (equals and twin.tags[name] != value):
            return False
    if query.text:
        text = query.text.casefold()
        return text in twin.id.casefold() or any(text in value.casefold() for value in twin.tags.values())
    return True
