"""Sessions of browsers: a random cookie in the place of a token, as long as that token is good."""

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import replace

from infra.access.caller import Caller

COOKIE = "twinstream_session"
_MOST = 10_000
_BYTES = 32


class Sessions:
    """Who logged in; kept in memory, so that a start of the API ends every session."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._callers: OrderedDict[bytes, tuple[Caller, int]] = OrderedDict()

    def begin(self, caller: Caller, until_ns: int) -> str:
        """Value of the new session's cookie; of too many sessions the oldest ends."""
        cookie = secrets.token_urlsafe(_BYTES)
        session = _kept(cookie)
        self._callers[session] = replace(caller, session=session), until_ns
        while len(self._callers) > self._most:
            self._callers.popitem(last=False)
        return cookie

    def caller(self, cookie: str, now_ns: int) -> Caller | None:
        """Whose session it is; None when there is none, or it is over."""
        # Looked up by a hash: how long that takes tells nothing of the cookies that there are.
        caller, until_ns = self._callers.get(_kept(cookie), (None, 0))
        if caller is not None and now_ns >= until_ns:
            self.end(cookie)
            return None
        return caller

    def lasts(self, session: bytes, now_ns: int) -> bool:
        """Whether a caller's session goes on: nobody logged out of it, and its time is not over."""
        _, until_ns = self._callers.get(session, (None, 0))
        return now_ns < until_ns

    def end(self, cookie: str) -> None:
        """Log out."""
        self._callers.pop(_kept(cookie), None)


def _kept(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
