"""The shell around the roster: starts, watches and stops what the roster says."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import structlog

from infra.registry import ChildView
from infra.supervisor.roster import Action, Kill, Phase, Report, Roster, Start, Stop
from infra.supervisor.step_mark import take_mark
from infra.supervisor.watchdog import Watchdog
from schemas.clock import Clock, SystemClock
from schemas.errors import SetupError

log = structlog.get_logger(__name__)

EXPECTED_FAILURE = 1
"""Exit code of a role that says in one line why it can't work as things are."""


class Runner(Protocol):
    """One life of a child. Made anew for every start."""

    exit_code: int | None

    async def start(self) -> int:
        """Start it; returns its pid. An error counts as a death."""

    async def wait(self) -> str:
        """Wait until it has ended; says how."""

    def stop(self) -> None:
        """Ask it to end; nothing while it is still starting."""

    def kill(self) -> None:
        """End it; nothing while it is still starting, which is cancelled."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child that is to be kept running.

    Attributes:
        run: Makes the next life.
        mark: Where it notes the record it is at, None when it does not.
        step_timeout_s: Longest time at one mark, after which it is killed; None for any.
    """

    name: str
    run: Callable[[], Runner]
    mark: Path | None = None
    step_timeout_s: float | None = None


class Supervisor:
    """Keeps children running until they are stopped; leaving stops whatever still runs.

    Args:
        tell: Receives lines for people: deaths, restarts, alarms.
        changed: Called with the children's states whenever one changed.
        stop_timeout_s: How long a child may take to end before it is killed.
        clock: For the roster.
    """

    def __init__(
        self,
        *,
        tell: Callable[[str], None],
        changed: Callable[[tuple[ChildView, ...]], None] | None = None,
        stop_timeout_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self._tell = tell
        self._changed = changed
        self._clock = clock or SystemClock()
        self._roster = Roster(stop_timeout_s=stop_timeout_s)
        self._children: dict[str, Child] = {}
        self._runners: dict[str, Runner] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._first: dict[str, asyncio.Future[None]] = {}
        self._failed: set[str] = set()
        self._wake = asyncio.Event()
        self._news = asyncio.Condition()
        self._timer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._timer = asyncio.create_task(self._watch(), name="supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every child."""
        await self.stop()
        if self._timer is not None:
            self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timer

    def add(self, child: Child) -> None:
        """Keep this child running from now on."""
        self._children[child.name] = child
        self._first.setdefault(child.name, asyncio.get_running_loop().create_future())
        self._act(self._roster.add(child.name, self._clock.monotonic_s()))

    def restart(self, child: Child) -> None:
        """End the child, and keep this one running instead."""
        self._children[child.name] = child
        if child.name not in self._roster:
            self.add(child)
            return
        self._act(self._roster.restart(child.name, self._clock.monotonic_s()))

    async def remove(self, name: str) -> None:
        """Stop this child, wait until it has ended, and forget it."""
        if name in self._roster:
            await self.stop([name])
            self._roster.forget(name)
            self._act([])

    async def first_start(self, *names: str) -> None:
        """Wait until these children have started for the first time.

        Raises:
            SetupError: the first start of one of them failed; it says why.
        """
        for name in names:
            await asyncio.shield(self._first[name])

    def failed_as_expected(self) -> list[str]:
        """Names of children of which a life ended with a line that says why they can't work."""
        return sorted(self._failed)

    def view(self) -> tuple[ChildView, ...]:
        """The children's states."""
        return self._roster.view()

    async def stop(self, names: Iterable[str] | None = None, *, timeout_s: float | None = None) -> None:
        """Stop these children, or all, and wait until they have ended; `timeout_s` replaces the usual time to do so."""
        wanted = None if names is None else list(names)
        self._act(self._roster.stop(wanted, self._clock.monotonic_s(), timeout_s))
        async with self._news:
            await self._news.wait_for(lambda: self._roster.stopped(wanted))

    # -- doing what the roster says ----------------------------------------------------------------------------

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action.name)
            elif isinstance(action, Report):
                (log.error if action.alarm else log.warning)(action.text, child=action.name)
                self._tell(action.text)
            elif isinstance(action, Stop):
                self._runners[action.name].stop()
            elif isinstance(action, Kill):
                self._runners[action.name].kill()
                if not self._roster.has_started(action.name):
                    self._lives[action.name].cancel()
        self._wake.set()
        if self._changed is not None:
            self._changed(self._roster.view())

    def _start(self, name: str) -> None:
        child = self._children[name]
        self._runners[name] = child.run()
        self._lives[name] = asyncio.create_task(self._live(child, self._runners[name]), name=f"child-{name}")

    async def _live(self, child: Child, runner: Runner) -> None:
        """One life, from its start to its end."""
        first = self._first[child.name]
        if child.mark is not None:
            child.mark.unlink(missing_ok=True)
        try:
            pid = await runner.start()
        except asyncio.CancelledError:
            how = "stopped while starting"
        except Exception as error:  # noqa: BLE001 - whatever it was, the child is not running
            how = str(error) if isinstance(error, SetupError | OSError) else repr(error)
            if not first.done():
                first.set_exception(SetupError(how))
                first.exception()  # asked for only by those who wait for the first start
        else:
            self._roster.started(child.name, pid, self._clock.monotonic_s())
            if self._roster.phase(child.name) is Phase.STOPPING:
                runner.stop()
            self._act([])
            if not first.done():
                first.set_result(None)
            how = await self._until_ended(child, runner)
        if runner.exit_code == EXPECTED_FAILURE:
            self._failed.add(child.name)
        mark = take_mark(child.mark) if child.mark is not None else None
        self._act(self._roster.exited(child.name, how, self._clock.monotonic_s(), mark))
        async with self._news:
            self._news.notify_all()

    async def _until_ended(self, child: Child, runner: Runner) -> str:
        """Wait for the end of a life, and bring it about when a step hangs; says how it ended."""
        if child.mark is None or child.step_timeout_s is None:
            return await runner.wait()
        hung = False

        async def watch(watchdog: Watchdog) -> None:
            nonlocal hung
            mark = await watchdog.barks(self._clock)
            hung = True
            text = f"{child.name} has been at {mark} for too long, killing it"
            self._act([Report(child.name, text)])
            runner.kill()

        watching = asyncio.create_task(watch(Watchdog(child.mark, child.step_timeout_s)))
        try:
            how = await runner.wait()
        finally:
            watching.cancel()
        return f"a step took longer than engine.step_timeout_s, {child.step_timeout_s:g} s" if hung else how

    async def _watch(self) -> None:
        """Do what becomes due."""
        while True:
            next_s = self._roster.next_s()
            wait_s = None if next_s is None else max(0.0, next_s - self._clock.monotonic_s())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()
            actions = self._roster.due(self._clock.monotonic_s())
            if actions:
                self._act(actions)
                async with self._news:
                    self._news.notify_all()
