"""Finding what a request's path names, or the problem that ends the request."""

from infra.http import validation
from infra.http.problems import Kind, ProblemError
from infra.http.rows import Deployed
from infra.http.services import Services
from twins.layout import TwinState


def deployed(services: Services, type_name: str) -> Deployed:
    """A deployed type.

    Raises:
        ProblemError: its name is outside the grammar, or there is none.
    """
    validation.type_name(type_name)
    found = services.catalogue.get(type_name)
    if found is None:
        known = ", ".join(sorted(services.catalogue.types())) or "none"
        raise _absent(services, Kind.UNKNOWN_TYPE, f"no type {type_name} is deployed; there are: {known}")
    return found


def existing_twin(services: Services, type_name: str, twin: str) -> TwinState:
    """A twin's latest state.

    Raises:
        ProblemError: a name is outside the grammar, or there is no such type or twin.
    """
    deployed(services, type_name)
    state = services.states.twin(type_name, validation.twin_id(twin))
    if state is None:
        raise _absent(services, Kind.UNKNOWN_TWIN, f"type {type_name} has no twin {twin}")
    return state


def _absent(services: Services, kind: Kind, detail: str) -> ProblemError:
    """Not found; but as long as the log is still being read nobody knows."""
    loading = services.loading()
    if loading:
        detail = f"{loading} are still being read; try again"
        return ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "1"})
    return ProblemError(kind, detail)
