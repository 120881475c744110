"""The findings of the fleet's components: what is known today, and what ended."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, update

from dockgate.events.governance_events import make_advisories_changed
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.fleet.changes import record_new_findings
from dockgate.store.fleet.records import (
    Change,
    ClosingReason,
    Component,
    ComponentFinding,
    UndeterminedEntry,
    Vulnerability,
)
from dockgate.store.fleet.vulnerabilities import (
    VULNERABILITIES,
    VULNERABILITIES_BY_ID,
    Names,
    make_vulnerability,
    store_vulnerabilities,
    update_cves,
)
from dockgate.store.queries import BATCH, is_one_of, make_text_list, split_into_batches
from dockgate.store.schema.fleet import (
    fleet_aliases,
    fleet_components,
    fleet_findings,
    fleet_past_findings,
    fleet_state,
    fleet_undetermined,
    fleet_vulnerabilities,
)
from dockgate.store.statements import insert_all_new, insert_if_new, lock_name, update_all
from dockgate.vulnerabilities.model import Finding, UndeterminedFact, strip_release

FINDING = select(*(fleet_findings.c[name] for name in ComponentFinding._fields))
_FINDINGS = FINDING.order_by(fleet_findings.c.component, fleet_findings.c.vulnerability)
_FINDINGS_OF_COMPONENTS = _FINDINGS.where(is_one_of(fleet_findings.c.component, "ids"))
_FINDINGS_OF_VULNERABILITIES = FINDING.where(is_one_of(fleet_findings.c.vulnerability, "ids"))
_FINDINGS_RATED_BY_CVE = FINDING.where(fleet_findings.c.source.in_(("", "cve")))
_DELETE_FINDINGS = delete(fleet_findings).where(
    fleet_findings.c.component == bindparam("of_component"),
    fleet_findings.c.vulnerability == bindparam("of_vulnerability"),
)
_INSERT_FINDINGS = insert(fleet_findings)
_VULNERABILITIES_BY_ALIAS = VULNERABILITIES.where(
    fleet_vulnerabilities.c.id.in_(
        select(fleet_aliases.c.vulnerability).where(is_one_of(fleet_aliases.c.alias, "names"))
    )
)
_ALIASES = select(fleet_aliases.c.alias).distinct()
_UNDETERMINED_NAMES = "component", "position", "kind", "reason", "ids"
_UNDETERMINED_ENTRIES = select(*(fleet_undetermined.c[name] for name in _UNDETERMINED_NAMES)).where(
    is_one_of(fleet_undetermined.c.component, "components")
)
_DELETE_UNDETERMINED = delete(fleet_undetermined).where(is_one_of(fleet_undetermined.c.component, "components"))
_INSERT_UNDETERMINED = insert(fleet_undetermined)
COMPONENT = select(fleet_components.c.id, *(fleet_components.c[name] for name in Component._fields))
_UNMATCHED_COMPONENTS = (
    COMPONENT.where(~fleet_components.c.is_matched).order_by(fleet_components.c.id).limit(bindparam("limit"))
)
_MARK_MATCHED = (
    update(fleet_components)
    .where(~fleet_components.c.is_matched, is_one_of(fleet_components.c.id, "ids"))
    .values(is_matched=True)
)
# The lock (`store.locks`) of those that match components.
MATCHING = "fleet matching"
# The names of rows of `fleet_state`: the digest of the advisory database that the findings are of, and the version of
# Dockgate that matched; when components were matched for the first time; and the time before which rows were deleted
# that say what was then.
ADVISORIES, ENGINE, MATCHED_SINCE, RETAINED_SINCE = "advisories", "engine", "matched since", "retained since"
_SOURCE = select(fleet_state.c.name, fleet_state.c.value).where(
    or_(fleet_state.c.name == ADVISORIES, fleet_state.c.name == ENGINE)
)


class MatchResult(NamedTuple):
    """The result of matching a component: its findings and undetermined entries replace the stored ones."""

    component: int
    findings: tuple[Finding, ...]
    undetermined: tuple[UndeterminedFact, ...]


class Source(NamedTuple):
    """The source of findings: the digest of an advisory database, and the version of Dockgate."""

    advisories: str
    engine: str


class FleetFindings:
    """Findings, undetermined entries and vulnerabilities of components."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_source(self) -> Source | None:
        """Return the source of the stored findings, None before the first."""
        with self._database.read() as connection:
            return _find_source(connection)

    def iterate_findings(self, components: Collection[int] | None = None) -> Iterator[ComponentFinding]:
        """Iterate over today's findings, sorted by component: all, or only those of `components`."""
        query = _FINDINGS if components is None else _FINDINGS_OF_COMPONENTS
        return map(ComponentFinding._make, self._iterate_rows(query, components))

    def iterate_findings_with(self, vulnerabilities: Collection[int]) -> Iterator[ComponentFinding]:
        """The findings of today with these vulnerabilities (ids)."""
        return map(ComponentFinding._make, self._iterate_rows(_FINDINGS_OF_VULNERABILITIES, vulnerabilities))

    def list_vulnerabilities(self, ids: Collection[int] | None = None) -> dict[int, Vulnerability]:
        """All vulnerabilities, or these, by id."""
        query = VULNERABILITIES if ids is None else VULNERABILITIES_BY_ID
        return dict(map(make_vulnerability, self._iterate_rows(query, ids)))

    def list_vulnerabilities_named(self, names: Collection[str]) -> dict[int, Vulnerability]:
        """The vulnerabilities that are known by one of these names, by id."""
        with self._database.read() as connection:
            rows = connection.execute(_VULNERABILITIES_BY_ALIAS, {"names": make_text_list(list(names))})
            return dict(map(make_vulnerability, rows))

    def list_cves(self) -> set[str]:
        """The CVEs of all vulnerabilities."""
        with self._database.read() as connection:
            names = connection.scalars(_ALIASES)
            return {name for name in names if name.startswith("CVE-")}

    def list_undetermined(self) -> Iterator[tuple[int, UndeterminedEntry]]:
        """Return what could not be determined, by component, without `Fleet.list_uncovered_components`."""
        table = fleet_undetermined.c
        query = select(table.component, table.kind, table.reason, table.ids).order_by(table.component, table.position)
        for component, *fields in self._iterate_rows(query):
            yield component, UndeterminedEntry(*fields)

    def find_components_named(self, keys: Collection[tuple[str, str]]) -> Sequence[int]:
        """The components of any release that advisories of these (ecosystem, source name) can be about."""
        ecosystems: dict[str, set[str]] = {}
        for ecosystem, name in keys:
            ecosystems.setdefault(name, set()).add(strip_release(ecosystem))
        table = fleet_components.c
        components: list[int] = []
        with self._database.read() as connection:
            for names in split_into_batches(sorted(ecosystems)):
                query = select(table.id, table.source_name, table.ecosystem).where(table.source_name.in_(names))
                components += [
                    number
                    for number, name, ecosystem in connection.execute(query)
                    if strip_release(ecosystem) in ecosystems[name]
                ]
        return sorted(components)

    def find_components_in(self, ecosystems: Collection[str]) -> Sequence[int]:
        """The components of these ecosystems: with a release ("Debian:13") of that one, without one of all."""
        table = fleet_components.c
        components: list[int] = []
        with self._database.read() as connection:
            for ecosystem in connection.scalars(select(table.ecosystem).distinct()).all():
                if ecosystem in ecosystems or strip_release(ecosystem) in ecosystems:
                    components += connection.scalars(select(table.id).where(table.ecosystem == ecosystem))
        return sorted(components)

    def list_rated_by_cve(self) -> Sequence[ComponentFinding]:
        """The findings whose severity comes from the record of a CVE, or that have none."""
        with self._database.read() as connection:
            return list(map(ComponentFinding._make, connection.execute(_FINDINGS_RATED_BY_CVE)))

    def list_unmatched_components(self, limit: int) -> Sequence[tuple[int, Component]]:
        """At most `limit` components whose findings were never looked up, by id."""
        with self._database.read() as connection:
            rows = connection.execute(_UNMATCHED_COMPONENTS, {"limit": limit})
            return [(number, Component(*fields)) for number, *fields in rows]

    def record_new(self, results: Sequence[MatchResult], source: Source, now: str) -> bool:
        """Store the results of new components. False, and nothing is stored, if others have another source."""

        def write(connection: Connection) -> bool:
            lock_name(connection, fleet_state, ADVISORIES, is_shared=True)
            if _find_source(connection) != source:
                return False
            changes, _ = _replace_findings(connection, results, now, ClosingReason.ADVISORY)
            record_new_findings(connection, changes, (), now, should_announce=False)
            return True

        return self._database.group_commit(write)

    def begin(self, source: Source, now: str) -> bool:
        """State the source of the first findings. False if there is one."""
        with self._database.write() as connection:
            lock_name(connection, fleet_state, ADVISORIES)
            if _find_source(connection) is not None:
                return False
            _set_source(connection, source, None, now, has_new_data=True)
            return True

    def record_all(
        self,
        results: Sequence[MatchResult],
        values: Mapping[int, Vulnerability],
        source: Source,
        previous: Source | None,
        now: str,
        has_new_data: bool = True,
    ) -> tuple[Sequence[Change], Collection[int]] | None:
        """Replace findings by those of another source.

        With them, what KEV and EPSS say of some vulnerabilities (by id). Without `has_new_data` only times of checks
        differ. Returns the findings that changed, and the components of which KEV or EPSS say something else, or other
        facts are undetermined; None, and stores nothing, unless the stored findings are of `previous`. The caller holds
        the lock `MATCHING`.
        """
        is_new_engine = previous is not None and previous.engine != source.engine
        reason = ClosingReason.ENGINE if is_new_engine else ClosingReason.ADVISORY
        with self._database.write() as connection:
            lock_name(connection, fleet_state, ADVISORIES)
            if _find_source(connection) != previous:
                return None
            refreshed_components, exploited_ids = update_cves(connection, values)
            changes, components = _replace_findings(connection, results, now, reason)
            record_new_findings(connection, changes, exploited_ids, now, should_announce=previous is not None)
            _set_source(connection, source, previous, now, has_new_data)
            return changes, components.union(refreshed_components)

    def _iterate_rows(self, query: Select[Any], ids: Collection[int] | None = None) -> Iterator[Any]:
        """The rows of a query, by these values of its parameter `ids` if it has one."""
        with self._database.read() as connection:
            if ids is None:
                yield from connection.execute(query).all()
                return
            for batch in split_into_batches(sorted(ids)):
                yield from connection.execute(query, {"ids": batch}).all()


