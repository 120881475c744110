"""Ask registries whether the kept images are still there, each image about once a day.

Registries report deletions, but not all do, and a notification may be lost; an image may also vanish from the storage
behind a registry. What the registry no longer has is recorded as gone.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from dockgate.delivery.ports import ImageResolver
from dockgate.shared.errors import DockgateError, NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.store import Store
from dockgate.store.records import ImageLocation

MINUTES_A_DAY = 24 * 60

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ImagePresence:
    """A check whether images still exist: each `run`, once a minute, asks about the next ones.

    `registry` is our own, and `record_deletion` is called with a repository and a digest. An image that is missing is
    asked about again in the next run, as it may have been deleted and put back. It is recorded as gone if the registry
    still has another one: a registry that has lost its storage for a moment misses them all.
    """

    store: Store
    resolve_image: ImageResolver
    record_deletion: Callable[[str, str], None]
    registry: str
    _last_location: ImageLocation | None = field(default=None, init=False)
    _missing_locations: list[ImageLocation] = field(default_factory=list, init=False)
    # By registry: the image that was found there last.
    _last_found: dict[str, ImageLocation] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Ask about the images that were missing in the last run, then about the next ones."""
        removals = self.store.image_removals
        unavailable: set[str] = set()
        for location in self._missing_locations:
            if self._is_there(location, unavailable) is False and self._has_another(location, unavailable):
                self.record_deletion(*location)
        locations = removals.list_locations(self._last_location, ceil(removals.count_locations() / MINUTES_A_DAY))
        self._last_location = locations[-1] if locations else None
        self._missing_locations = [location for location in locations if self._is_there(location, unavailable) is False]

    def _has_another(self, location: ImageLocation, unavailable: set[str]) -> bool:
        """Return whether the registry of a missing image still has the image that was found there last."""
        registry = self._get_registry(location)
        last_found = self._last_found.pop(registry, None)
        if last_found and self._is_there(last_found, unavailable):
            return True
        _log.warning("%s@%s is missing, and it is not known whether %s has any image", *location, registry)
        return False

    def _is_there(self, location: ImageLocation, unavailable: set[str]) -> bool | None:
        """Return whether the registry has the image.

        None if it does not say; its other images are then left for later.
        """
        repository, digest = location
        registry = self._get_registry(location)
        if registry in unavailable:
            return None
        name = RepositoryReference.parse(repository).with_registry(self.registry)
        try:
            self.resolve_image(str(ImageReference(name, digest)), should_check_existence=True)
        except NotFoundError:
            return False
        except DockgateError as error:
            _log.debug("cannot check whether %s@%s still exists: %s", repository, digest, error)
            if isinstance(error, UnavailableError):
                unavailable.add(registry)
            return None
        self._last_found[registry] = location
        return True

    def _get_registry(self, location: ImageLocation) -> str:
        return RepositoryReference.parse(location.repository).registry or self.registry
