"""What a list shows of a twin, read from its row without decoding the rest."""

import struct
from typing import Any, NamedTuple

import msgspec

from infra.http.rows import Deployed, TypeCatalogue
from infra.http.services import Services
from twins.layout import FINGERPRINT_BYTES, RowLayout
from twins.texts import tags_of

_INT64 = struct.Struct("<q")


class Glance(NamedTuple):
    """A twin in a list.

    Attributes:
        status: `ok`, `stale`, `drifting` or `quarantined`.
        event_time_ns: Of its latest accepted record.
        tags: Its tags.
    """

    type: str
    id: str
    status: str
    event_time_ns: int
    tags: dict[str, str]


class Glancer:
    """Reads rows at about a microsecond each; those of an earlier layout the long way."""

    def __init__(self, services: Services) -> None:
        self._catalogue: TypeCatalogue = services.catalogue
        self._states = services.states
        self._known: dict[str, tuple[str, _Places]] = {}

    def glance(self, type_name: str, twin: str, row: bytes) -> Glance | None:
        """What a list shows; None when the row can't be read."""
        deployed = self._catalogue.get(type_name)
        if deployed is None:
            return None
        places = self._places(type_name, deployed)
        if row.startswith(places.layout.fingerprint) and len(row) >= places.end:
            (status,) = _INT64.unpack_from(row, places.status)
            (event_time_ns,) = _INT64.unpack_from(row, places.event_time_ns)
            stored = msgspec.json.decode(row[places.end :]) if len(row) > places.end else {}
            return Glance(type_name, twin, places.layout.status(status), event_time_ns, tags_of(stored))
        state = self._states.read(type_name, row)
        if state is None:
            return None
        return Glance(type_name, twin, state.status, state.event_time_ns, state.tags)

    def _places(self, type_name: str, deployed: Deployed) -> "_Places":
        known = self._known.get(type_name)
        if known is None or known[0] != deployed.deployment.hash:
            known = self._known[type_name] = deployed.deployment.hash, _Places.of(RowLayout.of(deployed.definition))
        return known[1]


class _Places(NamedTuple):
    """Where in a row's bytes what is."""

    layout: RowLayout
    status: int
    event_time_ns: int
    end: int

    @classmethod
    def of(cls, layout: RowLayout) -> "_Places":
        fields: dict[str, Any] = dict(layout.dtype.fields or {})
        return cls(
            layout,
            FINGERPRINT_BYTES + fields["status"][1],
            FINGERPRINT_BYTES + fields["event_time_ns"][1],
            FINGERPRINT_BYTES + layout.dtype.itemsize,
        )
