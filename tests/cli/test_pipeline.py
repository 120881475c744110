"""`dockgate pipeline`: what it prints about executions."""

import json
from dataclasses import replace
from typing import Any

from tests.cli import answers
from tests.cli.answers import NAME, VERDICT, serve
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer, RecordedRequest
from tests.reports import samples

from dockgate.delivery.fixes import Fix, FixDetails, FixKind, FixState
from dockgate.delivery.model import FixAction, RunState
from dockgate.gate.model import AppliedExemption, Status
from dockgate.shared.canonical import to_plain


def test_show_lists_stages_states_and_times_in_order(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    result = dockgate("pipeline", "show", NAME)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == f"✗ {NAME}  #1  failed  1 min 5 s"
    assert "3 min ago (" in lines[1]
    assert "UTC)" in lines[1]
    assert f"by push of {answers.COMMIT[:10]} to components main" in lines[1]
    stages = [line for line in lines if line and line[0] in "✓✗·▸◦" and NAME not in line]
    assert [line.split()[:3] for line in stages] == [
        ["✓", "Source", "succeeded"],
        ["✓", "Build", "succeeded"],
        ["✗", "Assess", "failed"],
        ["·", "Deploy", "not"],
    ]
    assert f"IMAGE_DIGEST {samples.MANIFEST}" in result.out


def test_show_lists_every_violation_once_and_the_remediation(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    output = dockgate("pipeline", "show", NAME).out
    assert "✗ Rejected by policy default" in output
    for finding in samples.FINDINGS[:4]:
        rows = [row for row in output.splitlines() if finding.id in row and finding.severity in row and "→" in row]
        assert any(
            f"{finding.package.name} {finding.package.version} → {finding.fixed or 'no fix'}" in row for row in rows
        )
    assert "jinja2 2.10 → 2.11.3" in output
    assert output.count("2 HIGH findings, at most 0 allowed") == 1
    assert f"dockgate pipeline retry {NAME}-1" in output


def test_show_says_that_an_undetermined_verdict_rejected(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    unsure = samples.make_platform_verdict(Status.UNDETERMINED, violations=(), remediation=(), findings=())
    verdict = samples.make_verdict(unsure, status=Status.UNDETERMINED)
    server.answers[f"GET /verdicts/{VERDICT}"] = to_plain(verdict)
    output = dockgate("pipeline", "show", NAME).out
    assert "✗ Rejected by policy default, because the verdict is Undetermined" in output
    assert "no feed for npm" in output


def test_show_has_the_summary_when_the_verdict_is_deleted(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    del server.answers[f"GET /verdicts/{VERDICT}"]
    result = dockgate("pipeline", "show", NAME)
    assert result.code == 0
    assert "2 HIGH findings, at most 0 allowed" in result.out


def test_show_says_what_an_approval_waits_for(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_waiting_execution())
    output = dockgate("pipeline", "show", NAME).out
    assert output.startswith(f"▸ {NAME}  #1  in progress")
    assert "◦ Assess  waiting" in output
    assert "waits for a verdict (policy default)" in output
    assert "retry" not in output


def test_show_has_the_reason_and_attempt_of_a_failed_action(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_rejected_execution()
    failed_action = answers.make_action(
        "Image", "build", RunState.FAILED, reason="RUN false: exit 1\nLook at line 3.", attempt=2
    )
    view["stages"][1] = {"name": "Build", "state": "Failed", "actions": [failed_action]}
    serve(server, view)
    output = dockgate("pipeline", "show", NAME).out
    assert "Image (attempt 2)  failed" in output
    assert "• RUN false: exit 1" in output
    assert "• Look at line 3." in output


def test_an_execution_is_chosen_by_number_or_id(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    assert dockgate("pipeline", "show", NAME, "--execution", "1").code == 0
    assert dockgate("pipeline", "show", NAME, "--execution", f"{NAME}-1").code == 0
    assert dockgate("pipeline", "show", NAME, "--execution", "7").code == 2
    other_view = answers.make_rejected_execution()
    other_view["execution"]["pipeline"] = "Other"
    server.answers["GET /executions/Other-1"] = other_view
    result = dockgate("pipeline", "show", NAME, "--execution", "Other-1")
    assert (result.code, result.err.splitlines()[0]) == (
        2,
        f"error: Other-1 is an execution of the pipeline Other, not of {NAME}",
    )


def test_a_pipeline_without_executions_shows_how_to_start_it(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers[f"GET /pipelines/{NAME}/executions"] = []
    stages: list[dict[str, object]] = [{"name": name, "actions": []} for name in ("Source", "Build")]
    server.answers[f"GET /pipelines/{NAME}"] = {"name": NAME, "version": 1, "stages": stages}
    result = dockgate("pipeline", "show", NAME)
    assert result.code == 0
    assert f"{NAME} has no executions yet: Source → Build" in result.out
    assert f"dockgate pipeline start {NAME}" in result.out


def test_json_output_is_the_servers_json(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_rejected_execution()
    serve(server, view)
    assert json.loads(dockgate("pipeline", "show", NAME, "-o", "json").out) == view


def test_pipelines_and_executions_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /pipelines"] = [
        {"name": NAME, "version": 2, "latest": answers.make_execution()},
        {"name": "Quiet", "version": 1, "latest": None},
    ]
    head, first, second = dockgate("pipeline", "list").out.splitlines()
    assert head.split() == ["PIPELINE", "VERSION", "NEWEST", "STATE", "STARTED"]
    assert first.split()[:4] == [NAME, "2", f"{NAME}-1", "Failed"]
    assert "never ran" in second
    server.answers[f"GET /pipelines/{NAME}/executions"] = [answers.make_execution(reason="Build/Image: no base image")]
    output = dockgate("pipeline", "executions", NAME, "--limit", "5").out
    assert "Build/Image: no base image" in output
    assert server.requests[-1].query == {"limit": "5", "sort": "-number"}


def test_executions_are_started_stopped_and_retried(dockgate: Dockgate, server: FakeServer) -> None:
    running = answers.make_execution(3, RunState.IN_PROGRESS)
    server.answers |= {
        f"POST /pipelines/{NAME}/executions": (201, running),
        f"POST /executions/{NAME}-3/stop": running,
        f"POST /executions/{NAME}-3/retry": running,
    }
    assert f"{NAME}-3: started" in dockgate("pipeline", "start", NAME).out
    assert f"{NAME}-3: stopped" in dockgate("pipeline", "stop", f"{NAME}-3", "--reason", "enough").out
    assert server.requests[-1].parse_body() == {"reason": "enough"}
    assert dockgate("pipeline", "retry", f"{NAME}-3").code == 0


def test_a_fresh_start_asks_for_builds_without_earlier_layers(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers[f"POST /pipelines/{NAME}/executions"] = (201, answers.make_execution(3, RunState.IN_PROGRESS))
    for arguments, query in (([], {}), (["--fresh"], {"fresh": "true"})):
        assert dockgate("pipeline", "start", NAME, *arguments).code == 0
        assert server.requests[-1].query == query


def test_fixes_are_listed_with_what_they_change_and_where(dockgate: Dockgate, server: FakeServer) -> None:
    details = FixDetails(("flask: 1.0 → 2.0",), ("CVE-2026-1",), ("go.mod is upgraded by hand.",))
    values = "shop", "sha256:" + "a" * 64, "shop/app", FixKind.CHANGE, FixAction.BRANCH, details
    offered_fix = Fix("f1", *values, "shop", "c" * 40, "2026-11-28T10:00:00.000Z", FixState.OFFERED, "dockgate/fix-f1")
    ended_fix = replace(offered_fix, id="f0", state=FixState.APPLIED, reason="shop-2 delivered another image")
    server.answers[f"GET /pipelines/{NAME}/fixes"] = to_plain(
        [offered_fix, replace(offered_fix, id="f2", branch=None), ended_fix]
    )
    output = dockgate("pipeline", "fixes", NAME).out
    for text in ("f1", "Offered", "dockgate/fix-f1", "flask: 1.0 → 2.0", "go.mod is", "shop-2 delivered another"):
        assert text in output, output
    server.answers[f"GET /pipelines/{NAME}/fixes"] = []
    assert "No fix was found" in dockgate("pipeline", "fixes", NAME).out


class Log:
    """An action's log that grows each time it is asked for."""

    def __init__(self, *parts: str) -> None:
        self.parts = list(parts)
        self.offsets: list[str] = []

    def __call__(self, request: RecordedRequest) -> Any:
        self.offsets.append(request.query["offset"])
        if not self.parts:
            return {"text": "", "offset": int(request.query["offset"]), "is_complete": True}
        text = self.parts.pop(0)
        return {"text": text, "offset": int(request.query["offset"]) + len(text), "is_complete": False}


def test_logs_are_followed_until_the_action_is_over(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    log = Log("STEP 1\n", "", "STEP 2\n")
    server.answers[f"GET /executions/{NAME}-1/log"] = log
    result = dockgate("pipeline", "logs", NAME, "--stage", "Build", "-f")
    assert (result.code, result.out) == (0, "STEP 1\nSTEP 2\n"), "the build succeeded, which is what was asked for"
    assert log.offsets == ["0", "7", "7", "14"]


def test_logs_without_follow_end_with_the_present_text(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    server.answers[f"GET /executions/{NAME}-1/log"] = Log("STEP 1\n", "", "STEP 2\n")
    assert dockgate("pipeline", "logs", f"{NAME}-1", "--action", "Image").out == "STEP 1\n"


def test_a_log_in_a_pipe_has_no_control_characters(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    server.answers[f"GET /executions/{NAME}-1/log"] = Log("a\x1b[2Jb\u202ec\rd\nSTEP 2\n")
    output = dockgate("pipeline", "logs", f"{NAME}-1", "--action", "Image").out
    assert output == "a\\x1b[2Jb\\u202ec\\rd\nSTEP 2\n"


def test_several_logs_have_titles_and_actions_that_never_started_are_skipped(
    dockgate: Dockgate, server: FakeServer
) -> None:
    serve(server, answers.make_rejected_execution())
    server.answers[f"GET /executions/{NAME}-1/log"] = Log("STEP 1\n")
    assert dockgate("pipeline", "logs", NAME, "-f").out == "── Build / Image ──\nSTEP 1\n"


def test_following_waits_for_an_action_to_begin(dockgate: Dockgate, server: FakeServer) -> None:
    before, begun_execution = answers.make_waiting_execution(), answers.make_waiting_execution()
    begun_execution["stages"][3]["actions"] = [answers.make_action("Deploy", "deploy", RunState.IN_PROGRESS)]
    views = [before, before, before]
    serve(server, before)
    server.answers[f"GET /executions/{NAME}-1"] = lambda request: views.pop() if views else begun_execution
    server.answers[f"GET /executions/{NAME}-1/log"] = Log("web: revision 2\n")
    assert dockgate("pipeline", "logs", NAME, "--action", "Deploy", "-f").out == "web: revision 2\n"


def test_logs_of_a_missing_action_are_an_error(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    result = dockgate("pipeline", "logs", NAME, "--stage", "Biuld")
    assert result.code == 2
    assert "has no Biuld" in result.err


def test_logs_of_a_pipeline_without_executions_are_an_error(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers[f"GET /pipelines/{NAME}/executions"] = []
    result = dockgate("pipeline", "logs", NAME)
    assert result.code == 2
    assert f"{NAME} has no executions yet" in result.err


def make_view_waiting_for_people(**changes: Any) -> Any:
    view = answers.make_waiting_execution()
    approvers = {"principals": ["ann"], "roles": ["security"], "count": 2, "exclude_committer": True}
    (action,) = view["stages"][2]["actions"]
    action["approval"] |= {"approvers": approvers, "verdict": VERDICT, **changes}
    return view


def test_show_names_the_pending_scan_and_the_reject_command(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_waiting_execution())
    scan = {"state": "Requested", "reason": "", "requested_at": answers.get_past(4)}
    server.answers[f"GET /images/{samples.MANIFEST}"] = {"scan": scan}
    server.answers[f"GET /approvals/{NAME}-1/Assess/Gate/1"] = answers.make_caller_decision()
    output = dockgate("pipeline", "show", NAME).out
    assert "waits for the scan of the image, requested 4 s ago (policy default)" in output
    assert f"dockgate approval reject {NAME}-1 --reason TEXT" in output
    assert "approval approve" not in output


def test_show_names_the_missing_approvers_and_the_approve_command(dockgate: Dockgate, server: FakeServer) -> None:
    view = make_view_waiting_for_people()
    serve(server, view)
    approval = view["stages"][2]["actions"][0]["approval"]
    server.answers[f"GET /approvals/{approval['id']}/votes"] = [{"who": "bob", "is_yes": True}]
    server.answers[f"GET /approvals/{approval['id']}"] = answers.make_caller_decision(can_approve=True)
    output = dockgate("pipeline", "show", NAME).out
    assert "waits for 1 of 2 approvals from ann, role security (approved so far: bob)" in output
    assert "waits for a verdict" not in output, "the policy has approved already"
    assert f"dockgate approval approve {NAME}-1" in output
    refusal = answers.make_caller_decision(can_reject=False, objection="bob has voted")
    server.answers[f"GET /approvals/{approval['id']}"] = refusal
    output = dockgate("pipeline", "show", NAME).out
    assert "you cannot decide it: bob has voted" in output
    assert "dockgate approval" not in output


def test_an_approval_is_answered_by_the_name_of_its_execution(dockgate: Dockgate, server: FakeServer) -> None:
    view = make_view_waiting_for_people()
    serve(server, view)
    approval = view["stages"][2]["actions"][0]["approval"]
    server.answers[f"POST /approvals/{approval['id']}/vote"] = {"approval": approval, "votes": []}
    assert dockgate("approval", "approve", f"{NAME}-1").code == 0
    serve(server, answers.make_rejected_execution())
    result = dockgate("approval", "approve", f"{NAME}-1")
    assert (result.code, result.err.splitlines()[0]) == (2, f"error: execution {NAME}-1 has no waiting approval")


def test_an_approval_with_waived_findings_is_never_shown_as_clean(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_rejected_execution()
    approval = {"state": "Approved", "summary": "All findings within the policy's limits; 1 waived finding"}
    view["stages"][2]["actions"][0]["approval"] |= approval
    serve(server, view)
    platform_verdict = samples.make_platform_verdict(
        Status.APPROVED, violations=(), undetermined_subjects=(), remediation=()
    )
    waiver = AppliedExemption("waiver", "w-1", "ana", "Never called.", "2026-12-31T00:00:00.000Z", samples.FINDINGS[0])
    verdict = samples.make_verdict(replace(platform_verdict, waived=(waiver,)), status=Status.APPROVED)
    server.answers[f"GET /verdicts/{VERDICT}"] = to_plain(verdict)
    output = dockgate("pipeline", "show", NAME).out
    assert "✓ Approved with 1 waived finding by policy default" in output
    assert "✓ Approved with 1 waived finding by policy default" in dockgate("verdict", "show", VERDICT).out
    summary = {
        "repository": "app",
        "tag": "1",
        "digest": samples.MANIFEST,
        "pushed_at": answers.get_past(9),
        "scan": "Done",
    }
    image_fields = {
        "status": "Approved",
        "summary": None,
        "waived": "1 waived finding",
        "gone_at": None,
        "counts": None,
    }
    server.answers["GET /images"] = {"images": [summary | image_fields], "next": None}
    assert "Approved, 1 waived finding" in dockgate("image", "list").out


def test_a_persons_rejection_is_shown_with_the_verdict_that_approved(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_rejected_execution()
    view["stages"][2]["actions"][0]["approval"] |= {"decided_by": "ann", "summary": "rejected by ann: not today"}
    serve(server, view)
    clean = samples.make_platform_verdict(Status.APPROVED, violations=(), undetermined_subjects=(), remediation=())
    server.answers[f"GET /verdicts/{VERDICT}"] = to_plain(samples.make_verdict(clean, status=Status.APPROVED))
    output = dockgate("pipeline", "show", NAME).out
    assert "Rejected by ann" in output
    assert "rejected by ann: not today" in output
    assert "The verdict was Approved." in output


def test_following_logs_exits_by_the_outcome_of_the_execution(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    server.answers[f"GET /executions/{NAME}-1/log"] = Log("STEP 1\n")
    result = dockgate("pipeline", "logs", NAME, "-f")
    assert result.code == 1
    assert f"{NAME}-1: failed: Assess/Gate: 2 HIGH findings" in result.err
    assert dockgate("pipeline", "logs", NAME, "-f", "--action", "Deploy").code == 2, "it never began"


def test_following_lists_missing_approvers_once(dockgate: Dockgate, server: FakeServer) -> None:
    views = [make_view_waiting_for_people(), make_view_waiting_for_people(), answers.make_rejected_execution()]
    serve(server, answers.make_rejected_execution())
    server.answers[f"GET /executions/{NAME}-1"] = lambda request: views.pop(0) if len(views) > 1 else views[0]
    decision = answers.make_caller_decision(can_approve=True)
    server.answers[f"GET /approvals/{NAME}-1/Assess/Gate/1"] = decision
    result = dockgate("pipeline", "wait", f"{NAME}-1")
    assert result.err.count("waits for 2 of 2 approvals") == 1
    assert f"dockgate approval approve {NAME}-1/Assess/Gate/1" in result.err


def test_show_takes_an_execution_by_its_id(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    assert dockgate("pipeline", "show", f"{NAME}-1").out == dockgate("pipeline", "show", NAME).out
    result = dockgate("pipeline", "show", "Nothing")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: there is no /pipelines/Nothing/executions")
