"""The decisions of supervision: what happened to a child and the time in, what to do out."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from infra import registry
from infra.registry import ChildView

UP_AFTER_S = 1.0
"""A child that lived this long is started again at once."""
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
"""Bounds of the back-off of a child that dies at once."""
BUSY_WINDOW_S = 20.0
BUSY_DEATHS = 4
BUSY_DELAY_S = 1.0
"""A child that keeps dying, if not at once, waits this long: the machine breathes, and it is still up within 4 s."""
SAME_MARK_LIMIT = 3
"""A child that dies this often at the same record is stopped for good."""


class Phase(StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"
    """To be started at a known time."""
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ALARMED = registry.ALARMED
    """Stopped for good, until somebody deploys anew."""


class Mark(NamedTuple):
    """The records that a child was at when it died.

    Attributes:
        partition: Of the input topic.
        offset: Of the first.
        end: Offset after the last.
    """

    partition: int
    offset: int
    end: int

    def common(self, other: "Mark | None") -> "Mark | None":
        """What two deaths have in common: the record that kills is in every block that died, however it was cut."""
        if other is None or other.partition != self.partition:
            return None
        first, end = max(self.offset, other.offset), min(self.end, other.end)
        return Mark(self.partition, first, end) if first < end else None

    def __str__(self) -> str:
        """For people."""
        where = f"offset {self.offset}" if self.end == self.offset + 1 else f"offsets {self.offset} to {self.end - 1}"
        return f"partition {self.partition}, {where}"


@dataclass(frozen=True, slots=True)
class Start:
    """Start the child now."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the child to end."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the child that did not end when asked."""

    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """Tell people."""

    name: str
    text: str
    alarm: bool = False


Action = Start | Stop | Kill | Report


@dataclass(slots=True)
class _Child:
    name: str
    phase: Phase
    due_s: float | None = None
    pid: int | None = None
    started_s: float = 0.0
    restarts: int = 0
    delay_s: float = FIRST_DELAY_S
    deaths_s: deque[float] = field(default_factory=lambda: deque(maxlen=BUSY_DEATHS))
    mark: Mark | None = None
    same_marks: int = 0
    again: bool = False
    detail: str = ""


class Roster:
    """Every child of one supervisor. Calls return what to do; nothing here does it or reads a clock."""

    def __init__(self, *, stop_timeout_s: float = 5.0) -> None:
        self._stop_timeout_s = stop_timeout_s
        self._children: dict[str, _Child] = {}

    def __contains__(self, name: object) -> bool:
        """Whether the child is known."""
        return name in self._children

    def view(self) -> tuple[ChildView, ...]:
        """What run files and `status` show."""
        return tuple(
            ChildView(name=c.name, pid=c.pid, phase=c.phase, restarts=c.restarts, detail=c.detail)
            for c in self._children.values()
        )

    def phase(self, name: str) -> Phase:
        """Where a known child is."""
        return self._children[name].phase

    def has_started(self, name: str) -> bool:
        """Whether a known child is a process now."""
        return self._children[name].pid is not None

    def next_s(self) -> float | None:
        """When `due` has something to do next, None for never."""
        return min((c.due_s for c in self._children.values() if c.due_s is not None), default=None)

    def add(self, name: str, now_s: float) -> list[Action]:
        """A child is wanted; one that was stopped for good gets a new chance."""
        child = self._children.get(name)
        if child is not None and child.phase is Phase.STOPPING:
            child.again = True
            return []
        if child is not None and child.phase not in {Phase.STOPPED, Phase.ALARMED}:
            return []
        self._children[name] = _Child(name, Phase.STARTING, started_s=now_s)
        return [Start(name)]

    def restart(self, name: str, now_s: float) -> list[Action]:
        """A child is to end and to be started again, because what it runs has changed."""
        actions = self.stop([name], now_s)
        return actions + self.add(name, now_s)

    def started(self, name: str, pid: int, now_s: float) -> None:
        """A start succeeded."""
        child = self._children[name]
        child.pid, child.started_s, child.detail = pid, now_s, ""
        if child.phase is Phase.STARTING:
            child.phase = Phase.RUNNING

    def exited(self, name: str, how: str, now_s: float, mark: Mark | None = None) -> list[Action]:
        """A child ended, or could not be started.

        Args:
            name: Which.
            how: For people, such as `signal 9`.
            now_s: Monotonic seconds.
            mark: The records it was at, None when it was at none.
        """
        child = self._children[name]
        pid, child.pid, child.due_s = child.pid, None, None
        if child.phase is Phase.STOPPING:
            child.phase = Phase.STOPPED
            return self.add(name, now_s) if child.again else []
        common = None if mark is None else mark.common(child.mark)
        child.same_marks = child.same_marks + 1 if common is not None else int(mark is not None)
        child.mark = common or mark
        died = f"{name} died ({how})" if pid is None else f"{name} (pid {pid}) died ({how})"
        if child.mark is not None and child.same_marks >= SAME_MARK_LIMIT:
            child.phase = Phase.ALARMED
            child.detail = f"died {SAME_MARK_LIMIT} times at {child.mark}: stopped; mend the type and deploy it again"
            return [Report(name, f"{died}; {child.detail}", alarm=True)]
        delay_s = self._delay_s(child, now_s)
        child.restarts += 1
        child.detail = f"died ({how})"
        child.phase, child.due_s = Phase.WAITING, now_s + delay_s
        when = "starting it again" if delay_s <= 0 else f"starting it again in {delay_s:.1f} s"
        return [Report(name, f"{died}, {when}"), *self.due(now_s)]

    def due(self, now_s: float) -> list[Action]:
        """What has become due."""
        actions: list[Action] = []
        for child in self._children.values():
            if child.due_s is None or child.due_s > now_s:
                continue
            child.due_s = None
            if child.phase is Phase.WAITING:
                child.phase, child.started_s = Phase.STARTING, now_s
                actions.append(Start(child.name))
            elif child.phase is Phase.STOPPING:
                actions += [Report(child.name, f"{child.name} does not stop, killing it"), Kill(child.name)]
        return actions

    def forget(self, name: str) -> None:
        """Do not list a stopped child any longer."""
        self._children.pop(name, None)

    def stop(self, names: Iterable[str] | None, now_s: float, timeout_s: float | None = None) -> list[Action]:
        """Stop these children, or all; those that take longer than `timeout_s`, or the usual time, are killed."""
        timeout_s = self._stop_timeout_s if timeout_s is None else timeout_s
        actions: list[Action] = []
        for name in list(self._children) if names is None else names:
            child = self._children[name]
            child.again = False
            if child.phase in {Phase.STARTING, Phase.RUNNING}:
                child.phase, child.due_s = Phase.STOPPING, now_s + timeout_s
                actions.append(Stop(name))
            elif child.phase is not Phase.STOPPING:
                child.phase, child.due_s = Phase.STOPPED, None
        return actions

    def stopped(self, names: Iterable[str] | None = None) -> bool:
        """Whether these children, or all, have ended for good."""
        wanted = self._children if names is None else names
        return all(self._children[name].phase in {Phase.STOPPED, Phase.ALARMED} for name in wanted)

    def _delay_s(self, child: _Child, now_s: float) -> float:
        child.deaths_s.append(now_s)
        if now_s - child.started_s < UP_AFTER_S:
            delay_s = child.delay_s
            child.delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            return delay_s
        child.delay_s = FIRST_DELAY_S
        busy = len(child.deaths_s) == BUSY_DEATHS and now_s - child.deaths_s[0] < BUSY_WINDOW_S
        return BUSY_DELAY_S if busy else 0.0
