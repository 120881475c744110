"""The certainty of an answer, and how it words its numbers and what was not found. Pure."""

from collections.abc import Mapping
from enum import StrEnum

from dockgate.shared.wording import format_count


class Certainty(StrEnum):
    """How much an answer knows.

    COMPLETE: all was searched, so what was not found is not there. PARTIAL: a part was not searched, or could not be
    judged. UNKNOWN: nothing is known, and a number would be no answer.
    """

    COMPLETE = "Complete"
    PARTIAL = "Partial"
    UNKNOWN = "Unknown"


class Part(StrEnum):
    """A part of an answer to where something is, which may be empty."""

    IMAGES = "images"
    SERVICES = "services"
    VERSIONS = "versions"


_ABSENCES: Mapping[Part, Mapping[Certainty, str]] = {
    Part.IMAGES: {
        Certainty.COMPLETE: "No image that has a tag or runs is known to contain it.",
        Certainty.PARTIAL: "No image is known to contain it.",
        Certainty.UNKNOWN: "It is unknown which images contain it.",
    },
    Part.SERVICES: {
        Certainty.COMPLETE: "No service of this server is known to run an image that contains it.",
        Certainty.PARTIAL: "No service is known to run an image that contains it.",
        Certainty.UNKNOWN: "It is unknown which services run an image that contains it.",
    },
    Part.VERSIONS: {
        Certainty.COMPLETE: "No image that has a tag or runs is known to contain such a package.",
        Certainty.PARTIAL: "No image is known to contain such a package.",
        Certainty.UNKNOWN: "It is unknown which images contain such a package.",
    },
}


def describe_absence(part: Part | str, certainty: Certainty | str) -> str:
    """Say that nothing was found, without claiming more than is known."""
    return _ABSENCES[Part(part)][Certainty(certainty)]


def describe_known_count(count: int | None, certainty: Certainty | str) -> str:
    """Return a number as far as it is known: "3", "3 known" if there may be more, or "unknown"."""
    if count is None or certainty == Certainty.UNKNOWN:
        return "unknown"
    return f"{count:,} known" if certainty == Certainty.PARTIAL else f"{count:,}"


def describe_containing_images(count: int | None, certainty: Certainty | str) -> str:
    """Return a title that counts the images that contain something: "2 images contain it"."""
    if count is None or certainty == Certainty.UNKNOWN:
        return "Images"
    is_single = count == 1
    if certainty == Certainty.PARTIAL:
        return f"{format_count(count, 'image')} {'is' if is_single else 'are'} known to contain it"
    return f"{format_count(count, 'image')} {'contains' if is_single else 'contain'} it"
