"""Sending a request to twins and waiting for what comes of it."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, Queue
from typing import Any

from infra.cli.client import Api, ApiError
from schemas.clock import SystemClock

REJECTED = "request_rejected"
_OUTCOMES = ("request_accepted", REJECTED)
_SUBSCRIBE_TIMEOUT_S = 2.0


def send_request(
    api: Api, type_name: str, twin: str, name: str, body: Mapping[str, Any], wait_s: float
) -> dict[str, Any]:
    """Send it; returns the API's answer with `outcome` and `reason`, None when none came in time."""
    return send_requests(api, type_name, [twin], name, body, wait_s)[0]


def send_requests(
    api: Api,
    type_name: str,
    twins: Sequence[str],
    name: str,
    body: Mapping[str, Any],
    wait_s: float,
    told: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Send the same to several twins, one after another, then wait for the outcomes together.

    Args:
        api: Of the instance.
        type_name: Qualified name.
        twins: Ids.
        name: Of the request.
        body: Its arguments.
        wait_s: How long to wait after the last one is sent; 0 for not at all.
        told: Hears after each how many are sent.

    Returns:
        In the order of `twins` the API's answer with `outcome` and `reason`, None when none came in time.
    """
    events: Queue[dict[str, Any] | None] = Queue()
    if wait_s > 0:
        # Listening begins first: the outcome may be there before the answer is read.
        query = {"type": type_name} | ({"id": twins[0]} if len(twins) == 1 else {})
        threading.Thread(target=_listen, args=(api, query, events), daemon=True).start()
        _next(events, _SUBSCRIBE_TIMEOUT_S)
    sent: list[dict[str, Any]] = []
    for number, twin in enumerate(twins, 1):
        answer = api.send("POST", "twins", type_name, twin, "requests", name, body=body)
        sent.append(answer | {"outcome": None, "reason": None})
        told(number)
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + wait_s
    missing = {answer["id"]: answer for answer in sent}
    while missing and (left_s := deadline_s - clock.monotonic_s()) > 0:
        event = _next(events, left_s)
        if event is None:
            break
        if event.get("name") in _OUTCOMES and event.get("id") in missing:
            missing.pop(event["id"]).update(outcome=event["name"], reason=event["data"].get("reason") or None)
    return sent


def _next(events: Queue[dict[str, Any] | None], timeout_s: float) -> dict[str, Any] | None:
    try:
        return events.get(timeout=timeout_s)
    except Empty:
        return None


def _listen(api: Api, query: Mapping[str, str], events: Queue[dict[str, Any] | None]) -> None:
    """Queue events; the first item only says that the stream is open."""
    try:
        with api.events(query) as stream:
            # With type and id the stream begins with the twin's state.
            events.put({})
            for name, data in stream:
                if name == "event":
                    events.put(json.loads(data))
    except ApiError:
        # What is wrong is told by the request itself, which goes the same way.
        events.put(None)
