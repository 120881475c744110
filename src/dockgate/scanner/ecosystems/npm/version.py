"""The order of npm versions: Semantic Versioning with node-semver's limits, as a byte string."""

from dockgate.scanner.formats import semver
from dockgate.shared.errors import UncomparableError

VERSION_LIMIT = 256  # characters; node-semver's MAX_LENGTH
NUMBER_LIMIT = 2**53 - 1  # MAX_SAFE_INTEGER of node-semver


def make_version_key(version: str) -> bytes:
    """Encode a version (Semantic Versioning 2.0.0, section 11); refuses what `clean` of node-semver does."""
    plain = version.strip().lstrip("=v").strip().removeprefix("v")
    if len(plain) > VERSION_LIMIT:
        raise UncomparableError(f"the npm version {version[:VERSION_LIMIT]!r}… is too long")
    key = semver.make_version_key(plain, "npm")
    if any(int(part) > NUMBER_LIMIT for part in plain.partition("+")[0].partition("-")[0].split(".")):
        raise UncomparableError(f"the npm version {version!r} has a number that is too large")
    return key
