"""Verdicts in the server: an image that was read once is judged as often as asked, and again when advisories, policies
or waivers change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dockgate.delivery.approvals import answer_waiting
from dockgate.delivery.model import Approval, Service
from dockgate.events.ports import Notice
from dockgate.gate import baselines, evaluate
from dockgate.gate.model import BaselineExemptions, Policy, Status, Verdict, VerdictCase, Waiver
from dockgate.gate.policy import PolicyReference, make_policy, required_baselines
from dockgate.gate.policy_choice import DEFAULT_POLICY, PolicyAssignment, assignment_for, choose_policy, may_judge
from dockgate.identity.model import Principal
from dockgate.scanner.model import Inventory
from dockgate.services.dependencies import Dependencies
from dockgate.services.exceptions import Exceptions
from dockgate.services.notifications import notification_entries
from dockgate.services.provenance import Provenance
from dockgate.services.reported import consult_catalogues
from dockgate.services.waiver_scope import waivers_apply
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DatabaseError, DefinitionError, DeniedError, DeployError, NotFoundError
from dockgate.store.records import ScanState, VerdictRecord
from dockgate.vulnerabilities.model import AdvisorySnapshot


@dataclass(frozen=True, slots=True)
class Place:
    """What an image is judged for: its repository ("": where it was scanned), the service that is to run it and the
    execution in which it was approved for that ("" for none); that one's approvals say what was asked of the image
    beyond the server's policies. `kept`: against the baselines that it was approved against before, where it was."""

    repository: str = ""
    service: str = ""
    execution: str = ""
    kept: bool = False


ANYWHERE = Place()


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy as it was read, or one without rules and why it was not ("" where it was)."""

    policy: Policy
    unusable: str = ""


@dataclass(frozen=True, slots=True)
class _Against:
    """What an image is compared with, by the baselines' names: see `verdict.VerdictCase` for each."""

    inventories: dict[str, tuple[Inventory, ...]] = field(default_factory=dict)
    baseline_exemptions: dict[str, BaselineExemptions] = field(default_factory=dict)

    def narrowed(self, names: Sequence[str]) -> "_Against":
        return _Against(
            {name: self.inventories[name] for name in names if name in self.inventories},
            {name: self.baseline_exemptions[name] for name in names if name in self.baseline_exemptions},
        )


