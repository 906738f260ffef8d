"""The source of a state machine's function: its transitions written out, so that they compile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twins.functions.durations import to_ns

_LONGEST_S = 1e9


def wait_ns(wait_s: float) -> int:
    """A wait that a field asks for; one below 0 is over at once."""
    if not wait_s > 0.0:
        return 0
    return to_ns(min(wait_s, _LONGEST_S))


SCOPE = {"wait_ns": wait_ns}
"""What the source calls."""


@dataclass(frozen=True, slots=True)
class MachineSource:
    """What a machine's source is made of.

    Attributes:
        arguments: Of the function.
        ways: Of each state the transitions that leave it, in order: the next state, the condition as source, the wait
            in seconds or the argument that has it, and what to raise when a condition divides by zero, `""` for one
            that divides nothing.
        initial: The state that a twin begins in.
        values: For each value what it is in every state.
        report: Further results by name.
        timed: Whether anything depends on how long a state lasts.
        counted: Whether anything depends on the number of records in it.
    """

    arguments: tuple[str, ...]
    ways: Mapping[int, Sequence[tuple[int, str, float | str, str]]]
    initial: int
    values: Sequence[Sequence[bool | int | float]]
    report: Sequence[str]
    timed: bool
    counted: bool

    def waits(self, state: int) -> list[str]:
        """Arguments whose values are taken when a state is entered."""
        return [wait for _, _, wait, _ in self.ways[state] if isinstance(wait, str)]


def machine_source(machine: MachineSource) -> str:
    """Source of `state_machine(state, *arguments)`; its own names begin with an underscore, as no field does."""
    lines = [
        f"def state_machine(state, {', '.join(machine.arguments)}):",
        # A version with more states may have left the row.
        f"    if state.state >= {len(machine.ways)}:",
        f"        state.state = {machine.initial}",
        *(["        state.started = False"] if machine.timed else []),
        *(["        state.records = 0"] if machine.counted else []),
    ]
    if machine.timed:
        lines += [
            "    if not state.started:",
            "        state.started = True",
            "        state.entered_ns = time_ns",
            "        state.latest_ns = time_ns",
            *_waits(machine),
            "    state.latest_ns = max(state.latest_ns, time_ns)",
            "    _elapsed_ns = state.latest_ns - state.entered_ns",
            # Dividing whole nanoseconds gives the float nearest to the seconds, which is also what the number stands
            # for that an author compares it with; multiplying by 1e-9 does not.
            "    _elapsed_s = _elapsed_ns / 1e9",
        ]
    if machine.counted:
        lines += ["    state.records += 1", "    _records_in_state = state.records"]
    lines.append("    _next = -1")
    word = "if"
    for state, ways in machine.ways.items():
        if ways:
            lines += [f"    {word} state.state == {state}:", *_choice(ways)]
            word = "elif"
    lines += ["    if _next >= 0:", "        state.state = _next"]
    if machine.timed:
        lines += ["        state.entered_ns = state.latest_ns", *_waits(machine)]
    if machine.counted:
        lines.append("        state.records = 0")
    lines += _values(machine)
    results = ["state.state", *(f"_v{index}" for index in range(len(machine.values)))]
    results += [_REPORTED[name] for name in machine.report]
    return "\n".join([*lines, f"    return {', '.join(results)}", ""])


_REPORTED = {
    "changed": "_next >= 0",
    "elapsed_s": "(state.latest_ns - state.entered_ns) / 1e9",
    "records_in_state": "state.records",
}


def _choice(ways: Sequence[tuple[int, str, float | str, str]]) -> list[str]:
    """The first transition that is enabled."""
    lines, waits = [], 0
    for target, guard, wait, fault in ways:
        if isinstance(wait, str):
            over = f"_elapsed_ns >= state.waits_ns[{waits}] and "
            waits += 1
        else:
            over = f"_elapsed_ns >= {to_ns(wait)} and " if wait else ""
        lines += [f"        if _next < 0 and {over}{'True' if fault else guard}:"]
        if fault:
            lines += [
                "            _go, _computed = False, False",
                "            try:",
                f"                _go = {guard}",
                "                _computed = True",
                "            except Exception:",
                "                _computed = False",
                # Numba raises nothing where something is caught.
                "            if not _computed:",
                f"                raise ZeroDivisionError({fault!r})",
                f"            if _go:\n                _next = {target}",
            ]
        else:
            lines.append(f"            _next = {target}")
    return lines


def _waits(machine: MachineSource) -> list[str]:
    """Lines that note, for the state that was entered, how long its transitions wait."""
    lines = []
    for state in machine.ways:
        noted = [
            f"            state.waits_ns[{index}] = wait_ns({argument})"
            for index, argument in enumerate(machine.waits(state))
        ]
        lines += [f"        if state.state == {state}:", *noted] if noted else []
    return lines


def _values(machine: MachineSource) -> list[str]:
    lines = []
    for index, column in enumerate(machine.values):
        usual = max(column, key=list(column).count)
        chain = ""
        for value in dict.fromkeys(column):
            if value != usual:
                within = " or ".join(f"state.state == {state}" for state, other in enumerate(column) if other == value)
                chain += f"{value!r} if {within} else "
        lines.append(f"    _v{index} = {chain}{usual!r}")
    return lines
