"""Keeping secrets out of whatever people or log files see."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

MASK = "***"
_SHORTEST_SECRET = 4
# Without the scheme's name: a long word would be looked through from each of its letters.
_CREDENTIALS = re.compile(r"(?P<scheme>://)(?P<user>[^\s/?#@:]*):(?P<password>[^\s/?#@]*)@")
_SECRET_KEY = re.compile(r"password|token|secret|credential", re.IGNORECASE)


def mask_url(text: str) -> str:
    """Replace the password of every URL inside `text`; the user name stays."""
    return _CREDENTIALS.sub(rf"\g<scheme>\g<user>:{MASK}@", text)


def without_credentials(url: str) -> str:
    """A URL without user name and password, for status and clients."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, parts.fragment))


def secrets_of(value: object) -> set[str]:
    """Every secret inside a model: its `SecretStr` values and the passwords of its URLs, as written and decoded.

    A password that is the user name of the same URL is none, and would blank that word wherever it stands.
    """
    if isinstance(value, SecretStr):
        return {value.get_secret_value()} - {""}
    if isinstance(value, str):
        matches = _CREDENTIALS.finditer(value)
        found = {match["password"] for match in matches if match["password"] != match["user"]} - {""}
        return found | set(map(unquote, found))
    if isinstance(value, BaseModel):
        return secrets_of({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, Mapping):
        return set[str]().union(*map(secrets_of, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return set[str]().union(*map(secrets_of, value))
    return set()


class Masker:
    """Masks known secrets, passwords in URLs and values whose key says that they are secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A very short secret would mask parts of ordinary words and by that show itself.
        known = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        masked = mask_url(text)
        return self._known.sub(MASK, masked) if self._known else masked

    def value(self, value: Any, key: str = "") -> Any:  # noqa: ANN401 - whatever a log line may hold
        """The same structure without secrets."""
        if isinstance(value, SecretStr) or (key and value and _SECRET_KEY.search(key)):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(item, str(name)) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        if isinstance(value, bool | int | float) or value is None:
            return value
        return self.text(str(value))
