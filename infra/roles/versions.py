"""The versions of one type that a worker has compiled, and those that it is asked for."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from infra.authoring.checking import IMPORT_LIMIT_S, check_apart
from infra.registry import kernel_cache, type_folder
from infra.roles.candidates import answer_candidates
from infra.settings import Settings
from schemas.bundle import Bundle
from schemas.deployment import Deployment
from schemas.errors import DefinitionError, Problem
from schemas.trace import NO_TRACER, Tracer
from streams.log.client import KafkaOptions
from streams.processor import Lineage
from twins.apart.processes import Processes, Told
from twins.apart.steps import apart
from twins.catalogue import Catalogue
from twins.processor import NOTE_DEFINITION, TwinProcessor
from twins.twin_type import TwinType

log = structlog.get_logger(__name__)

_RETRY_S = 5.0


class Versions:
    """Makes the processors of a type, and whatever version their records name.

    Args:
        tell: Told what is being done, `""` for nothing any more.
        condemned: Versions that step nothing any more until they are deployed again; the one in force goes on in their
            place.
        replaced: Told why a process for steps in plain Python was replaced.
        tracer: Is told of records that belong to traces.
    """

    def __init__(
        self,
        type_name: str,
        settings: Settings,
        kafka: KafkaOptions,
        tell: Callable[[str], None],
        condemned: Iterable[str] = (),
        replaced: Told = lambda _: None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._type = type_name
        self._settings = settings
        self._kafka = kafka
        self._tell = tell
        self._condemned = set(condemned)
        self._replaced = replaced
        self._processes: list[Processes] = []
        self._in_force = ""
        self._cache = kernel_cache(settings.data_dir)
        self._loaded: dict[str, TwinType] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()
        self._catalogue: asyncio.Task[Catalogue] | None = None
        self._answering: asyncio.Task[None] | None = None

    async def preload(self) -> None:
        """Load the version in force, before any partition asks for it; in an event loop of its own."""
        async with Catalogue(self._kafka) as catalogue:
            await catalogue.ready()
            deployed = catalogue.get(self._type)
        if deployed is None:
            return
        self._in_force = deployed.bundle.hash
        self._tell(f"loading version {deployed.deployment.version}")
        if problems := await self._compile(deployed.bundle):
            log.error("the version in force can't be compiled here", problems="; ".join(map(str, problems)))
        self._tell("")

    async def start(self) -> None:
        """Follow the definitions, and compile candidates of the type as they come."""
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer(), name="candidates")

    async def close(self) -> None:
        """Stop everything."""
        tasks = [task for task in (self._answering, self._catalogue, *self._loading.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    def end_processes(self) -> None:
        """End the processes of steps in plain Python, once nothing is stepped any more."""
        for processes in self._processes:
            processes.close()

    async def make(self, lineage: Lineage, note: Mapping[str, str]) -> TwinProcessor:
        """A processor under the version that the partition was last under."""
        content = note.get(NOTE_DEFINITION, "")
        if content:
            await self.provide(content)
        return TwinProcessor(self._type, lineage, self._loaded, content, self._tracer)

    async def provide(self, wanted: str) -> None:
        """Load a version, compiling it if need be; waits for its bundle and for whatever is in the way."""
        if wanted in self._loaded:
            return
        load = self._replace if self._in_force not in {"", wanted} and wanted in self._condemned else self._load
        loading = self._loading.get(wanted)
        if loading is None:
            loading = self._loading[wanted] = asyncio.create_task(load(wanted), name=f"load-{wanted[:8]}")
            # Well or not: whoever asks again after a failure has it tried again.
            loading.add_done_callback(partial(self._ended, wanted))
        await asyncio.shield(loading)

    def _ended(self, wanted: str, loading: asyncio.Task[None]) -> None:
        if self._loading.get(wanted) is loading:
            del self._loading[wanted]

    async def _replace(self, condemned: str) -> None:
        """Let the version in force stand for one that nothing may be stepped by."""
        await self.provide(self._in_force)
        self._loaded[condemned] = self._loaded[self._in_force]

    async def _load(self, content: str) -> None:
        """Load a version, however often it fails: a partition without the version that its records name must wait."""
        catalogue = await self._definitions()
        try:
            while True:
                self._tell(f"loading version {content[:12]}")
                bundle = await catalogue.until(lambda: catalogue.bundle(content))
                problems = await self._compile(bundle)
                if not problems:
                    return
                shown = "; ".join(map(str, problems))
                log.error("a version in force can't be compiled here, trying again", hash=content, problems=shown)
                await asyncio.sleep(_RETRY_S)
        finally:
            self._tell("")

    async def _compile(self, bundle: Bundle, *, is_new: bool = False) -> list[Problem]:
        """Load a bundle, its machine code made by another process where there is none yet; return its faults.

        Args:
            bundle: Is laid out for it.
            is_new: It never was in force: it is tried in another process first, whatever there is.
        """
        folder = await asyncio.to_thread(self._write, bundle)
        if is_new and (problems := await asyncio.to_thread(check_apart, folder, self._cache)):
            return problems
        try:
            twin_type = await asyncio.to_thread(self._prepare, folder, bundle)
            if not twin_type.kernels.are_compiled:
                self._tell(f"compiling version {twin_type.definition.version}")
                # What is in force was tried before that; here it only has to be compiled again.
                if problems := await asyncio.to_thread(check_apart, folder, self._cache, IMPORT_LIMIT_S, 0.0):
                    return problems
            await asyncio.to_thread(twin_type.warm_up)
        except DefinitionError as error:
            return list(error.problems)
        self._loaded[bundle.hash], processes = apart(twin_type, self._replaced)
        if processes is not None:
            self._processes.append(processes)
            processes.keep_ready()
        return []

    def _write(self, bundle: Bundle) -> Path:
        folder = type_folder(self._settings.data_dir, bundle.hash)
        bundle.write(folder)
        return folder

    def _prepare(self, folder: Path, bundle: Bundle) -> TwinType:
        partitions = self._settings.kafka.partitions
        return TwinType.load(folder, bundle.definition(), bundle.hash, partitions, self._cache)

    async def _answer(self) -> None:
        catalogue = await self._definitions()

        async def compile_(candidate: Deployment) -> list[Problem] | None:
            bundle = catalogue.bundle(candidate.hash)
            if candidate.type != self._type or bundle is None:
                return None
            if candidate.hash in self._condemned:
                # Somebody wants it again: from its next switch on it is itself, and nothing stands for it.
                self._condemned.discard(candidate.hash)
                self._loaded.pop(candidate.hash, None)
                self._loading.pop(candidate.hash, None)
            if candidate.hash in self._loaded:
                return []
            # What was in force steps its twins, whatever it would make of a record with all inputs at mid-range.
            known = {item.hash for item in catalogue.history(self._type)}
            return await self._compile(bundle, is_new=candidate.hash not in known)

        await answer_candidates(self._kafka, catalogue, compile_)

    async def _definitions(self) -> Catalogue:
        """The catalogue, followed from the first call on: Faust's event loop is not there before."""
        if self._catalogue is None:

            async def follow() -> Catalogue:
                while True:
                    try:
                        async with AsyncExitStack() as stack:
                            catalogue = await stack.enter_async_context(Catalogue(self._kafka))
                            await catalogue.ready()
                            await self._stack.enter_async_context(stack.pop_all())
                            return catalogue
                    except Exception as error:  # noqa: BLE001 - Kafka is away, in whatever way; all wait for this
                        log.warning("definitions can't be read, trying again", error=repr(error))
                        await asyncio.sleep(_RETRY_S)

            self._catalogue = asyncio.create_task(follow(), name="definitions")
        return await asyncio.shield(self._catalogue)
