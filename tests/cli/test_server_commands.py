"""Approvals, images, verdicts, services, repositories."""

import json
import re
from typing import Any

import pytest
from tests.cli import answers
from tests.cli.answers import NAME, VERDICT
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

from dockgate.delivery.model import ApprovalState
from dockgate.shared.canonical import to_plain

APPROVAL = f"{NAME}-1/Assess/Gate/1"
COMPONENTS = {
    "repository": "components",
    "tag": "1",
    "digest": samples.MANIFEST,
    "pushed_at": answers.get_past(90),
    "pushed_by": "dora",
    "until": None,
}


def test_reject_fetches_the_approvals_token(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers[f"GET /approvals/{APPROVAL}"] = answers.make_approval(ApprovalState.WAITING)
    server.answers[f"POST /approvals/{APPROVAL}/reject"] = answers.make_approval()
    result = dockgate("approval", "reject", APPROVAL, "--reason", "not before the holidays")
    assert (result.code, result.out) == (0, f"{APPROVAL}: rejected\n")
    body = server.requests[-1].parse_body()
    assert (body["token"], body["reason"]) == ("the-token", "not before the holidays")
    assert body["who"]


def test_reject_sends_the_given_token(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers[f"POST /approvals/{APPROVAL}/reject"] = (403, {"error": "that is not the token", "advice": None})
    result = dockgate("approval", "reject", APPROVAL, "--reason", "no", "--token", "guessed")
    assert (result.code, result.err) == (2, "error: that is not the token\n")
    assert [request.method for request in server.requests] == ["POST"]
    assert server.requests[0].parse_body()["token"] == "guessed"


def test_an_approval_shows_its_token_while_it_waits_only(dockgate: Dockgate, server: FakeServer) -> None:
    waiting_approval = answers.make_approval(ApprovalState.WAITING) | answers.make_caller_decision()
    server.answers[f"GET /approvals/{APPROVAL}"] = waiting_approval
    waiting = dockgate("approval", "show", APPROVAL).out
    assert "the-token" in waiting
    assert "in 7 days" in waiting
    server.answers[f"GET /approvals/{APPROVAL}"] = answers.make_approval() | {"caller_decision": None}
    output = dockgate("approval", "show", APPROVAL).out
    assert "the-token" not in output
    assert VERDICT in output


def test_approvals_are_listed_by_state(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /approvals"] = [answers.make_approval()]
    result = dockgate("approval", "list", "--state", "rejected")
    assert "2 HIGH findings" in result.out
    assert server.requests[-1].query == {"state": "Rejected", "limit": "100"}
    assert dockgate("approval", "list", "--state", "maybe").code == 2


UNKNOWN = "the pusher of the commit 1a2b of app is unknown. Build a commit whose push is on record."
COMMANDS = [f"dockgate approval approve {APPROVAL}", f"dockgate approval reject {APPROVAL} --reason TEXT"]


@pytest.mark.parametrize(
    ("decision", "text", "offered_commands"),
    [
        ({"can_approve": True}, "waits for an approval from anyone who may decide", COMMANDS),
        (
            {"can_reject": False, "objection": "bob is not one of the approvers: ann"},
            "you cannot decide it: bob is not one of the approvers: ann",
            [],
        ),
        (
            {
                "can_reject": False,
                "objection": f"the contributors are unknown: {UNKNOWN}",
                "contributors_unknown": UNKNOWN,
            },
            f"no one can vote until the contributors are known: {UNKNOWN}",
            [],
        ),
        (
            {"objection": "manual approval needs named users"},
            "you cannot approve it: manual approval needs named users",
            COMMANDS[1:],
        ),
    ],
)
def test_an_approval_offers_only_what_the_caller_may_do(
    dockgate: Dockgate, server: FakeServer, decision: dict[str, Any], text: str, offered_commands: list[str]
) -> None:
    approvers = {"principals": [], "roles": [], "count": 1, "exclude_committer": True}
    approval = answers.make_approval(ApprovalState.WAITING, approvers=approvers)
    server.answers[f"GET /approvals/{APPROVAL}"] = approval | answers.make_caller_decision(**decision)
    output = dockgate("approval", "show", APPROVAL).out
    assert text in output
    assert [command for command in COMMANDS if command in output] == offered_commands
    assert output.count(UNKNOWN) <= 1


def test_images_are_listed_and_shown(dockgate: Dockgate, server: FakeServer) -> None:
    summary: dict[str, object] = {**COMPONENTS, "scan": "Done", "status": "Rejected", "summary": "2 HIGH findings"}
    summary |= {"gone_at": None, "counts": {"CRITICAL": 0, "HIGH": 2, "MEDIUM": 0, "LOW": 1}}
    server.answers["GET /images"] = {"images": [summary], "next": None}
    output = dockgate("image", "list", "components").out
    assert output.splitlines()[1].split()[-2:] == ["components", "1"]
    assert samples.MANIFEST in output
    assert "0/2/0/1" in output
    assert server.requests[-1].query == {"repository": "components", "limit": "50"}
    server.answers[f"GET /images/{samples.MANIFEST}"] = {
        "digest": samples.MANIFEST,
        "status": "Undetermined",
        "summary": "not watched any more; the last verdict: 2 HIGH findings",
        "is_watched": False,
        "lag": "The newest recorded verdict (Rejected) differs.",
        "watches": [{"repository": "components", "is_watched": False, "until": answers.get_past(60), "policy": "strict",
                     "owners": ["ada"]}],
        "scanner": "14-b",
        "places": [summary | {"policy": "strict", "since": answers.get_past(60),
                    "cannot_judge_since": answers.get_past(5),
                              "services": ["shop"], "waived": "3 waived"}],
        "scan": {"image": samples.MANIFEST, "state": "Failed", "reason": "the registry is down", "scanner": "13-a"},
        "pushes": [COMPONENTS],
        "moves": [{"repository": "components", "tag": "1", "previous": "sha256:before", "digest": samples.MANIFEST,
                   "moved_at": answers.get_past(90), "pushed_by": None}],
        "inventories": [{"platform": "linux/amd64", "distribution": "Debian 13", "packages": 80, "unread": 1,
                         "layers": [
            {"digest": "sha256:lower", "size": 51_380_224, "is_base": True, "packages": 79,
             "findings": {"HIGH": 2, "UNTRIAGED": 3}, "made_by": "RUN apt-get update &&\n  apt-get upgrade"},
            {"digest": "sha256:upper", "size": None, "is_base": None, "packages": 1, "findings": None, "made_by": None},
        ]}],
        "verdicts": [{"digest": VERDICT, "status": "Rejected", "policy": "default", "summary": "2 HIGH findings",
                      "judged_at": answers.get_past(5)}],
    }  # fmt: skip
    output = dockgate("image", "show", samples.MANIFEST).out
    for text in (
        "Failed: the registry is down by scanner 13-a; the server has 14-b",
        "Undetermined: not watched any more",
        ", 3 waived, by policy strict since",
        "The newest recorded verdict (Rejected) differs.",
        "cannot be judged for",
        "shop",
        "ada",
        "components:1",
        "Debian 13",
        VERDICT,
        "2 HIGH findings",
        "dora",
        "from sha256:before",
    ):
        assert text in output
    lower, upper = [
        " ".join(line.split()) for line in output.splitlines() if line.startswith("sha256:") and "er " in line
    ]
    assert lower == "sha256:lower 49.0 MiB base 79 0/2/0/0/3 RUN apt-get update && apt-get upgrade"
    assert upper == "sha256:upper - unknown 1 - -"


def test_the_last_verdict_before_advisories_became_stale_is_not_listed_as_a_present_one(
    dockgate: Dockgate, server: FakeServer
) -> None:
    image = {**COMPONENTS, "scan": "Done", "status": "Approved", "summary": "no finding counts", "waived": None}
    image |= {"gone_at": None, "counts": None, "cannot_judge_since": answers.get_past(3)}
    server.answers["GET /images"] = {"images": [image], "next": None}
    row = dockgate("image", "list").out.splitlines()[1]
    assert row.startswith("Approved, cannot be judged for ")


def test_an_empty_list_by_findings_says_when_it_is_unknown_which_images_match(
    dockgate: Dockgate, server: FakeServer
) -> None:
    reason = "This server has not read EPSS. Run `dockgate db update`."
    page: dict[str, Any] = {"images": [], "next": None, "matching": {"certainty": "Unknown", "reason": reason}}
    server.answers["GET /images"] = page
    assert f"It is unknown whether an image matches. {reason}" in dockgate("image", "list", "--epss", "0.1").out
    page["matching"] = {"certainty": "Partial", "reason": "1 package is not matched yet."}
    output = dockgate("image", "list", "--fixable", "--all").out
    assert "No visible image is known to match. 1 package is not matched yet." in output
    page["matching"] = {"certainty": "Complete", "reason": None}
    assert "No visible image matches." in dockgate("image", "list", "--fixable").out


def test_an_image_says_once_that_it_is_undetermined(dockgate: Dockgate, server: FakeServer) -> None:
    empty_lists: dict[str, object] = {
        name: [] for name in ("places", "watches", "pushes", "moves", "inventories", "verdicts")
    }
    view = {
        "digest": samples.MANIFEST,
        "status": "Undetermined",
        "summary": "Undetermined: It is broken.",
        "scan": None,
    }
    server.answers[f"GET /images/{samples.MANIFEST}"] = {**empty_lists, **view, "scanner": "1", "lag": None}
    assert "  Undetermined: It is broken." in dockgate("image", "show", samples.MANIFEST).out
    server.answers[f"GET /images/{samples.MANIFEST}"] |= {"summary": None}
    assert dockgate("image", "show", samples.MANIFEST).out.splitlines()[2].split() == ["verdict", "Undetermined"]


def test_an_image_says_once_what_is_waived(dockgate: Dockgate, server: FakeServer) -> None:
    location: dict[str, object] = {
        **COMPONENTS,
        "status": "Approved",
        "gone_at": None,
        "counts": None,
        "policy": "strict",
        "waived": "1 waived",
    }
    waiver: dict[str, object] = {
        "kind": "waiver",
        "by": "w-1",
        "owner": "ana",
        "reason": "x",
        "until": "2999-01-01T00:00:00Z",
    }
    waiver |= {"count": 2, "subjects": ["CVE-1 in idna 3.6"]}
    location |= {"since": answers.get_past(5), "cannot_judge_since": None, "services": [], "waivers": [waiver]}
    empty_lists: dict[str, object] = {name: [] for name in ("watches", "pushes", "moves", "inventories", "verdicts")}
    view = {"digest": samples.MANIFEST, "status": "Approved", "summary": "1 waived finding", "scan": None, "lag": None}
    server.answers[f"GET /images/{samples.MANIFEST}"] = {**empty_lists, **view, "places": [location], "scanner": "1"}
    output = dockgate("image", "show", samples.MANIFEST).out
    assert "Approved: 1 waived finding, by policy strict since" in output
    assert "ana until 2999-01-01" in output
    assert "(waiver w-1): CVE-1 in idna 3.6 and 1 more" in output


def test_a_digest_whose_repositories_differ_shows_the_verdict_of_each(dockgate: Dockgate, server: FakeServer) -> None:
    location: dict[str, object] = {**COMPONENTS, "gone_at": None, "policy": None, "waived": None, "services": []}
    locations = [
        {**location, "repository": "prod/app", "status": "Rejected"},
        {**location, "repository": "dev/app", "status": "Approved"},
    ]
    watch: dict[str, object] = {
        "is_watched": True,
        "until": answers.get_past(-90 * 86400),
        "policy": "p",
        "owners": [],
    }
    view: dict[str, object] = {name: [] for name in ("pushes", "moves", "inventories", "verdicts")}
    view |= {"digest": samples.MANIFEST, "status": "Rejected", "summary": "1 LOW", "scan": None, "lag": None}
    view |= {"places": locations, "watches": [{**watch, "repository": name} for name in ("dev/app", "prod/app")]}
    server.answers[f"GET /images/{samples.MANIFEST}"] = {**view, "scanner": "1"}
    output = dockgate("image", "show", samples.MANIFEST).out
    assert "Rejected, differs by repository: 1 LOW" in output
    rows = [line.split()[:2] for line in output.splitlines()]
    assert ["dev/app", "Approved"] in rows
    assert ["prod/app", "Rejected"] in rows
    assert "yes, ends in " in output
    server.answers["GET /image-references"] = {"digest": samples.MANIFEST, "repository": "dev/app"}
    assert "differs by repository" not in dockgate("image", "show", "dev/app:1").out
    assert server.requests[-1].query == {"repository": "dev/app"}


def test_a_verdict_is_shown_as_gate_shows_it_with_its_inventory(dockgate: Dockgate, server: FakeServer) -> None:
    verdict = samples.make_verdict()
    server.answers[f"GET /verdicts/{VERDICT}"] = to_plain(verdict)
    server.answers[f"GET /documents/{verdict.inputs.inventories[0]}"] = to_plain(samples.make_inventory())
    result = dockgate("verdict", "show", VERDICT)
    assert result.code == 0
    assert "Debian GNU/Linux 13 (trixie) · 5 packages" in result.out
    assert "✗ Rejected by policy default" in result.out
    document = json.loads(dockgate("verdict", "show", VERDICT, "-o", "json").out)
    assert document["verdict"]["status"] == "Rejected"


def test_services_are_listed_and_shown(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_service()
    at_risk = {**view["service"], "at_risk": "CVE-2026-1", "at_risk_until": "2096-12-09T00:00:00Z"}
    server.answers["GET /services"] = [
        {
            "service": at_risk,
            "image": "127.0.0.1:7421/components@" + view["definitions"][0]["image"]["digest"],
            "running": 1,
            "failed_deploy": None,
        },
        view | {"service": view["service"], "image": None, "running": 0},
    ]
    output = dockgate("deploy", "list").out
    assert "1 of 1" in output
    assert "at risk until 2096-12-09" in output
    assert "last deploy failed: web: revision 3" in output
    server.answers["GET /services/web"] = {**view, "service": {**at_risk, "at_risk_until": "2026-11-01T08:00:00Z"}}
    output = dockgate("deploy", "show", "web").out
    assert "at risk, deadline passed at 2026-11-01 08:00 UTC" in output
    assert "CVE-2026-1" in output
    server.answers["GET /services/web"] = view
    output = dockgate("deploy", "show", "web").out
    for text in (
        "RUNNING",
        "18000->8000",
        "revision 2",
        samples.MANIFEST,
        "Failed: web: not healthy",
        "code 7",
        "in Web-3",
        "512 MiB of memory, 100 processes",
    ):
        assert text in output
    assert "runs again" not in output
    server.answers["GET /services"] = [view | {"image": None, "running": None, "tasks_error": "podman is down"}]
    assert re.search(r"web +unknown", dockgate("deploy", "list").out)
    server.answers["GET /services/web"] = view | {"tasks": None, "tasks_error": "podman is down"}
    unknown = dockgate("deploy", "show", "web").out
    assert "podman is down" in unknown
    assert "No tasks." not in unknown
    server.answers["POST /services/web/scale"] = {"service": view["service"], "rollout": None}
    assert dockgate("deploy", "scale", "web", "3").code == 0
    assert server.requests[-1].parse_body() == {"desired_count": 3}
    assert dockgate("deploy", "scale", "web", "--", "-1").code == 2


def test_repositories_are_listed_with_their_heads(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /repositories"] = []
    assert "No visible repositories." in dockgate("repository", "list").out
    server.answers["GET /repositories"] = [
        {"name": "components", "clone_url": "http://127.0.0.1:7420/git/components.git", "heads": {"main": "a" * 40}}
    ]
    assert "main aaaaaaaaaa" in dockgate("repository", "list").out


def test_the_pull_policy_of_repositories_is_shown(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /registry/repositories"] = [
        {"repository": "a/b", "pull": "approved", "policy": "strict", "assignment": "production", "problem": None},
        {"repository": "c", "pull": "any", "policy": "default", "assignment": None, "problem": None},
        {"repository": "d", "pull": None, "policy": None, "assignment": None, "problem": "two match"},
    ]
    lines = dockgate("registry", "list").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["a/b", "approved", "strict", "production"],
        ["c", "any", "default", "-"],
        ["d", "nothing", "-", "two", "match"],
    ]


def test_a_refused_pull_is_explained(dockgate: Dockgate, server: FakeServer) -> None:
    digest = samples.MANIFEST
    answer = {"pull": "approved", "can_pull": False, "reason": "no verdict yet", "advice": "Run `dockgate gate`."}
    server.answers[f"GET /registry/repositories/a/b/pull/{digest}"] = answer
    server.answers["GET /image-references"] = {"digest": digest, "repository": "a/b"}
    for image in (f"a/b@{digest}", "a/b:1"):
        result = dockgate("registry", "check", image)
        assert result.code == 1
        assert "no verdict yet" in result.out
        assert "dockgate gate" in result.out
    answer |= {"can_pull": True, "reason": None, "advice": None}
    result = dockgate("registry", "check", "a/b:1")
    assert (result.code, result.out.splitlines()[-1].split()) == (0, ["can", "be", "pulled", "yes"])
    server.answers["GET /image-references"] = {"digest": digest, "repository": None}
    for image in (digest, digest[7:20]):
        assert dockgate("registry", "check", image).code == 2


def test_pushes_that_are_not_confirmed_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    push = {"repository": "quay.io/a/b", "tag": "1", "digest": samples.MANIFEST, "attempts": 2, "reason": "no answer"}
    push |= {"received_at": "2026-11-28T10:00:00.000Z", "next_at": "2026-11-28T10:00:20.000Z"}
    server.answers["GET /registries/pushes"] = [push, {**push, "tag": None}, {**push, "digest": None}]
    output = dockgate("registry", "pushes").out
    assert [line.split()[0] for line in output.splitlines()] == [
        "IMAGE",
        "quay.io/a/b:1",
        "quay.io/a/b",
        "quay.io/a/b:1",
    ]
    assert output.count("no answer") == 3
    server.answers["GET /registries/pushes"] = []
    assert "All reported pushes are confirmed." in dockgate("registry", "pushes").out


def test_a_registrys_hook_is_shown_and_its_secret_changed(dockgate: Dockgate, server: FakeServer) -> None:
    hook = {"url": "http://gate/registry/quay/quay.io", "authorization": "Bearer one", "url_with_secret": "http://x"}
    server.answers["GET /registries/quay.io/hook/quay"] = hook
    server.answers["POST /registries/quay.io/hook/quay"] = {**hook, "authorization": "Bearer two"}
    assert "Bearer one" in dockgate("registry", "hook", "quay", "quay.io").out
    assert "Bearer two" in dockgate("registry", "rotate", "quay", "quay.io").out
    assert dockgate("registry", "rotate", "gitea", "quay.io").code == 2


@pytest.mark.parametrize(
    ("words", "path", "filters"),
    [
        ("waiver list --ending --owner ana", "waivers", {"ending": "true", "owner": "ana"}),
        ("pipeline list --result rejected", "pipelines", {"result": "Rejected"}),
        ("rule list --no-enabled", "rules", {"enabled": "false"}),
        ("target list --state failed", "targets", {"state": "Failed"}),
        ("target list", "targets", {}),
    ],
)
def test_lists_have_the_filters_of_their_calls(
    dockgate: Dockgate, server: FakeServer, words: str, path: str, filters: dict[str, str]
) -> None:
    server.answers[f"GET /{path}"] = []
    assert dockgate(*words.split()).code == 0
    query = dict(server.requests[0].query)
    assert {name: value for name, value in query.items() if name not in ("limit", "sort")} == filters
