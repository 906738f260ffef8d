"""What every role of an instance is doing, from run files, the process table and each role's `/metrics`."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from infra.metrics import lag_in
from infra.registry import SUPERVISOR, ChildView, Registry, RunFile

_ASK_TIMEOUT_S = 1.5


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One role.

    Attributes:
        pid: Of the process that does the work, None when there is none.
        up: Whether that process runs.
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


def status_of(registry: Registry, *, ask: Callable[[int], int | None] | None = None) -> InstanceStatus:
    """Look at an instance. Never waits for a role or a broker that is away.

    Args:
        registry: Of the data directory.
        ask: Replaces asking the role at a port for its lag.
    """
    entries = [entry for entry in registry.read() if entry.alive()]
    living = [entry for entry in entries if entry.name != SUPERVISOR]
    views = {view.name: view for entry in entries for view in entry.children}
    lags = _lags([entry for entry in living if entry.port], ask or lag_at)
    roles = [_of_process(entry, views.get(entry.name), lags.get(entry.pid)) for entry in living]
    roles += [_of_view(view) for name, view in views.items() if name not in {entry.name for entry in living}]
    api = next((entry.url for entry in living if entry.name == "api"), "")
    return InstanceStatus(
        data_dir=str(registry.folder.parent),
        running=bool(entries),
        ready=bool(roles) and all(role.ready for role in roles),
        url=api,
        roles=sorted(roles, key=lambda role: (role.name, role.pid or 0)),
    )


def lag_at(port: int) -> int | None:
    """Ask the role whose `/metrics` listens on a loopback port; None when it does not answer in time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=_ASK_TIMEOUT_S) as answer:
            return lag_in(answer.read().decode())
    except (OSError, urllib.error.URLError, ValueError):
        return None


def _lags(entries: Iterable[RunFile], ask: Callable[[int], int | None]) -> dict[int, int | None]:
    """Lag by pid, asked all at once."""
    ports = {entry.pid: entry.port for entry in entries if entry.port is not None}
    if not ports:
        return {}
    with ThreadPoolExecutor(len(ports)) as pool:
        return dict(zip(ports, pool.map(ask, ports.values()), strict=True))


def _of_process(entry: RunFile, view: ChildView | None, lag: int | None) -> RoleStatus:
    return RoleStatus(
        name=entry.name,
        pid=entry.pid,
        up=True,
        ready=entry.ready,
        lag=lag,
        restarts=view.restarts if view else 0,
        started_ns=entry.started_ns,
        port=entry.port,
        detail=entry.detail,
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
