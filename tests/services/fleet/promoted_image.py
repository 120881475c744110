"""A server with an image that was promoted to another repository, whose policy may differ."""

from pathlib import Path

from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import ApprovalId
from dockgate.gate.model import Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.images.search import ImageQuery, ImageSearch
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.delivery.followed_images import follow_images
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity

STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n"
LAX = STRICT.replace("strict", "lax").replace("LOW", "CRITICAL")
ASSIGNMENT = "kind: PolicyAssignment\nname: prod\nrepositories: ['prod/*']\npolicy: strict\n"
IMAGE = compute_digest(b"promoted")


class Promoted:
    """A server without background work, and an image that was read in dev/app and promoted to prod/app."""

    def __init__(self, folder: Path, database: str) -> None:
        self.system = ServerSystem(folder, database=database)
        images, now = self.system.store.images, self.now()
        scan = images.request_scan(IMAGE, "dev/app", now)
        inventory = Inventory(IMAGE, "linux/amd64", Distribution("debian", "13"), (), (make_package("app"),), ())
        images.finish_scan(IMAGE, scan.number, list_platforms(inventory), None, now)
        for repository in ("dev/app", "prod/app"):
            images.add_push(PushedImage(repository, "1", IMAGE, now))

    def now(self) -> str:
        return format_time(self.system.clock())

    def apply(self, *documents: str) -> None:
        for document in documents:
            self.system.services.delivery.documents.apply(document, "test", Caller(LOCAL))

    def judge(self) -> None:
        """What the server does by itself."""
        self.system.use_cases.push_verdicts.judge_due()
        self.system.use_cases.verdict_renewal.renew()
        self.system.use_cases.repository_verdicts.review()

    def publish(self, severity: Severity, variant: str = "") -> None:
        self.system.advisories.advisories += [make_advisory("app", severity, "2", variant)]

    def follow(self, repository: str, policy: PolicyReference) -> None:
        """As after an approval for an external pipeline."""
        result = self.system.use_cases.verdicts.judge_followed(IMAGE, repository, policy)
        assert result is not None
        with self.system.store.database.write() as connection:
            approval = ApprovalId("external/1"), IMAGE, repository, policy
            follow_images(connection, {result[1]: [approval]}, self.now())

    def waive_in_dev(self) -> None:
        waiver = Waiver(
            "w1", "ana", "Not in dev.", package="pkg:deb/debian/app", repository="dev/*", until="2099-01-01"
        )
        self.system.services.policies.waivers.add_waiver(waiver)

    def list_statuses(self) -> dict[str, str | None]:
        search: ImageSearch = self.system.services.images.search
        return {image.repository: image.status for image in search.list_images(ImageQuery()).images}

    def list_changes(self) -> list[tuple[str, str, str]]:
        """Repository, status before and status of each event about a changed verdict."""
        details = [event.body["detail"] for event in self.system.store.event_log.read(limit=1000)]
        changes = [detail for detail in details if detail.keys() >= {"repository", "previous", "status"}]
        return [(change["repository"], change["previous"], change["status"]) for change in changes]
