"""The desk over a real Kafka: what the pages need beside the API's services."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.console.desk import Desk
from infra.console.hub import Hub
from infra.console.log_lines import LogLines
from infra.console.past_events import LogPastEvents
from infra.console.topic_watch import TopicWatch
from infra.http.following import Following, unending
from infra.http.services import Services
from infra.settings import Settings
from schemas.topics import LOGS
from streams.log.follow import Follower


@asynccontextmanager
async def open_desk(services: Services, settings: Settings) -> AsyncIterator[Desk]:
    """What follows the log for the pages in the background; it is there at once, also while Kafka is away.

    Raises:
        Exception: something that follows the log failed for good; the process should be started again.
    """
    options = settings.kafka.options()
    hub, logs, topics = Hub(services), LogLines(), TopicWatch(options)
    following = Following("logs", Follower(options, topics=(LOGS,)), logs.apply)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(unending(work)) for work in (hub, topics, following)]
        try:
            yield Desk(
                services=services,
                hub=hub,
                logs=logs,
                topics=topics,
                past_events=LogPastEvents(options),
                settings=settings,
            )
        finally:
            for task in running:
                task.cancel()
