"""What lies in `twinstream.definitions`: the types in force, candidates, reports and history; kept current."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import structlog

from schemas.bundle import Bundle, unpack
from schemas.clock import Clock, SystemClock
from schemas.definition import Definition
from schemas.deployment import CANDIDATE, HISTORY, REPORT, TYPE, UNDEPLOYED, Deployment, HistoryItem, Report
from schemas.topics import DEFINITIONS
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord

log = structlog.get_logger(__name__)

T = TypeVar("T")
_RESTART_S = 1.0
_ASKED = 1024
"""Latest candidates that are remembered: nobody waits for the answer to an earlier one."""
_ASKED_NS = 600 * 10**9
"""Nobody waits that long for an answer, even if clocks differ by minutes."""


@dataclass(frozen=True, slots=True)
class DeployedType:
    """A type in force."""

    deployment: Deployment
    bundle: Bundle
    definition: Definition


class Catalogue:
    """The deployed types, kept current in the background."""

    def __init__(self, options: KafkaOptions, clock: Clock | None = None) -> None:
        self._options = options
        self._chunks: dict[str, dict[int, bytes]] = {}
        self._deployments: dict[str, Deployment] = {}
        self._candidates: dict[str, Deployment] = {}
        self._reports: dict[str, Report] = {}
        self._history: dict[str, HistoryItem] = {}
        self._undeployed: dict[str, Deployment] = {}
        self._bundles: dict[str, tuple[Bundle, Definition]] = {}
        self._tried: set[str] = set()
        self._asked: deque[tuple[str, int]] = deque(maxlen=_ASKED)
        self._is_current = False
        self._clock = clock or SystemClock()
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
        """Wait until something is written there."""
        async with self._changed:
            await self._changed.wait()

    async def until(self, look: Callable[[], T | None]) -> T:
        """Wait until `look` finds something."""
        async with self._changed:
            while (found := look()) is None:
                await self._changed.wait()
        return found

    def types(self) -> dict[str, DeployedType]:
        """Deployed types by qualified name."""
        return {name: found for name in sorted(self._deployments) if (found := self.get(name)) is not None}

    def get(self, type_name: str) -> DeployedType | None:
        """A deployed type, None when there is none of that name."""
        deployment = self._deployments.get(type_name)
        if deployment is None or not deployment.deployed:
            return None
        known = self._assembled(deployment.hash)
        return None if known is None else DeployedType(deployment, *known)

    def candidates(self) -> dict[str, Deployment]:
        """Versions that workers are asked to compile, by qualified type name."""
        return dict(self._candidates)

    def is_over(self, candidate: Deployment) -> bool:
        """Whether nobody asks for a candidate any more: it was withdrawn, or another one came after it."""
        now = self._candidates.get(candidate.type)
        if now is not None and now.time_ns >= candidate.time_ns:
            return now.time_ns > candidate.time_ns
        return (candidate.type, candidate.time_ns) in self._asked

    def reports(self, content: str) -> list[Report]:
        """What workers made of a version."""
        return [report for report in self._reports.values() if report.hash == content]

    def history(self, type_name: str | None = None) -> list[HistoryItem]:
        """Every switch of a type, or of all, oldest first."""
        found = [item for item in self._history.values() if type_name in {None, item.type}]
        return sorted(found, key=lambda item: (item.time_ns, item.type))

    def undeployed(self, type_name: str | None = None) -> list[Deployment]:
        """What was taken out of force, when and by whom, of a type or of all; oldest first."""
        found = [item for item in self._undeployed.values() if type_name in {None, item.type}]
        return sorted(found, key=lambda item: (item.time_ns, item.type))

    def bundle(self, content: str) -> Bundle | None:
        """The bundle with a content hash, whether in force or not; None until it is there."""
        known = self._assembled(content)
        return known[0] if known else None

    def version(self, content: str) -> Definition | None:
        """The definition with a content hash, also one that is no longer in force."""
        known = self._assembled(content)
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
        self._is_current = False
        async with Follower(self._options, topics=(DEFINITIONS,)) as follower:
            while True:
                records = await follower.read(timeout_s=0.2)
                for record in records:
                    if content := self._named(record):
                        # Before anybody knows of it: unpacking is no work for the event loop.
                        await asyncio.to_thread(self._assembled, content)
                    self._take(record)
                if not self._is_current and await follower.caught_up():
                    self._is_current = True
                    self._ready.set()
                if records:
                    async with self._changed:
                        self._changed.notify_all()

    def _take(self, record: LogRecord) -> None:
        kind, _, rest = (record.key or b"").decode(errors="replace").partition("/")
        try:
            if kind == "bundle" and record.value is not None:
                content, _, index = rest.rpartition("/")
                if content not in self._bundles:
                    self._chunks.setdefault(content, {})[int(index)] = record.value
                    self._tried.discard(content)
            elif kind == TYPE:
                _keep(self._deployments, rest, record.value, Deployment)
            elif kind == CANDIDATE:
                self._take_candidate(rest, record.value)
            elif kind == REPORT:
                _keep(self._reports, rest, record.value, Report)
            elif kind == HISTORY:
                _keep(self._history, rest, record.value, HistoryItem)
            elif kind == UNDEPLOYED:
                _keep(self._undeployed, rest, record.value, Deployment)
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote there, it must not end every role
            log.warning("a record of the definitions topic can't be used", key=str(record.key), error=str(error))

    def _take_candidate(self, type_name: str, value: bytes | None) -> None:
        _keep(self._candidates, type_name, value, Deployment)
        found = self._candidates.get(type_name)
        if found is None:
            return
        self._asked.append((type_name, found.time_ns))
        if not self._is_current and found.time_ns < self._clock.now_ns() - _ASKED_NS:
            # Who asked died before it could withdraw.
            del self._candidates[type_name]

    def _named(self, record: LogRecord) -> str:
        """The bundle that a record names and that is not unpacked yet; empty for none."""
        if record.value is None or not (record.key or b"").startswith((b"type/", b"candidate/")):
            return ""
        try:
            content = msgspec.json.decode(record.value, type=Deployment).hash
        except (msgspec.DecodeError, RecursionError):
            return ""
        return content if content in self._chunks and content not in self._bundles else ""

    def _assembled(self, content: str) -> tuple[Bundle, Definition] | None:
        """A bundle and its definition; None while parts of it are missing, or when it is damaged."""
        chunks = self._chunks.get(content, {})
        if content not in self._bundles and chunks and content not in self._tried:
            self._tried.add(content)
            whole = b"".join(chunks[index] for index in sorted(chunks))
            try:
                bundle = unpack(whole, content)
                self._bundles[content] = (bundle, bundle.definition())
            except Exception as error:  # noqa: BLE001 - whatever somebody wrote there, it must not end every role
                log.info("a bundle is not whole, or can't be used", hash=content, chunks=len(chunks), error=str(error))
                return None
            del self._chunks[content]
        return self._bundles.get(content)


def _keep(found: dict[str, T], key: str, value: bytes | None, kind: type[T]) -> None:
    if value is None:
        found.pop(key, None)
    else:
        found[key] = msgspec.json.decode(value, type=kind)
