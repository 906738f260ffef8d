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
        arguments: Of the function, `time_ns` last.
        ways: Of each state the transitions that leave it, in order: the next state, the condition as source, and the
            wait in seconds or the argument that has it.
        initial: The state that a twin begins in.
        values: For each value what it is in every state.
        report: Further results by name.
    """

    arguments: tuple[str, ...]
    ways: Mapping[int, Sequence[tuple[int, str, float | str]]]
    initial: int
    values: Sequence[Sequence[bool | int | float]]
    report: Sequence[str]

    def waits(self, state: int) -> list[str]:
        """Arguments whose values are taken when a state is entered."""
        return [wait for _, _, wait in self.ways[state] if isinstance(wait, str)]


def machine_source(machine: MachineSource) -> str:
    """Source of `state_machine(state, *arguments)`; its own names begin with an underscore, as no field does."""
    lines = [
        f"def state_machine(state, {', '.join(machine.arguments)}):",
        # A version with fewer states may have taken the row over.
        f"    if not state.started or state.state >= {len(machine.ways)}:",
        "        state.started = True",
        f"        state.state = {machine.initial}",
        "        state.records = 0",
        "        state.entered_ns = time_ns",
        "        state.latest_ns = time_ns",
        *_taken(machine, machine.initial, 2),
        "    state.latest_ns = max(state.latest_ns, time_ns)",
        "    _elapsed_ns = state.latest_ns - state.entered_ns",
        # Dividing whole nanoseconds gives the float nearest to the seconds, which is also what the number stands for
        # that an author compares it with; multiplying by 1e-9 does not.
        "    _elapsed_s = _elapsed_ns / 1e9",
        "    state.records += 1",
        "    _records_in_state = state.records",
        "    _next = -1",
    ]
    word = "if"
    for state, ways in machine.ways.items():
        if ways:
            lines += [f"    {word} state.state == {state}:", *_choice(ways)]
            word = "elif"
    lines += [
        "    if _next >= 0:",
        "        state.state = _next",
        "        state.entered_ns = state.latest_ns",
        "        state.records = 0",
    ]
    for state in machine.ways:
        if taken := _taken(machine, state, 3):
            lines += [f"        if _next == {state}:", *taken]
    lines += _values(machine)
    results = ["state.state", *(f"_v{index}" for index in range(len(machine.values)))]
    results += [_REPORTED[name] for name in machine.report]
    return "\n".join([*lines, f"    return {', '.join(results)}", ""])


_REPORTED = {
    "changed": "_next >= 0",
    "elapsed_s": "(state.latest_ns - state.entered_ns) / 1e9",
    "records_in_state": "state.records",
}


def _choice(ways: Sequence[tuple[int, str, float | str]]) -> list[str]:
    """The first transition that is enabled."""
    lines, waits = [], 0
    for index, (target, guard, wait) in enumerate(ways):
        if isinstance(wait, str):
            over = f"_elapsed_ns >= state.waits_ns[{waits}] and "
            waits += 1
        else:
            over = f"_elapsed_ns >= {to_ns(wait)} and " if wait else ""
        lines += [f"        {'if' if index == 0 else 'elif'} {over}{guard}:", f"            _next = {target}"]
    return lines


def _taken(machine: MachineSource, state: int, depth: int) -> list[str]:
    """What is noted when a state is entered: how long its transitions wait."""
    return [
        f"{'    ' * depth}state.waits_ns[{index}] = wait_ns({argument})"
        for index, argument in enumerate(machine.waits(state))
    ]


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
