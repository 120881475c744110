"""The pull policy on a real registry: what other machines can pull through the proxy, and what they cannot."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.parts import wait_until
from tests.scanner.images import make
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.pull_site import ASSIGNMENT, BAD, Site, make_image, pull_site, read_refusal

from dockgate.delivery.registry_access import PULL, PUSH
from dockgate.services.registry import registry_pulls
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import StoreError
from dockgate.vulnerabilities.model import Severity

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pull_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(autouse=True)
def forget_answers(site: Site) -> None:
    """No answer of an earlier test is remembered."""
    site.seconds += registry_pulls.CACHE_SECONDS + 1


def test_a_gated_repository_gives_out_approved_images_only(site: Site) -> None:
    good, bad = make_image("good"), make_image("bad")
    digest = site.push("gated/app", "good", good)
    message = read_refusal(site.pull("gated/app", "good"))
    assert f"no verdict on {digest}" in message
    assert f"dockgate gate --server {site.server.url} --wait {site.address}/gated/app@{digest}" in message
    assert "dockgate approval list" in message
    assert site.pull("gated/app", digest, "HEAD").status_code == 403
    assert site.judge("gated/app", digest) == "Approved"
    site.seconds += 60
    for reference in ("good", digest, digest.replace(":", "%3A"), digest.replace(":", "%3a")):
        for method in ("GET", "HEAD"):
            answer = site.pull("gated/app", reference, method)
            assert answer.status_code == 200, answer.text
            assert answer.headers["Docker-Content-Digest"] == digest
            assert int(answer.headers["Content-Length"]) == len(good.blobs[digest])
            assert answer.content == (good.blobs[digest] if method == "GET" else b"")
    rejected_image = site.push("gated/app", "bad", bad, BAD)
    assert site.judge("gated/app", rejected_image) == "Rejected"
    assert "not approved by the policy 'default' now" in read_refusal(site.pull("gated/app", "bad"))
    site.put("gated/app", "good", bad.blobs[bad.digest])  # the tag moves
    read_refusal(site.pull("gated/app", "good"))
    assert site.pull("gated/app", digest).status_code == 200


def test_refused_pulls_are_one_event_that_names_the_caller_whatever_asks_again(site: Site) -> None:
    pattern = json.dumps({"detail-type": ["pull.refused"], "detail": {"repository": ["gated/retried"]}})
    digest = site.push("gated/retried", "v1", make_image("retried"))
    for reference in ("v1", digest, "v1"):
        read_refusal(site.pull("gated/retried", reference, "GET"))
    site.push_approved_image("gated/retried", "approved")
    assert site.pull("gated/retried", "approved").status_code == 200
    assert site.pull("gated/retried", "absent").status_code == 404
    (event,) = site.server.get(f"/events?after=0&pattern={quote(pattern)}")["events"]
    assert event["detail"] | {"reason": "", "since": ""} == {
        "repository": "gated/retried",
        "image": digest,
        "tag": "v1",
        "by": "someone",
        "reason": "",
        "count": 1,
        "since": "",
    }
    assert f"no verdict on {digest}" in event["detail"]["reason"]


def test_the_api_says_what_can_be_pulled_and_why_not(site: Site) -> None:
    server = site.server
    ungated_image = site.push("open/seen", "1", make_image("seen"), BAD)
    unjudged_image = site.push("gated/seen", "unjudged", make_image("unjudged"))
    rejected_image = site.push("gated/seen", "rejected", make_image("seen and rejected"), BAD)
    assert site.judge("gated/seen", rejected_image) == "Rejected"
    approved_image = site.push_approved_image("gated/seen", "approved")
    wait_until(
        lambda: {"gated/seen", "open/seen"} <= {entry["repository"] for entry in server.get("/registry/repositories")}
    )
    repositories = {entry["repository"]: entry for entry in server.get("/registry/repositories")}
    assert repositories["gated/seen"] == {
        "repository": "gated/seen",
        "pull": "approved",
        "policy": "default",
        "assignment": "gated",
        "problem": None,
    }
    assert (repositories["open/seen"]["pull"], repositories["open/seen"]["assignment"]) == ("any", None)
    expected = (
        (ungated_image, "open"),
        (approved_image, "gated"),
        (unjudged_image, "gated"),
        (rejected_image, "gated"),
    )
    for digest, folder in expected:
        answer = server.get(f"/registry/repositories/{folder}/seen/pull/{digest}")
        is_refused = site.pull(f"{folder}/seen", digest).status_code == 403
        assert answer["can_pull"] is not is_refused
        if is_refused:
            assert answer["reason"] in read_refusal(site.pull("gated/seen", digest))
            assert digest in answer["advice"]
        else:
            assert answer["reason"] is answer["advice"] is None
    assert not server.get(f"/registry/repositories/gated/seen/pull/{'sha256:' + '0' * 64}")["can_pull"]


def test_repositories_of_contradicting_assignments_are_shown(site: Site) -> None:
    site.push("twice/app", "1", make_image("twice"))
    contradicting = ASSIGNMENT.replace("name: gated", "name: {}").replace("gated/*", "{}").replace("approved", "{}")
    for name, pattern, pull in (("first", "twice/*pp", "approved"), ("second", "twice/*a*", "any")):
        site.server.apply(contradicting.format(name, pattern, pull))
    try:
        read_refusal(site.pull("twice/app", "1"))
        (entry,) = [entry for entry in site.server.get("/registry/repositories") if entry["repository"] == "twice/app"]
        assert entry["pull"] is entry["policy"] is None
        assert "first, second match" in entry["problem"]
    finally:
        for name in ("first", "second"):
            site.server.client.delete(f"/policy-assignments/{name}").raise_for_status()


def test_other_repositories_give_out_everything(site: Site) -> None:
    digest = site.push("open/app", "1", make_image("open"), BAD)
    assert site.pull("open/app", "1").headers["Docker-Content-Digest"] == digest
    assert site.ask("GET", "open/app", "tags/list").json() == {"name": "open/app", "tags": ["1"]}


def test_an_advisory_that_came_since_the_approval_counts(site: Site) -> None:
    digest = site.push("gated/app", "later", make_image("later"), PlannedFindings())
    assert site.judge("gated/app", digest) == "Approved"
    assert site.pull("gated/app", digest).status_code == 200
    advisories = site.server.advisories.advisories
    name = site.server.platforms[digest][0].packages[0].name
    try:
        site.server.advisories.advisories = [*advisories, make_advisory(name, Severity.CRITICAL, "2")]
        assert site.pull("gated/app", digest).status_code == 200  # for a few seconds
        site.seconds += registry_pulls.CACHE_SECONDS
        read_refusal(site.pull("gated/app", digest))
    finally:
        site.server.advisories.advisories = advisories


def test_images_of_an_approved_index_can_be_pulled(site: Site) -> None:
    children = [make_image("amd64"), make_image("arm64")]
    index = make.index(children, has_attestations=True)
    digest = site.push("gated/index", "1", index)
    for child in children:
        read_refusal(site.pull("gated/index", child.digest))
    assert site.judge("gated/index", digest) == "Approved"
    site.seconds += 60
    assert site.pull("gated/index", "1").status_code == 200
    for entry in json.loads(index.blobs[digest])["manifests"]:
        assert site.pull("gated/index", entry["digest"]).status_code == 200, entry


def push_documents(site: Site, repository: str, *layers: bytes, config: bytes = b"{}", **fields: Any) -> bytes:
    """The manifest of an artifact, whose blobs are pushed."""
    for blob in (config, *layers):
        site.upload(repository, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": make.MANIFEST,
        "config": make.make_descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [make.make_descriptor(layer, "application/vnd.dev.cosign.simplesigning.v1+json") for layer in layers],
    }
    return json.dumps(manifest | fields).encode()


def test_documents_attached_to_an_approved_image_can_be_pulled(site: Site) -> None:
    approved_image = site.push_approved_image("gated/app", "attached")
    unapproved_image = site.push("gated/app", "unapproved", make_image("unapproved"))
    for subject, status in ((approved_image, 200), (unapproved_image, 403)):
        hexadecimal = get_hex(subject)
        signature = json.dumps({"critical": {"image": {"docker-manifest-digest": subject}}}).encode()
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": hexadecimal}}]}
        envelope = {"payload": b64encode(json.dumps(statement).encode()).decode(), "signatures": []}
        root = {"type": "layers", "diff_ids": [compute_digest(signature)]}  # as cosign writes it
        signed_manifest = push_documents(
            site, "gated/app", signature, config=json.dumps({"config": {}, "rootfs": root}).encode()
        )
        attested_manifest = push_documents(site, "gated/app", json.dumps(envelope).encode())
        plain = push_documents(site, "gated/app", b'{"of": "no form"}')
        referrer = push_documents(site, "gated/app", b'{"bomFormat": "CycloneDX"}', subject={"digest": subject})
        tag = f"sha256-{hexadecimal}"
        for suffix, data in ((".sig", signed_manifest), (".att", attested_manifest), (".sbom", plain)):
            site.put("gated/app", tag + suffix, data)
            assert site.pull("gated/app", tag + suffix).status_code == status
        listing = {"schemaVersion": 2, "mediaType": make.INDEX, "manifests": []}
        site.put("gated/app", "", referrer)
        listing["manifests"] = [make.make_descriptor(referrer, make.MANIFEST)]
        site.put("gated/app", tag, json.dumps(listing).encode())
        for reference in (
            compute_digest(signed_manifest),
            compute_digest(attested_manifest),
            compute_digest(referrer),
            tag,
        ):
            assert site.pull("gated/app", reference).status_code == status, reference
        read_refusal(site.pull("gated/app", compute_digest(plain)))  # nothing says what it is attached to


def test_an_image_disguised_as_a_document_is_refused(site: Site) -> None:
    approved_image = site.push_approved_image("gated/app", "bait")
    tag = f"sha256-{get_hex(approved_image)}"
    subject: dict[str, Any] = {"subject": {"digest": approved_image}}
    evil = make_image("evil")
    content = json.loads(evil.blobs[evil.digest])
    for digest, data in evil.blobs.items():
        if digest != evil.digest:
            site.upload("gated/app", data)
    program = make.pack_tar({"bin/sh": b"\x7fELF\x02\x01\x01\x00"})
    config = evil.blobs[content["config"]["digest"]]
    other_case = json.dumps({"rootfs": {}, "Rootfs": json.loads(config)["rootfs"]}).encode()
    signature_with_urls = json.loads(push_documents(site, "gated/app", b"{}", **subject))
    signature_with_urls["layers"][0]["urls"] = ["http://127.0.0.1/"]
    attacks = {
        "a signature that clients fetch from a URL": signature_with_urls,
        "an image under cosign's tag": content,
        "an image with a subject": content | subject,
        "a program as a signature": json.loads(push_documents(site, "gated/app", program, **subject)),
        "an image whose layers a node has already": json.loads(
            push_documents(site, "gated/app", *(b'{"layer": 1}' for _ in content["layers"]), config=config, **subject)
        ),
        "the same in another case": json.loads(push_documents(site, "gated/app", b"{}", config=other_case, **subject)),
        "an image and an index at once": content | subject | {"manifests": []},
        "two lists of layers": {
            **json.loads(push_documents(site, "gated/app", b"{}", **subject)),
            "Layers": content["layers"],
        },
    }
    for name, document in attacks.items():
        data = json.dumps(document).encode()
        answer = site.ask(
            "PUT",
            "gated/app",
            f"manifests/{tag}.sig",
            PULL,
            PUSH,
            content=data,
            headers={"Content-Type": make.MANIFEST},
        )
        if answer.status_code == 201:
            read_refusal(site.pull("gated/app", f"{tag}.sig"))
            read_refusal(site.pull("gated/app", compute_digest(data)))
        else:
            assert answer.status_code == 400, name
    site.put("gated/app", "", evil.blobs[evil.digest])
    entry = make.make_descriptor(evil.blobs[evil.digest], make.MANIFEST)
    site.put("gated/app", tag, json.dumps({"schemaVersion": 2, "mediaType": make.INDEX, "manifests": [entry]}).encode())
    assert site.pull("gated/app", tag).status_code == 200  # a list of referrers
    read_refusal(site.pull("gated/app", evil.digest))
    entry_with_data = {**entry, "data": b64encode(evil.blobs[evil.digest]).decode()}
    site.put(
        "gated/app",
        tag,
        json.dumps({"schemaVersion": 2, "mediaType": make.INDEX, "manifests": [entry_with_data]}).encode(),
    )
    read_refusal(site.pull("gated/app", tag))


def test_what_cannot_be_judged_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = site.push_approved_image("gated/app", "unsure")

    def fail_query(*_: object) -> bool:
        raise StoreError("The database does not answer.")

    for method in ("is_gated", "find_objection"):
        with monkeypatch.context() as patches:
            patches.setattr(site.pulls, method, fail_query)
            for repository in ("gated/app", "open/app") if method == "is_gated" else ("gated/app",):
                answer = site.pull(repository, digest)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
                assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"


@pytest.fixture(scope="module")
def tools(site: Site) -> tuple[str, str]:
    """A repository with images `good` and `bad`: the first one's digest, and the token of `ada`."""
    approved_image = site.push_approved_image(
        "gated/tools", "good", make.make_image([{"etc/os-release": b"ID=debian\n"}])
    )
    site.push("gated/tools", "bad", make_image("tools bad"), BAD)
    return approved_image, site.server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def test_skopeo_pulls_what_is_approved(site: Site, tools: tuple[str, str], tmp_path: Path) -> None:
    approved_image, token = tools
    source = ["--src-tls-verify=false", f"--src-creds=ada:{token}"]
    for tag, works in (("good", True), (f"good@{approved_image}", True), ("bad", False)):
        reference = f"docker://{site.address}/gated/tools{'@' + approved_image if '@' in tag else ':' + tag}"
        copy_result = run("skopeo", "copy", *source, reference, f"dir:{tmp_path / tag.partition('@')[0]}")
        assert (copy_result.returncode == 0) == works, copy_result.stderr
        assert works or "serves approved images only" in copy_result.stderr


@pytest.mark.slow
def test_podman_pulls_what_is_approved(site: Site, tools: tuple[str, str], tmp_path: Path) -> None:
    _, token = tools
    storage = [f"--root={tmp_path / 'root'}", f"--runroot={tmp_path / 'run'}", "--storage-driver=vfs"]
    for tag, works in (("good", True), ("bad", False)):
        pull_result = run(
            *("podman", *storage, "pull", "-q", "--tls-verify=false", f"--creds=ada:{token}"),
            f"{site.address}/gated/tools:{tag}",
        )
        assert (pull_result.returncode == 0) == works, pull_result.stderr
