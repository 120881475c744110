"""The part of images that callers with limits to repositories and pipelines may see.

An image can be in several repositories, under one digest: each of them has verdicts, pushes and waivers of its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dockgate.delivery.approval_request import make_image_scope
from dockgate.identity.model import Caller
from dockgate.shared.errors import DeniedError
from dockgate.store import Store
from dockgate.store.records import ImageLocations, PushedImage, VerdictRecord


@dataclass(frozen=True, slots=True)
class ImageVisibility:
    """The images and verdicts that one caller may see."""

    store: Store
    caller: Caller
    # What was read, by image: where it is, its verdicts, and its repositories (every one, and the visible ones).
    _locations_by_image: dict[str, ImageLocations] = field(default_factory=dict, init=False)
    _verdicts: dict[str, Sequence[VerdictRecord]] = field(default_factory=dict, init=False)
    _repositories: dict[str, tuple[Collection[str], Sequence[str]]] = field(default_factory=dict, init=False)

    def list_repositories(self, image: str) -> Sequence[str]:
        """Return the visible repositories of an image, sorted: where it was pushed, scanned or approved."""
        _, visible = self._read(image)
        return visible

    def list_all_repositories(self, image: str) -> Collection[str]:
        """Return every repository of an image."""
        repositories, _ = self._read(image)
        return repositories

    def list_pushes(self, image: str) -> Sequence[PushedImage]:
        """Return the pushes of an image, visible or not."""
        return self._read_locations(image).pushes

    def _read_locations(self, image: str) -> ImageLocations:
        """Where an image is or was, which is read once."""
        if image not in self._locations_by_image:
            self._locations_by_image[image] = self.store.image_uses.read_locations(image)
        return self._locations_by_image[image]

    def _list_all_verdicts(self, image: str) -> Sequence[VerdictRecord]:
        """All verdicts on an image, newest first, which are read once."""
        if image not in self._verdicts:
            self._verdicts[image] = self.store.verdicts.list_of_image(image)
        return self._verdicts[image]

    def _read(self, image: str) -> tuple[Collection[str], Sequence[str]]:
        """Every repository of an image and the visible ones."""
        if image not in self._repositories:
            image_locations = self._read_locations(image)
            approved_repositories = {
                approval.repository
                for approval in image_locations.approvals
                if self.caller.can_reach(**make_image_scope(approval.repository, approval.id, approval.pipeline))
            }
            all_repositories = {
                *(pushed_image.repository for pushed_image in image_locations.pushes),
                *(approval.repository for approval in image_locations.approvals),
                *((image_locations.scanned_in,) if image_locations.scanned_in is not None else ()),
            }
            reachable_repositories = {name for name in all_repositories if self.caller.can_reach(repository=name)}
            self._repositories[image] = all_repositories, sorted(reachable_repositories | approved_repositories)
        return self._repositories[image]

    def can_see_image(self, image: str) -> bool:
        """Return whether the caller may see a repository that has the image."""
        return not self.caller.is_limited or bool(self.list_repositories(image))

    def require_image(self, image: str) -> None:
        """Raise DeniedError unless the image is visible."""
        if not self.can_see_image(image):
            raise self._make_refusal()

    def list_verdicts(self, image: str) -> Sequence[VerdictRecord]:
        """Return the visible verdicts on an image, newest first."""
        records = self._list_all_verdicts(image)
        if not self.caller.is_limited:
            return records
        visible = self.list_repositories(image)
        return [record for record in records if record.repository in visible]

    def find_verdict_repository(self, image: str, verdict: str) -> str | None:
        """Return the first visible repository in which a verdict on an image was made, or None.

        Raises DeniedError if none is visible.
        """
        records = reversed(self._list_all_verdicts(image))
        made_in = list(dict.fromkeys(record.repository for record in records if record.digest == verdict))
        if self.caller.is_limited:
            visible = self.list_repositories(image)
            made_in = [name for name in made_in if name in visible]
            if not made_in:
                raise self._make_refusal()
        return made_in[0] if made_in else None

    def can_see_verdict(self, image: str, verdict: str) -> bool:
        """Return whether the caller may see a repository for which the verdict was made."""
        try:
            self.find_verdict_repository(image, verdict)
        except DeniedError:
            return False
        return True

    def require_all(self, image: str) -> None:
        """Raise DeniedError unless the caller reaches every repository of an image.

        The caller is about to change something that counts in all of them.
        """
        if self.caller.is_limited:
            names = self.list_all_repositories(image)
            if not names or not all(self.caller.can_reach(repository=name) for name in names):
                raise self._make_refusal()

    def _make_refusal(self) -> DeniedError:
        """Make the error. It names no repository: the caller may not know the one."""
        return DeniedError(
            f"the role or token of {self.caller.name} does not cover all repositories of this image",
            "Use a role and a token for the image's repositories: `dockgate principal roles`, `dockgate token create`.",
        )
