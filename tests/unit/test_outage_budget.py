"""How long an outage a broker's queue carries, and when the bridge warns of it."""

from typing import Any

import pytest

from connectors.amqp.settings import AmqpSettings
from connectors.mqtt.settings import MqttSettings
from connectors.outage_budget import OutageBudget
from infra.instance.plan import survived
from schemas.clock import ManualClock

SHORT = "shorter than the outage budget"


def budget(**keys: Any) -> OutageBudget:
    return OutageBudget("mqtt", MqttSettings.model_validate({"url": "mqtt://broker", **keys}), ManualClock())


def test_a_queue_that_is_too_short_for_the_expected_rate_is_told_at_the_start_with_the_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    budget(queue_limit=1000, expected_rate=100, outage_budget_s=60).at_start()
    said = capsys.readouterr().out
    assert SHORT in said
    assert "survived_s=10.0" in said


@pytest.mark.parametrize("keys", [{"queue_limit": 6000, "expected_rate": 100}, {"queue_limit": 1000}])
def test_a_queue_that_is_long_enough_or_whose_rate_is_not_known_is_no_warning(
    keys: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    budget(**keys).at_start()
    assert SHORT not in capsys.readouterr().out


def test_the_measured_rate_counts_when_it_is_higher_and_is_told_again_only_when_it_got_much_worse(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checked = budget(queue_limit=1000, outage_budget_s=60)
    assert checked.survived_s() is None
    for rate, told in ((10.0, 0), (50.0, 1), (55.0, 0), (20.0, 0), (100.0, 1)):
        for _ in range(2):
            checked.measured(rate)
        assert capsys.readouterr().out.count(SHORT) == told
    assert checked.survived_s() == 10.0


def test_a_backlog_that_is_worked_off_is_no_rate_of_devices(capsys: pytest.CaptureFixture[str]) -> None:
    checked = budget(queue_limit=10_000, outage_budget_s=120)
    for rate in (50.0, 50.0, 50.0, 210.0, 215.0, 50.0, 210.0):
        checked.measured(rate)
    assert SHORT not in capsys.readouterr().out
    assert checked.survived_s() == 200.0
    for _ in range(2):
        checked.measured(210.0)
    assert SHORT in capsys.readouterr().out


def test_that_a_limit_is_not_known_is_told_where_brokers_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    budget().at_start()
    assert "set queue_limit" in capsys.readouterr().out
    OutageBudget("amqp", AmqpSettings(), ManualClock()).at_start()
    assert capsys.readouterr().out == ""


def test_the_sum_is_shown_for_two_rates() -> None:
    assert survived(1_000_000).endswith("2.8 h at 100 messages/s, 8 min at 2,000 messages/s")
    assert survived(1000).endswith("10 s at 100 messages/s, 0 s at 2,000 messages/s")
