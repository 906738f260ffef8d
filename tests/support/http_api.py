"""The API over ports in memory: a client, and a worker's part played by the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import msgspec

from connectors.memory.stores import MemoryDocumentStore, MemorySeriesStore
from infra.access.audit import AuditTrail, AuditWriter, Entry
from infra.access.gate import Gate
from infra.access.grants import Scope
from infra.access.tokens import Token, TokenTable, new_secret
from infra.http.app import create_app
from infra.http.deadletters import DeadLetters
from infra.http.feed import Feed
from infra.http.live import StateTable
from infra.http.rows import Deployed, RowReader
from infra.http.services import LogUnavailableError, Services
from schemas.clock import ManualClock
from schemas.definition import Definition
from schemas.definition_file import read_definition
from schemas.deployment import Deployment, HistoryItem
from schemas.headers import Headers
from schemas.messages import Cause, Command, Event, dead_letter, encode
from schemas.partitioning import partition_of
from schemas.topics import AUDIT, DEADLETTER, TypeTopics
from streams.log.record import LogRecord
from twins.layout import RowLayout

BASE_URL = "http://127.0.0.1:8080"
PARTITIONS = 4

BOX = """
name: box
version: 1.2.0
description: A box that is kept warm.
inputs:
  t: {type: float, unit: degC, range: [-40, 125]}
  lid: {type: bool}
parameters:
  noise: {type: float, default: 0.5, range: [0, 1]}
  steps: {type: int, default: 3, range: [1, 10]}
  mode: {type: string, default: slow, choices: [slow, fast]}
pipeline:
  - {name: average, step: running_statistics, inputs: {value: t}, outputs: [count, mean, variance]}
outputs:
  timeseries: {fields: [mean, lid], tags: [room]}
requests:
  target:
    arguments:
      celsius: {type: float, unit: degC, range: [0, 45]}
      why: {type: string, choices: [plan, test], required: false}
