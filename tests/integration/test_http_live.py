"""The API over a real Kafka and real sockets; the test plays the worker."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
from support.http_api import BOX

from connectors.memory.stores import MemoryDocumentStore, MemorySeriesStore
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.http import stream
from infra.http.app import create_app
from infra.http.backend import open_services
from infra.http.following import unending
from infra.http.server import listen, serve
from infra.http.services import LogUnavailableError, Services
from schemas.bundle import bundle_of
from schemas.definition import Definition
from schemas.messages import Cause, Event, dead_letter, encode
from schemas.partitioning import partition_of
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.log.writer import LogWriter
from twins.layout import RowLayout

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


async def until_found(services: Services, missing: list[str]) -> None:
    async with asyncio.timeout(15):
        while list(await services.probe()) != missing:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


@dataclass
class Site:
    """A served API, a deployed type and a writer."""

    services: Services
    url: str
    definition: Definition
    writer: LogWriter
    kafka: KafkaOptions

    @property
    def type(self) -> str:
        return str(self.definition.type_name)

    @property
    def topics(self) -> TypeTopics:
        return TypeTopics(self.type)

    async def row(self, twin: str, *, offset: int = 0, revision: int = 0, noise: float = 0.5) -> None:
        layout = RowLayout.of(self.definition)
        row = layout.new_row()
        row["offset"], row["revision"], row["p_noise"] = offset, revision, noise
        await (await self.writer.send(self.topics.state, twin.encode(), layout.encode(row.tobytes(), b"{}")))

    async def event(self, twin: str, name: str, event_id: str, **data: str) -> None:
        event = Event(
            id=event_id,
            type=self.type,
            twin=twin,
            name=name,
            severity="info",
            event_time_ns=1,
            cause=Cause(partition=0, offset=0, definition="", parameters=0),
            data=data,
        )
        await (await self.writer.send(self.topics.events, twin.encode(), encode(event)))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, timeout=15) as client:
            yield client

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[list[LogRecord]]:
        """Applies parameter records: noise above 0.9 is refused."""
        seen: list[LogRecord] = []

        async def work() -> None:
            async with Follower(self.kafka, topics=(self.topics.telemetry,)) as follower:
                while True:
                    for record in await follower.read(0.2):
                        if record.header("ts-kind") != b"switch":
                            seen.append(record)
                            await self._apply(record)

        task = asyncio.create_task(work())
        yield seen
        task.cancel()

    async def _apply(self, record: LogRecord) -> None:
        twin = (record.key or b"").decode()
        noise = msgspec.json.decode(record.value or b"{}").get("parameters", {}).get("noise", 0.5)
        if noise > 0.9:
            await self.event(twin, "request_rejected", record.header("ts-id").decode(), reason="too noisy")
            noise = 0.5
        await self.row(twin, offset=record.offset, noise=noise)


@asynccontextmanager
async def served(services: Services) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(create_app(services), services.feed, listener, stop))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        async with asyncio.timeout(6):
            await serving


async def answered(client: httpx.AsyncClient, path: str, good: Callable[[httpx.Response], object]) -> httpx.Response:
    """Ask until the answer is good."""
    async with asyncio.timeout(30):
        while not good(answer := await client.get(path)):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)
    return answer


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


@pytest.fixture
async def site(kafka: EmbeddedKafka) -> AsyncIterator[Site]:
    options = KafkaOptions(kafka.bootstrap_servers)
    name = f"box_{random.randrange(10**9)}"
    bundle = bundle_of({"twin.yaml": BOX.replace("name: box", f"name: {name}").encode()})
    await put_into_force(options, bundle, 8, who="tests")
    async with LogWriter(options) as writer:
        stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}
        async with open_services(options, **stores) as services, served(services) as url:  # type: ignore[arg-type]
            async with httpx.AsyncClient(base_url=url) as client:
                await eventually(client, "/readyz")
            yield Site(services, url, bundle.definition(), writer, options)


async def eventually(client: httpx.AsyncClient, path: str, *, status: int = 200) -> httpx.Response:
    return await answered(client, path, lambda answer: answer.status_code == status)


async def test_rows_of_the_state_topic_are_the_twins_that_http_shows(site: Site) -> None:
    await site.row("a", revision=1)
    await (await site.writer.send(site.topics.state, b"#position", b'{"offset": 3}', partition=0))
    path = f"/api/twins/{site.type}/a"
    async with site.client() as client:
        assert (await eventually(client, path)).json()["revision"] == 1
        listed = (await client.get("/api/twins", params={"type": site.type})).json()
        await (await site.writer.send(site.topics.state, b"a", None))
        gone = await eventually(client, path, status=404)
    assert [item["id"] for item in listed["items"]] == ["a"]
    assert gone.json()["type"] == "urn:twinstream:problem:unknown-twin"


async def test_put_answers_once_applied_and_repeats_the_reason_of_a_refusal(site: Site) -> None:
    path = f"/api/twins/{site.type}/a"
    async with site.client() as client, site.worker() as seen:
        applied = await client.put(path, json={"parameters": {"noise": 0.75}})
        refused = await client.put(path, json={"parameters": {"noise": 0.95}})
    assert (applied.status_code, applied.json()["parameters"]["noise"]) == (200, 0.75)
    assert (refused.status_code, refused.json()["detail"]) == (409, "the worker refused the change: too noisy")
    assert [record.header("ts-kind") for record in seen] == [b"parameters"] * 2


@pytest.mark.slow
async def test_put_without_a_worker_is_in_the_input_topic_after_5_s(site: Site) -> None:
    async with site.client() as client:
        answer = await client.put(f"/api/twins/{site.type}/a", json={"parameters": {"noise": 0.25}})
        assert answer.status_code == 202
        place = answer.json()
        async with site.worker() as seen:
            await until(lambda: seen)
    assert (seen[0].partition, seen[0].offset) == (place["partition"], place["offset"])
    assert seen[0].header("ts-id").decode() == place["id"]


async def test_requests_land_in_the_partition_of_their_twin(site: Site) -> None:
    await site.row("a-7")
    async with site.client() as client:
        await eventually(client, f"/api/twins/{site.type}/a-7")
        answer = await client.post(f"/api/twins/{site.type}/a-7/requests/target", json={"celsius": 30})
    assert (answer.status_code, answer.json()["partition"]) == (202, partition_of("a-7", 8))


async def test_dead_letters_are_listed_and_counted(site: Site) -> None:
    letter = dead_letter(
        reason="late", detail="d", source="mqtt:a", type_name=site.type, twin="a", received_ns=1, raw=b"x"
    )
    await (await site.writer.send(DEADLETTER, b"a", encode(letter)))
    async with site.client() as client:
        path = f"/api/deadletters?type={site.type}"
        items = (await answered(client, path, lambda answer: answer.json()["items"])).json()["items"]
        metrics = (await client.get("/metrics")).text
    assert [item["id"] for item in items] == [letter.id]
    assert f'twinstream_deadletters_total{{reason="late",type="{site.type}"}} 1.0' in metrics


@asynccontextmanager
async def streaming(site: Site, **params: str) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, object]]]]:
    async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, object]]]:
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    async with site.client() as client, client.stream("GET", "/api/stream", params=params) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def test_the_event_stream_carries_what_happens_to_the_twin_that_it_asks_for(site: Site) -> None:
    await site.row("a", revision=1)
    async with site.client() as client:
        await eventually(client, f"/api/twins/{site.type}/a")
    async with asyncio.timeout(10), streaming(site, type=site.type, id="a") as events:
        name, body = await anext(events)
        assert (name, body["revision"]) == ("state", 1)
        await site.event("b", "went", "1")
        await site.event("a", "went", "2")
        name, body = await anext(events)
        assert (name, body["id"]) == ("event", "2")
        await site.row("a", revision=2)
        name, body = await anext(events)
        assert (name, body["revision"]) == ("state", 2)


async def test_who_comes_back_to_the_stream_gets_each_event_once(site: Site) -> None:
    """Also when the events are written while it comes and goes."""
    total = 150

    async def write() -> None:
        for number in range(total):
            await site.event(f"t{number % 7}", "went", str(number))
            await asyncio.sleep(0.002)

    found: list[str] = []
    headers: dict[str, str] = {}
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        while len(found) < total:
            async with (
                site.client() as client,
                client.stream("GET", "/api/stream", params={"type": site.type}, headers=headers) as answer,
            ):
                if not headers:
                    group.create_task(write())
                until_gone = len(found) + random.randrange(1, 50)
                name = ""
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(": ")
                    if field == "id":
                        headers = {"last-event-id": value}
                    elif field == "event":
                        name = value
                    elif field == "data" and name == "event":
                        found.append(json.loads(value)["id"])
                        if len(found) in {until_gone, total}:
                            break
    assert sorted(found, key=int) == [str(number) for number in range(total)]


@pytest.mark.slow
async def test_a_client_that_reads_nothing_holds_nobody_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 2.0)
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: site.services.feed.clients == 1)
        async with asyncio.timeout(30), streaming(site, type=site.type) as events:
            for number in range(3000):
                value = msgspec.json.encode({"id": number, "padding": "x" * 2000})
                await site.writer.send(site.topics.events, b"a", value)
                if number % 300 == 299:
                    async for _, body in events:
                        if body["id"] == number:
                            break
            await until(lambda: site.services.feed.clients == 1)
            await site.event("a", "went", "last")
            _, body = await anext(events)
    assert body["id"] == "last"


async def test_types_that_are_deployed_later_appear_by_themselves(site: Site) -> None:
    name = f"{site.type}_later"
    bundle = bundle_of({"twin.yaml": BOX.replace("name: box", f"name: {name}").encode()})
    await put_into_force(site.kafka, bundle, 8, who="tests")
    later = Site(site.services, site.url, bundle.definition(), site.writer, site.kafka)
    await later.row("z")
    async with site.client() as client:
        assert (await eventually(client, f"/api/twins/{name}/z")).json()["version"] == "1.2.0"


async def test_while_kafka_is_away_the_api_answers_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    options = KafkaOptions(f"127.0.0.1:{port}")
    stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}
    async with (
        open_services(options, **stores) as services,  # type: ignore[arg-type]
        served(services) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        alive, not_ready, unknown = [await client.get(path) for path in ("/healthz", "/readyz", "/api/types/box")]
    assert (alive.status_code, not_ready.status_code, unknown.status_code) == (200, 503, 503)
    assert [part["name"] for part in not_ready.json()["missing"]] == ["api", "kafka"]


@pytest.mark.slow
async def test_after_kafka_was_away_the_api_goes_on_where_it_was(tmp_path: Path) -> None:
    topic = TypeTopics("box").state
    stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}

    async with AsyncExitStack() as stack:
        async with EmbeddedKafka(tmp_path, port=0) as kafka:
            options = KafkaOptions(kafka.bootstrap_servers)
            async with LogAdmin(options) as admin:
                await admin.ensure_topics((*SHARED_TOPICS, topic), partitions=2)
            services = await stack.enter_async_context(open_services(options, **stores))  # type: ignore[arg-type]
            await until(lambda: not services.loading())
            await services.writer.write(topic, b"before", b"row", [])
            await until(lambda: services.states.raw("box", "before"))

        await until_found(services, ["kafka"])
        with pytest.raises(LogUnavailableError):
            await services.writer.write(topic, b"meanwhile", b"row", [])
        port = int(options.bootstrap_servers.rpartition(":")[2])
        async with EmbeddedKafka(tmp_path, port=port):
            await until(lambda: services.states.raw("box", "meanwhile"))
            await until_found(services, [])
            await services.writer.write(topic, b"after", b"row", [])
            await until(lambda: services.states.raw("box", "after"))
            assert services.states.page("box", "", 9) == ["after", "before", "meanwhile"]
            await stack.aclose()


async def test_work_that_ends_by_itself_is_a_failure() -> None:
    class Silent:
        async def run(self) -> None:
            raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="Silent ended by itself"):
        await unending(Silent())


async def test_a_taken_port_is_one_clear_line() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(Exception, match="choose another --http-port") as raised:
        listen("127.0.0.1", first.getsockname()[1])
    assert "\n" not in str(raised.value)


async def test_an_open_stream_does_not_keep_the_server_from_stopping(site: Site) -> None:
    async with streaming(site) as events:
        site.services.feed.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
