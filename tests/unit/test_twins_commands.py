"""Commands: what keeps a wanted one from leaving, and what becomes of one that left."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.plain_commands import PlainCommands, Said
from support.oracle import block_of, load_type
from support.stepping import (
    SECOND,
    START_NS,
    TWINS,
    Run,
    Stepping,
    acknowledgement,
    put,
    reading,
    record,
    request,
    stepped,
    tick,
    write_type,
)

from schemas.headers import STATUS
from streams.log.record import LogRecord
from twins.layout import ISSUED_DEPTH
from twins.twin_type import TwinType

TWIN = TWINS[0]

DRIVE = """\
name: drive
version: 1.0.0
late: {late}
inputs:
  speed: {{type: float, range: [-1000, 1000]}}
  level: {{type: int, range: [-10, 10]}}
  go: {{type: bool}}
  shown: {{type: float}}
parameters:
  top: {{type: float, default: 100.0}}
  safe: {{type: bool, default: true}}
outputs:
  timeseries: {{fields: [speed]}}
  events:
    going: {{when: go, edge: each, data: [level]}}
  commands:
    motor:
      field: speed
      range: [-200, 200]
      max_rate: 10
      min_interval_s: 2
      interlocks:
        top: abs(speed) <= top
        safe: safe and not (go and level < 0)
      confirm: {{field: shown, within_s: 5, tolerance: 0.5}}
    brake: {{field: go, type: bool, interlocks: {{still: speed == 0 or go}}, confirm: {{field: go, within_s: 1}}}}
    pulse: {{field: level, type: int, when: go, min_interval_s: 1, confirm: {{field: shown, within_s: 30}}}}
    step: {{field: level, type: int, range: [-5, 5], refresh_s: 3, confirm: {{field: shown, within_s: 20}}}}
    plain: {{field: level, type: int, refresh_s: 4}}
