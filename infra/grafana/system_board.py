"""The board of the system itself: rates, lag, transactions, what went wrong, and what it costs."""

from typing import Any

from infra.grafana.panels import COLUMNS, PROMETHEUS, Panel, board, curves, number, prometheus, table, variable
from schemas.account import FIGURES

_TYPE = 'type=~"$type"'


def system_board() -> dict[str, Any]:
    """Everything that roles tell of themselves, of the chosen type or of all."""
    types = variable("type", "Type", "label_values(twinstream_twins, type)", PROMETHEUS)
    return board("twinstream-system", "twinstream system", _panels(), tags=["system"], variables=[_all(types)])


def _all(choice: dict[str, Any]) -> dict[str, Any]:
    return choice | {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


def _panels() -> list[Panel]:
    return [
        number("Roles up", prometheus('sum(up{job="twinstream"})', "up"), description="Roles that answer."),
        number(
            "Records",
            prometheus(f"sum(rate(twinstream_records_total{{{_TYPE}}}[1m]))", "records"),
            unit="reqps",
            description="Telemetry records per second.",
        ),
        number(
            "Lag", prometheus("sum(twinstream_lag_records)", "records"), description="Records that wait for a role."
        ),
        number(
            "Missing",
            prometheus(f"sum(twinstream_missing_records{{{_TYPE}}})", "records"),
            description="Records that devices sent, by their counters, and that have not come.",
        ),
        curves(
            "Messages from devices",
            prometheus("sum by (broker) (rate(twinstream_bridge_received_messages_total[1m]))", "{{broker}}"),
            unit="reqps",
        ),
        curves(
            "Commands and events to devices",
            prometheus(
                "sum by (broker, kind) (rate(twinstream_bridge_published_messages_total[1m]))", "{{broker}} {{kind}}"
            ),
            unit="reqps",
        ),
        curves(
            "Records by outcome",
            prometheus(
                f"sum by (type, outcome) (rate(twinstream_records_total{{{_TYPE}}}[1m]))", "{{type}} {{outcome}}"
            ),
            unit="reqps",
        ),
        curves("Lag by role", prometheus("twinstream_lag_records", "{{role}}"), description="Records that wait."),
        curves(
            "Time of a transaction, 99th percentile",
            prometheus(
                f"histogram_quantile(0.99, sum by (type, le) (rate(twinstream_flush_seconds_bucket{{{_TYPE}}}[1m])))",
                "{{type}}",
            ),
            unit="s",
        ),
        curves(
            "Time to step a block, 99th percentile",
            prometheus(
                f"histogram_quantile(0.99, sum by (type, le) (rate(twinstream_block_seconds_bucket{{{_TYPE}}}[1m])))",
                "{{type}}",
            ),
            unit="s",
        ),
        curves(
            "Dead letters of five minutes",
            prometheus(
                f"topk(8, sum by (type, reason) (increase(twinstream_deadletters_total{{{_TYPE}}}[5m])))",
                "{{type}} {{reason}}",
            ),
        ),
        curves(
            "Partitions rebuilt, and standing",
            prometheus(
                f"sum by (type) (increase(twinstream_partition_failures_total{{{_TYPE}}}[5m]))", "{{type}} rebuilt"
            ),
            prometheus(f"sum by (type) (twinstream_partitions_standing{{{_TYPE}}})", "{{type}} standing"),
        ),
        curves(
            "Stored records",
            prometheus("sum by (store) (rate(twinstream_sink_stored_records_total[1m]))", "{{store}}"),
            unit="reqps",
        ),
        curves(
            "Age of what waits for a store",
            prometheus("max by (store) (twinstream_sink_oldest_waiting_seconds)", "{{store}}"),
            unit="s",
        ),
        curves(
            "Processor time",
            prometheus('rate(process_cpu_seconds_total{job="twinstream"}[1m])', "{{role}}"),
            unit="percentunit",
            description="Share of one core. Processes that step types are not in it: the worker tells its own alone.",
        ),
        curves("Memory", prometheus('process_resident_memory_bytes{job="twinstream"}', "{{role}}"), unit="bytes"),
        table(
            "Loss account",
            *(
                prometheus(f"sum by (type, source) (twinstream_{figure}_records{{{_TYPE}}})", figure, instant=True)
                for figure in FIGURES
            ),
            width=COLUMNS,
            transformations=(
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": {"Time": True},
                        "renameByName": {f"Value #{chr(ord('A') + at)}": name for at, name in enumerate(FIGURES)},
                    },
                },
            ),
        ),
    ]
