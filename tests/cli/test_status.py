"""`dockgate status`, and digests by their first characters."""

from typing import Any

import pytest
from tests.cli import answers
from tests.cli.answers import NAME, VERDICT
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

from dockgate.cli.status import MAX_COUNTED, MAX_WAITING
from dockgate.delivery.model import ApprovalState
from dockgate.services.feeds.status import FeedStatus
from dockgate.shared.canonical import to_plain


def serve(server: FakeServer, **database: Any) -> None:
    service = {"service": answers.make_service()["service"], "image": f"127.0.0.1/app@{samples.MANIFEST}", "running": 0}
    server.answers |= {
        "GET /status": {
            "version": "1",
            "registry": "127.0.0.1:7421",
            "git": "http://x/git",
            "database": database,
            "unserved": [],
            "feeds": [],
            "queue": {"approvals": [], "is_complete": True},
        },
        "GET /pipelines": [{"name": NAME, "version": 1, "latest": answers.make_execution()}],
        "GET /services": [service],
        "GET /approvals": [answers.make_approval(ApprovalState.WAITING)],
    }


def test_status_shows_what_runs_and_what_waits(dockgate: Dockgate, server: FakeServer) -> None:
    coverage = [{"ecosystem": "PyPI", "is_complete": True, "checked_at": answers.get_past(3600)}]
    serve(server, digest="sha256:1", coverage=coverage)
    result = dockgate("status")
    assert result.code == 0
    for text in (
        "1 ecosystem, checked 1 h ago",
        NAME,
        "Failed",
        "0 of 1",
        f"{NAME}-1/Assess/Gate/1 waiting for 2 min",
    ):
        assert text in result.out


def make_queue(count: int, *, is_complete: bool = True) -> Any:
    entry = {"repository": "teamx/app", "pipeline": None, "expires_at": answers.get_past(-7 * 86400)}
    approvals = [{"id": f"external/{number}", "contributors_unknown": None, **entry} for number in range(count)]
    return {"approvals": approvals, "is_complete": is_complete}


def test_status_shows_first_what_the_caller_may_decide(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, digest="sha256:1", coverage=[])
    assert "your decision" not in dockgate("status").out
    server.answers["GET /status"]["queue"] = make_queue(1)
    first, second, *_ = dockgate("status").out.splitlines()
    assert first == "1 approval needs your decision:"
    assert second == "  dockgate approval show external/0   teamx/app, expires in 7 days"
    server.answers["GET /status"]["queue"] = make_queue(200, is_complete=False)
    output = dockgate("status").out
    assert output.startswith("At least 200 approvals need your decision:")
    assert output.count("dockgate approval show external/") == MAX_WAITING
    server.answers["GET /status"]["queue"] = make_queue(0, is_complete=False)
    assert "Not all waiting approvals were read: some may need your decision." in dockgate("status").out


@pytest.mark.parametrize(("count", "text"), [(108, "108 waiting."), (MAX_COUNTED + 1, "More than 500 waiting.")])
def test_status_counts_all_waiting_approvals(dockgate: Dockgate, server: FakeServer, count: int, text: str) -> None:
    serve(server, digest="sha256:1", coverage=[])
    approvals = [answers.make_approval(ApprovalState.WAITING)] * count
    server.answers["GET /approvals"] = lambda request: approvals[: int(request.query.get("limit", 100))]
    assert text in dockgate("status").out


def test_status_shows_a_service_that_has_no_image_yet(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, digest="sha256:1", coverage=[])
    server.answers["GET /services"][0]["image"] = None
    result = dockgate("status")
    assert (result.code, result.err) == (0, "")
    assert "0 of 1" in result.out


def test_status_names_queues_without_a_worker(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, digest="sha256:1", coverage=[])
    server.answers["GET /status"]["unserved"] = [{"name": "build[arch=arm64]", "waiting": 2}]
    assert "for build[arch=arm64], 2 waiting: see `dockgate worker list`" in dockgate("status").out
    server.answers["GET /status"]["unserved"] = [{"name": "build", "waiting": None}]
    assert "for build: ask an admin to start one" in dockgate("status").out


