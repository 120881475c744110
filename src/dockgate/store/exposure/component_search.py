"""The components of the fleet that have a vulnerability or a name, now or at a time in the past."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from dockgate.store.engine import Database
from dockgate.store.exposure.records import AffectedComponent, ExposureScope, IndexState
from dockgate.store.exposure.scopes import is_in_scope
from dockgate.store.exposure.vulnerability_lists import select_components, select_ecosystems
from dockgate.store.fleet.findings import ADVISORIES, COMPONENT, VULNERABILITY
from dockgate.store.fleet.records import Component, ComponentFinding, Vulnerability
from dockgate.store.queries import is_one_of_numbers, split_into_batches
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


class ComponentSearch:
    """The search for components. Which images contain them: `store.exposure.images`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_vulnerabilities(self, name: str, *, should_ignore_case: bool = True) -> dict[int, Vulnerability]:
        """The fleet's vulnerabilities that are known by a name, or by the name of one of these.

        A bulletin's name gives all vulnerabilities that it is about. Letters may be all of one case, or
        with `should_ignore_case` of any, which is slower.
        """
        alias, table = fleet_aliases.c.alias, fleet_vulnerabilities.c
        is_named: list[ColumnElement[bool]] = [alias.in_({name, name.upper(), name.lower()})]
        if should_ignore_case:
            is_named.append(func.lower(alias) == name.lower())
        columns = select(table.id, *(table[name] for name in Vulnerability._fields))
        with_aliases = columns.join(fleet_aliases, fleet_aliases.c.vulnerability == table.id).distinct()
        with self._database.read() as connection:
            for condition in is_named:
                # Each has its own name among its aliases.
                names = select(table.name).join(fleet_aliases, fleet_aliases.c.vulnerability == table.id)
                rows = connection.execute(with_aliases.where(alias.in_(names.where(condition).correlate(None))))
                if entries := {number: Vulnerability.from_row(fields) for number, *fields in rows}:
                    return entries
        return {}

    def read_index_state(self, *, has_repositories: bool = False, scope: ExposureScope | None = None) -> IndexState:
        """Return how far the index can answer for the components that it has.

        `has_repositories`: with all repositories, as `Exposures.list_repositories`. With a `scope` of some
        repositories, only the components in images of the scope count, as of now: an answer from before a scan would
        call complete what is not matched yet. Only with a scope images with unread files are counted: those of it.
        """
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
        query = union_all(
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
        present_columns, past_columns = fleet_findings.c, fleet_past_findings.c
        component = [fleet_components.c[name] for name in Component._fields]
        present_selection = [
            type_coerce(null(), past_columns[name].type).label(name) if name in _ENDED_ONLY else present_columns[name]
            for name in AffectedComponent._fields
        ]
        past_selection = [
            null().label(name) if name in _PRESENT_ONLY else past_columns[name] for name in AffectedComponent._fields
        ]
        query = union_all(
            select(*present_selection, *component)
            .join(fleet_components, fleet_components.c.id == present_columns.component)
            .where(is_one_of_numbers(present_columns.vulnerability, vulnerabilities)),
            select(*past_selection, *component)
            .join(fleet_components, fleet_components.c.id == past_columns.component)
            .where(is_one_of_numbers(past_columns.vulnerability, vulnerabilities)),
        )
        width = len(AffectedComponent._fields)
        with self._database.read() as connection:
            rows = connection.execute(query).all() if vulnerabilities else ()
        pairs = [(AffectedComponent(*row[:width]), Component(*row[width:])) for row in rows]
        return sorted(pairs, key=lambda entry: entry[0].opened)

    def list_findings(
        self, components: Collection[int]
    ) -> tuple[Sequence[ComponentFinding], Mapping[int, Vulnerability]]:
        """The findings of these components, by component, and the vulnerabilities that they have, by id."""
        present_columns, table = fleet_findings.c, fleet_vulnerabilities.c
        query = (
            select(
                *(present_columns[name] for name in ComponentFinding._fields),
                *(table[name] for name in Vulnerability._fields),
            )
            .join(fleet_vulnerabilities, table.id == present_columns.vulnerability)
            .where(is_one_of_numbers(present_columns.component, components))
            .order_by(present_columns.component, present_columns.vulnerability)
        )
        findings: list[ComponentFinding] = []
        vulnerabilities: dict[int, Vulnerability] = {}
        with self._database.read() as connection:
            for row in connection.execute(query) if components else ():
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
            rows = connection.execute(
                select(*(fleet_findings.c[name] for name in ComponentFinding._fields)).where(
                    fleet_findings.c.fixed_since > time
                )
            ).all()
            findings = [ComponentFinding._make(row) for row in rows]
            vulnerabilities = {
                number: Vulnerability.from_row(fields)
                for part in split_into_batches(sorted({finding.vulnerability for finding in findings}))
                for number, *fields in connection.execute(VULNERABILITY.where(fleet_vulnerabilities.c.id.in_(part)))
            }
            components = {
                number: Component(*fields)
                for part in split_into_batches(sorted({finding.component for finding in findings}))
                for number, *fields in connection.execute(COMPONENT.where(fleet_components.c.id.in_(part)))
            }
        return findings, vulnerabilities, components

    def find_components_named(self, names: Sequence[str]) -> dict[int, Component]:
        """The components of these names, or of source packages of that name.

        In any case of their letters, if none is written like this.
        """
        table = fleet_components.c
        lower = [name.lower() for name in names]
        queries = (
            or_(table.name.in_(names), table.source_name.in_(names)),
            or_(func.lower(table.name).in_(lower), func.lower(table.source_name).in_(lower)),
        )
        with self._database.read() as connection:
            for condition in queries:
                rows = connection.execute(COMPONENT.where(condition).order_by(table.id))
                if components := {number: Component(*fields) for number, *fields in rows}:
                    return components
        return {}
