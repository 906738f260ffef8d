"""Accounts of devices: what the command writes, and which names get one."""

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from infra.cli.app import app
from infra.device_access import Device, mosquitto_line, new_password, rabbitmq_definitions
from infra.roles import bridge
from infra.settings import Settings

ADD = ["device", "add", "incubator"]


@pytest.mark.parametrize(
    ("type_name", "twin"),
    [
        *(
            ("incubator", twin)
            for twin in ("#", "+", "a/b", "a.b", "a*", "", "a:b", "a\nb", "a b", "%u", "é", "a" * 65)
        ),
        *((name, "one") for name in ("+", "incubator/one", "#", "Incubator", "a.b", "", "x:y", "a-b-c")),
    ],
)
def test_a_name_that_could_widen_a_rule_gets_no_account(type_name: str, twin: str, tmp_path: Path) -> None:
    for broker in ("mosquitto", "rabbitmq"):
        file = tmp_path / broker
        command = ["device", "add", "--broker", broker, "--into", str(file), "--", type_name, twin]
        made = CliRunner().invoke(app, command)
        assert made.exit_code == 1
        assert not file.exists()


def test_a_line_verifies_as_mosquitto_does_it() -> None:
    user, _, rest = mosquitto_line(Device.of("plant-tank", "t-1"), "pässword").partition(":")
    _, kind, iterations, salt, digest = rest.split("$")
    assert (user, kind) == ("plant-tank/t-1", "7")
    wanted = hashlib.pbkdf2_hmac("sha512", "pässword".encode(), base64.b64decode(salt), int(iterations))
    assert base64.b64decode(digest) == wanted


def test_a_hash_verifies_as_rabbitmq_does_it() -> None:
    (user,) = rabbitmq_definitions(Device.of("tank", "t-1"), "pässword")["users"]
    raw = base64.b64decode(user["password_hash"])
    assert raw[4:] == hashlib.sha512(raw[:4] + "pässword".encode()).digest()
    assert user["tags"] == []


def test_a_file_keeps_what_it_says_of_others_and_its_mode(tmp_path: Path) -> None:
    lines, definitions = tmp_path / "passwords", tmp_path / "devices.json"
    lines.write_text("twinstream:$7$x\nincubator/two:$7$y\n")
    lines.chmod(0o640)
    for broker, file in (("mosquitto", lines), ("rabbitmq", definitions)):
        for twin in ("one", "two", "one"):
            made = CliRunner().invoke(app, [*ADD, twin, "--broker", broker, "--into", str(file)])
            assert made.exit_code == 0, made.output
    users = [line.partition(":")[0] for line in lines.read_text().splitlines()]
    assert sorted(users) == ["incubator/one", "incubator/two", "twinstream"]
    assert stat.S_IMODE(lines.stat().st_mode) == 0o640
    found = json.loads(definitions.read_text())
    assert [user["name"] for user in found["users"]] == ["incubator/two", "incubator/one"]
    assert {section: len(items) for section, items in found.items()} == {
        "users": 2,
        "permissions": 2,
        "topic_permissions": 2,
        "exchanges": 2,
        "queues": 2,
        "bindings": 2,
    }
    assert stat.S_IMODE(definitions.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["devices.json", "passwords"]


def test_the_password_is_shown_once_and_written_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    made = CliRunner().invoke(app, [*ADD, "one", "--broker", "mosquitto", "--into", str(file), "--json"])
    password = json.loads(made.stdout)["password"]
    assert len(password) == 32
    assert password not in file.read_text()
    assert new_password() != new_password()
    given = CliRunner().invoke(app, [*ADD, "one", "--broker", "mosquitto", "--password-stdin"], input="of mine\n")
    assert given.exit_code == 0
    assert "of mine" not in given.output


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    for content in ("no JSON", "[1]", '{"users": 1}'):
        (file := tmp_path / "devices.json").write_text(content)
        made = CliRunner().invoke(app, [*ADD, "one", "--broker", "rabbitmq", "--into", str(file)])
        assert made.exit_code == 1
        assert "can't be written" in made.output
        assert file.read_text() == content
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("section", "warned"),
    [
        ({"url": "mqtt://10.0.0.1"}, True),
        ({"url": "mqtt://plant.example"}, True),
        ({"url": "mqtt://u:p@10.0.0.1"}, False),
        ({"url": "mqtt://10.0.0.1", "username": "u"}, False),
        ({"url": "mqtt://127.0.0.1"}, False),
        ({"url": "mqtt://[::1]"}, False),
        ({"url": "mqtt://localhost"}, False),
        ({}, False),
    ],
)
def test_a_bridge_warns_of_a_broker_elsewhere_that_knows_no_accounts(section: dict[str, str], warned: bool) -> None:  # noqa: FBT001
    with capture_logs() as lines:
        bridge.body("mqtt", Settings.model_validate({"mqtt": section}))
    assert ["no account" in line["event"] for line in lines] == [True] * warned
