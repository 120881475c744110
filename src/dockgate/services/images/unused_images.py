"""Images whose changed verdicts are not announced: without a tag, and run by no service."""

from collections.abc import Collection

from dockgate.store import Store
from dockgate.store.records import ImageLocation


def find_unused_images(store: Store, locations: Collection[ImageLocation]) -> set[ImageLocation]:
    """Return those of the locations whose image has no use there.

    It was pushed there, has no tag there, and does not run. The tag moved on, or the image is one platform of an index.
    What was only scanned is not among them: whether it has a tag is not known.
    """
    untagged_locations = store.tag_history.list_untagged_images(locations) if locations else set()
    if not untagged_locations:
        return set()
    running = {entry.digest for entry in store.services.list_running_images()}
    return {location for location in untagged_locations if location.image not in running}
