"""Tokens of an OpenID provider: signed by one of its keys, for us, and good now."""

import base64
import binascii
import contextlib
import json
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key

from infra.access.caller import Caller, CredentialError
from infra.access.claims import caller_of_claims
from infra.access.provider_keys import ProviderKeys
from infra.settings import AuthSettings
from schemas.clock import NS_PER_S, Clock, SystemClock

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
"""Of key pairs alone: with a shared secret, or none, whoever knows the public key could sign."""
LEEWAY_S = 30
"""So far the provider's clock may be off."""
_TOKEN_BYTES = 16 * 1024


class OidcIssuer:
    """Checks tokens of the configured provider.

    Args:
        auth: Which provider, and what its claims mean.
        clock: Where to ask for the time.
        keys: Of the provider; made from `auth` unless given.
    """

    def __init__(self, auth: AuthSettings, *, clock: Clock | None = None, keys: ProviderKeys | None = None) -> None:
        self._auth = auth
        self._clock = clock or SystemClock()
        self._keys = keys or ProviderKeys(auth, clock=self._clock)

    async def caller(self, shown: str) -> Caller:
        """Who shows a token.

        Raises:
            CredentialError: it is forged, of somebody else, for somebody else, or not good now.
            UndecidedError: the provider's keys can't be had.
        """
        header = _header(shown)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise CredentialError(f"tokens signed by {ascii(algorithm)[:40]} are not taken")
        if key_id is not None and not isinstance(key_id, str):
            raise CredentialError("`kid` is no text")
        for key in await self._keys.of(key_id):
            claims = _signed(shown, key, algorithm)
            if claims is not None:
                self._check(claims)
                if not _is_for(self._auth.audience, claims):
                    raise CredentialError("the token is for somebody else (`aud`)")
                return caller_of_claims(claims, self._auth)
        raise CredentialError("no key of the provider signed the token")

    def _check(self, claims: dict[str, Any]) -> None:
        now_s = self._clock.now_ns() // NS_PER_S
        registry = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._auth.issuer or ""},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            registry.validate(claims)
            int(claims["exp"])
        except (JoseError, ValueError, TypeError, OverflowError) as error:
            raise CredentialError(f"the token is not good: {error}") from None


def _is_for(audience: str, claims: dict[str, Any]) -> bool:
    told = claims.get("aud")
    return audience in told if isinstance(told, list) else told == audience


def _header(shown: str) -> dict[str, Any]:
    first = shown.partition(".")[0]
    found: Any = None
    if len(shown) <= _TOKEN_BYTES and shown.count(".") == 2:  # noqa: PLR2004 - header, claims and signature
        with contextlib.suppress(ValueError, binascii.Error, RecursionError):
            found = json.loads(base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True))
    if not isinstance(found, dict):
        raise CredentialError("the token is no JSON web token")
    return found


def _signed(shown: str, key: Key, algorithm: str) -> dict[str, Any] | None:
    """The claims, if this key signed them."""
    try:
        claims = jwt.decode(shown, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None
