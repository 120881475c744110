"""What every attestor promises, on the fake, and on a real registry with the real cosign to read it."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.docker_registry import Running, run_registry
from tests.fakes.attestor import MemoryAttestor
from tests.gate.samples import judge, limit_findings, make_inventory, make_package
from tests.gate.test_provenance import RECORD
from tests.parts import Faults
from tests.scanner.images.make import INDEX, MANIFEST, make_descriptor, make_image, make_index
from tests.store.factories import open_store_of_kind

from dockgate.attestations.dsse import Signer, create_key
from dockgate.attestations.keys import Keys
from dockgate.attestations.statements import PREDICATE_TYPE, build_statement
from dockgate.delivery.ports import Attestor
from dockgate.delivery.registries.attestor import RegistryAttestor
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.provenance import write_statement
from dockgate.scanner.images.cosign_attestations import (
    RegistryRepository,
    add_attestation,
    read_attestations,
    read_image_attestations,
)
from dockgate.services.verdicts import attached_statements, attestations
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.store.locks import Locks

VERDICT = judge(make_inventory(make_package("a")), under=limit_findings(HIGH=0))
IMAGE = make_image([{"etc/os-release": b"ID=debian\n"}])
FIRST_VERDICT, SECOND_VERDICT = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def verify(
    reference: str, key: Path, policy: str, now: datetime | None = None
) -> tuple[str, tuple[attestations.VerifiedAttestation, ...]]:
    return attestations.verify(reference, key, policy, read_image_attestations, now)


def write(key: str, days: float = 30) -> Callable[[str, str], bytes]:
    return lambda name, digest: build_statement(replace(VERDICT, image=digest), key, name, digest, days)


@dataclass
class World:
    attestor: Attestor
    digest: str
    count: Callable[[str], int]
    """how many statements lie beside a digest"""
    provenance: Callable[[str], Sequence[bytes]]
    """the envelopes of provenance beside a digest"""


@contextmanager
def run_memory(folder: Path) -> Iterator[World]:
    fake = MemoryAttestor()
    yield World(
        fake,
        FIRST_VERDICT,
        lambda digest: len(fake.attestations.get((f"team/app@{digest}", "default"), ())),
        lambda digest: list(fake.provenance.get(f"team/app@{digest}", {}).values()),
    )


@contextmanager
def run_real(folder: Path) -> Iterator[World]:
    with run_registry(folder / "registry") as running:
        digest = running.push("team/app", "1", IMAGE)
        attestor = RegistryAttestor(Keys(folder / "keys"), running.address)
        repository = RegistryRepository(running.address, "team/app")
        yield World(
            attestor,
            digest,
            lambda image_digest: len(read_attestations(repository, image_digest)),
            lambda image_digest: [
                data.encode()
                for data in attached_statements.select_envelopes(read_attestations(repository, image_digest))
            ],
        )


@pytest.fixture(params=[run_memory, pytest.param(run_real, marks=pytest.mark.real)], ids=["memory", "registry"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with request.param(tmp_path) as world:
        yield world


def test_the_same_key_attests_once(world: World) -> None:
    first = world.attestor.attest(
        "team/app", world.digest, FIRST_VERDICT, PolicyReference("default"), write(FIRST_VERDICT)
    )
    assert (
        world.attestor.attest("team/app", world.digest, FIRST_VERDICT, PolicyReference("default"), write(FIRST_VERDICT))
        == first
    )
    assert world.count(world.digest) == 1


def test_a_new_key_is_used_and_the_old_one_stays_listed(world: World) -> None:
    (old,) = world.attestor.list_keys()
    new, retired_key = world.attestor.rotate()
    assert (new.is_current, retired_key.is_current, retired_key.id) == (True, False, old.id)
    assert (
        world.attestor.attest("team/app", world.digest, FIRST_VERDICT, PolicyReference("default"), write(FIRST_VERDICT))
        == new.id
    )


def test_provenance_is_signed_by_the_present_key_and_attached_once(world: World) -> None:
    payload = write_statement(RECORD, "team/app", world.digest)
    envelope = world.attestor.sign(payload)
    key = world.attestor.list_keys()[0]
    assert attached_statements.verify(envelope.decode(), key.pem) == payload
    for _ in range(2):
        world.attestor.attach_provenance("team/app", world.digest, "web-1/Build/Build/1", envelope)
    (statement,) = world.provenance(world.digest)
    assert attached_statements.verify(statement.decode(), key.pem) == payload
    world.attestor.attach_provenance("team/app", world.digest, "web-2/Build/Build/1", world.attestor.sign(payload))
    assert len(world.provenance(world.digest)) == 2


def test_the_fake_fails_at_the_configured_call() -> None:
    fake = MemoryAttestor(Faults(before_attest=[UnavailableError("no registry")]))
    with pytest.raises(UnavailableError):
        fake.attest("team/app", FIRST_VERDICT, FIRST_VERDICT, "default", write(FIRST_VERDICT))
    assert fake.attestations == {}
    fake.fault = Faults(before_attach_provenance=[UnavailableError("no registry")])
    with pytest.raises(UnavailableError):
        fake.attach_provenance("team/app", FIRST_VERDICT, "web-1", b"{}")
    assert fake.provenance == {}


# --- beside an image in a real registry ------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with run_registry(tmp_path / "registry") as running:
        yield running


def attest(
    running: Running,
    digest: str,
    folder: Path,
    key: str = FIRST_VERDICT,
    days: float = 30,
    policy: str = "p",
    covered_digests: Sequence[str] = (),
) -> Path:
    """Attests a digest; returns the file of the public key."""
    attestor = RegistryAttestor(Keys(folder / "keys"), running.address)
    attestor.attest("team/app", digest, key, PolicyReference(policy), write(key, days), covered_digests)
    public = folder / "public.pem"
    public.write_text(attestor.list_keys()[0].pem)
    return public


def run_cosign(
    running: Running, digest: str, public: Path, kind: str = PREDICATE_TYPE, policy: Path | None = None
) -> tuple[int, str, str]:
    result = subprocess.run(
        [
            *("cosign", "verify-attestation", "--key", str(public), "--type", kind, "--insecure-ignore-tlog"),
            *(("--policy", str(policy)) if policy else ()),
            *("--allow-http-registry", f"{running.address}/team/app@{digest}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return result.returncode, result.stdout, result.stderr


def make_other_key(folder: Path) -> Path:
    file = folder / "other.pem"
    file.write_text(Signer(create_key()).public.pem)
    return file


@pytest.mark.real
def test_cosign_verifies_an_attestation_with_our_key_alone(running: Running, tmp_path: Path) -> None:
    digest = running.push("team/app", "1", IMAGE)
    public = attest(running, digest, tmp_path)
    code, output, errors = run_cosign(running, digest, public)
    assert code == 0, errors
    assert json.loads(output)["payloadType"] == "application/vnd.in-toto+json"
    assert run_cosign(running, digest, make_other_key(tmp_path))[0] != 0
    assert run_cosign(running, digest, public, "https://slsa.dev/provenance/v1")[0] != 0


@pytest.mark.real
def test_cosign_tells_approval_and_provenance_beside_one_image_apart(running: Running, tmp_path: Path) -> None:
    """An admission controller asks for the one or the other; neither stands in for the other."""
    digest = running.push("team/app", "1", IMAGE)
    attestor = RegistryAttestor(Keys(tmp_path / "keys"), running.address)
    envelope = attestor.sign(write_statement(RECORD, "team/app", digest))
    attestor.attach_provenance("team/app", digest, "web-1/Build/Build/1", envelope)
    public = tmp_path / "public.pem"
    public.write_text(attestor.list_keys()[0].pem)
    assert run_cosign(running, digest, public, "slsaprovenance1")[0] == 0
    assert run_cosign(running, digest, public)[0] != 0
    reference = f"{running.address}/team/app@{digest}"
    assert verify(reference, public, "strict") == (digest, ())
    attest(running, digest, tmp_path)
    for kind in ("slsaprovenance1", PREDICATE_TYPE):
        code, _, errors = run_cosign(running, digest, public, kind)
        assert code == 0, errors
    assert run_cosign(running, digest, make_other_key(tmp_path), "slsaprovenance1")[0] != 0


@pytest.mark.real
def test_a_process_that_stood_still_while_another_attached_something_writes_nothing(
    running: Running, tmp_path: Path
) -> None:
    """It lost its connection to the database, and its lock with that."""
    digest, policy = running.push("team/app", "1", IMAGE), PolicyReference("p")
    attestor, other_attestor = (RegistryAttestor(Keys(tmp_path / "keys"), running.address) for _ in range(2))

    def write_late(name: str, subject: str) -> bytes:
        other_attestor.attach_provenance("team/app", digest, "web-1/Build/Build/1", attestor.sign(b"{}"))
        return write(FIRST_VERDICT)(name, subject)

    with pytest.raises(UnavailableError, match="something else was attached"):
        attestor.attest("team/app", digest, FIRST_VERDICT, policy, write_late)
    attestor.attest("team/app", digest, FIRST_VERDICT, policy, write(FIRST_VERDICT))
    assert len(read_attestations(RegistryRepository(running.address, "team/app"), digest)) == 2


@pytest.mark.real
def test_two_processes_that_attach_at_once_lose_nothing(running: Running, tmp_path: Path) -> None:
    """Registries have no conditional update: the other process writes between this one's reading and writing."""
    digest, policy = running.push("team/app", "1", IMAGE), PolicyReference("p")
    with open_store_of_kind("postgres", tmp_path) as store:
        first_attestor, second_attestor = (
            RegistryAttestor(Keys(tmp_path / "keys"), running.address, try_lock=Locks(store.database).try_hold)
            for _ in range(2)
        )

        def attach_provenance() -> None:
            second_attestor.attach_provenance("team/app", digest, "web-1/Build/Build/1", first_attestor.sign(b"{}"))

        def write_meanwhile(name: str, subject: str) -> bytes:
            with pytest.raises(UnavailableError, match="another process is attaching"):
                attach_provenance()
            return write(FIRST_VERDICT)(name, subject)

        first_attestor.attest("team/app", digest, FIRST_VERDICT, policy, write_meanwhile)
        attach_provenance()
    assert len(read_attestations(RegistryRepository(running.address, "team/app"), digest)) == 2


