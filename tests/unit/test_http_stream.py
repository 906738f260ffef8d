import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.http_api import Api

from infra.http import positions
from infra.http.feed import Feed, Subscription, frame
from infra.http.routes.stream import encode_state
from infra.http.stream import Client, frames
from infra.http.stream_history import History, MissedTooMuchError, no_history
from streams.log.record import LogRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Reader:
    """Reads the event stream of one client, frame by frame."""

    def __init__(self, api: Api, *, history: History = no_history, first: Any = None, **asked: Any) -> None:
        def encode(of_type: str, of_twin: str, row: bytes | None) -> bytes | None:
            return encode_state(api.services, of_type, of_twin, row)

        self._frames: AsyncIterator[bytes] = frames(
            api.feed, encode, Client(first=[first] if first else [], **asked), heartbeat_s=0.05, history=history
        )

    last = ""

    async def more(self) -> bytes:
        async with asyncio.timeout(2):
            return await anext(self._frames)

    async def events(self) -> list[tuple[str, Any]]:
        """The next events, comments left out."""
        found = []
        for part in (await self.more()).decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in part.splitlines())
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
            self.last = lines.get("id", self.last)
        return found


async def test_a_stream_carries_state_commands_and_events_of_what_it_asks_for() -> None:
    api = Api()
    everything, one = Reader(api), Reader(api, type_name="box", twin="a")
    assert b": connected" in await everything.more()
    assert b": connected" in await one.more()
    api.event("a", "went", severity="info")
    api.command("a", "heater", value=True)
    api.row("a", revision=3)
    api.event("b", "went")
    assert [(name, body.get("twin", body.get("id"))) for name, body in await everything.events()] == [
        ("event", "a"),
        ("command", "a"),
        ("event", "b"),
        ("state", "a"),
    ]
    (event, command, state) = await one.events()
    assert (event[1]["name"], command[1]["value"], state[1]["revision"]) == ("went", True, 3)


async def test_a_stream_of_one_twin_begins_with_its_state() -> None:
    api = Api()
    api.row("a", revision=8)
    row = api.states.raw("box", "a")
    reader = Reader(api, type_name="box", twin="a", first=("box", "a", row))
    await reader.more()
    ((name, body),) = await reader.events()
    assert (name, body["revision"]) == ("state", 8)


async def test_only_the_latest_state_of_a_twin_waits() -> None:
    api = Api()
    reader = Reader(api)
    await reader.more()
    for revision in range(100):
        api.row("a", revision=revision)
    assert [body["revision"] for _, body in await reader.events()] == [99]


async def test_a_deleted_twin_is_told() -> None:
    api = Api()
    reader = Reader(api, type_name="box")
    await reader.more()
    api.states.apply([api.record("twinstream.box.state", b"a", None)])
    assert await reader.events() == [("state", {"type": "box", "id": "a", "status": "deleted"})]


async def test_a_silent_stream_says_that_it_lives() -> None:
    reader = Reader(Api())
    await reader.more()
    assert await reader.more() == b": heartbeat\n\n"


async def test_a_client_that_falls_behind_is_cut_off_and_no_other() -> None:
    api = Api()
    api.feed = Feed(queue_limit=10)
    slow, quick = Reader(api), Reader(api)
    await slow.more()
    await quick.more()
    for _ in range(11):
        api.event("a", "went")
        if api.feed.clients:
            await quick.events()
    assert b"too slow" in await slow.more()
    with pytest.raises(StopAsyncIteration):
        await slow.more()
    assert api.feed.clients == 1
    api.event("a", "went")
    assert len(await quick.events()) == 1


async def test_a_server_that_stops_ends_every_stream() -> None:
    api = Api()
    open_stream = Reader(api)
    await open_stream.more()
    api.feed.close()
    assert b"the server stops" in await open_stream.more()
    late = Reader(api)
    await late.more()
    assert b"the server stops" in await late.more()


async def test_the_stream_endpoint_refuses_what_is_unknown() -> None:
    api = Api()
    api.feed.close()
    async with api.client() as client:
        stream = await client.get("/api/stream", params={"type": "box", "id": "a"})
        unknown = await client.get("/api/stream", params={"type": "none"})
        invalid = await client.get("/api/stream", params={"id": "-"})
    assert (stream.status_code, unknown.status_code, invalid.status_code) == (200, 404, 422)
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.headers["x-accel-buffering"] == "no"
    assert api.feed.clients == 0


async def test_line_breaks_in_a_message_don_t_break_the_frame() -> None:
    assert frame("event", b'{\r\n"a":\n1}') == b'event: event\ndata: {  "a": 1}\n\n'


async def test_a_foreign_record_among_the_events_settles_nothing() -> None:
    api = Api()
    with api.feed.outcome("box", "a", "id") as outcome:
        api.feed.apply(
            [api.record("twinstream.box.events", b"a", b"{"), api.record("twinstream.box.events", b"a", None)]
        )
        assert not outcome.done()
        api.event("a", "request_accepted", event_id="id")
        assert outcome.result().name == "request_accepted"


