import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from support.http_api import BOX, Api

from infra.console.fleet_index import FleetIndex, Query
from infra.console.glance import Glance, Glancer
from infra.console.hub import Hub
from schemas.topics import TypeTopics


def _index(*twins: Glance) -> FleetIndex:
    index = FleetIndex()
    for twin in twins:
        index.put(twin)
    return index


def _glance(twin: str, status: str = "ok", *, type_name: str = "box", at_ns: int = 1, **tags: str) -> Glance:
    return Glance(type_name, twin, status, at_ns, tags)


def _ids(index: FleetIndex, **query: object) -> list[str]:
    return [twin.id for twin in index.page(Query(**query)).twins]  # type: ignore[arg-type]


FLEET = (
    _glance("b", "stale", at_ns=3, room="lab-1"),
    _glance("a", at_ns=1, room="lab-2"),
    _glance("c", "quarantined", type_name="tank", at_ns=2),
)


def test_twins_are_found_by_text_type_tag_and_status() -> None:
    index = _index(*FLEET)
    assert _ids(index) == ["a", "b", "c"]
    assert _ids(index, text="LAB") == ["a", "b"]
    assert _ids(index, type="tank") == ["c"]
    assert _ids(index, tag="room=lab-1") == ["b"]
    assert _ids(index, tag="room") == ["a", "b"]
    assert _ids(index, status="stale") == ["b"]


def test_twins_are_sorted_the_worst_status_first() -> None:
    index = _index(*FLEET)
    assert _ids(index, sort="status") == ["c", "b", "a"]
    assert _ids(index, sort="event_time_ns", descending=True) == ["b", "c", "a"]


def test_counts_are_those_of_the_search_whatever_status_is_wanted() -> None:
    page = _index(*FLEET).page(Query(text="lab", status="stale"))
    assert page.counts == {"ok": 1, "stale": 1, "drifting": 0, "quarantined": 0}
    assert page.found == 1


def test_a_page_behind_the_last_is_the_last() -> None:
    index = _index(*(_glance(f"t{number:03}") for number in range(120)))
    page = index.page(Query(page=9))
    assert (page.page, page.pages, page.found, len(page.twins)) == (3, 3, 120, 20)


def test_a_twin_that_changed_or_went_changes_what_is_found() -> None:
    index = _index(*FLEET)
    assert _ids(index, status="ok") == ["a"]
    index.put(_glance("a", "drifting"))
    index.drop("box", "b")
    assert _ids(index, status="ok") == []
    assert _ids(index) == ["a", "c"]


def test_a_glance_tells_what_the_whole_row_tells() -> None:
    api = Api()
    api.row("a", status=1, event_time_ns=17, tags={"room": "lab-2"})
    row = api.states.raw("box", "a")
    assert row is not None
    assert Glancer(api.services).glance("box", "a", row) == Glance("box", "a", "quarantined", 17, {"room": "lab-2"})


@asynccontextmanager
async def _watched(api: Api) -> AsyncIterator[FleetIndex]:
    """The fleet of a hub that runs, and at which somebody looks."""
    hub = Hub(api.services)
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    with hub.watching():
        yield await hub.index()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_the_hub_keeps_the_fleet_true() -> None:
    api = Api(BOX)
    api.row("a")
    async with _watched(api) as index:
        assert [twin.id for twin in index.page(Query()).twins] == ["a"]
        api.row("b", status=1)
        await asyncio.sleep(0.05)
        assert [(twin.id, twin.status) for twin in index.page(Query()).twins] == [("a", "ok"), ("b", "quarantined")]


async def test_no_burst_of_events_makes_the_hub_miss_a_change() -> None:
    api = Api(BOX)
    api.row("a")
    api.row("gone")
    async with _watched(api) as index:
        for _ in range(1_500):
            api.event("a", "went")
        api.row("a", status=1)
        api.states.apply([api.record(TypeTopics("box").state, b"gone", None)])
        async with asyncio.timeout(0.9):
            while _ids(index, status="quarantined") != ["a"] or len(index) != 1:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.01)


def test_ten_thousand_twins_are_paged_sorted_and_searched_in_milliseconds() -> None:
    index = _index(*(_glance(f"box-{number:05}", room=f"lab-{number % 50}") for number in range(10_000)))
    took_s = []
    for number in range(20):
        index.put(_glance(f"box-{number:05}", "stale"))
        began_s = time.perf_counter()
        page = index.page(Query(text="LAB-7", sort="event_time_ns", descending=True))
        index.page(Query(sort="status"))
        took_s.append(time.perf_counter() - began_s)
    assert page.found == 199  # one of them has changed, and lost its tag
    assert sorted(took_s)[10] < 0.1
