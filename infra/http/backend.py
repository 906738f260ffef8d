"""The API's services over a real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from connectors.documents import DocumentReader
from connectors.series import SeriesReader
from infra.access.audit import AuditTrail
from infra.access.gate import Gate
from infra.access.log import AuditLog, TokenLog
from infra.access.oidc import OidcIssuer
from infra.access.origin import Origin
from infra.access.tokens import TokenTable
from infra.http.account import Accounts
from infra.http.account_log import AccountLog
from infra.http.deadletters import DeadLetters
from infra.http.feed import FEED_PATTERN, Feed
from infra.http.following import DurableWriter, Following, KafkaCheck, unending
from infra.http.idempotency import Answered
from infra.http.letter_log import LetterLog
from infra.http.live import STATE_PATTERN, StateTable
from infra.http.models import KafkaAddress
from infra.http.rows import RowReader
from infra.http.services import (
    Missing,
    Probe,
    Services,
    WorkerFigures,
    no_workers,
    nothing_missing,
)
from infra.http.shared_look import Look, SharedLook, nothing_runs
from infra.http.stream_history import LogHistory
from infra.settings import AuthSettings
from schemas.clock import AnchoredClock, Clock
from schemas.topics import AUDIT, TOKENS
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from twins.catalogue import Catalogue

_GATHER_S = 0.1
"""So long what pages and streams show may wait for more under a steady load."""


@asynccontextmanager
async def open_services(
    options: KafkaOptions,
    *,
    series: SeriesReader,
    documents: DocumentReader,
    kafka: KafkaAddress | None = None,
    probe: Probe = nothing_missing,
    status: Look = nothing_runs,
    worker_figures: WorkerFigures = no_workers,
    sources: tuple[str, ...] = (),
    auth: AuthSettings | None = None,
    local_secret: str = "",
    requests_per_s: float = 500.0,
    hosts: Collection[str] = (),
    public: Origin | None = None,
    letters_file: Path | None = None,
    account_file: Path | None = None,
    answers_file: Path | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Services]:
    """Services that follow the log in the background; they are there at once, also while Kafka is away.

    Args:
        options: How to reach Kafka.
        series: History of twins; its caller opens and closes it.
        documents: Documents; its caller opens and closes it.
        kafka: What clients are told about the log; None tells its address alone.
        probe: What of the other roles is missing; Kafka and what the API itself follows are added here.
        status: What the roles are doing.
        worker_figures: What the workers count.
        sources: Connectors that telemetry may come by.
        auth: Who may call; None: everybody who can.
        local_secret: What the owner of the data directory shows; `""`: nothing.
        requests_per_s: Of one caller, over time.
        hosts: Further names, besides loopback, that a Host header may carry.
        public: Where a proxy makes the API reachable; None: nowhere.
        letters_file: Where dead letters are kept, to be there while Kafka is away; None: in memory.
        account_file: Where the loss account is kept, likewise.
        answers_file: Where answers to requests with an idempotency key are kept; None: in memory.
        clock: Where to ask for the time.

    Raises:
        Exception: something that follows the log failed for good; the process should be started again.
    """
    catalogue = Catalogue(options)
    feed = Feed()
    states = StateTable(RowReader(catalogue), feed.changed)
    letters = DeadLetters(letters_file)
    accounts = Accounts(account_file, lambda: letters.refusals)
    clock = clock or AnchoredClock()
    writer = DurableWriter(options)
    auth = auth or AuthSettings()
    tokens = TokenTable(complete=False)
    trail = AuditTrail()
    audit = AuditLog(writer)
    check = KafkaCheck(options)
    letter_log = LetterLog(
        options,
        letters,
        is_deployed=lambda name: catalogue.get(name) is not None,
        fault=lambda: check.fault,
        clock=clock,
        kept_ms=kafka.retention_ms if kafka is not None else None,
    )

    def take_rows(records: list[LogRecord]) -> None:
        states.apply(records)
        accounts.apply(records)

    twins = Following("twins", Follower(options, pattern=STATE_PATTERN, gather_s=_GATHER_S), take_rows)
    token_following = Following("tokens", Follower(options, topics=(TOKENS,)), tokens.apply)
    audit_following = Following("the audit trail", Follower(options, topics=(AUDIT,)), trail.apply)
    token_following.when_caught_up = tokens.completed
    followings = (
        twins,
        token_following,
        audit_following,
        _fed(feed, options),
        letter_log,
    )
    account_log = AccountLog(accounts, writer, clock, lambda: twins.caught_up and letter_log.caught_up)
    types_known = asyncio.Event()

    async def know_types() -> None:
        await catalogue.ready()
        types_known.set()

    def loading() -> str:
        unread = [following.what for following in followings if not following.caught_up]
        return ", ".join(unread if types_known.is_set() else ["types", *unread])

    async def missing() -> Missing:
        return ({"kafka": check.fault} if check.fault else {}) | dict(await probe())

    answered = Answered(answers_file, clock)
    services = Services(
        catalogue=catalogue,
        states=states,
        feed=feed,
        dead_letters=letters,
        series=series,
        documents=documents,
        writer=writer,
        accounts=accounts,
        kafka=kafka or KafkaAddress(bootstrap_servers=options.bootstrap_servers, tls=options.tls),
        probe=missing,
        status=SharedLook(status, clock),
        worker_figures=worker_figures,
        loading=loading,
        letter_sender=letter_log,
        clock=clock,
        sources=sources,
        hosts=frozenset(hosts),
        public=public,
        gate=Gate(
            required=auth.is_required,
            tokens=tokens,
            issuer=OidcIssuer(auth) if auth.issuer else None,
            local_secret=local_secret,
        ),
        token_log=TokenLog(writer, tokens),
        audit=audit,
        audit_trail=trail,
        requests_per_s=requests_per_s,
        session_s=auth.session_s,
        answered=answered,
        history=LogHistory(options),
    )
    try:
        async with catalogue, asyncio.TaskGroup() as group:
            running = [group.create_task(unending(work)) for work in (writer, check, account_log, audit, *followings)]
            running.append(group.create_task(know_types()))
            try:
                yield services
            finally:
                feed.close()
                for task in running:
                    task.cancel()
    except ExceptionGroup as several:
        if len(several.exceptions) == 1:
            raise several.exceptions[0] from None
        raise
    finally:
        letters.close()
        answered.close()


def _fed(feed: Feed, options: KafkaOptions) -> Following:
    """What hands commands and events on; the feed is where their follower is."""
    follower = Follower(options, pattern=FEED_PATTERN, start="latest", gather_s=_GATHER_S)
    feed.positions = follower.positions
    return Following("events", follower, feed.apply)
