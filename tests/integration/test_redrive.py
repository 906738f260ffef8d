"""Dead letters on a real Kafka: each is sent once more, whoever asks, whoever dies, and tells what became of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from support.worker_process import WorkerProcess

from connectors.memory.stores import MemoryDocumentStore, MemorySeriesStore
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.http.backend import open_services
from infra.http.letters import Selection
from infra.http.redriving import record_of
from infra.http.services import Services
from schemas.bundle import bundle_of
from schemas.headers import REDRIVE
from schemas.messages import DeadLetter, dead_letter, encode
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.atomic import AtomicWriter
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.log.writer import LogWriter

pytestmark = pytest.mark.kafka

BOX = """
name: NAME
version: 1.0.0
inputs:
  t: {type: float, range: [0, LIMIT]}
pipeline:
  - {name: average, step: running_statistics, inputs: {value: t}, outputs: [count, mean, variance]}
"""
SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


async def put(options: KafkaOptions, name: str, limit: int) -> None:
    text = BOX.replace("NAME", name).replace("LIMIT", str(limit)).replace("1.0.0", f"1.0.{limit}")
    await put_into_force(options, bundle_of({"twin.yaml": text.encode()}), 8, who="tests")


@pytest.fixture
async def type_name(kafka: EmbeddedKafka) -> str:
    name = f"box_{random.randrange(10**9)}"
    await put(KafkaOptions(kafka.bootstrap_servers), name, 10)
    return name


@asynccontextmanager
async def services(kafka: EmbeddedKafka, file: Path | None = None) -> AsyncIterator[Services]:
    options = KafkaOptions(kafka.bootstrap_servers)
    stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}
    async with open_services(options, letters_file=file, **stores) as found:  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while found.loading() or await found.probe():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        yield found


async def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


async def letters(kafka: EmbeddedKafka, type_name: str, count: int) -> list[DeadLetter]:
    """Dead letters of three twins, in the log."""
    made = [
        dead_letter(
            reason="out_of_range",
            detail="",
            source="mqtt:a",
            type_name=type_name,
            twin=f"twin-{number % 3}",
            received_ns=START_NS + number,
            raw=b'{"t":%d}' % number,
        )
        for number in range(count)
    ]
    async with LogWriter(KafkaOptions(kafka.bootstrap_servers)) as writer:
        await asyncio.gather(*[await writer.send(DEADLETTER, letter.twin.encode(), encode(letter)) for letter in made])
    return made


async def inputs(kafka: EmbeddedKafka, type_name: str) -> list[LogRecord]:
    """Redriven records in the input of a type."""
    topic, found = TypeTopics(type_name).telemetry, []
    async with Follower(KafkaOptions(kafka.bootstrap_servers), topics=(topic,)) as follower:
        while not await follower.caught_up():
            found += [record for record in await follower.read(0.1) if record.header(REDRIVE)]
    return found


@pytest.mark.slow
async def test_two_who_redrive_at_once_send_each_letter_once_in_the_order_of_its_twin(
    kafka: EmbeddedKafka, type_name: str
) -> None:
    made = await letters(kafka, type_name, 30)
    selection = Selection(type=type_name)
    async with services(kafka) as one, services(kafka) as other:
        found = await asyncio.gather(
            *(
                each.letter_sender.redrive(selection, refused_again=False, after=None, limit=20)
                for each in (one, other)
            ),
            return_exceptions=True,
        )
        assert not all(isinstance(answer, Exception) for answer in found)
        rest = await one.letter_sender.redrive(selection, refused_again=False, after=None, limit=100)
        again = await other.letter_sender.redrive(selection, refused_again=False, after=None, limit=100)
        shown = {entry.letter().id: entry.redriven or b"" for entry in one.dead_letters.newest(selection)}
    assert (again.sent, again.unable, rest.unable) == ([], [], [])
    records = await inputs(kafka, type_name)
    assert sorted(record.header(REDRIVE).decode() for record in records) == sorted(letter.id for letter in made)
    for twin in {letter.twin for letter in made}:
        of_twin = [record.value for record in records if record.key == twin.encode()]
        assert of_twin == [b'{"t":%d}' % number for number, letter in enumerate(made) if letter.twin == twin]
    places = {record.header(REDRIVE).decode(): (record.partition, record.offset) for record in records}
    told = {letter: msgspec.json.decode(redriven) for letter, redriven in shown.items()}
    assert {letter: (one["partition"], one["offset"]) for letter, one in told.items()} == places
    assert {one["outcome"] for one in told.values()} == {"sent"}


async def test_what_was_sent_by_one_who_died_before_the_end_is_sent_once(kafka: EmbeddedKafka, type_name: str) -> None:
    made = await letters(kafka, type_name, 6)
    options = KafkaOptions(kafka.bootstrap_servers)
    async with services(kafka) as found, AtomicWriter(options, f"twinstream-redrive-{type_name}") as dying:
        dying_transaction = dying.transaction()
        await dying_transaction.__aenter__()
        await dying.send([record_of(letter, 8) for letter in made])
        done = await found.letter_sender.redrive(Selection(type=type_name), refused_again=False, after=None, limit=100)
    assert len(done.sent) == 6
    records = await inputs(kafka, type_name)
    assert sorted(record.header(REDRIVE).decode() for record in records) == sorted(letter.id for letter in made)


@pytest.mark.slow
async def test_purged_letters_are_gone_for_every_reader(kafka: EmbeddedKafka, type_name: str, tmp_path: Path) -> None:
    made = await letters(kafka, type_name, 5)
    selection = Selection(type=type_name)
    async with services(kafka, tmp_path / "letters") as found:
        purged = await found.letter_sender.purge(Selection(type=type_name, until_ns=START_NS + 2), limit=100)
        assert sorted(purged) == sorted(letter.id for letter in made[:3])
        done = await found.letter_sender.redrive(selection, refused_again=False, after=None, limit=100)
        assert [letter.id for letter, _ in done.sent] == [letter.id for letter in made[3:]]
    for file in (tmp_path / "letters", None):
        async with services(kafka, file) as found:
            assert found.dead_letters.number(selection) == 2
            assert found.dead_letters.counts[type_name, "out_of_range"] == 5


async def test_letters_are_listed_by_a_server_that_starts_while_kafka_is_away(
    kafka: EmbeddedKafka, type_name: str, tmp_path: Path
) -> None:
    made = await letters(kafka, type_name, 5)
    async with services(kafka, tmp_path / "letters"):
        pass
    stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}
    away = KafkaOptions("127.0.0.1:9")
    async with open_services(away, letters_file=tmp_path / "letters", **stores) as found:  # type: ignore[arg-type]
        listed = found.dead_letters.newest(Selection(type=type_name))
    assert sorted(entry.letter().id for entry in listed) == sorted(letter.id for letter in made)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_after_a_mended_definition_twins_are_as_if_their_records_had_come_in_time(
    kafka: EmbeddedKafka, type_name: str, tmp_path: Path
) -> None:
    options = KafkaOptions(kafka.bootstrap_servers)
    values = {f"twin-{twin}": [5.0, *(11.0 + twin + number for number in range(20))] for twin in range(3)}
    worker = WorkerProcess(type_name, kafka.bootstrap_servers, tmp_path)
    try:
        async with services(kafka) as found, LogWriter(options) as writer:
            for number in range(21):
                for twin, of_twin in values.items():
                    reading = {"t": of_twin[number], "time": START_NS + number * SECOND, "seq": number, "boot": "b"}
                    await writer.send(TypeTopics(type_name).telemetry, twin.encode(), msgspec.json.encode(reading))
            selection = Selection(type=type_name, reason="out_of_range")
            await until(lambda: found.dead_letters.number(selection) == 60, 90)
            early = await found.letter_sender.redrive(
                Selection(type=type_name, since_ns=0, ids=(found.dead_letters.newest(selection)[0].letter().id,)),
                refused_again=False,
                after=None,
                limit=10,
            )
            refused = early.sent[0][0].id
            await until(lambda: found.dead_letters.due(Selection(ids=(refused,)), refused_again=True)[0])
            await put(options, type_name, 1000)
            done = await found.letter_sender.redrive(selection, refused_again=True, after=None, limit=100)
            assert len(done.sent) == 60
            assert found.dead_letters.number(Selection(type=type_name)) == 60

            def outcomes() -> set[str]:
                return {
                    msgspec.json.decode(entry.redriven or b'{"outcome":""}')["outcome"]
                    for entry in found.dead_letters.newest(selection)
                }

            await until(lambda: outcomes() == {"accepted"})
            await until(lambda: all(twin_state(found, type_name, twin) == 21 for twin in values))
            for twin, of_twin in values.items():
                state = found.states.twin(type_name, twin)
                assert state is not None
                assert state.outputs["mean"] == pytest.approx(sum(of_twin) / len(of_twin))
                assert state.event_time_ns == START_NS + 20 * SECOND
    finally:
        worker.kill()


def twin_state(found: Services, type_name: str, twin: str) -> object:
    state = found.states.twin(type_name, twin)
    return None if state is None else state.outputs["count"]
