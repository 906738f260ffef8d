"""Where the API may listen: elsewhere than on loopback only if callers have to show who they are."""

from infra.access.loopback import is_loopback
from infra.settings import Settings
from schemas.errors import SetupError


def check_listening(settings: Settings) -> None:
    """Refuse to listen where others could call without showing anything.

    Raises:
        SetupError: naming what is missing.
    """
    if not settings.auth.is_required and not is_loopback(settings.http.host):
        message = (
            f"http.host is {settings.http.host}, where others can reach the API, and nobody has to show who they are:"
            " auth.required is missing; set auth.required: true (TWINSTREAM_AUTH__REQUIRED=true), or auth.issuer for"
            " an OpenID provider, or leave http.host on 127.0.0.1"
        )
        raise SetupError(message)
