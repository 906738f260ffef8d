"""The public keys of an OpenID provider: found by discovery, kept, and asked for anew when they change."""

import asyncio
import json
import ssl
from typing import Any

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from infra.access.caller import UndecidedError
from infra.settings import AuthSettings
from schemas.clock import Clock

KEPT_S = 600.0
"""After so long they are asked for anew: a key that the provider withdrew is good no longer than this."""
AGAIN_S = 10.0
"""A key that is not known is a reason to ask, at most so often: anybody can name one."""
STALE_S = 3600.0
"""So long they are used when the provider is away."""
_TIMEOUT_S = 5.0
_MOST_BYTES = 1024 * 1024
_MOST_KEYS = 100
_PAIRS = frozenset({"RSA", "EC", "OKP"})

log = structlog.get_logger(__name__)


class ProviderKeys:
    """Keys by their id.

    Args:
        auth: Which provider.
        clock: Where to ask for the time.
    """

    def __init__(self, auth: AuthSettings, *, clock: Clock) -> None:
        self._auth = auth
        self._clock = clock
        self._keys: list[Key] = []
        self._read_s = -STALE_S
        self._asked_s = -AGAIN_S
        self._asking = asyncio.Lock()
        self._fault = ""

    async def of(self, key_id: str | None) -> list[Key]:
        """Keys that may have signed: the one with this id; without an id all.

        Raises:
            UndecidedError: the provider does not tell its keys.
        """
        now_s = self._clock.monotonic_s()
        found = self._found(key_id)
        if now_s - self._read_s >= KEPT_S or not found:
            await self._refresh()
            found = self._found(key_id)
        if not found and self._fault and self._clock.monotonic_s() - self._read_s >= KEPT_S:
            message = f"the keys of the OpenID provider can't be had: {self._fault}"
            raise UndecidedError(message)
        return found

    def _found(self, key_id: str | None) -> list[Key]:
        if self._clock.monotonic_s() - self._read_s >= STALE_S:
            return []
        return [key for key in self._keys if key_id is None or key.kid == key_id]

    async def _refresh(self) -> None:
        """Ask, unless somebody asked just now."""
        async with self._asking:
            now_s = self._clock.monotonic_s()
            if now_s - self._asked_s < AGAIN_S:
                return
            self._asked_s = now_s
            try:
                self._keys = await self._read()
            except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, JoseError) as error:
                fault = str(error) or type(error).__name__
                if not self._fault:
                    log.warning("the keys of the OpenID provider can't be had, trying again", error=fault)
                self._fault = fault
                return
            if self._fault:
                log.info("the OpenID provider tells its keys again")
            self._fault = ""
            self._read_s = now_s

    async def _read(self) -> list[Key]:
        context = ssl.create_default_context(cafile=self._auth.ca_file or None)
        async with httpx.AsyncClient(verify=context, timeout=_TIMEOUT_S, trust_env=False) as client:
            url = self._auth.jwks_url or await self._discovered(client)
            told = await _json(client, url)
        keys = []
        for one in told["keys"][:_MOST_KEYS]:
            # What is for encrypting, or a shared secret, signs nothing for us.
            if one.get("kty") in _PAIRS and one.get("use", "sig") == "sig":
                try:
                    keys.append(JWKRegistry.import_key(one))
                except (JoseError, ValueError, TypeError) as error:
                    log.warning("a key of the OpenID provider can't be read", kid=one.get("kid"), error=str(error))
        return keys

    async def _discovered(self, client: httpx.AsyncClient) -> str:
        issuer = self._auth.issuer or ""
        told = await _json(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if told["issuer"] != issuer:
            message = f"the provider calls itself {ascii(told['issuer'])[:200]}: write auth.issuer exactly so"
            raise ValueError(message)
        return str(told["jwks_uri"])


async def _json(client: httpx.AsyncClient, url: str) -> Any:  # noqa: ANN401 - JSON
    async with client.stream("GET", url, headers={"accept": "application/json"}) as answer:
        answer.raise_for_status()
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                message = f"{url} answers more than {_MOST_BYTES} bytes"
                raise ValueError(message)
    return json.loads(bytes(body))
