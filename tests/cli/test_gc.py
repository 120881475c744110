"""`dockgate gc`: a plan first, then its removal."""

import json
from typing import Any

from tests.cli import answers
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

REPORT: dict[str, Any] = {
    "images": [
        {
            "repository": "team/app",
            "digest": samples.MANIFEST,
            "tags": ["1", "first"],
            "used_at": answers.get_past(86400),
            "size": 3 << 20,
        }
    ],
    "kept_images": [
        {
            "repository": "team/web",
            "digest": samples.MANIFEST,
            "tags": [],
            "reason": "runs",
            "detail": "service web, revision 3",
            "reasons": 2,
        }
    ],
    "blobs": 4,
    "blob_bytes": 1000,
    "others": [{"kind": "logs", "count": 7, "size": 2048}],
    "notes": ["No blob was removed."],
}
EMPTY = {"images": [], "kept_images": [], "blobs": 0, "blob_bytes": 0, "others": [], "notes": []}


def make_collection(**fields: Any) -> dict[str, Any]:
    return {
        "seq": 5,
        "requested_at": answers.get_past(60),
        "requested_by": "ada",
        "started_at": None,
        "finished_at": None,
        "error": None,
        "report": None,
        **fields,
    }


def test_without_yes_nothing_is_removed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /gc"] = REPORT
    result = dockgate("gc")
    assert result.code == 0
    for text in ("team/app", "1, first", "3.0 MiB", "logs: 7, 2.0 KiB", "1000 B", "1 (runs 1)", "No blob was removed."):
        assert text in result.out
    assert "dockgate gc --yes" in result.err
    assert [request.method for request in server.requests] == ["GET"]
    assert json.loads(dockgate("gc", "-o", "json").out) == REPORT


def test_where_there_is_nothing_no_removal_is_offered(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /gc"] = EMPTY
    result = dockgate("gc")
    assert "No image." in result.out
    assert "--yes" not in result.err


def test_kept_images_are_listed_with_their_reason(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /gc"] = REPORT
    assert "service web, revision 3 (and 1 more)" in dockgate("gc", "--kept").out


def test_with_yes_the_command_waits_for_the_collection(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /gc"] = (202, make_collection())
    states = [
        make_collection(started_at=answers.get_past(1)),
        make_collection(finished_at=answers.get_past(0), report=REPORT),
    ]
    server.answers["GET /gc/runs/5"] = lambda _: states.pop(0)
    result = dockgate("gc", "--yes")
    assert result.code == 0, result.err
    assert "team/app" in result.out
    assert not states


def test_a_collection_that_ended_early_is_an_error(dockgate: Dockgate, server: FakeServer) -> None:
    failed_collection = make_collection(
        finished_at=answers.get_past(0), report=EMPTY, error="the registry does not answer."
    )
    server.answers["POST /gc"] = (202, failed_collection)
    result = dockgate("gc", "--yes")
    assert result.code == 2
    assert "the registry does not answer" in result.err
    assert "dockgate gc --yes" in result.err


def test_the_last_collections_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /gc/runs"] = [
        make_collection(),
        make_collection(finished_at=answers.get_past(0), report=REPORT),
    ]
    assert dockgate("gc", "--list").out.count("ada") == 2
