"""An instance behind nginx that speaks HTTPS, as a browser elsewhere sees it, under a name of its own."""

import re
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from servers.availability import unavailable
from servers.nginx import HOST, Nginx, find_nginx
from support.browsing import Viewer, browser, find_chromium
from support.instance import Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(240)]

PUBLIC = f"https://{HOST}"
TWIN = "/twins/incubator/incubator-1"
REQUEST = f"/api{TWIN}/requests/temperature_desired"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    environment = {"TWINSTREAM_HTTP__PUBLIC_URL": PUBLIC, "TWINSTREAM_AUTH__REQUIRED": "true"}
    folder = tmp_path_factory.mktemp("public")
    with Instance(folder, "demo", "--speed", "10", environment=environment) as running:
        eventually(lambda: "incubator-1" in running.run("twins", "list"), "the first record of a twin", 60)
        yield running


@pytest.fixture(scope="module")
def proxy(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    if find_nginx() is None:
        unavailable("nginx", "the system package nginx is not installed")
    with Nginx(tmp_path_factory.mktemp("nginx"), instance.api) as running:
        yield running


@pytest.fixture(scope="module")
def token(instance: Instance) -> str:
    return instance.run("token", "create", "panel", "--scope", "read", "--scope", "request").split()[-1]


@pytest.fixture
def viewer(proxy: Nginx) -> Iterator[Viewer]:
    if find_chromium() is None:
        unavailable("Chromium", "the system package chromium is not installed")
    address = proxy.url.removeprefix("https://")
    with browser(f"--host-resolver-rules=MAP {HOST}:443 {address}") as running:
        opened = Viewer(running, PUBLIC)
        yield opened
        opened.close()


@pytest.fixture
def client(proxy: Nginx, token: str) -> Iterator[httpx.Client]:
    """A program that trusts the proxy's certificate and shows a token."""
    trusted = ssl.create_default_context(cafile=proxy.ca_file)
    headers = {"host": HOST, "authorization": f"Bearer {token}"}
    with httpx.Client(base_url=proxy.url, verify=trusted, headers=headers, timeout=20) as running:
        yield running


def test_a_browser_logs_in_through_the_proxy_and_its_set_point_reaches_the_twin(viewer: Viewer, token: str) -> None:
    page = viewer.page
    answer = page.goto(PUBLIC + TWIN)
    assert answer is not None
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    expect(page).to_have_url(re.compile(r"^https://twins\.example\.org/login\?next="))
    page.get_by_role("textbox").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(PUBLIC + TWIN)
    page.wait_for_function("window.did_handshake === true")
    (cookie,) = viewer.context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    request = page.get_by_role("group", name="Request temperature desired")
    request.get_by_role("textbox").fill("41")
    request.get_by_role("button").click()
    expect(request.get_by_role("status")).to_have_text(re.compile("accepted"), timeout=15_000)
    expect(page.get_by_role("row", name=re.compile("^setpoint"))).to_contain_text("41")
    assert _written(page, "PUT", f"/api{TWIN}", {"tags": {"room": "attic"}}) == 200
    assert _written(page, "POST", REQUEST, {"temperature_desired": 42}) == 202
    expect(page.get_by_role("row", name=re.compile("^setpoint"))).to_contain_text("42")
    elsewhere = viewer.context.new_page()
    elsewhere.goto(f"{PUBLIC}/types")
    assert elsewhere.evaluate("async () => (await fetch('/api/session', {method: 'DELETE'})).status") == 204
    page.wait_for_url(f"{PUBLIC}/login?**", timeout=10_000)
    viewer.faults.clear()  # the browser prints that the socket was closed and the session is over


def _written(page: Page, method: str, path: str, body: Any) -> int:
    """Status of a write that a script of the page makes, with the page's origin and cookie."""
    script = """async ([method, path, body]) => {
        const headers = {"content-type": "application/json"};
        return (await fetch(path, {method, headers, body: JSON.stringify(body)})).status;
    }"""
    status: int = page.evaluate(script, [method, path, body])
    return status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"origin": PUBLIC}, 202),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": f"{PUBLIC}:8443"}, 403),
        ({"origin": f"http://{HOST}"}, 403),
        ({"host": "evil.example"}, 400),
        ({"host": "evil.example", "origin": "https://evil.example"}, 400),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
    ],
)
def test_the_proxy_opens_nothing_to_pages_of_others(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    given = {"content-type": "application/json"} | headers
    assert client.post(REQUEST, content='{"temperature_desired": 35}', headers=given).status_code == status
    if status == 400:
        assert client.get("/api/twins", headers=headers).status_code == 400


def test_events_come_through_the_proxy_as_they_happen(client: httpx.Client) -> None:
    with client.stream("GET", f"/api/stream?type=incubator&id={TWIN.rpartition('/')[2]}") as stream:
        lines = stream.iter_lines()
        client_id = client.post(REQUEST, json={"temperature_desired": 36}).json()["id"]
        assert any(client_id in line for line in lines if line.startswith("data:"))


def test_the_document_sends_programs_to_the_proxy(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json()["servers"] == [{"url": PUBLIC}]
