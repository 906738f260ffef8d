"""What all open pages share of what happens now: the fleet at a glance."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from infra.console.fleet_index import FleetIndex
from infra.console.glance import Glancer
from infra.http.services import Services

_PAUSE_S = 0.2
_QUIET_S = 60.0
_AGAIN_S = 1.0
_TURN = 1_000
"""Rows that are read before others of the process have their turn."""


class Hub:
    """Hears of everything once, however many pages are open.

    Args:
        services: Of the API.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._glancer = Glancer(services)
        self._index: FleetIndex | None = None
        self._watchers = 0
        self._types: dict[str, str] = {}

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            # Of states the latest of each twin waits, however many come: nobody is cut off for them, nothing is missed.
            with self._services.feed.subscribe(states_only=True) as subscription:
                while not subscription.closing:
                    if await subscription.wait(_QUIET_S):
                        subscription.take(self._see)
                        await asyncio.sleep(_PAUSE_S)
            # The server stops.
            await asyncio.sleep(_AGAIN_S)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the fleet's index as long as somebody looks at it."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._index = None

    async def index(self) -> FleetIndex:
        """The fleet at a glance; filled when nobody looked at it before."""
        deployed = {name: found.deployment.hash for name, found in self._services.catalogue.types().items()}
        if self._index is None or deployed != self._types:
            self._types = deployed
            index = FleetIndex()
            # Changes that come meanwhile go into it already.
            self._index = index
            await self._fill(index)
            return index
        return self._index

    async def _fill(self, index: FleetIndex) -> None:
        states = self._services.states
        for type_name in sorted(self._services.catalogue.types()):
            after = ""
            while twins := states.page(type_name, after, _TURN):
                for twin in twins:
                    self._put(index, type_name, twin, states.raw(type_name, twin))
                after = twins[-1]
                await asyncio.sleep(0)

    def _see(self, type_name: str, twin: str, row: bytes | None) -> None:
        if self._index is not None:
            self._put(self._index, type_name, twin, row)

    def _put(self, index: FleetIndex, type_name: str, twin: str, row: bytes | None) -> None:
        glance = None if row is None else self._glancer.glance(type_name, twin, row)
        if glance is None:
            index.drop(type_name, twin)
        else:
            index.put(glance)
