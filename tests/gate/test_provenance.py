"""Provenance statements: what ours contain, and what is trusted of others."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from tests.gate.samples import IMAGE, NOW, judge, limit_findings, make_inventory, make_package

from dockgate.attestations import statements
from dockgate.gate.provenance import (
    BUILD_TYPE,
    BUILDER,
    GITHUB_BUILD_TYPES,
    PREDICATE_TYPE,
    STATEMENT_LIMIT,
    BuildRecord,
    ProvenanceFacts,
    collect,
    read,
    write_statement,
)
from dockgate.shared.errors import DeniedError, UnreadableError

CHILD = "sha256:" + "6" * 64
DEBIAN, PYTHON = "sha256:" + "d" * 64, "sha256:" + "e" * 64
RECORD = BuildRecord(
    builder=BUILDER,
    invocation="shop/1/build/image/1",
    source="git+https://dockgate.example/git/shop.git",
    commit="a" * 40,
    dockerfile="Dockerfile",
    dockerfile_digest="sha256:" + "f" * 64,
    bases=(("docker.io/library/Debian:13", DEBIAN), ("registry.example:5000/python", PYTHON)),
    arguments=("VERSION", "TOKEN"),
    started_at="2026-11-24T11:58:00.000Z",
    finished_at="2026-11-24T11:59:00.000Z",
    engine="0.1.0",
)
OURS = write_statement(RECORD, "registry.example/shop", IMAGE)
KEYS = {"key-1": "PEM of key-1", "key-2": "PEM of key-2"}


def change_statement(change: Callable[[dict[str, Any]], object], statement: bytes = OURS) -> bytes:
    document = json.loads(statement)
    change(document)
    return json.dumps(document).encode()


def _replace_build_definition(definition: dict[str, Any], document: dict[str, Any]) -> None:
    document["predicate"]["buildDefinition"].update(definition)


def test_a_build_whose_start_is_unknown_states_none() -> None:
    statement = json.loads(write_statement(replace(RECORD, started_at=None), "registry.example/shop", IMAGE))
    metadata = statement["predicate"]["runDetails"]["metadata"]
    assert metadata == {"invocationId": RECORD.invocation, "finishedOn": RECORD.finished_at}


def sign_payload(payload: bytes, *keys: str) -> str:
    """An envelope of the fake verifier's."""
    return json.dumps({"payload": payload.decode(), "keys": keys})


def verify(envelope: str, pem: str) -> bytes:
    try:
        document = json.loads(envelope)
        keys, payload = document["keys"], document["payload"]
    except (KeyError, TypeError, ValueError):
        raise UnreadableError("That is not an envelope.") from None
    if pem.removeprefix("PEM of ") not in keys:
        raise DeniedError("not signed")
    return str(payload).encode()


def collect_facts(*envelopes: str, unavailable: str | None = None) -> ProvenanceFacts:
    return collect(IMAGE, envelopes, KEYS, verify, unavailable)


# --- what ours say ---------------------------------------------------------------------------------------------------


def test_a_build_statement_names_image_source_dockerfile_bases_and_builder() -> None:
    document = json.loads(OURS)
    assert (document["_type"], document["predicateType"]) == ("https://in-toto.io/Statement/v1", PREDICATE_TYPE)
    assert document["subject"] == [{"name": "registry.example/shop", "digest": {"sha256": "1" * 64}}]
    definition = document["predicate"]["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["externalParameters"] == {
        "source": {"uri": RECORD.source, "digest": {"gitCommit": "a" * 40}},
        "dockerfile": "Dockerfile",
        "arguments": ["TOKEN", "VERSION"],
    }
    assert definition["resolvedDependencies"][1] == {"name": "Dockerfile", "digest": {"sha256": "f" * 64}}
    assert [dependency["uri"] for dependency in definition["resolvedDependencies"][2:]] == [
        f"pkg:oci/debian@sha256%3A{'d' * 64}?repository_url=docker.io/library/Debian",
        f"pkg:oci/python@sha256%3A{'e' * 64}?repository_url=registry.example%3A5000/python",
    ]
    details = document["predicate"]["runDetails"]
    assert details["builder"]["id"] == BUILDER
    assert details["metadata"]["finishedOn"] == RECORD.finished_at


def test_our_own_statement_is_read_back() -> None:
    result = read(OURS, IMAGE, ("key-1",))
    assert (result.keys, result.builder, result.build_type) == (("key-1",), BUILDER, BUILD_TYPE)
    assert (result.source, result.commit) == (RECORD.source, RECORD.commit)
    assert (result.bases, result.finished_at) == ((DEBIAN, PYTHON), RECORD.finished_at)


# --- what is trusted of others ----------------------------------------------------------------------------------


def test_the_source_of_a_github_build_is_the_repository_of_its_workflow() -> None:
    uri = "https://github.com/acme/shop"
    dependency = {"uri": f"git+{uri}@refs/heads/main", "digest": {"gitCommit": "b" * 40}}
    for kind in GITHUB_BUILD_TYPES:
        definition = {
            "buildType": kind,
            "externalParameters": {"workflow": {"repository": uri, "ref": "refs/heads/main"}},
            "resolvedDependencies": [dependency],
        }
        payload = change_statement(partial(_replace_build_definition, definition))
        result = read(payload, IMAGE)
        assert (result.source, result.commit, result.bases) == (uri, "b" * 40, ())


