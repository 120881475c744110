"""Contract of the store: waivers and VEX documents. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind

from dockgate.gate.model import VexSigner, VexStatement, VexStatus, Waiver
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store import Store
from dockgate.store.gate.vex import MAX_ATTACHED
from dockgate.store.records import VexRecord

WAIVER = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until=LATER, created_at=NOW, created_by="ana")
UPLOADED = VexRecord("sha256:d1", None, "openvex", "Vendor", VexSigner("principal:ana"), NOW)
ATTACHED = VexRecord("sha256:d2", IMAGE, "openvex", "Vendor", None, NOW, envelopes=("one",))
STATEMENT = VexStatement("sha256:d1", "openvex", "Vendor", None, ("CVE-2024-1",), VexStatus.FIXED, ("pkg:npm/a",))


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_a_waiver_is_added_once(store: Store) -> None:
    first = store.waivers.add(WAIVER)
    assert first.waiver == WAIVER
    assert store.waivers.add(replace(WAIVER, owner="bob")) == first
    assert store.waivers.get("w1") == first
    with pytest.raises(NotFoundError, match="'w2'") as error_info:
        store.waivers.get("w2")
    assert "dockgate waiver list" in str(error_info.value.advice)


def test_a_revoked_waiver_is_kept_and_inactive(store: Store) -> None:
    for waiver in (WAIVER, replace(WAIVER, id="w2", until=None, until_fixed=True)):
        store.waivers.add(waiver)
    assert [record.waiver.id for record in store.waivers.list_active(NOW)] == ["w1", "w2"]
    revoked_waiver = store.waivers.revoke("w1", "bob", NOW)
    assert (revoked_waiver.revoked_by, revoked_waiver.revoked_at) == ("bob", NOW)
    assert store.waivers.revoke("w1", "eve", LATER) == revoked_waiver
    assert [record.waiver.id for record in store.waivers.list_active(NOW)] == ["w2"]
    assert [record.waiver.id for record in store.waivers.list()] == ["w2", "w1"]
    with pytest.raises(NotFoundError):
        store.waivers.revoke("w3", "bob", NOW)


def test_a_waiver_is_active_until_its_date(store: Store) -> None:
    store.waivers.add(WAIVER)
    assert list(store.waivers.list_active(LATER)) == []


def test_a_waiver_is_announced_once(store: Store) -> None:
    store.waivers.add(WAIVER)
    for now in (NOW, LATER):
        store.waivers.mark_announced("w1", now)
    assert store.waivers.get("w1").announced_at == NOW


def test_a_document_is_kept_with_its_statements(store: Store) -> None:
    for _ in range(2):
        assert store.vex.add(UPLOADED, b"{}", [STATEMENT]) == UPLOADED
    assert store.verdicts.get_document("sha256:d1") == b"{}"
    assert [(record, list(statements)) for record, statements in store.vex.list_active([])] == [(UPLOADED, [STATEMENT])]
    assert list(store.vex.list()) == [UPLOADED]


def test_an_attached_document_applies_to_its_image_alone(store: Store) -> None:
    store.vex.add(UPLOADED, b"{}", [STATEMENT])
    store.vex.add(ATTACHED, b"[]", [])
    assert [record.document for record, _ in store.vex.list_active([IMAGE])] == ["sha256:d1", "sha256:d2"]
    assert [record.document for record, _ in store.vex.list_active(["sha256:other"])] == ["sha256:d1"]
    stored_document = store.vex.add(replace(ATTACHED, envelopes=("two", "one")), b"[]", [])
    assert stored_document.envelopes == ("one", "two")
    assert store.vex.add(ATTACHED, b"[]", []) == stored_document


def test_documents_attached_to_one_image_are_limited_in_all(store: Store) -> None:
    """They are read for each of its verdicts, and everyone who can push to its repository can attach more."""
    large = [replace(STATEMENT, justification="x" * (MAX_ATTACHED // 3))]
    for name in ("d3", "d4"):
        store.vex.add(replace(ATTACHED, document=name), name.encode(), large)
    for record in (replace(ATTACHED, document="d5"), replace(ATTACHED, document="d4", envelopes=("x" * MAX_ATTACHED,))):
        with pytest.raises(ConflictError, match="more than 16 MiB"):
            store.vex.add(record, record.document.encode(), large)
    assert [record.document for record, _ in store.vex.list_active([IMAGE])] == ["d3", "d4"]
    store.vex.add(replace(ATTACHED, document="d4"), b"d4", large)
    store.vex.add(replace(ATTACHED, document="d5", image="sha256:other"), b"d5", large)
    store.vex.add(replace(UPLOADED, document="d6"), b"d6", large)


def test_a_removed_document_that_is_added_again_is_active(store: Store) -> None:
    store.vex.add(UPLOADED, b"{}", [STATEMENT])
    removed_document = store.vex.remove("sha256:d1", "bob", LATER)
    assert (removed_document.removed_by, removed_document.removed_at) == ("bob", LATER)
    assert store.vex.remove("sha256:d1", "eve", NOW) == removed_document
    assert list(store.vex.list_active([])) == []
    assert list(store.vex.list()) == [removed_document]
    restored_document = replace(UPLOADED, signer=VexSigner("principal:bob"))
    assert store.vex.add(restored_document, b"{}", [STATEMENT]) == restored_document
    with pytest.raises(NotFoundError):
        store.vex.remove("sha256:d2", "bob", NOW)


def test_every_change_of_a_document_changes_the_revision(store: Store) -> None:
    revisions = [store.vex.read_revision()]
    store.vex.add(UPLOADED, b"{}", [STATEMENT])
    revisions.append(store.vex.read_revision())
    store.vex.add(UPLOADED, b"{}", [STATEMENT])
    assert store.vex.read_revision() == revisions[-1]
    store.vex.remove("sha256:d1", "bob", LATER)
    revisions.append(store.vex.read_revision())
    store.vex.add(UPLOADED, b"{}", [STATEMENT])
    revisions.append(store.vex.read_revision())
    store.vex.add(ATTACHED, b"[]", [])
    revisions.append(store.vex.read_revision())
    assert len(set(revisions)) == len(revisions)
