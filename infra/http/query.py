"""Query parameters that nobody reads are faults: a misspelt filter must not look like one that matched everything."""

from fastapi import Request
from fastapi.routing import APIRoute

from infra.http.problems import Fault, Kind, ProblemError


async def only_known(request: Request) -> None:
    """Refuse query parameters that the endpoint does not declare.

    Raises:
        ProblemError: naming each, and those that there are.
    """
    route = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params] if isinstance(route, APIRoute) else []
    there_are = f"there are: {', '.join(known)}" if known else "there is none here"
    faults = [
        Fault(parameter=name, detail=f"no such query parameter; {there_are}")
        for name in dict.fromkeys(request.query_params)
        if name not in known
    ]
    if faults:
        shown = ", ".join(ascii(fault.parameter)[1:-1] for fault in faults)
        raise ProblemError(Kind.INVALID_VALUES, f"{shown}: {faults[0].detail}", faults=faults)
