"""What the roles are doing, looked at once for all who ask within a second: a look asks every role of the instance."""

import asyncio
from collections.abc import Callable

from infra.status import InstanceStatus
from schemas.clock import Clock, SystemClock

FRESH_S = 1.0
"""So long after a look began what it saw is shown to those who ask."""

Look = Callable[[], InstanceStatus]
"""What the roles of the instance are doing; may take seconds, so it is called in a thread."""


def nothing_runs() -> InstanceStatus:
    """An instance without roles."""
    return InstanceStatus(data_dir="", running=False, ready=False, url="", roles=[])


class SharedLook:
    """One look at a time, however many ask.

    Args:
        look: At the roles.
        clock: Says how old what was seen is.
    """

    def __init__(self, look: Look = nothing_runs, clock: Clock | None = None) -> None:
        self._look = look
        self._clock = clock or SystemClock()
        self._looking: asyncio.Task[InstanceStatus] | None = None
        self._seen_s = float("-inf")

    async def __call__(self) -> InstanceStatus:
        """What was there a second ago at most; as long ago as a look takes, 2 s, while a role doesn't answer."""
        looking = self._looking
        if looking is None or (looking.done() and self._clock.monotonic_s() - self._seen_s >= FRESH_S):
            looking = self._looking = asyncio.create_task(self._now())
        # Whoever goes away takes nothing from the others who wait for it.
        return await asyncio.shield(looking)

    async def _now(self) -> InstanceStatus:
        began_s = self._clock.monotonic_s()
        try:
            found = await asyncio.to_thread(self._look)
        except BaseException:
            self._looking = None
            raise
        self._seen_s = began_s  # a role may have answered as early as that
        return found
