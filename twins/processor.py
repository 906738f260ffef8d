"""The twins of one partition: takes blocks, gives outputs. The engine's `Processor` for a twin type."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.errors import DefinitionError, InvalidNameError
from schemas.headers import ID, KIND, NAME, Kind
from schemas.messages import TEXT_LIMIT
from schemas.names import check_twin_id
from schemas.partitioning import partition_of
from schemas.reasons import Reason
from schemas.topics import TypeTopics
from streams.block import Block
from streams.processor import Lineage, Outcome
from twins import admission
from twins.authored import AuthoredCode
from twins.columns import Columns, TelemetryDecoder
from twins.compiler import Kernel, compile_kernel, compile_problem
from twins.kernel_source import REFUSED, SENT, value_fields
from twins.layout import LAYOUT_KEY_PREFIX, QUARANTINED, RowLayout
from twins.lines import LineWriter
from twins.output import OutputWriter, header, header_text, received_ns
from twins.requests import UNREADABLE, Refusal, RequestRunner
from twins.rows import RowTable
from twins.wiring import wire

Count = Callable[[str, str, int], None]
"""Called with what happened (`accepted`, `duplicate`, `late`, `extra`, `deadletter`), a reason or none, how often."""

_REASONS = {
    admission.IN_QUARANTINE: (Reason.QUARANTINED, "the twin is quarantined until the request release"),
    admission.FAILED: (Reason.STEP_FAILED, "a step raised on this record"),
    admission.NOT_FINITE: (Reason.STEP_FAILED, "a step gave NaN or infinity on this record"),
    admission.MISSING: (Reason.MISSING_FIELD, "an input was never sent, so there is no last value to hold"),
}


@dataclass(frozen=True)
class TwinType:
    """A deployed type, compiled: shared by all partitions of a worker.

    Attributes:
        content: Content hash of its folder.
        partitions: Of its input topic.
    """

    definition: Definition
    content: str
    layout: RowLayout
    kernel: Kernel
    code: AuthoredCode
    partitions: int

    @classmethod
    def load(cls, folder: Path, definition: Definition, content: str, partitions: int, cache: Path) -> "TwinType":
        """Import the author's code and prepare the kernel.

        Raises:
            DefinitionError: with every fault.
        """
        code = AuthoredCode(folder)
        steps = wire(definition, code)
        layout = RowLayout.of(definition)
        kernel = compile_kernel(layout, steps, code, content, cache)
        return cls(definition, content, layout, kernel, code, partitions)

    def warm_up(self) -> None:
        """Compile, or load what was compiled before, by stepping an empty block.

        Raises:
            DefinitionError: a step can't be compiled.
        """
        nothing = np.zeros(0, np.int64)
        try:
            TwinProcessor(self, Lineage("", "", 0), _no_count).run_kernel(
                nothing, nothing, Columns.empty(len(self.definition.inputs))
            )
        except Exception as error:  # noqa: BLE001 - of an empty block only the compiler can complain
            raise DefinitionError([compile_problem(error, self.code.folder)]) from None


class TwinProcessor:
    """Rows of one partition and what happens to them."""

    def __init__(self, twin_type: TwinType, lineage: Lineage, count: Count) -> None:
        definition = twin_type.definition
        self._type = twin_type
        self._definition = definition
        self._lineage = lineage
        self._count = count
        self._table = RowTable(twin_type.layout)
        self._decoder = TelemetryDecoder(definition)
        self._requests = RequestRunner(definition, twin_type.code)
        self._output = OutputWriter(definition, twin_type.content, lineage, twin_type.layout)
        self._lines = LineWriter(str(definition.type_name), definition.outputs.timeseries.fields)
        self._values = value_fields(definition)
        self._topics = TypeTopics(str(definition.type_name))
        self._layout_written = False

    # -- the engine's side ---------------------------------------------------------------------------------------

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take in changelog records. Nothing here writes tombstones; one that somebody else wrote deletes the twin."""
        for key, value in rows:
            if key.startswith(LAYOUT_KEY_PREFIX):
                fingerprint = bytes.fromhex(key.removeprefix(LAYOUT_KEY_PREFIX).decode())
                self._table.learn_layout(fingerprint, value or b"")
                self._layout_written |= fingerprint == self._type.layout.fingerprint
            elif value is not None:
                self._table.restore(key, value)
            else:
                self._table.forget(key)

    def restored(self) -> None:
        """Prepare what is derived from the rows."""
        for slot, key in enumerate(self._table.ids):
            self._set_prefix(slot, key)
        self._default_parameters()

    def process(self, block: Block) -> Outcome:
        """Step a block in record order: runs of telemetry by the kernel, everything else one by one."""
        outcome = Outcome()
        first = 0
        count = len(block)
        if any(block.headers):
            for index, kind in self._others(block):
                self._telemetry(block.part(first, index) if first < index else None, outcome)
                self._other(block, index, kind, outcome)
                first = index + 1
        self._telemetry(block if first == 0 else block.part(first, count), outcome)
        return outcome

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        """Changed rows, with the layout they need on the first occasion."""
        rows: list[tuple[bytes, bytes | None]] = []
        if not self._layout_written:
            layout = self._type.layout
            rows.append((LAYOUT_KEY_PREFIX + layout.fingerprint.hex().encode(), layout.description))
            self._layout_written = True
        rows.extend(self._table.snapshot())
        return rows

    def note(self) -> Mapping[str, str]:
        """Fingerprints for the position record."""
        return {"layout": self._type.layout.fingerprint.hex(), "definition": self._type.content}

    # -- telemetry -----------------------------------------------------------------------------------------------

    def _telemetry(self, block: Block | None, outcome: Outcome) -> None:
        if block is None or not len(block):
            return
        values = [value or b"" for value in block.values]
        if any(block.headers):
            received = np.array([received_ns(block, index) for index in range(len(block))], np.int64)
        else:
            received = np.array(block.timestamps_ms, np.int64) * 1_000_000
        columns = self._decoder.decode(values, received)
        slot = self._slots(block, columns, received, outcome)
        for index, (reason, detail) in sorted(columns.refused.items()):
            self._refuse(outcome, block, index, reason, detail)
        if columns.extra:
            self._count("extra", "", columns.extra)
        offsets = block.offset_array()
        if columns.refused:
            good = np.flatnonzero(slot >= 0)
            columns, slot, offsets, received = columns.take(good), slot[good], offsets[good], received[good]
            block = _picked(block, good)
        if len(slot):
            self._step(block, slot, offsets, received, columns, outcome)

    def _slots(
        self, block: Block, columns: Columns, received: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.int64]:
        """Row of each record, -1 for refused ones; makes rows for new twins."""
        find = self._table.slots.get
        slots = [find(key) for key in block.keys]  # type: ignore[arg-type]
        if None in slots or columns.refused:
            for index, slot in enumerate(slots):
                if index in columns.refused:
                    slots[index] = -1
                elif slot is None:
                    slots[index] = self._provide(block, index, int(received[index]), columns, outcome)
        return np.array(slots, np.int64)

    def _provide(self, block: Block, index: int, received: int, columns: Columns, outcome: Outcome) -> int:
        key = block.keys[index]
        known = self._table.slots.get(key or b"")
        if known is not None:
            return known
        refusal = self._wrong_key(key)
        if refusal is None and self._definition.provision == "declared":
            refusal = (
                Reason.UNKNOWN_TWIN,
                "the type provisions declared twins only: create it with PUT or twins create",
            )
        if refusal is not None:
            columns.refused[index] = refusal
            return -1
        return self._create(key or b"", received, outcome, announce=True)

    def _wrong_key(self, key: bytes | None) -> tuple[Reason, str] | None:
        try:
            twin = check_twin_id((key or b"").decode(errors="replace"))
        except InvalidNameError as error:
            return Reason.INVALID_NAME, str(error)
        wanted = partition_of(twin, self._type.partitions)
        if wanted != self._lineage.partition:
            detail = f"{twin} belongs into partition {wanted} (murmur2 of the id, as Java clients compute it)"
            return Reason.WRONG_PARTITION, detail
        return None

    def _create(self, key: bytes, received: int, outcome: Outcome, *, announce: bool) -> int:
        slot = self._table.add(key)
        row = self._table.row(slot)
        row["created_ns"] = received
        self._set_prefix(slot, key)
        if announce:
            self._output.document(outcome, self._table, slot, received)
        return slot

    def _set_prefix(self, slot: int, key: bytes) -> None:
        tags = self._table.tags[slot]
        wanted = {name: tags[name] for name in self._definition.outputs.timeseries.tags if name in tags}
        self._lines.set_prefix(slot, key.decode(), wanted)

    def run_kernel(
        self, slot: NDArray[np.int64], offsets: NDArray[np.int64], columns: Columns
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.uint8]]:
        """Step n records.

        Returns:
            status (n,), values (n, values + 1), fired (n, events + commands + 2).
        """
        count = len(slot)
        outputs = self._definition.outputs
        status = np.empty(count, np.uint8)
        values = np.empty((count, len(self._values) + 1))
        fired = np.zeros((count, len(outputs.events) + len(outputs.commands) + 2), np.uint8)
        cursor = np.zeros(1, np.int64)
        backup = np.zeros(1, self._type.layout.dtype)
        flag_late = self._definition.late == "flag"
        while cursor[0] < count or count == 0:
            try:
                self._type.kernel(
                    self._table.rows,
                    backup,
                    cursor,
                    slot,
                    columns.time_ns,
                    offsets,
                    columns.boot,
                    columns.seq,
                    columns.payload,
                    columns.inputs,
                    values,
                    fired,
                    status,
                    flag_late,
                )
            except NumbaError:
                raise
            except Exception:
                if not count:
                    raise
                # Whatever an author's step raises concerns one twin.
                self._step_raised(int(cursor[0]), slot, offsets, status, fired, backup)
                cursor[0] += 1
            if count == 0:
                break
        return status, values, fired

    def _step_raised(
        self,
        index: int,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        status: NDArray[np.uint8],
        fired: NDArray[np.uint8],
        backup: NDArray[np.void],
    ) -> None:
        self._table.rows[slot[index]] = backup[0]
        row = self._table.row(int(slot[index]))
        row["status"] |= QUARANTINED
        row["revision"] += 1
        row["offset"] = offsets[index]
        status[index] = admission.FAILED
        fired[index] = 0

    def _step(
        self,
        block: Block,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        columns: Columns,
        outcome: Outcome,
    ) -> None:
        status, values, fired = self.run_kernel(slot, offsets, columns)
        self._table.dirty[slot] = 1
        accepted = status <= admission.ACCEPTED_LATE
        everything = bool(accepted.all())
        kept = slice(None) if everything else np.flatnonzero(accepted)
        stored = len(self._definition.outputs.timeseries.fields)
        lines = self._lines.write(slot[kept], columns.time_ns[kept], np.ascontiguousarray(values[kept, :stored]))
        for text in lines:
            outcome.add(self._topics.timeseries, None, text)
        self._count("accepted", "", int(accepted.sum()))
        if not everything or bool((status == admission.ACCEPTED_LATE).any()):
            self._account(block, status, outcome)
        fired[(status == admission.FAILED) | (status == admission.NOT_FINITE), -1] = SENT
        self._fire(slot, offsets, received, columns, status, values, fired, outcome)

    def _account(self, block: Block, status: NDArray[np.uint8], outcome: Outcome) -> None:
        """Count the records that were not simply accepted; those that nobody could use become dead letters."""
        self._count("duplicate", "", int((status == admission.DUPLICATE).sum()))
        late = (status == admission.LATE) | (status == admission.ACCEPTED_LATE)
        self._count("late", "", int(late.sum()))
        if self._definition.late == "deadletter":
            for index in np.flatnonzero(status == admission.LATE).tolist():
                self._refuse(outcome, block, index, Reason.LATE, "older than the twin's last record")
        for index in np.flatnonzero(status >= admission.IN_QUARANTINE).tolist():
            reason, detail = _REASONS[int(status[index])]
            self._refuse(outcome, block, index, reason, detail)

    def _quarantined(self, slot: int, offset: int, event_ns: int, received: int, detail: str, outcome: Outcome) -> None:
        table = self._table
        self._output.event(
            outcome,
            int(table.row(slot)["parameter_revision"]),
            table.ids[slot],
            "quarantined",
            severity="critical",
            offset=offset,
            event_ns=event_ns,
            data={"reason": detail, "remedy": "mend the type or the parameters, then send the request release"},
        )
        self._output.document(outcome, table, slot, received)

    def _fire(
        self,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        columns: Columns,
        status: NDArray[np.uint8],
        values: NDArray[np.float64],
        fired: NDArray[np.uint8],
        outcome: Outcome,
    ) -> None:
        """Turn marks into events, commands and documents, in record order."""
        records, marks = np.nonzero(fired)
        if not len(records):
            return
        outputs, table = self._definition.outputs, self._table
        events, commands = list(outputs.events.items()), list(outputs.commands.items())
        place = {name: index for index, name in enumerate(self._values)}
        # All at once: touching arrays record by record costs more than what is made of them.
        field_of_mark = [0 for _ in events] + [place[command.field] for _, command in commands] + [0, 0]
        slots = slot[records]
        for index, mark, row, offset, event_ns, arrival_ns, revision, value, kind in zip(
            records.tolist(),
            marks.tolist(),
            slots.tolist(),
            offsets[records].tolist(),
            columns.time_ns[records].tolist(),
            received[records].tolist(),
            table.rows["parameter_revision"][slots].tolist(),
            values[records, np.array(field_of_mark)[marks]].tolist(),
            fired[records, marks].tolist(),
            strict=True,
        ):
            twin = table.ids[row]
            if mark < len(events):
                name, event = events[mark]
                data = {field: self._output.typed(field, float(values[index, place[field]])) for field in event.data}
                self._output.event(
                    outcome, revision, twin, name, severity=event.severity, offset=offset, event_ns=event_ns, data=data
                )
            elif mark < len(events) + len(commands):
                name, command = commands[mark - len(events)]
                if kind == REFUSED:
                    data = {
                        "id": self._output.command_id(offset, twin, name),
                        "name": name,
                        "value": value,
                        "reason": f"outside the declared range {command.range}",
                    }
                    self._output.event(
                        outcome,
                        revision,
                        twin,
                        "command_refused",
                        severity="warning",
                        offset=offset,
                        event_ns=event_ns,
                        data=data,
                    )
                else:
                    self._output.command(outcome, revision, twin, name, value, (offset, event_ns, arrival_ns))
            elif mark == len(events) + len(commands):
                # As it was with this record: what later records of this block made of the twin depends on the cut.
                metadata = {
                    field: self._output.typed(field, float(values[index, place[field]])) for field in outputs.metadata
                }
                self._output.document(outcome, table, row, arrival_ns, (int(values[index, -1]), metadata))
            else:
                self._quarantined(row, offset, event_ns, arrival_ns, _REASONS[int(status[index])][1], outcome)

    # -- everything else -----------------------------------------------------------------------------------------

    def _others(self, block: Block) -> list[tuple[int, bytes]]:
        return [
            (index, kind)
            for index in range(len(block))
            if block.headers[index] and (kind := header(block, index, KIND)) and kind != Kind.TELEMETRY.value.encode()
        ]

    def _other(self, block: Block, index: int, kind: bytes, outcome: Outcome) -> None:
        key = block.keys[index]
        if kind not in {b"request", b"parameters", b"ack"}:
            text = kind.decode(errors="replace")
            self._refuse(outcome, block, index, Reason.UNKNOWN_KIND, f"header {KIND} is {ascii(text)[:60]}")
            return
        if (refusal := self._wrong_key(key)) is not None:
            self._refuse(outcome, block, index, *refusal)
            return
        slot = self._table.slots.get(key or b"")
        made = slot is None
        if slot is None:
            if kind != Kind.PARAMETERS.value.encode():
                detail = "no telemetry and no PUT made this twin yet"
                self._refuse(outcome, block, index, Reason.UNKNOWN_TWIN, detail)
                if kind == Kind.REQUEST.value.encode():
                    self._answer(block, index, key or b"", 0, header_text(block, index, NAME), detail, outcome)
                return
            slot = self._create(key or b"", received_ns(block, index), outcome, announce=False)
        if kind == Kind.ACK.value.encode():
            self._acknowledged(block, index, slot, outcome)
        else:
            self._request(block, index, slot, kind, outcome, made=made)

    def _request(self, block: Block, index: int, slot: int, kind: bytes, outcome: Outcome, *, made: bool) -> None:
        table = self._table
        payload = block.values[index] or b""
        offset = block.offsets[index]
        is_request = kind == Kind.REQUEST.value.encode()
        name = header_text(block, index, NAME) if is_request else "parameters"
        before, tags = table.rows[slot : slot + 1].copy(), table.tags[slot]
        reason = ""
        try:
            if is_request:
                self._requests.request(table, slot, name, payload)
            else:
                self._requests.change(table, slot, payload)
        except Refusal as refusal:
            reason = str(refusal)[:TEXT_LIMIT]
            table.rows[slot] = before[0]
            table.tags[slot] = tags
        row = table.row(slot)
        row["offset"] = offset
        row["revision"] += 1
        table.dirty[slot] = 1
        received = received_ns(block, index)
        if is_request or reason:
            self._answer(block, index, table.ids[slot], int(row["parameter_revision"]), name, reason, outcome)
        outcome.urgent = True
        if reason and made:
            table.forget_newest()
        elif not reason:
            if table.tags[slot] != tags:
                self._set_prefix(slot, table.ids[slot])
            self._output.document(outcome, table, slot, received)

    def _answer(
        self, block: Block, index: int, twin: bytes, revision: int, name: str, reason: str, outcome: Outcome
    ) -> None:
        """Tell the sender of a request what became of it; no reason means that it was carried out."""
        request_id = header_text(block, index, ID)
        self._output.event(
            outcome,
            revision,
            twin,
            "request_rejected" if reason else "request_accepted",
            severity="warning" if reason else "info",
            offset=block.offsets[index],
            event_ns=received_ns(block, index),
            data={"id": request_id, "request": name, "reason": reason},
            event_id=request_id,
        )

    def _acknowledged(self, block: Block, index: int, slot: int, outcome: Outcome) -> None:
        try:
            answer: Any = msgspec.json.decode(block.values[index] or b"")
            command_id = answer["id"]
        except (*UNREADABLE, KeyError, TypeError):
            detail = 'an acknowledgement is a JSON object with the "id" of its command'
            self._refuse(outcome, block, index, Reason.INVALID_REQUEST, detail)
            return
        row = self._table.row(slot)
        data = {"id": str(command_id)[:64], "name": header_text(block, index, NAME)}
        self._output.event(
            outcome,
            int(row["parameter_revision"]),
            self._table.ids[slot],
            "command_acknowledged",
            severity="info",
            offset=block.offsets[index],
            event_ns=received_ns(block, index),
            data=data,
        )

    def _refuse(self, outcome: Outcome, block: Block, index: int, reason: Reason, detail: str) -> None:
        self._output.dead_letter(outcome, block, index, reason, detail)
        self._count("deadletter", reason.value, 1)

    def _default_parameters(self) -> None:
        """A changed default holds for every twin that never set that parameter."""
        table = self._table
        used = len(table)
        for position, (name, declared) in enumerate(self._definition.parameters.items()):
            default = declared.encode(declared.default)
            values = table.rows[f"p_{name}"][:used]
            stale = np.flatnonzero(~table.rows["set"][:used, position].astype(bool) & (values != default))
            table.rows[f"p_{name}"][stale] = default
            table.dirty[stale] = 1


def _picked(block: Block, indices: NDArray[np.int64]) -> Block:
    chosen = indices.tolist()
    return Block(
        block.partition,
        block.start,
        block.end,
        [block.offsets[i] for i in chosen],
        [block.timestamps_ms[i] for i in chosen],
        [block.keys[i] for i in chosen],
        [block.values[i] for i in chosen],
        [block.headers[i] for i in chosen],
    )


def _no_count(_what: str, _reason: str, _times: int) -> None:
    """For a processor whose counts interest nobody."""
