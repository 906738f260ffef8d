"""History for other processes: a small HTTP application in front of the store's owner, loopback only."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response

from connectors.series import BUCKETS_LIMIT, SERIES_LIMIT, SeriesReader
from connectors.stores import StoreUnavailableError

PATH = "/series"
BUCKETS_PATH = "/buckets"


async def answer(reader: SeriesReader, listener: socket.socket) -> None:
    """Answer questions about history until cancelled; closes the listener."""
    config = uvicorn.Config(
        series_app(reader),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def series_app(reader: SeriesReader) -> FastAPI:
    """An application with these routes; the process that owns `reader` serves it on a loopback port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(series_router(reader))
    return app


def series_router(reader: SeriesReader) -> APIRouter:
    """The routes alone, to stand beside others in an application of the same process."""
    router = APIRouter(dependencies=[Depends(only_loopback)])

    @router.get(PATH)
    async def series(
        type: str,  # noqa: A002 - the query parameter's name
        twin: str,
        field: str,
        start: int | None = None,
        stop: int | None = None,
        limit: Annotated[int, Query(ge=1, le=SERIES_LIMIT)] = SERIES_LIMIT,
    ) -> Response:
        try:
            found = await reader.series(type, twin, field, start, stop, limit)
        except StoreUnavailableError as error:
            raise HTTPException(503, str(error)) from error
        return Response(msgspec.json.encode(found), media_type="application/json")

    @router.get(BUCKETS_PATH)
    async def buckets(
        type: str,  # noqa: A002 - the query parameter's name
        twin: str,
        field: str,
        start: int,
        stop: int,
        count: Annotated[int, Query(ge=1, le=BUCKETS_LIMIT)],
    ) -> Response:
        try:
            found = await reader.buckets(type, twin, field, start, stop, count)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        except StoreUnavailableError as error:
            raise HTTPException(503, str(error)) from error
        return Response(msgspec.json.encode(found), media_type="application/json")

    return router


def only_loopback(request: Request) -> None:
    """Refuse a request that was not addressed to this host by a loopback name: a web page may have sent it.

    Raises:
        HTTPException: 421, the `Host` header names something else.
    """
    if not is_loopback(request.headers.get("host", "")):
        raise HTTPException(421, "this address is served on loopback only")


def is_loopback(host: str) -> bool:
    """Whether a `Host` header names this machine by itself."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
