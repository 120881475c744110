"""Access control of the server's registry, tested on a real one."""

import base64
import hashlib
import hmac
import json
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.registry_site import MANIFEST, NOTHING, Site, open_site

from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import OPERATOR, PULL, PUSH, SERVER, SERVICE, TOKEN_SECONDS, Login
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.errors import DeniedError, UnavailableError
from dockgate.shared.references import TagReference

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


def test_the_registry_refuses_requests_without_a_token(site: Site) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "_catalog"),
        ("GET", "team/app/tags/list"),
        ("GET", "team/app/manifests/1"),
        ("PUT", "team/app/manifests/1"),
        ("POST", "team/app/blobs/uploads/"),
        ("DELETE", f"team/app/manifests/{NOTHING}"),
        ("DELETE", f"team/app/blobs/{NOTHING}"),
    ):
        answer = site.ask(method, path)
        assert answer.status_code == 401, path
        assert f'service="{SERVICE}"' in answer.headers["WWW-Authenticate"]
    response = site.find_token("")
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="dockgate"')
    assert site.find_token("", password="dgt_wrong").status_code == 401
    assert site.find_token("admin", service="elsewhere").status_code == 400


@pytest.mark.parametrize(
    ("who", "repository", "actions"),
    [
        ("viewer", "team/one", ["pull"]),
        ("approver", "team/one", ["pull"]),
        ("security", "team/one", ["pull"]),
        ("developer", "team/one", ["pull", "push"]),
        ("admin", "team/one", ["pull", "push"]),
        ("reader", "team/one", ["pull"]),
        ("narrow", "team/one", ["pull", "push"]),
        ("narrow", "team/other", None),
        ("admin", "closed/app", ["pull"]),
        ("admin", "shop/app", ["pull"]),  # a pipeline builds it: only the server pushes there
        ("admin", "shop/other", ["pull", "push"]),
    ],
)
def test_a_registry_token_has_the_permissions_of_its_owner(
    site: Site, who: str, repository: str, actions: list[str] | None
) -> None:
    answer = site.find_token(who, f"repository:{repository}:pull,push,delete,*")
    assert site.read_grants(answer) == ({} if actions is None else {repository: actions})
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json()["token"]
    push = site.push(repository, "1", token).status_code
    assert push == (201 if actions and "push" in actions else 401)
    assert site.ask("GET", f"{repository}/tags/list", token).status_code in ((200, 404) if actions else (401,))
    for path in ("_catalog", f"{repository}-2/tags/list"):
        assert site.ask("GET", path, token).status_code == 401
    for path in (f"manifests/{NOTHING}", f"blobs/{NOTHING}", "manifests/1"):
        assert site.ask("DELETE", f"{repository}/{path}", token).status_code == 401


@pytest.mark.parametrize(
    "scope",
    [
        "registry:catalog:*",
        "repository:*:pull",
        "repository:team/*:pull",
        "repository:team/one:*",
        "repository:team/one:delete",
        "repository:team/one:pull:*",
        "repository(plugin):team/one:pull",
        "repository:TEAM/ONE:pull",
        "repository:../team/one:pull",
        "repository:team/one",
        "repository::pull",
        "::",
        "",
    ],
)
def test_wildcards_and_invalid_repositories_are_never_granted(site: Site, scope: str) -> None:
    assert site.read_grants(site.find_token("admin", scope)) == {}


def test_each_scope_is_granted_on_its_own(site: Site) -> None:
    answer = site.find_token(
        "narrow", "repository:team/one:pull repository:team/two:pull,push", "repository:team/one:push"
    )
    assert site.read_grants(answer) == {"team/one": ["pull", "push"]}


