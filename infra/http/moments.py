"""Times that callers give, as nanoseconds."""

import re

from connectors.series import TIME_MAX_NS
from infra.http.problems import Fault, Kind, ProblemError
from schemas.errors import PayloadError
from schemas.telemetry import parse_time

_UNESCAPED_PLUS = re.compile(r" (\d{2}:\d{2})$")
"""A `+` that a client left as it is arrives as a space."""


def moment(parameter: str, text: str | None) -> int | None:
    """Nanoseconds since the Unix epoch, or RFC 3339; None stays None.

    Raises:
        ProblemError: it is neither.
    """
    if text is None:
        return None
    try:
        time_ns = parse_time(int(text) if text.isascii() and text.isdecimal() else _UNESCAPED_PLUS.sub(r"+\1", text))
    except (PayloadError, ValueError) as error:
        detail = error.detail if isinstance(error, PayloadError) else "too many digits"
        faults = [Fault(parameter=parameter, detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"{parameter}: {detail}", faults=faults) from None
    return min(time_ns, TIME_MAX_NS)
