"""The command that checks one folder in the process that `infra.authoring.checking` starts for it."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import contextlib
import faulthandler
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.authoring.checking import COSTS_LIMIT_S, IMPORT_LIMIT_S, STEP_LIMIT_S

_RECORDS, _FINDING_S = 5, 60.0
"""A trial takes at most so many times as long as one record may, and so long to find the step that never ends."""
_NICE = 10
_LOOK_S, _AT_ONCE_S = 0.2, 0.001


def check_folder(
    path: Path,
    cache: Annotated[Path | None, typer.Option(help="Where to keep what is compiled.")] = None,
    import_limit: Annotated[float, typer.Option(help="Seconds that its modules may take.")] = IMPORT_LIMIT_S,
    step_limit: Annotated[
        float, typer.Option(help="Seconds that its steps may take for a record; 0: don't run them.")
    ] = STEP_LIMIT_S,
    costs: Annotated[bool, typer.Option("--costs", help="Measure steps that are not compiled.")] = False,  # noqa: FBT002
) -> None:
    """Check one folder in this process, which runs its author's code; prints problems as JSON, then notes."""
    from twins.check import cost_notes, examine_folder
    from twins.kernel.trial_faults import Tried, tried
    from twins.twin_type import TwinType
    from twins.wiring import WiredStep

    def trying(twin_type: TwinType, steps: list[WiredStep]) -> Tried:
        if not step_limit:
            return Tried()
        # It minds its time by itself, unless a step lets no other thread of Python run.
        with _limited(_RECORDS * step_limit + _FINDING_S):
            return tried(twin_type, steps, step_limit)

    # Compiling takes seconds of a core, and the twins that run beside it go first.
    os.nice(_NICE)
    with _own_output() as descriptor, tempfile.TemporaryDirectory() as scratch:
        cache = cache or Path(scratch)
        found = examine_folder(path, cache, _limited(import_limit), trying)
        os.write(descriptor, json.dumps([asdict(problem) for problem in found.problems]).encode() + b"\n")
        if found.problems:
            return
        notes = found.notes
        if costs:
            # A step without end leaves the problems told and the notes not.
            with _limited(COSTS_LIMIT_S):
                notes = notes + cost_notes(path, cache)
        os.write(descriptor, json.dumps(notes).encode())


@contextlib.contextmanager
def _own_output() -> Iterator[int]:
    """Standard output for the answer alone; what the author's code prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        yield answer
    finally:
        os.close(answer)


@contextlib.contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    """End this process, with a trace on standard error, when what it does takes too long; also trace its crashes."""
    from twins.kernel.patience import Patience

    done = threading.Event()

    def look() -> None:
        patience = Patience(limit_s)
        # Where no other thread of Python may run, nobody looks, and the time that goes by is what counts.
        while not done.wait(_LOOK_S):
            faulthandler.dump_traceback_later(_AT_ONCE_S if patience.is_over() else limit_s, exit=True)
            if patience.is_over():
                return

    faulthandler.enable()
    faulthandler.dump_traceback_later(limit_s, exit=True)
    looking = threading.Thread(target=look, name="limit", daemon=True)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
        faulthandler.cancel_dump_traceback_later()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-folder", hidden=True)(check_folder)
