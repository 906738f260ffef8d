"""The outbound bridge when something fails half-way: read again, judged again, told once committed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from support.brokers import until

from connectors import bridge_out, reconnect, unsettled
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge
from connectors.connector import Connector
from connectors.memory.log import MemoryLog, MemoryReader, MemoryWriter
from connectors.outbound import MqttOutbound, outbound_routes
from connectors.patterns import MQTT
from connectors.ports import BrokerAwayError, BrokerSilentError, Outgoing, Receipt
from connectors.routes import Routes
from schemas.clock import Clock, ManualClock, SystemClock
from schemas.messages import Cause, Command, encode
from streams.log.record import LogRecord

COMMANDS, EVENTS = "twinstream.tank.commands", "twinstream.tank.events"


@dataclass
class Broker:
    """Outlets whose next answers are scripted."""

    log: MemoryLog
    answers: list[Callable[[], list[Receipt]] | None] = field(default_factory=list)
    published: list[list[str]] = field(default_factory=list)
    committed_then: list[int] = field(default_factory=list)
    window: int = 100
    routes: Sequence[MqttOutbound] = ()
    unreachable: int = 0
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        if self.unreachable:
            self.unreachable -= 1
            raise BrokerAwayError("refused")
        self.ending.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        self.published.append([msgspec.json.decode(message.payload)["id"] for message in messages])
        self.committed_then.append(self.log.committed("g", COMMANDS))
        answer = self.answers.pop(0) if self.answers else None
        return answer() if answer else [Receipt.TAKEN] * len(messages)

    async def watch(self) -> None:
        await self.ending.wait()
        raise BrokerAwayError("gone by itself")


def away() -> list[Receipt]:
    raise BrokerSilentError("no answer")


def hang_up() -> list[Receipt]:
    raise BrokerAwayError("cut")


def command(name: str, expires_ns: int) -> bytes:
    cause = Cause(partition=0, offset=0, definition="d", parameters=0)
    return encode(
        Command(
            id=name, type="tank", twin="t", name="valve", value=1.0, issued_ns=1, expires_ns=expires_ns, cause=cause
        )
    )


@contextlib.asynccontextmanager
async def running(broker: Broker, clock: Clock, writer: Callable[[], Any] | None = None) -> AsyncIterator[None]:
    log = broker.log
    made = Connector(
        name="scripted",
        inlet=lambda: pytest.fail("not asked for"),
        outlet=lambda: broker,
        inbound=Routes((), MQTT, default_routes=True),
        outbound=outbound_routes(broker.routes, MQTT, default_routes=not broker.routes),
        max_in_flight=1,
    )
    bridge = OutboundBridge(
        connector=made, reader=lambda: log.reader("g", OUTPUT_PATTERN), writer=writer or log.writer, clock=clock
    )
    task = asyncio.ensure_future(bridge.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(reconnect, "LONGEST_DELAY_S", 0.05)
    monkeypatch.setattr(bridge_out, "LONGEST_DELAY_S", 0.01)
    monkeypatch.setattr(bridge_out, "HEALTHY_S", 0.01)


def outcomes(log: MemoryLog) -> list[tuple[str, str]]:
    events = [msgspec.json.decode(record.value or b"") for record in log.records.get(EVENTS, [])]
    return [(event["name"], event["data"]["id"]) for event in events]


async def test_nothing_is_committed_before_the_broker_has_confirmed_all_of_it() -> None:
    log = MemoryLog()
    broker = Broker(log, [away, away])
    log.send(COMMANDS, b"t", command("c1", 100), ())
    log.send(COMMANDS, b"t", command("c2", 100), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 2)
    assert broker.published == [["c1", "c2"]] * 3
    assert broker.committed_then == [0, 0, 0]
    assert outcomes(log) == [("command_sent", "c1"), ("command_sent", "c2")]


async def test_command_is_judged_anew_before_every_attempt() -> None:
    log, clock = MemoryLog(), ManualClock()

    def late() -> list[Receipt]:
        clock.advance(1.0)
        return away()

    broker = Broker(log, [late])
    log.send(COMMANDS, b"t", command("short", 500_000_000), ())
    log.send(COMMANDS, b"t", command("long", 10**12), ())
    async with running(broker, clock):
        await until(lambda: log.committed("g", COMMANDS) == 2)
    assert broker.published[:2] == [["short", "long"], ["long"]]
    assert sorted(outcomes(log)) == [("command_expired", "short"), ("command_sent", "long")]


async def test_a_command_is_sent_when_it_is_handed_over_though_the_broker_confirms_later_than_the_device() -> None:
    log, clock = MemoryLog(), ManualClock(7)

    def slow() -> list[Receipt]:
        clock.advance(5.0)
        return [Receipt.TAKEN]

    broker = Broker(log, [slow, hang_up, slow])
    async with running(broker, clock):
        log.send(COMMANDS, b"t", command("c1", 10**12), ())
        await until(lambda: log.committed("g", COMMANDS) == 1)
        log.send(COMMANDS, b"t", command("c2", 10**12), ())
        await until(lambda: log.committed("g", COMMANDS) == 2)
    told = [msgspec.json.decode(record.value or b"") for record in log.records[EVENTS]]
    assert [event["data"]["at_ns"] for event in told] == [7, 5 * 10**9 + 7]


async def test_nothing_is_committed_before_its_outcome_is_durable() -> None:
    log = MemoryLog()
    broker = Broker(log)
    failures = [TopicAuthorizationFailedError("no"), TopicAuthorizationFailedError("no")]

    class Failing(MemoryWriter):
        async def send(self, *arguments: Any, **named: Any) -> asyncio.Future[tuple[int, int]]:
            assert log.committed("g", COMMANDS) == 0
            if failures:
                raise failures.pop()
            return await super().send(*arguments, **named)

    log.send(COMMANDS, b"t", command("c1", 100), ())
    async with running(broker, ManualClock(), lambda: Failing(log)):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    assert broker.published[:3] == [["c1"]] * 3
    assert outcomes(log) == [("command_sent", "c1")]


async def test_messages_do_not_wait_for_outcomes_before_them_and_the_group_waits_for_all_of_them() -> None:
    log = MemoryLog()
    broker = Broker(log, window=1)
    held: list[asyncio.Future[tuple[int, int]]] = []

    class Held(MemoryWriter):
        async def send_many(self, records: Sequence[Any]) -> list[asyncio.Future[tuple[int, int]]]:
            held.append(asyncio.get_running_loop().create_future())
            return held[-1:] * len(records)

    log.send(COMMANDS, b"t", command("c1", 100), ())
    log.send(COMMANDS, b"t", command("c2", 100), ())
    async with running(broker, ManualClock(), lambda: Held(log)):
        await until(lambda: len(held) == 2)
        await asyncio.sleep(0.05)
        assert (broker.published, log.committed("g", COMMANDS)) == ([["c1"], ["c2"]], 0)
        held[0].set_result((0, 0))
        held[1].set_exception(TopicAuthorizationFailedError("no"))
        await until(lambda: len(held) == 4)
        assert (broker.published, log.committed("g", COMMANDS)) == ([["c1"], ["c2"]] * 2, 0)
        for one in held[2:]:
            one.set_result((0, 0))
        await until(lambda: log.committed("g", COMMANDS) == 2)


async def test_commands_that_are_read_later_do_not_wait_either_unless_too_many_would_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = MemoryLog()
    broker = Broker(log)
    held: list[asyncio.Future[tuple[int, int]]] = []

    class Held(MemoryWriter):
        async def send_many(self, records: Sequence[Any]) -> list[asyncio.Future[tuple[int, int]]]:
            held.append(asyncio.get_running_loop().create_future())
            return held[-1:] * len(records)

    class Busy(MemoryReader):
        async def read(self, max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
            while not (found := await super().read(max_records, timeout_s)):  # noqa: ASYNC110 - it never comes back empty
                await asyncio.sleep(0.005)
            return found

    monkeypatch.setattr(unsettled, "MOST_RECORDS", 3)
    monkeypatch.setattr(log, "reader", lambda group, pattern: Busy(log, group, pattern))
    async with running(broker, ManualClock(), lambda: Held(log)):
        for number in range(3):
            log.send(COMMANDS, b"t", command(f"c{number}", 100), ())
            await until(lambda number=number: len(broker.published) == number + 1)  # type: ignore[misc]
        log.send(COMMANDS, b"t", command("c3", 100), ())
        await asyncio.sleep(0.05)
        assert (broker.published, log.committed("g", COMMANDS)) == ([["c0"], ["c1"], ["c2"]], 0)
        for one in held:
            one.set_result((0, 0))
        await until(lambda: len(broker.published) == 4)
        assert log.committed("g", COMMANDS) == 3


async def test_nothing_more_is_published_once_an_outcome_could_not_be_written() -> None:
    log = MemoryLog()
    broker = Broker(log, window=1)
    refusals = [TopicAuthorizationFailedError("no")]

    class Refusing(MemoryWriter):
        async def send_many(self, records: Sequence[Any]) -> list[asyncio.Future[tuple[int, int]]]:
            if not refusals:
                return await super().send_many(records)
            refused: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
            refused.set_exception(refusals.pop())
            return [refused] * len(records)

    log.send(COMMANDS, b"t", command("c1", 100), ())
    log.send(COMMANDS, b"t", command("c2", 100), ())
    async with running(broker, ManualClock(), lambda: Refusing(log)):
        await until(lambda: log.committed("g", COMMANDS) == 2)
    assert broker.published == [["c1"], ["c1"], ["c2"]]


async def test_what_waited_behind_a_broker_that_hung_is_judged_again() -> None:
    log, clock = MemoryLog(), ManualClock()

    def slow() -> list[Receipt]:
        clock.advance(5.0)
        return [Receipt.TAKEN] * 2

    broker = Broker(log, window=2, answers=[slow])
    for number, expires_ns in enumerate((10**9, 10**9, 10**9, 10**12)):
        log.send(COMMANDS, b"t", command(f"c{number}", expires_ns), ())
    async with running(broker, clock):
        await until(lambda: log.committed("g", COMMANDS) == 4)
    assert broker.published[:2] == [["c0", "c1"], ["c3"]]
    sent, expired = [("command_sent", f"c{number}") for number in (0, 1, 3)], ("command_expired", "c2")
    assert outcomes(log) == [*sent[:2], expired, sent[2]]


@pytest.mark.parametrize("bad", [b"[" * 100_000, command("c0", 10**12).replace(b"valve", b"a/#")])
async def test_a_record_that_can_never_leave_is_a_dead_letter_and_stops_nobody(bad: bytes) -> None:
    log = MemoryLog()
    broker = Broker(log)
    log.send(COMMANDS, b"t", bad, ())
    log.send(COMMANDS, b"t", command("c1", 10**12), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 2)
    assert outcomes(log) == [("command_sent", "c1")]
    (letter,) = log.records["twinstream.deadletter"]
    found = msgspec.json.decode(letter.value or b"")
    assert (found["source"], found["type"], found["twin"], letter.key) == (f"kafka:{COMMANDS}/0/0", "tank", "t", b"t")


async def test_refused_command_is_told_as_refused_and_stops_nobody() -> None:
    log = MemoryLog()
    broker = Broker(log, [lambda: [Receipt.REFUSED, Receipt.UNROUTABLE, Receipt.TAKEN]])
    for name in ("c1", "c2", "c3"):
        log.send(COMMANDS, b"t", command(name, 100), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 3)
    assert outcomes(log) == [("command_refused", "c1"), ("command_sent", "c2"), ("command_sent", "c3")]


async def test_a_message_at_which_the_broker_hangs_up_three_times_alone_is_refused_and_stops_nobody() -> None:
    log = MemoryLog()
    # Together with its neighbours, which are not blamed; then alone, three times.
    broker = Broker(log, [hang_up, None, hang_up, hang_up, hang_up])
    for name in ("c1", "c2", "c3"):
        log.send(COMMANDS, b"t", command(name, 100), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 3)
        log.send(COMMANDS, b"t", command("c4", 100), ())
        await until(lambda: log.committed("g", COMMANDS) == 4)
    published = [ids for ids in broker.published if ids[0].startswith("c")]  # and the event about c2
    assert published == [["c1", "c2", "c3"], ["c1"], ["c2"], ["c2"], ["c2"], ["c3"], ["c4"]]
    assert outcomes(log) == [
        ("command_sent", "c1"), ("command_refused", "c2"), ("command_sent", "c3"), ("command_sent", "c4"),
    ]  # fmt: skip
    (letter,) = [msgspec.json.decode(record.value or b"") for record in log.records["twinstream.deadletter"]]
    assert (letter["reason"], letter["source"]) == ("broker_refused", f"kafka:{COMMANDS}/0/1")


async def test_a_broker_that_is_silent_or_goes_by_itself_refuses_nothing() -> None:
    log = MemoryLog()
    broker = Broker(log, [hang_up, hang_up, away, hang_up, hang_up, away, hang_up])
    log.send(COMMANDS, b"t", command("c1", 100), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    assert outcomes(log) == [("command_sent", "c1")]
    assert "twinstream.deadletter" not in log.records


async def test_a_broker_that_hangs_up_at_whatever_is_published_costs_one_message_until_it_answers() -> None:
    log = MemoryLog()
    broker = Broker(log, [hang_up] * 12)
    for number in range(4):
        log.send(COMMANDS, b"t", command(f"c{number}", 10**12), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 4, 20)
    assert outcomes(log) == [("command_refused", "c0"), *(("command_sent", f"c{number}") for number in (1, 2, 3))]
    assert len(log.records["twinstream.deadletter"]) == 1


async def test_command_whose_time_ends_while_its_connection_proves_itself_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge_out, "HEALTHY_S", 0.3)
    log, clock = MemoryLog(), SystemClock()
    broker = Broker(log, [hang_up])
    log.send(COMMANDS, b"t", command("c1", clock.now_ns() + 200_000_000), ())
    async with running(broker, clock):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    assert broker.published.count(["c1"]) == 1
    assert outcomes(log) == [("command_expired", "c1")]


async def test_command_whose_time_ends_between_two_routes_leaves_by_the_first_alone() -> None:
    log, clock = MemoryLog(), ManualClock()

    def slow() -> list[Receipt]:
        clock.advance(5.0)
        return [Receipt.TAKEN]

    broker = Broker(log, [hang_up, slow], routes=[MqttOutbound(topic="a"), MqttOutbound(topic="b")])
    log.send(COMMANDS, b"t", command("c1", 10**9), ())
    async with running(broker, clock):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    assert broker.published == [["c1", "c1"], ["c1"]]
    assert outcomes(log) == [("command_sent", "c1")]


async def test_of_two_routes_with_one_address_the_one_that_ends_connections_is_given_up() -> None:
    log = MemoryLog()
    broker = Broker(log, [hang_up, *[None, hang_up] * 3], routes=[MqttOutbound(topic="a"), MqttOutbound(topic="a")])
    log.send(COMMANDS, b"t", command("c1", 10**12), ())
    async with running(broker, ManualClock()):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    # Together, then one by one three times, and a last time the first alone.
    assert broker.published == [["c1", "c1"], *[["c1"]] * 7]
    assert outcomes(log) == [("command_sent", "c1")]
    assert len(log.records["twinstream.deadletter"]) == 1


async def test_connections_that_end_by_themselves_soon_after_they_were_made_are_no_message_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge_out, "HEALTHY_S", 5.0)
    log = MemoryLog()
    broker = Broker(log, [hang_up])
    log.send(COMMANDS, b"t", command("c1", 10**12), ())
    async with running(broker, ManualClock()):
        await until(lambda: len(broker.published) == 1)
        await asyncio.sleep(0.25)  # in the middle of the wait before the suspect
        broker.ending.set()
        # The count is gone, and so is the wait: it is published at once.
        await until(lambda: log.committed("g", COMMANDS) == 1, 4.0)
    assert broker.published == [["c1"]] * 2


async def test_a_hang_up_that_kafka_interrupts_is_not_counted() -> None:
    log = MemoryLog()

    class Leaving(MemoryWriter):
        async def __aexit__(self, *_: object) -> None:
            if len(broker.published) < 4:
                broker.unreachable = 1
                raise TopicAuthorizationFailedError("no")

    broker = Broker(log, [hang_up] * 4)
    log.send(COMMANDS, b"t", command("c1", 10**12), ())
    async with running(broker, ManualClock(), lambda: Leaving(log)):
        await until(lambda: log.committed("g", COMMANDS) == 1)
    assert outcomes(log) == [("command_sent", "c1")]
