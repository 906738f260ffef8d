"""Tokens of an OpenID provider, over HTTP from a provider that the tests run."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from pydantic import ValidationError
from support.http_api import Api
from support.provider import AUDIENCE, Provider, signed

from infra.access.caller import Caller, CredentialError, UndecidedError
from infra.access.gate import Gate
from infra.access.grants import Scope
from infra.access.oidc import OidcIssuer
from infra.access.provider_keys import AGAIN_S, KEPT_S, STALE_S, ProviderKeys
from infra.settings import AuthSettings
from schemas.clock import SystemClock


class HastyClock(SystemClock):
    """The host's, whose seconds a test can let go by."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.passed_s


@pytest.fixture(scope="module")
def shared() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def provider(shared: Provider) -> Provider:
    shared.asked, shared.away = 0, False
    return shared


def auth_of(provider: Provider, **more: Any) -> AuthSettings:
    return AuthSettings.model_validate({"issuer": provider.issuer, "audience": AUDIENCE, **more})


def issuer_of(provider: Provider, clock: SystemClock | None = None, **more: Any) -> OidcIssuer:
    clock = clock or SystemClock()
    auth = auth_of(provider, **more)
    return OidcIssuer(auth, clock=clock, keys=ProviderKeys(auth, clock=clock))


@pytest.mark.parametrize("key_id", ["rsa", "ec", "okp"])
async def test_a_good_token_is_taken_whatever_kind_of_key_signed_it(provider: Provider, key_id: str) -> None:
    caller = await issuer_of(provider).caller(provider.token(key_id))
    assert (caller.name, caller.via, caller.scopes) == ("ann", "oidc", frozenset({Scope.READ}))
    assert caller.expires_ns is not None
    assert caller.grants.unlimited


async def test_an_audience_among_several_and_a_token_without_key_id_are_taken(provider: Provider) -> None:
    assert await issuer_of(provider).caller(provider.token(aud=["other", AUDIENCE]))
    key, algorithm = provider.keys["ec"]
    assert await issuer_of(provider).caller(signed(provider.claims(), key, algorithm))


async def test_roles_of_claims_in_claims_are_scopes_and_other_words_are_nothing(provider: Provider) -> None:
    issuer = issuer_of(
        provider, scopes_claim="realm_access.roles", roles={"operators": ["read", "request"]}, name_claim="none"
    )
    shown = provider.token(realm_access={"roles": ["operators", "read", "admin", "offline_access"]})
    caller = await issuer.caller(shown)
    assert (caller.scopes, caller.name) == (frozenset({Scope.READ, Scope.REQUEST}), "u-1")


async def test_claims_limit_to_types_and_twins_and_an_empty_limit_is_not_none(provider: Provider) -> None:
    issuer = issuer_of(provider)
    caller = await issuer.caller(provider.token(twinstream_types=["box"], twinstream_twins="crate/a crate/b"))
    assert caller.grants.sees("box", "z")
    assert caller.grants.sees("crate", "b")
    assert not caller.grants.sees("crate", "c")
    limits: dict[str, Any]
    for limits in ({"twinstream_types": []}, {"twinstream_types": [5]}, {"twinstream_twins": ["nowhere"]}):
        with pytest.raises(CredentialError):
            await issuer.caller(provider.token(**limits))


async def test_of_a_thousand_tokens_that_are_not_good_none_passes(provider: Provider) -> None:
    issuer = issuer_of(provider)
    forged = _forged(provider, Random(11), 1000)
    passed: list[tuple[str, Caller]] = []
    for what, shown in forged:
        try:
            passed.append((what, await issuer.caller(shown)))
        except CredentialError:
            continue
    assert len(forged) >= 1000
    assert passed == []
    assert await issuer.caller(provider.token())


