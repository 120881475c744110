"""Baselines: the images that a policy's rules compare an image with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dockgate.gate import baselines
from dockgate.gate.model import BaselineExemptions, Policy, Status
from dockgate.gate.policy import PolicyReference, required_baselines
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.store.records import VerdictRecord


@dataclass(frozen=True, slots=True)
class DeploymentContext:
    """The context in which an image is evaluated.

    Its repository ("": where it was scanned), the service that is to run it and the execution that approved it for that
    ("" for none). The approvals of the execution name what repositories require on top of the server's policies. With
    `keep_baselines` an approved image is compared with the baselines of its approval.
    """

    repository: str = ""
    service: str = ""
    execution: str = ""
    keep_baselines: bool = False


@dataclass(frozen=True, slots=True)
class BaselineImages:
    """What an image is compared with, by the names of the baselines: see `gate.model.VerdictCase` for each."""

    inventories: dict[str, tuple[Inventory, ...]] = field(default_factory=dict)
    exemptions: dict[str, BaselineExemptions] = field(default_factory=dict)

    def select(self, names: Sequence[str]) -> "BaselineImages":
        """Return the baselines with these names."""
        return BaselineImages(
            {name: self.inventories[name] for name in names if name in self.inventories},
            {name: self.exemptions[name] for name in names if name in self.exemptions},
        )


class Baselines:
    """Finds the baselines of images. `registry` is the address of our own registry."""

    def __init__(self, store: Store, ecosystems: Sequence[Ecosystem], registry: str) -> None:
        self._store = store
        self._images = store.images
        self._ecosystems = ecosystems
        self._registry = registry

    def find(self, image: str, policy: Policy, context: DeploymentContext) -> BaselineImages:
        """Return what the policy's rules compare the image with.

        An image is never its own baseline, or none of its findings would be new: one that runs already is compared with
        the baselines of its approval.
        """
        names = required_baselines(policy)
        if not names:
            return BaselineImages()
        own_policy = PolicyReference.parse(policy.name).name  # whatever a repository requires on top
        record = approving_record(self._images.verdicts(image), own_policy)
        approved_against = BaselineImages()
        if record:
            case = self._images.case(record.digest)
            approved_against = BaselineImages(case.baselines, case.baseline_exemptions)
        if context.keep_baselines and record:
            return approved_against.select(names)
        digests = {
            "running": self._running_image(context.service, context.repository),
            "approved": self._images.last_approved_image(context.repository, own_policy, image),
        }
        inventories, exemptions = {}, {}
        for name in names:
            if digests[name] == image:
                inventories[name] = approved_against.inventories.get(name, ())
                exemptions[name] = approved_against.exemptions.get(name, BaselineExemptions())
            elif digests[name]:
                inventories[name] = tuple(self._images.inventories(digests[name]))
                exemptions[name] = self._exemptions(digests[name], own_policy)
        return BaselineImages(inventories, exemptions).select([name for name in names if inventories.get(name)])

    def _exemptions(self, image: str, own_policy: str) -> BaselineExemptions:
        """The findings that were waived when the image was approved.

        The approval by this policy counts, or the newest one if only other policies approved it.
        """
        records = self._images.verdicts(image)
        approving = (record for record in records if record.status == Status.APPROVED)
        record = approving_record(records, own_policy) or next(approving, None)
        if record is None:
            return BaselineExemptions()
        verdict, case = self._images.verdict(record.digest), self._images.case(record.digest)
        return baselines.find_exemptions(case, verdict.platform_verdicts, self._ecosystems)

    def _running_image(self, service: str, repository: str) -> str:
        """The digest that the service runs, "" if none or of another repository.

        The request names the service, and must not choose what is exempted.
        """
        if not service:
            return ""
        try:
            revision = self._store.services.get(service).revision
            image = self._store.services.definition(service, revision).reference
            return image.digest if image and image.repository_in(self._registry) == repository else ""
        except NotFoundError:
            return ""


def approving_record(records: Sequence[VerdictRecord], policy: str) -> VerdictRecord | None:
    """Return the newest verdict by which the server's policy of this name approved, None where it did not."""
    own = (record for record in records if PolicyReference.parse(record.policy).name == policy)
    return next((record for record in own if record.status == Status.APPROVED), None)
