"""The catalogue of metrics, Prometheus' conventions, and alert rules that name what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from servers.availability import unavailable

from infra.authoring.metrics_reference import families, registries

_RULES = Path(__file__).parents[2] / "infra" / "deploy" / "prometheus"


def _promtool(*arguments: str, text: bytes = b"", folder: Path | None = None) -> str:
    program = shutil.which("promtool")
    if program is None:
        unavailable("promtool", "it comes with Prometheus: run scripts/servers")
    ended = subprocess.run([program, *arguments], input=text, capture_output=True, cwd=folder, timeout=60, check=False)
    said = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 0, said
    return said


def _shown() -> dict[str, str]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type for _, family, _ in families()
    }


def test_no_metric_has_a_twin_for_a_label() -> None:
    told = {label for _, _, labels in families() for label in labels}
    assert "type" in told
    assert not told & {"twin", "id", "twin_id", "device"}


def test_names_and_what_is_said_of_them_follow_the_conventions() -> None:
    for name, registry in registries().items():
        text = generate_latest(registry)
        assert text, name
        assert not _promtool("check", "metrics", text=text), name


def test_counters_whose_labels_are_known_are_there_from_the_start() -> None:
    shown = {family.name for role, family, _ in families() if role == "Workers" and family.samples}
    assert {"twinstream_records", "twinstream_ticks", "twinstream_worker_deadletters"} <= shown


def test_alert_rules_name_metrics_that_there_are() -> None:
    groups = yaml.safe_load((_RULES / "alerts.yml").read_text("utf-8"))["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    named = {name for expression in expressions for name in re.findall(r"\btwinstream_\w+", expression)}
    assert named
    assert named <= set(_shown())


def test_every_alert_has_a_case_in_which_it_fires_and_fires_there() -> None:
    groups = yaml.safe_load((_RULES / "alerts.yml").read_text("utf-8"))["groups"]
    cases = yaml.safe_load((_RULES / "alerts_test.yml").read_text("utf-8"))["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == {rule["alert"] for group in groups for rule in group["rules"]}
    assert "SUCCESS" in _promtool("test", "rules", "alerts_test.yml", folder=_RULES)


@pytest.mark.parametrize("broken", ["> 0", "for: 30s"])
def test_the_cases_fail_where_a_rule_is_another(tmp_path: Path, broken: str) -> None:
    rules = (_RULES / "alerts.yml").read_text("utf-8")
    (tmp_path / "alerts.yml").write_text(rules.replace(broken, broken.translate({ord("0"): "9"})), "utf-8")
    shutil.copy(_RULES / "alerts_test.yml", tmp_path)
    with pytest.raises(AssertionError):
        _promtool("test", "rules", "alerts_test.yml", folder=tmp_path)
