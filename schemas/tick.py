"""Ticks: records in a type's input topic by which time goes by for twins that hear nothing."""

import msgspec

from schemas.clock import LATEST_NS
from schemas.errors import PayloadError
from schemas.headers import Headers, Kind, input_headers
from schemas.reasons import Reason

SOURCE = "ticks"
"""Header `ts-source` of a tick."""


class Tick(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Value of a tick record.

    Attributes:
        time_ns: The time that it tells, UTC nanoseconds.
    """

    time_ns: int


def tick_record(time_ns: int) -> tuple[bytes, Headers]:
    """Value and headers of a tick; it has no key."""
    return msgspec.json.encode(Tick(time_ns)), input_headers(received_ns=time_ns, source=SOURCE, kind=Kind.TICK)


def read_tick(value: bytes) -> int:
    """Time of a tick.

    Raises:
        PayloadError: with reason `undecodable` or `invalid_time`.
    """
    try:
        tick = msgspec.json.decode(value, type=Tick)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(Reason.UNDECODABLE, f"no tick: {error}") from None
    if not 0 < tick.time_ns <= LATEST_NS:
        raise PayloadError(Reason.INVALID_TIME, f"a tick's time is from 1 to {LATEST_NS} ns, not {tick.time_ns}")
    return tick.time_ns


def tick_due(now_ns: int, period_ns: int, last_ns: int) -> int | None:
    """The tick to write: the latest multiple of the period, so that all workers tell the same times; None for none new.

    Args:
        now_ns: UTC.
        period_ns: At least 1.
        last_ns: The last tick written, 0 for none.
    """
    tick_ns = now_ns // period_ns * period_ns
    return tick_ns if tick_ns > last_ns else None
