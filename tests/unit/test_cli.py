"""The command line: exit codes, JSON, and errors that say what to do."""

import base64
import json
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli.app import app
from infra.cli.log import settings_with_log
from infra.cli.running import BROKERS
from infra.registry import Presence, Registry
from infra.roles.bridge import CONNECTORS
from infra.settings import KafkaSettings, Settings

RAW = b'{"t1": \x1b[31m}'
LETTERS: list[dict[str, Any]] = [
    {
        "id": f"{n:032x}",
        "reason": "undecodable",
        "detail": "no JSON",
        "source": "mqtt:twins/tank/a/telemetry",
        "type": "tank",
        "twin": "a",
        "received_ns": n,
        "size": len(RAW),
        "raw_base64": base64.b64encode(RAW).decode(),
    }
    for n in (2, 1)
]
TWIN = {"type": "tank", "id": "a", "version": "1.0.0", "revision": 3, "event_time_ns": 1, "status": "ok"} | {
    "inputs": {"level": 1.5},
    "state": {},
    "outputs": {"full": False, "filled": 1.5},
    "parameters": {"limit": 2.0},
    "tags": {},
}
DEFINITION: dict[str, Any] = {
    "inputs": {"level": {"unit": "m**3"}},
    "parameters": {"limit": {"unit": "degC"}},
    "pipeline": [{"outputs": {"full": {"type": "bool", "unit": ""}, "filled": {"unit": "m**3"}}}],
}
AWAY = "127.0.0.1:1"
STATUS = {"next": None, "data_dir": "/srv/ts", "running": True, "ready": False, "url": "http://127.0.0.1:1"} | {
    "items": [
        {"name": "bridge:mqtt", "pid": None, "up": False, "ready": False, "lag": None, "restarts": 3}
        | {"started_ns": None, "port": None, "detail": "died"}
    ]
}
MISSING = {"type": "urn:twinstream:problem:unknown-twin", "title": "No such twin", "status": 404, "detail": "no b"}
SWITCH = {"type": "tank", "version": "1.0.0", "hash": "ab" * 32, "who": "ann"}
HISTORY = {
    "items": [SWITCH | {"time_ns": 10**18 + at, "from": {"0": at}} for at in (0, 2 * 10**9)],
    "next": None,
    "undeployed": [SWITCH | {"time_ns": 10**18 + 10**9, "who": "bob"}],
}
UNKNOWN = {"title": "No such type", "status": 404, "detail": "no type nobody"}
INVALID = {"title": "Some values are not permitted", "status": 422, "detail": "two faults"} | {
    "errors": [{"pointer": "#/parameters/x", "detail": "unknown"}, {"pointer": "#/parameters/y", "detail": "too large"}]
}
SENT = {"id": "0a", "type": "tank", "twin": "a", "partition": 0, "offset": 7}
ROW = {
    "source": "mqtt",
    "type": "tank",
    "expected": 1_000_000,
    "received": 1_000_001,
    "duplicate": 2,
    "late": 0,
    "deadlettered": 3,
    "missing": 1,
}
HOLES = {"type": "tank", "id": "a", "source": "mqtt", "missing": 4, "ranges": [[7, 7], [9, 11]]}
UNABLE = {"id": "0b", "type": "tank", "twin": "b", "why": "its payload was cut"}
STREAM = b"".join(b"event: %b\ndata: {}\n\n" % name for name in (b"state", b"command", b"state", b"event"))


