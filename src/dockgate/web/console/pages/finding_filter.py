"""The findings of a verdict that a page shows, and their order, by the query of its address."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dockgate.vulnerabilities.model import Finding, Severity, rank_score
from dockgate.web.query_parameters import choose_value

# Characters of a text.
LONGEST = 200
FIXES = ("yes", "no")
ORIGINS = ("base", "own", "unknown")
_ORIGIN_NAMES = {True: "base", False: "own", None: "unknown"}
# Shares of EPSS, in percent, that a person chooses from.
EPSS_STEPS = (1, 10, 50)
SORTS = ("reason", "severity", "epss", "package")


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Conditions on a finding; those that are None hold for all.

    `epss` is the least percentage, `layer` the digest of the layer that has the package, `q` a part of its name or URL
    or of the vulnerability's names.
    """

    severity: Severity | None = None
    fix: str | None = None
    is_exploited: bool = False
    epss: int | None = None
    origin: str | None = None
    layer: str | None = None
    q: str = ""
    sort: str = "reason"

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "FindingFilter":
        """The filter that the parameters of an address say. RequestValidationError for an unknown value."""
        severity = choose_value(query, "severity", list(Severity))
        epss = choose_value(query, "epss", list(map(str, EPSS_STEPS)))
        return cls(
            severity=Severity(severity) if severity else None,
            fix=choose_value(query, "fix", FIXES) or None,
            is_exploited=choose_value(query, "kev", ("yes",)) == "yes",
            epss=int(epss) if epss else None,
            origin=choose_value(query, "origin", ORIGINS) or None,
            layer=query.get("layer", "")[:LONGEST] or None,
            q=query.get("q", "").strip()[:LONGEST],
            sort=choose_value(query, "sort", SORTS, SORTS[0]),
        )

    @property
    def query(self) -> str:
        """The parameters of an address with this filter, if it has any."""
        values = {
            "severity": self.severity,
            "fix": self.fix,
            "kev": "yes" if self.is_exploited else None,
            "epss": self.epss,
            "origin": self.origin,
            "layer": self.layer,
            "q": self.q,
            "sort": None if self.sort == "reason" else self.sort,
        }
        return urlencode({name: value for name, value in values.items() if value})

    def has(self, finding: Finding, is_base: bool | None) -> bool:
        """Return whether a finding meets all conditions. `is_base` is None where the base image is not known."""
        package = finding.package
        text = " ".join((finding.id, *finding.aliases, package.name, package.version, package.purl)).lower()
        return (
            (self.severity is None or finding.severity is self.severity)
            and (self.fix is None or bool(finding.fixed) is (self.fix == "yes"))
            and (not self.is_exploited or bool(finding.exploited))
            and (self.epss is None or (finding.epss is not None and finding.epss * 100 >= self.epss))
            and self.origin in (None, _ORIGIN_NAMES[is_base])
            and (self.layer is None or package.layer == self.layer)
            and self.q.lower() in text
        )

    def make_sort_key(self) -> Callable[[Finding], tuple[Any, ...]]:
        """The key by which findings are sorted; they are in the order of reasons already."""
        if self.sort == "severity":
            return lambda finding: (finding.severity.rank, rank_score(finding.epss))
        if self.sort == "epss":
            return lambda finding: (rank_score(finding.epss), finding.severity.rank)
        if self.sort == "package":
            return lambda finding: (finding.package.name, finding.package.version, finding.severity.rank)
        return lambda finding: ()
