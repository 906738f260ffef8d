"""docker-compose.yml against the code: names, ports and variables that exist, and a start order that can work."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from infra.access.listening import check_listening
from infra.cli.app import app
from infra.embedded.jars import KAFKA_VERSION
from infra.settings import ENV_DELIMITER, ENV_PREFIX, Settings
from infra.settings_file import load

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "infra" / "deploy"
_SERVERS = {"kafka", "mosquitto", "rabbitmq", "influxdb", "mongo", "prometheus", "grafana"}
_ROLES = {
    "worker": {"kafka"},
    "bridge-mqtt": {"kafka", "mosquitto"},
    "bridge-amqp": {"kafka", "rabbitmq"},
    "sink-timeseries": {"kafka", "influxdb"},
    "sink-metadata": {"kafka", "mongo"},
    "api": {"kafka", "influxdb", "mongo"},
}
_PORTS = {
    "kafka": 29092,
    "mosquitto": 1884,
    "rabbitmq": 5672,
    "influxdb": 8086,
    "mongo": 27017,
    "prometheus": 9090,
    "grafana": 3000,
}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)[^}]*\}")

Service = dict[str, Any]


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return _read(_ROOT / "docker-compose.yml")


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def _secrets() -> dict[str, str]:
    lines = (_DEPLOY / "example.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _settings(service: Service, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the role in that service reads."""
    secrets = _secrets()
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, _VARIABLE.sub(lambda found: secrets[found[1]], value))
    return load()


def test_every_server_and_every_role_is_a_service(services: dict[str, Service]) -> None:
    assert set(services) == _SERVERS | set(_ROLES)


