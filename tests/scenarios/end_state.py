"""The state that a server leaves, which must be the same however often it was killed."""

import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

from tests.scenarios import slow_http
from tests.scenarios.live import Live

from dockgate.delivery.registry_access import CATALOG, PULL, Access
from dockgate.gate.model import Verdict
from dockgate.store.engine import Database
from dockgate.store.retention.rows import ExpiredRows
from dockgate.store.schema.base import metadata

# times, tokens, ports, and the order in which rows happened to come.
MASKED = re.compile(r"(_at|_until|^until|^since|^opened|^url|^receiver|^body|^envelope|^at|^seq|^token|^expires_at)$")
# Numbers of rows of the fleet index, which depend on the order in which they came.
NUMBERS = ("id", "image", "bundle", "component", "vulnerability")
# How long a server may take to index what it has scanned.
INDEX_SECONDS = 60
# The repository of images that cannot be scanned.
NOWHERE = "nowhere"
# Verdicts on pushes of images that were judged for an approval, too, and the events of such verdicts.
PUSHES_BESIDE_APPROVALS = """
    SELECT digest FROM verdicts WHERE cause LIKE 'push/%'
    AND image IN (SELECT image FROM verdicts WHERE cause NOT LIKE 'push/%')
"""
EVENTS_BESIDE_APPROVALS = """
    SELECT id FROM event_log WHERE (source = 'aws.inspector2' OR id LIKE 'image.judged/push/%')
    AND subject IN (SELECT 'image ' || image FROM verdicts WHERE cause NOT LIKE 'push/%')
"""
# In which a change of policies or waivers has renewed the verdicts.
RENEWAL_SECONDS = 3


def read_end_state(server: Live) -> dict[str, Any]:
    """Tables, registry and containers, with what differs from run to run (times, tokens, ports) put aside.

    An image's digest holds the time of its build: it is called by its tag here, and every other digest by nothing.
    """
    tags = _read_registry(server)
    names = {digest: f"{repository}:{tag}" for repository, match in tags.items() for tag, digest in match.items()}

    tables = _read_tables(server.data / "dockgate.db")
    fixes = [json.loads(row)["id"] for row in tables["fixes"]]  # made from the image's digest

    def mask_names(text: str) -> str:
        for fix in fixes:
            text = text.replace(fix, "fix")
        text = text.replace(f"127.0.0.1:{server.registry_port}", "registry")
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "now", text)
        return re.sub("sha256:[0-9a-f]{64}", lambda match: names.get(match[0], "sha256:*"), text)

    def mask_attestation_tag(text: str) -> str:
        """A tag of attestations bears its image's digest."""
        return re.sub("sha256-([0-9a-f]{64})", lambda match: names.get(f"sha256:{match[1]}", "?"), text)

    return {
        "tables": {table: sorted(mask_names(row) for row in rows) for table, rows in tables.items()},
        "registry": sorted(map(mask_attestation_tag, names.values())),
        "tasks": [mask_names(task) for task in _list_tasks(server)],
    }


def _wait_for_index(sql: sqlite3.Connection) -> None:
    """Wait until every image is in the fleet index and judged, and its packages are matched."""
    end = time.monotonic() + INDEX_SECONDS
    missing_count = (
        "SELECT count(*) FROM scans s LEFT JOIN fleet_images i ON i.digest = s.image AND i.scanned_at = s.finished_at"
        " WHERE s.state = 'Done' AND i.id IS NULL UNION ALL SELECT count(*) FROM fleet_components WHERE NOT is_matched"
        " UNION ALL SELECT count(*) FROM fleet_images i LEFT JOIN fleet_verdicts v ON v.image = i.id"
        " WHERE v.image IS NULL UNION ALL SELECT count(*) FROM fleet_due_images"
        " UNION ALL SELECT count(*) FROM fleet_due_repositories"
    )
    while any(count for (count,) in sql.execute(missing_count)) and time.monotonic() < end:
        time.sleep(0.1)
    state = "SELECT name, value FROM fleet_state ORDER BY name"
    before = None
    while before != (before := sql.execute(state).fetchall()) and time.monotonic() < end:
        time.sleep(RENEWAL_SECONDS)