@pytest.mark.real
def test_cosign_looks_at_status_and_policy_by_the_documented_policy(running: Running, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "attestations.md").read_text("utf-8")
    policy = text.partition("```cue\n")[2].partition("```")[0]
    digest = running.push("team/app", "1", IMAGE)
    public = attest(running, digest, tmp_path)
    for name, fine in (("strict", True), ("default", False)):
        cue = tmp_path / f"{name}.cue"
        cue.write_text(policy.replace('"default"', f'"{name}"'))
        code, _, errors = run_cosign(running, digest, public, policy=cue)
        assert (code == 0) == fine, errors


@pytest.mark.real
def test_cosign_refuses_what_was_not_attested_or_copied_from_elsewhere(running: Running, tmp_path: Path) -> None:
    """A rejected digest has nothing beside it; another image's statement does not help it."""
    digest = running.push("team/app", "1", IMAGE)
    other_digest = running.push("team/app", "2", make_image([{"etc/os-release": b"ID=alpine\n"}]))
    public = attest(running, digest, tmp_path)
    assert run_cosign(running, other_digest, public)[0] != 0
    repository = RegistryRepository(running.address, "team/app")
    (envelope,) = read_attestations(repository, digest)
    assert add_attestation(repository, other_digest, lambda: envelope, {}, key=("k", "v"), replaces={"p": "q"})
    code, _, errors = run_cosign(running, other_digest, public)
    assert code != 0
    assert "digest" in errors or "subject" in errors or "attestation" in errors
    _, (attestation,) = verify(f"{running.address}/team/app@{other_digest}", public, "strict")
    assert (attestation.claim, attestation.refusal) == (None, "the statement is about another image")


