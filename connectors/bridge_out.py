"""From Kafka to a broker: commands and events, each confirmed by the broker before the group moves on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec
import structlog
from aiokafka.errors import KafkaError

from connectors.connector import Connector
from connectors.dispatch import Dispatch, Plan, groups, letter, outcomes, outgoing, plan
from connectors.hang_ups import MOST_HANG_UPS, HangUps
from connectors.observer import BridgeObserver, Silent
from connectors.ports import BrokerAwayError, BrokerSilentError, Outgoing, Outlet, Reader, Receipt, Writer
from connectors.reconnect import LEAVE_TIMEOUT_S, Outage, Reachability, first_failure, leaving_within
from connectors.unsettled import Unsettled
from schemas.clock import Clock
from schemas.headers import TRACEPARENT
from schemas.messages import Command, encode
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics
from schemas.trace import NO_TRACER, Span, Tracer
from streams.log.record import LogRecord
from streams.log.retry import LONGEST_DELAY_S, retrying

OUTPUT_PATTERN = r"^twinstream\.[a-z0-9_-]+\.(commands|events)$"
"""Topics that an outbound bridge reads."""

HEALTHY_S = 1.0
"""So long is waited before a suspect is published: a connection that ends by itself, broken as it is, does so then."""
_BATCH_RECORDS = 500
_READ_S = 0.5
_IDLE_S = 0.01
"""So long without a record, what was published is settled: commands that wait go before that."""

log = structlog.get_logger(__name__)


def group_of(technology: str) -> str:
    """Consumer group of an outbound bridge that is given no other."""
    return f"twinstream-bridge-{technology}"


class OutboundBridge:
    """Moves commands and events of all types to one broker; `run` until cancelled.

    It is in its consumer group only while the broker is there. After an outage the commands that waited are judged
    anew, so that none that outlived its time to live reaches a device.

    Args:
        connector: The broker.
        reader: Makes a new member of the bridge's group on the topics of `OUTPUT_PATTERN`.
        writer: Makes a new writer of Kafka's log.
        reachability: What both bridges of a broker say about it together.
        tracer: Is told of messages that belong to a trace.
    """

    def __init__(
        self,
        *,
        connector: Connector,
        reader: Callable[[], Reader],
        writer: Callable[[], Writer],
        clock: Clock,
        observer: BridgeObserver | None = None,
        reachability: Reachability | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._connector = connector
        self._name = connector.name
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._observer = observer or Silent()
        self._tracer = tracer
        self._outage = Outage("out", clock, self._observer, reachability or Reachability(self._name, clock))
        self._hang_ups = HangUps(_BATCH_RECORDS, clock)
        self._unsettled = Unsettled()

    async def run(self) -> NoReturn:
        """Bridge for ever; a broker or a Kafka that is away is waited for."""
        while True:
            try:
                async with self._connector.outlet() as outlet:
                    self._outage.over()
                    await first_failure(outlet.watch(), self._pump(outlet))
            except BrokerAwayError as error:
                silent = isinstance(error, BrokerSilentError)
                self._hang_ups.ended(silent=silent, uncommitted=self._unsettled.records)
                await asyncio.sleep(self._outage.began(error))
            except KafkaError as error:
                self._hang_ups.interrupted()
                # Nothing is committed: what was not confirmed is read and judged again.
                log.error("kafka failed, starting anew", broker=self._name, reason=repr(error))  # noqa: TRY400
                await asyncio.sleep(LONGEST_DELAY_S)

    async def _pump(self, outlet: Outlet) -> None:
        async with (
            leaving_within(self._writer(), LEAVE_TIMEOUT_S) as writer,
            leaving_within(self._reader(), LEAVE_TIMEOUT_S) as reader,
        ):
            unsettled = self._unsettled = Unsettled()
            while True:
                careful = self._hang_ups.careful
                records = await reader.read(
                    max_records=1 if careful else min(_BATCH_RECORDS, unsettled.room),
                    timeout_s=_IDLE_S if unsettled.records else _READ_S,
                )
                if records:
                    made = plan(records, self._connector.outbound)
                    unsettled.add(made, len(records), self._clock)
                    await self._forward(made, outlet, writer, unsettled)
                if unsettled.records and (careful or not records or unsettled.is_due(self._clock)):
                    for durable in unsettled.written:
                        await durable
                    await reader.commit()
                    self._hang_ups.committed(unsettled.records, unsettled.targets)
                    unsettled = self._unsettled = Unsettled()

    async def _forward(self, made: Plan, outlet: Outlet, writer: Writer, unsettled: Unsettled) -> None:
        """Publish what leaves, and add what has to be durable before anything is committed."""
        await self._give_up(made.unusable, writer)
        for group in groups(made.dispatches, outlet.window):
            unsettled.check()
            receipts, at_ns = await self._publish(group, outlet)
            await self._give_up(self._hung_up_at(group), writer)
            self._count(group, receipts)
            events = outcomes(group, receipts, self._name, at_ns)
            self._observer.expired(sum(event.name == "command_expired" for event in events))
            parents = [one.traceparent for one in group if isinstance(one.message, Command)]
            unsettled.written += await writer.send_many(
                [
                    (TypeTopics(event.type).events, event.twin.encode(), encode(event), _traced_by(parent))
                    for event, parent in zip(events, parents, strict=True)
                ]
            )

    async def _publish(self, dispatches: Sequence[Dispatch], outlet: Outlet) -> tuple[list[Receipt | None], int]:
        """Publish together, or message by message after the broker hung up; give what `_together` does."""
        if not self._hang_ups.careful:
            return await self._together(dispatches, outlet)
        receipts: list[Receipt | None] = []
        at_ns: int | None = None
        for alone in (one for dispatch in dispatches for one in dispatch.apart()):
            (target,) = alone.targets()
            if self._hang_ups.is_given_up(target):
                receipts.append(Receipt.REFUSED)
                continue
            if self._hang_ups.is_suspect(target):
                await asyncio.sleep(HEALTHY_S)
            said, offered_ns = await self._together([alone], outlet)
            receipts += said
            at_ns = offered_ns if at_ns is None else at_ns
        return receipts, self._clock.now_ns() if at_ns is None else at_ns

    async def _together(self, dispatches: Sequence[Dispatch], outlet: Outlet) -> tuple[list[Receipt | None], int]:
        """What the broker said about each message, None for one whose time was over before its turn; and when that was.

        The time is that of handing over: a device may answer before the broker confirms.
        """
        # Judged in this moment: whatever came before may have waited for the broker.
        now_ns = self._clock.now_ns()
        offered = outgoing(dispatches, now_ns)
        messages = [one for one in offered if one is not None]
        if not messages:
            return [None] * len(offered), now_ns
        targets = [target for dispatch in dispatches for target in dispatch.targets()]
        self._hang_ups.asking(target for target, one in zip(targets, offered, strict=True) if one is not None)
        messages, spans = self._traced(messages)
        said = iter(await outlet.publish(messages))
        for span in spans:
            span.end()
        self._hang_ups.answered()
        return [None if one is None else next(said) for one in offered], now_ns

    def _traced(self, messages: list[Outgoing]) -> tuple[list[Outgoing], list[Span]]:
        """Messages as they leave, and what is told of those that belong to traces."""
        spans = []
        for index, one in enumerate(messages):
            if not one.traceparent:
                continue
            attributes: dict[str, str | int] = {
                "messaging.system": self._name,
                "messaging.destination.name": one.address,
                "messaging.operation.type": "send",
            }
            span = self._tracer.begin(f"bridge {self._name} out", "producer", one.traceparent, attributes)
            if span is not None:
                spans.append(span)
                messages[index] = msgspec.structs.replace(one, traceparent=span.traceparent)
        return messages, spans

    def _hung_up_at(self, dispatches: Sequence[Dispatch]) -> list[tuple[LogRecord, Reason, str]]:
        """Records with a message that ended too many connections."""
        return [
            (
                dispatch.record,
                Reason.BROKER_REFUSED,
                f"{self._name} hung up {MOST_HANG_UPS} times when it was published",
            )
            for dispatch in dispatches
            if any(self._hang_ups.is_given_up(key) for key in dispatch.targets())
        ]

    async def _give_up(self, unusable: Sequence[tuple[LogRecord, Reason, str]], writer: Writer) -> None:
        """Write dead letters; returns once they are durable."""
        letters = [letter(*what, self._clock.now_ns()) for what in unusable]
        written = [await self._send(writer, DEADLETTER, one.twin.encode() or None, one) for one in letters]
        for durable, one in zip(written, letters, strict=True):
            await durable
            self._observer.dead_lettered(one.type, one.reason, 1)

    def _count(self, dispatches: Sequence[Dispatch], receipts: Sequence[Receipt | None]) -> None:
        kinds = [
            ("command" if isinstance(dispatch.message, Command) else "event", rendered.address)
            for dispatch in dispatches
            for rendered in dispatch.rendered.values()
        ]
        for (kind, address), receipt in zip(kinds, receipts, strict=True):
            if receipt is None:
                continue
            if receipt is Receipt.REFUSED:
                log.warning("broker refuses a message", broker=self._name, address=address)
            else:
                self._observer.published(kind, 1)
            if receipt is not Receipt.TAKEN:
                self._observer.undelivered(receipt.value, 1)

    async def _send(
        self, writer: Writer, topic: str, key: bytes | None, message: msgspec.Struct
    ) -> asyncio.Future[tuple[int, int]]:
        value = encode(message)
        return await retrying(lambda: writer.send(topic, key, value), f"bridge {self._name}")


def _traced_by(parent: bytes) -> list[tuple[str, bytes]]:
    return [(TRACEPARENT, parent)] if parent else []
