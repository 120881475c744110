"""What was approved for external pipelines is judged again in turn, and callbacks hear once of what has settled."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes.attestor import MemoryAttestor
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.scenarios.server import ServerSystem
from tests.store.factories import DECISION_KINDS, NOW, make_approval, use_each_database

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.gate.model import Status, VexSigner, VexStatement, VexStatus
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.approvals.followed_images import FollowedImageReview
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.outbox import UndeliverableError
from dockgate.services.notifications.outbox_handlers import AttestationHandler
from dockgate.services.reconciler_rounds import ROUND_LIMIT
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UnavailableError
from dockgate.shared.timestamps import format_time
from dockgate.store.delivery.followed_images import follow_images
from dockgate.store.events.outbox import add_entries
from dockgate.store.records import OutboxEntry, OutboxKind, PushedImage, VexRecord
from dockgate.vulnerabilities.model import Severity

IMAGES = [compute_digest(str(number).encode()) for number in range(2 * ROUND_LIMIT + 10)]


GRACE = "kind: Policy\nname: graced\nrules:\n  max_findings: {CRITICAL: 0, grace_days: 2}\n"
ASSIGNMENT = "kind: PolicyAssignment\nname: team\nrepositories: [team/*]\npolicy: graced\n"


class FailingVerdicts:
    """Verdicts that always fail. Counts the requests."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    def read_advisory_digest(self) -> str:
        return "sha256:0"

    def judge_followed(self, image: str, repository: str, policy: str) -> None:
        self.requests[image] += 1
        raise UnavailableError("the registry does not answer")


@pytest.fixture(params=DECISION_KINDS)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerSystem]:
    result = ServerSystem(tmp_path, database=request.param)
    yield result
    result.discard()


def test_images_that_always_fail_keep_no_other_from_being_judged(system: ServerSystem) -> None:
    with system.store.database.write() as connection:
        policy = PolicyReference("default")
        rows = [(ApprovalId(f"external/{number}"), image, "team/app", policy) for number, image in enumerate(IMAGES)]
        follow_images(connection, {"sha256:1": rows}, NOW)
    verdicts = FailingVerdicts()
    image_reviewer = replace(system.use_cases.approved_images, verdicts=verdicts)  # type: ignore[arg-type]
    for _ in range(3):
        image_reviewer.review()
    assert verdicts.requests == Counter(IMAGES)
    system.clock.ahead += timedelta(seconds=10)
    image_reviewer.review()
    assert verdicts.requests.total() == len(IMAGES) + ROUND_LIMIT


class Followed:
    """An image that was approved for an external pipeline, on a server without background work."""

    def __init__(self, system: ServerSystem, policy: str = "default") -> None:
        self.system = system
        self.policy = policy
        images, now = system.store.images, format_time(system.clock())
        scan = images.request_scan(IMAGES[0], "team/app", now)
        inventory = Inventory(IMAGES[0], "linux/amd64", Distribution("debian", "13"), (), (make_package("app"),), ())
        images.finish_scan(IMAGES[0], scan.number, list_platforms(inventory), None, now)
        images.add_push(PushedImage("team/app", "1", IMAGES[0], now))
        self.approve_image("one")

    def approve_image(self, name: str, verdict: str | None = None) -> None:
        store, now = self.system.store, format_time(self.system.clock())
        if verdict is None:
            result = self.system.use_cases.verdicts.judge_followed(IMAGES[0], "team/app", PolicyReference(self.policy))
            assert result is not None
            verdict = result[1]
        request = replace(
            make_approval(name), image=IMAGES[0], repository="team/app", policy=PolicyReference(self.policy)
        )
        store.approvals.add(request, Callback(f"https://{name}.example/hook", "whsec_x"))
        store.approvals.settle(request.id, Answer(ApprovalState.APPROVED, "as planned", verdict), now)

    def set_advisories(self, *, is_bad: bool) -> None:
        self.system.advisories.advisories = [make_advisory("app", Severity.CRITICAL, "2")] if is_bad else []

    def review(self, **later: float) -> None:
        self.system.clock.ahead += timedelta(**later)
        self.system.use_cases.approved_images.review()

    def list_messages(self, name: str = "one") -> list[tuple[str, str]]:
        """The status before and the status of each message to a callback, in order."""
        entries = self.system.store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)
        payloads = [entry.payload for entry in entries if entry.payload["approval"] == name]
        assert sorted(payload["number"] for payload in payloads) == list(range(1, len(payloads) + 1))
        payloads.sort(key=lambda payload: payload["number"])
        return [(payload["before"], payload["status"]) for payload in payloads]


