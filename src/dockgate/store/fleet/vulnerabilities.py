"""The vulnerabilities of the fleet's findings, and what KEV and EPSS say of them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, select, type_coerce

from dockgate.store.fleet.records import Vulnerability
from dockgate.store.queries import is_one_of, make_text_list, split_into_batches
from dockgate.store.schema.fleet import fleet_aliases, fleet_findings, fleet_vulnerabilities
from dockgate.store.statements import insert_all_new, update_all
from dockgate.vulnerabilities.model import Finding

# Rows for `make_vulnerability`, with the text of `aliases`: a renewal reads all vulnerabilities several times.
VULNERABILITIES = select(
    fleet_vulnerabilities.c.id,
    *(
        type_coerce(fleet_vulnerabilities.c[name], Text) if name == "aliases" else fleet_vulnerabilities.c[name]
        for name in Vulnerability._fields
    ),
)
VULNERABILITIES_BY_ID = VULNERABILITIES.where(is_one_of(fleet_vulnerabilities.c.id, "ids"))
_VULNERABILITIES_BY_NAME = VULNERABILITIES.where(is_one_of(fleet_vulnerabilities.c.name, "names"))
_COMPONENTS_WITH = select(fleet_findings.c.component).distinct().where(is_one_of(fleet_findings.c.vulnerability, "ids"))

# The names of a vulnerability: see `Vulnerability`.
Names = tuple[str, tuple[str, ...]]


def make_vulnerability(row: Sequence[Any]) -> tuple[int, Vulnerability]:
    """The id and the vulnerability of a row of `VULNERABILITIES`."""
    number, name, aliases, *fields = row
    return number, Vulnerability.from_row((name, tuple(json.loads(aliases)) if aliases != "[]" else (), *fields))


def update_cves(connection: Connection, values: Mapping[int, Vulnerability]) -> tuple[Sequence[int], Sequence[int]]:
    """Store what KEV and EPSS say.

    Returns the components with a vulnerability of which they say something else, and the vulnerabilities that KEV lists
    and did not list before.
    """
    stored_values = dict(
        make_vulnerability(row)
        for part in split_into_batches(sorted(values))
        for row in connection.execute(VULNERABILITIES_BY_ID, {"ids": part})
    )
    changed_ids = [number for number in sorted(stored_values) if stored_values[number] != values[number]]
    changed_rows = [_make_catalogue_row(number, values[number]) for number in changed_ids]
    update_all(connection, fleet_vulnerabilities, changed_rows)
    components = {
        component
        for part in split_into_batches(changed_ids)
        for component in connection.scalars(_COMPONENTS_WITH, {"ids": part})
    }
    ids = [number for number in changed_ids if values[number].exploited and not stored_values[number].exploited]
    return sorted(components), ids


def store_vulnerabilities(connection: Connection, findings: Iterable[Finding]) -> dict[Names, int]:
    """The ids of all vulnerabilities of these findings. New ones are inserted, changed ones updated."""
    by_names = {
        (finding.id, finding.aliases): Vulnerability(finding.id, finding.aliases).with_facts(finding)
        for finding in findings
    }
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
    connection: Connection, by_names: Collection[Names]
) -> dict[Names, tuple[int, Vulnerability]]:
    vulnerabilities: dict[Names, tuple[int, Vulnerability]] = {}
    for names in split_into_batches(sorted({name for name, _ in by_names})):
        rows = connection.execute(_VULNERABILITIES_BY_NAME, {"names": make_text_list(names)})
        for number, vulnerability in map(make_vulnerability, rows):
            if (vulnerability.name, vulnerability.aliases) in by_names:
                vulnerabilities[vulnerability.name, vulnerability.aliases] = number, vulnerability
    return vulnerabilities


def _make_catalogue_row(number: int, vulnerability: Vulnerability) -> dict[str, object]:
    values = vulnerability.to_row()
    return {"id": number, **{name: values[name] for name in ("exploited", "due", "epss", "percentile")}}