def _find_source(connection: Connection) -> Source | None:
    values = {row.name: row.value for row in connection.execute(_SOURCE)}
    return Source(values[ADVISORIES], values[ENGINE]) if ADVISORIES in values else None


def _set_source(connection: Connection, source: Source, previous: Source | None, now: str, has_new_data: bool) -> None:
    """State the source of the findings, with the event of another advisory database if it has new data."""
    insert_if_new(connection, fleet_state, {"name": MATCHED_SINCE, "value": now})
    for name, value in ((ADVISORIES, source.advisories), (ENGINE, source.engine)):
        row = {"name": name, "value": value}
        if not insert_if_new(connection, fleet_state, row):
            update_all(connection, fleet_state, [row])
    before = previous.advisories if previous is not None else None
    if has_new_data and source.advisories != before:
        append_events(connection, [make_advisories_changed(source.advisories, before, now)])


def _replace_findings(
    connection: Connection, results: Sequence[MatchResult], now: str, reason: ClosingReason
) -> tuple[list[Change], set[int]]:
    """Store results of matching, and return the findings and the components (of undetermined entries) that differ."""
    ids = store_vulnerabilities(connection, (finding for result in results for finding in result.findings))
    changes: list[Change] = []
    components: set[int] = set()
    for at in range(0, len(results), BATCH):
        part = results[at : at + BATCH]
        matched_ids = [result.component for result in part]
        stored_findings = _read_stored(connection, matched_ids)
        for result in part:
            changes += _compute_differences(result, stored_findings.get(result.component, {}), ids, now)
        components |= _replace_undetermined(connection, part)
        connection.execute(_MARK_MATCHED, {"ids": matched_ids})
    _write_changes(connection, changes, now, reason)
    return changes, components