def count_judged(system: ServerSystem, judged_images: list[str]) -> FollowedImageReview:
    """The review, which adds each image that it judges to the list."""

    class Counting(type(system.use_cases.verdicts)):  # type: ignore[misc]
        def judge_followed(self, image: str, repository: str, policy: str) -> object:
            judged_images.append(image)
            return super().judge_followed(image, repository, policy)

    verdicts = system.use_cases.verdicts
    counting = Counting(**{name: getattr(verdicts, name) for name in verdicts.__dataclass_fields__})
    return replace(system.use_cases.approved_images, verdicts=counting)


def test_only_advisories_about_its_packages_have_an_image_judged_again(system: ServerSystem) -> None:
    Followed(system)
    judged_images: list[str] = []
    approved_images = count_judged(system, judged_images)
    advisories = system.advisories
    for name, hours, images in (("app", 0, IMAGES[:1]), ("other", 0, []), ("another", 5, []), ("app", 0, IMAGES[:1])):
        advisories.advisories += [make_advisory(name, Severity.LOW, "2", f"{len(advisories.advisories)}")]
        system.clock.ahead += timedelta(hours=hours)
        system.use_cases.verdict_renewal.renew()
        judged_images.clear()
        for _ in range(2):
            approved_images.review()
        assert judged_images == images


def test_another_status_and_a_renewed_attestation_have_the_image_judged_once(system: ServerSystem) -> None:
    followed_image = Followed(system)
    judged_images: list[str] = []
    approved_images = replace(count_judged(system, judged_images), attestation_days=2.0)
    for is_bad, days in ((False, 0), (False, 1.1), (True, 0)):
        followed_image.set_advisories(is_bad=is_bad)
        system.clock.ahead += timedelta(days=days)
        system.use_cases.verdict_renewal.renew()
        judged_images.clear()
        for _ in range(3):
            approved_images.review()
        assert judged_images == IMAGES[:1]
        (image,) = system.store.followed_images.list()
        assert (image.status is Status.APPROVED) is not is_bad


def make_handler(system: ServerSystem, attestor: MemoryAttestor) -> AttestationHandler:
    store, clock = system.store, ServerClock(system.clock)
    return AttestationHandler(
        store.verdicts, store.followed_images, attestor, 2.0, store.outbox, clock, fence=lambda: None
    )


def test_an_attestation_that_is_sent_late_replaces_no_later_one(system: ServerSystem) -> None:
    """It would be over earlier than the renewed one, or is over already."""
    first_entry, renewed_entry, handler = renew_attestation(system, days=1.1)
    for entry in (renewed_entry, renewed_entry):
        handler.send(entry)
    other_entries = [
        replace(renewed_entry, key=f"{number}", payload={**renewed_entry.payload, "repository": f"{number}/app"})
        for number in range(100)
    ]
    with system.store.database.write() as connection:
        add_entries(connection, other_entries)  # the image is in many repositories
    with pytest.raises(UndeliverableError, match="a later attestation of the image replaces it"):
        handler.send(first_entry)


def test_an_attestation_that_was_renewed_by_a_clock_that_was_ahead_is_replaced(system: ServerSystem) -> None:
    first_entry, renewed_entry, handler = renew_attestation(system, days=30)
    handler.send(renewed_entry)
    system.clock.ahead -= timedelta(days=30)
    handler.send(first_entry)
    assert isinstance(handler.attestor, MemoryAttestor)
    (attached_envelopes,) = handler.attestor.attestations.values()
    assert len(attached_envelopes) == 2


def renew_attestation(system: ServerSystem, days: float) -> tuple[OutboxEntry, OutboxEntry, AttestationHandler]:
    """Return the attestation of an approval, its renewal so many days later, and what sends both."""
    store = system.store
    Followed(system)
    system.use_cases.fleet_index.add_missing()
    (first_entry,) = store.outbox.list_entries(OutboxKind.ATTESTATION)
    system.clock.ahead += timedelta(days=days)
    system.use_cases.verdict_renewal.renew()
    replace(system.use_cases.approved_images, attestation_days=2.0).review()
    (renewed_entry,) = (entry for entry in store.outbox.list_entries(OutboxKind.ATTESTATION) if entry != first_entry)
    return first_entry, renewed_entry, make_handler(system, MemoryAttestor())


