"""The wire that can be hurt."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from faults.proxy import Proxy

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that says everything once more."""

    ended = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
        ended.set()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as made:
        yield made
    await ended.wait()
    server.close()


async def _answer(wire: Wire, text: bytes, timeout_s: float = 5.0) -> bytes:
    wire[1].write(text)
    return await asyncio.wait_for(wire[0].readexactly(len(text)), timeout_s)


async def test_a_wire_passes_on_what_it_is_given(proxy: Proxy) -> None:
    wire = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await _answer(wire, b"hello") == b"hello"
    wire[1].close()


async def test_a_cut_wire_breaks_connections_and_takes_new_ones(proxy: Proxy) -> None:
    wire = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await _answer(wire, b"hello") == b"hello"
    proxy.cut()
    assert (proxy.broken, proxy.held_bytes) == (1, 0)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await _answer(wire, b"more")
    wire[1].close()
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await _answer(again, b"hello") == b"hello"
    again[1].close()


async def test_a_stalled_wire_stays_open_and_moves_nothing_until_it_goes_on(proxy: Proxy) -> None:
    wire = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.stall()
    with pytest.raises(TimeoutError):
        await _answer(wire, b"hello", timeout_s=0.2)
    assert not wire[0].at_eof()
    assert (proxy.broken, proxy.held_bytes) == (0, 5)
    proxy.resume()
    assert await asyncio.wait_for(wire[0].readexactly(5), 5) == b"hello"
    wire[1].close()
