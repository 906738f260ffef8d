"""What every role of an instance is doing: run files, the process table, and what each answers when it is asked.

A role is asked for its `/metrics`, an embedded server in its own protocol.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec

from infra.answering import SERVERS, answers
from infra.metrics import lag_in
from infra.registry import SUPERVISOR, ChildView, Registry, RunFile
from infra.scraping import expositions_at

Ask = Callable[[Iterable[int]], Mapping[int, str | None]]
SILENT = "its process runs and does not answer"


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One role.

    Attributes:
        pid: Of the process that does the work, None when there is none.
        up: Whether that process runs and, once it was ready, answers in time where it can be asked.
        ready: Whether it does its work.
        lag: Records that it has yet to read; None when it reads none or does not answer.
        restarts: How often its supervisor started it again.
        started_ns: UTC nanoseconds.
        port: Of its `/metrics`.
        detail: What it waits for, or why it is down.
    """

    name: str
    pid: int | None
    up: bool
    ready: bool
    lag: int | None
    restarts: int
    started_ns: int | None
    port: int | None
    detail: str


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as seen from its data directory.

    Attributes:
        running: Whether anything runs here.
        ready: Whether every role is.
        url: Of the API, `""` when it is not up.
    """

    data_dir: str
    running: bool
    ready: bool
    url: str
    roles: list[RoleStatus]


def as_document(status: InstanceStatus) -> dict[str, Any]:
    """What the API and the command line show: the roles as `items`."""
    shown: dict[str, Any] = msgspec.to_builtins(status)
    return {"items": shown.pop("roles"), "next": None} | shown


def status_of(registry: Registry, *, ask: Ask = expositions_at) -> InstanceStatus:
    """Look at an instance: all that is silent is waited for at once, 2 s for a connection and 2 s for its answer.

    Args:
        registry: Of the data directory.
        ask: Gives what the `/metrics` at each port says, None for one that does not answer.
    """
    entries = [entry for entry in registry.read() if entry.alive()]
    living = [entry for entry in entries if entry.name != SUPERVISOR]
    views = {view.name: view for entry in entries for view in entry.children}
    with ThreadPoolExecutor(len(living) or 1) as pool:
        servers = pool.map(_server_answers, living)
        said = ask([entry.port for entry in living if entry.port is not None])
    silent = {entry.pid for entry, answered in zip(living, servers, strict=True) if not answered}
    # One that is still starting may be slow to answer.
    silent |= {entry.pid for entry in living if entry.ready and entry.port and said.get(entry.port) is None}
    name_of = {entry.port: entry.name for entry in living}
    lags = {port: lag_in(text, name_of[port]) for port, text in said.items() if text}
    roles = [
        _of_process(entry, views.get(entry.name), lags.get(entry.port or 0), up=entry.pid not in silent)
        for entry in living
    ]
    roles += [_of_view(view) for name, view in views.items() if name not in {entry.name for entry in living}]
    api = next((entry.url for entry in living if entry.name == "api"), "")
    return InstanceStatus(
        data_dir=str(registry.folder.parent),
        running=bool(entries),
        ready=bool(roles) and all(role.ready for role in roles),
        url=api,
        roles=sorted(roles, key=lambda role: (role.name, role.pid or 0)),
    )


def _server_answers(entry: RunFile) -> bool:
    """Whether an embedded server does; others are not asked here."""
    # Kafka's address has no scheme, the others' has one.
    port = urlsplit(entry.url if "//" in entry.url else f"//{entry.url}").port
    return entry.name not in SERVERS or port is None or answers(entry.name, port)


def _of_process(entry: RunFile, view: ChildView | None, lag: int | None, *, up: bool) -> RoleStatus:
    return RoleStatus(
        name=entry.name,
        pid=entry.pid,
        up=up,
        ready=up and entry.ready,
        lag=lag,
        restarts=view.restarts if view else 0,
        started_ns=entry.started_ns,
        port=entry.port,
        detail=entry.detail if up else SILENT,
    )


def _of_view(view: ChildView) -> RoleStatus:
    """A role that its supervisor knows and that has no run file: starting, or down."""
    return RoleStatus(
        name=view.name,
        pid=view.pid,
        up=view.pid is not None,
        ready=False,
        lag=None,
        restarts=view.restarts,
        started_ns=None,
        port=None,
        detail=view.detail or view.phase,
    )
