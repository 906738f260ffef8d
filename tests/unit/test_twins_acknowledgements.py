"""A device can acknowledge what its own twin was told lately, and nothing else."""

from typing import Any

import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Run, Stepping, acknowledgement, reading, record, request

from streams.log.record import LogRecord
from twins.layout import ISSUED_DEPTH
from twins.twin_type import TwinType

TWIN, OTHER = TWINS[:2]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(stepping.probe_type(tmp_path_factory.mktemp("probe")), "content", tmp_path_factory.mktemp("cache"))


def _valve(at: int) -> LogRecord:
    """A record that opens or closes the valve, in turn, from the first on."""
    return reading(TWIN, at, a=1000 if at % 2 else 1, b=1, c=True)


def _ack(value: bytes, twin: bytes = TWIN, name: str = "valve") -> LogRecord:
    return record(twin, value, kind="ack", name=name)


def _acknowledged(run: Run) -> list[dict[str, Any]]:
    return [event["data"] for event in run.messages("events") if event["name"] == "command_acknowledged"]


def _refused(run: Run) -> list[str]:
    return [letter["detail"] for letter in run.messages("deadletter") if letter["reason"] == "invalid_request"]


def test_an_acknowledgement_becomes_an_event_with_the_id_of_its_command(probe: TwinType) -> None:
    engine = Stepping(probe)
    run = engine.step(_valve(0))
    (command,) = (command for command in run.messages("commands") if command["name"] == "valve")
    engine.step(_ack(b'{"id":"%b","more":1}' % command["id"].encode()))
    assert _acknowledged(run) == [{"id": command["id"], "name": "valve"}]
    assert not _refused(run)


@pytest.mark.parametrize(
    "value",
    [
        b'{"id":null}',
        b'{"id":7}',
        b'{"id":"c1"}',
        b'{"id":""}',
        b'{"id":"%b"}' % (b"G" * 32),
        b"[" * 9000,
    ],
)
def test_an_id_is_32_hexadecimal_digits(probe: TwinType, value: bytes) -> None:
    run = Stepping(probe).step(_valve(0), _ack(value))
    assert not _acknowledged(run)
    assert ["32 hexadecimal digits" in detail for detail in _refused(run)] == [True]


@pytest.mark.parametrize(
    ("ack", "detail"),
    [
        (_ack(acknowledgement(0, TWIN, "valve"), twin=OTHER), "not the id"),
        (_ack(acknowledgement(0, OTHER, "valve"), twin=OTHER), "not the id"),
        (_ack(acknowledgement(1, TWIN, "valve")), "not the id"),
        (_ack(acknowledgement(0, TWIN, "valve"), name="power"), "not the id"),
        (_ack(acknowledgement(0, TWIN, "valve"), name="door"), "no command 'door'"),
        (_ack(acknowledgement(0, TWIN, "valve"), name=""), "no command ''"),
        (_ack(acknowledgement(2, TWIN, "power")), "not the id"),
    ],
    ids=["of another twin", "never issued", "of no command", "of another name", "unknown", "unnamed", "out of range"],
)
def test_nobody_acknowledges_what_the_twin_was_not_told(probe: TwinType, ack: LogRecord, detail: str) -> None:
    out_of_range = reading(TWIN, 1, a=900, b=1, c=True)
    other = reading(OTHER, 1, a=1, b=1, c=True)
    run = Stepping(probe).step(_valve(0), other, out_of_range, ack)
    assert not _acknowledged(run)
    assert [detail in text for text in _refused(run)] == [True]


def test_the_last_commands_of_each_name_can_be_acknowledged_and_no_older_one(probe: TwinType) -> None:
    engine = Stepping(probe)
    told = ISSUED_DEPTH + 2
    run = engine.step(*map(_valve, range(told)))
    engine.restart()
    engine.step(request(TWIN, "reset"))
    engine.step(*(_ack(acknowledgement(offset, TWIN, "valve")) for offset in range(told)))
    valves = [command["id"] for command in run.messages("commands") if command["name"] == "valve"]
    assert [data["id"] for data in _acknowledged(run)] == valves[2:]
    assert len(_refused(run)) == 2


@pytest.mark.parametrize("offset", [2**32 - 2, 2**32, 2**40 + 3])
def test_large_offsets_are_told_apart(probe: TwinType, offset: int) -> None:
    engine = Stepping(probe)
    run = engine.step(
        _valve(0)._replace(offset=offset),
        _ack(acknowledgement(offset, TWIN, "valve"))._replace(offset=offset + 5),
        _ack(acknowledgement(offset % 2**32, TWIN, "valve"))._replace(offset=offset + 6),
    )
    assert len(_acknowledged(run)) + len(_refused(run)) == 2
    assert len(_acknowledged(run)) == (2 if offset < 2**32 else 1)
