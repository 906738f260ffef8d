"""Which message makes a broker hang up, instead of saying that it refuses it. Pure.

MQTT 3.1.1 knows no refusal and AMQP closes the channel for some: nothing tells which of the messages without an answer
was meant. So what follows is published one by one, and a message that ends three connections in a row is given up; the
second and the third of them are first left alone for a while, so that one that ends by itself does. An outage ends
connections too, but not always at the same message: a connection that can't be made, that ends while nothing was
published, or on which the broker is silent, starts all counts anew.

A broker that hangs up at whatever is published has something against us, not against a message. So once a record was
given up, the next one is only after the broker has answered for some other, or after `PATIENCE_S`: a broker that
will have none costs no more records than that, and several bad ones in a row hold the others up no longer.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from schemas.clock import Clock

MOST_HANG_UPS = 3
"""Connections that one message may cost."""
PATIENCE_S = 300.0
"""How long after a record was given up the next one is, without any answer of the broker in between."""


class Target(NamedTuple):
    """What tells a message on the broker from all others, also when its record is read again.

    Attributes:
        record: Topic, partition and offset.
        route: Index of the one it leaves by.
    """

    record: tuple[str, int, int]
    route: int


class HangUps:
    """What the connections of one bridge ended with.

    Args:
        careful_records: How many records at least are handled one by one after the broker hung up; more where more are
            read before the place is reached again.
        clock: Measures the patience.
    """

    def __init__(self, careful_records: int, clock: Clock) -> None:
        self._careful_records = careful_records
        self._clock = clock
        self._careful_left = 0
        self._asked: tuple[Target, ...] = ()
        self._times: Counter[Target] = Counter()
        self._given_up: set[Target] = set()
        self._latest: tuple[str, int, int] | None = None
        """The record that was given up since the broker last answered."""
        self._latest_s = 0.0

    @property
    def careful(self) -> bool:
        """Whether records are to be read, published and committed one by one."""
        return self._careful_left > 0

    def is_suspect(self, target: Target) -> bool:
        """Whether connections ended with this message alone."""
        return target in self._times

    def is_given_up(self, target: Target) -> bool:
        """Whether this message cost enough connections."""
        return target in self._given_up

    def asking(self, targets: Iterable[Target]) -> None:
        """These are published now, at least one."""
        self._asked = tuple(targets)

    def answered(self) -> None:
        """The broker has answered for all of them."""
        for target in self._asked:
            del self._times[target]
        self._asked = ()
        self._latest = None

    def ended(self, *, silent: bool, uncommitted: int = 0) -> None:
        """The connection ended, or could not be made.

        Args:
            silent: Whether the broker was there and did not answer in time.
            uncommitted: Records that were read on it and come again.
        """
        asked, self._asked = self._asked, ()
        if silent or not asked:
            self._forget()
            return
        self._careful_left = max(self._careful_left, self._careful_records, uncommitted)
        if len(asked) == 1:
            self._blame(asked[0])

    def interrupted(self) -> None:
        """The bridge itself stopped waiting for the answer."""
        self._asked = ()

    def committed(self, records: int, targets: Iterable[Target]) -> None:
        """What became of so many records, and of their messages, is durable."""
        self._careful_left = max(0, self._careful_left - records)
        for target in targets:
            del self._times[target]
            self._given_up.discard(target)
        if not self._careful_left:
            self._forget()

    def _blame(self, target: Target) -> None:
        self._times[target] += 1
        now_s = self._clock.monotonic_s()
        may_give_up = self._latest in (None, target.record) or now_s - self._latest_s >= PATIENCE_S
        if self._times[target] >= MOST_HANG_UPS and may_give_up:
            self._given_up.add(target)
            self._latest, self._latest_s = target.record, now_s

    def _forget(self) -> None:
        self._times.clear()
        self._given_up.clear()
