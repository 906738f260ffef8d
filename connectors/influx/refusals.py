"""Finding the lines that InfluxDB refuses, with the rest of their batch written."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from connectors.influx.client import RejectedError
from connectors.stores import LogPosition, Refusal

_DROPPED = re.compile(r"dropped=(\d+)\s*$")
_DETAIL_LIMIT = 500


class PlacedLine(NamedTuple):
    """A line and the record that it came with."""

    position: LogPosition
    raw: bytes


async def write_lines(lines: Sequence[PlacedLine], post: Callable[[bytes], Awaitable[None]]) -> list[Refusal]:
    """Post lines; those that are refused come back, all others are written.

    A fault of syntax makes InfluxDB refuse the whole post and quote the bad lines; a conflict of types makes it drop
    points without saying which. So: leave out what it quotes, and halve what it does not. Lines that were taken before
    are posted again on the way, which changes nothing.
    """
    if not lines:
        return []
    try:
        await post(b"\n".join(line.raw for line in lines))
    except RejectedError as rejected:
        message = str(rejected)
        dropped = _DROPPED.search(message)
        if len(lines) == 1 or (dropped and int(dropped[1]) == len(lines)):
            return [Refusal(line.position, line.raw, message[:_DETAIL_LIMIT]) for line in lines]
        quoted = quoted_lines(lines, message)
        if quoted:
            rest = [line for line in lines if line.raw not in quoted]
            named = [Refusal(line.position, line.raw, quoted[line.raw]) for line in lines if line.raw in quoted]
            return named + await write_lines(rest, post)
        middle = len(lines) // 2
        return await write_lines(lines[:middle], post) + await write_lines(lines[middle:], post)
    return []


def quoted_lines(lines: Sequence[PlacedLine], message: str) -> dict[bytes, str]:
    """Lines that a message of refused syntax quotes, with the reason that it gives."""
    reasons = {}
    for part in message.split("unable to parse '")[1:]:
        text, _, reason = part.rstrip("\n").rpartition("': ")
        reasons[text] = reason[:_DETAIL_LIMIT]
    texts = {line.raw: line.raw.decode(errors="replace").strip() for line in lines}
    return {raw: reasons[text] for raw, text in texts.items() if text in reasons}
