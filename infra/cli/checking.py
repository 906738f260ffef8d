"""The check of a twin type's folder in a process of its own, which runs its author's code."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import contextlib
import faulthandler
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.options import Config
from infra.supervisor.lifeline import PARENT_VARIABLE
from infra.supervisor.process import role_argv
from schemas.definition_file import FILE
from schemas.errors import Problem

_TIMEOUT_S = 300.0
_IMPORT_LIMIT_S = 30.0
_COSTS_LIMIT_S = 20.0
_TIMED_OUT = "Timeout ("
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


def check_folder(
    path: Path,
    cache: Annotated[Path | None, typer.Option(help="Where to keep what is compiled.")] = None,
    import_limit: Annotated[float, typer.Option(help="Seconds that its modules may take.")] = _IMPORT_LIMIT_S,
    costs: Annotated[bool, typer.Option("--costs", help="Measure steps that are not compiled.")] = False,  # noqa: FBT002
    config: Config = None,  # noqa: ARG001 - set in the environment of children
) -> None:
    """Check one folder in this process, which runs its author's code; prints problems as JSON, then notes."""
    from twins.check import check_folder as check_here
    from twins.check import cost_notes

    with _own_output() as descriptor, tempfile.TemporaryDirectory() as scratch:
        cache = cache or Path(scratch)
        problems = check_here(path, cache, _limited(import_limit))
        os.write(descriptor, json.dumps([asdict(problem) for problem in problems]).encode() + b"\n")
        if costs and not problems:
            # A step without end leaves the problems told and the notes not.
            with _limited(_COSTS_LIMIT_S):
                os.write(descriptor, json.dumps(cost_notes(path, cache)).encode())


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        problems: Every fault.
        notes: What is worth knowing, no fault.
    """

    problems: list[Problem]
    notes: list[str] = field(default_factory=list)


def check_apart(folder: Path, cache: Path | None = None, import_limit_s: float = _IMPORT_LIMIT_S) -> list[Problem]:
    """Every problem of a twin type's folder; arguments as for `examine_apart`."""
    return examine_apart(folder, cache, import_limit_s).problems


def examine_apart(
    folder: Path, cache: Path | None = None, import_limit_s: float = _IMPORT_LIMIT_S, *, costs: bool = False
) -> Checked:
    """Check a twin type's folder; its author's code runs in a child process.

    Args:
        folder: Holds a `twin.yaml`.
        cache: Where to keep what is compiled; nowhere when None.
        import_limit_s: How long its modules may take to be imported.
        costs: Whether to note what steps that are not compiled cost.
    """
    env = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    options = ["--import-limit", str(import_limit_s), *(["--cache", str(cache)] if cache else [])]
    options += ["--costs"] if costs else []
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            role_argv("check-folder", str(folder), *options),
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"checking it took more than {_TIMEOUT_S:.0f} s"
        return Checked([Problem(FILE, 1, "file", message, "keep work out of the modules themselves")])
    first, _, second = done.stdout.partition(b"\n")
    try:
        found: list[dict[str, Any]] = json.loads(first)
    except ValueError:
        said = done.stderr.decode(errors="replace")
        return Checked([_ended(folder.resolve(), done.returncode, said, import_limit_s)])
    try:
        notes = json.loads(second) if costs and not found else []
    except ValueError:
        notes = [
            f"what its steps in plain Python cost is not known: measuring took over {_COSTS_LIMIT_S:g} s or failed"
        ]
    return Checked([Problem(**item) for item in found], notes)


def _ended(folder: Path, code: int, said: str, import_limit_s: float) -> Problem:
    """Why there is no answer, at the author's line where the trace names one."""
    frames = [(Path(file), int(line), name) for file, line, name in _FRAME.findall(said)]
    own = [(file.relative_to(folder), line, name) for file, line, name in frames if file.is_relative_to(folder)]
    file, line, name = own[0] if own else (Path(FILE), 1, "file")
    if _TIMED_OUT in said:
        message, remedy = f"import takes more than {import_limit_s:g} s", "keep work out of the module itself"
    else:
        last = (said.strip().splitlines() or [""])[-1] if not own else ""
        shown = f": {last}" if last and last.isprintable() else f" with exit code {code}"
        message, remedy = f"checking it ended its process{shown}", "mend its Python files"
    return Problem(file.as_posix(), line, "import" if name == "<module>" else name, message, remedy)


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
    faulthandler.enable()
    faulthandler.dump_traceback_later(limit_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-folder", hidden=True)(check_folder)