def _read_stored(connection: Connection, components: Sequence[int]) -> dict[int, dict[int, ComponentFinding]]:
    findings_by_component: dict[int, dict[int, ComponentFinding]] = {}
    for row in connection.execute(_FINDINGS_OF_COMPONENTS, {"ids": components}):
        findings_by_component.setdefault(row[0], {})[row[1]] = ComponentFinding(*row)
    return findings_by_component


def _compute_differences(
    result: MatchResult, stored_findings: Mapping[int, ComponentFinding], ids: Mapping[Names, int], now: str
) -> Iterator[Change]:
    current: dict[int, ComponentFinding] = {}
    for finding in result.findings:
        number = ids[finding.id, finding.aliases]
        current[number] = _make_row(result.component, number, finding, stored_findings.get(number), now)
    for number in sorted(current.keys() | stored_findings.keys()):
        before, after = stored_findings.get(number), current.get(number)
        if before != after:
            yield Change(result.component, number, before, after)


def _make_row(
    component: int, vulnerability: int, finding: Finding, stored_finding: ComponentFinding | None, now: str
) -> ComponentFinding:
    fixed_since = None
    if stored_finding is not None and finding.fixed:
        fixed_since = stored_finding.fixed_since if stored_finding.fixed else now
    return ComponentFinding(
        component,
        vulnerability,
        finding.severity,
        finding.rating.source,
        finding.rating.score,
        finding.rating.vector,
        finding.fixed,
        finding.note,
        finding.is_disputed,
        finding.published,
        finding.fixed_at,
        stored_finding.opened if stored_finding is not None else now,
        fixed_since,
    )