@pytest.mark.real
def test_cosign_and_we_refuse_a_tampered_envelope(running: Running, tmp_path: Path) -> None:
    digest = running.push("team/app", "1", IMAGE)
    public = attest(running, digest, tmp_path)
    repository = RegistryRepository(running.address, "team/app")
    (envelope,) = read_attestations(repository, digest)
    document = json.loads(envelope)
    signature = document["signatures"][0]["sig"]
    document["signatures"][0]["sig"] = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    annotations = {"dev.dockgate.policy": "p"}
    add_attestation(repository, digest, lambda: json.dumps(document).encode(), {}, key=("k", "v"), replaces=annotations)
    assert len(read_attestations(repository, digest)) == 1
    assert run_cosign(running, digest, public)[0] != 0
    _, (attestation,) = verify(f"{running.address}/team/app@{digest}", public, "strict")
    assert attestation.claim is None
    assert (attestation.refusal or "").startswith("no trusted key")


@pytest.mark.real
def test_an_index_is_attested_with_the_images_in_it_that_were_judged(running: Running, tmp_path: Path) -> None:
    """One image is left out of judging, as the verdict says; one that it names does not lie in the index."""
    second_image = make_image([{"etc/os-release": b"ID=alpine\n"}], platform="linux/arm64")
    unknown_image = make_image([{"etc/os-release": b"ID=hidden\n"}], platform="unknown/unknown")
    entries = [
        make_descriptor(image_content.blobs[image_content.digest], MANIFEST)
        for image_content in (IMAGE, second_image, unknown_image)
    ]
    inner_index = make_index([entries[1]], second_image.blobs)
    inner = make_descriptor(inner_index.blobs[inner_index.digest], INDEX)
    index = make_index([entries[0], inner, entries[2]], {**IMAGE.blobs, **inner_index.blobs, **unknown_image.blobs})
    running.push("team/app", "inner", inner_index)
    digest = running.push("team/app", "1", index)
    public = attest(
        running, digest, tmp_path, covered_digests=(digest, IMAGE.digest, second_image.digest, FIRST_VERDICT)
    )
    for subject in (digest, IMAGE.digest, second_image.digest):
        assert run_cosign(running, subject, public)[0] == 0
    repository = RegistryRepository(running.address, "team/app")
    assert read_attestations(repository, unknown_image.digest) == read_attestations(repository, FIRST_VERDICT) == ()


