"""Who is let in: what a call shows, checked."""

import hashlib
import hmac
from typing import Protocol

from infra.access.caller import ANYBODY, Caller, CredentialError
from infra.access.grants import Scope
from infra.access.sessions import Sessions
from infra.access.tokens import TokenTable, is_token
from schemas.clock import Clock, SystemClock

LOCAL = Caller("local", "local", frozenset(Scope), credential="local")
"""Whoever may read the data directory of the instance."""


class Issuer(Protocol):
    """Checks tokens of an OpenID provider."""

    async def caller(self, shown: str) -> Caller:
        """Who shows a token.

        Raises:
            CredentialError: it is none of the provider's, or not for us, or not good now.
            UndecidedError: the provider's keys can't be had.
        """


class Gate:
    """Decides who calls.

    Args:
        required: Whether everybody has to show something.
        tokens: API tokens.
        issuer: Checks tokens of an OpenID provider; None: there is none.
        local_secret: What the owner of the data directory shows; `""`: nothing.
        clock: Where to ask for the time.
    """

    def __init__(
        self,
        *,
        required: bool = False,
        tokens: TokenTable | None = None,
        issuer: Issuer | None = None,
        local_secret: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.required = required
        self.tokens = tokens or TokenTable()
        self.sessions = Sessions()
        self._issuer = issuer
        self._local = hashlib.sha256(local_secret.encode()).digest() if local_secret else b""
        self._clock = clock or SystemClock()

    async def caller(self, shown: str, cookie: str = "") -> Caller | None:
        """Who calls; None when nothing is shown that would be needed.

        Args:
            shown: The bearer token, `""` for none. What is shown is checked, also where nothing needs to be.
            cookie: Of a session, `""` for none.

        Raises:
            CredentialError: what is shown is no good.
            UndecidedError: it can't be checked now.
        """
        if shown:
            return await self.proved(shown)
        now_ns = self._clock.now_ns()
        found = self.sessions.caller(cookie, now_ns) if cookie else None
        if found is not None and self.good(found):
            return found
        return None if self.required else ANYBODY

    async def proved(self, shown: str) -> Caller:
        """Who shows a bearer token.

        Raises:
            CredentialError: it is no good.
            UndecidedError: it can't be checked now.
        """
        if self._local and hmac.compare_digest(hashlib.sha256(shown.encode()).digest(), self._local):
            return LOCAL
        if is_token(shown) or self._issuer is None:
            return self.tokens.caller(shown, self._clock.now_ns())
        return await self._issuer.caller(shown)

    def now_ns(self) -> int:
        """The time by which what is shown ends, UTC nanoseconds."""
        return self._clock.now_ns()

    def good(self, caller: Caller) -> bool:
        """Whether what a caller showed is still good: what lasts, such as a stream, asks again and again."""
        now_ns = self._clock.now_ns()
        if caller.expires_ns is not None and now_ns >= caller.expires_ns:
            return False
        if caller.session and not self.sessions.lasts(caller.session, now_ns):
            return False
        return caller.via != "token" or not self.tokens.fault(caller.credential, now_ns)


def bearer(authorization: list[str]) -> str:
    """The bearer token of `Authorization` headers, `""` when there is none.

    Raises:
        CredentialError: several, or of another scheme.
    """
    if not authorization:
        return ""
    scheme, _, token = authorization[0].partition(" ")
    token = token.strip()
    if len(authorization) != 1 or scheme.lower() != "bearer" or not token or not token.isascii():
        message = "Authorization must be given once, as `Bearer` and a token"
        raise CredentialError(message)
    return token
