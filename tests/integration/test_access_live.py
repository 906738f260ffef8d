"""An instance that lets nobody in without a token: commands, tokens, streams and restarts, as users see them."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.instance import ROOT, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    data_dir = tmp_path_factory.mktemp("access")
    with Instance(data_dir, environment={"TWINSTREAM_AUTH__REQUIRED": "true"}) as running:
        running.run("deploy", str(ROOT / "tests" / "types" / "tally"))
        for twin in ("a", "b"):
            running.run("twins", "create", "tally", twin)
        yield running


def made(instance: Instance, *arguments: str) -> tuple[dict[str, str], str]:
    """Headers that show a new token, and its id."""
    told = json.loads(instance.run("token", "create", "test", *arguments, "--json"))
    return {"authorization": f"Bearer {told['token']}"}, told["id"]


def get(instance: Instance, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.get(instance.api + path, headers=headers, timeout=10)


def test_outsiders_get_nothing_and_the_owner_of_the_data_directory_everything(instance: Instance) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/api/twins", "/api/stream", "/api/audit"):
        assert get(instance, path).status_code == 401, path
    secret = instance.data_dir / "run" / "api-token"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "tally" in instance.run("twins", "list")
    assert secret.read_text() not in "".join(
        path.read_text(errors="replace") for path in (instance.data_dir / "logs").iterdir()
    )


def test_a_command_elsewhere_shows_the_token_of_its_environment(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    headers, _ = made(instance, "--scope", "read")
    arguments = ("twins", "list", "--url", instance.api)
    elsewhere = Instance(tmp_path)
    assert "TWINSTREAM_TOKEN" in str(_fails(elsewhere, *arguments))
    monkeypatch.setenv("TWINSTREAM_TOKEN", headers["authorization"].removeprefix("Bearer "))
    assert "tally" in Instance(tmp_path).run(*arguments)


def _fails(instance: Instance, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(instance.run(*arguments, "--json", expect=1))
    return found


def test_limits_hold_for_lists_and_streams(instance: Instance) -> None:
    headers, _ = made(instance, "--scope", "read", "--twin", "tally/b")
    items = get(instance, "/api/twins", headers).json()["items"]
    assert [item["id"] for item in items] == ["b"]
    with httpx.stream("GET", f"{instance.api}/api/stream", headers=headers, timeout=10) as answer:
        lines = answer.iter_lines()
        next(lines)
        for twin in ("a", "b"):
            instance.run("twins", "set", "tally", twin, "--tag", "room=x")
        state = next(line for line in lines if line.startswith("data: "))
    assert json.loads(state.removeprefix("data: "))["id"] == "b"


def test_a_revoked_token_is_good_for_nothing_when_the_command_returns(instance: Instance) -> None:
    headers, token_id = made(instance, "--scope", "read", "--expires", "1h")
    ended: list[float] = []

    def follow() -> None:
        with httpx.stream("GET", f"{instance.api}/api/stream", headers=headers, timeout=30) as answer:
            opened.set()
            for _ in answer.iter_lines():
                pass
        ended.append(time.monotonic())

    opened = threading.Event()
    following = threading.Thread(target=follow)
    following.start()
    assert opened.wait(10)
    assert get(instance, "/api/types", headers).status_code == 200
    instance.run("token", "revoke", token_id)
    revoked_s = time.monotonic()
    assert get(instance, "/api/types", headers).status_code == 401
    following.join(10)
    assert ended[0] - revoked_s < 3
    listed = json.loads(instance.run("token", "list", "--json"))["items"]
    assert [item["good"] for item in listed if item["id"] == token_id] == [False]


def test_tokens_and_the_audit_trail_outlive_the_api(instance: Instance) -> None:
    good, good_id = made(instance, "--scope", "request", "--scope", "read")
    gone, gone_id = made(instance, "--scope", "read")
    instance.run("token", "revoke", gone_id)
    changed = httpx.put(f"{instance.api}/api/twins/tally/a", json={"tags": {"room": "attic"}}, headers=good, timeout=10)
    assert changed.status_code == 200
    local = (instance.data_dir / "run" / "api-token").read_text()
    (api,) = [role for role in json.loads(instance.run("status", "--json"))["items"] if role["name"] == "api"]
    os.kill(api["pid"], signal.SIGKILL)

    def answers() -> int | None:
        try:
            status = get(instance, "/api/types", good).status_code
        except httpx.HTTPError:
            return None
        return status if status != 503 else None

    assert eventually(answers, "the API is back") == 200
    assert get(instance, "/api/types", gone).status_code == 401
    assert get(instance, "/api/types", {"authorization": f"Bearer {local}"}).status_code == 401
    told = json.loads(instance.run("audit", "--json"))["items"]
    assert [(item["who"], item["result"], item["content"]) for item in told if item["credential"] == good_id] == [
        ("test", "done", '{"tags":{"room":"attic"}}')
    ]
    assert {"deploy", "POST /api/tokens", "DELETE /api/tokens/{token}"} <= {item["action"] for item in told}
    assert {item["via"] for item in told if item["action"] == "POST /api/tokens"} == {"local"}
