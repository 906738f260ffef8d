"""The part of a kernel that decides whether a command leaves, and what became of those that left before.

Its lines need `at_ns` and `cause`, event time and offset of what they follow from, and the `x_` name of every field.
"""

from collections.abc import Collection

from schemas.definition import Definition
from schemas.expression import parse_condition
from schemas.outputs import CommandOutput
from twins.kernel.columns import KernelColumns
from twins.kernel.fields import condition, indented, number
from twins.layout import ISSUED_DEPTH, limits_of, remembers_sent

SENT = 1
"""Mark in `fired`: the event or command leaves."""

_RANGE, _MAX_RATE, _MIN_INTERVAL, _FIRST_INTERLOCK = 2, 3, 4, 5
"""Further marks of a command: what refused it. Interlocks count up from the last, and once more where they
can't be computed."""

SUPPRESSED = 255
"""Mark of a command that is refused for a reason that was told since something holds it back."""


def refusals(command: CommandOutput) -> dict[int, str]:
    """Reasons of a refused command, by mark."""
    reasons = {}
    if command.range:
        reasons[_RANGE] = f"range: outside the declared range {list(command.range)}"
    if command.max_rate is not None:
        reasons[_MAX_RATE] = f"max_rate: changes by more than {command.max_rate} per second since the last one sent"
    if command.min_interval_s:
        reasons[_MIN_INTERVAL] = f"min_interval: less than {command.min_interval_s} s after the last one sent"
    texts = {name: " ".join(text.split()) for name, text in command.interlocks.items()}
    reasons |= dict(enumerate((f"interlock {name}: {text}" for name, text in texts.items()), _FIRST_INTERLOCK))
    divided = (f"interlock {name}: {text} can't be computed: division by zero" for name, text in texts.items())
    return reasons | dict(enumerate(divided, _FIRST_INTERLOCK + len(texts)))


def failures(command: CommandOutput) -> tuple[str, ...]:
    """Why an earlier command failed, for each of its `OUTCOMES`; nothing where it did not."""
    if command.confirm is None:
        return ()
    late = f"confirm: {command.confirm.field} did not show its value within {command.confirm.within_s} s"
    return ("", late, "superseded: a later command took its place")


def command_lines(name: str, definition: Definition, columns: KernelColumns) -> list[str]:
    """Lines that decide about one command and note it in the row."""
    command = definition.outputs.commands[name]
    mark = f"fired[r, {columns.commands + list(definition.outputs.commands).index(name)}]"
    lines, told = [f"value = {number(command.field, definition)}"], []
    decision = [f"{mark} = {SENT}", *_sent(name, command, columns)]
    if limits := limits_of(command):
        lines.append("refused = 0")
        told_no_more = []
        interlocks = enumerate(command.interlocks.values(), _FIRST_INTERLOCK)
        dividing = {refusal for refusal, text in interlocks if parse_condition(text).divides}
        asked = list(zip(limits, _broken(name, command, definition).items(), strict=True))
        for limit, (refusal, broken) in reversed(asked):
            uncomputed = refusal + len(command.interlocks)
            divides = refusal in dividing
            plain = [f"if {broken}:", f"    refused = {refusal}"]
            lines += _asked_of(broken, refusal, uncomputed) if divides else plain
            if command.when is not None:
                continue
            # Each reason is told once until nothing holds the command back, whatever is wanted meanwhile.
            flag = f"row.r_{name}.{limit}"
            told_no_more.append(f"{flag} = 0")
            for one in (refusal, uncomputed) if divides else (refusal,):
                told += [f"elif refused == {one}:", f"    {mark} = {SUPPRESSED} if {flag} else {one}"]
                told.append(f"    {flag} = 1")
        if told:
            lines += ["if refused == 0:", *indented(told_no_more)]
        else:
            # Every wish of `when` is one of its own.
            told = ["else:", f"    {mark} = refused"]
        decision = ["if refused == 0:", *indented(decision), *told]
    return [*lines, f"if {_wanted(name, command)}:", *indented(decision)]


def _asked_of(broken: str, refusal: int, uncomputed: int) -> list[str]:
    """Lines that ask an interlock that divides: one that can't be computed does not hold."""
    return [
        "broken, computed = True, False",
        "try:",
        f"    broken = {broken}",
        "    computed = True",
        "except Exception:",
        "    computed = False",
        "if broken:",
        f"    refused = {refusal} if computed else {uncomputed}",
    ]


