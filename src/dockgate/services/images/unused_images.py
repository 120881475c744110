"""Images whose changed verdicts are not announced: without a tag, and run by no service."""

from collections.abc import Collection

from dockgate.store import Store


def find_unused_images(store: Store, places: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of the places (repository and digest) whose image has no use there.

    It was pushed there, has no tag there, and does not run. The tag moved on, or the image is one platform of an index.
    What was only scanned is not among them: whether it has a tag is not known.
    """
    untagged_places = store.tag_history.list_untagged_images(places) if places else set()
    if not untagged_places:
        return set()
    running = {entry.digest for entry in store.services.list_running_images()}
    return {place for place in untagged_places if place[1] not in running}
