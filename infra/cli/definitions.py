"""Commands about twin types: `deploy`, `undeploy`, `types` and `check`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from infra.authoring.checking import examine_apart
from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Url, is_near
from infra.cli.output import FAILED, fail, local_time, show_json, show_table
from infra.cli.waiting import waiting
from infra.registry import Registry, trial_cache
from infra.settings_check import examine_settings
from schemas.definition_file import FILE
from schemas.errors import DefinitionError, Problem
from schemas.names import parse_type

Folder = Annotated[Path, typer.Argument(metavar="PATH", help="A twin type's folder.", exists=True, file_okay=False)]
TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Qualified type name.")]


def deploy(
    path: Folder,
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check a twin type's folder and put it into force, while everything runs.

    Workers compile it first. Then one record in every partition of the type's input switches to it: what came before is
    stepped by the version before, what comes after by this one, and state that both know goes on. When it has faults,
    or no worker can compile it, nothing changes.
    """
    from infra.cli.deploying import Said, deploy_folder, finish
    from infra.cli.log import settings_with_log

    if not (path / FILE).is_file():
        fail(f"no {FILE} in {path}: name a twin type's folder")
    settings = settings_with_log(url, data_dir, config)
    registry = Registry(settings.data_dir) if is_near(url, data_dir) else None
    # What is compiled here is not compiled again by a worker of this data directory.
    notes = demand_sound(path, trial_cache(settings.data_dir) if registry else None)
    said = Said(aloud=not as_json)
    for note in notes:
        said.note(note)
    said.stage(f"{path} is checked")
    try:
        deployment = finish(deploy_folder(path, settings, url, registry, said))
    except DefinitionError as error:
        _fail_below(path, error.problems)
    if as_json:
        show_json(deployment)
        return
    name, content = f"{deployment['type']} {deployment['version']}", deployment["hash"][:12]
    if said.is_written:
        typer.echo(f"{name} is deployed ({content})")
    else:
        since, who = local_time(deployment["time_ns"]), deployment["who"] or "nobody known"
        typer.echo(f"{name} is in force already ({content}), since {since} by {who}: nothing changed")


