"""Whatever the API is asked, it answers what its OpenAPI document says."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.responses import Response
from support.fuzzing import contradictions
from support.http_api import Api
from support.instance import ROOT, Instance

from infra.http.app import create_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    try:
        while not server.started:
            time.sleep(0.02)
        (listener,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        running.join(10)


def test_an_answer_that_is_not_in_the_document_is_found() -> None:
    app = create_app(Api().services)

    @app.get("/api/odd", summary="Odd")
    async def odd() -> Response:
        """Answers what nobody said."""
        return Response("short and stout", 418)

    with served(app) as url:
        found = contradictions(url, examples=2)
    assert {name.split()[1] for name in found} == {"/api/odd"}


def test_an_api_without_a_log_answers_what_its_document_says() -> None:
    api = Api()
    for twin in ("a", "incubator-1"):
        api.row(twin)
    with served(create_app(api.services)) as url:
        assert contradictions(url, examples=8) == {}


@pytest.mark.kafka
def test_a_running_instance_answers_what_its_document_says(tmp_path: Path) -> None:
    with Instance(tmp_path / "d") as instance:
        instance.run("deploy", str(ROOT / "tests" / "types" / "tally"))
        instance.run("twins", "create", "tally", "incubator-1")
        assert contradictions(instance.api, examples=2) == {}
