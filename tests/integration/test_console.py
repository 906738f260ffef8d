"""The console as an operator sees it: a real instance with simulated incubators, and a real browser."""

import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from servers.availability import unavailable
from support.browsing import DESK, PHONE, Theme, Viewer, browser, find_chromium
from support.instance import Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(240)]

TWIN = "/twins/incubator/incubator-1"
PAGES = {
    "fleet": "/",
    "twin": TWIN,
    "types": "/types",
    "type": "/types/incubator",
    "deadletters": "/deadletters",
    "system": "/system",
    "try": "/try",
}
LOOKS: list[tuple[Theme, tuple[int, int]]] = [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running demo whose twins have some history."""
    with Instance(tmp_path_factory.mktemp("console"), "demo", "--speed", "10") as running:

        def has_history() -> Any:
            answer = httpx.get(running.api + "/api" + TWIN + "/series?field=T_heater&limit=100", timeout=10)
            return answer.status_code == 200 and len(answer.json()["value"]) >= 30

        eventually(has_history, "history of a twin", 60)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if find_chromium() is None:
        unavailable("Chromium", "the system package chromium is not installed")
    with browser() as running:
        yield running


Open = Callable[..., Viewer]


@pytest.fixture
def view(chromium: Browser, instance: Instance) -> Iterator[Open]:
    """Opens windows, and closes them."""
    viewers: list[Viewer] = []

    def open_viewer(theme: Theme = "light", size: tuple[int, int] = DESK) -> Viewer:
        viewers.append(Viewer(chromium, instance.api, theme=theme, size=size))
        return viewers[-1]

    yield open_viewer
    for viewer in viewers:
        viewer.close()


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=["light", "dark", "phone", "dark-phone"])
def test_every_page_is_accessible_and_fits_its_window(view: Open, theme: Theme, size: tuple[int, int]) -> None:
    viewer = view(theme, size)
    for name, path in PAGES.items():
        page = viewer.open(path)
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_timeout(1500)
        assert viewer.serious() == [], name
        assert viewer.sideways() <= 0, name
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        viewer.shot(name)


@pytest.mark.parametrize("wide", [1440, 1280, 1024, 768])
def test_tables_wrap_what_they_show_and_cut_nothing(view: Open, wide: int) -> None:
    viewer = view(size=(wide, 900))
    page = viewer.open("/")
    expect(page.get_by_role("row")).not_to_have_count(0)
    shown = page.locator(".ts-reading, .ts-table-box")
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
    assert shown.evaluate_all(cut) == []
    viewer.shot(f"fleet-{wide}")
    page = viewer.open(TWIN)
    for card in ("Events", "Commands"):
        expect(page.get_by_role("region", name=card).get_by_role("row").nth(1)).to_be_visible()
    assert shown.evaluate_all(cut) == []
    viewer.shot(f"twin-{wide}")


def test_the_fleet_is_searched_and_leads_to_a_living_twin(view: Open) -> None:
    viewer = view()
    page = viewer.open("/")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_label("Search twin or tag").fill("bator-2")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Search twin or tag").fill("none such")
    expect(page.get_by_text("No twin fits.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("0 that fit"))).to_be_visible()
    page.get_by_label("Search twin or tag").fill("")
    page.get_by_role("button", name=re.compile("quarantined")).click()
    expect(page.get_by_text("No twin fits.")).to_be_visible()
    page.get_by_role("button", name=re.compile("all twins")).click()
    page.get_by_role("link", name="incubator-1", exact=True).click()
    page.wait_for_url(f"**{TWIN}")
    revision = page.get_by_role("row", name=re.compile("^records filtered")).locator("td").first
    before = revision.inner_text()
    expect(revision).not_to_have_text(before)
    expect(
        page.get_by_role("row", name=re.compile("heater")).filter(has_text=re.compile("sent|acked")).first
    ).to_be_visible()


def test_the_set_point_is_requested_and_a_wrong_parameter_is_refused_with_its_bounds(view: Open) -> None:
    page = view().open(TWIN)
    request = page.get_by_role("group", name="Request temperature desired")
    request.get_by_role("textbox").fill("41")
    request.get_by_role("button").click()
    expect(request.get_by_role("status")).to_have_text(re.compile("accepted"))
    expect(page.get_by_role("row", name=re.compile("^setpoint"))).to_contain_text("41")
    parameters = page.get_by_role("region", name="Parameters")
    expect(parameters.get_by_label("temperature desired")).to_have_value("41")
    parameters.get_by_label("temperature desired").fill("38")
    parameters.get_by_role("button", name="Apply 1 change").click()
    expect(parameters.get_by_role("status")).to_have_text("temperature desired: applied")
    expect(request.get_by_role("textbox")).to_have_value("38")
    parameters.get_by_label("noise").fill("-1")
    parameters.get_by_role("button", name="Apply 1 change").click()
    expect(parameters.get_by_role("status")).to_have_text("noise: -1 is not permitted; it must be > 0")
    parameters.get_by_label("noise").fill("0.002")
    parameters.get_by_role("button", name="Apply 1 change").click()
    expect(parameters.get_by_role("status")).to_have_text(re.compile("noise: applied"))


def test_a_payload_that_can_t_be_used_is_found_among_the_dead_letters_looked_at_and_removed(view: Open) -> None:
    viewer = view()
    page = viewer.open("/try?type=incubator&id=by-hand")
    send = page.get_by_role("region", name="Send", exact=True)
    send.get_by_role("button", name="Send these values").click()
    expect(send.get_by_role("status").first).to_have_text(re.compile("stepped: partition"))
    expect(page.get_by_role("region", name="Twin").get_by_role("link", name="by-hand")).to_be_visible()
    send.get_by_text("Send a payload of your own").click()
    send.get_by_label("Payload", exact=True).fill('{"t1": "warm"}')
    send.get_by_role("button", name="Send this payload").click()
    expect(send.get_by_role("status").last).to_have_text(re.compile("dead letter"))
    viewer.shot("try-sent")
    page.get_by_role("link", name="Dead letters").click()
    expect(page.get_by_role("row")).to_have_count(2)
    viewer.shot("deadletters-some")
    page.get_by_role("button", name=re.compile("^Look")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Payload")).to_contain_text('"t1": "warm"')
    viewer.shot("deadletter")
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("checkbox", name=re.compile("^Select letter")).check()
    page.get_by_role("button", name="Send again 1 selected").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("1 sent again"))
    page.get_by_role("button", name="Remove all that fit").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("No dead letters: every record could be used.")).to_be_visible()


def test_a_recording_becomes_telemetry_of_a_twin_and_its_history_a_file(view: Open, tmp_path: Path) -> None:
    recording = tmp_path / "box.csv"
    rows = "".join(f"{1_700_000_000 + 3 * at}000000000,21.5,21.5,20,false,true\n" for at in range(400))
    recording.write_text(f"time,t1,t2,t3,heater_on,fan_on\n{rows}")
    viewer = view()
    page = viewer.open("/try?type=incubator&id=recorded")
    card = page.get_by_role("region", name="Recording")
    card.locator("input[type=file][accept*=csv]").set_input_files(recording)
    expect(card.get_by_role("status")).to_have_text("400 records sent to recorded")
    page.get_by_role("region", name="Twin").get_by_role("link", name="recorded").click()
    page.wait_for_url("**/twins/incubator/recorded")
    page.get_by_role("button", name="All").click()
    page.wait_for_timeout(3000)
    viewer.shot("recorded")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("time,average_temperature,T_air,T_heater")
    assert len(lines) == 401


def test_a_type_is_deployed_by_its_folder_and_every_fault_of_a_wrong_one_is_shown(view: Open, tmp_path: Path) -> None:
    folder = tmp_path / "boiler"
    folder.mkdir()
    wrong = "name: boiler\nversion: 1.0\ninputs:\n  t: {unit: degX}\noutputs:\n  timeseries: {fields: [u]}\n"
    (folder / "twin.yaml").write_text(wrong)
    viewer = view()
    page = viewer.open("/types")
    deploy = page.get_by_role("region", name="Deploy")
    deploy.locator("input[webkitdirectory]").set_input_files(folder)
    expect(deploy.get_by_role("status")).to_have_text(re.compile("problems: nothing was deployed"), timeout=60_000)
    expect(deploy.get_by_role("row", name=re.compile("degX"))).to_contain_text("twin.yaml:4")
    viewer.shot("deploy-refused")
    packed = tmp_path / "boiler.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        sound = "name: boiler\nversion: 1.0.0\ninputs:\n  t: {unit: degC}\noutputs:\n  timeseries: {fields: [t]}\n"
        archive.writestr("boiler/twin.yaml", sound)
    deploy.locator("input[accept='.zip']").set_input_files(packed)
    expect(deploy.get_by_role("status")).to_have_text(re.compile("boiler 1.0.0 is in force"), timeout=90_000)
    page.get_by_role("link", name="boiler").click()
    page.wait_for_url("**/types/boiler")
    expect(page.get_by_role("region", name="Versions").get_by_role("row", name=re.compile("in force"))).to_be_visible()
    expect(page.get_by_role("img", name="Pipeline of boiler")).to_be_visible()


def test_the_system_page_shows_roles_topics_and_logs_as_they_go(view: Open) -> None:
    page = view().open("/system")
    roles = page.get_by_role("region", name="Roles")
    expect(roles.get_by_role("row", name=re.compile("sink:timeseries"))).to_contain_text("ready")
    telemetry = page.get_by_role("region", name="Topics").get_by_role("row", name=re.compile("incubator.telemetry"))
    expect(telemetry).to_contain_text(re.compile(r"[1-9][\d.]*\s*records/s"))
    expect(page.get_by_role("region", name=re.compile("Loss account")).get_by_role("row")).not_to_have_count(0)
    logs = page.get_by_role("region", name="Logs")
    expect(logs.get_by_role("row", name=re.compile("ready")).first).to_be_visible()
    logs.get_by_label("Search in what happened").fill("version switched")
    expect(logs.get_by_role("row").nth(1)).to_contain_text("version switched")


def test_colours_follow_the_system_until_they_are_chosen_and_the_choice_is_remembered(view: Open) -> None:
    viewer = view("dark")
    page = viewer.open("/")

    def theme(shown: Page) -> Any:
        return shown.evaluate("document.documentElement.dataset.theme")

    assert theme(page) == "dark"
    page.get_by_role("button", name="Light or dark colours").click()
    assert theme(page) == "light"
    viewer.open(TWIN)
    assert theme(page) == "light"


def test_a_keyboard_reaches_the_content_and_sees_where_it_is(view: Open) -> None:
    page = view().open("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    outline = skip.evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "incubator-1":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{TWIN}")


def test_events_from_before_a_start_of_the_api_are_listed_and_marked(view: Open, instance: Instance) -> None:
    asked = httpx.post(f"{instance.api}/api{TWIN}/requests/temperature_desired", json={"temperature_desired": 39})
    assert asked.status_code == 202

    def applied() -> Any:
        return instance.get("/api" + TWIN)["parameters"]["temperature_desired"] == 39

    eventually(applied, "the request")
    (api,) = [role for role in instance.get("/api/status")["items"] if role["name"] == "api"]
    os.kill(api["pid"], signal.SIGKILL)

    def is_back() -> bool:
        try:
            return httpx.get(f"{instance.api}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    eventually(is_back, "the API is back")
    page = view().open(TWIN)
    happened = page.get_by_role("region", name="Events").get_by_role("row", name=re.compile("request accepted"))
    expect(happened.first).to_be_visible()
    drawn = "getElement(Number(document.querySelector('.ts-curves').id.slice(1))).lines(0).length"
    page.wait_for_function(f"{drawn} > 0")


def test_a_twin_that_is_not_there_is_told_so(view: Open, instance: Instance) -> None:
    assert httpx.get(instance.api + "/twins/incubator/nobody").status_code == 404
    viewer = view()
    page = viewer.open("/twins/incubator/nobody")
    expect(page.get_by_text("There is no twin nobody of type incubator.")).to_be_visible()
    viewer.faults.clear()  # the browser prints the 404
