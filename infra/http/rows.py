"""Reading rows of the state topics: which definition and layout they belong to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import structlog

from schemas.definition import Definition
from schemas.deployment import Deployment, HistoryItem
from twins.carrying import carried_over
from twins.layout import FINGERPRINT_BYTES, LAYOUT_KEY_PREFIX, STATUSES, RowLayout, TwinState
from twins.row_format import RowFormat
from twins.texts import renamed

log = structlog.get_logger(__name__)


class Deployed(Protocol):
    """A deployed twin type."""

    @property
    def deployment(self) -> Deployment:
        """Which bundle is in force."""

    @property
    def definition(self) -> Definition:
        """What the type declares."""


class TypeCatalogue(Protocol):
    """Deployed types by qualified name; `twins.catalogue.Catalogue` is one."""

    def types(self) -> Mapping[str, Deployed]:
        """Every deployed type."""

    def get(self, type_name: str) -> Deployed | None:
        """One deployed type."""

    def history(self, type_name: str | None = None) -> Sequence[HistoryItem]:
        """Every switch of a type, or of all, oldest first."""

    def undeployed(self, type_name: str | None = None) -> Sequence[Deployment]:
        """What was taken out of force, of a type or of all, oldest first."""


@dataclass(frozen=True, slots=True)
class _Current:
    """The layout of the definition in force."""

    hash: str
    layout: RowLayout
    fingerprint: bytes


class RowReader:
    """Turns row bytes into twins, with the layout of the definition in force.

    A row that an earlier version of the type wrote is carried over as a worker would do it, by the layout record
    that the state topic holds under `#layout/` and the fingerprint.
    """

    def __init__(self, catalogue: TypeCatalogue) -> None:
        self._catalogue = catalogue
        self._current: dict[str, _Current] = {}
        self._earlier: dict[tuple[str, bytes], RowFormat] = {}

    def learn(self, type_name: str, key: bytes, value: bytes | None) -> None:
        """Take in a reserved record of a state topic; only layout records matter here."""
        if not (key.startswith(LAYOUT_KEY_PREFIX) and value):
            return
        try:
            fingerprint = bytes.fromhex(key.removeprefix(LAYOUT_KEY_PREFIX).decode())
            self._earlier[type_name, fingerprint] = RowFormat.read(value)
        except (ValueError, TypeError, KeyError, AttributeError, msgspec.DecodeError) as error:
            log.warning("a layout record can't be read", type=type_name, key=key.hex(), error=str(error))

    def read(self, type_name: str, value: bytes) -> TwinState | None:
        """The twin in a row's bytes, None when the type is not deployed or the row's layout is unknown."""
        current = self._layout(type_name)
        if current is None:
            return None
        try:
            return self._read(type_name, current, value)
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("a row can't be read", type=type_name, size=len(value), error=str(error))
            return None

    def statuses(self, type_name: str, values: Sequence[bytes]) -> dict[str, int]:
        """How many of these rows have each status; one that can't be read has none."""
        found = dict.fromkeys(STATUSES, 0)
        current = self._layout(type_name)
        if current is None:
            return found
        fields = current.layout.dtype.fields
        assert fields is not None  # noqa: S101 - rows are records
        at = FINGERPRINT_BYTES + fields["status"][1]
        # By its first byte, all of a status that counts, so that a million rows take no second.
        bits = Counter(value[at] for value in values if value.startswith(current.fingerprint))
        for bit, number in bits.items():
            found[current.layout.status(bit)] += number
        if bits.total() < len(values):
            others = [value for value in values if not value.startswith(current.fingerprint)]
            read = [twin.status for value in others if (twin := self.read(type_name, value)) is not None]
            for status in read:
                found[status] += 1
        return found

    def _read(self, type_name: str, current: _Current, value: bytes) -> TwinState | None:
        fingerprint = value[:FINGERPRINT_BYTES]
        if fingerprint != current.fingerprint:
            earlier = self._earlier.get((type_name, fingerprint))
            if earlier is None:
                return None
            end = FINGERPRINT_BYTES + earlier.dtype.itemsize
            old = np.frombuffer(value, earlier.dtype, count=1, offset=FINGERPRINT_BYTES)
            row, _ = carried_over(current.layout, old, earlier)
            stored = msgspec.json.decode(value[end:], type=dict[str, str]) if len(value) > end else {}
            tags = renamed(stored, current.layout.definition, earlier)
            value = current.layout.encode(row.tobytes(), msgspec.json.encode(tags) if tags else b"")
        return current.layout.describe(value)

    def _layout(self, type_name: str) -> _Current | None:
        deployed = self._catalogue.get(type_name)
        if deployed is None:
            return None
        current = self._current.get(type_name)
        if current is None or current.hash != deployed.deployment.hash:
            layout = RowLayout.of(deployed.definition)
            current = self._current[type_name] = _Current(deployed.deployment.hash, layout, layout.fingerprint)
        return current
