"""A message broker in this process: the reference of the ports, for tests."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from connectors.patterns import MQTT, Pattern
from connectors.ports import BrokerAwayError, Delivery, Outgoing, Receipt
from schemas.clock import Clock


@dataclass
class _Session:
    """What the broker remembers for one subscriber, connected or not."""

    filters: list[Pattern]
    unacknowledged: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    inlet: "MemoryInlet | None" = None


class MemoryBroker:
    """Topics as in MQTT, persistent sessions, everything confirmed; it can be away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._watchers: list[Callable[[str, bytes], None]] = []
        self._numbers = 0
        self._outlets: set[MemoryOutlet] = set()
        self.up = True

    def inlet(self, filters: Sequence[str], session: str = "in") -> "MemoryInlet":
        """A connection that receives what matches `filters`."""
        return MemoryInlet(self, session, [Pattern.parse(text, MQTT, ()) for text in filters])

    def outlet(self) -> "MemoryOutlet":
        """A connection that publishes."""
        return MemoryOutlet(self)

    def subscribe(self, watcher: Callable[[str, bytes], None]) -> None:
        """Call `watcher` with the topic and the payload of everything that is published."""
        self._watchers.append(watcher)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Deliver to every subscriber, now or when it is back; False when there is none."""
        taken = bool(self._watchers)
        for watcher in self._watchers:
            watcher(topic, payload)
        for session in self._sessions.values():
            if any(pattern.match(topic) is not None for pattern in session.filters):
                taken = True
                self._numbers += 1
                session.unacknowledged[self._numbers] = (topic, payload)
                if session.inlet:
                    session.inlet.arrive(self._numbers, topic, payload)
        return taken

    def stop(self) -> None:
        """Go away: every connection breaks, sessions are kept."""
        self.up = False
        for session in self._sessions.values():
            if session.inlet:
                session.inlet.broken.set()
        for outlet in self._outlets:
            outlet.broken.set()

    def start(self) -> None:
        """Come back."""
        self.up = True

    def attach(self, inlet: "MemoryInlet", name: str, filters: list[Pattern]) -> None:
        """Connect `inlet` to its session, and deliver what was not acknowledged."""
        self._check_up()
        session = self._sessions.setdefault(name, _Session(filters))
        session.filters, session.inlet = filters, inlet
        for number, (topic, payload) in session.unacknowledged.items():
            inlet.arrive(number, topic, payload)

    def detach(self, name: str) -> None:
        """Disconnect a session."""
        if session := self._sessions.get(name):
            session.inlet = None

    def acknowledge(self, name: str, number: int) -> None:
        """Forget everything up to `number`."""
        session = self._sessions[name]
        for earlier in [known for known in session.unacknowledged if known <= number]:
            del session.unacknowledged[earlier]

    def open(self, outlet: "MemoryOutlet") -> None:
        """Connect `outlet`."""
        self._check_up()
        self._outlets.add(outlet)

    def close(self, outlet: "MemoryOutlet") -> None:
        """Disconnect `outlet`."""
        self._outlets.discard(outlet)

    def now_ns(self) -> int:
        """Arrival time of a delivery."""
        return self._clock.now_ns()

    def _check_up(self) -> None:
        if not self.up:
            message = "the broker is stopped"
            raise BrokerAwayError(message)


class MemoryInlet:
    """An `Inlet`."""

    def __init__(self, broker: MemoryBroker, session: str, filters: list[Pattern]) -> None:
        self._broker = broker
        self._session = session
        self._filters = filters
        self._arrived: list[Delivery] = []
        self._some = asyncio.Event()
        self.broken = asyncio.Event()
        """Set when the broker goes away."""

    async def __aenter__(self) -> Self:
        """Connect."""
        self._broker.attach(self, self._session, self._filters)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self._broker.detach(self._session)

    def arrive(self, number: int, topic: str, payload: bytes) -> None:
        """Take what the broker delivers."""
        self._arrived.append(Delivery(topic, "", f"memory:{topic}", payload, self._broker.now_ns(), number))
        self._some.set()

    async def receive(self) -> list[Delivery]:
        """All that has arrived."""
        some, broken = asyncio.create_task(self._some.wait()), asyncio.create_task(self.broken.wait())
        try:
            await asyncio.wait((some, broken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            some.cancel()
            broken.cancel()
        if self.broken.is_set():
            message = "the broker was stopped"
            raise BrokerAwayError(message)
        arrived, self._arrived = self._arrived, []
        self._some.clear()
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge it and all before it."""
        if not self.broken.is_set():
            self._broker.acknowledge(self._session, delivery.tag)


class MemoryOutlet:
    """An `Outlet`."""

    window = 100

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.broken = asyncio.Event()
        """Set when the broker goes away."""

    async def __aenter__(self) -> Self:
        """Connect."""
        self._broker.open(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self._broker.close(self)

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish in order."""
        receipts = []
        for message in messages:
            await asyncio.sleep(0)
            if self.broken.is_set():
                text = "the broker was stopped"
                raise BrokerAwayError(text)
            taken = self._broker.publish(message.address, message.payload)
            receipts.append(Receipt.TAKEN if taken else Receipt.UNROUTABLE)
        return receipts

    async def watch(self) -> None:
        """Wait until the broker goes away."""
        await self.broken.wait()
        message = "the broker was stopped"
        raise BrokerAwayError(message)