"""

REST: dict[str, Any] = {"speed": 0.0, "level": 0, "go": False, "shown": 0.0}


def _drive(folder: Path, cache: Path, late: str = "drop") -> TwinType:
    return load_type(write_type(folder, DRIVE.format(late=late)), "content", cache)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module", params=["drop", "flag"])
def drive(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _drive(tmp_path_factory.mktemp("drive") / "drive", cache, request.param)


@pytest.fixture
def engine(drive: TwinType) -> Stepping:
    return Stepping(drive)


def _at(at_s: float, **values: Any) -> LogRecord:
    return reading(TWIN, at_s, **{**REST, **values})


def _commands(run: Run, name: str) -> list[tuple[int, Any, str]]:
    """Second, value and what became of it: `issued`, or the first words of a refusal's reason."""
    return [
        ((one["issued_ns"] - START_NS) // SECOND, one["value"], one.get("reason", one["status"]).partition(":")[0])
        for one in run.messages("commands")
        if one["name"] == name
    ]


def _told(run: Run, name: str) -> list[tuple[int, str, str]]:
    """Second, event and what it says, of the events that tell what became of commands of a name."""
    return [
        (
            (event["event_time_ns"] - START_NS) // SECOND,
            event["name"].removeprefix("command_"),
            event["data"].get("by") or event["data"].get("reason", "").partition(":")[0],
        )
        for event in run.messages("events")
        if event["name"].startswith("command_") and event["data"]["name"] == name
    ]


def test_a_value_that_changes_too_fast_is_refused_once_and_leaves_as_soon_as_it_may(engine: Stepping) -> None:
    run = engine.step(_at(0), *(_at(at_s, speed=50) for at_s in (1, 2, 3, 4, 5, 6)))
    assert _commands(run, "motor") == [(0, 0.0, "issued"), (1, 50.0, "max_rate"), (5, 50.0, "issued")]
    assert [told for told in _told(run, "motor") if told[1] == "refused"] == [(1, "refused", "max_rate")]


def test_a_reason_is_told_once_until_nothing_holds_the_command_back_whatever_is_wanted(
    engine: Stepping,
) -> None:
    refused = [_at(1, speed=50), _at(2, speed=60), _at(3, speed=50)]
    run = engine.step(_at(0), *refused, _at(4), _at(5, speed=90), _at(15, speed=90), _at(16, speed=70))
    assert _commands(run, "motor") == [
        (0, 0.0, "issued"), (1, 50.0, "max_rate"), (5, 90.0, "max_rate"), (15, 90.0, "issued"), (16, 70.0, "max_rate"),
    ]  # fmt: skip
    assert (run.counts["refused", "told"], run.counts["refused", "suppressed"]) == (3, 2)


def test_reasons_that_take_turns_are_told_once_each(engine: Stepping) -> None:
    speeds = (0, 50, 0.5, 50, 0.5, 50, 0.5)
    run = engine.step(*(_at(index / 10, speed=speed) for index, speed in enumerate(speeds)))
    assert [(value, what) for _, value, what in _commands(run, "motor")] == [
        (0.0, "issued"), (50.0, "max_rate"), (0.5, "min_interval"),
    ]  # fmt: skip


def test_over_a_continuous_value_refusals_are_no_more_than_commands_also_after_a_restart(engine: Stepping) -> None:
    for at_s in range(100):
        engine.step(_at(at_s / 10, speed=at_s / 10))
        engine.restart()
    told = [what for _, _, what in _commands(engine.run, "motor")]
    assert told.count("min_interval") == told.count("issued") == 5
    assert engine.run.counts["refused", "suppressed"] == 90


def test_what_is_wanted_no_longer_does_not_leave(engine: Stepping) -> None:
    run = engine.step(_at(0), _at(3, speed=5, go=True, level=-1), _at(4), _at(5, go=True, level=-1))
    assert _commands(run, "motor") == [(0, 0.0, "issued"), (3, 5.0, "interlock safe")]


def test_an_interlock_reads_fields_and_parameters_of_now(engine: Stepping) -> None:
    run = engine.step(put(TWIN, {"safe": False}), _at(0), _at(1), put(TWIN, {"safe": True}), _at(2))
    assert _commands(run, "motor") == [(0, 0.0, "interlock safe"), (2, 0.0, "issued")]
    refusal = run.messages("commands")[0]
    assert refusal["reason"] == "interlock safe: safe and not (go and level < 0)"


def test_rate_and_interval_count_from_the_last_that_was_sent_even_over_a_reset(engine: Stepping) -> None:
    run = engine.step(_at(0), _at(10, speed=90), _at(10.5, speed=95), request(TWIN, "reset"), _at(11, speed=0))
    assert _commands(run, "motor") == [
        (0, 0.0, "issued"), (10, 90.0, "issued"), (10, 95.0, "min_interval"), (11, 0.0, "max_rate"),
    ]  # fmt: skip
    engine.restart()
    assert _commands(engine.step(_at(11.5), _at(19, speed=0)), "motor")[-1] == (19, 0.0, "issued")


def test_a_limit_that_is_new_counts_from_what_the_earlier_version_sent(cache: Path, tmp_path: Path) -> None:
    text = "name: v\nversion: 1.0.0\ninputs: {a: {}}\noutputs: {commands: {c: {field: a}}}\n"
    before = load_type(write_type(tmp_path / "before", text), "before", cache)
    text = text.replace("field: a", "field: a, max_rate: 1")
    after = load_type(write_type(tmp_path / "after", text), "after", cache)
    engine = Stepping(before)
    engine.step(reading(TWIN, 0, a=1.0))
    engine.switch(after)
    run = engine.step(reading(TWIN, 1, a=9.0), reading(TWIN, 8, a=9.0))
    assert _commands(run, "c") == [(0, 1.0, "issued"), (1, 9.0, "max_rate"), (8, 9.0, "issued")]


def test_a_refused_command_is_an_object_that_says_so_in_value_and_header(engine: Stepping) -> None:
    outcome = engine.processor.process(block_of([_at(0, speed=300)._replace(offset=0)]))
    ((key, value, headers),) = [
        record for record in outcome.outputs["twinstream.drive.commands"] if b'"motor"' in (record[1] or b"")
    ]
    assert (key, headers) == (TWIN, ((STATUS, b"refused"),))
    assert (value or b"").endswith(b'"status":"refused","reason":"range: outside the declared range [-200.0, 200.0]"}')
    issued = [record for record in outcome.outputs["twinstream.drive.commands"] if b'"plain"' in (record[1] or b"")]
    assert issued[0][2] == ()
    assert (issued[0][1] or b"").endswith(b'"status":"issued"}')


def test_when_asks_on_every_record_on_which_it_is_true_and_each_refusal_is_told(engine: Stepping) -> None:
    times = ((0, False), (1, True), (1.5, True), (1.7, True), (2, True), (3, False), (4, True))
    run = engine.step(*(_at(at_s, go=go, level=7) for at_s, go in times))
    refused = (1, 7, "min_interval")
    assert _commands(run, "pulse") == [(1, 7, "issued"), refused, refused, (2, 7, "issued"), (4, 7, "issued")]
    assert [told[:2] for told in _told(run, "pulse") if told[1] == "refused"] == [(1, "refused")] * 2


def test_a_later_record_that_shows_the_value_acknowledges(engine: Stepping) -> None:
    run = engine.step(_at(0, shown=9), _at(1, shown=9), _at(2, shown=0.4), _at(3, shown=0.4))
    assert _told(run, "motor") == [(2, "acknowledged", "confirmation")]
    (command,) = (one for one in run.messages("commands") if one["name"] == "motor")
    acknowledged = [event["data"] for event in run.messages("events") if event["name"] == "command_acknowledged"]
    assert {"id": command["id"], "name": "motor", "by": "confirmation"} in acknowledged


def test_a_command_without_its_effect_in_time_has_failed(engine: Stepping) -> None:
    run = engine.step(_at(0, shown=9), _at(5, shown=9), _at(6, shown=0))
    assert _told(run, "motor") == [(6, "failed", "confirm")]
    assert {event["severity"] for event in run.messages("events") if event["name"] == "command_failed"} == {"warning"}


def test_another_value_supersedes_what_is_not_confirmed(engine: Stepping) -> None:
    run = engine.step(_at(0, shown=9), _at(3, shown=9, speed=20), _at(4, shown=20, speed=20))
    assert _told(run, "motor") == [(3, "failed", "superseded"), (4, "acknowledged", "confirmation")]


def test_repeats_of_a_value_are_confirmed_together_or_fail_each_in_its_time(engine: Stepping) -> None:
    run = engine.step(*(_at(at_s, shown=9) for at_s in (0, 3, 6)), _at(7))
    assert [told[:2] for told in _told(run, "step")] == [(7, "acknowledged")] * 3
    later = engine.step(*(_at(at_s, shown=9) for at_s in (8, 12, 33)))
    assert [told for told in _told(later, "step") if told[0] > 7] == [(33, "failed", "confirm")]


def test_more_repeats_than_a_row_remembers_supersede_the_oldest(engine: Stepping) -> None:
    run = engine.step(*(_at(at_s, go=True, shown=9) for at_s in range(ISSUED_DEPTH + 2)))
    assert _told(run, "pulse") == [(8, "failed", "superseded"), (9, "failed", "superseded")]


def test_the_device_s_own_word_settles_a_command_too(engine: Stepping) -> None:
    run = engine.step(_at(0, shown=9), record(TWIN, acknowledgement(0, TWIN, "motor"), kind="ack", name="motor"))
    engine.restart()
    engine.step(_at(7, shown=9))
    assert [told[1:] for told in _told(run, "motor")] == [("acknowledged", "")]


def test_an_event_on_each_record_is_what_a_step_raises(engine: Stepping) -> None:
    run = engine.step(*(_at(at_s, go=at_s != 1, level=at_s) for at_s in range(4)))
    raised = [event["data"]["level"] for event in run.messages("events") if event["name"] == "going"]
    assert raised == [0, 2, 3]


TICKING = """\
name: ticking
version: 1.0.0
tick_s: 1
inputs:
  a: {type: float}
  go: {type: bool}
  shown: {type: float}
pipeline:
  - {name: wake, step: steps.py:wake, runs_on: ticks, outputs: {awake: {type: bool}}}
outputs:
  events:
    going: {when: go, edge: each}
    woke: {when: awake, edge: each}
  commands:
    level: {field: a, min_interval_s: 3, confirm: {field: shown, within_s: 5}}
    pulse: {field: a, when: go}
    call: {field: a, when: awake}
"""


def test_a_shortest_interval_below_a_nanosecond_limits_nothing(cache: Path, tmp_path: Path) -> None:
    text = "name: v\nversion: 1.0.0\ninputs: {a: {}}\noutputs: {commands: {c: {field: a, min_interval_s: 1.0e-12}}}\n"
    engine = Stepping(load_type(write_type(tmp_path / "v", text), "v", cache))
    run = engine.step(*(reading(TWIN, at_s, a=float(at_s)) for at_s in range(3)))
    assert [what for _, _, what in _commands(run, "c")] == ["issued"] * 3


def test_on_ticks_what_waits_leaves_what_is_overdue_fails_and_nothing_is_said_twice(
    cache: Path, tmp_path: Path
) -> None:
    folder = write_type(tmp_path / "ticking", TICKING, steps="def wake(time_s):\n    return time_s % 2 < 1\n")
    engine = Stepping(load_type(folder, "content", cache))
    run = engine.step(
        reading(TWIN, 0, a=1.0, go=True, shown=7.0),
        reading(TWIN, 1, a=2.0, go=True, shown=2.0),
        *map(tick, range(2, 10)),
    )
    assert _commands(run, "level") == [(0, 1.0, "issued"), (1, 2.0, "min_interval"), (3, 2.0, "issued")]
    # What the device showed before can't confirm, however often ticks go by.
    assert _told(run, "level") == [
        (1, "refused", "min_interval"),
        (3, "failed", "superseded"),
        (9, "failed", "confirm"),
    ]
    assert _commands(run, "pulse") == [(0, 1.0, "issued"), (1, 2.0, "issued")]
    assert _commands(run, "call") == [(at_s, 2.0, "issued") for at_s in (2, 4, 6, 8)]
    names = [event["name"] for event in run.messages("events")]
    assert (names.count("going"), names.count("woke")) == (2, 4)
    engine.step(reading(TWIN, 10, a=2.0, go=False, shown=2.0))
    assert [event["name"] for event in run.messages("events")].count("woke") == 4


# -- against plain Python --------------------------------------------------------------------------------------------

LAMP = """\
name: lamp
version: 1.0.0
tick_s: 1
inputs:
  level: {type: float}
pipeline:
  - name: seeing
    step: steps.py:seeing
    runs_on: ticks
    outputs: [seen]
outputs:
  timeseries: {fields: [level]}
  commands:
    dim: {field: level, confirm: {field: seen, within_s: 5}}
"""


def test_what_only_ticks_can_confirm_fails_and_is_superseded_before_the_first_tick(cache: Path, tmp_path: Path) -> None:
    folder = write_type(tmp_path / "lamp", LAMP, steps="def seeing(time_s):\n    return 0.0\n")
    engine = Stepping(load_type(folder, "lamp", cache))
    for at_s, level in ((0, 1.0), (1, 2.0), (2, 3.0), (8, 3.0)):
        engine.step(reading(TWIN, at_s, level=level))
    ids = [one["id"] for one in engine.run.messages("commands")]
    failed = [(one["data"]["id"], one["data"]["reason"].partition(":")[0]) for one in engine.run.messages("events")]
    assert failed == [(ids[0], "superseded"), (ids[1], "superseded"), (ids[2], "confirm")]


_values = st.fixed_dictionaries(
    {
        "speed": st.sampled_from([0, 0, 0, 5, 20, 20, 90, 150, 300, -20]),
        "level": st.sampled_from([0, 0, 1, 1, -1, 7]),
        "go": st.booleans(),
        "shown": st.sampled_from([0, 0.5, 1, 5, 20.4, 7]),
    }
)
_actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([0, 500, 1000, 1000, 2000, 5000, -1500]), _values),
        st.tuples(st.just("reset"), st.just({})),
        st.tuples(st.just("put"), st.sampled_from([{"top": 10.0}, {"top": 100.0}, {"safe": False}, {"safe": True}])),
        st.tuples(st.just("ack"), st.sampled_from([{"back": 1}, {"back": 2}, {"back": 4}])),
    ),
    min_size=1,
    max_size=40,
)


