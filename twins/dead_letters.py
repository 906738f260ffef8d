"""Dead letters for records of the input topic, in the order of the records."""

from operator import itemgetter

from schemas import messages
from schemas.headers import SOURCE
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics
from streams.block import Block
from streams.processor import Outcome
from twins.record import header, received_ns


class DeadLetters:
    """Collects the dead letters of one partition, block by block."""

    def __init__(self, type_name: str) -> None:
        self._type = type_name
        self._topic = TypeTopics(type_name).telemetry
        self._letters: list[tuple[int, bytes | None, bytes]] = []

    def add(self, outcome: Outcome, block: Block, index: int, reason: Reason, detail: str) -> None:
        """Write a dead letter for a record, to be sent by `send`, and count it."""
        key, value = block.key(index) or b"", block.value(index) or b""
        source = header(block, index, SOURCE).decode(errors="replace")
        letter = messages.dead_letter(
            reason=reason,
            detail=detail,
            source=source or f"kafka:{self._topic}/{block.partition}/{block.offset(index)}",
            type_name=self._type,
            twin=key.decode(errors="replace"),
            received_ns=received_ns(block, index),
            raw=value,
        )
        self._letters.append((block.offset(index), key[: messages.TEXT_LIMIT] or None, messages.encode(letter)))
        outcome.count("deadletter", reason.value)

    def send(self, outcome: Outcome) -> None:
        """Add the dead letters of a block in the order of its records, whatever the order they were found in."""
        for _, key, value in sorted(self._letters, key=itemgetter(0)):
            outcome.add(DEADLETTER, key, value)
        self._letters.clear()