def outcome_lines(
    name: str, definition: Definition, columns: KernelColumns, *, measured: bool = True, unsure: Collection[str] = ()
) -> list[str]:
    """Lines that settle earlier commands, to stand before `command_lines`; none for a command without `confirm`.

    Args:
        name: The command's.
        definition: What it belongs to.
        columns: Of the kernel.
        measured: Whether a device has just said what the fields say: what it said before can't confirm.
        unsure: Fields that may have no value yet, which confirm nothing then; deadlines pass all the same.
    """
    command = definition.outputs.commands[name]
    if command.confirm is None:
        return []
    within_ns, first = round(command.confirm.within_s * 1e9), columns.outcomes[name]
    each = [f"if at_ns > row.d_{name}[age]:", "    overdue |= 1 << age"]
    if measured:
        field = command.confirm.field
        known = f"k_{field} and " if field in unsure else ""
        shown = f"{known}abs({number(field, definition)} - row.l_{name}) <= {command.confirm.tolerance!r}"
        # Of the record's own time: what was measured before the command left confirms nothing, however late it comes.
        each += [f"elif time_ns[r] >= row.d_{name}[age] - {within_ns} and {shown}:", "    confirmed |= 1 << age"]
    return [
        f"if row.k_{name} != 0:",
        "    confirmed = overdue = 0",
        f"    for age in range({ISSUED_DEPTH}):",
        f"        values[r, {columns.offsets[name]} + age] = row.a_{name}[age]",
        f"        if (row.k_{name} >> age) & 1:",
        *indented(indented(indented(each))),
        f"    row.k_{name} &= ~(confirmed | overdue)",
        f"    fired[r, {first}], fired[r, {first + 1}] = confirmed, overdue",
    ]


def _wanted(name: str, command: CommandOutput) -> str:
    if command.when is not None:
        return f"x_{command.when}"
    wanted = f"isnan(row.c_{name}) or value != row.c_{name}"
    if refresh_ns := round(command.refresh_s * 1e9):
        wanted += f" or at_ns - row.t_{name} >= {refresh_ns}"
    return wanted


def _broken(name: str, command: CommandOutput, definition: Definition) -> dict[int, str]:
    """Conditions under which a wanted value is refused, by mark; the first that holds counts."""
    broken = {}
    if command.range:
        low, high = command.range
        broken[_RANGE] = f"not {low!r} <= value <= {high!r}"
    if command.max_rate is not None:
        # Nothing was sent yet: NaN exceeds nothing.
        broken[_MAX_RATE] = f"abs(value - row.l_{name}) > {command.max_rate!r} * ((at_ns - row.t_{name}) / 1e9)"
    if interval_ns := round(command.min_interval_s * 1e9):
        broken[_MIN_INTERVAL] = f"not isnan(row.l_{name}) and at_ns - row.t_{name} < {interval_ns}"
    interlocks = (f"not {condition(text, definition)}" for text in command.interlocks.values())
    return broken | dict(enumerate(interlocks, _FIRST_INTERLOCK))


def _sent(name: str, command: CommandOutput, columns: KernelColumns) -> list[str]:
    """Lines that note a command that leaves."""
    lines = [f"row.c_{name} = value", f"row.t_{name} = at_ns"]
    shift = [f"    row.a_{name}[age] = row.a_{name}[age - 1]"]
    latest = [f"row.a_{name}[0] = cause & 0xFFFFFFFF"]
    if command.confirm is not None:
        # Another value takes the place of all before; the same one of those that are too many to remember.
        lines += [
            f"superseded = row.k_{name} if value != row.l_{name} else row.k_{name} & {1 << ISSUED_DEPTH - 1}",
            f"row.k_{name} = ((row.k_{name} & ~superseded) << 1) | 1",
            f"fired[r, {columns.outcomes[name] + 2}] = superseded",
        ]
        shift.append(f"    row.d_{name}[age] = row.d_{name}[age - 1]")
        latest.append(f"row.d_{name}[0] = at_ns + {round(command.confirm.within_s * 1e9)}")
    if remembers_sent(command):
        lines.append(f"row.l_{name} = value")
    return [*lines, f"for age in range({ISSUED_DEPTH - 1}, 0, -1):", *shift, *latest]