@use_each_database("system")
def test_a_renewal_that_came_too_late_is_made_as_soon_as_the_image_is_approved_again(system: ServerSystem) -> None:
    followed_image, store = Followed(system), system.store
    system.use_cases.fleet_index.add_missing()
    handler = make_handler(system, MemoryAttestor())
    approved_images = replace(system.use_cases.approved_images, attestation_days=2.0)

    def review(*, is_bad: bool, days: float) -> OutboxEntry:
        """Return the newest attestation that is due."""
        followed_image.set_advisories(is_bad=is_bad)
        system.clock.ahead += timedelta(days=days)
        system.use_cases.verdict_renewal.renew()
        for _ in range(3):
            approved_images.review()
        entries = store.outbox.list_entries(OutboxKind.ATTESTATION)
        return max(entries, key=lambda entry: entry.due_since or "")

    late_entry = review(is_bad=False, days=1.1)
    assert review(is_bad=True, days=0.1) == late_entry
    with pytest.raises(UndeliverableError, match="it is Rejected now"):
        handler.send(late_entry)
    renewed_entry = review(is_bad=False, days=0.1)
    assert renewed_entry != late_entry
    handler.send(renewed_entry)


def test_a_vex_document_about_another_image_has_no_image_judged_again(system: ServerSystem) -> None:
    Followed(system)
    system.use_cases.fleet_index.add_missing()
    judged_images: list[str] = []
    approved_images = count_judged(system, judged_images)
    approved_images.review()
    assert judged_images == IMAGES[:1]
    for product, images in ((IMAGES[1], []), (IMAGES[0], IMAGES[:1])):
        judged_images.clear()
        data, products = product.encode(), (product,)
        document, vulnerabilities = compute_digest(data), ("CVE-2020-1",)
        statement = VexStatement(document, "openvex", "ana", None, vulnerabilities, VexStatus.NOT_AFFECTED, products)
        system.store.vex.add(
            VexRecord(document, None, "openvex", "ana", VexSigner("principal:ana"), NOW), data, [statement]
        )
        approved_images.review()
        assert judged_images == images


REJECTED, RECOVERED = ("Approved", "Rejected"), ("Rejected", "Approved")


def test_a_callback_hears_once_of_an_advisory_that_appears_and_disappears_every_hour(system: ServerSystem) -> None:
    followed_image = Followed(system)
    for _ in range(5):
        for is_bad in (True, False):
            followed_image.set_advisories(is_bad=is_bad)
            followed_image.review(hours=1)
            (image,) = system.store.followed_images.list()
            assert (image.status is Status.APPROVED) is not is_bad  # the attestation follows at once
    assert followed_image.list_messages() == [REJECTED]
    followed_image.review(hours=2.9)
    assert followed_image.list_messages() == [REJECTED]
    followed_image.review(hours=0.2)
    followed_image.review()
    assert followed_image.list_messages() == [REJECTED, RECOVERED]


def test_a_callback_hears_at_once_that_an_image_is_rejected_again_after_it_heard_that_it_is_not(
    system: ServerSystem,
) -> None:
    followed_image = Followed(system)
    followed_image.set_advisories(is_bad=True)
    followed_image.review()
    followed_image.set_advisories(is_bad=False)
    followed_image.review()
    followed_image.review(hours=3)
    followed_image.set_advisories(is_bad=True)
    followed_image.review()
    assert followed_image.list_messages() == [REJECTED, RECOVERED, REJECTED]


def test_a_pipeline_that_got_an_approval_in_between_hears_at_once_that_it_is_over(system: ServerSystem) -> None:
    followed_image = Followed(system)
    for is_bad in (True, False):
        followed_image.set_advisories(is_bad=is_bad)
        followed_image.review(minutes=1)
    followed_image.approve_image("two")
    followed_image.set_advisories(is_bad=True)
    followed_image.review(minutes=1)
    assert (followed_image.list_messages("one"), followed_image.list_messages("two")) == ([REJECTED], [REJECTED])


