"""Telemetry sent by hand, and what became of it."""

import uuid
from typing import Any

import msgspec

from infra.access.caller import Caller
from infra.access.grants import Scope
from infra.console.asking import Outcome
from infra.http import lookup, validation
from infra.http.auditing import acting
from infra.http.letters import Selection
from infra.http.problems import ProblemError
from infra.http.services import LogUnavailableError, Services
from schemas.headers import input_headers
from schemas.topics import PAYLOAD_MAX_BYTES, TypeTopics

_APPLIED_TIMEOUT_S = 5.0
_LOOKED_AT = 20


async def send(services: Services, caller: Caller, type_name: str, twin: str, payload: bytes) -> Outcome:
    """Write one payload to the input of a type, as a bridge would, and wait for what comes of it.

    Args:
        services: Of the API.
        caller: Who sends it.
        type_name: Deployed type.
        twin: Id, of a twin that need not be there yet.
        payload: As a device would send it.
    """
    source = f"http:/try/{uuid.uuid4().hex}"
    try:
        lookup.deployed(services, type_name)
        validation.twin_id(twin)
        if not 0 < len(payload) <= PAYLOAD_MAX_BYTES:
            return Outcome("refused", f"a payload is 1 to {PAYLOAD_MAX_BYTES} bytes, this one has {len(payload)}")
        headers = input_headers(received_ns=services.clock.now_ns(), source=source)
        topic = TypeTopics(type_name).telemetry
        async with acting(
            services, caller, Scope.REQUEST, "telemetry by hand", type_name, twin, payload.decode(errors="replace")
        ):
            partition, offset = await services.writer.write(topic, twin.encode(), payload, headers)
    except ProblemError as error:
        return Outcome("refused", error.detail)
    except LogUnavailableError as error:
        return Outcome("refused", f"the log did not confirm it: {error}")
    place = f"partition {partition}, offset {offset}"
    deadline_s = services.clock.monotonic_s() + _APPLIED_TIMEOUT_S
    while services.clock.monotonic_s() < deadline_s:
        if await services.states.wait_applied(type_name, twin, offset, 0.25):
            state = services.states.twin(type_name, twin)
            return Outcome("done", f"stepped: {place}, revision {state.revision if state else 0}")
        for entry in services.dead_letters.newest(Selection(type=type_name), limit=_LOOKED_AT):
            letter = entry.letter()
            if letter.source == source:
                return Outcome("refused", f"dead letter {letter.reason.replace('_', ' ')}: {letter.detail}")
    why = "late, a duplicate, or no worker runs"
    return Outcome("open", f"written to {place}; the twin does not show it within {_APPLIED_TIMEOUT_S:.0f} s: {why}")


def as_json(values: dict[str, Any]) -> bytes:
    """Values as the JSON that a device would send; what was left empty is left out."""
    return msgspec.json.encode({name: value for name, value in values.items() if value not in {None, ""}})
