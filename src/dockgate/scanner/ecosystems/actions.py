"""GitHub Actions, of which no file in an image tells: those that a bill of materials names as `pkg:githubactions`, as
GitHub's own exports do. What is named as `pkg:github` may be anything that lies on GitHub.

Most are named by a tag that moves ("v4"), by a branch or by a commit. None of these is a version: whether it has a fix
is undetermined.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UncomparableError
from dockgate.shared.purl import Purl, write


class Actions(StandaloneEcosystem):
    name = "actions"
    version = 1
    orders: tuple[str, ...] = ("GitHub Actions",)
    purls: tuple[str, ...] = ("githubactions",)
    triggers = Triggers()

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return False

    def read(self, path: str, file: BinaryIO) -> Extract:
        return Extract()

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        """By its repository, whichever of the repository's actions and workflows it is (OSV schema 1.7,
        `affected[].package`)."""
        check_purl(purl, "pkg:githubactions/OWNER/NAME@VERSION", namespace="owner")
        owner, name, *_ = (*purl.namespace.split("/"), purl.name)
        moves = purl.version.count(".") < 2 and all(map(is_digits, purl.version.split(".")))
        return Package(
            name=f"{owner}/{name}",
            version=purl.version,
            purl=write("githubactions", owner.lower(), name.lower(), purl.version),
            ecosystem="GitHub Actions",
            source_name=f"{owner}/{name}".lower(),
            source_version=f"v{purl.version}" if moves else purl.version,
            path="",
        )

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """A workflow's file has to name it."""
        return upgrade_command(raised, "/._-", "# Name {list} or later in the workflows.", item="{name}@{version}")

    def key(self, version: str) -> bytes:
        """Semantic Versioning's order, with or without a "v" before three numbers, as tags have it. Advisories leave
        out zeros at the end ("fixed 41" of GHSA-mcph-m25j-8j63); a tag with fewer numbers moves, and is refused."""
        bare = version.removeprefix("v")
        if bare != version and bare.count(".") < 2:
            raise UncomparableError(f"The GitHub Actions version {version[:80]!r} is a tag that moves.")
        return semver.key(bare, "GitHub Actions", least=1)


ECOSYSTEM: Ecosystem = Actions()
