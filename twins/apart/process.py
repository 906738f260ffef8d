"""One process that steps, as its worker sees it: started, given waves, ended with whatever it started."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from streams.rows_thread import others_go_on
from twins.apart import traces
from twins.apart.ending import MARK, how, kill_group, kill_marked
from twins.apart.environment import author_environment
from twins.apart.frames import Incoming, send
from twins.apart.plan import Function, Order, Plan, Said
from twins.apart.printed import pass_on
from twins.apart.segment import IN_WORK, Segment, new_segment, records_at_once
from twins.apart.usage import IMPORTING_S, Usage
from twins.kernel.uncompiled import Answer, Failure

if TYPE_CHECKING:
    import threading

START_LIMIT_S = 30.0
"""How long importing the author's modules may take."""

_LOOK_MS = 15
_STOOD_S = 0.03
"""A call that lasts longer holds the other partitions up no more."""

_ROOMY = 8
_MEBIBYTE = 1 << 20


class NotStartedError(RuntimeError):
    """There is no process.

    Attributes:
        is_of_author: The author's modules are why, and not the machine.
    """

    def __init__(self, message: str, *, is_of_author: bool) -> None:
        super().__init__(message)
        self.is_of_author = is_of_author


@dataclass(slots=True)
class Stretch:
    """What came of records that were given to a process.

    Attributes:
        answer: Of those before `upto`.
        upto: How many were stepped, those that failed included.
        limit: Why the process is to be stepped by no more: `time`, `memory`, or `ended` if it is no more; the last of
            the failures is due to that. `grown` when no call is to blame; `""`: nothing of the kind.
        is_certain: Whether nothing that earlier calls left behind can be why, as far as is known.
    """

    answer: Answer
    upto: int
    limit: str = ""
    is_certain: bool = True
    failures: dict[int, Failure] = field(default_factory=dict)


