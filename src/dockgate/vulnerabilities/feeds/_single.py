"""What all feeds of one file have in common."""

from collections.abc import Sequence
from pathlib import Path

from dockgate.vulnerabilities.feed import FeedFetch, RecordLookup
from dockgate.vulnerabilities.feeds._transport import from_folder, from_url


class Single:
    """A feed without parts. The feed itself adds `parse`."""

    name: str
    version: int
    file: str
    url: str

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return ("",)

    def ecosystem(self, part: str) -> str:
        return ""

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str,
        into: Path,
        ca_bundle: Path | None = None,
        lookup: RecordLookup | None = None,
    ) -> FeedFetch:
        if isinstance(origin, Path):
            return from_folder(origin, self.file, fingerprint)
        return from_url(self.name, origin, fingerprint, into, ca_bundle)
