"""What the claims of an OpenID provider's token permit. Pure."""

from collections.abc import Mapping
from typing import Any

from infra.access.caller import Caller, CredentialError
from infra.access.grants import UNLIMITED, Grants, Scope
from infra.settings import AuthSettings
from schemas.clock import NS_PER_S
from schemas.errors import InvalidNameError

_OWN_PREFIX = "twinstream:"
_TEXT_LIMIT = 256


def caller_of_claims(claims: Mapping[str, Any], auth: AuthSettings) -> Caller:
    """The caller that checked claims speak of.

    Raises:
        CredentialError: they permit nothing, or what they say can't be read.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        message = "the token names no subject (`sub`)"
        raise CredentialError(message)
    name = claims.get(auth.name_claim)
    shown = name if isinstance(name, str) and name else subject
    return Caller(
        name=shown[:_TEXT_LIMIT],
        via="oidc",
        scopes=_scopes(claims, auth),
        grants=_grants(claims, auth),
        credential=f"{auth.issuer} {subject}"[:_TEXT_LIMIT],
        expires_ns=int(claims["exp"]) * NS_PER_S,
    )


def _scopes(claims: Mapping[str, Any], auth: AuthSettings) -> frozenset[Scope]:
    found: set[Scope] = set()
    for word in _words(claims, auth.scopes_claim) or ():
        found |= set(auth.roles.get(word, ()))
        own = word.removeprefix(_OWN_PREFIX)
        if own != word and own in set(Scope):
            found.add(Scope(own))
    return frozenset(found)


def _grants(claims: Mapping[str, Any], auth: AuthSettings) -> Grants:
    types, twins = _words(claims, auth.types_claim), _words(claims, auth.twins_claim)
    if types is None and twins is None:
        return UNLIMITED
    if not types and not twins:
        # Nothing named would look like no limit.
        message = "the token is limited to no type and no twin"
        raise CredentialError(message)
    try:
        return Grants.of(types or (), twins or ())
    except InvalidNameError as error:
        raise CredentialError(str(error)) from None


def _words(claims: Mapping[str, Any], path: str) -> list[str] | None:
    """Words of a claim, of a claim inside others where the path has dots; None when it is not there.

    Raises:
        CredentialError: it is neither a text nor a list of texts.
    """
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        return None
    if isinstance(found, str):
        return found.split()
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        return found
    message = f"the claim {path} is neither a text nor a list of texts"
    raise CredentialError(message)
