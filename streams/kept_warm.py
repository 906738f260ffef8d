"""One partition that a standby follows: how far it is, whether its rows can be trusted, when to try again."""

import asyncio
from dataclasses import dataclass, field

import structlog

from streams.backoff import Backoff
from streams.warm import WarmRows

log = structlog.get_logger(__name__)

NEAR = 10_000
"""Offsets behind the changelog at which rows count as warm; reading them takes some 50 ms."""

FAR = 10 * NEAR
"""Offsets behind at which they no longer do: between the two, a burst of rows changes nothing."""

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 60.0


@dataclass(slots=True, eq=False)
class KeptWarm:
    """Rows of one partition, and what became of the attempts to have them.

    Attributes:
        number: Of the partition.
        rows: None until their processor was made.
        behind: Offsets behind the changelog's end, None before they caught up, and after they fell far behind or
            nothing was heard of it for seconds.
        judged_from: Offset from which on position records tell the version that the processor is to be of; those
            before are history.
        making: The task that makes the rows.
        wait_s: How long it waits first.
    """

    number: int
    rows: WarmRows | None = None
    behind: int | None = None
    judged_from: int = 0
    making: asyncio.Task[None] | None = None
    wait_s: float = 0.0
    _failed_before: int = 0
    _mark: tuple[int, float] | None = None
    _backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S))

    def begin_anew(self) -> None:
        """Throw the rows away."""
        self.rows = self.behind = self._mark = None

    def failed(self, why: str, end: int = 0) -> None:
        """Throw the rows away and try again later; told once, until it went well.

        Args:
            why: For the log.
            end: Offset of the changelog behind what failed: it went well once rows are beyond that.
        """
        self.begin_anew()
        self._failed_before = max(self._failed_before, end)
        self.wait_s = self._backoff.failed()
        if self._backoff.failures == 1:
            log.warning("standby begins anew, and tries until it can follow", partition=self.number, why=why)

    def asked(self, end: int, asked_s: float) -> None:
        """The changelog ended there when somebody asked; `asked_s` is the time before the question."""
        if self._mark is None:
            self._mark = end, asked_s

    def look(self, end: int | None, now_s: float, limit_s: float) -> None:
        """Judge the rows.

        Args:
            end: Of the changelog, as the latest fetch told it.
            now_s: Of the clock that goes on while the host sleeps.
            limit_s: Rows that were last known to be current longer ago may hold what was deleted since.
        """
        rows = self.rows
        if rows is None:
            return
        # Before anything newer is believed: what was read just now may come from behind tombstones that are gone.
        if rows.is_outdated(now_s, limit_s):
            self.failed("its rows are so old that the changelog may have forgotten what was deleted since", rows.at)
            return
        if self._mark is not None and rows.at >= self._mark[0]:
            rows.current_s = self._mark[1]
            self._mark = None
        if end is not None and end >= 0:
            behind = max(0, end - rows.at)
            self.behind = behind if behind <= (NEAR if self.behind is None else FAR) else None
        if rows.at >= self._failed_before and (failures := self._backoff.over()):
            self.wait_s = 0.0
            log.info("standby follows again", partition=self.number, failures=failures)
