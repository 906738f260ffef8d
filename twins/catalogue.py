"""Which twin types are deployed: follows `twinstream.definitions`, and writes to it."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
import structlog

from schemas.bundle import Bundle, Deployment, chunk_key, chunks_of, type_key, unpack
from schemas.clock import Clock, SystemClock
from schemas.definition import Definition
from schemas.topics import DEFINITIONS
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.log.writer import LogWriter

log = structlog.get_logger(__name__)

_RESTART_S = 1.0


@dataclass(frozen=True, slots=True)
class DeployedType:
    """A type in force."""

    deployment: Deployment
    bundle: Bundle
    definition: Definition


class Catalogue:
    """The deployed types, kept current in the background."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._chunks: dict[str, dict[int, bytes]] = {}
        self._deployments: dict[str, Deployment] = {}
        self._bundles: dict[str, tuple[Bundle, Definition]] = {}
        self._ready = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to follow; `ready` tells when everything that was there has been read."""
        self._task = asyncio.create_task(self._follow(), name="catalogue")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ready(self) -> None:
        """Wait until what was deployed before is known.

        Raises:
            Exception: what ended the following, if it did.
        """
        waiting = asyncio.create_task(self._ready.wait())
        assert self._task is not None, "use Catalogue in `async with`"  # noqa: S101
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def changed(self) -> None:
        """Wait until a type is deployed, changed or retired."""
        async with self._changed:
            await self._changed.wait()

    def types(self) -> dict[str, DeployedType]:
        """Deployed types by qualified name."""
        return {name: found for name in sorted(self._deployments) if (found := self.get(name)) is not None}

    def get(self, type_name: str) -> DeployedType | None:
        """A deployed type, None when there is none of that name."""
        deployment = self._deployments.get(type_name)
        if deployment is None or not deployment.deployed:
            return None
        known = self._bundles.get(deployment.hash)
        return None if known is None else DeployedType(deployment, *known)

    def version(self, content: str) -> Definition | None:
        """The definition with a content hash, also one that is no longer in force."""
        known = self._bundles.get(content)
        return known[1] if known else None

    async def _follow(self) -> None:
        """Follow for ever: an outage that the follower does not survive is logged, and it begins again."""
        while True:
            try:
                await self._follow_once()
            except Exception as error:  # noqa: BLE001 - types that grow stale in silence would be worse
                log.warning("following the definitions failed, beginning again", error=repr(error))
                await asyncio.sleep(_RESTART_S)

    async def _follow_once(self) -> None:
        async with Follower(self._options, topics=(DEFINITIONS,)) as follower:
            while True:
                records = await follower.read(timeout_s=0.2)
                for record in records:
                    self._take(record)
                if not self._ready.is_set() and await follower.caught_up():
                    self._ready.set()
                if records:
                    async with self._changed:
                        self._changed.notify_all()

    def _take(self, record: LogRecord) -> None:
        kind, _, rest = (record.key or b"").decode(errors="replace").partition("/")
        try:
            if kind == "bundle" and record.value is not None:
                content, _, index = rest.rpartition("/")
                self._chunks.setdefault(content, {})[int(index)] = record.value
            elif kind == "type" and record.value is not None:
                deployment = msgspec.json.decode(record.value, type=Deployment)
                self._assemble(deployment)
                self._deployments[rest] = deployment
            elif kind == "type":
                self._deployments.pop(rest, None)
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote there, it must not end every role
            log.warning("a record of the definitions topic can't be used", key=str(record.key), error=str(error))

    def _assemble(self, deployment: Deployment) -> None:
        chunks = self._chunks.get(deployment.hash, {})
        if deployment.hash in self._bundles or not deployment.deployed:
            return
        if len(chunks) < deployment.chunks:
            message = f"{len(chunks)} of {deployment.chunks} chunks of bundle {deployment.hash}"
            raise ValueError(message)
        bundle = unpack(b"".join(chunks[index] for index in range(deployment.chunks)), deployment.hash)
        self._bundles[deployment.hash] = (bundle, bundle.definition())
        del self._chunks[deployment.hash]


async def publish(writer: LogWriter, bundle: Bundle, clock: Clock | None = None) -> Deployment:
    """Put a bundle into force: its chunks first, then the type's record.

    Raises:
        DefinitionError: the bundle's definition has faults; nothing was written.
    """
    definition = bundle.definition()
    chunks = chunks_of(bundle.pack())
    name = str(definition.type_name)
    deployment = Deployment(
        type=name,
        project=definition.project,
        version=definition.version,
        hash=bundle.hash,
        chunks=len(chunks),
        time_ns=(clock or SystemClock()).now_ns(),
    )
    # One partition for a bundle and its type, so that the type's record is read after all chunks.
    for index, chunk in enumerate(chunks):
        await (await writer.send(DEFINITIONS, chunk_key(bundle.hash, index), chunk, partition=0))
    await (await writer.send(DEFINITIONS, type_key(name), msgspec.json.encode(deployment), partition=0))
    return deployment


async def retire(writer: LogWriter, deployed: DeployedType, clock: Clock | None = None) -> Deployment:
    """Take a type out of force; its topics stay."""
    deployment = msgspec.structs.replace(deployed.deployment, deployed=False, time_ns=(clock or SystemClock()).now_ns())
    key = type_key(deployment.type)
    await (await writer.send(DEFINITIONS, key, msgspec.json.encode(deployment), partition=0))
    return deployment
