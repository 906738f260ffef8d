"""Commands as the documentation tells it, in plain Python: what is wanted, refused, sent, confirmed, failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas.definition import Definition

if TYPE_CHECKING:
    from schemas.outputs import CommandOutput

REMEMBERED = 8
Said = tuple[str, str, int, str]
"""Status, command, offset of its cause and, where there is one, the first word of the reason."""


@dataclass
class _Memory:
    """What is known of one command of a twin."""

    commanded: float | None = None  # what the device has, as far as nothing was reset
    sent: tuple[float, int] | None = None  # value and time of the last that left
    told: set[str] = field(default_factory=set)  # why it was refused since something holds it back
    waiting: list[tuple[int, int]] = field(default_factory=list)  # cause and time, oldest first


class PlainCommands:
    """Commands of one twin."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._memory = {name: _Memory() for name in definition.outputs.commands}

    def reset(self) -> None:
        """Everything is wanted anew."""
        for memory in self._memory.values():
            memory.commanded = None
            memory.told.clear()

    def acknowledge(self, name: str, cause: int) -> None:
        """The device said that it has a command."""
        memory = self._memory[name]
        memory.waiting = [one for one in memory.waiting if one[0] != cause]

    def take(self, time_ns: int, offset: int, scope: Mapping[str, Any]) -> list[Said]:
        """What a record leads to; `scope` has fields and parameters."""
        said: list[Said] = []
        for name, command in self._definition.outputs.commands.items():
            said += self._settle(name, command, time_ns, scope)
            said += self._want(name, command, time_ns, offset, scope)
        return said

    def _settle(self, name: str, command: "CommandOutput", time_ns: int, scope: Mapping[str, Any]) -> list[Said]:
        memory, confirm = self._memory[name], command.confirm
        said: list[Said] = []
        if confirm is None:
            return said
        for one in list(memory.waiting):
            cause, left_ns = one
            assert memory.sent is not None
            if time_ns > left_ns + round(confirm.within_s * 1e9):
                said.append(("failed", name, cause, "confirm"))
            elif time_ns >= left_ns and abs(float(scope[confirm.field]) - memory.sent[0]) <= confirm.tolerance:
                said.append(("acked", name, cause, ""))
            else:
                continue
            memory.waiting.remove(one)
        return said

    def _want(
        self, name: str, command: "CommandOutput", time_ns: int, offset: int, scope: Mapping[str, Any]
    ) -> list[Said]:
        memory, value = self._memory[name], float(scope[command.field])
        reasons = self._reasons(command, memory, value, time_ns, scope)
        if not reasons:
            memory.told.clear()
        if command.when is not None:
            wanted = bool(scope[command.when])
        else:
            wanted = memory.commanded is None or value != memory.commanded
            if command.refresh_s and memory.sent is not None:
                wanted = wanted or time_ns - memory.sent[1] >= round(command.refresh_s * 1e9)
        if not wanted:
            return []
        if reasons:
            reason, again = reasons[0], command.when is None and reasons[0] in memory.told
            memory.told.add(reason)
            return [] if again else [("refused", name, offset, reason)]
        said: list[Said] = []
        if command.confirm is not None:
            gone = memory.waiting if memory.sent and memory.sent[0] != value else memory.waiting[: 1 - REMEMBERED]
            said = [("failed", name, cause, "superseded") for cause, _ in gone]
            memory.waiting = [*memory.waiting[len(gone) :], (offset, time_ns)]
        memory.commanded, memory.sent = value, (value, time_ns)
        return [*said, ("issued", name, offset, "")]

    def _reasons(
        self, command: "CommandOutput", memory: _Memory, value: float, time_ns: int, scope: Mapping[str, Any]
    ) -> list[str]:
        """All that holds a value back, in order; the first is told."""
        found = []
        if command.range and not command.range[0] <= value <= command.range[1]:
            found.append("range")
        if memory.sent is not None:
            last, at_ns = memory.sent
            if command.max_rate is not None and abs(value - last) > command.max_rate * ((time_ns - at_ns) / 1e9):
                found.append("max_rate")
            if command.min_interval_s and time_ns - at_ns < round(command.min_interval_s * 1e9):
                found.append("min_interval")
        names = {"__builtins__": {}, "true": True, "false": False, "abs": abs, "min": min, "max": max, **scope}
        for interlock, condition in command.interlocks.items():
            if not eval(condition, names):  # noqa: S307 - a test's own conditions
                found.append(f"interlock {interlock}")
        return found