def _forged(provider: Provider, random: Random, count: int) -> list[tuple[str, str]]:
    """Tokens that must not pass, with what is the matter with each."""
    now_s = int(time.time())
    key = provider.keys["rsa"][0]
    others: list[tuple[Key, str]] = [(RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-256"), "ES256")]
    public = [one.as_pem(private=False) for one, _ in provider.keys.values() if not isinstance(one, OctKey)]
    public.append(json.dumps(key.as_dict(private=False)).encode())
    wrong: dict[str, list[Any]] = {
        "iss": [None, "", "https://evil.example", provider.issuer + "/", provider.issuer.upper(), 5, [provider.issuer]],
        "aud": [None, "", "other", ["other"], [], AUDIENCE.upper(), AUDIENCE + " ", {"a": AUDIENCE}, 7],
        "exp": [None, 0, now_s - 31, now_s - 86_400, "never", -1, [now_s + 300], {}],
        "nbf": [now_s + 3600, "soon"],
        "sub": [None, "", 5],
        "scope": [5, {"a": 1}, [1]],
    }
    found: list[tuple[str, str]] = []
    for name, values in wrong.items():
        for value in values:
            found += [(f"{name} is {value!r}", provider.token(key_id, **{name: value})) for key_id in provider.keys]
    while len(found) < count:
        claims = provider.claims(sub=f"u-{random.randrange(10**6)}", scope="twinstream:admin")
        good = provider.token(random.choice(list(provider.keys)), scope="twinstream:admin")
        header, body, signature = good.split(".")
        other, its = random.choice(others)
        for none in ("none", "None", "NONE", "nOnE", "", None):
            unsigned = _part({"alg": none, "typ": "JWT", "kid": "rsa"})
            found += [(f"alg {none}", f"{unsigned}.{_part(claims)}."), ("none", f"{unsigned}.{body}.{signature}")]
        for secret in public:
            for shared, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                kid = random.choice([*provider.keys, "oct"])
                content = f"{_part({'alg': shared, 'kid': kid})}.{_part(claims)}"
                made = base64.urlsafe_b64encode(hmac.digest(secret, content.encode(), digest)).rstrip(b"=").decode()
                found.append((f"{shared} by the public key", f"{content}.{made}"))
        found += [
            ("another key", signed(claims, other, its, kid="rsa")),
            ("another key without id", signed(claims, other, its)),
            ("a key in the header", signed(claims, other, its, jwk=other.as_dict(private=False))),
            ("a key elsewhere", signed(claims, other, its, jku="http://127.0.0.1:1/keys", kid="x")),
            ("other claims", f"{header}.{_part(claims)}.{signature}"),
            ("another header", f"{_part({'alg': 'ES256', 'kid': 'ec'})}.{body}.{signature[::-1]}"),
            ("cut", good[: random.randrange(len(good) - 4)]),
        ]
        at = random.randrange(len(header) + 1, len(good) - 1)
        if good[at] != ".":
            changed = good[:at] + random.choice([c for c in "ABCDxyz019_-" if c != good[at]]) + good[at + 1 :]
            if changed.rstrip("=")[:-1] != good[:-1]:
                found.append(("a letter", changed))
    return found


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


async def test_keys_are_asked_for_once_and_anew_when_they_change(provider: Provider) -> None:
    clock = HastyClock()
    issuer = issuer_of(provider, clock)
    for _ in range(20):
        await issuer.caller(provider.token())
    assert provider.asked == 1
    fresh = RSAKey.generate_key(2048, {"kid": "fresh"})
    provider.keys["fresh"] = (fresh, "RS256")
    try:
        clock.passed_s += AGAIN_S
        assert await issuer.caller(provider.token("fresh"))
        assert provider.asked == 2
        shown = provider.token("fresh")
    finally:
        del provider.keys["fresh"]
    clock.passed_s += KEPT_S
    with pytest.raises(CredentialError):
        await issuer.caller(shown)


async def test_names_of_keys_that_nobody_has_do_not_make_us_ask_again_and_again(provider: Provider) -> None:
    issuer = issuer_of(provider)
    other = ECKey.generate_key("P-256")
    for number in range(50):
        with pytest.raises(CredentialError):
            await issuer.caller(signed(provider.claims(), other, "ES256", kid=f"k{number}"))
    assert provider.asked == 1


async def test_a_provider_that_is_away_for_a_while_is_not_missed(provider: Provider) -> None:
    clock = HastyClock()
    issuer = issuer_of(provider, clock)
    await issuer.caller(provider.token())
    provider.away = True
    clock.passed_s += KEPT_S
    assert await issuer.caller(provider.token())
    clock.passed_s += STALE_S
    with pytest.raises(UndecidedError):
        await issuer.caller(provider.token())
    provider.away = False
    clock.passed_s += AGAIN_S
    assert await issuer.caller(provider.token())


async def test_a_shared_secret_among_the_keys_signs_nothing(provider: Provider) -> None:
    secret = OctKey.import_key("secret-that-nobody-should-use")
    with pytest.raises(CredentialError):
        await issuer_of(provider).caller(signed(provider.claims(), secret, "HS256", kid="oct"))


async def test_the_api_takes_tokens_of_the_provider_beside_its_own(provider: Provider) -> None:
    api = Api()
    api.row("a")
    api.change(gate=Gate(required=True, tokens=api.tokens, issuer=issuer_of(provider)))
    headers = {"authorization": f"Bearer {provider.token(scope='twinstream:request')}"}
    async with api.client() as client:
        asked = await client.post("/api/twins/box/a/requests/reset", json={}, headers=headers)
        read = await client.get("/api/twins", headers=headers)
        own = await client.get("/api/twins", headers=api.token("read"))
        late = {"authorization": f"Bearer {provider.token(exp=5)}"}
        expired = await client.get("/api/twins", headers=late)
        session = await client.post("/api/session", json={"token": provider.token()})
        seen = await client.get("/api/twins")
    assert (asked.status_code, read.status_code, own.status_code, expired.status_code) == (202, 403, 200, 401)
    assert (session.status_code, seen.status_code) == (200, 200)
    assert api.audit.entries[0].who == "ann"


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://login.example"},
        {"issuer": "http://login.example", "audience": "a"},
        {"issuer": "https://login.example", "audience": "a", "jwks_url": "http://login.example/keys"},
        {"issuer": "login.example", "audience": "a"},
        {"roles": {"x": ["root"]}},
    ],
)
def test_a_provider_that_can_not_be_trusted_is_a_fault_of_the_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuthSettings.model_validate(wrong)
