"""What images a list has, and in which order."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from dockgate.gate.model import Status
from dockgate.vulnerabilities.model import Severity


class ImageSort(StrEnum):
    """The order of a list: the latest push first, the worst findings first, or by repository and tag."""

    PUSHED = "pushed"
    SEVERITY = "severity"
    NAME = "name"


class Origin(StrEnum):
    """The origin of a package: the base image or own layers; UNKNOWN if the base image or the layer is."""

    BASE = "base"
    OWN = "own"
    UNKNOWN = "unknown"


class ImageFilter(NamedTuple):
    """The conditions for an image to be listed; None and () for no matter.

    `components` (ids) are packages of which it must have one. `epss` is the least probability that a vulnerability is
    exploited, `layer` the digest of the layer that has the package. `statuses` of its verdict may have None for an
    image that was not judged; with them, `undetermined_repositories` are listed too, whose policy is not clear.
    `digests` are those of which its own must be one. With `should_include_moved`, tags count that have moved on.
    `policies`, each with its repositories, decide which verdict counts where an image was not read.
    """

    repositories: Collection[str] | None = None
    severities: Collection[Severity] = ()
    is_fixable: bool = False
    is_exploited: bool = False
    epss: float | None = None
    components: Collection[int] | None = None
    origin: Origin | None = None
    layer: str | None = None
    statuses: Collection[Status | None] = ()
    undetermined_repositories: Collection[str] = ()
    digests: Collection[str] | None = None
    should_include_moved: bool = False
    policies: Mapping[str, Collection[str]] = MappingProxyType({})
