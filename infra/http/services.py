"""What the API needs of its surroundings: ports, so that tests run it without any server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import Depends, Request

from connectors.documents import DocumentReader
from connectors.series import SeriesReader
from infra.access.audit import AuditTrail, AuditWriter
from infra.access.caller import Caller
from infra.access.gate import Gate
from infra.access.grants import UNLIMITED, Grants
from infra.access.tokens import Token
from infra.http.account import Accounts
from infra.http.conditions import Conditions
from infra.http.deadletters import DeadLetters
from infra.http.feed import Feed
from infra.http.granted import GrantedCatalogue, GrantedStates, TwinStates
from infra.http.idempotency import Answered
from infra.http.letters import Place, Selection
from infra.http.models import KafkaAddress
from infra.http.rows import TypeCatalogue
from infra.http.shared_look import SharedLook
from infra.http.stream_history import History, no_history
from schemas.clock import Clock, SystemClock
from schemas.errors import TwinstreamError
from schemas.messages import DeadLetter, Redriven

if TYPE_CHECKING:
    from schemas.headers import Headers

Missing = Mapping[str, str]
"""Parts that are not up yet: name, such as `kafka` or `bridge:mqtt`, to what is the matter with it."""

Probe = Callable[[], Awaitable[Missing]]
"""Asks what is missing; empty means that everything is up. Called at every `/readyz`, so it should answer at once."""

WorkerFigures = Callable[[], bytes]
"""What the workers beside us count of records, in Prometheus' text format; may take a second: called in a thread."""

Loading = Callable[[], str]
"""What is still being read from the log since the start, `""` when all of it was."""


class LogUnavailableError(TwinstreamError):
    """A record could not be made durable in time.

    Attributes:
        in_doubt: Whether it may still appear later.
    """

    def __init__(self, message: str, *, in_doubt: bool = True) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class RecordWriter(Protocol):
    """Writes single records to the log."""

    async def write(self, topic: str, key: bytes, value: bytes, headers: "Headers") -> tuple[int, int]:
        """Make one record durable in the partition of its key.

        Returns:
            Partition and offset.

        Raises:
            LogUnavailableError: not confirmed within a few seconds; the caller answers 503.
        """


@dataclass(slots=True)
class Redriving:
    """What sending letters once more led to.

    Attributes:
        sent: Letters that were sent, oldest first within a type, and where they are now.
        unable: Letters that can't be sent, and why.
        next: Place to go on behind, None when none is left.
        refused_again: How many others were sent before, and refused again, where those were not wanted.
    """

    sent: list[tuple[DeadLetter, Redriven]] = field(default_factory=list)
    unable: list[tuple[DeadLetter, str]] = field(default_factory=list)
    next: str | None = None
    refused_again: int = 0


class LetterSender(Protocol):
    """Sends dead letters once more, and removes them."""

    async def redrive(self, selection: Selection, *, refused_again: bool, after: Place | None, limit: int) -> Redriving:
        """Send the next ones.

        Raises:
            LogUnavailableError: Kafka is away, or somebody else sends them right now.
        """

    async def purge(self, selection: Selection, *, limit: int) -> list[str]:
        """Remove the next ones; return their ids.

        Raises:
            LogUnavailableError: Kafka is away.
        """


class TokenChanges(Protocol):
    """Makes tokens, and revokes them."""

    async def put(self, token: Token) -> None:
        """Make or change a token; it holds at once.

        Raises:
            LogUnavailableError: not confirmed in time.
        """


class NoTokenLog:
    """No token can be changed."""

    async def put(self, token: Token) -> None:  # noqa: ARG002
        """Refuse."""
        message = "kafka was not reached yet"
        raise LogUnavailableError(message)


class NoSender:
    """Nothing can be sent."""

    async def redrive(self, selection: Selection, **_: object) -> Redriving:  # noqa: ARG002
        """Refuse."""
        message = "kafka was not reached yet"
        raise LogUnavailableError(message)

    async def purge(self, selection: Selection, **_: object) -> list[str]:  # noqa: ARG002
        """Refuse."""
        message = "kafka was not reached yet"
        raise LogUnavailableError(message)


async def nothing_missing() -> Missing:
    """A probe that finds everything up."""
    return {}


def no_workers() -> bytes:
    """No worker is beside us."""
    return b""


def nothing_loading() -> str:
    """Everything was read."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What endpoints work with.

    Attributes:
        probe: What `/readyz` asks.
        kafka: Where clients find the log.
        status: What `/api/status` asks.
        worker_figures: What `/metrics` shows besides its own.
        loading: While it names something, what is not found is answered with 503 instead of 404.
        sources: Connectors that telemetry may come by, for figures that are there before the first message.
        hosts: Further names, besides loopback, that a Host header may carry.
        applied_timeout_s: How long a change of a twin waits for the worker.
        heartbeat_s: Pause after which a silent event stream says that it lives.
        gate: Who is let in.
        token_log: Changes API tokens.
        audit: Where changes are told.
        audit_trail: What was told.
        grants: What the caller may work with: `catalogue` and `states` hold nothing else.
        requests_per_s: Of one caller, over time.
        session_s: How long a browser stays logged in.
        answered: What requests with an idempotency key were answered.
        conditions: Of changes.
        history: Reads what clients of the event stream missed.
    """

    catalogue: TypeCatalogue
    states: TwinStates
    feed: Feed
    dead_letters: DeadLetters
    series: SeriesReader
    documents: DocumentReader
    writer: RecordWriter
    accounts: Accounts = field(default_factory=Accounts)
    letter_sender: LetterSender = field(default_factory=NoSender)
    kafka: KafkaAddress = field(default_factory=KafkaAddress)
    probe: Probe = nothing_missing
    status: SharedLook = field(default_factory=SharedLook)
    worker_figures: WorkerFigures = no_workers
    loading: Loading = nothing_loading
    clock: Clock = field(default_factory=SystemClock)
    sources: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    applied_timeout_s: float = 5.0
    heartbeat_s: float = 15.0
    gate: Gate = field(default_factory=Gate)
    token_log: TokenChanges = field(default_factory=NoTokenLog)
    audit: AuditWriter = field(default_factory=AuditWriter)
    audit_trail: AuditTrail = field(default_factory=AuditTrail)
    grants: Grants = UNLIMITED
    requests_per_s: float = 500.0
    session_s: float = 12 * 3600.0
    answered: Answered = field(default_factory=lambda: Answered(None, SystemClock()))
    conditions: Conditions = field(default_factory=Conditions)
    history: History = no_history


def seen_by(services: Services, grants: Grants) -> Services:
    """The services as somebody sees them who is limited to `grants`."""
    if grants.unlimited:
        return services
    return replace(
        services,
        catalogue=GrantedCatalogue(services.catalogue, grants),
        states=GrantedStates(services.states, grants),
        grants=grants,
    )


# Coroutines, although they wait for nothing: FastAPI hands plain functions to a thread, for each request.
async def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["state"]["caller"]
    return caller


Calling = Annotated[Caller, Depends(_caller)]
"""Annotation of an endpoint's argument that receives who calls."""


async def _services(request: Request, caller: Calling) -> Services:
    services: Services = request.app.state.services
    return seen_by(services, caller.grants)


Using = Annotated[Services, Depends(_services)]
"""Annotation of an endpoint's argument that receives the services."""