def _read_tables(file: Path) -> dict[str, list[str]]:
    sql = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    _wait_for_index(sql)
    sql.row_factory = sqlite3.Row
    left_out = _list_unreferenced_documents(file)
    # A scan that failed is repeated after a crash, and then its image is judged again.
    renewal = f"cause LIKE 'push/{NOWHERE}@%'"
    left_out |= {row[0] for row in sql.execute(f"SELECT digest FROM verdicts WHERE {renewal}")}  # noqa: S608 - a constant
    # After a crash, an image may be judged after its push before the pipeline asks for its approval.
    left_out |= {row[0] for row in sql.execute(PUSHES_BESIDE_APPROVALS)}
    events_left_out = {row[0] for row in sql.execute(EVENTS_BESIDE_APPROVALS)}
    try:
        tables = {}
        for name in metadata.tables:  # not dbos's own
            rows = sql.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 - the name is out of the schema
            if name in ("documents", "verdicts"):
                rows = [row for row in rows if row["digest"] not in left_out]
            if name == "event_log":
                rows = [row for row in rows if row["id"] not in events_left_out]
            if name == "documents":
                # Those made in the same millisecond from the same inputs are one document: rows of `verdicts` tell them
                # apart.
                stored_digests = {row["digest"] for row in rows}
                rows = [row for row in rows if row["kind"] != Verdict.__name__]
            if name == "verdicts":
                assert {row["digest"] for row in rows} <= stored_digests, "verdicts without their documents"
            tables[name] = [json.dumps(_select_stable_fields(dict(row)), sort_keys=True, default=str) for row in rows]
            if name.startswith("fleet_"):
                tables[name] = [_without_numbers(row) for row in tables[name]]
    finally:
        sql.close()
    del tables["identity"]
    del tables["workers"]  # their heartbeats
    # A call that a crash left without an answer is made again, and is on record twice.
    del tables["audit"]
    del tables["tokens"]  # made of chance
    # A plan is of the moment at which it was made.
    del tables["collection_plan"]
    # What runs is noted once an hour, and when a server starts.
    del tables["image_uses"]
    # A push is made of chance, too; one that git took before the crash is known by what it asked for, and brings no
    # commit again.
    del tables["pushes"], tables["pushed_commits"]
    # A question that is asked again after a crash asks for a scan again where the last one has failed.
    tables["scans"] = [re.sub(r'"number": \d+', '"number": "some"', row) for row in tables["scans"]]
    # Whether a service is at risk, or its image's verdict has changed, is found out by two tasks, in either order.
    tables["outbox"] = [re.sub(r'"position": \d+', '"position": "some"', row) for row in tables["outbox"]]
    tables["event_cursors"] = [re.sub(r'"position": \d+', '"position": "some"', row) for row in tables["event_cursors"]]
    # Events about different subjects are appended in either order.
    rows_of_events = [re.sub(r'"position": \d+', '"position": "some"', row) for row in tables["event_log"]]
    # A finding's id is made from the image's digest, which is new with each build.
    rows_of_events = [
        re.sub(r"inspector/finding/[0-9a-f]{32}", "inspector/finding/some", row) for row in rows_of_events
    ]
    # The registry reports a push at least once, under an id of its own.
    rows_of_events = [row for row in rows_of_events if not ("image.judged" in row and NOWHERE in row)]
    tables["event_log"] = sorted(row for row in rows_of_events if '"ECR Image Action"' not in row)
    tables["events"] = [row for row in tables["events"] if "Image Push" not in row]
    return tables


def _list_unreferenced_documents(file: Path) -> frozenset[str]:
    """What is left of an effect whose server was killed; the garbage collection removes it."""
    database = Database.from_url(f"sqlite:///{file}")
    try:
        return frozenset(ExpiredRows(database).list_unreferenced_documents()[0])
    finally:
        database.close()


def _without_numbers(row: str) -> str:
    fields = {column: value for column, value in json.loads(row).items() if column not in NUMBERS}
    return json.dumps(fields, sort_keys=True)


def _select_stable_fields(row: dict[str, Any]) -> dict[str, Any]:
    fields = {
        column: value for column, value in row.items() if not MASKED.search(column) and not isinstance(value, bytes)
    }
    if isinstance(fields.get("payload"), str):  # of the outbox, in JSON
        fields["payload"] = _select_stable_fields(json.loads(fields["payload"]))
    return fields


def _read_registry(server: Live) -> dict[str, dict[str, str]]:
    base = f"http://127.0.0.1:{server.registry_port}/v2"
    match: dict[str, dict[str, str]] = {}
    for repository in slow_http.get(f"{base}/_catalog", headers=server.make_registry_headers(CATALOG)).json()[
        "repositories"
    ]:
        headers = server.make_registry_headers(Access("repository", repository, (PULL,)))
        tags = slow_http.get(f"{base}/{repository}/tags/list", headers=headers).json()["tags"] or []
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json", **headers}
        match[repository] = {
            tag: slow_http.head(f"{base}/{repository}/manifests/{tag}", headers=accept).headers["docker-content-digest"]
            for tag in tags
        }
    return match


def _list_tasks(server: Live) -> list[str]:
    services = [item["service"]["name"] for item in server.get("/services")]
    tasks = [task for name in services for task in server.get(f"/services/{name}")["tasks"]]
    return sorted(f"{task['service']} {task['revision']} {task['state']} {task['digest']}" for task in tasks)