def test_every_image_is_pinned_by_version(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?", service["image"]), name
    bases = re.findall(r"^FROM (\S+)", (_DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert len(set(bases)) == 1


def test_versions_are_those_that_are_tested(services: dict[str, Service]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert services["influxdb"]["image"] == "influxdb:2.7.12"
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {services[role]["image"] for role in _ROLES} == {f"twinstream:{project['version']}"}


def test_ports_are_published_on_the_loopback_address_alone(services: dict[str, Service]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    outside = [port.split(":")[1] for port in published]
    assert len(set(outside)) == len(outside)
    assert "127.0.0.1:8080:8080" in services["api"]["ports"]


def test_every_service_has_a_health_check(services: dict[str, Service]) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert {"interval", "timeout", "retries"} <= set(check), name


def test_services_start_when_what_they_need_is_healthy(services: dict[str, Service]) -> None:
    for role, needed in _ROLES.items():
        assert set(services[role]["depends_on"]) == needed
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            assert how == {"condition": "service_healthy"}, name
            # Servers wait for no role, so no circle can close.
            assert other in _SERVERS, name


@pytest.mark.parametrize("role", _ROLES)
def test_command_is_one_that_the_command_line_knows(role: str, services: dict[str, Service]) -> None:
    result = CliRunner().invoke(app, [*services[role]["command"], "--help"])
    assert result.exit_code == 0
    assert "-".join(services[role]["command"]) == role


@pytest.mark.parametrize("role", _ROLES)
def test_variables_are_ones_that_the_settings_read(role: str, services: dict[str, Service]) -> None:
    for name in services[role]["environment"]:
        path = name.removeprefix(ENV_PREFIX).lower().split(ENV_DELIMITER)
        fields = Settings.model_fields
        for key in path[:-1]:
            section: Any = fields[key].annotation
            fields = section.model_fields
        assert path[-1] in fields, name


@pytest.mark.parametrize("role", _ROLES)
def test_addresses_are_those_of_the_services(
    role: str, services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(services[role], monkeypatch)
    mqtt, amqp = settings.mqtt.endpoint(), settings.amqp.endpoint()
    series, documents = urlsplit(settings.timeseries.url or ""), urlsplit(settings.metadata.url or "")
    addresses = {
        tuple((settings.kafka.bootstrap_servers or "").split(":")),
        *((endpoint.host, str(endpoint.port)) for endpoint in (mqtt, amqp)),
        *((str(url.hostname), str(url.port)) for url in (series, documents)),
    }
    assert addresses == {(name, str(_PORTS[name])) for name in ("kafka", "mosquitto", "rabbitmq", "influxdb", "mongo")}
    assert settings.data_dir == Path("/data")
    assert any(volume.endswith(":/data") for volume in services[role]["volumes"])


def test_roles_and_servers_know_the_same_secrets_and_names(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = _secrets()
    settings = _settings(services["api"], monkeypatch)
    assert settings.mqtt.endpoint().password == secrets["MQTT_PASSWORD"]
    assert settings.amqp.endpoint().password == secrets["AMQP_PASSWORD"]
    assert settings.timeseries.token.get_secret_value() == secrets["INFLUXDB_TOKEN"]
    assert settings.metadata.credentials() == ("twinstream", secrets["MONGO_PASSWORD"])
    influx, rabbit, mongo = (services[name]["environment"] for name in ("influxdb", "rabbitmq", "mongo"))
    assert influx["DOCKER_INFLUXDB_INIT_ORG"] == settings.timeseries.org
    assert influx["DOCKER_INFLUXDB_INIT_BUCKET"] == settings.timeseries.bucket
    assert rabbit["RABBITMQ_DEFAULT_USER"] == settings.amqp.endpoint().username
    assert mongo["MONGO_INITDB_ROOT_USERNAME"] == settings.metadata.credentials()[0]
    assert f" {settings.mqtt.endpoint().username} " in services["mosquitto"]["command"][2]


def test_bridges_reach_the_broker_where_devices_can_not_and_devices_have_rules(services: dict[str, Service]) -> None:
    mosquitto = services["mosquitto"]
    assert mosquitto["ports"] == ["127.0.0.1:1883:1883"]
    text = (_DEPLOY / "mosquitto.conf").read_text("utf-8")
    listeners = re.split(r"^listener ", text, flags=re.MULTILINE)[1:]
    assert ["use_username_as_clientid true" in one for one in listeners] == [True, False]
    mounted = {volume.split(":")[1] for volume in mosquitto["volumes"]}
    assert set(re.findall(r"/mosquitto/config/\S+", text)) <= mounted
    assert any(volume.endswith(".conf:ro") for volume in services["rabbitmq"]["volumes"])


def test_no_argument_of_a_process_shows_a_secret(services: dict[str, Service]) -> None:
    for name, service in services.items():
        words = [*service.get("command", []), *service["healthcheck"]["test"]]
        shown = [word for word in words if re.search(r"PASS|TOKEN", str(word))]
        # Only what the shell writes itself, into a pipe.
        assert all(re.findall(r"\b(\w+) '[^']*'(?: \"\$\$\w+\")+ \|", word) == ["printf"] for word in shown), name


def test_no_secret_stands_in_the_file_and_the_example_names_each() -> None:
    text = (_ROOT / "docker-compose.yml").read_text("utf-8")
    assert set(_VARIABLE.findall(text)) == set(_secrets())
    for name in re.findall(r"^\s+(\w*(?:PASSWORD|PASS|TOKEN)): (.*)$", text, re.MULTILINE):
        assert name[1].startswith("${"), name


def test_api_listens_where_it_is_published_and_takes_the_name_of_its_service(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(services["api"], monkeypatch)
    check_listening(settings)
    http = settings.http
    assert (http.host, http.port) == ("0.0.0.0", 8080)  # noqa: S104 - inside its container
    assert http.allowed_hosts == ("api",)


def test_metrics_of_every_role_are_scraped_where_it_serves_them(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = _read(_DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    found = {group["targets"][0]: group["labels"]["role"] for group in job["static_configs"]}
    metrics = _settings(services["worker"], monkeypatch).metrics
    assert metrics.host == "0.0.0.0"  # noqa: S104 - inside its container
    assert found == {f"{role}:{metrics.port}": role.replace("-", ":") for role in _ROLES}
    for role in _ROLES:
        assert f":{metrics.port}/healthz" in services[role]["healthcheck"]["test"][3]


def test_kafka_is_found_at_what_it_advertises(services: dict[str, Service]) -> None:
    kafka = services["kafka"]["environment"]
    advertised = kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert advertised == ["INSIDE://kafka:29092", "OUTSIDE://127.0.0.1:9092"]
    assert "kafka:29092" in services["kafka"]["healthcheck"]["test"]
    assert "127.0.0.1:9092:9092" in services["kafka"]["ports"]


def test_grafana_asks_the_services_for_what_the_sinks_write(services: dict[str, Service]) -> None:
    sources = {source["type"]: source for source in _read(_DEPLOY / "grafana" / "datasources.yml")["datasources"]}
    assert sources["influxdb"]["url"] == "http://influxdb:8086"
    assert sources["prometheus"]["url"] == "http://prometheus:9090"
    environment = services["worker"]["environment"]
    assert sources["influxdb"]["jsonData"]["organization"] == environment["TWINSTREAM_TIMESERIES__ORG"]
    assert sources["influxdb"]["jsonData"]["defaultBucket"] == environment["TWINSTREAM_TIMESERIES__BUCKET"]
    assert sources["influxdb"]["secureJsonData"]["token"].removeprefix("$") in services["grafana"]["environment"]


def test_mounted_and_copied_files_exist_and_volumes_are_declared(
    compose: dict[str, Any], services: dict[str, Service]
) -> None:
    mounts = [volume.split(":") for service in services.values() for volume in service.get("volumes", ())]
    files = [mount for mount in mounts if mount[0].startswith("./")]
    assert all((_ROOT / mount[0]).is_file() and mount[2] == "ro" for mount in files)
    named = [mount[0] for mount in mounts if not mount[0].startswith("./")]
    assert set(named) == set(compose["volumes"])
    build = services["worker"]["build"]
    dockerfile = (_ROOT / build["dockerfile"]).read_text("utf-8")
    kept = (_ROOT / f"{build['dockerfile']}.dockerignore").read_text("utf-8").splitlines()
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for source in line.split()
    ]
    assert all((_ROOT / source).exists() and f"!{source}" in kept for source in copied)
    packages = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
