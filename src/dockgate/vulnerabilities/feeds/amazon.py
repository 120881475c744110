"""Amazon Linux: the `updateinfo.xml` of its core repositories, in the format of createrepo.

Each update is a security bulletin (ALAS). The repository of one architecture lists the packages of all architectures,
and a package is fixed at its highest version: matching ignores the architecture. The Extras of Amazon Linux 2 are
separate repositories, which are not read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.feed import FaultyRecord, Feed, FeedFetch, FeedStatement, RecordLookup
from dockgate.vulnerabilities.feeds._records import UNREADABLE_RANGE
from dockgate.vulnerabilities.feeds._repository import fetch_updateinfo
from dockgate.vulnerabilities.feeds._severity import rate_word
from dockgate.vulnerabilities.feeds._transport import FetchedFeed, Web
from dockgate.vulnerabilities.feeds._xml import Element, read_elements
from dockgate.vulnerabilities.model import Advisory, Range

_ECOSYSTEM = "Amazon Linux"
# The mirror list of each release, as in its /etc/yum.repos.d.
_MIRRORS = {"2": "2/core/latest/x86_64/mirror.list", "2023": "al2023/core/mirrors/latest/x86_64/mirror.list"}


class Amazon(FetchedFeed):
    """Advisories of Amazon Linux (updateinfo.xml)."""

    name = "amazon"
    version = 1
    period = 3 * 3600.0
    file = "amazon/*/updateinfo.xml.gz"
    url = "https://cdn.amazonlinux.com"

    @override
    def list_parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return tuple(_MIRRORS) if _ECOSYSTEM in ecosystems else ()

    @override
    def get_ecosystem(self, part: str) -> str:
        return f"{_ECOSYSTEM}:{part}"

    @override
    def download(
        self, web: Web, url: str, part: str, fingerprint: str | None, into: Path, lookup: RecordLookup | None
    ) -> FeedFetch:
        return fetch_updateinfo(web, f"{url}/{_MIRRORS[part]}", fingerprint, into)

    @override
    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Parse the security updates: those of the type "security", or that name a CVE."""
        ecosystem, update, root = self.get_ecosystem(part), _Update(), ""
        for element in read_elements(stream, f"update information of {ecosystem}"):
            root = root or element.name
            if root != "updates":
                raise UnreadableError(f"the update information of {ecosystem} has {root!r} instead of updates")
            if element.name == "update" and not element.is_closed:
                update = _Update(is_security=element.attributes.get("type", "security") == "security")
            elif element.name == "update":
                yield from update.read_statements(ecosystem)
            else:
                update.take(element)


FEED: Feed = Amazon()


@dataclass(slots=True)
class _Update:
    """An update that is being read.

    `fixed_versions` maps names to versions, None for one that cannot be read.
    """

    is_security: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    cves: dict[str, None] = field(default_factory=dict)
    fixed_versions: dict[str, dict[str | None, None]] = field(default_factory=dict)
    has_nameless: bool = False

    def take(self, element: Element) -> None:
        attributes = element.attributes
        if element.is_closed and element.name in ("id", "title", "severity"):
            self.texts.setdefault(element.name, element.text)
        elif element.is_closed:
            return
        elif element.name in ("issued", "updated"):
            self.texts[element.name] = attributes.get("date", "")
        elif element.name == "reference" and attributes.get("type") == "cve":
            self.cves[attributes.get("id", "")] = None
        elif element.name == "package" and attributes.get("arch") != "src":
            name = attributes.get("name", "")
            self.has_nameless = self.has_nameless or not name
            self.fixed_versions.setdefault(name, {})[_format_evr(attributes)] = None

    def read_statements(self, ecosystem: str) -> Iterator[FeedStatement]:
        identity, cves = self.texts.get("id", ""), [cve for cve in self.cves if cve.startswith("CVE-")]
        if not self.is_security and not cves:
            return
        if not identity or self.has_nameless:
            problem = "it has a package without a name" if identity else "it has no id"
            yield FaultyRecord(identity or "update", problem)
            return
        rating = rate_word("distribution", self.texts.get("severity"))
        for name, versions in self.fixed_versions.items():
            if None in versions:
                yield FaultyRecord(identity, f"its package {name} has no version and release", is_contained=True)
            yield Advisory(
                id=identity,
                ecosystem=ecosystem,
                name=name,
                ranges=tuple(
                    Range("ECOSYSTEM", (("introduced", "0"), ("fixed", evr))) if evr else UNREADABLE_RANGE
                    for evr in versions
                ),
                upstream=tuple(cves),
                ratings=(rating,) if rating else (),
                summary=self.texts.get("title") or None,
                published=_normalize_time(self.texts.get("issued", "")),
                modified=_normalize_time(self.texts.get("updated", "")),
            )


def _format_evr(attributes: Mapping[str, str]) -> str | None:
    version, release, epoch = (attributes.get(part, "") for part in ("version", "release", "epoch"))
    return f"{epoch}{':' if epoch else ''}{version}-{release}" if version and release else None


def _normalize_time(text: str) -> str | None:
    """RFC 3339 for "2023-02-22 23:22", with or without seconds; None for another form."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?Z?", text)
    return f"{match[1]}T{match[2]}{match[3] or ':00'}Z" if match else None
