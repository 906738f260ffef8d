"""Whether a record may be stepped: duplicates, lateness and quarantine, as a compiled decision per record."""

from typing import Any

import numba

from schemas.reasons import Reason
from twins.layout import QUARANTINED

ACCEPTED = 0
ACCEPTED_LATE = 1  # older than the twin's last, and the type says `late: flag`
DUPLICATE = 2
LATE = 3
IN_QUARANTINE = 4
FAILED = 5  # a step raised
NOT_FINITE = 6  # a step gave NaN or infinity
MISSING = 7  # an input that was never sent, where the type holds the last value

REFUSALS = {
    IN_QUARANTINE: (Reason.QUARANTINED, "the twin is quarantined until the request release"),
    FAILED: (Reason.STEP_FAILED, "a step raised on this record"),
    NOT_FINITE: (Reason.STEP_FAILED, "a step gave NaN or infinity on this record"),
    MISSING: (Reason.MISSING_FIELD, "an input was never sent, so there is no last value to hold"),
}
"""Reason and detail of the records that nobody can use."""

WINDOW = 64
"""A redelivery further back than this many counters counts as a duplicate, too: devices count upwards."""


@numba.njit(nogil=True, inline="never")  # type: ignore[untyped-decorator]
def admit(row: Any, time_ns: int, boot: int, seq: int, payload: int, flag_late: bool) -> int:  # noqa: ANN401, FBT001
    """Decide about one record.

    Args:
        row: The twin's row.
        time_ns: Event time.
        boot: Hash of the device's boot.
        seq: The device's counter, -1 for none.
        payload: Hash of the payload if it carries a device time and no counter, else 0.
        flag_late: Whether a late record is stepped all the same.

    Returns:
        `ACCEPTED`, `ACCEPTED_LATE`, `DUPLICATE`, `LATE` or `IN_QUARANTINE`.
    """
    if seq >= 0:
        if boot == row.boot and row.seq >= 0 and seq <= row.seq:
            age = row.seq - seq
            if age >= WINDOW or (row.window >> age) & 1:
                return DUPLICATE
    elif payload != 0 and row.records > 0 and time_ns == row.event_time_ns and payload == row.payload:
        return DUPLICATE
    if row.status & QUARANTINED:
        return IN_QUARANTINE
    if row.records > 0 and time_ns < row.event_time_ns:
        return ACCEPTED_LATE if flag_late else LATE
    return ACCEPTED


def is_beside_window(row: Any, time_ns: int, boot: int, seq: int) -> bool:  # noqa: ANN401
    """Whether the duplicate window has nothing to say about a record that was refused before, nor to learn from it.

    What was refused never entered the window: that it is further back than the window reaches makes it no duplicate.
    And one of an earlier boot must not take the window from the present one.
    """
    if seq < 0 or row["seq"] < 0:
        return False
    if boot == row["boot"]:
        return bool(row["seq"] - seq >= WINDOW)
    return bool(row["records"] > 0 and time_ns < row["event_time_ns"])


@numba.njit(nogil=True, inline="never")  # type: ignore[untyped-decorator]
def note(row: Any, time_ns: int, offset: int, boot: int, seq: int, payload: int) -> None:  # noqa: ANN401
    """Enter an accepted record into its row's book-keeping."""
    if seq >= 0:
        if boot != row.boot or row.seq < 0:
            row.boot = boot
            row.seq = seq
            row.window = 1
        elif seq > row.seq:
            ahead = seq - row.seq
            row.window = (row.window << ahead) | 1 if ahead < WINDOW else 1
            row.seq = seq
        else:
            row.window = row.window | (1 << (row.seq - seq))
    if row.records == 0 or time_ns >= row.event_time_ns:
        row.event_time_ns = time_ns
        row.payload = payload
    row.offset = offset
    row.records += 1
    row.revision += 1