def test_a_clock_that_goes_back_over_the_end_of_a_grace_period_announces_nothing(system: ServerSystem) -> None:
    for document in (GRACE, ASSIGNMENT):
        system.services.delivery.documents.apply(document, "test", Caller(LOCAL))
    followed_image = Followed(system, "graced")
    system.advisories.advisories = [
        replace(make_advisory("app", Severity.CRITICAL, "2"), published=format_time(system.clock()))
    ]
    followed_image.review()
    for _ in range(3):
        followed_image.review(days=3)
        followed_image.review(days=-3)
    assert followed_image.list_messages() == [REJECTED]
    followed_image.review(hours=3)
    assert followed_image.list_messages() == [REJECTED, RECOVERED]


def test_a_callback_hears_at_once_that_a_pull_began_the_watch_again(system: ServerSystem) -> None:
    watch = ASSIGNMENT.replace("policy: graced", "policy: default\nwatch: 2d after pull")
    system.services.delivery.documents.apply(watch, "test", Caller(LOCAL))
    followed_image = Followed(system)
    followed_image.review()
    followed_image.review(days=3)
    end_of_approval = ("Approved", "Undetermined")
    assert followed_image.list_messages() == [end_of_approval]
    followed_image.review(minutes=1)
    system.use_cases.watched_images.record_pull("team/app", IMAGES[0])
    followed_image.review()
    assert followed_image.list_messages() == [end_of_approval, ("Undetermined", "Approved")]


def test_a_callback_hears_at_once_that_a_push_began_the_watch_again(system: ServerSystem) -> None:
    watch = ASSIGNMENT.replace("policy: graced", "policy: default\nwatch: 2d after push")
    system.services.delivery.documents.apply(watch, "test", Caller(LOCAL))
    followed_image = Followed(system)
    followed_image.review(days=3)
    followed_image.review(minutes=1)
    system.store.images.add_push(PushedImage("team/app", "2", IMAGES[0], format_time(system.clock())))
    followed_image.review()
    assert followed_image.list_messages() == [("Approved", "Undetermined"), ("Undetermined", "Approved")]


def test_an_approval_by_an_older_verdict_than_the_last_one_is_ended_at_once(system: ServerSystem) -> None:
    followed_image = Followed(system)
    older = system.use_cases.verdicts.judge_followed(IMAGES[0], "team/app", PolicyReference("default"))
    assert older is not None
    followed_image.set_advisories(is_bad=True)
    followed_image.review()
    for days in (0, 1):
        system.clock.ahead += timedelta(days=days)
        followed_image.approve_image(f"late{days}", older[1])
        followed_image.review()
        assert followed_image.list_messages(f"late{days}") == [REJECTED]
    assert followed_image.list_messages() == [REJECTED]


def test_an_approval_is_not_taken_back_by_what_was_known_before_it(system: ServerSystem) -> None:
    followed_image = Followed(system)
    followed_image.set_advisories(is_bad=True)
    followed_image.review()
    followed_image.set_advisories(is_bad=False)
    system.clock.ahead += timedelta(days=1)
    followed_image.approve_image("two")
    system.store.followed_images.settle(*system.use_cases.approved_images.clock.compute_settling_times())
    followed_image.review()
    assert followed_image.list_messages("two") == []


@pytest.mark.parametrize("is_image", [True, False])
def test_a_newer_scan_that_fails_ends_an_approval(system: ServerSystem, is_image: bool) -> None:
    followed_image = Followed(system)
    system.use_cases.verdict_renewal.renew()
    followed_image.review()
    images, now = system.store.images, format_time(system.clock())
    scan = images.request_new_scan(IMAGES[0], "team/app", 1, now)
    images.finish_scan(IMAGES[0], scan.number, (), "it is broken", now, is_image=is_image)
    followed_image.review()
    assert [image.status for image in system.store.followed_images.list()] == [Status.UNDETERMINED]


def test_a_vex_document_of_the_last_day_that_there_is_keeps_no_image_approved(system: ServerSystem) -> None:
    followed_image = Followed(system)
    data = b"the last day"
    statement = VexStatement(
        compute_digest(data),
        "openvex",
        "mallory",
        None,
        ("CVE-1999-1",),
        VexStatus.UNDER_INVESTIGATION,
        (IMAGES[0],),
        at="9999-12-31T23:59:59.999999Z",
    )
    record = VexRecord(statement.document, IMAGES[0], "openvex", "mallory", None, NOW)
    system.store.vex.add(record, data, [statement])
    followed_image.review()
    followed_image.set_advisories(is_bad=True)
    system.use_cases.verdict_renewal.renew()
    followed_image.review()
    assert [image.status for image in system.store.followed_images.list()] == [Status.REJECTED]