"""


@dataclass(frozen=True, slots=True)
class FixedType:
    """A deployed type."""

    deployment: Deployment
    definition: Definition


class FixedCatalogue:
    """Deployed types that only the test changes."""

    def __init__(self, *texts: str) -> None:
        self.deployed: dict[str, Deployed] = {}
        self.switches: list[HistoryItem] = []
        self.retired: list[Deployment] = []
        for text in texts:
            self.deploy(text)

    def deploy(self, text: str, content: str = "c0ffee") -> Definition:
        definition = read_definition(text)
        name = str(definition.type_name)
        deployment = Deployment(
            type=name, project=definition.project, version=definition.version, hash=content, chunks=1, time_ns=7
        )
        self.deployed[name] = FixedType(deployment, definition)
        return definition

    def types(self) -> dict[str, Deployed]:
        return self.deployed

    def get(self, type_name: str) -> Deployed | None:
        return self.deployed.get(type_name)

    def history(self, type_name: str | None = None) -> list[HistoryItem]:
        return [item for item in self.switches if type_name in {None, item.type}]

    def undeployed(self, type_name: str | None = None) -> list[Deployment]:
        return [item for item in self.retired if type_name in {None, item.type}]


@dataclass
class Written:
    """A record that the API wrote."""

    topic: str
    key: bytes
    value: Any
    headers: dict[str, bytes]
    partition: int
    offset: int


@dataclass
class MemoryWriter:
    """Keeps records; `after` plays the worker."""

    written: list[Written] = field(default_factory=list)
    away: bool = False
    sure: bool = False
    after: Callable[[Written], None] | None = None

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:
        if self.away:
            message = "kafka was not reached yet"
            raise LogUnavailableError(message, in_doubt=not self.sure)
        partition, offset = partition_of(key, PARTITIONS), len(self.written)
        record = Written(topic, key, msgspec.json.decode(value), dict(headers), partition, offset)
        self.written.append(record)
        if self.after is not None:
            asyncio.get_running_loop().call_soon(self.after, record)
        return partition, offset


@dataclass
class MemoryTokenLog:
    """Changes tokens at once."""

    table: TokenTable
    away: bool = False

    async def put(self, token: Token) -> None:
        if self.away:
            message = "kafka was not reached yet"
            raise LogUnavailableError(message)
        self.table.put(token)


@dataclass
class MemoryAudit(AuditWriter):
    """Keeps entries."""

    entries: list[Entry] = field(default_factory=list)
    trail: AuditTrail = field(default_factory=AuditTrail)
    away: bool = False

    async def write(self, entry: Entry) -> None:
        if self.away:
            message = "kafka was not reached yet"
            raise LogUnavailableError(message)
        self.later(entry)

    def later(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.trail.apply([LogRecord(AUDIT, 0, len(self.entries), 0, entry.id.encode(), encode(entry), ())])


class Api:
    """An application with everything that it stands on."""

    def __init__(self, *texts: str) -> None:
        self.catalogue = FixedCatalogue(*(texts or (BOX,)))
        self.feed = Feed()
        self.states = StateTable(RowReader(self.catalogue), self.feed.changed)
        self.letters = DeadLetters()
        self.series = MemorySeriesStore()
        self.documents = MemoryDocumentStore()
        self.writer = MemoryWriter()
        self.clock = ManualClock(1_700_000_000_000_000_000)
        self.tokens = TokenTable()
        self.audit = MemoryAudit()
        self.services = Services(
            catalogue=self.catalogue,
            states=self.states,
            feed=self.feed,
            dead_letters=self.letters,
            series=self.series,
            documents=self.documents,
            writer=self.writer,
            clock=self.clock,
            applied_timeout_s=0.2,
            gate=Gate(tokens=self.tokens, clock=self.clock),
            token_log=MemoryTokenLog(self.tokens),
            audit=self.audit,
            audit_trail=self.audit.trail,
        )
        self._offset = 0

    def change(self, **services: Any) -> None:
        self.services = replace(self.services, **services)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(create_app(self.services), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, **options) as client:
            yield client

    def require_tokens(self, **gate: Any) -> None:
        """Let nobody in without a token."""
        self.change(gate=Gate(required=True, tokens=self.tokens, clock=self.clock, **gate))

    def token(
        self, *scopes: str, types: tuple[str, ...] = (), twins: tuple[str, ...] = (), name: str = "t", **more: Any
    ) -> dict[str, str]:
        """Headers that show a new token."""
        token_id, shown, kept = new_secret()
        held = tuple(map(Scope, scopes))
        token = Token(id=token_id, name=name, hash=kept, scopes=held, types=types, twins=twins, created_ns=1, **more)
        self.tokens.put(token)
        return {"authorization": f"Bearer {shown}"}

    def record(self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int = 0) -> LogRecord:
        self._offset += 1
        partition = partition_of(key or b"", PARTITIONS)
        return LogRecord(topic, partition, self._offset, timestamp_ms, key, value, ())

    def row(self, twin: str, *, type_name: str = "box", tags: dict[str, str] | None = None, **fields: float) -> None:
        """Let the state topic hold a row; `fields` are the row's own names, such as `offset` or `p_noise`."""
        deployed = self.catalogue.deployed[type_name]
        layout = RowLayout.of(deployed.definition)
        row = layout.new_row()
        for name, value in fields.items():
            row[name] = value
        encoded = layout.encode(row.tobytes(), msgspec.json.encode(tags or {}))
        self.states.apply([self.record(TypeTopics(type_name).state, twin.encode(), encoded)])

    def event(self, twin: str, name: str, *, event_id: str = "e", type_name: str = "box", **data: Any) -> None:
        event = Event(
            id=event_id,
            type=type_name,
            twin=twin,
            name=name,
            severity="info",
            event_time_ns=5,
            cause=Cause(partition=0, offset=0, definition="c0ffee", parameters=0),
            data=data,
        )
        self.feed.apply([self.record(TypeTopics(type_name).events, twin.encode(), encode(event))])

    def command(self, twin: str, name: str, *, value: float | bool, type_name: str = "box") -> Command:
        command = Command(
            id=f"{twin}-{name}",
            type=type_name,
            twin=twin,
            name=name,
            value=value,
            issued_ns=1,
            expires_ns=2,
            cause=Cause(partition=0, offset=0, definition="c0ffee", parameters=0),
        )
        self.feed.apply([self.record(TypeTopics(type_name).commands, twin.encode(), encode(command))])
        return command

    def dead(self, reason: str, *, type_name: str = "box", at_ms: int = 0, raw: bytes = b"x") -> str:
        letter = dead_letter(
            reason=reason, detail="d", source="mqtt:a", type_name=type_name, twin="a", received_ns=at_ms, raw=raw
        )
        self.letters.apply([self.record(DEADLETTER, b"a", encode(letter), at_ms)])
        return letter.id