def test_status_says_when_there_is_no_database(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, error="there is no advisory database", advice="Run `dockgate db update`.")
    assert "there is no advisory database. Run `dockgate db update`." in dockgate("status").out


def test_status_without_a_server_exits_2(dockgate: Dockgate, unused_port: int, monkeypatch: Any) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", f"http://127.0.0.1:{unused_port}")
    assert dockgate("status").code == 2


def test_a_digest_prefix_is_sufficient(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers |= {
        "GET /digests/verdict/ffffff": [VERDICT],
        "GET /digests/verdict/aaaaaaaa": [VERDICT, samples.MANIFEST],
        "GET /digests/verdict/bbbbbb": [],
        f"GET /verdicts/{VERDICT}": to_plain(samples.make_verdict()),
    }
    for text in ("ffffff", "sha256:ffffff", "sha256:ffffff…", VERDICT):
        assert dockgate("verdict", "show", text).code == 0
    result = dockgate("verdict", "show", "aaaaaaaa")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: several verdict digests begin with aaaaaaaa")
    assert VERDICT in result.err
    assert dockgate("verdict", "show", "bbbbbb").err.startswith("error: no verdict digest begins with bbbbbb")


def test_an_image_is_named_as_people_name_it(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /image-references"] = {"digest": samples.MANIFEST, "repository": "team/app"}
    for name in ("team/app:1", "registry.example/team/app", f"team/app@{samples.MANIFEST}"):
        dockgate("image", "show", name)
        name_request, image_request = server.requests[-2:]
        assert (name_request.query["name"], image_request.path) == (name, f"/images/{samples.MANIFEST}")
        assert image_request.query == {"repository": "team/app"}
    dockgate("image", "show", samples.MANIFEST)
    assert (server.requests[-1].path, server.requests[-1].query) == (f"/images/{samples.MANIFEST}", {})
    dockgate("waiver", "add", "--vulnerability", "CVE-1", "--image", "team/app:1", "--until-fixed", "--owner", "ana",
             "--reason", "x")  # fmt: skip
    assert server.requests[-1].parse_body()["image"] == "team/app:1"  # the server knows its registry and its tags


def feed(name: str, **state: Any) -> dict[str, Any]:
    status = FeedStatus(name, None, None, None, None, None, None, failures=0, reason=None, next_at=None, off=None)
    return {**to_plain(status), **state}


def test_status_shows_the_feeds_that_fail_and_the_next_update(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, digest="sha256:1", coverage=[])
    soon = answers.get_past(-3000)
    failing = {
        "failures": 3,
        "failing_since": answers.get_past(7200),
        "reason": "it answered 500 \x1b[31m",
        "next_at": soon,
    }
    server.answers["GET /status"]["feeds"] = [feed("kev", **failing), feed("osv", next_at=soon)]
    output = dockgate("status").out
    server.answers["GET /status"]["feeds"] = [feed("kev", **failing), feed("cvss", off="not set")]
    assert "not set" not in dockgate("status").out, "a feed that is not set explains no failure"
    assert "kev for 2 h, next in 4" in output
    assert "it answered 500" in output
    assert "\x1b[31m" not in output
    assert "osv in 4" in output
    server.answers["GET /status"]["feeds"] = [feed("kev", **{**failing, "next_at": None, "off": "it is turned off"})]
    assert "kev for 2 h, not fetched by the server: it answered 500" in " ".join(dockgate("status").out.split())


def test_status_says_why_the_server_fetches_no_feeds(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, digest="sha256:1", coverage=[])
    off = "the database was imported: set DOCKGATE_UPDATES=on to fetch it"
    server.answers["GET /status"]["feeds"] = [feed("cvss", off="not set"), feed("kev", off=off), feed("osv", off=off)]
    assert off in " ".join(dockgate("status").out.split())


def test_status_says_that_the_server_fetches_its_first_advisories(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, error="there is no advisory database", advice="Run `dockgate db update`.")
    server.answers["GET /status"]["feeds"] = [feed("amazon", off="turned off"), feed("osv")]
    output = " ".join(dockgate("status").out.split())
    assert "there is no advisory database. The server fetches the feeds." in output
    assert "next update now" in output
    assert "db update" not in output
    assert "turned off" not in output
