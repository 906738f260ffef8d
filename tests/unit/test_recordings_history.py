import pytest
from support.console import blank_page, desk_over
from support.http_api import BOX, Api

from connectors.series import Series
from connectors.stores import Block, LogPosition
from infra.console.exporting import exported
from infra.console.history_card import HistoryCard
from infra.recordings import history
from infra.recordings.history import History, read_history
from schemas.definition_file import read_definition

S = 1_000_000_000


def _of(count: int) -> Series:
    return Series(list(range(count)), [float(at) for at in range(count)])


@pytest.mark.parametrize("count", [0, 1, 4, 5, 7, 8, 13])
@pytest.mark.parametrize("most", [None, 1, 3, 4, 5, 7, 8, 20])
async def test_a_history_is_read_whole_or_says_that_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, count: int, most: int | None
) -> None:
    monkeypatch.setattr(history, "SERIES_LIMIT", 4)

    async def ask(start_ns: int | None, limit: int) -> Series:
        assert 1 <= limit <= 4
        begin = start_ns or 0
        assert begin < max(count, 1), "a start behind the last point is refused by the API when that is the stop"
        return Series(list(range(begin, count))[:limit], [float(at) for at in range(begin, count)][:limit])

    cut = most is not None and count > most
    assert await read_history(ask, most) == History(_of(most if cut and most else count), cut)


async def _stored(api: Api, points: int) -> int:
    """Points of two fields at each second up to now, one of which begins later; returns the first second."""
    first_ns = api.clock.now_ns() - (points - 1) * S
    lines = "".join(f"box,twin=a mean={at} {first_ns + at * S}\n" for at in range(points))
    lines += "".join(f"box,twin=a lid={at % 2} {first_ns + at * S}\n" for at in range(4, points))
    await api.series.write([Block(LogPosition("twinstream.box.timeseries", 0, 0), lines.encode())])
    return first_ns


async def test_the_export_of_a_page_tells_until_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    first_ns = await _stored(api, 10)
    desk, stop_ns = desk_over(api.services), api.clock.now_ns()
    whole = await exported(desk, "box", "a", ["mean", "lid"], None, stop_ns, ".csv")
    assert (len(whole.content.splitlines()), whole.whole_until_ns) == (11, None)
    monkeypatch.setattr("infra.console.exporting.MOST_POINTS", 6)
    part = await exported(desk, "box", "a", ["mean", "lid"], None, stop_ns, ".csv")
    assert (len(part.content.splitlines()), part.whole_until_ns) == (11, first_ns + 5 * S)


@pytest.mark.parametrize("cut", [False, True])
async def test_a_viewer_is_told_of_an_export_that_is_cut(monkeypatch: pytest.MonkeyPatch, *, cut: bool) -> None:
    api = Api()
    await _stored(api, 10)
    if cut:
        monkeypatch.setattr("infra.console.exporting.MOST_POINTS", 6)

    async def ranged() -> None:
        pass

    async with blank_page() as client:
        card = HistoryCard(desk_over(api.services), "box", "a", read_definition(BOX), ranged)
        await card._export(".csv")  # noqa: SLF001 - what its button does
        sent = [(kind, content) for _, kind, content in client.outbox.messages]
    assert [kind for kind, _ in sent].count("download") == 1
    words = [content["message"] for kind, content in sent if kind == "notify"]
    assert len(words) == cut
    assert all("whole until 2" in one and "twinstream export box a" in one for one in words)
