"""Counters of records that nothing steps, and notes of those that lie where their twins are not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from schemas.counters import NO_SEQ, Counter, counter_of, read_counter
from schemas.errors import InvalidNameError
from schemas.headers import BOOT, SEQ
from schemas.names import check_twin_id
from schemas.reasons import Reason
from streams.block import Header, ReadRecord
from streams.processor import Outcome
from twins.account_scan import UNREADABLE
from twins.astray import Astray, read_note
from twins.boots import BootHashes
from twins.ids import NO_SLOT

if TYPE_CHECKING:
    from twins.population import Population


class Told(NamedTuple):
    """What is known of a message.

    Attributes:
        seq: Its counter, `NO_SEQ` for none, `UNREADABLE` for one that is not known.
        boot: Hash of the device's boot.
        slot: Row of the twin, `NO_SLOT` for none.
        key: The twin.
    """

    seq: int
    boot: int
    slot: int
    key: bytes


class Refused:
    """Reads them.

    Args:
        topic: Input of the type.
    """

    def __init__(self, topic: str) -> None:
        self._astray = Astray(topic)
        self._boots = BootHashes()

    def read(self, record: ReadRecord, population: "Population | None") -> Told:
        """What is known of a record that can't be stepped; one that lies astray is noted."""
        counter = read_counter(record[3] or b"")
        if counter is None:
            return self.told(record, UNREADABLE, 0, population)
        return self.told(record, counter.seq, self._boots.of(counter.boot), population)

    def told(self, record: ReadRecord, seq: int, boot: int, population: "Population | None") -> Told:
        """The same of one whose payload says this counter and, hashed, boot; its headers may say more."""
        _, _, key, _, headers = record
        key = key or b""
        if seq < 0 and headers and (counter := _counter(headers)) is not None:
            seq, boot = counter.seq, self._boots.of(counter.boot)
        slot = _slot(key, population)
        wrong = _wrong_key(key, population) if slot < 0 and seq != UNREADABLE else None
        if population is not None and wrong is Reason.WRONG_PARTITION and seq != NO_SEQ:
            self._astray.add(record, seq, boot, population.partition_of(key.decode()))
        if seq == UNREADABLE or wrong is not None:
            return Told(UNREADABLE, 0, NO_SLOT, key)
        return Told(seq, boot, slot, key)

    def read_note(self, value: bytes, population: "Population | None") -> list[Told]:
        """What a note tells of records that lay astray, as far as their twins are here."""
        found = [Told(seq, boot, _slot(key := twin.encode(), population), key) for twin, seq, boot in read_note(value)]
        return [one for one in found if one.slot >= 0 or _wrong_key(one.key, population) is None]

    def forget_astray(self) -> None:
        """Make no notes of what was read until now."""
        self._astray.clear()

    def pass_on(self, outcome: Outcome) -> None:
        """Send notes of what lies astray to where the twins are."""
        self._astray.pass_on(outcome)


def _slot(key: bytes, population: "Population | None") -> int:
    return population.table.slots.get(key, NO_SLOT) if population is not None else NO_SLOT


def _counter(headers: Sequence[Header]) -> Counter | None:
    told = dict(headers)
    return counter_of(told.get(SEQ, b""), told.get(BOOT, b""))


def _wrong_key(key: bytes, population: "Population | None") -> Reason | None:
    """Why a key is no twin of the partition, None when it may be one; without a version, any twin may."""
    if population is not None:
        wrong = population.wrong_key(key)
        return None if wrong is None else wrong[0]
    try:
        check_twin_id(key.decode(errors="replace"))
    except InvalidNameError:
        return Reason.INVALID_NAME
    return None
