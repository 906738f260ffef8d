"""Commands for authors of twin types, which need nothing that runs: `new`, `try` and `schema`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import re
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from infra.cli.definitions import Folder, demand_sound
from infra.cli.options import AsJson, DataDir, read_settings
from infra.cli.output import fail, plain, show_json
from infra.cli.waiting import waiting
from infra.registry import trial_cache
from schemas.errors import InvalidNameError, SetupError
from schemas.names import DEFAULT_PROJECT, parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.authoring.panel import Panel
    from infra.authoring.trial import Refusal, Trial
    from schemas.definition import Definition

_MOST_LISTED = 10_000
_RAW_LETTERS = 200
_COLUMNS = 100


def _is_own_type(name: str) -> bool:
    try:
        return parse_type(name).project == DEFAULT_PROJECT
    except InvalidNameError:
        return False


def _own_type(name: str) -> str:
    if _is_own_type(name):
        return name
    parent, _, last = name.rstrip("/").rpartition("/")
    if (parent or name.startswith("/")) and _is_own_type(last):
        message = f"{name!a} is a path, and the folder is made here: `cd` to {parent or '/'} and name {last} alone"
        raise typer.BadParameter(message)
    plain_letters = unicodedata.normalize("NFKD", last or parent).encode("ascii", "ignore").decode().lower()
    suggested = re.sub(r"^[^a-z]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", plain_letters))[:40]
    hint = f": {suggested} is one" if suggested else ""
    project = "; a project is a key of twin.yaml" if "-" in name else ""
    message = f"{name!a}: a name is 1 to 40 of a-z, 0-9 and _, the first one of a-z{hint}{project}"
    raise typer.BadParameter(message)


def called(program: str) -> str:
    """How a program of this environment is called from here: by its name only where that finds it."""
    own = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    if not own.exists() or (found and Path(found).absolute() == own):
        return program
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the twin type.", callback=_own_type)],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a folder NAME here with a twin type to begin with: definition, step, test and README."""
    from infra.authoring.folder import create

    files = create(name, Path.cwd())
    if as_json:
        show_json({"type": name, "folder": str(Path.cwd() / name), "files": files})
        return
    typer.echo(f"{name}/ has {', '.join(file for file in files if not file.startswith('.'))}")
    python, twinstream = called("python"), called("twinstream")
    typer.echo(f"next: {python} -m pytest {name}; {twinstream} try {name} FILE.csv; {twinstream} deploy {name}")


