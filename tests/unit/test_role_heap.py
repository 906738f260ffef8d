"""What a role has when it becomes ready is left out of later garbage collections."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.metrics import RoleMetrics
from infra.registry import Presence, Registry
from infra.roles.heap import settle_heap
from infra.roles.role import Role
from infra.roles.worker_observer import WorkerObserver
from infra.settings import Settings
from infra.supervisor.step_mark import StepMark

MANY = 10_000


@pytest.fixture(autouse=True)
def _unsettled() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_comes_later_is_collected() -> None:
    settle_heap()
    settled = gc.get_freeze_count()
    later = [[number] for number in range(MANY)]
    settle_heap()
    assert settled > MANY
    # Frozen objects may have gone meanwhile, but none came.
    assert gc.get_freeze_count() <= settled
    assert len(later) == MANY


def test_a_role_settles_when_it_is_ready(tmp_path: Path) -> None:
    presence = Presence(Registry(tmp_path), "api")
    role = Role("api", Settings(data_dir=tmp_path), presence, CollectorRegistry())
    assert not gc.get_freeze_count()
    role.ready()
    assert gc.get_freeze_count() > MANY
    presence.withdraw()


def test_a_worker_settles_when_it_has_its_partitions(tmp_path: Path) -> None:
    presence, registry = Presence(Registry(tmp_path), "worker:box"), CollectorRegistry()
    mark = StepMark(tmp_path / "mark")
    observer = WorkerObserver(registry, "box", presence, RoleMetrics(registry, "worker:box"), mark)
    assert not gc.get_freeze_count()
    observer.owned(frozenset({0}))
    assert gc.get_freeze_count() > MANY
    presence.withdraw()
