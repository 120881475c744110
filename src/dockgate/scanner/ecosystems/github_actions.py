"""GitHub Actions: only those that an SBOM names as `pkg:githubactions`, as GitHub's exports do.

No file in an image lists them. `pkg:github` may be anything on GitHub, so it is not read.

Most are referenced by a moving tag ("v4"), a branch or a commit. None of these is a version: undetermined.
"""

from typing import BinaryIO

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package, check_purl
from dockgate.shared.errors import UncomparableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl


class Actions(StandaloneEcosystem):
    """GitHub Actions, from SBOMs only."""

    name = "github_actions"
    version = 1
    osv_names: tuple[str, ...] = ("GitHub Actions",)
    purl_types: tuple[str, ...] = ("githubactions",)
    triggers = Triggers()
    # No command changes a workflow: its file names the version.
    upgrade_line = UpgradeLine("/._-", "# Name {list} or later in the workflows.", item="{name}@{version}")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return False

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        return Extract()

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Name the package after its repository, whichever action it is (OSV schema 1.7, `affected`)."""
        check_purl(purl, "pkg:githubactions/OWNER/NAME@VERSION", namespace="owner")
        owner, name, *_ = (*purl.namespace.split("/"), purl.name)
        is_moving = purl.version.count(".") < 2 and all(map(is_digits, purl.version.split(".")))
        version = f"v{purl.version}" if is_moving else purl.version
        url = write_purl("githubactions", owner.lower(), name.lower(), purl.version)
        name = f"{owner}/{name}"
        return build_package("GitHub Actions", name, purl.version, url, "", source=(name.lower(), version))

    @override
    def make_version_key(self, version: str) -> bytes:
        """Return the key of a semantic version. UncomparableError for a "v" before fewer than three numbers.

        Such a tag moves. Advisories omit trailing zeros ("fixed 41" in GHSA-mcph-m25j-8j63).
        """
        bare = version.removeprefix("v")
        if bare != version and bare.count(".") < 2:
            raise UncomparableError(f"the GitHub Actions version {version[:80]!r} is a tag that can move")
        return semver.make_version_key(bare, "GitHub Actions", minimum_parts=1)


ECOSYSTEM: Ecosystem = Actions()
