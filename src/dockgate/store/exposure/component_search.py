"""The components of the fleet that have a vulnerability or a name, now or at a time in the past."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
    union,
    union_all,
)

from dockgate.store.engine import Database
from dockgate.store.exposure.records import AffectedComponent, ExposureScope, IndexState
from dockgate.store.exposure.scopes import is_in_scope
from dockgate.store.exposure.vulnerability_lists import select_components, select_ecosystems
from dockgate.store.fleet.findings import ADVISORIES, COMPONENT, FINDING
from dockgate.store.fleet.records import Component, ComponentFinding, Vulnerability
from dockgate.store.fleet.vulnerabilities import VULNERABILITIES, VULNERABILITIES_BY_ID, make_vulnerability
from dockgate.store.queries import is_among, is_one_of, make_text_list
from dockgate.store.schema.fleet import (
    fleet_aliases,
    fleet_components,
    fleet_findings,
    fleet_images,
    fleet_past_findings,
    fleet_platforms,
    fleet_state,
    fleet_tags,
    fleet_undetermined,
    fleet_vulnerabilities,
)
from dockgate.store.schema.gate import policies, policy_assignment_changes, vex_documents, waivers

# What a finding has only while it is there, and only once it has ended.
_PRESENT_ONLY = ("note", "fixed_at")
_ENDED_ONLY = ("closed", "why")


def _select_vulnerabilities_named(is_named: ColumnElement[bool]) -> Select[Any]:
    """The vulnerabilities with an alias that is the name of one which has such an alias.

    Each has its own name among its aliases.
    """
    table = fleet_vulnerabilities.c
    has_alias = fleet_aliases.c.vulnerability == table.id
    names = select(table.name).join(fleet_aliases, has_alias).where(is_named).correlate(None)
    return VULNERABILITIES.join(fleet_aliases, has_alias).where(fleet_aliases.c.alias.in_(names)).distinct()


_VULNERABILITIES_NAMED = _select_vulnerabilities_named(is_one_of(fleet_aliases.c.alias, "spellings"))
_VULNERABILITIES_NAMED_IN_ANY_CASE = _select_vulnerabilities_named(
    func.lower(fleet_aliases.c.alias) == bindparam("lower_name", type_=fleet_aliases.c.alias.type)
)
_PRESENT_FIELDS = [
    type_coerce(null(), fleet_past_findings.c[name].type).label(name) if name in _ENDED_ONLY else fleet_findings.c[name]
    for name in AffectedComponent._fields
]
_PAST_FIELDS = [
    null().label(name) if name in _PRESENT_ONLY else fleet_past_findings.c[name] for name in AffectedComponent._fields
]
_COMPONENT_FIELDS = [fleet_components.c[name] for name in Component._fields]
_AFFECTED_COMPONENTS = union_all(
    select(*_PRESENT_FIELDS, *_COMPONENT_FIELDS)
    .join(fleet_components, fleet_components.c.id == fleet_findings.c.component)
    .where(is_one_of(fleet_findings.c.vulnerability, "vulnerabilities")),
    select(*_PAST_FIELDS, *_COMPONENT_FIELDS)
    .join(fleet_components, fleet_components.c.id == fleet_past_findings.c.component)
    .where(is_one_of(fleet_past_findings.c.vulnerability, "vulnerabilities")),
)
_FINDINGS = (
    FINDING.add_columns(*(fleet_vulnerabilities.c[name] for name in Vulnerability._fields))
    .join(fleet_vulnerabilities, fleet_vulnerabilities.c.id == fleet_findings.c.vulnerability)
    .where(is_one_of(fleet_findings.c.component, "components"))
    .order_by(fleet_findings.c.component, fleet_findings.c.vulnerability)
)
_FIXED_SINCE = FINDING.where(fleet_findings.c.fixed_since > bindparam("time"))
_COMPONENTS = COMPONENT.where(is_one_of(fleet_components.c.id, "ids"))
# By a union: with OR, SQLite reads all components.
_COMPONENTS_NAMED = COMPONENT.where(
    fleet_components.c.id.in_(
        union(
            select(fleet_components.c.id).where(is_one_of(fleet_components.c.name, "names")),
            select(fleet_components.c.id).where(is_one_of(fleet_components.c.source_name, "names")),
        )
    )
).order_by(fleet_components.c.id)
_COMPONENTS_NAMED_IN_ANY_CASE = COMPONENT.where(
    or_(
        is_among(func.lower(fleet_components.c.name), "lower_names"),
        is_among(func.lower(fleet_components.c.source_name), "lower_names"),
    )
).order_by(fleet_components.c.id)

# The ecosystems of the fleet, each found in the index after the one before: DISTINCT would read every component.
_FIRST_ECOSYSTEM = select(func.min(fleet_components.c.ecosystem).label("name")).cte("ecosystems", recursive=True)
_ECOSYSTEMS = _FIRST_ECOSYSTEM.union_all(
    select(
        select(func.min(fleet_components.c.ecosystem))
        .where(fleet_components.c.ecosystem > _FIRST_ECOSYSTEM.c.name)
        .scalar_subquery()
    ).where(_FIRST_ECOSYSTEM.c.name.is_not(None))
)

# How many there are of what may excuse a finding, with each change: rows of these tables are never deleted.
_COUNTS = (
    select(func.count()).select_from(waivers),
    select(func.count(waivers.c.revoked_at)),
    select(func.coalesce(func.sum(vex_documents.c.changes), 0)),
    select(func.count()).select_from(policies),
    select(func.count()).select_from(policy_assignment_changes),
)
_WAIVER_REVISION: ColumnElement[str] = literal("")
for _count in _COUNTS:
    _WAIVER_REVISION = _WAIVER_REVISION.concat(cast(_count.scalar_subquery(), Text)).concat("/")


def _select_partly_read(scope: ExposureScope) -> Select[Any]:
    """The images of the scope of which some files could not be read."""
    platforms, image = fleet_platforms.c, fleet_images.c.id
    return (
        select(literal("unread"), image, literal(""))
        .join(fleet_platforms, platforms.image == image)
        .where(platforms.unread > literal_column("0"), is_in_scope(scope))  # as in its index
        .distinct()
    )


def _select_index_state(scope: ExposureScope | None, has_repositories: bool) -> CompoundSelect[Any]:
    """The rows of an index state: see `ComponentSearch.read_index_state`."""
    components, undetermined_entries = fleet_components.c, fleet_undetermined.c
    no_number = cast(null(), Integer)
    repositories = select(literal("repository"), no_number, fleet_tags.c.repository).distinct()
    ecosystems = select(literal("ecosystem"), no_number, _ECOSYSTEMS.c.name).where(_ECOSYSTEMS.c.name.is_not(None))
    is_counted: ColumnElement[bool] = true()
    is_undetermined_counted: ColumnElement[bool] = true()
    if scope is not None and scope.repositories is not None:
        contents = select_components(scope).cte("contents")
        is_counted = components.id.in_(select(contents.c.component))
        is_undetermined_counted = undetermined_entries.component.in_(select(contents.c.component))
        names = select_ecosystems(select(contents.c.component)).subquery()
        ecosystems = select(literal("ecosystem"), no_number, names.c.ecosystem)
    return union_all(
        *([repositories] if has_repositories else ()),
        select(literal("state"), no_number, fleet_state.c.name),
        ecosystems,
        select(
            literal("uncomparable"), undetermined_entries.component, type_coerce(undetermined_entries.ids, Text)
        ).where(is_undetermined_counted),
        select(literal("unmatched"), components.id, literal("")).where(~components.is_matched, is_counted),
        select(literal("waivers"), no_number, _WAIVER_REVISION),
        *([_select_partly_read(scope)] if scope is not None else ()),
    )


# By whether they have repositories.
_INDEX_STATES = {
    has_repositories: _select_index_state(None, has_repositories=has_repositories) for has_repositories in (False, True)
}


class ComponentSearch:
    """The search for components. Which images contain them: `store.exposure.images`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_vulnerabilities(self, name: str, *, should_ignore_case: bool = True) -> dict[int, Vulnerability]:
        """The fleet's vulnerabilities that are known by a name, or by the name of one of these.

        A bulletin's name gives all vulnerabilities that it is about. Letters may be all of one case, or
        with `should_ignore_case` of any, which is slower.
        """
        spellings = make_text_list(sorted({name, name.upper(), name.lower()}))
        parameters = {"spellings": spellings, "lower_name": name.lower()}
        queries = [_VULNERABILITIES_NAMED, *([_VULNERABILITIES_NAMED_IN_ANY_CASE] if should_ignore_case else [])]
        with self._database.read() as connection:
            for query in queries:
                rows = connection.execute(query, parameters)
                if entries := dict(map(make_vulnerability, rows)):
                    return entries
        return {}

    def read_index_state(self, *, has_repositories: bool = False, scope: ExposureScope | None = None) -> IndexState:
        """Return how far the index can answer for the components that it has.

        `has_repositories`: with all repositories, as `Exposures.list_repositories`. With a `scope` of some
        repositories, only the components in images of the scope count, as of now: an answer from before a scan would
        call complete what is not matched yet. Only with a scope images with unread files are counted: those of it.
        """
        query = _INDEX_STATES[has_repositories] if scope is None else _select_index_state(scope, has_repositories)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        by_kind: dict[str, list[tuple[int, str]]] = {}
        for kind, number, text in rows:
            by_kind.setdefault(kind, []).append((number, text))
        return IndexState(
            is_matched=ADVISORIES in [name for _, name in by_kind.get("state", ())],
            ecosystems=sorted(name for _, name in by_kind.get("ecosystem", ())),
            uncomparable_components=[
                (number, frozenset(json.loads(ids))) for number, ids in by_kind.get("uncomparable", ())
            ],
            unmatched_components=sorted(number for number, _ in by_kind.get("unmatched", ())),
            waiver_revision=by_kind["waivers"][0][1],
            repositories=sorted(name for _, name in by_kind.get("repository", ())) if has_repositories else None,
            partly_read_count=len(by_kind.get("unread", ())),
        )

    def list_affected_components(
        self, vulnerabilities: Collection[int]
    ) -> Sequence[tuple[AffectedComponent, Component]]:
        """The components that have or had one of these vulnerabilities, in the order of their findings' begin."""
        width, parameters = len(AffectedComponent._fields), {"vulnerabilities": sorted(vulnerabilities)}
        with self._database.read() as connection:
            rows = connection.execute(_AFFECTED_COMPONENTS, parameters).all() if vulnerabilities else ()
        pairs = [(AffectedComponent(*row[:width]), Component(*row[width:])) for row in rows]
        return sorted(pairs, key=lambda entry: entry[0].opened)

    def list_findings(
        self, components: Collection[int]
    ) -> tuple[Sequence[ComponentFinding], Mapping[int, Vulnerability]]:
        """The findings of these components, by component, and the vulnerabilities that they have, by id."""
        findings: list[ComponentFinding] = []
        vulnerabilities: dict[int, Vulnerability] = {}
        with self._database.read() as connection:
            for row in connection.execute(_FINDINGS, {"components": sorted(components)}) if components else ():
                finding = ComponentFinding._make(row[: len(ComponentFinding._fields)])
                findings.append(finding)
                if finding.vulnerability not in vulnerabilities:
                    vulnerabilities[finding.vulnerability] = Vulnerability.from_row(
                        row[len(ComponentFinding._fields) :]
                    )
        return findings, vulnerabilities

    def list_fixed_since(
        self, time: str
    ) -> tuple[Sequence[ComponentFinding], Mapping[int, Vulnerability], Mapping[int, Component]]:
        """The findings for which a fix appeared after this time.

        With them, their vulnerabilities and components, by id.
        """
        with self._database.read() as connection:
            findings = [ComponentFinding._make(row) for row in connection.execute(_FIXED_SINCE, {"time": time})]
            vulnerability_ids = sorted({finding.vulnerability for finding in findings})
            rows = connection.execute(VULNERABILITIES_BY_ID, {"ids": vulnerability_ids})
            vulnerabilities = dict(map(make_vulnerability, rows))
            component_ids = sorted({finding.component for finding in findings})
            components = {
                number: Component(*fields)
                for number, *fields in connection.execute(_COMPONENTS, {"ids": component_ids})
            }
        return findings, vulnerabilities, components

    def find_components_named(self, names: Sequence[str]) -> dict[int, Component]:
        """The components of these names, or of source packages of that name.

        In any case of their letters, if none is written like this.
        """
        lower_names = make_text_list([name.lower() for name in names])
        parameters = {"names": make_text_list(names), "lower_names": lower_names}
        with self._database.read() as connection:
            for query in (_COMPONENTS_NAMED, _COMPONENTS_NAMED_IN_ANY_CASE):
                rows = connection.execute(query, parameters)
                if components := {number: Component(*fields) for number, *fields in rows}:
                    return components
        return {}
