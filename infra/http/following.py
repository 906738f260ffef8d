"""Keeping something current from the log for as long as the process lives."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError

from infra.http.services import LogUnavailableError
from schemas.headers import Headers
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.log.retry import is_retriable
from streams.log.writer import LogWriter

WRITE_TIMEOUT_S = 5.0
_RETRY_S = 0.5
_ENDED = "{} ended by itself"
_CHECK_INTERVAL_S = 2.0
_CHECK_TIMEOUT_S = 3.0

log = structlog.get_logger(__name__)


class Work(Protocol):
    """Something that runs for as long as the process lives."""

    async def run(self) -> None:
        """Work until cancelled."""


async def unending(work: Work) -> None:
    """Run `work`; an end that nobody asked for is a failure.

    Closing a Kafka client may raise a cancellation of its own, which a task group would take for an orderly end.

    Raises:
        RuntimeError: it ended.
    """
    try:
        await work.run()
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(_ENDED.format(type(work).__name__)) from cancelled.__context__
    raise RuntimeError(_ENDED.format(type(work).__name__))


class Following:
    """Hands every record of a follower on.

    Attributes:
        what: What is followed, for people.
        caught_up: Whether everything was read that was there at the start.
        when_caught_up: Called once that is so.
    """

    def __init__(self, what: str, follower: Follower, apply: Callable[[list[LogRecord]], None]) -> None:
        self.what = what
        self.caught_up = False
        self.when_caught_up: Callable[[], None] = lambda: None
        self._follower = follower
        self._apply = apply
        self._failing = False

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited for."""
        async with self._follower as follower:
            while True:
                try:
                    self._apply(await follower.read())
                    if not self.caught_up and await follower.caught_up():
                        self.caught_up = True
                        self.when_caught_up()
                    self._tell(failing=False)
                except KafkaError as error:
                    self._tell(failing=True, error=str(error) or type(error).__name__)
                    await asyncio.sleep(_RETRY_S)

    def _tell(self, *, failing: bool, error: str = "") -> None:
        if failing and not self._failing:
            log.warning("reading from kafka fails, trying again", what=self.what, error=error)
        elif self._failing and not failing:
            log.info("reading from kafka works again", what=self.what)
        self._failing = failing


class DurableWriter:
    """A writer that is there before its broker is, and that gives up in time."""

    def __init__(self, options: KafkaOptions, *, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._options = options
        self._timeout_s = timeout_s
        self._writer: LogWriter | None = None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with LogWriter(self._options) as writer:
            self._writer = writer
            try:
                await asyncio.Event().wait()
            finally:
                self._writer = None

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:
        """Make one record durable.

        Raises:
            LogUnavailableError: Kafka was not reached yet, refused it, or did not confirm it in time.
        """
        if self._writer is None:
            message = "kafka was not reached yet"
            raise LogUnavailableError(message, in_doubt=False)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await (await self._writer.send(topic, key, value, headers=headers))
        except TimeoutError:
            message = f"no confirmation within {self._timeout_s:g} s"
            raise LogUnavailableError(message) from None
        except KafkaError as error:
            raise LogUnavailableError(str(error) or type(error).__name__) from error


class KafkaCheck:
    """Asks every few seconds whether Kafka answers.

    Attributes:
        fault: What is the matter with it, `""` when it answers.
    """

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self.fault = "not reached yet"

    async def run(self) -> None:
        """Ask until cancelled."""
        async with LogAdmin(self._options) as admin:
            while True:
                try:
                    async with asyncio.timeout(_CHECK_TIMEOUT_S):
                        await admin.topics()
                    self.fault = ""
                except Exception as error:
                    if not is_retriable(error):
                        raise
                    self.fault = f"does not answer ({str(error) or type(error).__name__})"
                await asyncio.sleep(_CHECK_INTERVAL_S)