def rollback(
    type_name: TypeName,
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the version of a type that was in force before, the same way as a deployment."""
    from infra.cli.deploying import Said, finish, roll_back
    from infra.cli.log import settings_with_log

    name = str(parse_type(type_name))
    settings = settings_with_log(url, data_dir, config)
    registry = Registry(settings.data_dir) if is_near(url, data_dir) else None
    deployment = finish(roll_back(name, settings, url, registry, Said(aloud=not as_json)))
    if as_json:
        show_json(deployment)
    else:
        typer.echo(f"{name} is back at {deployment['version']} ({deployment['hash'][:12]})")


def undeploy(
    type_name: TypeName,
    *,
    delete_topics: Annotated[
        bool, typer.Option("--delete-topics", help="Delete its topics, too, with all they hold. There is no way back.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Take a twin type out of force; its topics and data stay unless told otherwise."""
    from infra.cli.deploying import undeploy_type
    from infra.cli.log import settings_with_log

    name = str(parse_type(type_name))
    settings = settings_with_log(url, data_dir, config)
    deployment = asyncio.run(undeploy_type(settings, name, topics_too=delete_topics))
    if deployment is None and not delete_topics:
        fail(f"type {name} is not deployed; `twinstream types` lists what is")
    if as_json:
        show_json({"type": name, "deployed": False})
    else:
        left = "its topics are deleted" if delete_topics else "its topics and data stay"
        typer.echo(f"{name} is no longer deployed; {left}")


def types(
    *,
    history: Annotated[
        bool, typer.Option("--history", help="Every switch to a version: when, who, which, from which offsets.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the deployed twin types, or what was ever in force."""
    answer = connect(url, data_dir, config).get("deployments" if history else "types")
    if history:
        _show_history(answer, as_json=as_json)
        return
    if as_json:
        show_json(answer)
        return
    rows = [
        [item["type"], item["version"], item["twins"], item["hash"][:12], item["description"]]
        for item in answer["items"]
    ]
    columns = ("type", "version", "twins", "hash", "description")
    show_table(columns, rows, empty="no type is deployed: `twinstream deploy PATH` deploys one")


def _show_history(answer: Any, *, as_json: bool) -> None:  # noqa: ANN401 - JSON
    if as_json:
        show_json({"items": answer["items"]})
        return
    rows = [
        [
            item["type"],
            item["version"],
            item["hash"][:12],
            local_time(item["time_ns"]),
            item["who"],
            " ".join(f"{partition}:{offset}" for partition, offset in item["from"].items())
            if "from" in item
            else "undeployed",
        ]
        for item in sorted([*answer["items"], *answer.get("undeployed", [])], key=lambda item: item["time_ns"])
    ]
    columns = ("type", "version", "hash", "time", "who", "from (partition:offset)")
    show_table(columns, rows, empty="nothing was ever deployed: `twinstream deploy PATH` deploys a type")


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Twin types' folders, folders of such, or configuration files."),
    ] = None,
    *,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check configuration and definitions, and list every problem."""
    notes: list[str] = []
    checked: list[str] = []
    paths = paths or ([Path()] if Path(FILE).is_file() else [])
    # A shell's `examples/*` names what is written beside the folders, too.
    paths = [path for path in paths if not (path.is_file() and path.suffix == ".md")]
    files = [path for path in paths if path.is_file() and path.name != FILE]
    settings, problems = examine_settings(config, {"data_dir": data_dir} if data_dir else None)
    # What is compiled here is not compiled again by the next check, a trial, or when it is deployed.
    cache = trial_cache(settings.data_dir) if settings else None
    checked.append(f"configuration{f' {config}' if config else ''}")
    for file in files:
        # What is wrong with the environment is wrong with each.
        problems += [problem for problem in examine_settings(file)[1] if problem not in problems]
        checked.append(f"configuration {file}")
    for path in [path for path in paths if path not in files]:
        folders = _folders(path)
        if not folders:
            problems.append(Problem(str(path / FILE), 1, "file", "there is none", "name a twin type's folder"))
        for folder in folders:
            with waiting(f"{folder}: checking and compiling"):
                found = examine_apart(folder, cache, costs=True)
            problems += [_below(folder, problem) for problem in found.problems]
            notes += [f"{folder}: {note}" for note in found.notes]
            checked.append(f"type {folder}")
    if as_json:
        show_json({"checked": checked, "problems": [asdict(problem) for problem in problems], "notes": notes})
    else:
        _show_checked(problems, notes, checked)
    if problems:
        raise typer.Exit(FAILED)


def _show_checked(problems: list[Problem], notes: list[str], checked: list[str]) -> None:
    for problem in problems:
        typer.echo(str(problem))
    for note in notes:
        typer.echo(f"note: {note}")
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}" if problems else "no problems"
    # The configuration that is there by itself is worth no word.
    asked = [what for what in checked if what != "configuration"] or checked
    typer.echo(f"{count} in {', '.join(asked)}")


def demand_sound(folder: Path, cache: Path | None) -> list[str]:
    """End the command with every problem of a twin type's folder; where there is none, return what is worth knowing."""
    with waiting(f"{folder}: checking and compiling"):
        found = examine_apart(folder, cache)
    if found.problems:
        _fail_below(folder, found.problems)
    return found.notes


def _fail_below(folder: Path, problems: Sequence[Problem]) -> NoReturn:
    found = [_below(folder, problem) for problem in problems]
    fail("\n".join(map(str, found)), [asdict(problem) for problem in found])


def _folders(path: Path) -> list[Path]:
    if path.name == FILE and path.is_file():
        return [path.parent]
    if (path / FILE).is_file():
        return [path]
    return sorted(found.parent for found in path.glob(f"*/{FILE}"))


def _below(folder: Path, problem: Problem) -> Problem:
    return Problem(str(folder / problem.file), problem.line, problem.path, problem.message, problem.remedy)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (deploy, rollback, undeploy, types, check):
        app.command()(command)
