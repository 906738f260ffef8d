"""What a server's error about one document means. Pure.

Errors of the connection, of the primary and of time come as exceptions of their own from pymongo, or with its label;
they never get here. What is left names one document of a bulk, with a code.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from pymongo.errors import BulkWriteError

_DUPLICATE_KEY = 11000
_BAD_DOCUMENT = frozenset({2, 9, 14, 16, 22, 28, 40, 52, 53, 54, 56, 57, 66, 121, 10334, 17280, 17419, 17420})
"""Codes that speak of the document itself: its values, its keys, its size, the collection's validation."""
_MAY_PASS = frozenset(
    {
        *(6, 7, 89, 384, 9001),  # a server behind the one that answers can't be reached
        *(189, 10058, 10107, 11602, 13435, 13436),  # the primary has changed
        *(91, 11600, 11601),  # it is being shut down, or somebody interrupted the write
        *(24, 46, 50, 112, 202, 262),  # locks, conflicts of writers, time limits
        *(63, 70, 133, 150, 249, 13388),  # which shard has the document is not known at this moment
        *(314, 365, 8000, 14031, 16500),  # busy, throttled, the disk or what was paid for is full
    }
)
_RETRYABLE = "RetryableWriteError"


class Fault(Enum):
    """What to do about a document that the server did not take."""

    KEY_TAKEN = auto()  # its id or another unique key; servers don't say in one way which of them
    REFUSED = auto()  # the server will never take it
    MAY_PASS = auto()  # no fault of the document: wait, and offer it again
    DOUBTFUL = auto()  # nobody knows: offer it again for a while, then give it up


def fault(error: Mapping[str, Any]) -> Fault:
    """What one entry of `writeErrors` means."""
    code = error["code"]
    if code == _DUPLICATE_KEY:
        return Fault.KEY_TAKEN
    if code in _BAD_DOCUMENT:
        return Fault.REFUSED
    return Fault.MAY_PASS if code in _MAY_PASS else Fault.DOUBTFUL


def of_server(error: BulkWriteError) -> str:
    """What was wrong with the server rather than with documents, `""` for nothing."""
    if unconfirmed := error.details.get("writeConcernErrors"):
        return str(unconfirmed[0])
    if error.has_error_label(_RETRYABLE):
        return str(error)
    failed = error.details.get("writeErrors", [])
    passing = [f"error {one['code']}: {one['errmsg']}" for one in failed if fault(one) is Fault.MAY_PASS]
    return passing[0] if passing else "" if failed else str(error)
