"""Where a client of the event stream is in the log, as a text that it sends back after a reconnect. Pure."""

import re
from collections.abc import Iterable, Mapping

from schemas.topics import TypeTopics, type_of_topic

Positions = dict[tuple[str, int], int]
"""Next offset by topic and partition."""

TEXT_LIMIT = 32 * 1024
_TYPE = re.compile(r"([a-z0-9_-]{1,81}):((?:[ce][0-9]{1,4}=[0-9]{1,18},?)*)")
_PLACE = re.compile(r"([ce])([0-9]{1,4})=([0-9]{1,18})")


def written(positions: Mapping[tuple[str, int], int]) -> str:
    """Positions in commands and events of types: `incubator:c0=17,e0=3;tank:c1=5`."""
    types: dict[str, list[str]] = {}
    for (topic, partition), offset in sorted(positions.items()):
        kind = "e" if topic.endswith(".events") else "c"
        types.setdefault(type_of_topic(topic), []).append(f"{kind}{partition}={offset}")
    return ";".join(f"{name}:{','.join(places)}" for name, places in sorted(types.items()))


def read(text: str) -> Positions:
    """Undo `written`.

    Raises:
        ValueError: `text` is no such thing.
    """
    found: Positions = {}
    if len(text) > TEXT_LIMIT:
        message = "too long"
        raise ValueError(message)
    for part in filter(None, text.split(";")):
        match = _TYPE.fullmatch(part)
        if match is None:
            message = "expected the id of an event of this stream"
            raise ValueError(message)
        topics = TypeTopics(match[1])
        for kind, partition, offset in _PLACE.findall(match[2]):
            found[topics.events if kind == "e" else topics.commands, int(partition)] = int(offset)
    return found


def of_type(positions: Mapping[tuple[str, int], int], type_name: str) -> Positions:
    """Those in topics of a type, `""` for all."""
    return {place: offset for place, offset in positions.items() if type_name in {"", type_of_topic(place[0])}}


def missed(then: Mapping[tuple[str, int], int], now: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], range]:
    """What came between two positions; a partition that was not there then is missed from its beginning."""
    found = {place: range(then.get(place, 0), end) for place, end in now.items()}
    return {place: offsets for place, offsets in found.items() if offsets}


def number(ranges: Iterable[range]) -> int:
    """How many offsets they hold."""
    return sum(map(len, ranges))
