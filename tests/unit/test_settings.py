"""Settings: one file under the environment, every fault at once, secrets kept in."""

import os
import stat
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from infra.masking import Masker, mask_url, secrets_of
from infra.settings import Settings
from infra.settings_file import ConfigurationError, load, write_private


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TWINSTREAM_"):
            monkeypatch.delenv(name)


def _file(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def _faults(path: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_given_is_the_embedded_default() -> None:
    settings = load()
    assert settings.kafka.embedded
    assert settings.timeseries.embedded
    assert settings.metadata.embedded
    assert settings.http.host == "127.0.0.1"
    assert settings.http.port == 8080
    assert settings.kafka.options().bootstrap_servers == "127.0.0.1:9092"


def test_an_empty_file_or_section_gets_the_defaults(tmp_path: Path) -> None:
    assert load(_file(tmp_path, "")) == Settings()
    assert load(_file(tmp_path, "kafka:\nhttp:\n  port: 1\n")).http.port == 1


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, "kafka:\n  partitions: 4\n  replication: 3\nhttp:\n  port: 1000\n")
    monkeypatch.setenv("TWINSTREAM_KAFKA__PARTITIONS", "16")
    monkeypatch.setenv("TWINSTREAM_HTTP__PORT", "2000")
    monkeypatch.setenv("TWINSTREAM_DATA_DIR", str(tmp_path))
    settings = load(path, {"http": {"port": 3000}})
    assert (settings.kafka.partitions, settings.kafka.replication) == (16, 3)
    assert settings.http.port == 3000
    assert settings.data_dir == tmp_path


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_CONFIG", str(_file(tmp_path, "kafka: {partitions: 3}")))
    assert load().kafka.partitions == 3


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_METADATA__URL", "")
    assert load().metadata.embedded


def test_all_faults_come_at_once_each_with_its_place_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(
        tmp_path,
        "kafka:\n  bootstrap_server: localhost:9092\n  partitions: many\nkafak: {}\nhttp:\n  port: 70000\n",
    )
    monkeypatch.setenv("TWINSTREAM_ENGINE__FLUSH_INTERVAL_S", "-1")
    monkeypatch.setenv("TWINSTREAM_MQQT__URL", "mqtt://h")
    faults = _faults(path)
    assert any(f"{path}:2: kafka.bootstrap_server: no such key (did you mean bootstrap_servers?)" in f for f in faults)
    assert any(f"{path}:3: kafka.partitions" in fault for fault in faults)
    assert any(f"{path}:4: kafak: no such key (did you mean kafka?)" in fault for fault in faults)
    assert any(f"{path}:6: http.port" in fault for fault in faults)
    assert any("environment: TWINSTREAM_ENGINE__FLUSH_INTERVAL_S" in fault for fault in faults)
    assert any("environment: TWINSTREAM_MQQT__URL: no section MQQT" in fault for fault in faults)
    assert len(faults) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka: [", "site.yaml:1: no YAML"),
        ("- a\n", "site.yaml:1: expected a mapping"),
        ("http:\n  port: 1\n  port: 2\n", "site.yaml:3: http.port: key given twice"),
        ("kafka: 5\n", "site.yaml:1: kafka: "),
        (
            'mqtt:\n  outbound:\n    - topic: a\n      payload:\n        set: [{on: "{value}"}]\n',
            'site.yaml:5: mqtt.outbound.0.payload.set.0.on: on is a boolean in YAML, not a text (quote it: "on")',
        ),
        ("amqp:\n  outbound:\n    - key: a\n      payload: {1: x}\n", "1 is a number in YAML, not a text"),
        ("off: {}\n", "site.yaml:1: off: off is a boolean in YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_clear_fault(tmp_path: Path, text: str, expected: str) -> None:
    faults = _faults(_file(tmp_path, text))
    assert len(faults) == 1
    assert expected in faults[0]


def test_a_missing_file_is_one_clear_fault(tmp_path: Path) -> None:
    assert "can't be read" in _faults(tmp_path / "absent.yaml")[0]


def test_faults_never_show_the_value(tmp_path: Path) -> None:
    path = _file(tmp_path, "kafka:\n  password: [hunter2]\nmetadata:\n  url: http://user:hunter2@host\n")
    faults = _faults(path)
    assert len(faults) == 2
    assert not any("hunter2" in fault for fault in faults)


def test_the_private_file_holds_secrets_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"password": "hunter2", "bootstrap_servers": "h:1"},
            "timeseries": {"url": "http://h:1", "token": "t0ken"},
            "http": {"allowed_hosts": ["a.example", "b.example"]},
        }
    )
    path = tmp_path / "run" / "config.yaml"
    path.parent.mkdir()
    path.write_text("left over, readable by all")
    path.chmod(0o644)
    write_private(settings, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text())["kafka"]["password"] == "hunter2"  # noqa: S105 - made up
    assert load(path) == settings
    assert "hunter2" not in repr(settings)
    assert "t0ken" not in repr(settings)


def test_secrets_are_masked_wherever_they_stand() -> None:
    settings = Settings.model_validate(
        {
            "kafka": {"password": "hunter2"},
            "timeseries": {"url": "http://me:s3cr%40t@h:1", "token": "t0ken"},
        }
    )
    secrets = secrets_of(settings)
    assert secrets >= {"hunter2", "s3cr%40t", "t0ken"}
    masker = Masker(secrets)
    line = masker.value({"event": "sent t0ken", "error": ValueError("hunter2 refused"), "n": 5, "password": "x"})
    assert line == {"event": "sent ***", "error": "*** refused", "n": 5, "password": "***"}
    assert masker.value({"token": SecretStr("abc")}) == {"token": "***"}


def test_a_password_that_is_the_user_name_blanks_no_word_elsewhere() -> None:
    settings = Settings.model_validate({"amqp": {"url": "amqp://incubator:incubator@127.0.0.1/"}})
    masker = Masker(secrets_of(settings))
    text = "worker:incubator waits for amqp://incubator:incubator@127.0.0.1/"
    assert masker.text(text) == "worker:incubator waits for amqp://incubator:***@127.0.0.1/"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://user:pa%2Fss@host:1883", "mqtt://user:***@host:1883"),
        ("amqps://:pw@host", "amqps://:***@host"),
        ("can't reach mongodb+srv://u:p@h/db, again", "can't reach mongodb+srv://u:***@h/db, again"),
        ("http://host:80/a:b@c", "http://host:80/a:b@c"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_a_public_url_with_a_path_is_a_fault_that_says_what_to_do(tmp_path: Path) -> None:
    (fault,) = _faults(_file(tmp_path, "http:\n  public_url: https://example.org/twins\n"))
    assert "site.yaml:2" in fault
    assert "no path: give twinstream a host name, or a port, of its own" in fault


def test_a_public_url_is_kept_as_browsers_write_it(tmp_path: Path) -> None:
    settings = load(_file(tmp_path, "http:\n  public_url: https://Twins.Example.org:443/\n"))
    assert settings.http.public_url == "https://twins.example.org"
    write_private(settings, tmp_path / "c.yaml")
    assert load(tmp_path / "c.yaml") == settings
