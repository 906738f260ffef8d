"""Server-sent frames of the feed back into what they tell. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec


def told(frames: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name (`command` or `event`) and data of each frame; comments are passed over."""
    for frame in frames.split(b"\n\n"):
        name, data = "", b""
        for line in frame.split(b"\n"):
            key, _, value = line.partition(b": ")
            if key == b"event":
                name = value.decode()
            elif key == b"data":
                data = value
        if name and data:
            try:
                decoded = msgspec.json.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # no role of ours wrote it; the feed says so where it matters
            if isinstance(decoded, dict):
                yield name, decoded
