"""Checking a twin type's folder in a process of its own, which runs its author's code."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.supervisor.lifeline import PARENT_VARIABLE
from infra.supervisor.process import role_argv
from schemas.definition_file import FILE
from schemas.errors import Problem
from twins.apart.environment import author_environment

IMPORT_LIMIT_S = 30.0
"""How long the modules of a folder may take to be imported, unless told otherwise."""

STEP_LIMIT_S = 10.0
"""How long the steps of a folder may take for one record, unless told otherwise."""

COSTS_LIMIT_S = 20.0
"""How long measuring what steps cost may take."""

_COMMAND = "check-folder"
_TIMEOUT_S = 300.0
_TIMED_OUT = "Timeout ("
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        problems: Every fault.
        notes: What is worth knowing, no fault.
    """

    problems: list[Problem]
    notes: list[str] = field(default_factory=list)


def check_apart(
    folder: Path,
    cache: Path | None = None,
    import_limit_s: float = IMPORT_LIMIT_S,
    step_limit_s: float = STEP_LIMIT_S,
) -> list[Problem]:
    """Every problem of a twin type's folder; arguments as for `examine_apart`."""
    return examine_apart(folder, cache, import_limit_s, step_limit_s).problems


def examine_apart(
    folder: Path,
    cache: Path | None = None,
    import_limit_s: float = IMPORT_LIMIT_S,
    step_limit_s: float = STEP_LIMIT_S,
    *,
    costs: bool = False,
) -> Checked:
    """Check a twin type's folder; its author's code runs in a child process.

    Args:
        folder: Holds a `twin.yaml`.
        cache: Where to keep what is compiled; nowhere when None.
        import_limit_s: How long its modules may take to be imported.
        step_limit_s: How long its steps may take for one record; 0 to run none of them.
        costs: Whether to note also what steps that are not compiled cost.
    """
    # However this process ends, what it started ends with it.
    env = author_environment() | {PARENT_VARIABLE: str(os.getpid())}
    options = ["--import-limit", str(import_limit_s), "--step-limit", str(step_limit_s)]
    options += ["--cache", str(cache)] if cache else []
    options += ["--costs"] if costs else []
    try:
        code, output, said = _run(role_argv(_COMMAND, str(folder), *options), env)
    except subprocess.TimeoutExpired:
        message = f"checking it took more than {_TIMEOUT_S:.0f} s"
        return Checked([Problem(FILE, 1, "file", message, "keep work out of the modules themselves")])
    first, _, second = output.partition(b"\n")
    try:
        found: list[dict[str, Any]] = json.loads(first)
    except ValueError:
        return Checked([_ended(folder.resolve(), code, said.decode(errors="replace"), import_limit_s, step_limit_s)])
    try:
        notes = json.loads(second) if not found else []
    except ValueError:
        notes = [f"what its steps in plain Python cost is not known: measuring took over {COSTS_LIMIT_S:g} s or failed"]
    return Checked([Problem(**item) for item in found], notes)


def _run(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and error of a process; what its author's code started ends with it."""
    # Files: a pipe would stay open for as long as any of those live.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own command
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=said, start_new_session=True
        )
        try:
            code = process.wait(_TIMEOUT_S)
        finally:
            _end_group(process.pid)
            process.wait()
        output.seek(0)
        said.seek(0)
        return code, output.read(), said.read()


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_checks() -> None:
    """End what checks for this process: a thread that waits for it would keep this process from ending."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if _COMMAND in child.cmdline():
                _end_group(child.pid)
                child.kill()


def _ended(folder: Path, code: int, said: str, import_limit_s: float, step_limit_s: float) -> Problem:
    """Why there is no answer, at the author's line where the trace names one."""
    frames = [(Path(file), int(line), name) for file, line, name in _FRAME.findall(said)]
    own = [(file.relative_to(folder), line, name) for file, line, name in frames if file.is_relative_to(folder)]
    file, line, name = own[0] if own else (Path(FILE), 1, "file")
    if _TIMED_OUT in said and own and all(name != "<module>" for *_, name in own):
        message = f"did not finish within {step_limit_s:g} s for a record with all inputs at mid-range"
        remedy = "give its loops an end"
    elif _TIMED_OUT in said:
        message, remedy = f"import takes more than {import_limit_s:g} s", "keep work out of the module itself"
    else:
        last = (said.strip().splitlines() or [""])[-1] if not own else ""
        shown = f": {last}" if last and last.isprintable() else f" with exit code {code}"
        message, remedy = f"checking it ended its process{shown}", "mend its Python files"
    return Problem(file.as_posix(), line, "import" if name == "<module>" else name, message, remedy)
