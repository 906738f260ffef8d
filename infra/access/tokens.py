"""API tokens: made once, shown once, kept as hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

import msgspec
import structlog

from infra.access.caller import Caller, CredentialError, UndecidedError
from infra.access.grants import Grants, Scope
from streams.log.record import LogRecord

PREFIX = "ts"
_ID_BYTES = 8
_SECRET_BYTES = 32

log = structlog.get_logger(__name__)


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token as the log keeps it; value of `twinstream.tokens`.

    Attributes:
        hash: SHA-256 of its 32 random bytes as they are written, hexadecimal. So many random bytes can't be guessed,
            so that a slow hash would add nothing.
        types: Granted types; none of both: everything.
        twins: Granted twins, `{type}/{id}`.
        created_by: Name of the caller who made it.
        expires_ns: UTC nanoseconds from which on it is good no longer; 0: never.
        revoked_ns: When it was revoked; 0: it was not.
    """

    id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    types: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    created_ns: int
    created_by: str = ""
    expires_ns: int = 0
    revoked_ns: int = 0
    revoked_by: str = ""

    def caller(self) -> Caller:
        """Who shows it."""
        grants = Grants(frozenset(self.types), frozenset(self.twins))
        return Caller(self.name, "token", frozenset(self.scopes), grants, self.id, self.expires_ns or None)

    def fault(self, now_ns: int) -> str:
        """Why it is no good, `""` while it is."""
        if self.revoked_ns:
            return "the token was revoked"
        return "the token is expired" if self.expires_ns and now_ns >= self.expires_ns else ""


def new_secret() -> tuple[str, str, str]:
    """Id, what its owner is shown, and what is kept."""
    token_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return token_id, f"{PREFIX}_{token_id}_{secret}", hash_of(secret)


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_token(shown: str) -> bool:
    """Whether it has the form of an API token, so that no provider is asked about it."""
    return shown.startswith(f"{PREFIX}_")


class TokenTable:
    """Every token by its id.

    Attributes:
        complete: Whether all that the log holds is here. Before, a revocation may still come, so that nothing counts.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self.complete = complete
        self._tokens: dict[str, Token] = {}

    def completed(self) -> None:
        """All that the log held is here."""
        self.complete = True

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of the log."""
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                self._tokens.pop(record.key.decode(errors="replace"), None)
                continue
            try:
                self.put(msgspec.json.decode(record.value, type=Token))
            except msgspec.MsgspecError as error:
                # Whatever it was, it does not let anybody in.
                self._tokens.pop(record.key.decode(errors="replace"), None)
                log.warning("a record among the tokens is none", offset=record.offset, error=str(error))

    def put(self, token: Token) -> None:
        """Know a token; one that was revoked stays so, in whatever order its records are heard of."""
        before = self._tokens.get(token.id)
        if before is None or not before.revoked_ns:
            self._tokens[token.id] = token

    def get(self, token_id: str) -> Token | None:
        """One token."""
        return self._tokens.get(token_id)

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        return sorted(self._tokens.values(), key=lambda token: (token.created_ns, token.id))

    def caller(self, shown: str, now_ns: int) -> Caller:
        """Who shows a token.

        Raises:
            CredentialError: it is none, or is good no longer.
            UndecidedError: the log was not read yet.
        """
        rest = shown.removeprefix(f"{PREFIX}_") if is_token(shown) else ""
        token_id, _, secret = rest.partition("_")
        token = self._tokens.get(token_id)
        # Compared in constant time, and also where there is nothing to compare with.
        same = hmac.compare_digest(hash_of(secret), token.hash if token else hash_of(""))
        if not self.complete:
            message = "the tokens are still being read from the log; try again"
            raise UndecidedError(message)
        if token is None or not same:
            message = "the token is unknown: `twinstream token create NAME` makes one"
            raise CredentialError(message)
        if fault := token.fault(now_ns):
            raise CredentialError(fault)
        return token.caller()

    def fault(self, token_id: str, now_ns: int) -> str:
        """Why a token that was good once is no longer, `""` while it is."""
        token = self._tokens.get(token_id)
        return token.fault(now_ns) if token else "the token is gone"
