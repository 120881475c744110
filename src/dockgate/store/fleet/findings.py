"""The findings of the fleet's components: what is known today, and what ended."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Text, bindparam, delete, insert, select, type_coerce, update

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
from dockgate.store.queries import BATCH, is_one_of_texts, split_into_batches
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

_FINDING = select(*(fleet_findings.c[name] for name in ComponentFinding._fields))
VULNERABILITY = select(fleet_vulnerabilities.c.id, *(fleet_vulnerabilities.c[name] for name in Vulnerability._fields))
# The same with the text of `aliases`: a renewal reads all vulnerabilities several times.
_VULNERABILITY_TEXT = select(
    fleet_vulnerabilities.c.id,
    *(
        type_coerce(fleet_vulnerabilities.c[name], Text) if name == "aliases" else fleet_vulnerabilities.c[name]
        for name in Vulnerability._fields
    ),
)
COMPONENT = select(fleet_components.c.id, *(fleet_components.c[name] for name in Component._fields))
# The lock (`store.locks`) of those that match components.
MATCHING = "fleet matching"
# The names of rows of `fleet_state`: the digest of the advisory database that the findings are of, and the version of
# Dockgate that matched; when components were matched for the first time; and the time before which rows were deleted
# that say what was then.
ADVISORIES, ENGINE, MATCHED_SINCE, RETAINED_SINCE = "advisories", "engine", "matched since", "retained since"

# The names of a vulnerability: see `Vulnerability`.
_Names = tuple[str, tuple[str, ...]]


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
        query = _FINDING.order_by(fleet_findings.c.component, fleet_findings.c.vulnerability)
        return map(ComponentFinding._make, self._iterate_rows(query, fleet_findings.c.component, components))

    def iterate_findings_with(self, vulnerabilities: Collection[int]) -> Iterator[ComponentFinding]:
        """The findings of today with these vulnerabilities (ids)."""
        column = fleet_findings.c.vulnerability
        return map(ComponentFinding._make, self._iterate_rows(_FINDING, column, vulnerabilities))

    def list_vulnerabilities(self, ids: Collection[int] | None = None) -> dict[int, Vulnerability]:
        """All vulnerabilities, or these, by id."""
        return dict(map(_make_vulnerability, self._iterate_rows(_VULNERABILITY_TEXT, fleet_vulnerabilities.c.id, ids)))

    def list_vulnerabilities_named(self, names: Collection[str]) -> dict[int, Vulnerability]:
        """The vulnerabilities that are known by one of these names, by id."""
        ids = select(fleet_aliases.c.vulnerability).where(is_one_of_texts(fleet_aliases.c.alias, names))
        query = _VULNERABILITY_TEXT.where(fleet_vulnerabilities.c.id.in_(ids))
        return dict(map(_make_vulnerability, self._iterate_rows(query, None, None)))

    def list_cves(self) -> set[str]:
        """The CVEs of all vulnerabilities."""
        with self._database.read() as connection:
            names = connection.scalars(select(fleet_aliases.c.alias).distinct())
            return {name for name in names if name.startswith("CVE-")}

    def list_undetermined(self) -> Iterator[tuple[int, UndeterminedEntry]]:
        """Return what could not be determined, by component, without `Fleet.list_uncovered_components`."""
        table = fleet_undetermined.c
        query = select(table.component, table.kind, table.reason, table.ids).order_by(table.component, table.position)
        for component, *fields in self._iterate_rows(query, table.component, None):
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
            query = _FINDING.where(fleet_findings.c.source.in_(("", "cve")))
            return list(map(ComponentFinding._make, connection.execute(query)))

    def list_unmatched_components(self, limit: int) -> Sequence[tuple[int, Component]]:
        """At most `limit` components whose findings were never looked up, by id."""
        query = COMPONENT.where(~fleet_components.c.is_matched).order_by(fleet_components.c.id).limit(limit)
        with self._database.read() as connection:
            return [(number, Component(*fields)) for number, *fields in connection.execute(query)]

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
            refreshed_components, exploited_ids = _update_cves(connection, values)
            changes, components = _replace_findings(connection, results, now, reason)
            record_new_findings(connection, changes, exploited_ids, now, should_announce=previous is not None)
            _set_source(connection, source, previous, now, has_new_data)
            return changes, components.union(refreshed_components)

    def _iterate_rows(self, query: Select[Any], column: Any, ids: Collection[int] | None) -> Iterator[Any]:
        with self._database.read() as connection:
            if ids is None:
                yield from connection.execute(query).all()
                return
            for numbers in split_into_batches(sorted(ids)):
                yield from connection.execute(query.where(column.in_(numbers))).all()


def _make_vulnerability(row: Sequence[Any]) -> tuple[int, Vulnerability]:
    number, name, aliases, *fields = row
    return number, Vulnerability.from_row((name, tuple(json.loads(aliases)) if aliases != "[]" else (), *fields))


def _find_source(connection: Connection) -> Source | None:
    values = {row.name: row.value for row in connection.execute(select(fleet_state))}
    return Source(values[ADVISORIES], values[ENGINE]) if ADVISORIES in values else None


def _set_source(connection: Connection, source: Source, previous: Source | None, now: str, has_new_data: bool) -> None:
    """State the source of the findings, with the event of another advisory database if it has new data."""
    insert_if_new(connection, fleet_state, {"name": MATCHED_SINCE, "value": now})
    for name, value in ((ADVISORIES, source.advisories), (ENGINE, source.engine)):
        if not insert_if_new(connection, fleet_state, {"name": name, "value": value}):
            connection.execute(update(fleet_state).where(fleet_state.c.name == name).values(value=value))
    before = previous.advisories if previous is not None else None
    if has_new_data and source.advisories != before:
        append_events(connection, [make_advisories_changed(source.advisories, before, now)])


def _update_cves(connection: Connection, values: Mapping[int, Vulnerability]) -> tuple[Sequence[int], Sequence[int]]:
    """Store what KEV and EPSS say.

    Returns the components with a vulnerability of which they say something else, and the vulnerabilities that KEV lists
    and did not list before.
    """
    stored_values = {
        number: Vulnerability.from_row(fields)
        for part in split_into_batches(sorted(values))
        for number, *fields in connection.execute(VULNERABILITY.where(fleet_vulnerabilities.c.id.in_(part)))
    }
    changed_ids = [number for number in sorted(stored_values) if stored_values[number] != values[number]]
    changed_rows = [_make_catalogue_row(number, values[number]) for number in changed_ids]
    update_all(connection, fleet_vulnerabilities, changed_rows)
    query = select(fleet_findings.c.component).distinct()
    components = {
        component
        for part in split_into_batches(changed_ids)
        for component in connection.scalars(query.where(fleet_findings.c.vulnerability.in_(part)))
    }
    ids = [number for number in changed_ids if values[number].exploited and not stored_values[number].exploited]
    return sorted(components), ids


def _replace_findings(
    connection: Connection, results: Sequence[MatchResult], now: str, reason: ClosingReason
) -> tuple[list[Change], set[int]]:
    """Store results of matching, and return the findings and the components (of undetermined entries) that differ."""
    ids = _store_vulnerabilities(connection, results)
    changes: list[Change] = []
    components: set[int] = set()
    for at in range(0, len(results), BATCH):
        part = results[at : at + BATCH]
        matched_ids = [result.component for result in part]
        stored_findings = _read_stored(connection, matched_ids)
        for result in part:
            changes += _compute_differences(result, stored_findings.get(result.component, {}), ids, now)
        components |= _replace_undetermined(connection, part)
        is_new = ~fleet_components.c.is_matched, fleet_components.c.id.in_(matched_ids)
        connection.execute(update(fleet_components).where(*is_new).values(is_matched=True))
    _write_changes(connection, changes, now, reason)
    return changes, components


def _read_stored(connection: Connection, components: Sequence[int]) -> dict[int, dict[int, ComponentFinding]]:
    findings_by_component: dict[int, dict[int, ComponentFinding]] = {}
    for row in connection.execute(_FINDING.where(fleet_findings.c.component.in_(components))):
        findings_by_component.setdefault(row[0], {})[row[1]] = ComponentFinding(*row)
    return findings_by_component


def _compute_differences(
    result: MatchResult, stored_findings: Mapping[int, ComponentFinding], ids: Mapping[_Names, int], now: str
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
            delete(fleet_findings).where(
                fleet_findings.c.component == bindparam("of_component"),
                fleet_findings.c.vulnerability == bindparam("of_vulnerability"),
            ),
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
        connection.execute(insert(fleet_findings), new)


def _replace_undetermined(connection: Connection, results: Sequence[MatchResult]) -> set[int]:
    """Store what could not be determined, and return the components of which that differs from what was stored."""
    names = ("component", "position", "kind", "reason", "ids")
    entries = ((result.component, at, entry) for result in results for at, entry in enumerate(result.undetermined))
    rows = {(component, at, entry.kind, entry.reason, entry.ids) for component, at, entry in entries}
    is_of_results = fleet_undetermined.c.component.in_([result.component for result in results])
    query = select(*(fleet_undetermined.c[name] for name in names)).where(is_of_results)
    components = {row[0] for row in rows.symmetric_difference(tuple(row) for row in connection.execute(query))}
    if components:
        connection.execute(delete(fleet_undetermined).where(fleet_undetermined.c.component.in_(components)))
    if new := [dict(zip(names, row, strict=True)) for row in sorted(rows) if row[0] in components]:
        connection.execute(insert(fleet_undetermined), new)
    return components


def _store_vulnerabilities(connection: Connection, results: Sequence[MatchResult]) -> dict[_Names, int]:
    """The ids of all vulnerabilities of these results. New ones are inserted, changed ones updated."""
    by_names: dict[_Names, Vulnerability] = {}
    for result in results:
        for finding in result.findings:
            by_names[finding.id, finding.aliases] = Vulnerability(finding.id, finding.aliases).with_facts(finding)
    rows = _list_stored_vulnerabilities(connection, by_names)
    new = sorted(by_names.keys() - rows.keys())
    if new:
        insert_all_new(connection, fleet_vulnerabilities, [by_names[names].to_row() for names in new])
        rows |= _list_stored_vulnerabilities(connection, new)
        alias_rows = [
            {"alias": alias, "vulnerability": rows[names][0]} for names in new for alias in (names[0], *names[1])
        ]
        insert_all_new(connection, fleet_aliases, alias_rows)
    changed_keys = [names for names in sorted(rows) if rows[names][1] != by_names[names]]
    changed_rows = [_make_catalogue_row(rows[names][0], by_names[names]) for names in changed_keys]
    update_all(connection, fleet_vulnerabilities, changed_rows)
    return {names: number for names, (number, _) in rows.items()}


def _list_stored_vulnerabilities(
    connection: Connection, by_names: Collection[_Names]
) -> dict[_Names, tuple[int, Vulnerability]]:
    vulnerabilities: dict[_Names, tuple[int, Vulnerability]] = {}
    for names in split_into_batches(sorted({name for name, _ in by_names})):
        for number, *fields in connection.execute(VULNERABILITY.where(fleet_vulnerabilities.c.name.in_(names))):
            vulnerability = Vulnerability.from_row(fields)
            if (vulnerability.name, vulnerability.aliases) in by_names:
                vulnerabilities[vulnerability.name, vulnerability.aliases] = number, vulnerability
    return vulnerabilities


def _make_catalogue_row(number: int, vulnerability: Vulnerability) -> dict[str, object]:
    values = vulnerability.to_row()
    return {"id": number, **{name: values[name] for name in ("exploited", "due", "epss", "percentile")}}