def _write_changes(connection: Connection, changes: Sequence[Change], now: str, reason: ClosingReason) -> None:
    closed_findings = [change.before for change in changes if change.before is not None]
    if closed_findings:
        connection.execute(
            _DELETE_FINDINGS,
            [{"of_component": row.component, "of_vulnerability": row.vulnerability} for row in closed_findings],
        )
    past = [
        {name: getattr(change.before, name) for name in ("component", "vulnerability", "opened", "severity", "fixed")}
        for change in changes
        if change.before is not None and change.after is None
    ]
    insert_all_new(connection, fleet_past_findings, [{**row, "closed": now, "why": reason.value} for row in past])
    new = [change.after._asdict() for change in changes if change.after is not None]
    if new:
        connection.execute(_INSERT_FINDINGS, new)


def _replace_undetermined(connection: Connection, results: Sequence[MatchResult]) -> set[int]:
    """Store what could not be determined, and return the components of which that differs from what was stored."""
    entries = ((result.component, at, entry) for result in results for at, entry in enumerate(result.undetermined))
    rows = {(component, at, entry.kind, entry.reason, entry.ids) for component, at, entry in entries}
    stored_rows = connection.execute(_UNDETERMINED_ENTRIES, {"components": [result.component for result in results]})
    components = {row[0] for row in rows.symmetric_difference(map(tuple, stored_rows))}
    if components:
        connection.execute(_DELETE_UNDETERMINED, {"components": sorted(components)})
    if new := [dict(zip(_UNDETERMINED_NAMES, row, strict=True)) for row in sorted(rows) if row[0] in components]:
        connection.execute(_INSERT_UNDETERMINED, new)
    return components
