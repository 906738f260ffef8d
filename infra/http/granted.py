"""What a caller sees who is limited to some types and twins: the rest is not there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from infra.access.grants import Grants
from infra.http.rows import Deployed, TypeCatalogue
from schemas.deployment import Deployment, HistoryItem
from twins.layout import TwinState


class TwinStates(Protocol):
    """The latest rows of twins; `infra.http.live.StateTable` is one."""

    def raw(self, type_name: str, twin: str) -> bytes | None:
        """Row bytes of one twin."""

    def twin(self, type_name: str, twin: str) -> TwinState | None:
        """One twin, None when there is none."""

    def read(self, type_name: str, value: bytes) -> TwinState | None:
        """The twin in a row's bytes, None when they can't be read."""

    def count(self, type_name: str) -> int:
        """How many twins a type has."""

    def statuses(self, type_name: str) -> dict[str, int]:
        """How many twins of a type have each status; from any thread."""

    def page(self, type_name: str, after: str, limit: int) -> list[str]:
        """Up to `limit` twin ids of a type, in order, behind `after`."""

    async def wait_applied(self, type_name: str, twin: str, offset: int, timeout_s: float) -> bool:
        """Wait until a twin's row shows that the input up to `offset` of its partition was applied to it."""


class GrantedCatalogue:
    """Types of which something is granted."""

    def __init__(self, catalogue: TypeCatalogue, grants: Grants) -> None:
        self._catalogue = catalogue
        self._grants = grants

    def types(self) -> Mapping[str, Deployed]:
        """Every such type that is deployed."""
        return {name: found for name, found in self._catalogue.types().items() if self._grants.sees_of(name)}

    def get(self, type_name: str) -> Deployed | None:
        """One of them."""
        return self._catalogue.get(type_name) if self._grants.sees_of(type_name) else None

    def history(self, type_name: str | None = None) -> Sequence[HistoryItem]:
        """Their switches."""
        return [item for item in self._catalogue.history(type_name) if self._grants.sees_of(item.type)]

    def undeployed(self, type_name: str | None = None) -> Sequence[Deployment]:
        """Those that were taken out of force."""
        return [item for item in self._catalogue.undeployed(type_name) if self._grants.sees_of(item.type)]


class GrantedStates:
    """Twins that are granted."""

    def __init__(self, states: TwinStates, grants: Grants) -> None:
        self._states = states
        self._grants = grants

    def raw(self, type_name: str, twin: str) -> bytes | None:
        """Row bytes of one of them."""
        return self._states.raw(type_name, twin) if self._grants.sees(type_name, twin) else None

    def twin(self, type_name: str, twin: str) -> TwinState | None:
        """One of them."""
        return self._states.twin(type_name, twin) if self._grants.sees(type_name, twin) else None

    def read(self, type_name: str, value: bytes) -> TwinState | None:
        """The twin in a row's bytes."""
        return self._states.read(type_name, value)

    def count(self, type_name: str) -> int:
        """How many of a type there are."""
        return self._states.count(type_name) if self._grants.sees_all_of(type_name) else len(self._ids(type_name))

    def statuses(self, type_name: str) -> dict[str, int]:
        """How many of a type have each status."""
        if self._grants.sees_all_of(type_name):
            return self._states.statuses(type_name)
        read = [self._states.twin(type_name, twin) for twin in self._ids(type_name)]
        return Counter(state.status for state in read if state is not None)

    def page(self, type_name: str, after: str, limit: int) -> list[str]:
        """Up to `limit` ids, in order, behind `after`."""
        if self._grants.sees_all_of(type_name):
            return self._states.page(type_name, after, limit)
        return [twin for twin in self._ids(type_name) if twin > after][:limit]

    async def wait_applied(self, type_name: str, twin: str, offset: int, timeout_s: float) -> bool:
        """Wait until the input up to `offset` was applied to one of them."""
        return await self._states.wait_applied(type_name, twin, offset, timeout_s)

    def _ids(self, type_name: str) -> list[str]:
        return [twin for twin in self._grants.twins_of(type_name) if self._states.raw(type_name, twin) is not None]
