"""Verdicts on images that were scanned: judged as of now, and stored with what they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dockgate.delivery.model import Approval
from dockgate.delivery.ports import Advisories
from dockgate.delivery.service_risk import RunningVerdict
from dockgate.gate import evaluate
from dockgate.gate.change_times import format_next_change, format_unknown_moment
from dockgate.gate.model import Status, Verdict, VerdictCase, Waiver
from dockgate.gate.next_steps import advise_on_refusal
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.risk_deadline import compute_risk_deadline, find_worst_severity, list_most_urgent_findings
from dockgate.gate.rule import Rule
from dockgate.gate.summaries import name_policy
from dockgate.scanner.ports import Ecosystem
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import LoadedPolicy, PolicySelection
from dockgate.services.verdicts.case_builder import CaseBuilder, DeploymentContext
from dockgate.services.verdicts.provenance import Provenance
from dockgate.shared.errors import DatabaseError, DeployError
from dockgate.store import Store
from dockgate.store.fleet.changes import VULNERABILITIES_LIMIT
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict
from dockgate.store.records import VerdictRecord
from dockgate.store.verdict_causes import VerdictCause


@dataclass(frozen=True, slots=True)
class RenewedPushVerdict:
    """A verdict on a push that differs from the one before and is not stored yet.

    `previous` is the newest verdict in the repository that was not requested, the newest one if all were.
    """

    verdict: Verdict
    case: VerdictCase
    repository: str
    previous: VerdictRecord


class PushRenewal(NamedTuple):
    """What judging a pushed image again has shown.

    `renewed_verdict` is what there is to store, None for nothing. `next_at` is when time alone can change the verdict,
    None for never.
    """

    renewed_verdict: RenewedPushVerdict | None = None
    next_at: str | None = None


class FollowedVerdict(NamedTuple):
    """The present verdict on an approved image, and the digest of the stored one like it.

    `next_at` is when time alone can change it, None for never.
    """

    verdict: Verdict
    digest: str
    next_at: str | None


class DeployedVerdict(NamedTuple):
    """The verdict on a deployed image by all its policies.

    Unless it `is_complete`, some could not judge the image, because it was being scanned. `next_at` is when time alone
    can change the verdict, None for never.
    """

    verdict: RunningVerdict
    is_complete: bool
    next_at: str | None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts on images by the policies that apply to them."""

    store: Store
    case_builder: CaseBuilder
    selection: PolicySelection
    provenance: Provenance
    watched_images: WatchedImages
    advisories: Advisories
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]

    def judge_approval(self, approval: Approval, cause: VerdictCause) -> UnstoredVerdict | None:
        """Return the verdict that an approval waits for; None until the image was scanned.

        It is to be stored under the cause. Under a policy that cannot be read it is Undetermined.
        """
        case = self._build_approval_case(approval)
        if case is None:
            return None
        return self.store.verdicts.prepare(self._judge(case), case, cause, approval.repository)

    def find_rejection_with_waivers(self, approval: Approval, waivers: Sequence[Waiver]) -> str | None:
        """Return why the image would not be approved now with these waivers added, None when it would."""
        case = self._build_approval_case(approval)
        if case is None:
            return "it is being scanned"
        with_waivers = replace(case.waivers, waivers=(*case.waivers.waivers, *waivers))
        verdict = self._judge(replace(case, waivers=with_waivers))
        return None if verdict.status is Status.APPROVED else verdict.summary

    def require_approval(self, image: str, cause: VerdictCause, context: DeploymentContext) -> None:
        """Judge the image as of now by every required policy.

        DeployError unless all approve: the image may be known as vulnerable since its approval, and a waiver may have
        expired.
        """
        if not any(record.is_requested for record in self.store.verdicts.list_of_image(image)):
            raise DeployError(
                f"no verdict on {image}: only approved digests run",
                "Put an approval action before the deploy, or approve the digest in a pipeline first.",
            )
        watch = self.watched_images.read_state(context.repository, image)
        if not watch.is_watched:
            raise DeployError(
                f"{image} is Undetermined: it is not watched any more{f' since {watch.until}' if watch.until else ''}",
                "Request an approval of it: it is scanned and judged again.",
            )
        policies = self.selection.list_required_policies(image, context.execution, context.repository)
        if not policies:
            raise DeployError(
                f"every policy that judged {image} was removed since: only approved digests run",
                "Start the pipeline again: its present policy then judges the image.",
            )
        for loaded_policy in policies:
            name = loaded_policy.policy.name
            self.provenance.fetch_once(context.repository, image, name)
            case = self._build_case(image, loaded_policy, replace(context, should_keep_baselines=True))
            verdict = self._judge(case) if case else None
            if case and verdict and verdict.status is Status.APPROVED:
                # The first verdict of a cause stays: a check that is repeated with other advisories has another cause.
                check = cause.complete_check(self.read_advisory_digest(), name)
                self.store.verdicts.add(verdict, case, check, context.repository)
                continue
            if case and verdict:
                self._record(verdict, case, context.repository)
            raise DeployError(
                f"{image} is not approved by the policy {name.label!r} now: "
                f"{verdict.summary if verdict else 'it is being scanned'}",
                advise_on_refusal(verdict) if verdict else "Deploy it again after its scan.",
            )

    def review_deployed(self, image: str, context: DeploymentContext, risk_days: float) -> DeployedVerdict:
        """Return whether the image would be rejected now, or cannot be judged. Changed verdicts are stored.

        A rejected image has a deadline: the earliest that its policies give, by default in `risk_days`. With time
        alone, verdicts that stay the same never give an earlier one.
        """
        policies = self.selection.list_required_policies(image, context.execution, context.repository)
        undetermined_reasons = [] if policies else ["every policy that judged it was removed since"]
        rejections, deadlines = [], []
        urgent: dict[str, str] = {}
        rejecting_verdicts: list[Verdict] = []
        times: list[str | None] = []
        for loaded_policy in policies:
            self.provenance.fetch_once(context.repository, image, loaded_policy.policy.name)
            case = self._build_case(image, loaded_policy, context)
            if case is None:
                undetermined_reasons.append("it is being scanned")
                continue
            verdict, next_at = self._judge_with_next_change(case)
            times.append(next_at)
            self._record(verdict, case, context.repository)
            reason = name_policy(loaded_policy.policy.name, verdict.summary)
            if verdict.status is Status.REJECTED:
                rejections.append(reason)
                deadlines.append(deadline := compute_risk_deadline(verdict, loaded_policy.policy, risk_days))
                rejecting_verdicts.append(verdict)
                findings = list_most_urgent_findings(verdict, loaded_policy.policy, risk_days)[:VULNERABILITIES_LIMIT]
                names = {finding.id: finding.severity.value for finding in findings}
                urgent = names | urgent if deadline == min(deadlines) else urgent | names
            elif verdict.status is Status.UNDETERMINED:
                undetermined_reasons.append(reason)
        running_verdict = RunningVerdict(
            image,
            rejection="; ".join(rejections) or None,
            deadline=min(deadlines, default=None),
            cannot_judge="; ".join(undetermined_reasons) or None,
            vulnerabilities=tuple(urgent.items())[:VULNERABILITIES_LIMIT],
            severity=find_worst_severity(rejecting_verdicts),
        )
        return DeployedVerdict(running_verdict, len(times) == len(policies), min(filter(None, times), default=None))

    def build_deployed_cases(self, image: str, context: DeploymentContext) -> list[VerdictCase]:
        """Return the cases of a deployed image, one for each required policy.

        Empty while it cannot be judged by all.
        """
        policies = self.selection.list_required_policies(image, context.execution, context.repository)
        cases = [
            self._build_case(image, loaded_policy, replace(context, should_keep_baselines=True))
            for loaded_policy in policies
        ]
        return [case for case in cases if case is not None] if None not in cases else []

    def judge_push(self, image: str, repository: str, scan: int) -> None:
        """Store the verdict on an image that was pushed to a repository, by its policy, once for each scan."""
        loaded_policy = self.selection.read(self.selection.get_policy_name(repository))
        self.provenance.fetch_once(repository, image, loaded_policy.policy.name)
        case = self._build_case(image, loaded_policy, DeploymentContext(repository))
        if case is not None:
            cause = VerdictCause.make_push(repository, image, scan)
            self.store.verdicts.add(self._judge(case), case, cause, repository, scan)

    def renew_push(self, image: str, repository: str) -> PushRenewal | None:
        """Judge a pushed image as of now, by the repository's policy.

        Returns None while the image is being scanned.
        `store_renewal` stores the verdict. It follows the newest one on the image in this repository that was not
        requested: that is the one which the owners of the repository know.
        There is nothing to store
        - if there is no verdict yet: `judge_push` makes the first one;
        - if the image is followed by the repository's policy, and `judge_followed` has not renewed the verdict yet;
        - if the newest verdict decides the same, and one that was not requested has its status and its policy. Verdicts
          by two policies never decide the same.
        """
        loaded_policy = self.selection.read(self.selection.get_policy_name(repository))
        records = [record for record in self.store.verdicts.list_of_image(image) if record.repository == repository]
        if not records:
            return PushRenewal()
        newest_record, policy_name = records[0], loaded_policy.policy.name
        # A verdict that was requested may be by another policy than the repository's, and says nothing of it.
        previous_record = next((record for record in records if not record.is_requested), newest_record)
        is_known = not previous_record.is_requested and (previous_record.policy, previous_record.status) == (
            newest_record.policy,
            newest_record.status,
        )
        is_followed = newest_record.policy == policy_name and self.store.followed_images.is_followed(
            image, repository, policy_name
        )
        if is_followed and is_known:
            return PushRenewal()
        self.provenance.fetch_once(repository, image, policy_name)
        context = DeploymentContext(repository, should_keep_baselines=is_followed)
        case = self._build_case(image, loaded_policy, context)
        if case is None:
            return None
        verdict, next_at = self._judge_with_next_change(case)
        is_same = _extract_decision(self.store.verdicts.get(newest_record.digest)) == _extract_decision(verdict)
        if is_known if is_same else is_followed:
            return PushRenewal(None, next_at)
        return PushRenewal(RenewedPushVerdict(verdict, case, repository, previous_record), next_at)

    def store_renewal(self, renewed_verdict: RenewedPushVerdict) -> int:
        """Store the verdict of `renew_push`, as one on a push: it informs, and approves nothing.

        Return its number: a later verdict on the image has a higher one.
        """
        verdict, repository = renewed_verdict.verdict, renewed_verdict.repository
        cause = VerdictCause.make_push_renewal(repository, verdict.image, renewed_verdict.previous.digest)
        self.store.verdicts.add(verdict, renewed_verdict.case, cause, repository)
        return self.store.verdicts.get_number(cause)

    def judge_followed(self, image: str, repository: str, policy: PolicyReference) -> FollowedVerdict | None:
        """Return the present verdict on an approved image.

        None while it is being scanned. It is stored if it decides something else than the newest one of its policy.
        """
        loaded_policy = self.selection.read(policy)
        self.provenance.fetch_once(repository, image, loaded_policy.policy.name)
        case = self._build_case(image, loaded_policy, DeploymentContext(repository, should_keep_baselines=True))
        if case is None:
            return None
        verdict, next_at = self._judge_with_next_change(case)
        return FollowedVerdict(verdict, self._record(verdict, case, repository), next_at)

    def read_advisory_digest(self) -> str | None:
        """Return the digest of the present advisory database, or None."""
        try:
            return self.advisories().digest
        except DatabaseError:
            return None

    def _build_approval_case(self, approval: Approval) -> VerdictCase | None:
        context = DeploymentContext(approval.repository, approval.service)
        return self._build_case(approval.image, self.selection.read(approval.policy), context)

    def _build_case(self, image: str, loaded_policy: LoadedPolicy, context: DeploymentContext) -> VerdictCase | None:
        case = self.case_builder.build(image, loaded_policy.policy, context)
        reason = loaded_policy.unusable_reason
        return replace(case, no_scan_reason=reason) if case and reason else case

    def _judge(self, case: VerdictCase) -> Verdict:
        return evaluate.judge(case, self.ecosystems, self.rules)

    def _judge_with_next_change(self, case: VerdictCase) -> tuple[Verdict, str | None]:
        """Return the verdict, and when to judge again though nothing but the time changes, None for never.

        The ages of feeds are left out.
        """
        verdict, changes_at = evaluate.judge_with_next_change(case, self.ecosystems, self.rules)
        if case.provenance is not None and case.provenance.unavailable is not None:
            return verdict, format_unknown_moment(case.now)  # then it may be available
        return verdict, format_next_change(changes_at, case.now)

    def _record(self, verdict: Verdict, case: VerdictCase, repository: str) -> str:
        """Store the verdict after the newest of its policy in the repository, unless both say the same.

        Return the digest of the newest.
        """
        records = self.store.verdicts.list_of_image(verdict.image)
        # In another repository other waivers count.
        same_records = (
            record for record in records if (record.policy, record.repository) == (verdict.policy, repository)
        )
        previous_digest = next((record.digest for record in same_records), None)
        if previous_digest is None or _extract_decision(self.store.verdicts.get(previous_digest)) != _extract_decision(
            verdict
        ):
            cause = VerdictCause.make_renewal(repository, verdict.image, verdict.policy, previous_digest)
            return self.store.verdicts.add(verdict, case, cause, repository)[1]
        return previous_digest


def _extract_decision(verdict: Verdict) -> tuple[object, ...]:
    """Return what a verdict decides, and by which policy and engine, without its time and its inputs."""
    return verdict.status, verdict.platform_verdicts, verdict.inputs.policy, verdict.inputs.engine
