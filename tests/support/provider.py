"""A small OpenID provider on loopback: discovery, keys, and tokens signed by them."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "twinstream"


class Provider:
    """Serves while entered.

    Attributes:
        keys: Those that it tells, by id, with the algorithm that each signs with.
        asked: How often its keys were asked for.
        away: Whether it fails.
    """

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Key, str]] = {
            "rsa": (RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}), "RS256"),
            "ec": (ECKey.generate_key("P-256", {"kid": "ec"}), "ES256"),
            "okp": (OKPKey.generate_key("Ed25519", {"kid": "okp"}), "Ed25519"),
        }
        self.asked = 0
        self.away = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/plant"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a good token says; None leaves a claim out."""
        now_s = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "u-1",
            "preferred_username": "ann",
            "iat": now_s,
            "exp": now_s + 300,
            "scope": "openid twinstream:read",
        }
        return {name: value for name, value in (usual | changed).items() if value is not None}

    def token(self, key_id: str = "rsa", **changed: Any) -> str:
        """A token that it signed."""
        key, algorithm = self.keys[key_id]
        return signed(self.claims(**changed), key, algorithm, kid=key_id)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        found: Any = None
        if handler.path == "/realms/plant/.well-known/openid-configuration":
            found = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        elif handler.path == "/realms/plant/keys":
            self.asked += 1
            shared = {"kty": "oct", "k": "c2VjcmV0LXRoYXQtbm9ib2R5LXNob3VsZC11c2U", "kid": "oct"}
            found = {"keys": [*(key.as_dict(private=False) for key, _ in self.keys.values()), shared]}
        body = json.dumps(found).encode()
        handler.send_response(503 if self.away else 200 if found else 404)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def signed(claims: dict[str, Any], key: Key, algorithm: str, **header: Any) -> str:
    """A token."""
    return jwt.encode({"alg": algorithm, **header}, claims, key, algorithms=[algorithm])
