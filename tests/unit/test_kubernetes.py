"""The manifests for Kubernetes: valid by its published schemas, and true to the code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from typer.testing import CliRunner

from infra.cli.app import app
from infra.settings import ENV_DELIMITER, ENV_PREFIX, Settings

_FOLDER = Path(__file__).parents[2] / "infra" / "deploy" / "kubernetes"
_VERSION = "1.36.0"


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    named = yaml.safe_load((_FOLDER / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert set(named) | {"kustomization.yaml"} == {file.name for file in _FOLDER.iterdir()}
    for name in named:
        for content in yaml.safe_load_all((_FOLDER / name).read_text("utf-8")):
            yield f"{name}: {content['kind']} {content['metadata']['name']}", content


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, content in _objects():
        if content["kind"] == "StatefulSet":
            yield name, content["spec"]["template"]["spec"]


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in _objects()])
def test_every_object_is_one_by_the_schema(content: dict[str, Any]) -> None:
    kubernetes_validate.validate(content, _VERSION, strict=True)


def test_the_schema_refuses_what_is_wrong() -> None:
    _, content = next(pod for pod in _objects() if pod[1]["kind"] == "StatefulSet")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(content | {"spec": content["spec"] | {"replica": 4}}, _VERSION, strict=True)


def test_every_variable_is_a_setting() -> None:
    known = {
        f"{ENV_PREFIX}{section.upper()}{ENV_DELIMITER}{key.upper()}"
        for section, declared in Settings.model_fields.items()
        for key in getattr(declared.annotation, "model_fields", {})
    } | {f"{ENV_PREFIX}DATA_DIR"}
    settings = next(content for _, content in _objects() if content["kind"] == "ConfigMap")["data"]
    given = {entry["name"] for _, pod in _pods() for entry in pod["containers"][0].get("env", ())}
    assert given
    assert settings.keys() | given <= known
    assert not [name for name in settings.keys() | given if name.endswith(("PASSWORD", "TOKEN"))]


def test_every_role_is_started_by_a_command_that_there_is_and_asked_where_it_answers() -> None:
    settings = next(content for _, content in _objects() if content["kind"] == "ConfigMap")["data"]
    for name, pod in _pods():
        [container] = pod["containers"]
        assert CliRunner().invoke(app, [*container["args"], "--help"]).exit_code == 0, name
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == int(settings["TWINSTREAM_METRICS__PORT"])
        assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_a_service_finds_the_pods_of_its_name() -> None:
    pods = {
        content["metadata"]["name"]: content["spec"]["template"]["metadata"]["labels"]
        for _, content in _objects()
        if content["kind"] == "StatefulSet"
    }
    for _, content in _objects():
        if content["kind"] == "Service":
            selector = content["spec"]["selector"]
            assert [name for name, labels in pods.items() if selector.items() <= labels.items()] == [
                content["metadata"]["name"]
            ]
