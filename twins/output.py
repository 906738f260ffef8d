"""Builds what leaves a twin: commands, events and documents, each with its cause."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas import messages
from schemas.definition import Definition
from schemas.headers import STATUS
from schemas.messages import Cause, Event, Severity, TwinDocument, Value
from schemas.topics import TypeTopics
from streams.processor import Lineage, Outcome, OutputRecord
from twins.kernel.commands import SENT, refusals
from twins.layout import RowLayout, named
from twins.rows import RowTable
from twins.texts import tags_of
from twins.traces import Traces

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.step import StepOutput
    from streams.block import Header

Wanted = tuple[int, int, float, bytes, int, int, int, int]
"""A command that leaves or is refused: its position in the definition, mark of the kernel, value, twin, offset, event
time and arrival of its cause, and revision of the parameters."""

_COMMAND = (
    b'{"id":"%%b","type":"%b","twin":"%%b","name":"%b","value":%%b,"issued_ns":%%d,"expires_ns":%%d,'
    b'"cause":{"partition":%d,"offset":%%d,"definition":"%b","parameters":%%d},"status":%%b}'
)
"""`schemas.messages.Command` as JSON, of type, name, partition and definition; what then is still open differs from
command to command."""

_IDENTITY = b"\x1f%d\x1f%b\x1f%b"
"""Offset, twin and name: the part of `messages.stable_id` that differs between outputs of a partition."""

_NO_RECORD = -1
"""In place of an offset."""

_REFUSED = ((STATUS, b"refused"),)

ENCODERS: dict[str, Callable[[float], bytes]] = {
    "bool": lambda value: b"true" if value else b"false",
    "int": lambda value: b"%d" % int(value),
    "float": msgspec.json.encode,
}


class _CommandForm(NamedTuple):
    """What all commands of one name have in common."""

    name: bytes
    text: bytes
    encode: Callable[[float], bytes]
    ttl_ns: int
    statuses: dict[int, bytes]
    """How the object ends, by mark of the kernel."""


class OutputWriter:
    """Adds outputs of one partition to an outcome."""

    def __init__(
        self, definition: Definition, content: str, lineage: Lineage, layout: RowLayout, traces: Traces
    ) -> None:
        self._traces = traces
        self._definition = definition
        self._content = content
        self._lineage = lineage
        self._layout = layout
        self._type = str(definition.type_name)
        self._type_bytes, self._content_bytes = self._type.encode(), content.encode()
        self._topics = TypeTopics(self._type)
        shared = (lineage.cluster, lineage.topic_id, lineage.partition)
        self._digests = {kind: messages.stable_digest(kind.decode(), *shared) for kind in (b"command", b"event")}
        self._commands = [
            _CommandForm(
                name.encode(),
                # Nothing that goes in needs escaping: names and hashes have their grammars.
                _COMMAND % (self._type_bytes, name.encode(), lineage.partition, self._content_bytes),
                ENCODERS[command.type],
                round(command.expires_s * 1e9),
                {SENT: b'"issued"'}
                | {
                    mark: b'"refused","reason":' + msgspec.json.encode(reason)
                    for mark, reason in refusals(command).items()
                },
            )
            for name, command in definition.outputs.commands.items()
        ]
        self._new_document: bytes | None = None
        self._results: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}

    def commands(self, outcome: Outcome, wanted: Iterable[Wanted]) -> None:
        """Add commands, those that leave and those that are refused, in this order."""
        digest, forms = self._digests[b"command"], self._commands
        traced = self._traces.headers
        records: list[OutputRecord] = []
        for position, mark, value, twin, offset, event_ns, received_ns, revision in wanted:
            form = forms[position]
            identity = digest.copy()
            identity.update(_IDENTITY % (offset, twin, form.name))
            text = form.text % (
                identity.hexdigest().encode(),
                twin,
                form.encode(value),
                event_ns,
                received_ns + form.ttl_ns,
                offset,
                revision,
                form.statuses[mark],
            )
            headers: tuple[Header, ...] = () if mark == SENT else _REFUSED
            if traced and offset in traced:
                headers += traced[offset]
            records.append((twin, text, headers))
        if records:
            outcome.outputs.setdefault(self._topics.commands, []).extend(records)
            outcome.urgent = True

    def event(
        self,
        outcome: Outcome,
        revision: int,
        twin: bytes,
        name: str,
        *,
        severity: Severity,
        offset: int,
        event_ns: int,
        data: dict[str, Any],
        event_id: str = "",
    ) -> None:
        """Add an event; `revision` is that of the parameters."""
        event = Event(
            id=event_id or self._id(b"event", offset, twin, name.encode()),
            type=self._type,
            twin=twin.decode(),
            name=name,
            severity=severity,
            event_time_ns=event_ns,
            cause=self._cause(offset, revision),
            data=data,
        )
        outcome.add(self._topics.events, twin, messages.encode(event), self._traces.of(offset))
        outcome.urgent = True

    def documents(
        self,
        outcome: Outcome,
        table: RowTable,
        slots: Sequence[int],
        updated_ns: Sequence[int],
        offset: int = _NO_RECORD,
    ) -> None:
        """Add the metadata documents of n twins as they are now.

        Args:
            outcome: Takes them.
            table: Has the rows.
            slots: (n,) rows.
            updated_ns: (n,) arrival of what they are written for.
            offset: Of the one record that they are written for, if there is one.
        """
        rows = table.rows[list(slots)]
        names = self._definition.outputs.metadata
        metadata = (
            zip(*(self._latest(rows, name) for name in names), strict=True)
            if names
            else itertools.repeat((), len(rows))
        )
        for slot, at_ns, revision, status, created_ns, numbers, values in zip(
            slots,
            updated_ns,
            rows["revision"].tolist(),
            rows["status"].tolist(),
            rows["created_ns"].tolist(),
            self._layout.numbers(rows),
            metadata,
            strict=True,
        ):
            now = (revision, dict(zip(names, values, strict=True)), status)
            self._document(outcome, table, slot, at_ns, created_ns, numbers, now, offset)

    def new_documents(
        self,
        outcome: Outcome,
        table: RowTable,
        twins: Sequence[bytes],
        received_ns: Sequence[int],
        offset: NDArray[np.int64],
    ) -> None:
        """Add the documents of n new twins, which differ in who they are and when they came alone.

        Args:
            outcome: Takes them.
            table: Has their rows.
            twins: (n,) ids.
            received_ns: (n,) arrival.
            offset: (n,) of the records that they came with.
        """
        if self._new_document is None:
            self._new_document = self._form_of(table, table.slots[twins[0]])
        form = self._new_document
        headers = map(self._traces.of, offset.tolist()) if self._traces.headers else itertools.repeat((), len(twins))
        outcome.outputs.setdefault(self._topics.metadata, []).extend(
            # No id needs escaping.
            (twin, form % (twin, at_ns, at_ns), of)
            for twin, at_ns, of in zip(twins, received_ns, headers, strict=True)
        )

    def _form_of(self, table: RowTable, slot: int) -> bytes:
        """The document of a new twin's row, open for id, creation and change."""
        found = Outcome()
        self.documents(found, table, [slot], [0])
        ((_, text, _),) = found.outputs[self._topics.metadata]
        told = msgspec.json.decode(text or b"", type=dict[str, msgspec.Raw])
        fields = {name: bytes(value).replace(b"%", b"%%") for name, value in told.items()}
        fields |= {"id": b'"%b"', "created_ns": b"%d", "updated_ns": b"%d"}
        return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items())

    def document(
        self,
        outcome: Outcome,
        table: RowTable,
        slot: int,
        updated_ns: int,
        then: tuple[int, Mapping[str, Value | None], int],
        offset: int,
    ) -> None:
        """Add a twin's metadata document as it was `then`: revision, metadata, status bits. `offset`: of its record."""
        rows = table.rows[slot : slot + 1]
        (numbers,) = self._layout.numbers(rows)
        self._document(outcome, table, slot, updated_ns, int(rows["created_ns"][0]), numbers, then, offset)

    def _document(
        self,
        outcome: Outcome,
        table: RowTable,
        slot: int,
        updated_ns: int,
        created_ns: int,
        numbers: tuple[float, ...],
        then: tuple[int, Mapping[str, Value | None], int],
        offset: int,
    ) -> None:
        revision, metadata, status = then
        twin, stored = table.ids[slot], table.tags[slot]
        document = TwinDocument(
            id=twin.decode(),
            type=self._definition.name,
            project=self._definition.project,
            version=self._definition.version,
            revision=revision,
            parameters=self._layout.parameters(numbers, stored),
            tags=tags_of(stored),
            definition=self._content,
            created_ns=created_ns,
            updated_ns=updated_ns,
            status=self._layout.status(status),
            metadata={name: value for name, value in metadata.items() if value is not None},
        )
        outcome.add(self._topics.metadata, twin, messages.encode(document), self._traces.of(offset))

    def _latest(self, rows: NDArray[np.void], field: str) -> list[Value | None]:
        """Latest value of an input or output of n rows, None before there is one."""
        numbers = rows[f"i_{field}" if field in self._definition.inputs else f"o_{field}"].tolist()
        return [None if isnan(number) else self.typed(field, number) for number in numbers]

    def typed(self, field: str, number: float) -> Value:
        """A field's number as its declared type."""
        if field in self._layout.names:
            shown: Value = named(int(number), self._layout.names[field])
            return shown
        kind = self._results[field].type
        return bool(number) if kind == "bool" else int(number) if kind == "int" else number

    def _cause(self, offset: int, revision: int) -> Cause:
        return Cause(
            partition=self._lineage.partition,
            offset=offset,
            definition=self._content,
            parameters=revision,
        )

    def command_id(self, offset: int, twin: bytes, name: str) -> str:
        """Id of the command that the record at `offset` led to, sent or refused."""
        return self._id(b"command", offset, twin, name.encode())

    def _id(self, kind: bytes, offset: int, twin: bytes, name: bytes) -> str:
        """`messages.stable_id` of an output, going on from the part that all outputs of the partition share."""
        digest = self._digests[kind].copy()
        digest.update(_IDENTITY % (offset, twin, name))
        return digest.hexdigest()
