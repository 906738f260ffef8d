"""Records that were dead letters and are sent once more: stepped, no duplicate for having been refused, and told.

Behind the duplicate window nothing is known: what the device itself sent again meanwhile can be stepped twice.
"""

from pathlib import Path
from typing import Any

import pytest
from support import stepping
from support.oracle import block_of, load_type
from support.stepping import TWINS, Run, Stepping, reading, record, request

from schemas.headers import HOPS, ID, KIND, LETTER, NAME, REDRIVE
from streams.log.record import LogRecord
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]
GOOD = {"a": 10.0, "b": 1, "c": True}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def probe(cache: Path, tmp_path: Path) -> TwinType:
    return load_type(stepping.probe_type(tmp_path), "content", cache)


def again(made: LogRecord, letter: str = "0a") -> LogRecord:
    return made._replace(headers=(*made.headers, (REDRIVE, letter.encode())))


def told(run: Run) -> list[tuple[str, str]]:
    return [(note["id"], note["redriven"]["outcome"]) for note in run.messages("deadletter") if "redriven" in note]


def letters(run: Run) -> list[dict[str, Any]]:
    return [letter for letter in run.messages("deadletter") if "redriven" not in letter]


def test_what_is_redriven_is_stepped_and_its_letter_is_told(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(
        reading(TWIN, 0, **GOOD),
        again(reading(TWIN, 1, **GOOD), "01"),
        reading(TWIN, 2, **GOOD),
        again(reading(TWIN, 2, **GOOD), "02"),
        again(reading(TWIN, 1, **GOOD), "03"),
        again(record(TWIN, b"?"), "04"),
    )
    assert told(run) == [("01", "accepted"), ("02", "duplicate"), ("03", "late"), ("04", "undecodable")]
    assert letters(run) == []
    assert run.counts["accepted", ""] == len(run.lines()) == 3
    note = run.messages("deadletter")[3]["redriven"]
    assert (note["partition"], note["offset"]) == (0, 5)
    assert note["detail"]


def test_the_note_names_its_letter_in_a_header(probe: TwinType) -> None:
    outcome = Stepping(probe).processor.process(block_of([again(reading(TWIN, 0, **GOOD))._replace(offset=0)]))
    ((key, _, headers),) = outcome.outputs["twinstream.deadletter"]
    assert (key, headers) == (TWIN, ((LETTER, b"0a"),))


@pytest.mark.parametrize("late", ["drop", "flag", "deadletter"])
def test_results_do_not_depend_on_how_redriven_records_fall_into_blocks(cache: Path, tmp_path: Path, late: str) -> None:
    twin_type = load_type(stepping.probe_type(tmp_path, late=late), "content", cache)
    records = []
    for number in range(40):
        values = GOOD | ({"a": 5000.0} if number % 11 == 5 else {})
        made = reading(TWINS[number % 3], 40 - number if number % 7 == 3 else number // 2, **values, seq=number // 4)
        records.append((made if number % 5 == 4 else again(made, f"{number}"))._replace(offset=number))
    whole = stepping.stepped(twin_type, records)
    single = stepping.stepped(twin_type, records, [(cut, cut % 13 == 0) for cut in range(1, 40)])
    expected = {"accepted", "duplicate", "out_of_range", *(() if late == "flag" else ("late",))}
    assert {outcome for _, outcome in told(whole)} == expected
    assert len(told(whole)) == 32
    assert (whole.result.states, told(whole), whole.counts) == (single.result.states, told(single), single.counts)


@pytest.mark.parametrize("late", ["drop", "flag"])
def test_a_redriven_counter_behind_the_window_is_no_duplicate(cache: Path, tmp_path: Path, late: str) -> None:
    engine = Stepping(load_type(stepping.probe_type(tmp_path, late=late), "content", cache))
    run = engine.step(reading(TWIN, 5, **GOOD, seq=100, boot="x"), again(reading(TWIN, 1, **GOOD, seq=1, boot="x")))
    assert told(run) == [("0a", "accepted" if late == "flag" else "late")]
    # It is told from what lies within the window, and moves it nowhere.
    run = engine.step(again(reading(TWIN, 6, **GOOD, seq=100, boot="x")), reading(TWIN, 6, **GOOD, seq=99, boot="x"))
    assert told(run)[1:] == [("0a", "duplicate")]
    assert run.counts["accepted", ""] == (3 if late == "flag" else 2)


def test_a_redriven_record_of_an_earlier_boot_leaves_the_window_to_the_present_one(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(load_type(stepping.probe_type(tmp_path, late="flag"), "content", cache))
    engine.step(reading(TWIN, 5, **GOOD, seq=7, boot="new"))
    engine.step(again(reading(TWIN, 1, **GOOD, seq=3, boot="old")))
    run = engine.step(reading(TWIN, 6, **GOOD, seq=7, boot="new"))
    assert (run.counts["accepted", ""], run.counts["duplicate", ""]) == (2, 1)


@pytest.mark.parametrize("bad", [{"b": "no"}, {"a": 1001.0}, {"a": 14.0}, {"b": 4}])
def test_a_refused_record_does_not_enter_the_duplicate_window(probe: TwinType, bad: dict[str, Any]) -> None:
    engine = Stepping(probe)
    run = engine.step(reading(TWIN, 0, **GOOD, seq=1, boot="x"), reading(TWIN, 1, **{**GOOD, **bad}, seq=2, boot="x"))
    engine.step(request(TWIN, "release"))
    assert len(letters(run)) == 1
    run = engine.step(again(reading(TWIN, 1, **GOOD, seq=2, boot="x")))
    assert told(run) == [("0a", "accepted")]


def test_requests_are_redriven_as_what_they_were(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(
        reading(TWIN, 0, **GOOD),
        again(request(TWIN, "limit", limit=3), "01"),
        again(request(TWIN, "limit", limit="much"), "02"),
        again(request(OTHER, "limit", limit=3), "03"),
    )
    assert told(run) == [("01", "accepted"), ("02", "rejected"), ("03", "unknown_twin")]
    assert letters(run) == []


def test_a_letter_keeps_the_headers_that_say_what_it_was(probe: TwinType) -> None:
    run = Stepping(probe).step(
        request(OTHER, "limit", "ab", limit=3),
        record(TWIN, b"?")._replace(headers=((HOPS, b"2"), ("bytes", b"\xff"), ("long", b"x" * 2000))),
        record(TWIN, b"?", source="mqtt:a"),
    )
    kept = [letter.get("headers", {}) for letter in run.messages("deadletter")]
    assert kept == [{KIND: "request", NAME: "limit", ID: "ab"}, {HOPS: "2"}, {}]


def test_processing_that_fails_on_a_redriven_record_tells_its_letter(probe: TwinType) -> None:
    engine = Stepping(probe)
    block = block_of([again(reading(TWIN, 0, **GOOD))._replace(offset=0)])
    engine.run.take(engine.processor.refuse(block, "x"))
    assert told(engine.run) == [("0a", "step_failed")]
