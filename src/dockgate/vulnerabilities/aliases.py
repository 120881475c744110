"""Group the names of a vulnerability, and choose the one that readers know best."""

from collections.abc import Sequence

from dockgate.vulnerabilities.model import Advisory

_DISTRIBUTIONS = (
    *("DEBIAN-", "DSA-", "DLA-", "DTSA-", "UBUNTU-", "USN-", "LSN-", "ALPINE-", "CGA-", "RHSA-", "RHBA-", "RHEA-"),
    *("RLSA-", "RXSA-", "ALSA-", "ALBA-", "ALEA-", "ELSA-", "SUSE-", "openSUSE-", "MGASA-", "ALAS", "AZL-", "BELL-"),
    *("ECHO-", "MINI-", "OESA-", "PHSA-", "CLSA-", "DHI-"),
)


def rank_alias(name: str) -> tuple[int, str]:
    """The sort key of vulnerability ids: CVE, then the distribution's, then GHSA, then others."""
    if name.startswith("CVE-"):
        return 0, name
    if name.startswith(_DISTRIBUTIONS):
        return 1, name
    return (2, name) if name.startswith("GHSA-") else (3, name)


class AliasGroups:
    """Disjoint groups of names. Joins are symmetric and transitive."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, first: str, second: str) -> None:
        """Record that two names are of one vulnerability."""
        low, high = self.find_root(first), self.find_root(second)
        if rank_alias(high) < rank_alias(low):
            low, high = high, low
        self._parents[low] = low
        self._parents[high] = low

    def find_root(self, name: str) -> str:
        """The best known name of the group, which identifies it."""
        while (parent := self._parents.get(name, name)) != name:
            # Each search halves the way for the next ones: a feed could make a chain of all its records.
            self._parents[name] = name = self._parents.get(parent, parent)
        return name

    def list_groups(self) -> dict[str, set[str]]:
        """All groups of two or more names, by root."""
        groups: dict[str, set[str]] = {}
        for name in self._parents:
            groups.setdefault(self.find_root(name), set()).add(name)
        return groups


class AliasIndex:
    """The alias groups of some advisories, and the vulnerabilities that each is about.

    `aliases` and `alias_groups` of the advisories join names. `upstream` joins nothing: it says which vulnerabilities a
    distribution's record is about. A bulletin about five CVEs is about five vulnerabilities.
    """

    def __init__(self, advisories: Sequence[Advisory]) -> None:
        groups = AliasGroups()
        self._root = groups.find_root
        for advisory in advisories:
            for alias in advisory.aliases:
                groups.join(advisory.id, alias)
            for first, *other_names in advisory.alias_groups:
                for alias in other_names:
                    groups.join(first, alias)
        self._groups = groups.list_groups()
        self._advisories = advisories  # keeps them alive, so that id() stays unique
        self._subjects = {id(advisory): self._find_subjects(advisory) for advisory in advisories}

    def _find_subjects(self, advisory: Advisory) -> tuple[str, ...]:
        names = advisory.upstream or (advisory.id,)
        if len(names) == 1:
            return (self._root(names[0]),)
        names = tuple(name for name in names if name.startswith("CVE-")) or names
        return tuple(sorted({self._root(name) for name in names}))

    def get_subjects(self, advisory: Advisory) -> tuple[str, ...]:
        """The vulnerabilities that it is about, each as the root of its alias group. Never empty."""
        return self._subjects[id(advisory)]

    def is_bulletin(self, advisory: Advisory) -> bool:
        """Return whether it is about several vulnerabilities."""
        return len(self._subjects[id(advisory)]) > 1

    def get_group(self, name: str) -> set[str]:
        """The name with all its aliases."""
        return self._groups.get(self._root(name), {name})
