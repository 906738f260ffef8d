"""The worker: follows the definitions and runs one child process per deployed type."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter

from infra.authoring.checking import STEP_LIMIT_S, check_apart, end_checks
from infra.registry import ALARMED, LOG_FOLDER, ChildView, kernel_cache, type_folder
from infra.roles.candidates import answer_candidates
from infra.roles.condemned import Condemned
from infra.roles.forgiving import forgive
from infra.roles.role import Role
from infra.scraping import ChildMetrics
from infra.settings_file import write_private
from infra.supervisor.process import STUCK, ProcessRunner, child_environment, role_argv
from infra.supervisor.step_mark import mark_path
from infra.supervisor.supervisor import Child, Supervisor
from schemas.deployment import Deployment
from schemas.errors import Problem
from twins.catalogue import Catalogue

log = structlog.get_logger(__name__)

NAME = "worker"
_LOOK_S = 1.0
_STOP_TIMEOUT_S = 4.5
"""Less than a supervisor of ours gives us."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to happen so that exactly the wanted types run.

    Attributes:
        start: Types that are wanted and have no child.
        mend: Types whose child was given up and that have another version now.
        stop: Types that are wanted no longer.
    """

    start: tuple[str, ...]
    mend: tuple[str, ...]
    stop: tuple[str, ...]


def changes(running: Mapping[str, str], wanted: Mapping[str, str], given_up: Collection[str] = ()) -> Changes:
    """Compare content hashes by type; a child that steps goes from version to version by itself."""
    return Changes(
        start=tuple(name for name in wanted if name not in running),
        mend=tuple(name for name in given_up if name in running and running[name] != wanted.get(name, running[name])),
        stop=tuple(name for name in running if name not in wanted),
    )


def stuck_restarts(registry: CollectorRegistry) -> Counter:
    """Counts what the watchdog of a type's worker ended."""
    return Counter(
        "twinstream_stuck_restarts",
        "Workers of a type that were started anew because a partition stood still.",
        ["type"],
        registry=registry,
    )


async def work(role: Role, *, only: tuple[str, ...] = ()) -> None:
    """Keep a child per deployed type running until cancelled.

    Args:
        role: The role.
        only: Qualified names of the types to step; empty for all.
    """
    config = role.registry.folder / f"worker.{os.getpid()}.yaml"
    # A fixed port for metrics can serve one process only, and that is this one.
    metrics = role.settings.metrics.model_copy(update={"port": 0})
    write_private(role.settings.model_copy(update={"metrics": metrics}), config)

    def changed(views: tuple[ChildView, ...]) -> None:
        role.presence.change(children=views)

    role.metrics.register(ChildMetrics(partial(_child_ports, role)))
    stuck = stuck_restarts(role.metrics)
    try:
        await role.shared_topics()
        async with (
            Catalogue(role.kafka) as catalogue,
            Supervisor(tell=_tell, changed=changed, stop_timeout_s=_STOP_TIMEOUT_S) as supervisor,
            asyncio.TaskGroup() as tasks,
        ):
            await catalogue.ready()
            running: dict[str, str] = {}
            condemned = Condemned(role.settings.data_dir)

            def given_up() -> set[str]:
                return {view.name.removeprefix(f"{NAME}:") for view in supervisor.view() if view.phase == ALARMED}

            async def compile_(candidate: Deployment) -> list[Problem] | None:
                stepped = candidate.type in running and candidate.type not in given_up()
                if stepped or (only and candidate.type not in only):
                    return None  # its own child does it, or another worker
                return await asyncio.to_thread(_check, role, catalogue, candidate)

            tasks.create_task(answer_candidates(role.kafka, catalogue, compile_))
            tasks.create_task(forgive(role.kafka, catalogue, condemned))
            while True:
                deployed = {name: entry.bundle.hash for name, entry in catalogue.types().items()}
                wanted = {name: value for name, value in deployed.items() if not only or name in only}
                dead = given_up()
                todo = changes(running, wanted, dead)
                # Versions that its process died of never come to their end: the next one steps what they did not.
                condemned.note(dead, running, wanted, deployed)
                await _apply(todo, supervisor, partial(_child, role, config, stuck))
                running = wanted
                role.ready(_waiting_for(only, wanted))
                # A change between the look above and this call is found by the next look.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(catalogue.changed(), _LOOK_S)
    finally:
        end_checks()
        config.unlink(missing_ok=True)


def _check(role: Role, catalogue: Catalogue, candidate: Deployment) -> list[Problem]:
    """Compile a version of a type that nothing steps here yet, in another process."""
    bundle = catalogue.bundle(candidate.hash)
    folder = type_folder(role.settings.data_dir, candidate.hash)
    if bundle is None:
        return [Problem(str(folder), 0, "", "the bundle is gone", "deploy it again")]
    bundle.write(folder)
    # What was in force before is not tried, only compiled.
    known = candidate.hash in {item.hash for item in catalogue.history(candidate.type)}
    return check_apart(folder, kernel_cache(role.settings.data_dir), step_limit_s=0.0 if known else STEP_LIMIT_S)


def _child_ports(role: Role) -> list[int]:
    children = {view.pid for view in role.presence.entry.children}
    return [entry.port for entry in role.registry.read() if entry.port is not None and entry.pid in children]


async def _apply(todo: Changes, supervisor: Supervisor, child: "partial[Child]") -> None:
    for name in todo.stop:
        log.info("type is no longer deployed", type=name)
        await supervisor.remove(f"worker:{name}")
    for name in todo.start:
        log.info("type is deployed", type=name)
        supervisor.add(child(name))
    for name in todo.mend:
        log.info("type has another version, and is stepped again", type=name)
        supervisor.restart(child(name))


def _child(role: Role, config: Path, stuck: Counter, type_name: str) -> Child:
    name = f"{NAME}:{type_name}"
    folder = role.settings.data_dir / LOG_FOLDER
    restarts = stuck.labels(type_name)

    def ended(code: int) -> None:
        if code == STUCK:
            restarts.inc()

    def run() -> ProcessRunner:
        return ProcessRunner(
            role_argv("type-worker", "--type", type_name),
            env=child_environment(config),
            error_log=folder / f"{name.replace(':', '-')}.err",
            say=_pass_on,
            ended=ended,
        )

    return Child(name, run, mark_path(role.registry.folder, name), role.settings.engine.step_timeout_s)


def _waiting_for(only: tuple[str, ...], wanted: Collection[str]) -> str:
    missing = [name for name in only if name not in wanted]
    if missing:
        return f"not deployed yet: {', '.join(missing)}"
    return "" if wanted else "no type is deployed yet"


def _tell(text: str) -> None:
    """The supervisor's own log lines say it already."""


def _pass_on(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
