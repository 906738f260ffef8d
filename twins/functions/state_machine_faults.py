"""Faults between the parts of a state machine that are each well-formed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

Fault = tuple[tuple[str | int, ...], str, str]
"""Place in the config, message, remedy."""


class Way(Protocol):
    """What is asked of a transition."""

    @property
    def from_(self) -> tuple[str, ...]:
        """States that it leaves, or `("*",)`."""

    @property
    def to(self) -> str:
        """State that it leads to."""

    @property
    def when(self) -> str:
        """Its condition."""

    @property
    def after_s(self) -> float | str:
        """Its wait."""

    def leaves(self, state: str) -> bool:
        """Whether it leads away from a state."""


def machine_faults(
    states: Sequence[str],
    initial: str,
    transitions: Sequence[Way],
    values: Mapping[str, Mapping[str, bool | int | float]],
) -> list[Fault]:
    """Every fault of a machine's names; what can't be reached only where the names are right."""
    faults = _names(states, initial, transitions, values)
    if not faults:
        faults += _unreachable(states, initial, transitions) + _hidden(states, transitions)
    return faults + _types(states, values)


def _names(
    states: Sequence[str],
    initial: str,
    transitions: Sequence[Way],
    values: Mapping[str, Mapping[str, bool | int | float]],
) -> list[Fault]:
    remedy = f"states are {', '.join(states)}"
    faults: list[Fault] = [
        (("states", index), f"a second state {state}", "state names are unique")
        for index, state in enumerate(states)
        if state in states[:index]
    ]
    used: list[tuple[tuple[str | int, ...], str]] = [(("initial",), initial)]
    for index, way in enumerate(transitions):
        used.append((("transitions", index, "to"), way.to))
        # "*" stands for names, and so not beside them.
        used += [(("transitions", index, "from"), state) for state in way.from_ if way.from_ != ("*",)]
    used += [(("values", state), state) for state in values]
    return faults + [(place, f"no state {state}", remedy) for place, state in used if state not in states]


def _unreachable(states: Sequence[str], initial: str, transitions: Sequence[Way]) -> list[Fault]:
    reached, border = {initial}, [initial]
    while border:
        state = border.pop()
        for way in transitions:
            if way.leaves(state) and way.to not in reached:
                reached.add(way.to)
                border.append(way.to)
    remedy = "add a transition to it, or remove it"
    return [
        (("states", index), f"nothing leads to {state} from {initial}", remedy)
        for index, state in enumerate(states)
        if state not in reached
    ]


def _hidden(states: Sequence[str], transitions: Sequence[Way]) -> list[Fault]:
    """Transitions that are never taken, because an earlier one is taken whenever they could be."""
    faults: list[Fault] = []
    for index, way in enumerate(transitions):
        left = [state for state in states if way.leaves(state)]
        before = transitions[:index]
        always = [other for other in before if other.when.strip().lower() == "true" and other.after_s == 0]
        if all(any(other.leaves(state) for other in always) for state in left):
            message = f"never taken: an earlier transition from {', '.join(left)} has no condition"
            faults.append((("transitions", index), message, "give that one a condition, or put it last"))
    return faults


def _types(states: Sequence[str], values: Mapping[str, Mapping[str, bool | int | float]]) -> list[Fault]:
    faults: list[Fault] = []
    for name in dict.fromkeys(name for given in values.values() for name in given):
        given = [(state, values[state][name]) for state in states if name in values.get(state, {})]
        for (_, before), (state, value) in pairwise(given):
            if isinstance(before, bool) != isinstance(value, bool):
                message = f"{name} is {_shown(before)} in one state and {_shown(value)} in another"
                faults.append((("values", state, name), message, "make all of them true or false, or all numbers"))
    return faults


def _shown(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
