"""A desk over services in memory, and a page that elements can be put on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nicegui import ui
from nicegui.client import Client
from support.http_api import Api

from infra.console.desk import Desk
from infra.console.hub import Hub
from infra.console.log_lines import LogLines
from infra.console.mounting import opened
from infra.console.topic_watch import TopicWatch
from infra.http.app import create_app
from infra.http.services import Services
from infra.settings import Settings
from schemas.messages import Event
from streams.log.client import KafkaOptions


def desk_over(services: Services) -> Desk:
    """Nothing is followed but what the test tells the services."""
    topics = TopicWatch(KafkaOptions("127.0.0.1:1"))

    async def no_past(type_name: str, twin: str, since_ns: int | None) -> list[Event]:  # noqa: ARG001 - a port
        return []

    return Desk(
        services=services,
        hub=Hub(services),
        logs=LogLines(),
        topics=topics,
        past_events=no_past,
        settings=Settings(),
    )


@asynccontextmanager
async def blank_page() -> AsyncIterator[Client]:
    """A page that is not connected, so that what is pushed waits."""
    api = Api()
    async with opened(create_app(api.services), desk_over(api.services)):
        with Client(ui.page("/blank"), request=None) as client:
            yield client
