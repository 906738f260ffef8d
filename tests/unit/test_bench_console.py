"""What `bench console` is made of: each part notices when what it is there for does not happen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from support.console import desk_over
from support.http_api import Api

from infra.bench.api_reads import ApiReads
from infra.bench.console_figures import Audience, Looked, Outcome, Run
from infra.bench.console_load import ConsoleLoad, is_live, paths
from infra.bench.latency import Processed
from infra.bench.page_session import PageSession
from infra.console.mounting import opened
from infra.http.app import create_app
from infra.http.server import listen, serve
from schemas.headers import KIND
from schemas.topics import TypeTopics
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord

TOPICS = TypeTopics("box")
AUDIENCE = Audience(pages=20, seconds=10.0, pushes=300, answers=1000, answer_ms=(3.0, 20.0), cpu_s=1.0)
QUIET = Run(15_000, 10.0, (20.0, 50.0, 90.0), 11.0, {"api": 1.1, "Kafka": 5.5}, 0.6)


def run(p99_ms: float, *, audience: Audience | None = None) -> Run:
    return replace(QUIET, processed_ms=(20.0, p99_ms, 200.0), audience=audience)


def telemetry(twin: bytes, time_ns: int, written_ms: int, *headers: tuple[str, bytes]) -> LogRecord:
    return LogRecord(TOPICS.telemetry, 0, 0, written_ms, twin, b'{"t":1.5,"time":%d}' % time_ns, headers)


def lines(*of: tuple[bytes, int]) -> LogRecord:
    text = b"".join(b"box,twin=%b mean=1.5,lid=true %d\n" % one for one in of)
    return LogRecord(TOPICS.timeseries, 0, 0, 0, None, text, ())


def test_processing_counts_from_a_record_s_writing_to_its_line_whichever_is_read_first() -> None:
    processed = Processed(KafkaOptions("127.0.0.1:1"), "box")
    processed.take([telemetry(b"a", 7, 1000), telemetry(b"b", 7, 1010)], 0)
    assert processed.lines == 0
    processed.take([lines((b"b", 7), (b"c", 9))], 1_050_000_000)
    assert processed.latencies_ms == [40.0]
    processed.take([telemetry(b"c", 9, 1020), lines((b"a", 7))], 1_100_000_000)
    assert processed.latencies_ms == [40.0, 30.0, 100.0]


def test_what_is_no_telemetry_has_no_line_to_wait_for() -> None:
    processed = Processed(KafkaOptions("127.0.0.1:1"), "box")
    tick = LogRecord(TOPICS.telemetry, 0, 0, 1, b"#tick", b"\x00", ((KIND, b"tick"),))
    switch = LogRecord(TOPICS.telemetry, 0, 1, 1, None, b"\x00", ())
    processed.take([tick, switch], 5)
    assert processed.lines == 0


def test_the_limit_is_kept_by_the_median_of_the_pairs_and_only_while_a_real_page_lives() -> None:
    pairs = [(run(50.0), run(p99_ms, audience=AUDIENCE)) for p99_ms in (60.0, 75.0, 500.0)]
    outcome = Outcome(pairs)
    assert outcome.ratio.median == pytest.approx(1.5)
    assert outcome.kept
    assert not Outcome([*pairs[1:], (run(50.0), run(80.0, audience=AUDIENCE))]).kept
    assert Outcome(pairs, Looked(changes=15, looks=30, cores=0.3)).kept
    assert not Outcome(pairs, Looked(changes=3, looks=30, cores=0.3)).kept
    told = outcome.as_json()
    assert told["runs"][0]["with"]["audience"]["requests_per_second"] == 100.0
    assert told["runs"][0]["with"]["cores"] == {"api": 0.1, "Kafka": 0.5}
    rows = {row[0]: row[1:] for row in outcome.as_rows()}
    assert rows["times as long"] == ("1.20", "1.50", "10.00", "1.5")
    assert rows["api role with it, cores"][1] == "0.10"


def test_half_of_twenty_pages_show_the_fleet_and_all_kinds_are_among_them() -> None:
    found = paths(ConsoleLoad("", "", "incubator", 1000, 20, 100.0))
    assert len(found) == 20
    assert sum(path.startswith("/?") or path == "/" for path in found) == 10
    assert {"/system", "/types/incubator", "/deadletters"} <= set(found)
    assert len({path for path in found if path.startswith("/twins/")}) >= 5
    assert sum(map(is_live, found)) == 18


@asynccontextmanager
async def answering(body: bytes, status: int = 200) -> AsyncIterator[str]:
    """A server that answers everything alike."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(url: str) -> ApiReads:
    stop = asyncio.Event()
    async with aiohttp.ClientSession() as http:
        reads = ApiReads(http, url, "incubator", ["box-00001"])
        running = asyncio.create_task(reads.run(200.0, stop))
        await asyncio.sleep(0.5)
        stop.set()
        await running
    return reads


async def test_answers_that_are_refused_or_empty_are_wrong() -> None:
    whole = b'{"items":[{"id":"box-00001","inputs":{},"outputs":{}}],"time_ns":[1],"received":1,"ready":true}'
    async with answering(whole) as url:
        reads = await asked(url)
    assert reads.wrong == 0
    assert 50 < len(reads.latencies_ms) < 150
    for body, status in ((b'{"items":[],"time_ns":[]}', 200), (whole, 429)):
        async with answering(body, status) as url:
            reads = await asked(url)
        assert reads.wrong >= 0.7 * len(reads.latencies_ms)
        assert reads.faults
    reads = await asked("http://127.0.0.1:1")
    assert reads.wrong > 50
    assert reads.latencies_ms == []


@asynccontextmanager
async def console() -> AsyncIterator[tuple[Api, str, asyncio.Event]]:
    """The console, served, with one twin; set the event to end the server."""
    api, stop = Api(), asyncio.Event()
    api.row("a")
    app = create_app(api.services)
    async with opened(app, desk_over(api.services)):
        listener = listen("127.0.0.1", 0)
        serving = asyncio.create_task(serve(app, api.services.feed, listener, stop))
        try:
            yield api, f"http://127.0.0.1:{listener.getsockname()[1]}", stop
        finally:
            stop.set()
            await serving


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - another end of a socket
            await asyncio.sleep(0.05)


async def test_an_open_page_counts_what_is_pushed_and_notices_that_its_server_is_gone() -> None:
    async with (
        console() as (api, url, stop),
        aiohttp.ClientSession() as http,
        PageSession(http, url, "/twins/box/a") as page,
    ):
        page.begin()
        await asyncio.sleep(0.5)
        before = page.pushes
        api.row("a", i_t=33.0)
        await until(lambda: page.pushes > before)
        assert page.longest_silence_s >= 0.3
        assert not page.fault
        stop.set()
        await until(lambda: bool(page.fault))


async def test_what_is_no_page_of_the_console_is_no_open_page() -> None:
    async with console() as (_, url, _stop), aiohttp.ClientSession() as http:
        for path in ("/api/instance", "/twins/box/none"):
            with pytest.raises(ConnectionError, match="no page of the console"):
                async with PageSession(http, url, path):
                    pass
