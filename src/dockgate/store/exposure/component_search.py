"""The components of the fleet that have a vulnerability or a name, now or at a time in the past."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from dockgate.store.engine import Database
from dockgate.store.exposure.records import AffectedComponent, IndexState
from dockgate.store.fleet.findings import ADVISORIES
from dockgate.store.fleet.records import Component, PastFinding, Vulnerability
from dockgate.store.queries import batches, numbers_of
from dockgate.store.schema.fleet import (
    fleet_aliases,
    fleet_components,
    fleet_doubts,
    fleet_findings,
    fleet_past_findings,
    fleet_state,
    fleet_vulnerabilities,
)
from dockgate.store.schema.gate import vex_documents

# What a finding has no longer once it has ended.
_PRESENT_ONLY = ("note", "fixed_at")
_COMPONENT = select(fleet_components.c.id, *(fleet_components.c[name] for name in Component._fields))

# The ecosystems of the fleet, each found in the index after the one before: DISTINCT would read every component.
_FIRST = select(func.min(fleet_components.c.ecosystem).label("name")).cte("ecosystems", recursive=True)
_ECOSYSTEMS = _FIRST.union_all(
    select(
        select(func.min(fleet_components.c.ecosystem))
        .where(fleet_components.c.ecosystem > _FIRST.c.name)
        .scalar_subquery()
    ).where(_FIRST.c.name.is_not(None))
)


class ComponentSearch:
    """Finds components. Which images hold them: `store.exposure.images`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def vulnerabilities(self, name: str, *, any_case: bool = True) -> dict[int, Vulnerability]:
        """The fleet's vulnerabilities that are known by a name, or by the name of one of these.

        A bulletin's name gives all vulnerabilities that it is about. Letters may be all of one case, or with `any_case`
        of any, which is slower.
        """
        alias, table = fleet_aliases.c.alias, fleet_vulnerabilities.c
        is_named: list[ColumnElement[bool]] = [alias.in_({name, name.upper(), name.lower()})]
        if any_case:
            is_named.append(func.lower(alias) == name.lower())
        columns = select(table.id, *(table[name] for name in Vulnerability._fields))
        joined = columns.join(fleet_aliases, fleet_aliases.c.vulnerability == table.id).distinct()
        with self._database.read() as connection:
            for condition in is_named:
                # Each has its own name among its aliases.
                names = select(table.name).join(fleet_aliases, fleet_aliases.c.vulnerability == table.id)
                rows = connection.execute(joined.where(alias.in_(names.where(condition).correlate(None))))
                if entries := {number: Vulnerability(*fields) for number, *fields in rows}:
                    return entries
        return {}

    def index_state(self) -> IndexState:
        """How far the index can answer for the components that it has."""
        components, doubts = fleet_components.c, fleet_doubts.c
        nothing = cast(null(), Integer)
        query = union_all(
            select(literal("state"), nothing, fleet_state.c.name),
            select(literal("ecosystem"), nothing, _ECOSYSTEMS.c.name).where(_ECOSYSTEMS.c.name.is_not(None)),
            select(literal("doubt"), doubts.component, type_coerce(doubts.ids, Text)),
            select(literal("unmatched"), components.id, literal("")).where(~components.matched),
            select(literal("vex"), nothing, literal("")).where(exists().where(vex_documents.c.removed_at.is_(None))),
            select(literal("had vex"), nothing, literal("")).where(exists().select_from(vex_documents)),
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        by_kind: dict[str, list[tuple[int, str]]] = {}
        for kind, number, text in rows:
            by_kind.setdefault(kind, []).append((number, text))
        return IndexState(
            is_matched=ADVISORIES in [name for _, name in by_kind.get("state", ())],
            ecosystems=sorted(name for _, name in by_kind.get("ecosystem", ())),
            doubts=[(number, frozenset(json.loads(ids))) for number, ids in by_kind.get("doubt", ())],
            unmatched_components=sorted(number for number, _ in by_kind.get("unmatched", ())),
            has_vex="vex" in by_kind,
            had_vex="had vex" in by_kind,
        )

    def affected_components(
        self, vulnerabilities: Collection[int], at: str | None = None
    ) -> Sequence[tuple[AffectedComponent, Component]]:
        """The components that have one of these vulnerabilities, or had it at a time."""
        present, past = fleet_findings.c, fleet_past_findings.c
        component = [fleet_components.c[name] for name in Component._fields]
        rows: list[tuple[AffectedComponent, Component]] = []
        columns: list[ColumnElement[Any]]
        with self._database.read() as connection:
            for part in batches(sorted(vulnerabilities)):
                names = [name for name in AffectedComponent._fields if name not in ("closed", "why", "fixed_at")]
                columns = [*(present[name] for name in names), present.fixed_at]
                query = select(*columns, *component).where(present.vulnerability.in_(part))
                query = query.join(fleet_components, fleet_components.c.id == present.component)
                if at is not None:
                    query = query.where(present.opened <= at)
                width = len(columns)
                rows += [
                    (AffectedComponent._make((*row[: width - 1], None, None, row[width - 1])), Component(*row[width:]))
                    for row in connection.execute(query)
                ]
                if at is None:
                    continue
                columns = [null() if name in _PRESENT_ONLY else past[name] for name in AffectedComponent._fields]
                ended = select(*columns, *component).where(
                    past.vulnerability.in_(part), past.opened <= at, past.closed > at
                )
                ended = ended.join(fleet_components, fleet_components.c.id == past.component)
                width = len(columns)
                rows += [
                    (AffectedComponent(*row[:width]), Component(*row[width:])) for row in connection.execute(ended)
                ]
        return rows

    def past_findings(self, vulnerabilities: Collection[int], components: Collection[int]) -> Sequence[PastFinding]:
        """The ended findings of these components with these vulnerabilities, oldest first."""
        table = fleet_past_findings.c
        query = (
            select(*(table[name] for name in PastFinding._fields))
            .where(numbers_of(table.vulnerability, vulnerabilities), numbers_of(table.component, components))
            .order_by(table.opened)
        )
        with self._database.read() as connection:
            return [PastFinding(*row) for row in connection.execute(query)] if vulnerabilities and components else []

    def components_named(self, names: Sequence[str]) -> dict[int, Component]:
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
                rows = connection.execute(_COMPONENT.where(condition).order_by(table.id))
                if components := {number: Component(*fields) for number, *fields in rows}:
                    return components
        return {}
