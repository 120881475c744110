"""The filters of a list of images, for the call of the API and the page of the console."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from dockgate.delivery.ports import Advisories
from dockgate.gate import patterns
from dockgate.identity.model import Caller
from dockgate.services.exposure.advisory_matching import AdvisoryMatching, read_matching, read_scanning
from dockgate.services.images.name_search import strip_own_registry
from dockgate.services.images.search import ImageQuery, ImageSearch
from dockgate.shared.digest import PATTERN
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope
from dockgate.store.images.image_filter import ImageSort, Origin
from dockgate.vulnerabilities.model import Severity

Text = Annotated[str, Query(max_length=1000)]
Layer = Annotated[str, Query(pattern=f"^({PATTERN})?$")]
StatusName = Literal["Approved", "Rejected", "Undetermined", "NotJudged"]


@dataclass(frozen=True, slots=True)
class ImageFilters:
    """The filters and the order of a list of images, as its address has them. An empty filter is not set."""

    repository: Text = ""
    severity: Annotated[tuple[Severity, ...], Query()] = ()
    is_fixable: Annotated[bool, Query(alias="fixable")] = False
    is_exploited: Annotated[bool, Query(alias="exploited")] = False
    epss: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None
    package: Text = ""
    origin: Origin | None = None
    layer: Layer = ""
    status: Annotated[tuple[StatusName, ...], Query()] = ()
    is_running: Annotated[bool, Query(alias="running")] = False
    should_include_moved: Annotated[bool, Query(alias="include_moved")] = False
    sort: ImageSort = ImageSort.PUSHED

    @property
    def is_about_findings(self) -> bool:
        """Return whether images match by their findings, so that matching with advisories decides.

        An origin or a layer is that of a finding, unless a package is named.
        """
        has_finding = bool(self.severity or self.is_fixable or self.is_exploited or self.epss is not None)
        return has_finding or (not self.package and (self.origin is not None or bool(self.layer)))

    def list_needed_catalogues(self) -> Sequence[str]:
        """The catalogues without which it is unknown which images match."""
        needs = {"epss": self.epss is not None, "kev": self.is_exploited}
        return [name for name, is_needed in needs.items() if is_needed]

    def read_matching(
        self,
        store: Store,
        advisories: Advisories,
        now: str,
        search: ImageSearch,
        caller: Caller,
        repositories: Sequence[str] | None = None,
    ) -> AdvisoryMatching | None:
        """How far what the filters need is known; None for filters that are not about what images contain.

        `repositories` are those that the caller may see, None to read them if they are needed.
        """
        if self.is_about_findings:
            return read_matching(
                store, advisories, now, self._make_scope(search, caller, repositories), self.list_needed_catalogues()
            )
        return read_scanning(store, self._make_scope(search, caller, repositories)) if self.package else None

    def _make_scope(self, search: ImageSearch, caller: Caller, repositories: Sequence[str] | None) -> ExposureScope:
        """The images that the caller may see in the repositories of the filter, whatever they contain."""
        names = None
        if self.repository or caller.is_limited:
            names = search.list_repositories(caller) if repositories is None else repositories
        if self.repository:
            pattern = strip_own_registry(self.repository, search.registry_names)
            names = [name for name in names or () if patterns.is_match(name, pattern)]
        return ExposureScope(None, names, should_include_moved=self.should_include_moved)

    def make_query(self, caller: Caller, limit: int, after: str) -> ImageQuery:
        """The search for a page of these images, of those that the caller may see."""
        return ImageQuery(
            caller=caller,
            repository=self.repository or None,
            severities=self.severity,
            is_fixable=self.is_fixable,
            is_exploited=self.is_exploited,
            epss=self.epss,
            package=self.package or None,
            origin=self.origin,
            layer=self.layer or None,
            statuses=self.status,
            is_running=self.is_running,
            should_include_moved=self.should_include_moved,
            sort=self.sort,
            limit=limit,
            after=after or None,
        )


ImageFilterDependency = Annotated[ImageFilters, Depends()]