def test_forged_foreign_and_expired_registry_tokens_are_refused(site: Site) -> None:
    right = [{"type": "repository", "name": "team/one", "actions": ["pull", "push"]}]
    good = jwt.decode(site.issue_own_token("team/one", PULL, PUSH), options={"verify_signature": False})
    chain = {"x5c": jwt.get_unverified_header(site.issue_own_token("team/one", PULL))["x5c"]}
    pem = serialization.load_pem_private_key(site.tokens.path.read_bytes(), None)
    assert isinstance(pem, ec.EllipticCurvePrivateKey)
    public = pem.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    stranger = ec.generate_private_key(ec.SECP256R1())
    past = int(time.time()) - TOKEN_SECONDS - 61  # the registry's own leeway is a minute

    def sign_token(key: Any, algorithm: str = "ES256", header: Any = None, **claims: object) -> str:
        return jwt.encode({**good, "access": right, **claims}, key, algorithm=algorithm, headers=header or chain)

    assert site.ask("GET", "", sign_token(pem)).status_code == 200
    forged_tokens = {
        "another key": sign_token(stranger),
        "another server's key": RegistryTokens(site.folder / "other").issue_repository_token("team/one", "pull,push"),
        "no algorithm": sign_token(None, "none"),
        "the public key as a secret": sign_with_public_key(good | {"access": right}, public, chain),
        "another audience": sign_token(pem, aud="elsewhere"),
        "another issuer": sign_token(pem, iss="elsewhere"),
        "expired": sign_token(pem, exp=past, nbf=past - 1),
        "not yet valid": sign_token(pem, nbf=int(time.time()) + 3600),
        "its own key in the header": sign_token(stranger, header={"jwk": json.loads(ECAlgorithm.to_jwk(stranger))}),
        "a login": site.tokens.issue_login(Login(SERVER, "team/one", (PULL, PUSH)))[1],
        "a principal's token": site.people["admin"],
        "cut off": sign_token(pem).rpartition(".")[0] + ".",
    }
    for name, token in forged_tokens.items():
        assert site.ask("GET", "", token).status_code == 401, name
        assert site.push("team/one", "forged", token).status_code == 401, name