@given(_actions, st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=6))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_outcomes_equal_plain_python_however_blocks_fall(
    drive: TwinType, actions: list[tuple[Any, dict[str, Any]]], cuts: list[tuple[int, bool]]
) -> None:
    made, expected = _played(drive, actions)
    whole, cut = stepped(drive, made), stepped(drive, made, cuts)
    assert cut.outputs == whole.outputs or _by_topic(cut) == _by_topic(whole)
    assert cut.result.states == whole.result.states
    assert _said(whole) == sorted(expected)


def _by_topic(run: Run) -> dict[str, list[Any]]:
    """Time series line by line: their blocks follow the cuts."""
    return {**{topic: run.outputs[topic] for topic in run.outputs if "series" not in topic}, "lines": run.lines()}


def _said(run: Run) -> list[Said]:
    """What commands and events say, by the offset that a command's id stands for."""
    offsets = {(one["id"], one["name"]): one["cause"]["offset"] for one in run.messages("commands")}
    found: list[Said] = [
        (one["status"], one["name"], one["cause"]["offset"], one.get("reason", "").partition(":")[0])
        for one in run.messages("commands")
    ]
    for event in run.messages("events"):
        status = {"command_failed": "failed", "command_acknowledged": "acked"}.get(event["name"])
        if status is not None and (status == "failed" or "by" in event["data"]):
            name, reason = event["data"]["name"], event["data"].get("reason", "").partition(":")[0]
            found.append((status, name, offsets[event["data"]["id"], name], reason))
    refused = [event["data"]["id"] for event in run.messages("events") if event["name"] == "command_refused"]
    assert refused == [one["id"] for one in run.messages("commands") if one["status"] == "refused"]
    ids = [event["id"] for event in run.messages("events")]
    assert len(set(ids)) == len(ids)
    return sorted(found)


