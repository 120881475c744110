"""Amazon Linux: the `updateinfo.xml` of its core repositories, a security bulletin (ALAS) an update.

Its form is that of createrepo's update information. One architecture's repository lists the packages of all of them,
and a name is taken to be fixed where its highest version is: matching does not ask for the architecture. The Extras of
Amazon Linux 2 are repositories of their own, which are not read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.vulnerabilities.feed import FaultyRecord, Feed, FeedFetch, FeedStatement, RecordLookup
from dockgate.vulnerabilities.feeds._repository import updateinfo
from dockgate.vulnerabilities.feeds._severity import by_word
from dockgate.vulnerabilities.feeds._transport import Web, from_folder
from dockgate.vulnerabilities.feeds._xml import Element, elements
from dockgate.vulnerabilities.model import Advisory, Range

_ECOSYSTEM = "Amazon Linux"
# Where each release's repository is listed, as its /etc/yum.repos.d has it.
_MIRRORS = {
    "2": "2/core/latest/x86_64/mirror.list",
    "2023": "al2023/core/mirrors/latest/x86_64/mirror.list",
}
_UNREADABLE = Range("ECOSYSTEM", ())


class Amazon:
    """Advisories of Amazon Linux (updateinfo.xml)."""

    name = "amazon"
    version = 1
    file = "amazon/*/updateinfo.xml.gz"
    url = "https://cdn.amazonlinux.com"

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return tuple(_MIRRORS) if _ECOSYSTEM in ecosystems else ()

    def ecosystem(self, part: str) -> str:
        return f"{_ECOSYSTEM}:{part}"

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
            return from_folder(origin, self.file.replace("*", part), fingerprint)
        with Web(self.name, ca_bundle) as web:
            return updateinfo(web, f"{origin}/{_MIRRORS[part]}", fingerprint, into)

    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Updates that are neither called security nor name a CVE are left out: they fix something else."""
        ecosystem, update, root = self.ecosystem(part), _Update(), ""
        for element in elements(stream, f"update information of {ecosystem}"):
            root = root or element.name
            if root != "updates":
                raise UnreadableError(f"The update information of {ecosystem} has {root!r} where updates should be.")
            if element.name == "update" and not element.closed:
                update = _Update(security=element.attributes.get("type", "security") == "security")
            elif element.name == "update":
                yield from update.statements(ecosystem)
            else:
                update.take(element)


FEED: Feed = Amazon()


@dataclass(slots=True)
class _Update:
    """One update in the making. `fixed` is name -> versions, None for one that cannot be read."""

    security: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    cves: dict[str, None] = field(default_factory=dict)
    fixed: dict[str, dict[str | None, None]] = field(default_factory=dict)
    nameless: bool = False

    def take(self, element: Element) -> None:
        attributes = element.attributes
        if element.closed and element.name in ("id", "title", "severity"):
            self.texts.setdefault(element.name, element.text)
        elif element.closed:
            return
        elif element.name in ("issued", "updated"):
            self.texts[element.name] = attributes.get("date", "")
        elif element.name == "reference" and attributes.get("type") == "cve":
            self.cves[attributes.get("id", "")] = None
        elif element.name == "package" and attributes.get("arch") != "src":
            name = attributes.get("name", "")
            self.nameless = self.nameless or not name
            self.fixed.setdefault(name, {})[_evr(attributes)] = None

    def statements(self, ecosystem: str) -> Iterator[FeedStatement]:
        identity, cves = self.texts.get("id", ""), [cve for cve in self.cves if cve.startswith("CVE-")]
        if not self.security and not cves:
            return
        if not identity or self.nameless:
            yield FaultyRecord(
                identity or "update", "it has no id" if not identity else "it has a package without name"
            )
            return
        rating = by_word("distribution", self.texts.get("severity"))
        for name, versions in self.fixed.items():
            if None in versions:
                yield FaultyRecord(identity, f"its package {name} has no version and release", contained=True)
            yield Advisory(
                id=identity,
                ecosystem=ecosystem,
                name=name,
                ranges=tuple(
                    Range("ECOSYSTEM", (("introduced", "0"), ("fixed", evr))) if evr else _UNREADABLE
                    for evr in versions
                ),
                upstream=tuple(cves),
                ratings=(rating,) if rating else (),
                summary=self.texts.get("title", ""),
                published=_time(self.texts.get("issued", "")),
                modified=_time(self.texts.get("updated", "")),
            )


def _evr(attributes: Mapping[str, str]) -> str | None:
    version, release, epoch = (attributes.get(part, "") for part in ("version", "release", "epoch"))
    return f"{epoch}{':' if epoch else ''}{version}-{release}" if version and release else None


def _time(text: str) -> str:
    """Amazon's "2023-02-22 23:22", with seconds or without, in RFC 3339; "" for another form."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?Z?", text)
    return f"{match[1]}T{match[2]}{match[3] or ':00'}Z" if match else ""
