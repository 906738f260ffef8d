"""Where the API may listen: elsewhere than on loopback only if callers have to show who they are."""

from infra.access.loopback import is_loopback
from infra.settings import Settings
from schemas.errors import SetupError


class OpenToOthersError(SetupError):
    """Others can reach the API and need not show who they are.

    Attributes:
        key: Key path of the setting by which they reach it.
        message: What is wrong with it.
        remedy: What to do about it.
    """

    def __init__(self, key: str, value: str) -> None:
        self.key = key
        self.message = (
            f"at {value} others can reach the API, and nobody has to show who they are: auth.required is missing"
        )
        self.remedy = (
            "set auth.required: true (TWINSTREAM_AUTH__REQUIRED=true), or auth.issuer for an OpenID provider, or leave "
            + ("http.host on 127.0.0.1" if key == "http.host" else f"{key} away")
        )
        super().__init__(f"{key}: {self.message}; {self.remedy}")


def check_listening(settings: Settings) -> None:
    """Refuse to listen where others could call without showing anything.

    Raises:
        OpenToOthersError: naming what is missing.
    """
    if settings.auth.is_required:
        return
    public = settings.http.public_origin
    if not is_loopback(settings.http.host):
        raise OpenToOthersError("http.host", settings.http.host)
    if public is not None and not is_loopback(public.host):
        raise OpenToOthersError("http.public_url", str(public))