class StepProcess:
    """A process of a type. It is told what to do by one thread at a time.

    Args:
        plan: What it steps.
        type_name: For its log lines.

    Raises:
        OSError: the system gives no process.
    """

    def __init__(self, plan: Plan, type_name: str) -> None:
        self._plan = plan
        self.grown_mb = 0.0
        self.is_used = False
        self._mark = uuid.uuid4().hex
        with ExitStack() as passed, ExitStack() as kept:
            self._line, theirs = socket.socketpair()
            kept.callback(self._line.close)
            passed.callback(theirs.close)
            lifeline, self._lifeline = os.pipe()
            kept.callback(os.close, self._lifeline)
            passed.callback(os.close, lifeline)
            self._traces = new_segment()
            kept.callback(os.close, self._traces)
            os.ftruncate(self._traces, 0)
            segment = new_segment()
            passed.callback(os.close, segment)
            self._segment = Segment(segment)
            handles = (theirs.fileno(), segment, self._traces, lifeline)
            self._process = subprocess.Popen(  # noqa: S603 - our own
                (sys.executable, "-P", "-m", "twins.apart.child", *map(str, handles)),
                env=author_environment() | {"PYTHONUNBUFFERED": "1", MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=handles,
                # A group of its own: what it started is found by it, and ended with it.
                start_new_session=True,
            )
            kept.pop_all()
        self._type_name = type_name
        self._printed: threading.Thread | None = None
        self._incoming = Incoming(self._line)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def start(self) -> None:
        """Wait until it has imported the modules.

        Raises:
            NotStartedError: they can't be imported, or not in time.
            OSError: the system lacks what it takes.
            psutil.Error: it has ended.
            RuntimeError: there is no thread for what it prints.
        """
        if self._process.stdout is not None:
            self._printed = pass_on(self._process.stdout, self._type_name)
        content, is_there = None, False
        with contextlib.suppress(OSError):
            self._line.settimeout(START_LIMIT_S)
            is_there = self._incoming.wait() is not None
            send(self._line, self._plan)
            content = self._incoming.wait()
            self._line.settimeout(None)
        if content is None:
            code = self._process.poll()
            if code is None:
                raise NotStartedError(f"its modules were not imported within {START_LIMIT_S:g} s", is_of_author=False)
            # A machine without memory ends processes by this signal.
            by_machine = not is_there or code == -signal.SIGKILL
            raise NotStartedError(f"importing its modules ended the process ({how(code)})", is_of_author=not by_machine)
        said = msgspec.json.decode(content, type=Said)
        if said.fault:
            raise NotStartedError(said.fault, is_of_author=said.is_of_author)
        self.usage = Usage(self.pid)
        self._computes = self._was_used = False
        self._was_roomy = True

    def step(self, number: int, given: NDArray[np.void], state: NDArray[np.void]) -> Stretch:
        """Step as many of m records as it can; arguments as of `UncompiledStep.run`."""
        function = self._plan.functions[number]
        count = min(len(given), records_at_once(function))
        there, answer = self._segment.arrays(function, count)
        there[:], answer.state[:] = given[:count], state[:count]
        self._segment.marks[:2] = 0
        found = Stretch(answer, count)
        self._was_used, self.is_used = self.is_used, True
        self._was_roomy = self._is_roomy(function)
        try:
            send(self._line, Order(number, count))
        except OSError:
            self._ended(found, function)
        else:
            with ExitStack() as meanwhile:
                self._until_done(found, function, meanwhile)
        # Copied before anybody else is stepped by this process, or it is no more.
        kept = {name: results[: found.upto].copy() for name, results in answer.results.items()}
        found.answer = Answer(kept, answer.state[: found.upto].copy())
        return found

    def kill(self) -> None:
        """Stop it at once, and what it started; to be followed by `end`."""
        kill_group(self.pid)

    def end(self) -> None:
        """End it, and whatever it started, as far as the machine lets us find that; it raises nothing."""
        self.kill()
        kill_marked(self._mark, self.pid)
        self._process.wait()
        if self._printed is None and self._process.stdout is not None:
            self._process.stdout.close()
        for handle in (self._lifeline, self._traces):
            with contextlib.suppress(OSError):
                os.close(handle)
        self._line.close()

    def _until_done(self, found: Stretch, function: Function, meanwhile: ExitStack) -> None:
        """Wait for the end of an order, or of the process, or of patience."""
        arriving = select.poll()
        arriving.register(self._line, select.POLLIN)
        stands = False
        while True:
            if arriving.poll(_LOOK_MS):
                if not self._incoming.receive():
                    self._ended(found, function)
                    return
                if self._take_all(found, function):
                    return
                continue
            over, in_work = self._over(function)
            if over:
                self._give_up(found, function, over, in_work)
                return
            if self.usage.stood_s >= _STOOD_S and not stands:
                stands = True
                meanwhile.enter_context(others_go_on())

    def _take_all(self, found: Stretch, function: Function) -> bool:
        """Take in what has arrived; True when it is done."""
        while (content := self._incoming.next()) is not None:
            if self._take(msgspec.json.decode(content, type=Said), found, function):
                self.usage.forget()
                return True
        return False

    def _over(self, function: Function) -> tuple[str, int]:
        """Which limit the call in work is beyond, `""` for none, and of which record it is."""
        in_work, imported = self._segment.marks[:2].tolist()
        try:
            self.usage.look(in_work)
            grown_mb = self.usage.grown_mb()
        except (psutil.Error, OSError):  # it has ended, of which we hear in a moment, or there is no file number now
            return "", in_work
        if self.usage.is_over(function.step.time_s + (IMPORTING_S if imported == in_work + 1 else 0.0)):
            return "time", in_work
        return ("memory" if grown_mb > function.step.memory_mb else ""), in_work

    def _take(self, said: Said, found: Stretch, function: Function) -> bool:
        """Take in what it says; True when it is done."""
        if said.record >= 0:
            failure = Failure(*said.failure)
            if failure.no_memory:
                found.limit, found.upto = "memory", said.record + 1
                detail = f"{failure.detail}: {self._memory_limit(function)}"
                failure = failure._replace(detail=detail)
            found.failures[said.record] = failure
        elif said.done:
            self.grown_mb = said.grown / _MEBIBYTE
            if found.limit == "memory":
                # What it took itself it has given back; what is left others may have left.
                found.is_certain = self._is_first(found) or self._is_roomy(function)
            if not found.limit and self.grown_mb > function.step.memory_mb / 2:
                found.limit = "grown"
        return said.done

    def _give_up(self, found: Stretch, function: Function, limit: str, in_work: int) -> None:
        """End it for what a record uses; it may have come to that one's end since."""
        self._computes = self.usage.computes_alone
        traces.ask(self._traces, self.pid)
        detail = self._memory_limit(function)
        if limit == "time":
            detail = f"took longer than its limit of {function.step.time_s:g} s: give its loops and waiting an end,"
            detail += " or raise limits.time_s"
        self._failed(found, function, limit, detail, in_work)

    def _ended(self, found: Stretch, function: Function) -> None:
        """It has ended by itself, in the record in work."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._failed(found, function, "ended", "closed what connects its process: no step may")
            return
        self._failed(found, function, "ended", f"ended its process ({how(code)}): no step may")

    def _failed(self, found: Stretch, function: Function, limit: str, detail: str, in_work: int | None = None) -> None:
        in_work = int(self._segment.marks[IN_WORK]) if in_work is None else in_work
        place = traces.place(self._traces, Path(self._plan.folder))
        shown = f"step {function.step.name} {detail}" + (f" ({place})" if place else "")
        at = min(max(in_work, 0), found.upto - 1)
        found.limit, found.upto = limit, at + 1
        found.failures = {record: why for record, why in found.failures.items() if record < at}
        found.failures[at] = Failure(shown)
        # Who waits may wait for what an earlier call holds; who computes where nobody else does, does not.
        knows = (limit == "time" and self._computes) or (limit == "memory" and at == 0 and self._was_roomy)
        found.is_certain = knows or self._is_first(found)

    def _is_first(self, found: Stretch) -> bool:
        """Whether the last record is the first that the process stepped."""
        return not self._was_used and found.upto == 1

    def _is_roomy(self, function: Function) -> bool:
        """Whether the calls so far have left next to nothing behind."""
        return self.grown_mb < function.step.memory_mb / _ROOMY

    @staticmethod
    def _memory_limit(function: Function) -> str:
        return f"needs more memory than its limit of {function.step.memory_mb:g} MiB; or raise limits.memory_mb"