class FakeApi(BaseHTTPRequestHandler):
    """Answers as the API does, and keeps what it was sent."""

    sent: list[tuple[str, str, Any]]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/api/stream" and "nobody" in query:
            self._answer(404, UNKNOWN)
            return
        if path == "/api/stream":
            self._send("text/event-stream", STREAM)
            return
        answers: dict[str, tuple[int, Any]] = {
            "/api/types": (
                200,
                {
                    "items": [
                        {"type": "tank", "version": "1.0.0", "twins": 1, "hash": "ab" * 32, "description": "A tank\n"}
                    ],
                    "next": None,
                },
            ),
            "/api/types/tank": (200, {"definition": DEFINITION}),
            "/api/deployments": (200, HISTORY),
            "/api/twins/tank/a": (200, TWIN),
            "/api/twins/tank/b": (404, MISSING),
            "/api/status": (200, STATUS),
            "/api/instance": (200, {"version": "0.1.0", "kafka": {"bootstrap_servers": AWAY, "tls": False}}),
        }
        if path == "/api/twins":
            first = "after=" not in query
            answers[path] = (
                200,
                {"items": [TWIN | {"id": "a" if first else "z"}], "next": "tank/a" if first else None},
            )
        if path == "/api/account":
            answers[path] = (200, {"items": [ROW]})
        if path == "/api/account/twins":
            answers[path] = (200, {"items": [HOLES]})
        if path == "/api/deadletters":
            answers[path] = (200, {"items": LETTERS, "next": None})
        self._answer(*answers.get(path, (404, {"title": "No such resource", "detail": path})))

    def do_PUT(self) -> None:
        body = self._body()
        self._answer(*((422, INVALID) if "x" in body["parameters"] else (200, TWIN)))

    def do_POST(self) -> None:
        self._body()
        if "nobody" in self.path:
            self._answer(404, UNKNOWN)
            return
        if self.path == "/api/deadletters/redrive":
            first = not self.sent[-1][2]["after"]
            self._answer(
                200,
                {
                    "items": [SENT],
                    "unable": [] if first else [UNABLE],
                    "refused_again": 3,
                    "next": "1-0-0" if first else None,
                },
            )
            return
        if self.path == "/api/deadletters/purge":
            self._answer(200, {"items": ["0a"] if len(self.sent) == 1 else []})
            return
        self._answer(202, {"id": "1" * 32, "partition": 0, "offset": 7})

    def _body(self) -> Any:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.sent.append((self.command, self.path, body))
        return body

    def _answer(self, status: int, body: object) -> None:
        self._send("application/json", json.dumps(body).encode(), status)

    def _send(self, media_type: str, raw: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Shell:
    """Runs `twinstream` against the fake API."""

    def __init__(self, url: str, sent: list[tuple[str, str, Any]]) -> None:
        self.url = url
        self.sent = sent

    def __call__(self, *words: str, code: int = 0, url: bool = True) -> Result:
        result = CliRunner().invoke(app, [*words, *(["--url", self.url] if url else [])])
        assert result.exit_code == code, result.output
        return result


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    sent: list[tuple[str, str, Any]] = []
    handler = type("Handler", (FakeApi,), {"sent": sent})
    monkeypatch.setattr("sys.argv", ["twinstream"])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Shell(f"http://127.0.0.1:{server.server_port}", sent)
        server.shutdown()


def test_wrong_use_is_exit_code_2(shell: Shell) -> None:
    shell("bogus", code=2, url=False)
    shell("up", "--http-port", "70000", code=2, url=False)
    shell("demo", "--speed", "0", code=2, url=False)
    shell("bridge", "carrier-pigeon", code=2, url=False)
    shell("twins", "set", "tank", "a", code=2)
    shell("twins", "set", "tank", "a", "limit", code=2)
    shell("twins", "set", "tank", "a", "--tag", "room", code=2)
    shell("twins", "create", "tank", "b", "--tag", "room", code=2)
    assert shell.sent == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_an_option_that_is_no_finite_number_is_wrong_use(shell: Shell, value: str) -> None:
    shell("demo", "--speed", value, code=2, url=False)
    shell("demo", "--duration", value, code=2, url=False)
    shell("request", "tank", "a", "fill", "--wait", value, code=2)


def test_a_type_is_not_tailed_from_its_start_nor_a_topic_with_state(shell: Shell) -> None:
    assert "twinstream.tank.events" in shell("tail", "tank", "--from-start", code=2).stderr
    shell("tail", "twinstream.tank.events", "--state", code=2)


def test_an_unknown_reason_of_dead_letters_is_refused_with_the_known_ones(shell: Shell) -> None:
    refused = shell("deadletters", "list", "--reason", "foo", code=2).stderr
    assert "undecodable" in refused
    assert "broker_refused" in refused
    shell("deadletters", "list", "--reason", "undecodable")


def test_wrong_use_is_an_object_with_json(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["twinstream", "--json"])
    for words in (["bogus"], ["demo", "--speed", "0"], ["bridge", "pigeon"], ["twins", "set", "tank"]):
        result = shell(*words, "--json", code=2, url=False)
        assert json.loads(result.stdout)["error"]
        assert result.stderr == ""
    shell("types", "--json")


def test_the_version_is_the_projects(shell: Shell) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert shell("--version", url=False).stdout == f"twinstream {project['version']}\n"


def test_the_process_of_a_type_ends_with_its_last_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own end, with compilers to take apart, took seconds of the time that a stop has."""
    monkeypatch.setattr("infra.roles.type_process.run_type", lambda *_, **__: 7)
    codes: list[int] = []
    # The real one ends whatever this process has started, such as the servers of other tests.
    monkeypatch.setattr("infra.supervisor.lifeline.leave", codes.append)
    CliRunner().invoke(app, ["type-worker", "--type", "pump"])
    assert codes == [7]


def test_an_example_that_is_not_there_is_refused_with_those_that_are(shell: Shell) -> None:
    refused = " ".join(shell("demo", "--example", "windmill", code=2, url=False).stderr.replace("│", "").split())
    assert "no example windmill: there are incubator, pump, tanks, vibration" in refused


def test_help_shows_defaults_and_choices(shell: Shell) -> None:
    text = " ".join(shell("demo", "--help", url=False).stdout.split())
    assert "Data directory [default: .twinstream]." in text
    assert "Port of the API [default: 8080]; 0 = any free one." in text
    assert "mqtt|amqp" in shell("bridge", "--help", url=False).stdout
    assert list(CONNECTORS) == BROKERS


def test_a_type_is_tailed_without_its_state_unless_asked(shell: Shell) -> None:
    assert [line.split()[0] for line in shell("tail", "tank", "--limit", "2").stdout.splitlines()] == [
        "command",
        "event",
    ]
    assert shell("tail", "tank", "--state", "--limit", "1").stdout.split()[0] == "state"


def test_the_history_shows_undeployments_among_the_switches(shell: Shell) -> None:
    lines = shell("types", "--history").stdout.splitlines()[1:]
    assert [(line.split()[-2], line.split()[-1]) for line in lines] == [
        ("ann", "0:0"),
        ("bob", "undeployed"),
        ("ann", "0:2000000000"),
    ]
    assert json.loads(shell("types", "--history", "--json").stdout) == {"items": HISTORY["items"]}, "switches alone"


@pytest.mark.parametrize("words", [["request", "nobody", "a", "empty"], ["tail", "nobody"]])
def test_a_type_that_is_unknown_is_told_once_and_without_a_trace(shell: Shell, words: list[str]) -> None:
    raised: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", raised.append)
        said = shell(*words, code=1)
    assert said.stderr.splitlines() == ["twinstream: No such type: no type nobody"]
    assert raised == []


def test_a_folder_without_definition_is_told_before_anything_else(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.cli.definitions.examine_apart", None)
    assert f"no twin.yaml in {tmp_path}" in shell("deploy", str(tmp_path), code=1).stderr


def test_no_instance_is_exit_code_1_and_says_what_to_do(shell: Shell, tmp_path: Path) -> None:
    for command in (["types"], ["status"], ["twins", "list"], ["deadletters", "list"]):
        result = shell(*command, "--data-dir", str(tmp_path), code=1, url=False)
        assert "twinstream up" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_an_api_that_does_not_answer_is_one_line() -> None:
    result = CliRunner().invoke(app, ["types", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no answer from http://127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.output


def test_faults_of_the_configuration_are_listed_all_at_once(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("kafka: {partitions: none}\nhttp: {prot: 1}\n")
    result = shell("up", "-c", str(path), code=1, url=False)
    assert len(result.stderr.splitlines()) == 2
    assert "did you mean port?" in result.stderr
    result = shell("check", "-c", str(path), "--json", code=1, url=False)
    assert [problem["line"] for problem in json.loads(result.stdout)["problems"]] == [1, 2]


def test_errors_are_objects_with_json(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["twinstream", "status", "--json"])
    result = shell("status", "--json", "--data-dir", str(tmp_path), code=1, url=False)
    assert "nothing runs" in json.loads(result.stdout)["error"]


def test_types_are_a_table_or_the_apis_answer(shell: Shell) -> None:
    lines = shell("types").stdout.splitlines()
    assert lines[0].split() == ["TYPE", "VERSION", "TWINS", "HASH", "DESCRIPTION"]
    assert lines[1].split() == ["tank", "1.0.0", "1", "ab" * 6, "A", "tank"]
    assert json.loads(shell("types", "--json").stdout)["items"][0]["type"] == "tank"


def test_a_list_goes_through_every_page(shell: Shell) -> None:
    found = json.loads(shell("twins", "list", "--json").stdout)
    assert [item["id"] for item in found["items"]] == ["a", "z"]
    assert "full=no filled=1.5 m³" in shell("twins", "list").stdout


def test_values_of_a_twin_are_shown_with_their_units_to_people_and_as_they_are_to_machines(shell: Shell) -> None:
    lines = {tuple(line.split(maxsplit=1)) for line in shell("twins", "show", "tank", "a").stdout.splitlines()}
    assert {("level", "1.5 m³"), ("filled", "1.5 m³"), ("full", "no"), ("limit", "2 °C")} <= lines
    assert json.loads(shell("twins", "show", "tank", "a", "--json").stdout) == TWIN


def test_create_refuses_a_twin_that_is_there_and_set_one_that_is_not(shell: Shell) -> None:
    assert "is there already" in shell("twins", "create", "tank", "a", code=1).stderr
    assert "no twin b" in shell("twins", "set", "tank", "b", "limit=1", code=1).stderr
    shell("twins", "create", "tank", "b", "limit=3", 'name="5"', "mode=fast", "on=true", "--tag", "room=lab")
    shell("twins", "set", "tank", "a", "limit=2.5")
    assert shell.sent == [
        (
            "PUT",
            "/api/twins/tank/b",
            {"parameters": {"limit": 3, "name": "5", "mode": "fast", "on": True}, "tags": {"room": "lab"}},
        ),
        ("PUT", "/api/twins/tank/a", {"parameters": {"limit": 2.5}, "tags": {}}),
    ]


def test_every_refused_value_is_a_line(shell: Shell) -> None:
    result = shell("twins", "set", "tank", "a", "x=1", code=1)
    assert "#/parameters/x: unknown" in result.stderr
    assert "#/parameters/y: too large" in result.stderr


def test_a_request_is_sent_with_its_arguments(shell: Shell) -> None:
    result = shell("request", "tank", "a", "fill", "level=1.5", "--wait", "0", "--json")
    assert json.loads(result.stdout) == {"id": "1" * 32, "partition": 0, "offset": 7, "outcome": None, "reason": None}
    assert shell.sent == [("POST", "/api/twins/tank/a/requests/fill", {"level": 1.5})]


def test_a_request_goes_to_every_twin_of_a_status_and_to_no_other(shell: Shell) -> None:
    result = shell("request", "tank", "fill", "level=1.5", "--status", "ok", "--wait", "0")
    assert result.stdout == "2 twins ok: 0 accepted, 2 without outcome yet\n"
    assert shell.sent == [("POST", f"/api/twins/tank/{twin}/requests/fill", {"level": 1.5}) for twin in "az"]
    assert shell("request", "tank", "release", "--status", "quarantined").stdout == "no twin is quarantined\n"
    for words in (["fill"], ["a", "level=1"], ["level=1", "--status", "ok"], ["fill", "--status", "sad"]):
        shell("request", "tank", *words, code=2)


def test_a_dead_letter_is_shown_with_its_payload_and_obeys_no_terminal(shell: Shell) -> None:
    found = json.loads(shell("deadletters", "list", "--json").stdout)["items"]
    assert [letter["received_ns"] for letter in found] == [2, 1]
    text = shell("deadletters", "show", LETTERS[1]["id"]).stdout
    assert "\x1b" not in text
    assert r'{"t1": \x1b[31m}' in text
    assert "no dead letter zzz" in shell("deadletters", "show", "zzz", code=1).stderr


def test_dead_letters_are_sent_batch_by_batch_and_what_cannot_be_makes_the_exit_code(shell: Shell) -> None:
    chosen = ("--type", "tank", "--reason", "wrong_type", "--since", "2026-01-01T00:00:00Z")
    told = json.loads(shell("deadletters", "redrive", *chosen, "--json", code=1).stdout)
    assert told == {"items": [SENT, SENT], "unable": [UNABLE], "sent": 2, "refused_again": 3}
    wanted = {
        "type": "tank",
        "reason": "wrong_type",
        "since": "2026-01-01T00:00:00Z",
        "refused_again": False,
        "limit": 10_000,
    }
    assert [body for _, _, body in shell.sent] == [wanted | {"after": ""}, wanted | {"after": "1-0-0"}]
    text = shell("deadletters", "redrive", "--id", "0b", code=1).stdout
    assert "its payload was cut" in text
    assert "3 were sent before and refused again: --refused-again" in text


def test_all_dead_letters_at_once_are_neither_sent_nor_removed_by_mistake(shell: Shell) -> None:
    assert "--type" in shell("deadletters", "redrive", code=2).stderr
    assert "--type" in shell("deadletters", "purge", "--yes", code=2).stderr
    assert "--yes" in shell("deadletters", "purge", "--type", "tank", code=1).stderr
    assert shell.sent == []
    assert "1 removed" in shell("deadletters", "purge", "--type", "tank", "--before", "7", "-y").stdout
    assert shell.sent[0][2] == {"type": "tank", "until": "7"}


def test_status_of_an_instance_elsewhere_lists_every_role_like_one_nearby(shell: Shell) -> None:
    lines = shell("status").stdout.splitlines()
    assert lines[0].split() == ["ROLE", "PID", "STATE", "READY", "LAG", "RESTARTS", "DETAIL"]
    assert lines[1].split() == ["bridge:mqtt", "-", "DOWN", "no", "-", "3", "died"]
    assert json.loads(shell("status", "--json").stdout) == STATUS


def test_check_lists_every_problem_of_every_folder(shell: Shell, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twin.yaml").write_text("name: Bad\nversion: 1\ninputs: {}\n")
    result = shell("check", str(tmp_path), "--json", code=1, url=False)
    problems = json.loads(result.stdout)["problems"]
    assert len(problems) == 6
    assert {Path(problem["file"]).parent.name for problem in problems} == {"one", "two"}


def test_check_passes_over_what_is_written_beside_the_folders(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Examples: a *list*\n")
    found = json.loads(shell("check", str(tmp_path / "README.md"), "--json", url=False).stdout)
    assert (found["checked"], found["problems"]) == (["configuration"], [])


def test_deploy_refuses_what_does_not_check(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twin.yaml").write_text("name: bad\nversion: 1.0.0\ninputs: {t: {type: complex}}\n")
    monkeypatch.setattr("infra.cli.log.settings_with_log", lambda *_: Settings())
    result = shell("deploy", str(tmp_path), code=1)
    assert "twin.yaml:3" in result.stderr


def test_without_an_instance_no_kafka_is_guessed(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cli.log.configure", lambda *_, **__: None)
    monkeypatch.setattr("infra.cli.log._reach", None)
    (tmp_path / "twin.yaml").touch()
    for words in (["tail", "twinstream.logs"], ["deploy", str(tmp_path)], ["undeploy", "tank"]):
        refused = shell(*words, "--data-dir", str(tmp_path), code=1, url=False).stderr
        assert "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS" in refused
        assert len(refused.splitlines()) == 1


def test_kafka_is_the_one_that_the_environment_names_or_the_api_tells(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str | None] = []

    async def reach(kafka: KafkaSettings) -> None:
        reached.append(kafka.bootstrap_servers)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infra.cli.log.configure", lambda *_, **__: None)
    monkeypatch.setattr("infra.cli.log._reach", reach)
    settings_with_log(shell.url, None, None)
    Presence(Registry(tmp_path / ".twinstream"), "kafka").change(url="127.0.0.1:7")
    settings_with_log(shell.url, None, None)
    settings_with_log(None, None, None)
    settings_with_log(shell.url, tmp_path / ".twinstream", None)
    monkeypatch.setenv("TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    settings_with_log(shell.url, None, None)
    assert reached == [AWAY, AWAY, "127.0.0.1:7", "127.0.0.1:7", "127.0.0.1:9"]


@pytest.mark.slow
def test_a_kafka_that_does_not_answer_is_one_line_in_seconds(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "twin.yaml").touch()
    commands = [["tail", "twinstream.logs"], ["deploy", str(tmp_path)], ["undeploy", "tank"]]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "infra", *words, "--url", shell.url],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in commands
    ]
    for process in running:
        said, _ = process.communicate(timeout=40)
        assert process.returncode == 1
        assert said.splitlines() == [
            f"twinstream: Kafka at {AWAY} does not answer within 5 s: is it running, and is the address right?"
        ]


def test_the_account_is_a_table_or_json(shell: Shell) -> None:
    assert json.loads(shell("account", "--type", "tank", "--json").stdout) == {"items": [ROW]}
    head, line = shell("account").stdout.splitlines()
    assert head.split() == [name.upper() for name in ROW]
    assert line.split() == [str(value) for value in ROW.values()]
    assert json.loads(shell("account", "--twins", "--json").stdout) == {"items": [HOLES]}
    _, line = shell("account", "--twins").stdout.splitlines()
    assert line.split() == ["tank", "a", "mqtt", "4", "7,", "9-11"]