def try_(
    path: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Recorded values: columns time and the inputs.")],
    *,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Play recorded values through a twin type on this machine, and plot what it makes of them."""
    from infra.authoring.recording import read_rows
    from infra.authoring.trial import PARTITIONS, play
    from schemas.bundle import read_folder
    from twins.apart.steps import apart
    from twins.twin_type import TwinType

    # What is compiled here is not compiled again by the next trial, or when it is deployed.
    cache = trial_cache(read_settings(None, data_dir).data_dir)
    demand_sound(path, cache)
    bundle = read_folder(path)
    definition = bundle.definition()
    twin_type = TwinType.load(path, definition, bundle.hash, PARTITIONS, cache)
    twin_type.warm_up()
    listed: list[Refusal] = []

    def refused(refusals: "Sequence[Refusal]") -> None:
        if as_json:
            listed.extend(refusals[: _MOST_LISTED - len(listed)])
            return
        with hidden():
            typer.echo("\n".join(map(_line, refusals)))

    # As in a worker: whatever a step does is told of its row.
    twin_type, processes = apart(twin_type, lambda _: None)
    try:
        with waiting(f"{path}: playing {file}") as hidden:
            trial = play(twin_type, read_rows(file, definition), refused)
    finally:
        if processes is not None:
            processes.close()
    if not trial.records:
        fail(f"{file} holds no record")
    picture, panels = _draw(definition, trial, file)
    notes = _notes(trial)
    if as_json:
        show_json(_document(definition, trial, listed, picture) | {"notes": notes})
    else:
        _show(trial, panels, picture)
        for note in notes:
            typer.echo(f"note: {note}")


def _notes(trial: "Trial") -> list[str]:
    """What is worth knowing, no fault."""
    from infra.authoring.recording import hint_of
    from schemas.reasons import Reason

    notes = [
        f"line {line}: so long after the line before that {ticks:,} of the ticks in between were not played"
        for line, ticks in trial.left_out.items()
    ]
    nowhere = (0, 0)
    if trial.records and trial.reasons.get(Reason.INVALID_TIME, nowhere)[1] == trial.records:
        notes.append(
            "no time could be read: write them as 2026-01-01T12:00:00Z, with T and Z, or as whole nanoseconds since"
            " 1970, which are seconds times 1,000,000,000"
        )
    if Reason.QUARANTINED in trial.reasons:
        line, _ = trial.reasons.get(Reason.STEP_FAILED, trial.reasons[Reason.QUARANTINED])
        count = trial.reasons[Reason.QUARANTINED][1]
        notes.append(f"a step failed at line {line}, and the {count} records behind it met a twin in quarantine")
    if hint := hint_of(trial.first_ns, trial.last_ns):
        notes.append(hint)
    return notes


def _draw(definition: "Definition", trial: "Trial", file: Path) -> tuple[Path, list["Panel"]]:
    from infra.authoring.panel import panels_of
    from infra.authoring.svg_plot import as_svg

    panels = panels_of(definition, trial.curves)
    picture = Path.cwd() / f"{definition.type_name}-{file.stem}.svg"
    try:
        picture.write_text(as_svg(f"{definition.type_name} {definition.version}: {file.name}", panels), "utf-8")
    except OSError as error:
        message = f"{picture} can't be written: {error.strerror}"
        raise SetupError(message) from None
    return picture, panels


def _line(refusal: "Refusal") -> str:
    return f"line {refusal.line}: {refusal.reason}: {plain(refusal.detail)}: {_cut(refusal.raw)}"


def _cut(raw: str) -> str:
    return plain(raw if len(raw) <= _RAW_LETTERS else f"{raw[:_RAW_LETTERS]}…")


def _show(trial: "Trial", panels: list["Panel"], picture: Path) -> None:
    from infra.authoring.terminal_plot import as_text

    typer.echo(f"{trial.refused} of {trial.records} records refused")
    if panels:
        text = as_text(panels, shutil.get_terminal_size((_COLUMNS, 0)).columns)
        encoding = sys.stdout.encoding or "utf-8"
        typer.echo(f"\n{text.encode(encoding, 'replace').decode(encoding)}\n")
    ticks = f", ticks {trial.ticks}" if trial.ticks else ""
    typer.echo(f"accepted {trial.accepted}, duplicate {trial.duplicate}, late {trial.late}{ticks}")
    for what, counts in (("events", trial.events), ("commands", trial.commands)):
        named = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        typer.echo(f"{what} {counts.total()}{f' ({named})' if named else ''}")
    cost = trial.computing_s_per_hour
    if cost is not None:
        typer.echo(f"{cost:.3g} s of computing per simulated hour ({trial.simulated_s / 3600:.3g} h simulated)")
    typer.echo(f"plot: {picture}")


def _document(definition: "Definition", trial: "Trial", listed: list["Refusal"], picture: Path) -> dict[str, object]:
    return {
        "type": str(definition.type_name),
        "version": definition.version,
        "records": trial.records,
        "accepted": trial.accepted,
        "duplicate": trial.duplicate,
        "late": trial.late,
        "refused": trial.refused,
        "ticks": trial.ticks,
        "refusals": msgspec.to_builtins([one for one in listed if not one.passed_over]),
        "passed_over": msgspec.to_builtins([one for one in listed if one.passed_over]),
        "events": dict(trial.events),
        "commands": dict(trial.commands),
        "simulated_s": trial.simulated_s,
        "computing_s": trial.computing_s,
        "computing_s_per_hour": trial.computing_s_per_hour,
        "svg": str(picture),
    }


def schema(*, as_json: AsJson = False) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the JSON Schema of twin.yaml, by which editors complete and check it."""
    from twins.definition_schema import schema_text

    typer.echo(schema_text(), nl=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(new)
    app.command("try")(try_)
    app.command()(schema)
