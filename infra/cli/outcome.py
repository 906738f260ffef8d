"""Sending a request to a twin and waiting for what comes of it."""

import json
import threading
from collections.abc import Mapping
from queue import Empty, Queue
from typing import Any

from infra.cli.client import Api, ApiError
from schemas.clock import SystemClock

_SUBSCRIBE_TIMEOUT_S = 2.0
_OUTCOMES = ("request_accepted", "request_rejected")


def send_request(
    api: Api, type_name: str, twin: str, name: str, body: Mapping[str, Any], wait_s: float
) -> dict[str, Any]:
    """Send it; returns the API's answer with `outcome` and `reason`, None when none came in time."""
    events: Queue[dict[str, Any] | None] = Queue()
    if wait_s > 0:
        # Listening begins first: the outcome may be there before the answer is read.
        threading.Thread(target=_listen, args=(api, type_name, twin, events), daemon=True).start()
        _next(events, _SUBSCRIBE_TIMEOUT_S)
    answer: dict[str, Any] = api.send("POST", "twins", type_name, twin, "requests", name, body=body)
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + wait_s
    while (left_s := deadline_s - clock.monotonic_s()) > 0:
        event = _next(events, left_s)
        if event is None:
            break
        if event.get("name") in _OUTCOMES and event.get("id") == answer["id"]:
            return answer | {"outcome": event["name"], "reason": event["data"].get("reason") or None}
    return answer | {"outcome": None, "reason": None}


def _next(events: Queue[dict[str, Any] | None], timeout_s: float) -> dict[str, Any] | None:
    try:
        return events.get(timeout=timeout_s)
    except Empty:
        return None


def _listen(api: Api, type_name: str, twin: str, events: Queue[dict[str, Any] | None]) -> None:
    """Queue the twin's events; the first item only says that the stream is open."""
    try:
        with api.events({"type": type_name, "id": twin}) as stream:
            # With type and id the stream begins with the twin's state.
            events.put({})
            for name, data in stream:
                if name == "event":
                    events.put(json.loads(data))
    except ApiError:
        # What is wrong is told by the request itself, which goes the same way.
        events.put(None)
