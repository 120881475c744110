"""Requests for an approval: by an approval action of our own pipelines, or by an external pipeline."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.approval_request import ApprovalRequest
from dockgate.delivery.model import ActionKey, Approval, ApprovalId, ApprovalState, Approvers
from dockgate.delivery.ports import FindingsSource, ImageResolver
from dockgate.delivery.registry_access import list_deployed_services
from dockgate.delivery.webhook_delivery import Callback, make_secret
from dockgate.gate.model import Policy
from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.summaries import SUMMARY_LIMIT
from dockgate.identity.model import Principal
from dockgate.services.approvals.contributors import ContributorFinder
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.pipelines.actions import read_definition
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.provenance import Provenance
from dockgate.shared import canonical
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import ImageReference, RepositoryReference, name_own_repository
from dockgate.shared.wording import shorten_text
from dockgate.store import Store
from dockgate.store.records import Scan, ScanState


@dataclass(frozen=True, slots=True)
class ApprovalRequests:
    """Requests for approvals, from our pipelines and external ones.

    `registry` is the address of our own registry; `secret` signs callbacks that bring no secret of their own.
    `findings_source` is another scanner.
    """

    store: Store
    selection: PolicySelection
    policies: Callable[[str], Policy]
    contributors: ContributorFinder
    provenance: Provenance
    resolve_image: ImageResolver
    scans: ScanScheduler
    watched_images: WatchedImages
    approval_settler: ApprovalSettler
    clock: ServerClock
    effects: Effects
    registry: str
    secret: str = field(repr=False)
    findings_source: FindingsSource | None = None

    # --- by our own pipelines -------------------------------------------------------------------------------------

    def request_for_action(self, key: ActionKey) -> Scan:
        """Create the approval of an action, after the request for a scan.

        Return the scan. One effect: a repetition changes nothing.

        The row is written last, because it may be answered from that moment on. Approvals beside a failed scan are
        answered by the reconciler.
        """
        pipeline, action = read_definition(self.store, key)
        variables = pipeline_logic.collect_variables(pipeline, self.store.executions.list_runs(key.execution))
        image = pipeline_logic.resolve_variables(str(action.configuration["image"]), variables)
        if not is_digest(image):
            raise UsageError(
                f"{image!r} is not a digest", "Set `image` to a variable such as #{BuildVariables.IMAGE_DIGEST}."
            )
        repository = name_own_repository(self._find_repository(image, variables), self.registry)
        policy = self.selection.choose_for_action(repository, pipeline, key)
        scan = self.store.images.request_scan(image, repository, self.clock.now())
        if scan.finished_at and not self.watched_images.is_watched(image):
            scan = self.store.images.request_new_scan(image, repository, scan.number, self.clock.now())
        approvers = action.configuration.get("approvers")
        contributors = self.contributors.find(key)
        approval = Approval(
            id=ApprovalId.from_action(key),
            token=secrets.token_urlsafe(24),
            image=image,
            repository=repository,
            policy=policy,
            custom_data=f"Image_Digest={image}",
            created_at=self.clock.now(),
            expires_at=self.clock.compute_time_after(float(str(action.configuration["timeout"]))),
            service=next(iter(list_deployed_services(pipeline)), None),
            approvers=None if approvers is None else canonical.build(Approvers, approvers),
            committers=contributors.names_and_emails,
            contributors_unknown=(
                None
                if contributors.unknown_reason is None
                else shorten_text(contributors.unknown_reason, SUMMARY_LIMIT)
            ),
        )
        self.provenance.fetch(repository, image, policy)
        self.store.approvals.add(approval)
        self.store.executions.mark_waiting(key)
        return scan

    def _find_repository(self, image: str, variables: dict[str, dict[str, str]]) -> str:
        """Return the repository in the variables that name the digest, or else the one that it was pushed to.

        UsageError for none or several: a copy of the image must not decide whose policy and waivers count.
        """
        for values in variables.values():
            if values.get("IMAGE_DIGEST") == image:
                return values["IMAGE_REPOSITORY"]
        repositories = sorted({pushed_image.repository for pushed_image in self.store.images.list_pushed(digest=image)})
        if not repositories:
            raise UsageError(
                f"no push of {image} is recorded", "Push the image to the registry before asking for its approval."
            )
        if len(repositories) > 1:
            raise UsageError(
                f"{image} was pushed to {len(repositories)} repositories: {', '.join(repositories[:3])}",
                "Set `image` to the variable of the build, such as #{BuildVariables.IMAGE_DIGEST}.",
            )
        return repositories[0]

    # --- by external pipelines -------------------------------------------------------------------------------------

    def request_external(self, request: ApprovalRequest, requester: Principal) -> Approval:
        """Return the approval for the request of an external pipeline: the same one for each repetition.

        It is settled at once if the image was scanned before. The image has to be in the repository
        (`require_image`). The policy is the repository's own, or another one that the requester may choose.

        The scan is requested before the approval is written: otherwise the reconciler would find the approval beside
        an earlier scan that failed, and could answer it by an old report of another scanner.
        """
        request = replace(request, requester=requester.name)
        approval = self._find(request.make_id("", "")) if request.key else None
        if approval is not None:
            request.require_same(approval)
        else:
            self.policies(request.policy or DEFAULT_POLICY)
            image = self.resolve_image(request.reference)
            repository, digest = image.repository, image.digest
            request = replace(request, policy=self.selection.choose(repository, request.policy, requester))
            approval = self._find(request.make_id(repository, digest))
            if approval is None:
                self.require_image(repository, digest)
                scan = self.scans.request(repository, digest)
                if scan.finished_at and not self.watched_images.is_watched(digest):
                    self.scans.request_again(repository, digest, scan.number)
                approval = self.effects.run(
                    EffectKind.REQUEST_EXTERNAL_APPROVAL, self._add, request, repository, digest
                )
        if approval.state is ApprovalState.WAITING:
            self.effects.run(EffectKind.ANSWER, self.approval_settler.settle, approval.image)
        return self.store.approvals.get(approval.id)

    def require_image(self, repository: str, digest: str) -> None:
        """Raise NotFoundError unless the image is in the repository.

        It is if a push of it is recorded, or the registry has it. Otherwise a caller who names an image and a
        repository would have the image scanned there, see what is known of it, and choose whose waivers and whose
        baseline count. For an unknown image in a repository of another scanner, the scanner's answer is enough: this
        server may have no access to that registry.
        """
        scan = self.store.images.find_newest_scan(digest)
        is_known = scan is not None or self.store.images.list_pushed(digest=digest, limit=1)
        if not is_known and self.findings_source is not None and self.findings_source.has_repository(repository):
            return
        is_scanned = scan is not None and scan.repository == repository and scan.state is ScanState.DONE
        if not is_scanned and not self.store.images.list_pushers(repository, digest):
            full_repository = RepositoryReference.parse(repository).with_registry(self.registry)
            self.resolve_image(str(ImageReference(full_repository, digest)), should_check_existence=True)

    def is_known(self, request: ApprovalRequest, requester: str) -> bool:
        """Return whether this requester used the request's idempotency key before."""
        return self._find(replace(request, requester=requester).make_id("", "")) is not None

    def _add(self, request: ApprovalRequest, repository: str, digest: str) -> Approval:
        """The approval, and the delivery of its answer. It finishes no action."""
        approval_id, policy = request.make_id(repository, digest), request.policy or PolicyReference(DEFAULT_POLICY)
        self.provenance.fetch(repository, digest, policy)
        callback = None
        if request.callback_url is not None:
            callback_secret = request.callback_secret or make_secret(self.secret, approval_id)
            callback = Callback(request.callback_url, callback_secret)
        return self.store.approvals.add(
            Approval(
                id=approval_id,
                token=secrets.token_urlsafe(24),
                image=digest,
                repository=repository,
                policy=policy,
                custom_data=f"Image_Digest={digest}",
                created_at=self.clock.now(),
                expires_at=self.clock.compute_time_after(request.timeout),
                reference=request.reference,
                pipeline=request.pipeline,
                service=request.service,
                requested_by=request.requester,
            ),
            callback,
        )

    def _find(self, approval_id: ApprovalId) -> Approval | None:
        try:
            return self.store.approvals.get(approval_id)
        except NotFoundError:
            return None
