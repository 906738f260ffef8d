"""Where the API may listen: elsewhere than on loopback only if callers have to show who they are."""

from infra.access.loopback import is_loopback
from infra.settings import Settings
from schemas.errors import SetupError


def check_listening(settings: Settings) -> None:
    """Refuse to listen where others could call without showing anything.

    Raises:
        SetupError: naming what is missing.
    """
    if settings.auth.is_required:
        return
    public = settings.http.public_origin
    if not is_loopback(settings.http.host):
        where, instead = f"http.host is {settings.http.host}", "leave http.host on 127.0.0.1"
    elif public is not None and not is_loopback(public.host):
        where, instead = f"http.public_url is {public}", "leave http.public_url away"
    else:
        return
    message = (
        f"{where}, where others can reach the API, and nobody has to show who they are:"
        " auth.required is missing; set auth.required: true (TWINSTREAM_AUTH__REQUIRED=true), or auth.issuer for"
        f" an OpenID provider, or {instead}"
    )
    raise SetupError(message)