def sign_with_public_key(claims: dict[str, Any], public: bytes, header: dict[str, Any]) -> str:
    """HS256 with the public key as the secret, which PyJWT itself refuses to sign."""
    parts = [json.dumps(part).encode() for part in ({**header, "alg": "HS256"}, claims)]
    signing = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(public, signing, "sha256")
    return (signing + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def test_a_login_is_for_its_repository_and_its_time(site: Site) -> None:
    push, pull = Login(SERVER, "shop/app", (PULL, PUSH)), Login(SERVER, None, (PULL,))
    scopes = ("repository:shop/app:pull,push", "repository:team/one:pull,push", "registry:catalog:*")
    assert site.read_grants(site.find_token("", *scopes, password=site.tokens.issue_login(push)[1])) == {
        "shop/app": ["pull", "push"]
    }
    both = site.find_token("", *scopes, password=site.tokens.issue_login(pull)[1])
    assert site.read_grants(both) == {"shop/app": ["pull"], "team/one": ["pull"]}
    assert site.read_grants(site.find_token("", "repository:*:pull", password=site.tokens.issue_login(pull)[1])) == {}
    assert site.find_token("", password=site.tokens.issue_login(push, seconds=0)[1]).status_code == 401
    assert (
        site.find_token("", password=site.issue_own_token("shop/app", PUSH)).status_code == 401
    )  # a registry token is not a login
    assert site.find_token("", password=RegistryTokens(site.folder / "other").issue_login(push)[1]).status_code == 401


def test_a_push_by_the_login_of_an_operator_is_in_the_audit_log(site: Site) -> None:
    """Of `dockgate registry authfile --push`: it needs access to the data folder, and no principal."""
    for actions in ((PULL,), (PULL, PUSH)):
        password = site.tokens.issue_login(Login(OPERATOR, "shop/app", actions))[1]
        site.find_token("", "repository:shop/app:pull,push", password=password).raise_for_status()
        entries = site.get(f"/audit?by={OPERATOR}")
        assert [entry["subject"] for entry in entries] == ["repository:shop/app:pull,push"] * (PUSH in actions)


def test_a_blob_is_mounted_only_from_a_pullable_repository(site: Site) -> None:
    secret = b'{"secret": "of shop"}'
    assert site.push("shop/app", "secret", site.issue_own_token("shop/app", PULL, PUSH), secret).status_code == 201
    blob = f"sha256:{hashlib.sha256(secret).hexdigest()}"
    mount = f"team/one/blobs/uploads/?mount={blob}&from=shop/app"
    token = site.find_token("narrow", "repository:team/one:pull,push", "repository:shop/app:pull").json()["token"]
    assert site.ask("POST", mount, token).status_code == 401
    assert site.ask("HEAD", f"team/one/blobs/{blob}", token).status_code == 404
    pull_token = site.find_token("developer", "repository:team/one:pull,push", "repository:shop/app:pull").json()[
        "token"
    ]
    assert site.ask("POST", mount, pull_token).status_code == 201


def test_an_upload_continues_only_in_its_repository(site: Site) -> None:
    own_token, other_token = site.issue_own_token("team/one", PULL, PUSH), site.issue_own_token("team/two", PULL, PUSH)
    upload = site.ask("POST", "team/one/blobs/uploads/", own_token)
    upload_url = httpx.URL(site.url).join(upload.headers["location"])
    for method in ("PATCH", "PUT", "GET"):
        answer = slow_http.request(method, upload_url, headers={"Authorization": f"Bearer {other_token}"}, content=b"x")
        assert answer.status_code == 401
    moved_url = upload_url.copy_with(path=upload_url.path.replace("team/one", "team/two"))
    answer = slow_http.request("PATCH", moved_url, headers={"Authorization": f"Bearer {other_token}"}, content=b"x")
    assert answer.status_code in (400, 404)


def test_pushers_and_moved_tags_are_recorded(site: Site) -> None:
    token = site.find_token("developer", "repository:team/app:pull,push").json()["token"]
    first = site.push("team/app", "stable", token, b'{"n": 1}').headers["docker-content-digest"]
    wait_until(lambda: site.find_image(first))
    audit = site.get("/audit?limit=1")[0]
    assert (audit["who"], audit["subject"], audit["status"]) == ("developer", "repository:team/app:pull,push", 200)
    second_token = site.find_token("admin", "repository:team/app:pull,push").json()["token"]
    second = site.push("team/app", "stable", second_token, b'{"n": 2}').headers["docker-content-digest"]
    (push,) = wait_until(lambda: (site.find_image(second) or {}).get("pushes"))
    assert (push["tag"], push["pushed_by"]) == ("stable", "admin")
    for digest in (first, second):
        (move,) = site.find_image(digest)["moves"]
        assert (move["tag"], move["previous"], move["digest"], move["pushed_by"]) == ("stable", first, second, "admin")
    wait_until(
        lambda: [message for message in site.server.list_notifications("tag.moved").values() if second in message.text]
    )
    server = site.push("shop/app", "build", site.issue_own_token("shop/app", PULL, PUSH), b'{"n": 3}')
    (push,) = wait_until(lambda: (site.find_image(server.headers["docker-content-digest"]) or {}).get("pushes"))
    assert push["pushed_by"] == SERVER


def test_the_servers_own_clients_read_push_and_list(site: Site, tmp_path: Path) -> None:
    registry = DistributionRegistry(site.registry, lambda access: site.tokens.issue_token(SERVER, access))
    issuers = {site.registry: site.tokens.issue_repository_token}
    reference = RegistryReference(site.registry, "base/python", "3")
    with Pusher(reference, issuers=issuers) as pusher:
        blob, size = pusher.push_blob(b"{}")
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": size}}  # fmt: skip
        digest = pusher.push_manifest(json.dumps(manifest).encode())
    assert registry.resolve("base/python", "3") == digest
    assert registry.resolve("base/python", "none") is None
    assert TagReference("base/python", "3") in set(registry.iterate_tags())
    with closing(open_registry_source(reference, issuers=issuers)) as origin:
        assert origin.read_root()[0] == digest
    with closing(open_registry_source(reference)) as stranger, pytest.raises(DeniedError):
        stranger.read_root()
    with pytest.raises(UnavailableError, match="401"):
        DistributionRegistry(site.registry).resolve("base/python", "3")


def test_an_expired_token_is_renewed_during_a_transfer(site: Site) -> None:
    """A long scan outlives its token."""
    late = RegistryTokens(site.folder / "keys", lambda: datetime.now(UTC) - timedelta(hours=1))
    tokens: list[str] = []

    def issue(repository: str, actions: str) -> str:
        tokens.append((late if not tokens else site.tokens).issue_repository_token(repository, actions))
        return tokens[-1]

    assert site.push("base/renewed", "1", site.issue_own_token("base/renewed", PULL, PUSH)).status_code == 201
    with closing(
        open_registry_source(RegistryReference(site.registry, "base/renewed", "1"), issuers={site.registry: issue})
    ) as origin:
        origin.read_root()
    assert len(tokens) == 2


def test_rotating_the_key_ends_every_token_and_login(site: Site) -> None:
    token, login = site.issue_own_token("team/one", PULL), site.tokens.issue_login(Login(SERVER, None, (PULL,)))[1]
    assert site.ask("GET", "", token).status_code == 200
    for who in ("developer", "security", ""):
        assert site.call_api(who, "POST", "/registry-key").status_code in (401, 403)
    assert site.ask("GET", "", token).status_code == 200
    assert site.call_api("admin", "POST", "/registry-key").status_code == 204
    assert site.ask("GET", "", token).status_code == 401
    assert site.find_token("", password=login).status_code == 401
    assert site.ask("GET", "", site.issue_own_token("team/one", PULL)).status_code == 200
    RegistryTokens(site.folder / "keys").rotate()  # another server that shares the folder
    token = site.issue_own_token("team/one", PULL)

    def is_accepted() -> bool:
        with suppress(httpx.TransportError):  # the registry restarts
            return site.ask("GET", "", token).status_code == 200
        return False

    wait_until(is_accepted)
    assert stat.S_IMODE(site.tokens.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(site.tokens.path.parent.stat().st_mode) == 0o700
