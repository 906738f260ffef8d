"""The loss account of the API: sums, what it keeps in its file, and what it publishes."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
from support.http_api import Api, MemoryWriter

from infra.http.account import Accounts
from infra.http.account_log import AccountLog
from schemas.account import Figures, PartitionAccount
from schemas.clock import ManualClock
from streams.log.record import LogRecord
from twins.account import ACCOUNT_KEY, TRAILS_KEY_PREFIX
from twins.trails import StoredTrail

OFFSETS = itertools.count(1)
ZERO = {"duplicate": 0, "late": 0, "deadlettered": 0, "missing": 0}


def told(
    partition: int, type_name: str = "tank", topic_id: str = "t", cluster: str = "c", **sources: Figures
) -> LogRecord:
    value = msgspec.json.encode(PartitionAccount(cluster, topic_id, sources))
    return LogRecord(f"twinstream.{type_name}.state", partition, next(OFFSETS), 0, ACCOUNT_KEY, value, ())


def trails(twin: bytes, *holes: tuple[int, int]) -> LogRecord:
    value = msgspec.json.encode([StoredTrail(5, "mqtt", 99, list(holes))]) if holes else None
    return LogRecord("twinstream.tank.state", 0, 0, 0, TRAILS_KEY_PREFIX + twin, value, ())


def row(type_name: str, source: str, **figures: int) -> dict[str, Any]:
    return {"source": source, "type": type_name, **ZERO, **figures}


def test_partitions_are_added_up_by_type_and_source_each_by_its_latest() -> None:
    accounts = Accounts(unknown=lambda: {("tank", "mqtt"): 2, ("", "amqp"): 1})
    accounts.apply(
        [
            told(0, mqtt=Figures(expected=3, received=3)),
            told(0, mqtt=Figures(expected=10, received=9, missing=1)),
            told(1, mqtt=Figures(expected=5, received=5), amqp=Figures(expected=1, received=2, duplicate=1)),
            told(1, "pump", kafka=Figures(expected=2, received=2, late=1), other=Figures()),
            LogRecord("twinstream.tank.state", 0, 0, 0, ACCOUNT_KEY, b"?", ()),
            LogRecord("twinstream.tank.state", 0, 0, 0, b"a-twin", b"?", ()),
        ]
    )
    assert accounts.rows() == [
        row("", "amqp", expected=0, received=1, deadlettered=1),
        row("pump", "kafka", expected=2, received=2, late=1),
        row("tank", "amqp", expected=1, received=2, duplicate=1),
        row("tank", "mqtt", expected=15, received=16, missing=1, deadlettered=2),
    ]
    assert accounts.rows("pump") == [row("pump", "kafka", expected=2, received=2, late=1)]


def test_an_input_that_was_made_anew_begins_a_new_account_and_another_cluster_all() -> None:
    accounts = Accounts()
    accounts.apply([told(0, mqtt=Figures(received=9)), told(1, mqtt=Figures(received=1))])
    accounts.apply([told(0, topic_id="u", mqtt=Figures(received=2)), trails(b"a", (7, 7))])
    assert [one["received"] for one in accounts.rows()] == [2]
    assert len(accounts.twins("", 9)) == 1
    accounts.apply([told(0, cluster="d", mqtt=Figures(received=1))])
    assert [one["received"] for one in accounts.rows()] == [1]


def test_what_an_earlier_input_left_in_the_log_adds_nothing_in_whatever_order_it_is_read(tmp_path: Path) -> None:
    def at(timestamp_ms: int, partition: int, topic_id: str) -> LogRecord:
        return told(partition, topic_id=topic_id, mqtt=Figures(received=5))._replace(timestamp_ms=timestamp_ms)

    accounts = Accounts(tmp_path / "account.json")
    accounts.apply([at(100, 0, "t"), at(300, 0, "u"), at(110, 1, "t"), at(310, 2, "u")])
    assert [one["received"] for one in accounts.rows()] == [10]
    (tmp_path / "account.json").write_bytes(accounts.due() or b"")
    again = Accounts(tmp_path / "account.json")
    again.apply([at(120, 3, "t")])
    assert [one["received"] for one in again.rows()] == [10]


def test_which_input_is_the_present_one_is_told_by_the_log_and_not_by_the_clocks_of_its_writers(tmp_path: Path) -> None:
    """The host that wrote partitions 0 and 1 before the input was made anew was an hour ahead."""

    def at(timestamp_ms: int, partition: int, topic_id: str, received: int) -> LogRecord:
        return told(partition, topic_id=topic_id, mqtt=Figures(received=received))._replace(timestamp_ms=timestamp_ms)

    log = [at(9000, 0, "t", 5), at(9001, 1, "t", 5), at(300, 0, "u", 3), at(310, 2, "u", 1)]
    late = at(9002, 3, "t", 7)
    accounts = Accounts(tmp_path / "account.json")
    accounts.apply([*log, late])
    assert [one["received"] for one in accounts.rows()] == [4]
    (tmp_path / "account.json").write_bytes(accounts.due() or b"")
    again = Accounts(tmp_path / "account.json")
    again.apply([*log, late])
    assert [one["received"] for one in again.rows()] == [4]


def test_what_is_not_taken_deletes_nothing() -> None:
    accounts = Accounts()

    def at(timestamp_ms: int, partition: int, cluster: str, type_name: str = "tank") -> LogRecord:
        made = told(partition, type_name, topic_id=type_name, cluster=cluster, mqtt=Figures(received=1))
        return made._replace(timestamp_ms=timestamp_ms)

    accounts.apply([at(100, 0, "c"), at(300, 0, "c", "pump"), at(200, 1, "d")])
    assert [(one["type"], one["received"]) for one in accounts.rows()] == [("pump", 1), ("tank", 1)]


def test_a_partition_that_is_known_by_notes_alone_is_in_the_sums() -> None:
    accounts = Accounts()
    accounts.apply([told(0, mqtt=Figures(received=2, deadlettered=2)), told(1, mqtt=Figures(expected=4, missing=2))])
    accounts.apply([told(1, mqtt=Figures(expected=5, missing=3))])
    assert accounts.rows() == [row("tank", "mqtt", expected=5, received=2, deadlettered=2, missing=3)]


def test_who_misses_most_comes_first() -> None:
    accounts = Accounts()
    accounts.apply([trails(b"a", (7, 7)), trails(b"b", (1, 3), (9, 9)), trails(b"c", (1, 99)), trails(b"c")])
    assert accounts.twins("", 9) == [
        {"type": "tank", "id": "b", "source": "mqtt", "missing": 4, "ranges": [(1, 3), (9, 9)]},
        {"type": "tank", "id": "a", "source": "mqtt", "missing": 1, "ranges": [(7, 7)]},
    ]
    assert accounts.twins("pump", 9) == []
    assert len(accounts.twins("tank", 1)) == 1


def test_what_is_read_once_more_from_before_what_the_file_has_changes_nothing(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "account.json")
    # With notes of records that were counted where they lay, none is received.
    log = [told(0, mqtt=Figures(expected=expected, missing=1)) for expected in (3, 4, 5)]
    accounts.apply(log)
    (tmp_path / "account.json").write_bytes(accounts.due() or b"")
    again = Accounts(tmp_path / "account.json")
    for one in log:
        again.apply([one])
        assert [one["expected"] for one in again.rows()] == [5]
    again.apply([told(0, mqtt=Figures(expected=6, missing=1))])
    assert [one["expected"] for one in again.rows()] == [6]
    # Somebody made the changelog anew.
    once_more = Accounts(tmp_path / "account.json")
    once_more.apply([told(0, mqtt=Figures(expected=1))._replace(offset=0, timestamp_ms=1)])
    assert [one["expected"] for one in once_more.rows()] == [1]


async def test_what_changed_is_saved_and_published_once(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    accounts, writer = Accounts(file), MemoryWriter()
    account_log = AccountLog(accounts, writer, ManualClock(7), lambda: True)
    accounts.apply([told(0, mqtt=Figures(expected=3, received=3)), told(1, "pump", mqtt=Figures(received=1))])
    await account_log.save()
    await account_log.publish()
    accounts.apply([told(0, mqtt=Figures(expected=4, received=4))])
    await account_log.publish()
    assert [(one.topic, one.key, one.value["received"]) for one in writer.written] == [
        ("twinstream.account", b"tank/mqtt", 3),
        ("twinstream.account", b"pump/mqtt", 1),
        ("twinstream.account", b"tank/mqtt", 4),
    ]
    assert writer.written[2].value == row("tank", "mqtt", expected=4, received=4) | {"time_ns": 7}
    assert [one["received"] for one in Accounts(file).rows()] == [1, 3]
    await account_log.save()
    assert [one["received"] for one in Accounts(file).rows()] == [1, 4]
    # What could not be published is, later.
    writer.away = True
    accounts.apply([told(0, mqtt=Figures(expected=5, received=5))])
    await account_log.publish()
    writer.away = False
    await account_log.publish()
    assert writer.written[3].value["received"] == 5


async def test_a_file_that_can_not_be_read_or_written_is_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_bytes(b"[{")
    assert Accounts(file).rows() == []
    nowhere = Accounts(tmp_path / "none" / "account.json")
    nowhere.apply([told(0, mqtt=Figures(received=1))])
    await AccountLog(nowhere, MemoryWriter(), ManualClock(7), lambda: True).save()
    assert [one["received"] for one in nowhere.rows()] == [1]


async def test_the_api_shows_the_account_and_metrics_of_it() -> None:
    api = Api()
    api.services.accounts.apply([told(0, mqtt=Figures(expected=2**70, received=9, missing=1)), trails(b"a", (7, 8))])
    async with api.client() as client:
        found = (await client.get("/api/account")).json()
        assert found == {"items": [row("tank", "mqtt", expected=2**70, received=9, missing=1)]}
        assert (await client.get("/api/account?type=pump")).json() == {"items": []}
        assert (await client.get("/api/account?tipe=pump")).status_code == 422
        (twin,) = (await client.get("/api/account/twins?type=tank")).json()["items"]
        assert twin == {"type": "tank", "id": "a", "source": "mqtt", "missing": 2, "ranges": [[7, 8]]}
        text = (await client.get("/metrics")).text
    assert 'twinstream_missing_records{source="mqtt",type="tank"} 1.0' in text
    assert 'twinstream_received_records{source="mqtt",type="tank"} 9.0' in text
