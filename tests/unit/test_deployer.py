"""What a deployment replaces, and what it leaves alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from infra.deployment import deployer
from infra.settings import Settings
from schemas.bundle import bundle_of
from schemas.deployment import Deployment
from schemas.errors import SetupError

_TEXT = b"name: pump\nversion: %b\ninputs: {t: {}}\n"
OLD, NEW = (bundle_of({"twin.yaml": _TEXT % version}) for version in (b"1.0.0", b"1.1.0"))


def _in_force(monkeypatch: pytest.MonkeyPatch, who: str, *before: str) -> None:
    deployed = Deployment(type="pump", project="main", version="1.0.0", hash=OLD.hash, chunks=1, time_ns=7, who=who)

    @asynccontextmanager
    async def catalogue(_: Settings) -> AsyncIterator[SimpleNamespace]:
        history = [SimpleNamespace(who=name) for name in (*before, who)]
        yield SimpleNamespace(get=lambda _: SimpleNamespace(deployment=deployed), history=lambda _: history)

    async def under(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(deployer, "_catalogue", catalogue)
    monkeypatch.setattr(deployer, "_under", under)


async def test_the_demo_replaces_no_type_that_somebody_else_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    _in_force(monkeypatch, "ada")
    with pytest.raises(SetupError, match=r"^pump 1\.0\.0 was put into force by ada, and demo does not replace it: "):
        await deployer.deploy(Settings(), NEW, who="demo", own_only=True)
    assert (await deployer.deploy(Settings(), OLD, who="demo", own_only=True)).who == "ada"
    with pytest.raises(InterruptedError):  # it would go on
        await deployer.deploy(Settings(), NEW, who="eve")


async def test_the_demo_replaces_what_an_earlier_demo_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    _in_force(monkeypatch, "demo")
    with pytest.raises(InterruptedError):
        await deployer.deploy(Settings(), NEW, who="demo", own_only=True)


async def test_the_demo_goes_on_with_what_somebody_made_of_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    _in_force(monkeypatch, "ada", "demo")
    found = await deployer.deploy(Settings(), NEW, who="demo", own_only=True)
    assert (found.version, found.who) == ("1.0.0", "ada")
