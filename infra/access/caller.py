"""Who calls."""

from dataclasses import dataclass
from typing import Literal

from infra.access.grants import UNLIMITED, Grants, Scope
from schemas.errors import TwinstreamError

Via = Literal["nothing", "local", "token", "oidc"]


class CredentialError(TwinstreamError):
    """What the caller shows proves nothing: unknown, wrong, expired or revoked."""


class UndecidedError(TwinstreamError):
    """Whether it proves anything can't be told now: the log of tokens or the provider's keys were not read yet."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls, with what was proved.

    Attributes:
        name: For people and the audit trail: name of the token, or who the provider says it is.
        via: How it was proved.
        credential: Id of the token, or issuer and subject; `""` without any. One caller for rate limits.
        expires_ns: UTC nanoseconds from which on it is proved no longer, None for never.
        session: Which session of a browser stands for it, `b""` where it was shown itself.
    """

    name: str
    via: Via
    scopes: frozenset[Scope]
    grants: Grants = UNLIMITED
    credential: str = ""
    expires_ns: int | None = None
    session: bytes = b""

    def may(self, scope: Scope) -> bool:
        """Whether a scope is held."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANYBODY = Caller("", "nothing", frozenset(Scope))
"""Whoever reaches the port of an instance in which nobody has to show anything."""