class Verdicts:
    def __init__(self, parts: Dependencies) -> None:
        self._parts = parts
        self.exceptions = Exceptions(parts)
        self.provenance = Provenance(parts)
        self._images = parts.store.images

    def judge(self, image: str, policy_name: str, cause: str, place: Place = ANYWHERE) -> tuple[Verdict, str] | None:
        """The verdict on what was read, stored under its cause, with its digest; None while nothing was read yet.

        Where the policy is not there (any more) or not to be understood, it is Undetermined.
        """
        case = self._case(image, self._read(policy_name), place)
        if case is None:
            return None
        verdict = evaluate.judge(case, self._parts.ecosystems, self._parts.rules)
        return self._images.add_verdict(verdict, case, cause)

    def _read(self, policy_name: str) -> _Read:
        try:
            return _Read(self._parts.policies(policy_name))
        except (NotFoundError, DefinitionError) as error:
            return _Read(make_policy(policy_name, {}), error.whole)

    def _case(self, image: str, read: _Read, place: Place) -> VerdictCase | None:
        case = self.case(image, read.policy, place)
        return replace(case, no_scan_reason=read.unusable) if case and read.unusable else case

    def case(self, image: str, policy: Policy, place: Place = ANYWHERE) -> VerdictCase | None:
        """All that a verdict on what was read is made from, as of now; None while nothing was read yet.

        A scan that failed and a database that is not there make Undetermined verdicts: whoever waits gets an answer.
        What other scanners report is judged beside that; in place of it, if somebody vouches for it who may accept
        risks. A scan that was asked for is waited for.
        """
        scan = self._images.scan(image)
        vouched = any(record.vouched for record in self._parts.store.reports.for_image(image))
        if scan is None and not vouched:
            return None
        if scan is not None and scan.state is ScanState.REQUESTED:
            return None
        place = replace(place, repository=place.repository or (scan.repository if scan else ""))
        inventories = tuple(self._images.inventories(image))
        reported = tuple(self._parts.store.reports.external_reports(image))
        named, now = (*inventories, *(one.inventory for one in reported)), self._parts.now()
        found = self.provenance.facts(image, policy)
        case = VerdictCase(image, policy, now, self._parts.engine_version, external_reports=reported, provenance=found)
        if named:
            repository = place.repository if waivers_apply(self._parts, place.repository, image, scan) else ""
            case = replace(case, waivers=self.exceptions.of(image, named, policy, repository, now))
        if scan is None or scan.state.has_failed:
            case = replace(case, snapshot=consult_catalogues(self._parts, reported))
            return case if scan is None or vouched else replace(case, no_scan_reason=scan.reason)
        try:
            return replace(
                case,
                inventories=inventories,
                snapshot=self._consulted(inventories, (against := self._baselines(image, policy, place)).inventories),
                baselines=against.inventories,
                baseline_exemptions=against.baseline_exemptions,
            )
        except DatabaseError as error:
            return replace(case, no_scan_reason=error.whole)

    def _consulted(self, inventories: Sequence[Inventory], held: Mapping[str, Sequence[Inventory]]) -> AdvisorySnapshot:
        """What a baseline suffers is asked of the same advisories: without its packages they would say nothing of
        them."""
        more = [one for found in held.values() for one in found]
        return self._parts.advisories().snapshot([*inventories, *more])

    def _baselines(self, image: str, policy: Policy, place: Place) -> _Against:
        """What the policy's rules compare the image with. It is never its own, or whatever it suffers would be nothing
        new: what runs already is judged against that which it was approved against."""
        wanted = required_baselines(policy)
        if not wanted:
            return _Against()
        own = PolicyReference.parse(policy.name).name  # whatever is asked on top, by whichever repository
        record = self._approving(image, own)
        kept = _Against()
        if record:
            case = self._images.case(record.digest)
            kept = _Against(case.baselines, case.baseline_exemptions)
        if place.kept and record:
            return kept.narrowed(wanted)
        digests = {
            "running": self._running(place.service, place.repository),
            "approved": self._images.last_approved_image(place.repository, own, image),
        }
        found, baseline_exemptions = {}, {}
        for name in wanted:
            if digests[name] == image:
                found[name] = kept.inventories.get(name, ())
                baseline_exemptions[name] = kept.baseline_exemptions.get(name, BaselineExemptions())
            elif digests[name]:
                found[name] = tuple(self._images.inventories(digests[name]))
                baseline_exemptions[name] = self._excused(digests[name], own)
        return _Against(found, baseline_exemptions).narrowed([name for name in wanted if found.get(name)])

    def _approving(self, image: str, own: str) -> VerdictRecord | None:
        """The newest verdict by which the server's policy approved the image."""
        records = (one for one in self._images.verdicts(image) if PolicyReference.parse(one.policy).name == own)
        return next((one for one in records if one.status == Status.APPROVED), None)

    def _excused(self, image: str, own: str) -> BaselineExemptions:
        """What the image was approved with by leave alone: by this policy, or where only others approved it, by the
        newest of these."""
        approving = [one for one in self._images.verdicts(image) if one.status == Status.APPROVED]
        record = self._approving(image, own) or next(iter(approving), None)
        if record is None:
            return BaselineExemptions()
        verdict, case = self._images.verdict(record.digest), self._images.case(record.digest)
        return baselines.find_exemptions(case, verdict.platform_verdicts, self._parts.ecosystems)

    def _running(self, service: str, repository: str) -> str:
        """The digest that the service runs, "" for none, and for one of another repository: whoever asks names the
        service, and may not choose what is exempted."""
        if not service:
            return ""
        try:
            revision = self._parts.store.services.get(service).revision
            name, _, digest = self._parts.store.services.definition(service, revision).image.partition("@")
            return digest if self._repository(name) == repository else ""
        except NotFoundError:
            return ""

    def _judge_for(self, approval: Approval, cause: str) -> tuple[Verdict, str] | None:
        place = Place(approval.repository, approval.service)
        return self.judge(approval.image, approval.policy, cause, place)

    def objection(self, approval: Approval, accepted: Sequence[Waiver]) -> str:
        """Why the image would not be approved now if this were accepted too, "" when it would."""
        case = self._case(approval.image, self._read(approval.policy), Place(approval.repository, approval.service))
        if case is None:
            return "it is being scanned"
        waivers = replace(case.waivers, waivers=(*case.waivers.waivers, *accepted))
        verdict = evaluate.judge(replace(case, waivers=waivers), self._parts.ecosystems, self._parts.rules)
        return "" if verdict.status is Status.APPROVED else verdict.summary

    def answer(self, image: str) -> list[str]:
        """Answers whoever waits on this image, if it can be judged. Returns the executions that may go on."""
        answer_waiting(self._parts.store.approvals, image, self._judge_for, self._parts.now())
        return list(self._parts.store.approvals.open_executions(image))

    def require_approval(self, image: str, cause: str, place: Place = ANYWHERE) -> None:
        """Judges the image anew by every policy in `judges`. DeployError unless all approve: what passed once may be
        known as vulnerable today, and a waiver may have lapsed since."""
        if not self._images.verdicts(image):
            raise DeployError(
                f"no verdict on {image}: only approved digests run",
                "Put an approval action before the deploy, or approve the digest in a pipeline first.",
            )
        policies = self._judges(image, place.execution, place.repository)
        if not policies:
            raise DeployError(
                f"every policy that judged {image} was removed since: only approved digests run",
                "Start the pipeline again, so that the image is judged by the policy that it names now.",
            )
        for read in policies:
            self.provenance.look_once(place.repository, image, read.policy.name)
            case = self._case(image, read, replace(place, kept=True))
            verdict = evaluate.judge(case, self._parts.ecosystems, self._parts.rules) if case else None
            if case and verdict and verdict.status is Status.APPROVED:
                # It decides as of now, whatever stands under the cause: this is the record of it.
                self._images.add_verdict(verdict, case, f"{cause}/{self._database()}/{read.policy.name}")
                continue
            if case and verdict:
                self._record(verdict, case)
            raise DeployError(
                f"{image} is not approved by the policy {PolicyReference.parse(read.policy.name).label!r} as of now: "
                f"{verdict.summary if verdict else 'it is being scanned'}",
                "Build it again with the upgrades that the verdict names.",
            )

    def judges(self, image: str, execution: str, repository: str) -> list[str]:
        """The policies by which the image has to be approved as of now: each that ever judged it and is still there.

        What its repository asked on top is as this execution's own approval of the image has it ("" for no execution),
        or else the newest verdict: one digest may come out of several repositories, and a repository may ask for less
        than it did. Where none of them may judge images of the `repository`, its own policy judges too: an
        approval in a repository with a weaker policy does not count in this one.
        """
        return [one.policy.name for one in self._judges(image, execution, repository)]

    def _judges(self, image: str, execution: str, repository: str) -> list[_Read]:
        """As `judges`, each read once: one that is removed meanwhile has judged for the last time."""
        names = {
            PolicyReference.parse(record.policy).name: record.policy
            for record in reversed(self._images.verdicts(image))
        }
        names |= {PolicyReference.parse(policy).name: policy for policy in self._approved_by(image, execution)}
        pipeline = self._named_by_pipeline(execution)
        if repository and names and not any(self._may_judge(repository, name, pipeline) for name in names):
            names.setdefault(own := self.policy_of(repository), own)
        policies = [self._read(name) for name in sorted(names.values())]
        return [
            one for one in policies if not one.unusable or self._exists(PolicyReference.parse(one.policy.name).name)
        ]

    def policy_of(self, repository: str) -> str:
        """The policy that judges the repository's images when nobody names another."""
        assignment = assignment_for(self._assignments(), repository)
        return assignment.policy if assignment else DEFAULT_POLICY

    def choose(self, repository: str, requested: str, requester: Principal) -> str:
        """The policy for a request (`core.policy_choice.choose_policy`)."""
        return choose_policy(self._assignments(), repository, requested, requester, self._parts.policies)

    def choose_for_pipeline(self, repository: str, named: str) -> str:
        """The policy for an approval action: what the pipeline names, unless the repository is assigned another."""
        name = named or self.policy_of(repository)
        if not self._may_judge(repository, name, [name]):
            raise DeniedError(
                f"the pipeline names the policy {name!r}, and images of {repository} are judged by "
                f"{self.policy_of(repository)!r}",
                "Leave `policy` out of the approval action, or allow it in the PolicyAssignment.",
            )
        return name

    def _named_by_pipeline(self, execution: str) -> list[str]:
        """The policies that the definition of the execution's pipeline names."""
        if not execution:
            return []
        run = self._parts.store.executions.get(execution)
        pipeline = self._parts.store.pipelines.get(run.pipeline, run.pipeline_version)
        actions = [action for stage in pipeline.stages for action in stage.actions]
        return [str(action.configuration["policy"]) for action in actions if "policy" in action.configuration]

    def _may_judge(self, repository: str, name: str, pipeline: Sequence[str]) -> bool:
        try:
            return may_judge(self._assignments(), repository, name, pipeline, self._parts.policies)
        except (NotFoundError, DefinitionError):
            return False

    def _assignments(self) -> list[PolicyAssignment]:
        return [record.assignment for record in self._parts.store.policy_assignments.list()]

    def _approved_by(self, image: str, execution: str) -> Iterator[str]:
        """The policies of the execution's approvals of this image."""
        store = self._parts.store
        for run in store.executions.runs(execution) if execution else ():
            try:
                approval = store.approvals.get(str(run.key))
            except NotFoundError:
                continue  # an action of another type, or an approval long over
            if approval.image == image:
                yield approval.policy

    def _exists(self, name: str) -> bool:
        try:
            self._parts.policies(name)
        except NotFoundError:
            return False
        except DefinitionError:
            pass  # it is there, and will approve nothing
        return True

    def renew(self, known: dict[str, str]) -> dict[str, str]:
        """Judges what runs again where something that its verdict is made from is another than `known`, by service.
        Returns what is known then.

        A new advisory takes nothing down, nor does a stricter policy or a waiver that lapses: the service is marked at
        risk, with a deadline, and its next deploy is blocked.
        """
        database = self._database()
        if not database:
            return known
        renewed = {}
        for service in self._parts.store.services.list():
            definition = self._parts.store.services.definition(service.name, service.revision)
            name, _, image = definition.image.partition("@")
            place = Place(self._repository(name), service.name, self._deployed_by(service), kept=True)
            renewed[service.name] = self._state(database, image, place) if image else ""
            if image and known.get(service.name) != renewed[service.name]:
                self._mark(service, image, self._objections(image, place))
        return renewed

    def _repository(self, name: str) -> str:
        """The image's repository, as approvals name it: without our registry's address before it."""
        return name.removeprefix(f"{self._parts.registry.address}/")

    def _state(self, database: str, image: str, place: Place) -> str:
        """Other text whenever the verdict could be another; by the hour too, for rules may count time."""
        policies = [one.unusable or one.policy.digest for one in self._judges(image, place.execution, place.repository)]
        now, built = self._parts.now(), self.provenance.state(image)
        accepted = self.exceptions.state(place.repository, now)
        return digest_of(canonical.encode([database, image, *policies, accepted, built, now[:13]]))

    def _deployed_by(self, service: Service) -> str:
        """The execution that brought what the service runs."""
        return self._parts.store.services.deployed_by(service.name)

    def _mark(self, service: Service, image: str, objections: str) -> None:
        """An image may be at risk, out of it, and at risk again: each time has its own deadline, and its own notice."""
        until = self._parts.later(self._parts.risk_days * 86400) if objections else ""
        notice = Notice(
            key=f"at-risk/{service.name}/{image}/{until}",
            kind="Service At Risk",
            title=f"{service.name} runs an image that would no longer be approved",
            body=f"{objections}\nIt keeps running. Its next deploy is blocked; replace it before {until}.",
            detail={"service": service.name, "image": image, "until": until},
        )
        entries = notification_entries(notice, self._parts.notifiers, self._parts.now())
        self._parts.store.services.set_risk(service.name, objections, until, entries)

    def _database(self) -> str:
        """The digest of the advisory database as it stands now, "" when there is none."""
        try:
            return self._parts.advisories().digest
        except DatabaseError:
            return ""

    def _objections(self, image: str, place: Place) -> str:
        """Why the image would not be approved now, "" when it would."""
        policies = self._judges(image, place.execution, place.repository)
        found = [] if policies else ["every policy that judged it was removed since"]
        for read in policies:
            self.provenance.look_once(place.repository, image, read.policy.name)
            case = self._case(image, read, place)
            if case is not None:
                verdict = evaluate.judge(case, self._parts.ecosystems, self._parts.rules)
                self._record(verdict, case)
                if verdict.status is not Status.APPROVED:
                    found.append(f"{PolicyReference.parse(read.policy.name).label}: {verdict.summary}")
        return "; ".join(found)

    def _record(self, verdict: Verdict, case: VerdictCase) -> None:
        """Stores the verdict after the newest of its policy, unless it says what that says: the fleet is judged again
        by the hour, and most of it stays as it was."""
        records = self._images.verdicts(verdict.image)
        newest = next((record.digest for record in records if record.policy == verdict.policy), "")
        if not newest or _said(self._images.verdict(newest)) != _said(verdict):
            self._images.add_verdict(verdict, case, f"renewed/{newest or f'{verdict.image}/{verdict.policy}'}")


def _said(verdict: Verdict) -> tuple[object, ...]:
    """What a verdict says, and by which policy and engine: all but the time and what followed from nothing."""
    return verdict.status, verdict.platform_verdicts, verdict.inputs.policy, verdict.inputs.engine
