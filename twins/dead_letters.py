"""Dead letters for records of the input topic, in the order of the records."""

from operator import itemgetter

from schemas import messages
from schemas.headers import LETTER, REDRIVE, SOURCE
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics
from streams.block import Block, Header
from streams.processor import Outcome
from twins.account import Account
from twins.record import header, header_text, received_ns


class DeadLetters:
    """Collects the dead letters of one partition, block by block.

    Args:
        type_name: Of the twins.
        account: Is told of each.
    """

    def __init__(self, type_name: str, account: Account) -> None:
        self._type = type_name
        self._account = account
        self._topic = TypeTopics(type_name).telemetry
        self._letters: list[tuple[int, bytes | None, bytes, tuple[Header, ...]]] = []

    def add(self, outcome: Outcome, block: Block, index: int, reason: Reason, detail: str) -> None:
        """Write a dead letter for a record, to be sent by `send`, and count it.

        Of a record that was one before no second letter is made: the first is told the reason.
        """
        outcome.count("deadletter", reason.value)
        if header(block, index, REDRIVE):
            self.tell(block, index, reason.value, detail)
            return
        self._account.deadlettered(block, index)
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
            headers=block.headers(index),
        )
        self._letters.append((block.offset(index), key[: messages.TEXT_LIMIT] or None, messages.encode(letter), ()))

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
