"""The loss account of a partition against a plain one of sets, however records fell into blocks and restarts."""

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import stepping
from support.oracle import block_of, load_type
from support.stepping import START_NS, STRANGERS, TWINS, Run, Stepping, reading, record, request, tick

from schemas.headers import BOOT, HOPS, REDRIVE, SEQ, SOURCE
from streams.log.record import LogRecord
from streams.processor import Lineage
from twins import account, trails
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]
GOOD = {"a": 10.0, "b": 1, "c": True}
NAMES = ("expected", "received", "duplicate", "late", "deadlettered", "missing")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def probe(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(stepping.probe_type(tmp_path_factory.mktemp("probe"), late="flag"), "content", cache)


def figures(run: Run) -> dict[str, dict[str, int]]:
    """The account as the changelog has it, without what is zero."""
    stored = msgspec.json.decode(run.changelog[b"#account"] or b"")["sources"]
    return {source: {name: number for name, number in found.items() if number} for source, found in stored.items()}


def sent(source: str, twin: bytes, seq: int | None, boot: str = "", **values: Any) -> LogRecord:
    """Telemetry from a source, all at one device time."""
    told: dict[str, Any] = {
        **GOOD,
        **values,
        **({} if seq is None else {"seq": seq}),
        **({"boot": boot} if boot else {}),
    }
    return record(twin, msgspec.json.encode({"time": START_NS, **told}), source=source)


class Plain:
    """The account in sets."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, bytes, str], set[int]] = defaultdict(set)
        self.figures: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(NAMES, 0))

    def take(self, source: str, twin: bytes, seq: int, boot: str, *, refused: bool) -> None:
        figures, seen = self.figures[source], self.seen[source, twin, boot]
        figures["received"] += 1
        figures["deadlettered"] += refused
        figures["duplicate"] += seq in seen
        seen.add(seq)

    def total(self) -> dict[str, dict[str, int]]:
        for (source, _, _), seen in self.seen.items():
            self.figures[source]["expected"] += max(seen) + (0 in seen)
            self.figures[source]["missing"] += len(set(range(1, max(seen) + 1)) - seen)
        return {
            source: {name: number for name, number in found.items() if number} for source, found in self.figures.items()
        }


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["mqtt", "amqp"]),
        st.sampled_from([TWIN, OTHER]),
        st.integers(0, 12),
        st.sampled_from(["", "x", "y"]),
        st.sampled_from(["good", "good", "good", "wrong_type", "out_of_range", "nan"]),
        st.booleans(),
    ),
    max_size=60,
)
WRONG: dict[str, dict[str, Any]] = {"good": {}, "wrong_type": {"b": "no"}, "out_of_range": {"a": 5000.0}, "nan": {}}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, cuts=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=8))
def test_the_account_is_that_of_sets_however_records_fall_into_blocks_and_restarts(
    probe: TwinType, messages: list[tuple[str, bytes, int, str, str, bool]], cuts: list[tuple[int, bool]]
) -> None:
    plain, records = Plain(), []
    for offset, (source, twin, seq, boot, what, redriven) in enumerate(messages):
        made = sent(f"{source}:a/b", twin, seq, boot, **WRONG[what])
        if what == "nan":
            made = made._replace(value=(made.value or b"").replace(b"10.0", b"NaN"))
        if redriven and what != "good":
            # Sending a letter once more changes nothing.
            made = made._replace(headers=(*made.headers, (REDRIVE, b"0a")))
        else:
            plain.take(source, twin, seq, boot, refused=what != "good")
        records.append(made._replace(offset=offset))
    whole = stepping.stepped(probe, records)
    cut = stepping.stepped(probe, records, cuts)
    assert figures(cut) == figures(whole) == plain.total() if plain.seen else True
    for found in plain.figures.values():
        assert found["received"] + found["missing"] == found["expected"] + found["duplicate"]
    assert {k: v for k, v in cut.changelog.items() if v is not None} == {
        k: v for k, v in whole.changelog.items() if v is not None
    }


def test_one_loss_in_a_million_is_found(probe: TwinType) -> None:
    engine = Stepping(probe)
    payload = b'{"time":%d,"a":1.0,"b":1,"c":true,"seq":%d}'
    numbers = [seq for seq in range(1, 200_002) if seq != 123_456]
    made = [record(TWIN, payload % (START_NS, seq)) for seq in numbers]
    for first in range(0, len(made), 20_000):
        engine.step(*made[first : first + 20_000])
    engine.snapshot()
    assert figures(engine.run) == {"kafka": {"expected": 200_001, "received": 200_000, "missing": 1}}


def test_what_is_missing_is_found_again(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (1, 5, 6)))
    engine.restart()
    assert figures(run) == {"mqtt": {"expected": 6, "received": 3, "missing": 3}}
    engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (3, 3, 2, 7)))
    engine.restart()
    assert figures(run) == {"mqtt": {"expected": 7, "received": 7, "duplicate": 1, "missing": 1}}
    engine.step(sent("mqtt:t", TWIN, 4, "x"))
    engine.snapshot()
    assert figures(run) == {"mqtt": {"expected": 7, "received": 8, "duplicate": 1}}
    # Nothing is left to be told beside the twin's row.
    assert run.changelog[account.TRAILS_KEY_PREFIX + TWIN] is None


def counted(twin_type: TwinType, *records: LogRecord) -> dict[str, dict[str, int]]:
    """The account of records, told with a restart behind each of them and without any."""
    numbered = [made._replace(offset=offset) for offset, made in enumerate(records)]
    whole = stepping.stepped(twin_type, numbered)
    single = stepping.stepped(twin_type, numbered, [(cut, True) for cut in range(1, len(numbered))])
    assert figures(whole) == figures(single)
    return figures(whole)


def test_a_duplicate_far_behind_the_window_is_told_from_what_was_missing(probe: TwinType) -> None:
    found = counted(probe, *(sent("mqtt:t", TWIN, seq) for seq in (1, *range(3, 90), 2, 1)))
    assert found == {"mqtt": {"expected": 89, "received": 90, "duplicate": 1}}


def test_every_boot_and_source_counts_by_itself(probe: TwinType) -> None:
    found = counted(
        probe,
        *(sent("mqtt:t", TWIN, seq, "old") for seq in (1, 2, 3)),
        *(sent("mqtt:t", TWIN, seq, "new") for seq in (1, 3)),
        sent("mqtt:t", TWIN, 2, "old"),
        *(sent("amqp:e/k", TWIN, seq, "new") for seq in (1, 2)),
        sent("mqtt:t", OTHER, 1, "new"),
        sent("mqtt:t", TWIN, 4, "new"),
    )
    assert found == {
        "mqtt": {"expected": 8, "received": 8, "duplicate": 1, "missing": 1},
        "amqp": {"expected": 2, "received": 2},
    }


def test_refused_records_are_there_and_those_that_nobody_can_read_are_missing(probe: TwinType) -> None:
    found = counted(
        probe,
        sent("mqtt:t", TWIN, 1),
        sent("mqtt:t", TWIN, 2, b="no"),
        record(TWIN, b"m a=NaN,seq=3i", source="mqtt:t"),
        record(TWIN, b'{"seq": 4, "time": "soon"}', source="mqtt:t"),
        record(TWIN, b"?", source="mqtt:t"),
        record(TWIN, b"?", source="mqtt:t")._replace(headers=((SOURCE, b"mqtt:t"), (SEQ, b"6"), (BOOT, b""))),
        sent("mqtt:t", TWIN, 7, a=13.0),  # gives NaN
        sent("mqtt:t", TWIN, 8),  # in quarantine
    )
    assert found == {"mqtt": {"expected": 8, "received": 8, "deadlettered": 7, "missing": 1}}


def test_records_without_a_counter_are_expected_when_they_come(probe: TwinType) -> None:
    found = counted(
        probe,
        sent("mqtt:t", TWIN, None),
        sent("mqtt:t", TWIN, None, a=2.0),
        sent("mqtt:t", TWIN, None, a=2.0),  # the same at the same time
        sent("mqtt:t", TWIN, None, b="no"),
        record(TWIN, b"?", source="mqtt:t"),
    )
    assert found == {"mqtt": {"expected": 3, "received": 5, "duplicate": 1, "deadlettered": 2}}


def test_late_records_and_records_of_other_twins_and_kinds(probe: TwinType) -> None:
    routed = reading(TWIN, 3, **GOOD)._replace(headers=((HOPS, b"1"), (SOURCE, b"kafka:t/0/1")))
    found = counted(
        probe,
        sent("mqtt:t", TWIN, 1),
        reading(TWIN, -1, **GOOD, seq=1, boot="late"),
        routed,
        request(TWIN, "limit", limit=3),
        request(OTHER, "limit", limit=3),
        record(TWIN, b"{}", kind="nonsense"),
        record(STRANGERS[0], b'{"seq":9}', source="mqtt:t"),
        record(TWIN, b"?", source="Nonsense"),
    )
    assert found == {
        "mqtt": {"expected": 1, "received": 2, "deadlettered": 1},
        "kafka": {"expected": 1, "received": 1, "late": 1},
        "twin": {"expected": 1, "received": 1},
        "other": {"received": 1, "deadlettered": 1},
    }


def test_what_a_bridge_refused_is_there(probe: TwinType) -> None:
    note = record(TWIN, b"", kind="refused", source="mqtt:t")
    found = counted(
        probe,
        sent("mqtt:t", TWIN, 1, "x"),
        note._replace(headers=(*note.headers, (SEQ, b"2"), (BOOT, b"x"))),
        sent("mqtt:t", TWIN, 3, "x"),
        record(None, b"", kind="refused", source="mqtt:t"),
    )
    assert found == {"mqtt": {"expected": 3, "received": 4, "deadlettered": 2}}


def test_twins_without_a_row_have_an_account(cache: Path, tmp_path: Path) -> None:
    declared = load_type(stepping.probe_type(tmp_path, provision="declared"), "content", cache)
    found = counted(
        declared,
        sent("mqtt:t", TWIN, 1),
        sent("mqtt:t", TWIN, 3),
        stepping.put(TWIN, {}),
        sent("mqtt:t", TWIN, 3),
        sent("mqtt:t", TWIN, 4),
    )
    assert found == {"mqtt": {"expected": 4, "received": 4, "duplicate": 1, "deadlettered": 2, "missing": 1}}


def test_a_twin_that_was_declared_since_goes_on_with_the_counters_it_had_before_also_after_a_restart(
    cache: Path, tmp_path: Path
) -> None:
    declared = load_type(stepping.probe_type(tmp_path, provision="declared"), "content", cache)
    found = counted(declared, sent("mqtt:t", TWIN, 1), stepping.put(TWIN, {}), sent("mqtt:t", TWIN, 1))
    assert found == {"mqtt": {"expected": 1, "received": 2, "duplicate": 1, "deadlettered": 1}}


def test_a_record_in_a_partition_where_its_twin_is_not_has_come(probe: TwinType) -> None:
    here = Stepping(probe)
    astray = [
        sent("mqtt:t", STRANGERS[0], 2, "x"),
        sent("mqtt:t", STRANGERS[0], 4, "x", b="no"),
        record(STRANGERS[0], b"?", source="mqtt:t"),
    ]
    outcome = here.processor.process(block_of([one._replace(offset=at) for at, one in enumerate(astray)]))
    here.run.take(outcome)
    here.snapshot()
    assert figures(here.run) == {"mqtt": {"received": 3, "deadlettered": 3}}
    ((topic, notes),) = outcome.routed.items()
    assert (topic, len(notes)) == ("twinstream.probe.telemetry", 1)

    there = Stepping(probe)
    there.processor = TwinProcessor.of(probe, dataclasses.replace(stepping.LINEAGE, partition=1))
    made = [record(key, value)._replace(headers=headers) for key, value, headers in notes]
    there.step(sent("mqtt:t", STRANGERS[0], 1, "x"), sent("mqtt:t", STRANGERS[0], 3, "x"), *made, made[0])
    there.snapshot()
    assert figures(there.run) == {"mqtt": {"expected": 4, "received": 2, "duplicate": 2}}
    there.step(made[0]._replace(value=b"?"), made[0]._replace(value=(made[0].value or b"").replace(b"[[", b"[[7,")))
    there.snapshot()
    assert figures(there.run) == {"mqtt": {"expected": 4, "received": 2, "duplicate": 2}}
    # A note that comes to where its twin is not goes no further.
    assert here.processor.process(block_of([made[0]._replace(offset=9)])).routed == {}


def test_records_of_many_twins_that_lay_astray_make_one_note_for_each_partition_and_source(probe: TwinType) -> None:
    """Each note ends a block where it goes."""
    here, numbers = Stepping(probe), range(1, 21)
    strangers = [twin for partition in (1, 2) for twin in stepping.ids_of(partition, 10)]
    made = [
        sent(f"{source}:{twin!r}", twin, n, "x") for n in numbers for twin in strangers for source in ("mqtt", "amqp")
    ]
    numbered = [one._replace(offset=at) for at, one in enumerate(made)]
    (notes,) = here.processor.process(block_of(numbered)).routed.values()
    assert len(notes) == 4
    for partition in (1, 2):
        there = Stepping(probe)
        there.processor = TwinProcessor.of(probe, dataclasses.replace(stepping.LINEAGE, partition=partition))
        there.step(*(record(key, value)._replace(headers=headers) for key, value, headers in notes))
        there.snapshot()
        # The notes of the other partition tell of no twin here.
        assert figures(there.run) == {"mqtt": {"expected": 200}, "amqp": {"expected": 200}}


def test_a_device_that_begins_with_zero_loses_nothing(probe: TwinType) -> None:
    found = counted(probe, *(sent("mqtt:t", TWIN, seq) for seq in (0, 1, 2, 0)))
    assert found == {"mqtt": {"expected": 3, "received": 4, "duplicate": 1}}
    # Also where the counter 0 is one that follows others.
    found = counted(probe, *(sent("mqtt:t", TWIN, seq, boot) for boot in ("x", "y") for seq in (2, 0, 1, 4)))
    assert found == {"mqtt": {"expected": 10, "received": 8, "missing": 2}}


def test_the_account_goes_on_under_another_version(probe: TwinType, cache: Path, tmp_path: Path) -> None:
    engine = Stepping(probe)
    engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (1, 2, 5)))
    engine.switch(load_type(stepping.probe_type(tmp_path, extra="deadletter"), "other", cache))
    run = engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (6, 4, 4)))
    engine.snapshot()
    assert figures(run) == {"mqtt": {"expected": 6, "received": 6, "duplicate": 1, "missing": 1}}


def test_telemetry_before_any_version_and_processing_that_fails_are_in_the_account(probe: TwinType) -> None:
    engine = Stepping(probe)
    engine.processor = type(engine.processor)("probe", stepping.LINEAGE, engine.versions)
    engine.step(sent("mqtt:t", TWIN, 1))
    engine.step(stepping.switch("content"), sent("mqtt:t", TWIN, 3))
    engine.run.take(engine.processor.refuse(block_of([sent("mqtt:t", TWIN, 4)._replace(offset=9)]), "x"))
    engine.snapshot()
    assert figures(engine.run) == {"mqtt": {"expected": 4, "received": 3, "deadlettered": 2, "missing": 1}}


@pytest.mark.parametrize("lineage", [Lineage("cluster", "made anew", 0), Lineage("another", "topic", 0)])
def test_an_input_that_was_made_anew_begins_a_new_account(cache: Path, tmp_path: Path, lineage: Lineage) -> None:
    engine = Stepping(load_type(stepping.probe_type(tmp_path, expected_rate_hz="1"), "content", cache))
    without = [record(OTHER, msgspec.json.encode({**GOOD, "a": a}), received_ns=START_NS) for a in (1.0, 2.0)]
    engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (1, 2, 5)), sent("amqp:e/k", TWIN, 2), *without)
    engine.snapshot()
    assert engine.run.changelog[account.TRAILS_KEY_PREFIX + TWIN] is not None
    engine.lineage = lineage
    engine.restart()
    # What devices send again is no duplicate here, and what was missing there is not filled.
    later = record(OTHER, msgspec.json.encode({**GOOD, "a": 3.0}), received_ns=START_NS + 60 * 10**9)
    run = engine.step(*(sent("mqtt:t", TWIN, seq, "x") for seq in (1, 2, 3)), later)
    engine.restart()
    wanted = {"mqtt": {"expected": 3, "received": 3}, "amqp": {}, "kafka": {"expected": 1, "received": 1}}
    assert figures(run) == wanted
    stored = msgspec.json.decode(run.changelog[b"#account"] or b"")
    assert (stored["cluster"], stored["topic_id"]) == (lineage.cluster, lineage.topic_id)
    assert run.changelog[account.TRAILS_KEY_PREFIX + TWIN] is None


def test_memory_is_bounded(probe: TwinType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "MOST_HOLES", 3)
    monkeypatch.setattr(trails, "MOST_TRAILS", 2)
    found = counted(probe, *(sent("mqtt:t", TWIN, seq, "x") for seq in (*range(2, 14, 2), 3, 11)))
    # The holes at 1, 3 and 5 were given up: what comes of them is a duplicate, and stays missing.
    assert found == {"mqtt": {"expected": 12, "received": 8, "duplicate": 1, "missing": 5}}
    found = counted(probe, *(sent("mqtt:t", TWIN, 1, boot) for boot in ("a", "b", "c", "d", "b", "a")))
    assert found == {"mqtt": {"expected": 5, "received": 6, "duplicate": 1}}


def test_what_a_device_without_a_counter_should_have_sent_is_told_by_its_rate(cache: Path, tmp_path: Path) -> None:
    rated = load_type(stepping.probe_type(tmp_path, expected_rate_hz="0.5"), "content", cache)

    def at(seconds: float, twin: bytes = TWIN, source: str = "mqtt:t", **values: Any) -> LogRecord:
        received_ns = START_NS + round(seconds * 1e9)
        value = msgspec.json.encode({**GOOD, "time": received_ns, **values})
        return record(twin, value, source=source, received_ns=received_ns)

    # Every 2 s; 3 are missing before 12 s, one that came twice makes up for none, and a refused one came.
    records = [at(0), at(2), at(4), at(12), at(12), at(14, b="no"), at(14.1, OTHER), at(15, OTHER), at(15.5, seq=1)]
    assert counted(rated, *records) == {
        "mqtt": {"expected": 11, "received": 9, "duplicate": 1, "deadlettered": 1, "missing": 3}
    }
    # What comes after all is missing no longer: by the rate nobody can tell which it was.
    assert counted(rated, *records, at(15.6), at(15.7))["mqtt"]["missing"] == 1
    # What a bridge refused came, too.
    note = record(TWIN, b'{"reason":"too_large"}', kind="refused", source="mqtt:t", received_ns=START_NS + 2 * 10**9)
    assert counted(rated, at(0), note, at(4)) == {"mqtt": {"expected": 3, "received": 3, "deadlettered": 1}}
    # From another source it begins anew.
    assert counted(rated, at(0), at(4), at(20, source="amqp:e/k"), at(22, source="amqp:e/k")) == {
        "mqtt": {"expected": 3, "received": 2, "missing": 1},
        "amqp": {"expected": 2, "received": 2},
    }


def test_records_that_wait_for_earlier_ones_are_there_when_they_come(cache: Path, tmp_path: Path) -> None:
    patient = load_type(stepping.probe_type(tmp_path, reorder_s="10", tick_s="1"), "content", cache)
    made = [
        reading(TWIN, 3, **GOOD, seq=3),
        reading(TWIN, 1, **GOOD, seq=1),
        reading(TWIN, 1, **GOOD, seq=1),
        reading(OTHER, 2, **{**GOOD, "b": "no"}, seq=2),
    ]
    assert counted(patient, *made) == {
        "kafka": {"expected": 5, "received": 4, "duplicate": 1, "deadlettered": 1, "missing": 2}
    }
    # What is late is known when it is stepped.
    later = [reading(TWIN, 30, **GOOD, seq=4), reading(TWIN, 2, **GOOD, seq=2), reading(TWIN, 45, **GOOD, seq=5)]
    assert counted(patient, *made, *later) == {
        "kafka": {"expected": 7, "received": 7, "duplicate": 1, "late": 1, "deadlettered": 1, "missing": 1}
    }


def test_what_a_tick_lets_go_too_late_is_stored_with_nothing_behind_it(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(load_type(stepping.probe_type(tmp_path, reorder_s="10", tick_s="1"), "content", cache))
    engine.step(reading(TWIN, 100, **GOOD, seq=1), tick(20), reading(TWIN, 95, **GOOD, seq=2))
    engine.restart()
    engine.step(tick(40))
    engine.snapshot()
    assert figures(engine.run) == {"kafka": {"expected": 2, "received": 2, "late": 1}}
