"""Where each thing stands in what a kernel fills: `values` and `fired`."""

from dataclasses import dataclass, field

from schemas.definition import Definition
from twins.kernel.fields import value_fields
from twins.layout import ISSUED_DEPTH

OUTCOMES = 3
"""Columns of `fired` that a command with `confirm` has besides: which of its last commands, as bits of their ages, were
confirmed, were not in time, or were superseded."""


@dataclass(frozen=True)
class KernelColumns:
    """Columns of a type's kernel.

    Attributes:
        revision: Of the twin, in `values` behind the `value_fields`.
        line: Whether a line of time series is due, in `values`; filled only where that follows from more than what is
            stepped.
        offsets: First of the `ISSUED_DEPTH` columns of `values` with the offsets (low 32 bits, latest first) of a
            command's last causes, as its outcomes found them; by command.
        values: How many columns `values` has.
        events: First of the events in `fired`.
        commands: First of the commands.
        outcomes: First of the `OUTCOMES` of a command that waits to be confirmed, by command.
        metadata: Mark for a document that is due.
        quarantined: The last mark, which the kernel leaves alone.
        fired: How many columns `fired` has.
    """

    revision: int
    line: int
    values: int
    commands: int
    metadata: int
    quarantined: int
    fired: int
    events: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: Definition) -> "KernelColumns":
        """Columns of a definition's kernel."""
        outputs = definition.outputs
        confirmed = [name for name, command in outputs.commands.items() if command.confirm is not None]
        revision, first = len(value_fields(definition)), len(outputs.events) + len(outputs.commands)
        metadata = first + OUTCOMES * len(confirmed)
        return cls(
            revision=revision,
            line=revision + 1,
            values=revision + 2 + ISSUED_DEPTH * len(confirmed),
            commands=len(outputs.events),
            metadata=metadata,
            quarantined=metadata + 1,
            fired=metadata + 2,
            offsets={name: revision + 2 + ISSUED_DEPTH * number for number, name in enumerate(confirmed)},
            outcomes={name: first + OUTCOMES * number for number, name in enumerate(confirmed)},
        )
