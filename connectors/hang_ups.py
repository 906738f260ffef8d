"""Which message makes a broker hang up, instead of saying that it refuses it. Pure.

MQTT 3.1.1 knows no refusal and AMQP closes the channel for some: nothing tells which of the messages without an answer
was meant. So what follows is published one by one, and a message that ends three connections in a row, each of which
was fine until then, is given up. An outage ends connections too, but not always at the same message: a connection that
can't be made, that ends while nothing was published, or on which the broker is silent, starts all counts anew.
"""

from collections import Counter
from collections.abc import Hashable, Iterable

MOST_HANG_UPS = 3
"""Connections that one message may cost."""


class HangUps:
    """What the connections of one bridge ended with; messages are known by keys that stay the same.

    Args:
        careful_records: How many records are handled one by one after the broker hung up: as many as may be read before
            the place is reached again.
    """

    def __init__(self, careful_records: int) -> None:
        self._careful_records = careful_records
        self._careful_left = 0
        self._asked: tuple[Hashable, ...] = ()
        self._times: Counter[Hashable] = Counter()

    @property
    def careful(self) -> bool:
        """Whether records are to be read, published and committed one by one."""
        return self._careful_left > 0

    def times(self, key: Hashable) -> int:
        """How many connections in a row ended with this message alone."""
        return self._times[key]

    def is_given_up(self, key: Hashable) -> bool:
        """Whether this message cost enough connections."""
        return self._times[key] >= MOST_HANG_UPS

    def asking(self, keys: Iterable[Hashable]) -> None:
        """These are published now."""
        self._asked = tuple(keys)

    def answered(self) -> None:
        """The broker has answered for all of them."""
        for key in self._asked:
            del self._times[key]
        self._asked = ()

    def ended(self, *, silent: bool) -> None:
        """The connection ended, or could not be made; `silent`: the broker was there and did not answer in time."""
        asked, self._asked = self._asked, ()
        if silent or not asked:
            self._times.clear()
            return
        self._careful_left = self._careful_records
        if len(asked) == 1:
            self._times[asked[0]] += 1

    def interrupted(self) -> None:
        """The bridge itself stopped waiting for the answer."""
        self._asked = ()

    def committed(self, records: int) -> None:
        """What became of so many records is durable."""
        self._careful_left = max(0, self._careful_left - records)
        if not self._careful_left:
            self._times.clear()
