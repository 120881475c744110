"""An identity provider of OpenID Connect in memory, which can break each rule of the protocol for a test."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

ISSUER = "https://id.example.org"
CLIENT, SECRET = "dockgate", "the-client-secret"


@cache
def make_signing_key(name: str) -> RSAKey:
    """The key `first`, `second` or `stolen`, made when it is first needed: that takes long."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


class FakeProvider:
    """`claims` are added to those of ID tokens; a value None removes one. `alter` changes a signed ID token."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.alter: Callable[[str, dict[str, Any]], str] = lambda token, claims: token
        self.signing_key = "first"
        self.published = ["first"]
        self.metadata: dict[str, Any] = {}
        self.answers: dict[str, httpx.Response] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def authorize(self, url: str, **person: Any) -> str:
        """What the provider does when a person has signed in at `url`: the URL that the browser is sent to."""
        assert url.startswith(f"{ISSUER}/authorize?"), url
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = {**query, "person": json.dumps(person or {"sub": "1"})}
        return f"{query['redirect_uri']}?code={code}&state={query['state']}&iss={ISSUER}"

    def count_calls(self, path: str) -> int:
        """How often a path was requested."""
        return sum(request.url.path == path for request in self.requests)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=self._answer_metadata())
        if path == "/jwks":
            return httpx.Response(
                200, json={"keys": [make_signing_key(name).as_dict(private=False) for name in self.published]}
            )
        if path == "/userinfo":
            assert request.headers["authorization"] == "Bearer access"
            return httpx.Response(200, json=self.userinfo)
        if path == "/token":
            return self._answer_token(request)
        return httpx.Response(404)

    def _answer_metadata(self) -> Mapping[str, Any]:
        metadata = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
        } | self.metadata
        return {name: value for name, value in metadata.items() if value is not None}

    def _answer_token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        credentials = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {credentials}":
            return httpx.Response(401, json={"error": "invalid_client"})
        sign_in = self.codes.pop(form.get("code", ""), None)  # a code counts once
        if sign_in is None or sign_in["redirect_uri"] != form.get("redirect_uri"):
            return httpx.Response(400, json={"error": "invalid_grant"})
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != sign_in["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = self.clock()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": CLIENT,
            "nonce": sign_in["nonce"],
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()),
            **json.loads(sign_in["person"]),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.signing_key}
        token = self.alter(jwt.encode(header, claims, make_signing_key(self.signing_key)), claims)
        return httpx.Response(200, json={"access_token": "access", "token_type": "Bearer", "id_token": token})


def encode(value: object) -> str:
    """Base64 of a JSON document, or of bytes, as in a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def make_unsigned(_: str, claims: dict[str, Any]) -> str:
    """The token with `alg: none`."""
    return f"{encode({'alg': 'none'})}.{encode(claims)}."


def sign_by_public_key(kind: str) -> Callable[[str, dict[str, Any]], str]:
    """A token that uses the provider's public key, which everyone knows, as the secret of an HMAC."""

    def sign_token(_: str, claims: dict[str, Any]) -> str:
        public = (
            make_signing_key("first").as_pem(private=False)
            if kind == "pem"
            else json.dumps(make_signing_key("first").as_dict(private=False)).encode()
        )
        content = f"{encode({'alg': 'HS256', 'kid': 'first'})}.{encode(claims)}"
        return f"{content}.{encode(hmac.new(public, content.encode(), hashlib.sha256).digest())}"

    return sign_token


def sign_by_embedded_key(_: str, claims: dict[str, Any]) -> str:
    """A token that brings its own key in its header."""
    header = {"alg": "RS256", "kid": "first", "jwk": make_signing_key("stolen").as_dict(private=False)}
    return jwt.encode(header, claims, make_signing_key("stolen"))


def sign_by_other_key(_: str, claims: dict[str, Any]) -> str:
    """A token under the name of the provider's key."""
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, make_signing_key("stolen"))


def alter_claims(token: str, claims: dict[str, Any]) -> str:
    """A token whose claims were changed after it was signed."""
    header, _, signature = token.split(".")
    return f"{header}.{encode({**claims, 'groups': ['platform']})}.{signature}"
