"""The process that steps: `python -m twins.apart.child CONTROL SEGMENT TRACES LIFELINE`, each an open file's number.

It imports the author's modules, says that it is ready, and steps what it is told to. It ends with its worker.
"""

import errno
import faulthandler
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schemas.errors import DefinitionError
from twins.apart.frames import Incoming, send
from twins.apart.plan import Function, Order, Plan, Said
from twins.apart.segment import IMPORTED, IN_WORK, Segment
from twins.authored import AuthoredCode
from twins.kernel.uncompiled import Failure, UncompiledStep

try:
    import resource
except ImportError:  # a system that limits no memory
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MEBIBYTE = 1 << 20
_MACHINES = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EIO}
"""Errors that are no fault of who gets them."""


def end_with(lifeline: int) -> None:
    """Let the system kill this process and all of its group when the worker, which holds the other end, is gone.

    Nothing of the interpreter takes part, which a function written in C may keep from running.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        os.set_blocking(lifeline, False)
        try:
            gone = os.read(lifeline, 1) == b""
        except BlockingIOError:
            gone = False
        if gone:
            os.killpg(0, signal.SIGKILL)
        return

    def wait() -> None:
        os.read(lifeline, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


class _Imports(MetaPathFinder):
    """Finds nothing, and so notes each module that is looked for while a record is stepped."""

    def __init__(self, segment: Segment) -> None:
        self._marks = segment.marks

    def find_spec(
        self,
        fullname: str,  # noqa: ARG002 - as Python calls it
        path: Sequence[str] | None,  # noqa: ARG002
        target: "ModuleType | None" = None,  # noqa: ARG002
    ) -> "ModuleSpec | None":
        self._marks[IMPORTED] = self._marks[IN_WORK] + 1
        return None


class _Memory:
    """Holds what the author's functions may take."""

    def __init__(self) -> None:
        try:
            self._pages = os.open("/proc/self/statm", os.O_RDONLY)
        except OSError:
            self._pages = -1
        self._before = self._data()

    @property
    def grown(self) -> int:
        """Bytes since the beginning."""
        return self._data() - self._before

    @contextmanager
    def at_most(self, memory_mb: float) -> Iterator[None]:
        """Let nothing take more than so much beyond what there was at the beginning."""
        if resource is None or not self._before:
            yield
            return
        usual, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = self._before + int(memory_mb * _MEBIBYTE)
        resource.setrlimit(
            resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (usual, most))

    def _data(self) -> int:
        """What counts for the limit, 0 where the system does not tell."""
        return 0 if self._pages < 0 else int(os.pread(self._pages, 256, 0).split()[5]) * _PAGE_BYTES


class _EnoughError(Exception):
    """No further record of this order is stepped."""


def _serve(line: socket.socket, segment: Segment) -> None:
    incoming = Incoming(line)
    send(line, Said())
    content = incoming.wait()
    if content is None:
        return
    plan = msgspec.json.decode(content, type=Plan)
    code = AuthoredCode(Path(plan.folder))
    try:
        steps = [UncompiledStep(one.step, code.function(one.step.target), code.folder) for one in plan.functions]
    except DefinitionError as error:
        fault = f"{error.problems[0].message} ({error.problems[0].file}:{error.problems[0].line})"
        cause = error.__context__
        by_machine = isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in _MACHINES)
        send(line, Said(fault=fault, is_of_author=not by_machine))
        return
    sys.meta_path.insert(0, _Imports(segment))
    memory = _Memory()
    send(line, Said(done=True))
    while (content := incoming.wait()) is not None:
        order = msgspec.json.decode(content, type=Order)
        _carry_out(order, plan.functions[order.function], steps[order.function], line, segment, memory)
        send(line, Said(done=True, grown=memory.grown))


def _carry_out(
    order: Order, function: Function, step: UncompiledStep, line: socket.socket, segment: Segment, memory: _Memory
) -> None:
    marks = segment.marks

    def at(record: int) -> None:
        marks[IN_WORK] = record

    def failed(record: int, failure: Failure) -> None:
        send(line, Said(record, (*failure,)))
        if failure.no_memory:
            raise _EnoughError

    given, answer = segment.arrays(function, order.records)
    try:
        with memory.at_most(function.step.memory_mb):
            step.step(given, answer, at, failed)
    except _EnoughError:
        return
    at(order.records)


def main() -> None:
    """Step until the worker is gone."""
    control, segment, traces, lifeline = map(int, sys.argv[1:5])
    end_with(lifeline)
    # Where it was when it had to be ended, or ended by itself: also what stands still in C can be asked so.
    faulthandler.enable(file=traces, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=traces, all_threads=True)
    with socket.socket(fileno=control) as line:
        _serve(line, Segment(segment))
    # What the author's modules left behind may not keep it.
    os._exit(0)


if __name__ == "__main__":
    main()
