"""Acknowledgements of commands: only what was issued to this twin, and not too long ago, can be acknowledged."""

import re

import msgspec

from schemas.definition import Definition
from schemas.nesting import is_deep
from twins.layout import ISSUED_DEPTH, NOT_ISSUED
from twins.output import OutputWriter
from twins.requests import UNREADABLE, Refusal
from twins.rows import RowTable

_ID = re.compile(r"[0-9a-f]{32}")
_OFFSET_BITS = 32
"""Of the offsets that rows keep."""


class _Answer(msgspec.Struct):
    """Value of an `ack` record."""

    id: str


class Acknowledgements:
    """Knows the commands that the twins of one partition may acknowledge.

    A row keeps the offsets of the records that led to the last commands of each name; an id follows from the offset.
    """

    def __init__(self, definition: Definition, table: RowTable, output: OutputWriter) -> None:
        self._type = definition.type_name
        self._names = frozenset(definition.outputs.commands)
        self._waiting = {f"k_{name}" for name, command in definition.outputs.commands.items() if command.confirm}
        self._table = table
        self._output = output

    def command(self, slot: int, name: str, payload: bytes, offset: int) -> str:
        """Id of the command that a record acknowledges.

        Args:
            slot: Row of the twin.
            name: The command's name.
            payload: A JSON object with its id.
            offset: Of the record; what it acknowledges lies before it.

        Raises:
            Refusal: it can't be read, or the twin was not given such a command lately.
        """
        try:
            answer = None if is_deep(payload) else msgspec.json.decode(payload, type=_Answer)
        except UNREADABLE:
            answer = None
        if answer is None or not _ID.fullmatch(answer.id):
            raise Refusal('an acknowledgement is a JSON object with the "id" of its command, 32 hexadecimal digits')
        if name not in self._names:
            raise Refusal(f"{self._type} has no command {ascii(name)[:80]}")
        twin = self._table.ids[slot]
        for age, low in enumerate(self._table.row(slot)[f"a_{name}"].tolist()):
            before = whole_offset(low, offset)
            if low != NOT_ISSUED and answer.id == self._output.command_id(before, twin, name):
                self._confirmed(slot, name, age, offset)
                return answer.id
        raise Refusal(f"not the id of one of the last {ISSUED_DEPTH} commands {name} of this twin")

    def _confirmed(self, slot: int, name: str, age: int, offset: int) -> None:
        """The device's own word is as good as the effect that shows it."""
        row = self._table.row(slot)
        if f"k_{name}" in self._waiting and int(row[f"k_{name}"]) >> age & 1:
            row[f"k_{name}"] &= ~(1 << age)
            row["offset"] = offset
            row["revision"] += 1
            self._table.dirty[slot] = 1


def whole_offset(low: int, offset: int) -> int:
    """The latest offset up to `offset` that ends with these bits."""
    whole = offset >> _OFFSET_BITS << _OFFSET_BITS | low
    return whole if whole <= offset else whole - (1 << _OFFSET_BITS)