def test_an_unknown_build_type_has_no_source() -> None:
    """Its parameters may mean anything: a repository named in them need not be what was built."""
    payload = change_statement(
        lambda item: item["predicate"]["buildDefinition"].update(buildType="https://other.example")
    )
    assert (read(payload, IMAGE).source, read(payload, IMAGE).commit) == (None, None)


def test_a_statement_about_another_image_is_refused() -> None:
    """Copied from another digest, of a platform of the image, or by another algorithm."""
    for payload in (
        write_statement(RECORD, "registry.example/shop", CHILD),
        change_statement(lambda item: item["subject"][0].update(digest={"sha512": "1" * 64})),
        change_statement(lambda item: item.update(subject=[])),
    ):
        with pytest.raises(DeniedError, match="about another image"):
            read(payload, IMAGE)
    with pytest.raises(DeniedError):
        read(change_statement(lambda item: item["subject"][0].update(digest={"sha256": ""})), "")


def test_an_approval_statement_is_not_provenance() -> None:
    """One key may sign both: the type inside of what was signed tells them apart."""
    verdict = judge(make_inventory(make_package("a")), under=limit_findings(HIGH=0))
    approval = statements.build_statement(verdict, CHILD, "registry.example/shop", IMAGE, 30)
    assert collect_facts(sign_payload(approval, "key-1")).statements == ()
    with pytest.raises(UnreadableError, match="it has the type 'https://dockgate"):
        read(approval, IMAGE)
    with pytest.raises(UnreadableError):
        statements.verify_statement(OURS, IMAGE, "strict", NOW)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        OURS.replace(b"Statement/v1", b"Statement/v2"),
        OURS.replace(b"provenance/v1", b"provenance/v0.2"),
        change_statement(lambda statement_document: statement_document.update(subject=None)),
        change_statement(
            lambda statement_document: statement_document.update(subject=[{"digest": {"sha256": ["1" * 64]}}])
        ),
        change_statement(lambda statement_document: statement_document.update(predicate=None)),
        change_statement(
            lambda statement_document: statement_document["predicate"]["runDetails"]["builder"].update(id="")
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["runDetails"]["builder"].update(id=["a"])
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["runDetails"]["builder"].update(id="a\nb")
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["runDetails"]["builder"].update(id="a" * 501)
        ),
        change_statement(lambda statement_document: statement_document["predicate"]["runDetails"].update(metadata=7)),
        change_statement(
            lambda statement_document: statement_document["predicate"]["buildDefinition"].update(externalParameters={})
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["buildDefinition"].update(resolvedDependencies=7)
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["buildDefinition"]["resolvedDependencies"][
                2
            ].update(digest={})
        ),
        change_statement(
            lambda statement_document: statement_document["predicate"]["buildDefinition"]["resolvedDependencies"][2][
                "digest"
            ].update(sha256="x")
        ),
        OURS.replace(b'"builder":', b'"builder":{},"builder":'),
    ],
)
def test_a_document_that_is_not_provenance_is_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(payload, IMAGE)
    result = collect_facts(sign_payload(payload, "key-1"))
    assert result.statements == ()
    assert len(result.refused) == 1


def test_a_statement_counts_with_every_listed_key_that_signed_it() -> None:
    (result,) = collect_facts(sign_payload(OURS, "key-2", "key-1", "key-3")).statements
    assert result.keys == ("key-1", "key-2")


def test_a_statement_without_a_listed_signature_does_not_count() -> None:
    assert collect_facts(sign_payload(OURS, "key-3")) == ProvenanceFacts(
        IMAGE, refused=("A statement is not accepted: no key that the policy lists signed it.",)
    )


def test_forged_and_broken_statements_do_not_affect_a_valid_one() -> None:
    copied_envelope = sign_payload(write_statement(RECORD, "shop", CHILD), "key-1")
    result = collect_facts("{}", sign_payload(OURS, "key-9"), copied_envelope, sign_payload(OURS, "key-1"))
    assert [statement.keys for statement in result.statements] == [("key-1",)]
    assert len(result.refused) == 3


def test_the_number_of_statements_is_limited() -> None:
    flood = [sign_payload(b"{}", f"key-{number}") for number in range(3, 3 + STATEMENT_LIMIT)]
    assert collect_facts(*flood, sign_payload(OURS, "key-1")).statements == ()


def test_a_failed_fetch_is_reported() -> None:
    assert collect_facts(unavailable="no registry").unavailable == "no registry"


def test_the_facts_do_not_depend_on_order_or_repetition() -> None:
    copied_statement = write_statement(RECORD, "shop", CHILD)
    envelopes = (
        sign_payload(OURS, "key-1"),
        sign_payload(OURS, "key-2"),
        sign_payload(OURS),
        sign_payload(copied_statement, "key-1"),
        "[]",
    )
    for several in permutations(envelopes):
        assert collect_facts(*several) == collect_facts(*envelopes, *several)
