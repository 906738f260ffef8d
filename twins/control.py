"""Records of the input topic that are no telemetry: requests, parameter changes, acknowledgements."""

from schemas.headers import ID, KIND, NAME, Kind
from schemas.messages import TEXT_LIMIT
from schemas.reasons import Reason
from streams.block import Block
from streams.processor import Outcome
from twins.acknowledgements import Acknowledgements
from twins.dead_letters import DeadLetters
from twins.output import OutputWriter
from twins.population import Population
from twins.record import header, header_text, received_ns
from twins.requests import Refusal, RequestRunner


class ControlRecords:
    """Carries out the control records of one partition, one by one."""

    def __init__(
        self,
        population: Population,
        requests: RequestRunner,
        acknowledgements: Acknowledgements,
        output: OutputWriter,
        letters: DeadLetters,
    ) -> None:
        self._population = population
        self._table = population.table
        self._requests = requests
        self._output = output
        self._letters = letters
        self._acknowledgements = acknowledgements

    def take(self, block: Block, index: int, outcome: Outcome) -> str:
        """Carry out one record; never raises for what is in it.

        Returns:
            `accepted`, `rejected` for a request or change that was answered so, `""` for what became a dead letter.
        """
        unreadable = block.unreadable.get(block.offset(index))
        if unreadable is not None:
            self._letters.add(outcome, block, index, Reason.UNDECODABLE, unreadable)
            return ""
        key, kind = block.key(index) or b"", header(block, index, KIND)
        if kind not in {b"request", b"parameters", b"ack"}:
            text = kind.decode(errors="replace")
            self._letters.add(outcome, block, index, Reason.UNKNOWN_KIND, f"header {KIND} is {ascii(text)[:60]}")
            return ""
        if (refusal := self._population.wrong_key(key)) is not None:
            self._letters.add(outcome, block, index, *refusal)
            return ""
        slot = self._table.slots.get(key)
        made = slot is None
        if slot is None:
            if kind != Kind.PARAMETERS.value.encode():
                detail = "no telemetry and no PUT made this twin yet"
                self._letters.add(outcome, block, index, Reason.UNKNOWN_TWIN, detail)
                if kind == Kind.REQUEST.value.encode():
                    self._answer(block, index, key, 0, header_text(block, index, NAME), detail, outcome)
                return ""
            slot = self._population.create(key, received_ns(block, index))
        if kind == Kind.ACK.value.encode():
            return self._acknowledged(block, index, slot, outcome)
        return self._request(block, index, slot, kind, outcome, made=made)

    def give_up(self, record: Block, why: str, outcome: Outcome) -> None:
        """Answer whoever waits for a record that can't be processed, if it is a request or a parameter change."""
        key, kind = record.key(0) or b"", header(record, 0, KIND)
        if kind in {b"request", b"parameters"} and self._population.wrong_key(key) is None:
            name = header_text(record, 0, NAME) if kind == b"request" else "parameters"
            self._answer(record, 0, key, 0, name, why[:TEXT_LIMIT], outcome)
            outcome.urgent = True

    def _request(self, block: Block, index: int, slot: int, kind: bytes, outcome: Outcome, *, made: bool) -> str:
        table = self._table
        payload = block.value(index) or b""
        offset = block.offset(index)
        is_request = kind == Kind.REQUEST.value.encode()
        name = header_text(block, index, NAME) if is_request else "parameters"
        before, tags = table.rows[slot : slot + 1].copy(), table.tags[slot]
        reason = ""
        try:
            if is_request:
                self._requests.request(table, slot, name, payload, offset)
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
                self._population.set_prefix(slot)
            self._output.documents(outcome, table, [slot], [received], offset)
        return "rejected" if reason else "accepted"

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
            offset=block.offset(index),
            event_ns=received_ns(block, index),
            data={"id": request_id, "request": name, "reason": reason},
            event_id=request_id,
        )

    def _acknowledged(self, block: Block, index: int, slot: int, outcome: Outcome) -> str:
        name, offset = header_text(block, index, NAME), block.offset(index)
        try:
            command_id = self._acknowledgements.command(slot, name, block.value(index) or b"", offset)
        except Refusal as refusal:
            self._letters.add(outcome, block, index, Reason.INVALID_REQUEST, str(refusal))
            return ""
        self._output.event(
            outcome,
            int(self._table.row(slot)["parameter_revision"]),
            self._table.ids[slot],
            "command_acknowledged",
            severity="info",
            offset=offset,
            event_ns=received_ns(block, index),
            data={"id": command_id, "name": name},
        )
        return "accepted"
