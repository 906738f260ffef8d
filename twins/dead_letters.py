"""Dead letters for records of the input topic, in the order of the records."""

from collections.abc import Mapping
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from schemas import messages
from schemas.headers import LETTER, RECEIVED, REDRIVE, SOURCE
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics
from streams.block import Block, Header, ReadRecord
from streams.processor import Outcome
from twins.account import Account
from twins.arrival import arrival_ns
from twins.record import header_text
from twins.traces import Traces


class DeadLetters:
    """Collects the dead letters of one partition, block by block.

    Args:
        type_name: Of the twins.
        account: Is told of each.
        traces: Which traces the records belong to.
    """

    def __init__(self, type_name: str, account: Account, traces: Traces) -> None:
        self._traces = traces
        self._type = type_name
        self._account = account
        self._topic = TypeTopics(type_name).telemetry
        self._letters: list[tuple[int, bytes | None, bytes, tuple[Header, ...]]] = []

    def add(self, outcome: Outcome, block: Block, index: int, reason: Reason, detail: str) -> None:
        """Write a dead letter for a record, to be sent by `send`, and count it.

        Of a record that was one before no second letter is made: the first is told the reason.
        """
        (record,) = block.records([index])
        outcome.count("deadletter", reason.value)
        offset, timestamp_ms, _, _, headers = record
        told = dict(headers)
        if told.get(REDRIVE):
            self.tell(block, index, reason.value, detail)
            return
        self._account.deadlettered(told, is_readable=offset not in block.unreadable)
        self._write(block.partition, record, told, arrival_ns(told.get(RECEIVED, b""), timestamp_ms), reason, detail)

    def add_all(
        self,
        outcome: Outcome,
        block: Block,
        refused: Mapping[int, tuple[Reason, str]],
        records: Mapping[int, ReadRecord],
        received_ns: NDArray[np.int64],
    ) -> None:
        """Write dead letters for telemetry that was counted, or tell those that it was before.

        Args:
            outcome: Counts them.
            block: n records.
            refused: Reason and detail by index.
            records: The same.
            received_ns: (n,) arrival.
        """
        arrived_ns = received_ns[list(records)].tolist()
        for (index, record), came_ns in zip(records.items(), arrived_ns, strict=True):
            reason, detail = refused[index]
            outcome.count("deadletter", reason.value)
            told = dict(record[4])
            if told.get(REDRIVE):
                self.tell(block, index, reason.value, detail)
            else:
                self._write(block.partition, record, told, came_ns, reason, detail)

    def _write(
        self,
        partition: int,
        record: ReadRecord,
        told: Mapping[str, bytes],
        received_ns: int,
        reason: Reason,
        detail: str,
    ) -> None:
        offset, _, key, value, headers = record
        key = key or b""
        letter = messages.dead_letter(
            reason=reason,
            detail=detail,
            source=told.get(SOURCE, b"").decode(errors="replace") or f"kafka:{self._topic}/{partition}/{offset}",
            type_name=self._type,
            twin=key.decode(errors="replace"),
            received_ns=received_ns,
            raw=value or b"",
            headers=headers,
        )
        followed = self._traces.of(offset)
        self._letters.append((offset, key[: messages.TEXT_LIMIT] or None, messages.encode(letter), followed))

    def tell(self, block: Block, index: int, outcome: str, detail: str = "") -> None:
        """Write down what became of a record that was a dead letter before."""
        letter, offset = header_text(block, index, REDRIVE), block.offset(index)
        redriven = messages.Redriven(
            # The time of writing: another run of the same input says the same.
            time_ns=int(block.timestamps_ms[index]) * 1_000_000,
            partition=block.partition,
            offset=offset,
            outcome=outcome,
            detail=detail[: messages.TEXT_LIMIT],
        )
        key = (block.key(index) or b"")[: messages.TEXT_LIMIT] or None
        note = messages.encode(messages.LetterNote(id=letter, redriven=redriven))
        self._letters.append((offset, key, note, ((LETTER, letter.encode()),)))

    def send(self, outcome: Outcome) -> None:
        """Add the dead letters of a block in the order of its records, whatever the order they were found in."""
        for _, key, value, headers in sorted(self._letters, key=itemgetter(0)):
            outcome.add(DEADLETTER, key, value, headers)
        self._letters.clear()