@pytest.mark.real
def test_an_approval_takes_the_place_of_the_one_before_and_leaves_what_others_attached(
    running: Running, tmp_path: Path
) -> None:
    digest = running.push("team/app", "1", IMAGE)
    repository = RegistryRepository(running.address, "team/app")
    add_attestation(repository, digest, lambda: b"{}", {"whose": "theirs"}, key=("k", "v"), replaces={"p": "q"})
    for key, policy in ((FIRST_VERDICT, "p"), (SECOND_VERDICT, "p"), (FIRST_VERDICT, "second")):
        public = attest(running, digest, tmp_path, key=key, policy=policy)
    _, attestations_of_image = verify(f"{running.address}/team/app:1", public, "strict")
    assert [attestation.claim.verdict if attestation.claim else "" for attestation in attestations_of_image] == [
        "",
        SECOND_VERDICT,
        FIRST_VERDICT,
    ]
    assert run_cosign(running, digest, public)[0] == 0


@pytest.mark.real
def test_verifying_looks_at_the_end_of_an_approval(running: Running, tmp_path: Path) -> None:
    digest = running.push("team/app", "1", IMAGE)
    public = attest(running, digest, tmp_path)
    reference = f"{running.address}/team/app@{digest}"
    _, (attestation,) = verify(reference, public, "strict", datetime(2026, 12, 1, tzinfo=UTC))
    assert attestation.claim is not None
    _, (attestation,) = verify(reference, public, "strict", datetime(2027, 1, 1, tzinfo=UTC))
    assert "expired" in (attestation.refusal or "")
    assert verify(f"{running.address}/team/unseen@{FIRST_VERDICT}", public, "strict") == (
        FIRST_VERDICT,
        (),
    )
    with pytest.raises(UsageError, match="not a public key"):
        verify(reference, Path(__file__), "strict")