def _played(drive: TwinType, actions: list[tuple[Any, dict[str, Any]]]) -> tuple[list[LogRecord], list[Said]]:
    """Records, and what plain Python makes of them."""
    plain = PlainCommands(drive.definition)
    parameters: dict[str, Any] = {name: one.default for name, one in drive.definition.parameters.items()}
    made: list[LogRecord] = []
    said: list[Said] = []
    now_ms, latest_ms, sent = 0, -1, list[int]()
    for offset, (what, values) in enumerate(actions):
        match what:
            case "reset":
                plain.reset()
                made.append(request(TWIN, "reset", f"r{offset}"))
            case "put":
                parameters |= values
                made.append(put(TWIN, values))
            case "ack":
                cause = max(offset - values["back"], 0)
                made.append(record(TWIN, acknowledgement(cause, TWIN, "motor"), kind="ack", name="motor"))
                if cause in sent[-ISSUED_DEPTH:]:
                    plain.acknowledge("motor", cause)
            case _:
                now_ms = max(0, max(latest_ms, 0) + what)
                made.append(record(TWIN, _payload(now_ms, offset, values)))
                if now_ms >= latest_ms:  # every input comes with each record, so that what is late is outdated
                    told = plain.take(START_NS + now_ms * 10**6, offset, {**values, **parameters})
                    said += told
                    sent += [cause for status, name, cause, _ in told if (status, name) == ("issued", "motor")]
                latest_ms = max(now_ms, latest_ms)
    return made, said


def _payload(now_ms: int, offset: int, values: dict[str, Any]) -> bytes:
    """With a counter, so that equal records are no duplicates."""
    value = reading(TWIN, now_ms / 1000, **values, seq=offset).value
    assert value is not None
    return value
