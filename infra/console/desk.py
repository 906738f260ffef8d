"""What the pages work with, and how a page finds it."""

from dataclasses import dataclass

from starlette.requests import Request

from infra.access.caller import ANYBODY, Caller
from infra.console.hub import Hub
from infra.console.log_lines import LogLines
from infra.console.past_events import PastEvents
from infra.console.topic_watch import TopicWatch
from infra.http.services import Services
from infra.settings import Settings

KEY = "twinstream.desk"
"""Where a request's scope holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the pages work with.

    Attributes:
        services: Those of the API, called in this process.
        hub: What all pages share of what happens now.
        logs: The latest lines of all roles.
        topics: What the topics hold.
        past_events: Events from before a page was opened.
        settings: For deployments: where Kafka is, and how its topics are made.
        caller: Who looks at the page.
    """

    services: Services
    hub: Hub
    logs: LogLines
    topics: TopicWatch
    past_events: PastEvents
    settings: Settings
    caller: Caller = ANYBODY


def desk_of(request: Request) -> Desk:
    """What the page of this request works with."""
    desk: Desk = request.scope[KEY]
    return desk
