"""The two passes that a kernel makes, over records and over twins on a tick: which steps run, what may be unknown."""

import re
from typing import TYPE_CHECKING

from schemas.definition import Definition, stale_field
from twins.kernel.fields import indented, number, place
from twins.kernel.inputs import stale
from twins.wiring import WiredStep

if TYPE_CHECKING:
    from schemas.step import Step

_FIELD = re.compile(r"\bx_(\w+)")


class Pass:
    """One pass: over the records of a block, or over all twins on a tick.

    Attributes:
        definition: The type's.
        on_tick: Which of the two it is.
        name: Begins the names of its functions.
        unsure: Fields that may have no value yet: on a tick all of them; on a record those that only ticks give, and
            what follows from them. A name `k_` tells whether a field has one, and a step runs only when all that it
            takes have.
    """

    def __init__(self, definition: Definition, steps: list[WiredStep], *, on_tick: bool) -> None:
        self.definition = definition
        self.on_tick = on_tick
        self.name = "tick" if on_tick else "kernel"
        self._declared: dict[str, Step] = {step.name: step for step in definition.pipeline}
        self.unsure: set[str] = {*definition.inputs, *definition.fields()} if on_tick else set()
        for step in steps:
            if not self.runs(step) or self.needs(step):
                self.unsure.update(step.outputs)
        self._fresh = {*self.given(steps), *(() if on_tick else definition.inputs)}

    def is_fresh(self, name: str) -> bool:
        """Whether this pass gives a field its value, and does not find it in the row."""
        return name in self._fresh

    def runs(self, step: WiredStep) -> bool:
        """Whether a step is part of this pass."""
        return self._declared[step.name].runs_on in {"both", "ticks" if self.on_tick else "records"}

    def on_both(self, step: WiredStep) -> bool:
        """Whether a step is part of both passes."""
        return self._declared[step.name].runs_on == "both"

    def needs(self, step: WiredStep) -> list[str]:
        """Fields that a step takes and that may have no value."""
        return [name for name in step.fields if name in self.unsure]

    def last_lines(self) -> list[str]:
        """Lines that give the fields that may have no value what the row holds of them."""
        lines = []
        for name in [*self.definition.inputs, *self.definition.fields()]:
            if name in self.unsure:
                held = f"row.{place(name, self.definition)}"
                lines.append(f"k_{name} = not isnan({held})")
                kind = (self.definition.inputs.get(name) or self.definition.fields()[name]).type
                value = {"bool": f"{held} == 1.0", "int": f"int({held}) if k_{name} else 0"}.get(kind, held)
                lines.append(f"x_{name} = {value}")
        for name in self.definition.stale_inputs if self.on_tick else ():
            field, known = stale_field(name), f"k_{name}"
            age = stale(self.definition.inputs[name], f"row.u_{name}")
            lines += [f"k_{field} = {known}", f"x_{field} = {known} and {age}"]
        return lines

    def given(self, steps: list[WiredStep]) -> list[str]:
        """Fields that the pass gives a value, if not all that they need is missing."""
        if self.on_tick:
            given = [stale_field(name) for name in self.definition.stale_inputs]
        else:
            given = list(self.definition.implied())
        return given + [name for step in steps if self.runs(step) for name in step.outputs]

    def number(self, name: str) -> str:
        """A field's value as a float, NaN where it has none."""
        value = number(name, self.definition)
        return f"({value} if k_{name} else nan)" if name in self.unsure else value

    def in_order(self, lines: list[str]) -> list[str]:
        """Lines that hold for no outdated record."""
        if self.on_tick or not self.definition.takes_late or not lines:
            return lines
        return ["if not outdated:", *indented(lines)]

    def guarded(self, lines: list[str]) -> list[str]:
        """Lines that hold only when every field that they read has a value."""
        read = dict.fromkeys(name for line in lines for name in _FIELD.findall(line) if name in self.unsure)
        if not read:
            return lines
        return [f"if {' and '.join(f'k_{name}' for name in read)}:", *indented(lines)]
