"""The processes of a version: one steps, one is ready to take over, and one that was ended is replaced at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from schemas.clock import Clock, SystemClock
from streams.rows_thread import others_go_on
from twins.apart.plan import Plan
from twins.apart.process import NotStartedError, StepProcess

log = structlog.get_logger(__name__)

READY = 1
"""How many that stepped nothing yet wait: what another one stands in holds no partition up, and what it ended for is
called again without delay."""

MOST = 4
"""How many there are at most, but for those that wait."""

IDLE_S = 300.0
"""After which those of a version that steps nothing are ended."""

_LOOK_S = 30.0

Told = Callable[[str], None]
"""Is told of every process that was ended or could not be started, and why: `time`, `memory`, `ended`, `grown`,
`start`."""


class Processes:
    """Gives out processes, and keeps some ready. All methods may be called by any thread.

    Args:
        plan: What they step.
        type_name: For log lines.
        told: Metrics.
    """

    def __init__(self, plan: Plan, type_name: str, told: Told, clock: Clock | None = None) -> None:
        self.plan = plan
        self.type_name = type_name
        self.told = told
        self._clock = clock or SystemClock()
        self._used_s = self._clock.monotonic_s()
        self._changed = threading.Condition()
        self._ready: list[StepProcess] = []
        self._others = 0
        """Those at work, and those that are being started."""
        self._failure: NotStartedError | None = None
        self._is_closed = self._is_kept = False

    def keep_ready(self) -> None:
        """Start one beforehand, and a thread that keeps one ready as long as they are used.

        Raises:
            NotStartedError: the system gives no thread.
        """
        with self._changed:
            self._used_s = self._clock.monotonic_s()
            if self._is_kept or self._is_closed:
                return
            try:
                threading.Thread(target=self._keep, name="step-processes", daemon=True).start()
            except RuntimeError as error:
                raise NotStartedError(str(error), is_of_author=False) from error
            self._is_kept = True

    @contextmanager
    def one(self, *, fresh: bool = False) -> Iterator[StepProcess]:
        """A process, until the end of this context; give it back by `take_back` if it is to be used again.

        Args:
            fresh: Whether it must be one that stepped nothing yet.

        Raises:
            NotStartedError: it can't be started.
        """
        process = self._wait_for_one(fresh=fresh)
        try:
            yield process
        except BaseException:
            self.end(process)
            raise

    def await_one(self) -> None:
        """Wait until one is ready.

        Raises:
            NotStartedError: it can't be started.
        """
        with self._there(fresh=False):
            pass  # whoever comes next takes it

    def take_back(self, process: StepProcess) -> None:
        """It waits for whoever comes next."""
        with self._changed:
            self._others -= 1
            closed = self._is_closed
            if not closed:
                # Whoever was used last is used again: its memory is near.
                self._ready.append(process)
            self._changed.notify_all()
        if closed:
            process.end()

    def end(self, process: StepProcess) -> None:
        """Stop one that was given out, and end whatever it started meanwhile; another takes its place."""
        process.kill()
        with self._changed:
            self._others -= 1
            self._changed.notify_all()
        try:
            threading.Thread(target=process.end, name="step-process-end", daemon=True).start()
        except RuntimeError:
            process.end()

    def close(self) -> None:
        """End all of them."""
        with self._changed:
            self._is_closed = True
            ready, self._ready = self._ready, []
            self._changed.notify_all()
        for process in ready:
            process.end()

    def _wait_for_one(self, *, fresh: bool) -> StepProcess:
        with self._there(fresh=fresh):
            return self._given(fresh=fresh)

    @contextmanager
    def _there(self, *, fresh: bool) -> Iterator[None]:
        """Wait until one is ready, and hold what others would take it by."""
        self.keep_ready()
        with self._changed:
            if self._is_there(fresh=fresh):
                yield
                return
            self._failure = None
        with others_go_on(), self._changed:
            self._changed.notify_all()
            while not self._is_there(fresh=fresh):
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                if self._is_closed:
                    raise NotStartedError("the worker is being stopped", is_of_author=False)
                self._changed.wait()
            yield

    def _is_there(self, *, fresh: bool) -> bool:
        return any(not process.is_used for process in self._ready) if fresh else bool(self._ready)

    def _given(self, *, fresh: bool) -> StepProcess:
        self._others += 1
        self._used_s = self._clock.monotonic_s()
        # Those that stepped nothing yet stand before the others.
        process = self._ready.pop(0 if fresh else -1)
        # Somebody has to see to the next one.
        self._changed.notify_all()
        return process

    def _keep(self) -> None:
        """Start what is missing, until nothing is stepped any more."""
        while True:
            with self._changed:
                while not self._missing():
                    self._changed.wait(_LOOK_S)
                    idle = not self._others and self._clock.monotonic_s() - self._used_s > IDLE_S
                    if self._is_closed or idle:
                        self._is_kept = False
                        ready, self._ready = self._ready, []
                        break
                else:
                    self._others += 1
                    ready = None
            if ready is not None:
                for process in ready:
                    process.end()
                return
            self._start()

    def _missing(self) -> bool:
        fresh = sum(not process.is_used for process in self._ready)
        return not self._is_closed and fresh < READY and self._others < MOST and self._failure is None

    def _start(self) -> None:
        process: StepProcess | None = None
        failure: NotStartedError | None = NotStartedError("starting it failed", is_of_author=False)
        try:
            process, failure = self._started()
        except Exception as error:  # noqa: BLE001 - this thread must go on: others wait for what it starts
            failure = NotStartedError(f"{type(error).__name__}: {error}", is_of_author=False)
        finally:
            # Who waits is told, whatever failed.
            with self._changed:
                self._others -= 1
                self._failure = failure
                closed = self._is_closed
                if process is not None and not closed:
                    # Behind those that were used: it waits.
                    self._ready.insert(0, process)
                self._changed.notify_all()
        if process is not None and closed:
            process.end()

    def _started(self) -> tuple[StepProcess | None, NotStartedError | None]:
        """A process, or why there is none."""
        process: StepProcess | None = None
        try:
            process = StepProcess(self.plan, self.type_name)
            process.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to whoever waits
            if process is not None:
                process.end()
            log.warning("a process for steps can't be started", type=self.type_name, error=str(error))
            self.told("start")
            if isinstance(error, NotStartedError):
                return None, error
            return None, NotStartedError(f"{type(error).__name__}: {error}", is_of_author=False)
        return process, None
