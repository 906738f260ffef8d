"""A dead letter as the record that it was: what is sent when it is redriven. Pure."""

import base64
from collections.abc import Callable

from connectors.intake import value_of
from schemas.errors import InvalidNameError, PayloadError
from schemas.headers import ID, KIND, RECEIVED, REDRIVE, SOURCE, Kind
from schemas.messages import RAW_LIMIT_BYTES, DeadLetter
from schemas.names import check_twin_id, parse_type
from schemas.partitioning import partition_of
from schemas.topics import TypeTopics
from streams.log.atomic import Addressed

_KINDS = {kind.value for kind in (Kind.TELEMETRY, Kind.REQUEST, Kind.PARAMETERS, Kind.ACK)}


def why_not(letter: DeadLetter, is_deployed: Callable[[str], bool]) -> str:
    """Why a letter can't be sent again, `""` when it can."""
    topic = letter.source.removeprefix("kafka:").partition("/")[0]
    kind = letter.headers.get(KIND, Kind.TELEMETRY.value)
    why = ""
    if letter.sha256:
        why = f"its payload was cut: {letter.size} bytes, of which the letter has the first {RAW_LIMIT_BYTES}"
    elif letter.source.startswith("kafka:") and not topic.endswith(".telemetry"):
        why = f"it comes from {topic}, which is no input of a type"
    elif kind not in _KINDS:
        why = f"records of kind {ascii(kind)[:60]} are not sent again"
    else:
        try:
            parse_type(letter.type)
            check_twin_id(letter.twin)
            if not is_deployed(letter.type):
                why = f"type {letter.type} is not deployed: deploy it first"
            _value(letter)
        except InvalidNameError as error:
            why = f"it can't be told which twin it is for: {error}"
        except PayloadError as error:
            why = f"its payload is no value of {letter.field}: {error.detail}"
    return why


def record_of(letter: DeadLetter, partitions: int) -> Addressed:
    """The record to send, for an input topic of so many partitions.

    It carries the arrival of then: what has no device time is stepped at its own time, and no time to live starts anew.
    """
    headers = {
        **letter.headers,
        RECEIVED: str(letter.received_ns),
        SOURCE: letter.source,
        REDRIVE: letter.id,
    }
    if headers.get(KIND) == Kind.REQUEST.value:
        headers.setdefault(ID, letter.id)
    return Addressed(
        topic=TypeTopics(letter.type).telemetry,
        partition=partition_of(letter.twin, partitions),
        key=letter.twin.encode(),
        value=_value(letter),
        headers=tuple((name, value.encode()) for name, value in headers.items()),
    )


def _value(letter: DeadLetter) -> bytes:
    return value_of(base64.b64decode(letter.raw_base64), letter.headers.get(KIND, ""), letter.field)