async def test_a_turn_takes_a_bounded_number_of_states() -> None:
    subscription = Subscription(10)
    for number in range(1200):
        subscription.put_state("box", str(number), b"")
    sizes = []
    while await subscription.wait(0.01):
        sizes.append(subscription.take(lambda *_: b"{}").count(b"event: state"))
    assert sizes == [500, 500, 200]


def log_of(api: Api, records: list[LogRecord]) -> History:
    """What is in the log."""

    async def history(ranges: Any, wanted: Any) -> list[LogRecord]:
        found = [one for one in records if one.offset in ranges.get((one.topic, one.partition), ())]
        return list(filter(wanted, found))

    apply = api.feed.apply

    def kept(some: Any) -> None:
        records.extend(some := list(some))
        apply(some)

    api.feed.apply = kept  # type: ignore[assignment,method-assign]
    return history


async def test_who_comes_back_gets_what_was_missed_once_and_goes_on() -> None:
    api = Api()
    history = log_of(api, [])
    first = Reader(api, type_name="box")
    await first.more()
    for name in ("one", "two"):
        api.event("a", name)
    assert [body["name"] for _, body in await first.events()] == ["one", "two"]
    for name in ("three", "four"):
        api.event("b", name)
    api.command("a", "heater", value=True)
    again = Reader(api, type_name="box", last=positions.read(first.last), history=history)
    assert b"\nid: " + first.last.encode() in await again.more()
    assert [body["name"] for _, body in await again.events()] == ["three", "four", "heater"]
    api.event("a", "five")
    assert [body["name"] for _, body in await again.events()] == ["five"]
    only = Reader(api, type_name="box", twin="b", last=positions.read(first.last), history=history)
    await only.more()
    assert [body["name"] for _, body in await only.events()] == ["three", "four"]


async def test_each_event_tells_where_the_client_is_after_it_and_none_comes_twice() -> None:
    api = Api()
    history = log_of(api, [])
    names = [f"e{number}" for number in range(40)]
    reader = Reader(api)
    await reader.more()
    places = []
    for name in names:
        api.event(name, name)
        await reader.events()
        places.append(reader.last)
    for at, place in enumerate(places[:-1]):
        again = Reader(api, last=positions.read(place), history=history)
        await again.more()
        assert [body["name"] for _, body in await again.events()] == names[at + 1 :]


async def test_an_api_that_is_behind_another_repeats_nothing() -> None:
    api = Api()
    reader = Reader(api)
    await reader.more()
    api.event("a", "one")
    ((topic, partition),) = api.feed.positions
    ahead = {(topic, partition): api.feed.positions[topic, partition] + 1}
    again = Reader(api, last=ahead)
    await again.more()
    api.event("a", "two")
    api.event("a", "three")
    assert [body["name"] for _, body in await again.events()] == ["three"]


async def test_who_missed_too_much_is_told_so_and_goes_on_from_now() -> None:
    async def gone(*_: Any) -> list[LogRecord]:
        message = "more than 100000 records were missed"
        raise MissedTooMuchError(message)

    api = Api()
    api.event("a", "old")
    reader = Reader(api, last={}, history=gone)
    await reader.more()
    assert [name for name, _ in await reader.events()] == ["reset"]
    api.event("a", "new")
    assert [body["name"] for _, body in await reader.events()] == ["new"]


@pytest.mark.parametrize(
    "text", ["x", "box:c0", "box:c0=1,x", "box:c0=-1", "Box:c0=1", "box:c99999=1", "a:c0=1" * 9999]
)
async def test_a_last_id_that_is_none_is_refused(text: str) -> None:
    async with Api().client() as client:
        answer = await client.get("/api/stream", headers={"last-event-id": text})
    assert answer.status_code == 422


def test_positions_are_read_as_they_were_written() -> None:
    places = {("twinstream.box.events", 3): 5, ("twinstream.box.commands", 0): 0, ("twinstream.a-b.events", 11): 10**12}
    assert positions.written(places) == "a-b:e11=1000000000000;box:c0=0,e3=5"
    assert positions.read(positions.written(places)) == places
    assert positions.read("") == {}


async def test_who_is_let_in_no_longer_reads_no_more_of_what_was_missed() -> None:
    api = Api()
    history = log_of(api, [])
    for number in range(1200):
        api.event("a", f"e{number}")
    good = True
    reader = Reader(api, last={}, history=history, good=lambda: good)
    await reader.more()
    assert len(await reader.events()) == 500
    good = False
    assert b"good no longer" in await reader.more()
    with pytest.raises(StopAsyncIteration):
        await reader.more()


async def test_who_is_let_in_no_longer_when_history_is_read_gets_nothing_of_it() -> None:
    api = Api()
    logged = log_of(api, [])
    api.event("a", "old")
    good = True

    async def history(ranges: Any, wanted: Any) -> list[LogRecord]:
        nonlocal good
        found = await logged(ranges, wanted)
        good = False
        return found

    reader = Reader(api, last={}, history=history, good=lambda: good)
    await reader.more()
    assert b"good no longer" in await reader.more()
