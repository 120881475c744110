"""One vulnerability, many names: which ids belong together, and which of them people know."""

from collections.abc import Sequence

from dockgate.vulnerabilities.model import Advisory

_DISTRIBUTIONS = (
    *("DEBIAN-", "DSA-", "DLA-", "DTSA-", "UBUNTU-", "USN-", "LSN-", "ALPINE-", "CGA-", "RHSA-", "RHBA-", "RHEA-"),
    *("RLSA-", "RXSA-", "ALSA-", "ALBA-", "ALEA-", "ELSA-", "SUSE-", "openSUSE-", "MGASA-", "ALAS", "AZL-", "BELL-"),
    *("ECHO-", "MINI-", "OESA-", "PHSA-", "CLSA-", "DHI-"),
)


def by_renown(name: str) -> tuple[int, str]:
    """Sorts ids as readers know them: CVE, then the distribution's, then GHSA, then others."""
    if name.startswith("CVE-"):
        return 0, name
    if name.startswith(_DISTRIBUTIONS):
        return 1, name
    return (2, name) if name.startswith("GHSA-") else (3, name)


class Groups:
    """Names that are joined, both ways and onwards."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        low, high = self.root(one), self.root(other)
        if by_renown(high) < by_renown(low):
            low, high = high, low
        self._parents[low] = low
        self._parents[high] = low

    def root(self, name: str) -> str:
        """The best known of the name's group, which stands for all of it."""
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def all(self) -> dict[str, set[str]]:
        """Every group of two names or more, by its root."""
        groups: dict[str, set[str]] = {}
        for name in self._parents:
            groups.setdefault(self.root(name), set()).add(name)
        return groups


class Names:
    """The alias groups of some advisories, which alone may be asked about.

    `aliases` hold both ways and onwards: one group, with what `kin` has of records that speak of other packages.
    `upstream` points one way and joins nothing, but says which vulnerabilities a distribution's record is about: a
    bulletin of five CVEs is about five.
    """

    def __init__(self, advisories: Sequence[Advisory]) -> None:
        groups = Groups()
        self._root = groups.root
        for advisory in advisories:
            for alias in advisory.aliases:
                groups.join(advisory.id, alias)
            for first, *others in advisory.alias_group:
                for other in others:
                    groups.join(first, other)
        self._groups = groups.all()
        self._advisories = advisories  # as long as they are there, no other has the id of one
        self._subjects = {id(advisory): self._about(advisory) for advisory in advisories}

    def _about(self, advisory: Advisory) -> tuple[str, ...]:
        named = advisory.upstream or (advisory.id,)
        if len(named) == 1:
            return (self._root(named[0]),)
        named = tuple(name for name in named if name.startswith("CVE-")) or named
        return tuple(sorted({self._root(name) for name in named}))

    def subjects(self, advisory: Advisory) -> tuple[str, ...]:
        """The vulnerabilities it is about, each by a name that all advisories of the group share. Never empty."""
        return self._subjects[id(advisory)]

    def is_bulletin(self, advisory: Advisory) -> bool:
        """Whether it is about several vulnerabilities."""
        return len(self._subjects[id(advisory)]) > 1

    def group(self, name: str) -> set[str]:
        """The name with all its aliases."""
        return self._groups.get(self._root(name), {name})
