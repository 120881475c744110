"""Scans and verdicts in the server: reading an image once, judging it as often as asked, and again when advisories
change."""

import logging
from dataclasses import replace

from dockgate.core import canonical, gate
from dockgate.core.adapters import Notice
from dockgate.core.approvals import Approval, answer_waiting
from dockgate.core.deploy import Service
from dockgate.core.errors import DatabaseError, DeployError, DockgateError
from dockgate.core.model import Slice
from dockgate.core.stores import Scan, ScanState
from dockgate.core.verdict import Case, Policy, Status, Verdict
from dockgate.pipeline.parts import Parts

_log = logging.getLogger(__name__)


class Judging:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._images = parts.store.images

    def read(self, scan: Scan) -> None:
        """Reads the image and stores its inventories."""
        inventories = self._parts.read_image(scan.repository, scan.image)
        self._images.finish_scan(scan.image, scan.number, inventories, "", self._parts.now())

    def fail(self, scan: Scan, reason: str) -> None:
        self._images.finish_scan(scan.image, scan.number, (), reason, self._parts.now())

    def judge(self, image: str, policy_name: str, cause: str) -> tuple[Verdict, str] | None:
        """The verdict on what was read, stored under its cause, with its digest; None while nothing was read yet."""
        case = self.case(image, self._parts.policies(policy_name))
        if case is None:
            return None
        verdict = gate.judge(case, self._parts.ecosystems, self._parts.rules)
        return self._images.add_verdict(verdict, case, cause)

    def case(self, image: str, policy: Policy) -> Case | None:
        """All that a verdict on what was read is made from, as of now; None while nothing was read yet.

        A scan that failed and a database that is not there make Undetermined verdicts: whoever waits gets an answer.
        """
        scan = self._images.scan(image)
        if scan is None or scan.state is ScanState.REQUESTED:
            return None
        case = Case(image, policy, self._parts.now(), self._parts.engine_version)
        if scan.state is ScanState.FAILED:
            return replace(case, unscanned=scan.reason)
        inventories = tuple(self._images.inventories(image))
        try:
            return replace(case, inventories=inventories, consulted=self._parts.advisories().slice(inventories))
        except DatabaseError as error:
            return replace(case, unscanned=error.whole)

    def _judge_for(self, approval: Approval) -> tuple[Verdict, str] | None:
        return self.judge(approval.image, approval.policy, approval.id)

    def answer(self, image: str) -> list[str]:
        """Answers whoever waits on this image, if it can be judged. Returns the executions that may go on."""
        answer_waiting(self._parts.store.approvals, image, self._judge_for, self._parts.now())
        return list(self._parts.store.approvals.executions(image))

    def demand_approval(self, image: str, cause: str) -> None:
        """Judges the image anew by every policy that ever judged it. DeployError unless all approve: what passed once
        may be known as vulnerable today."""
        policies = sorted({record.policy for record in self._images.verdicts(image)})
        if not policies:
            raise DeployError(
                f"no verdict on {image}: only approved digests run",
                "Put an approval action before the deploy, or approve the digest in a pipeline first.",
            )
        for policy in policies:
            judged = self.judge(image, policy, f"{cause}/{self._database()}/{policy}")
            if judged is None or judged[0].status is not Status.APPROVED:
                why = judged[0].summary if judged else "it is being scanned"
                raise DeployError(
                    f"{image} is not approved by the policy {policy!r} as of now: {why}",
                    "Build it again with the upgrades that the verdict names.",
                )

    def renew(self, known: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
        """Judges what runs again where the advisory database, or what runs, is another than `known`: by service, the
        database's digest and the image. Returns what is known then.

        A new advisory takes nothing down: the service is marked at risk, with a deadline, and its next deploy is
        blocked.
        """
        database = self._database()
        if not database:
            return known
        renewed = {}
        for service in self._parts.store.services.list():
            definition = self._parts.store.services.definition(service.name, service.revision)
            image = definition.image.partition("@")[2]
            renewed[service.name] = (database, image)
            if image and known.get(service.name) != (database, image):
                self._mark(service, image, self._objections(image, f"database/{database}/{image}"))
        return renewed

    def _mark(self, service: Service, image: str, objections: str) -> None:
        until = self._parts.later(self._parts.risk_days * 86400) if objections else ""
        self._parts.store.services.at_risk(service.name, objections, until)
        if objections and not service.at_risk:
            self.tell(
                Notice(
                    key=f"at-risk/{service.name}/{image}",
                    kind="Service At Risk",
                    title=f"{service.name} runs an image that would no longer be approved",
                    body=f"{objections}\nIt keeps running. Its next deploy is blocked; replace it before {until}.",
                    detail={"service": service.name, "image": image, "until": until},
                )
            )

    def _database(self) -> str:
        """The digest of the advisory database as it stands now, "" when there is none."""
        try:
            return self._parts.advisories().digest
        except DatabaseError:
            return ""

    def _objections(self, image: str, cause: str) -> str:
        """Why the image would not be approved today, "" when it would."""
        found = []
        for policy in sorted({record.policy for record in self._images.verdicts(image)}):
            verdict = self._standing(image, policy)
            if verdict is None:
                judged = self.judge(image, policy, f"{cause}/{policy}")
                verdict = judged[0] if judged else None
            if verdict is not None and verdict.status is not Status.APPROVED:
                found.append(f"{policy}: {verdict.summary}")
        return "; ".join(found)

    def _standing(self, image: str, policy: str) -> Verdict | None:
        """The newest verdict of this policy, if it approved and would do so again: the database says of the image's
        packages what it said then, and policy and engine are the same."""
        record = next(record for record in self._images.verdicts(image) if record.policy == policy)
        verdict = self._images.verdict(record.digest)
        same = (self._parts.policies(policy).digest, self._parts.engine_version)
        if verdict.status is not Status.APPROVED or (verdict.inputs.policy, verdict.inputs.engine) != same:
            return None
        consulted = canonical.decode(Slice, self._images.document(verdict.inputs.slice))
        present = self._parts.advisories().slice(self._images.inventories(image))
        return verdict if _undated(consulted) == _undated(present) else None

    def tell(self, notice: Notice) -> None:
        """Hands the notice to every notifier. One that fails keeps none of the others, and nothing else, from going
        on."""
        for notifier in self._parts.notifiers:
            try:
                notifier.notify(notice)
            except DockgateError as error:
                _log.warning("%s was not told: %s", notice.key, error)


def _undated(consulted: Slice) -> Slice:
    """The slice without the times of its last check: what it says of packages."""
    return replace(consulted, coverage=tuple(replace(one, checked_at="") for one in consulted.coverage))
