"""Which version of a type is in force: records of `twinstream.definitions` beside the bundles, and the switch itself.

Keys: `type/{type}` the version in force; `candidate/{type}` one that workers are asked to compile;
`report/{hash}/{worker}` what came of it; `history/{type}/{time}` every switch there was;
`undeployed/{type}/{time}` every time that a type was taken out of force.
"""

import re

import msgspec

_HASH = re.compile(r"[0-9A-Za-z_-]{1,128}")
TYPE, CANDIDATE, REPORT, HISTORY, UNDEPLOYED = "type", "candidate", "report", "history", "undeployed"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle is in force.

    Attributes:
        type: Qualified type name, also the record's key after `type/`.
        hash: Content hash of the bundle.
        chunks: How many records `bundle/{hash}/{index}` hold it.
        who: Who deployed it.
        deployed: False after `undeploy`; the topics stay.
    """

    type: str
    project: str
    version: str
    hash: str
    chunks: int
    time_ns: int
    who: str = ""
    deployed: bool = True


class Problem(msgspec.Struct, frozen=True):
    """A fault of a bundle, as a worker found it; as `schemas.errors.Problem`."""

    file: str
    line: int
    path: str
    message: str
    remedy: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker made of a candidate.

    Attributes:
        hash: Content hash of the candidate.
        asked_ns: `time_ns` of the candidate that this answers.
        worker: Who tells it.
        problems: Why it can't be compiled; empty when it was.
    """

    hash: str
    asked_ns: int
    worker: str
    problems: list[Problem] = []


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Value of a `switch` record in the input topic: from here on the partition is under another version."""

    definition: str
    version: str = ""
    who: str = ""


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from"}):
    """A switch that was made.

    Attributes:
        start: Offset of the switch record by partition of the input topic.
    """

    type: str
    version: str
    hash: str
    chunks: int
    time_ns: int
    who: str
    start: dict[int, int]


def read_switch(payload: bytes) -> Switch:
    """Read the value of a switch record.

    Raises:
        ValueError: it is none.
    """
    try:
        switch = msgspec.json.decode(payload, type=Switch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"no switch: {error}"
        raise ValueError(message) from None
    if not _HASH.fullmatch(switch.definition):
        message = "no switch: definition must be the content hash of a bundle"
        raise ValueError(message)
    return switch


def key(kind: str, *parts: str) -> bytes:
    """Key of a record in `twinstream.definitions`."""
    return "/".join((kind, *parts)).encode()


def history_key(type_name: str, time_ns: int, kind: str = HISTORY) -> bytes:
    """Key of a switch that was made, or of another `kind` of what happened once; in order of time."""
    return key(kind, type_name, f"{time_ns:020d}")
