"""A desk over services in memory."""

from infra.console.desk import Desk
from infra.console.hub import Hub
from infra.console.log_lines import LogLines
from infra.console.topic_watch import TopicWatch
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
