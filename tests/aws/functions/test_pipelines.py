"""What waits in CodePipeline is answered by CodePipeline's own word, whatever messages say or whether they come."""

import pytest
from botocore.exceptions import ClientError
from tests.aws.account import (
    ACCOUNT,
    PIPELINE,
    REGION,
    REPOSITORY,
    STAGE,
    Account,
    digest_of,
    make_approval_event,
    make_custom_data,
    make_finding,
)
from tests.aws.fakes.codepipeline import Pipeline

from dockgate.aws.messages import parse_custom_data
from dockgate.aws.pipelines import LONGEST_WAIT_DAYS
from dockgate.gate.model import ExemptionSet, Waiver
from dockgate.shared import canonical
from dockgate.shared.errors import UsageError

IMAGE, CLEAN = digest_of(1), digest_of(2)
CLOCK = {"source": "aws.events"}
MINUTE = 60
MODES = ("PARALLEL", "QUEUED", "SUPERSEDED")


@pytest.fixture
def scanned_account(aws: Account) -> Account:
    """IMAGE is to be rejected, CLEAN to be approved."""
    aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"))
    aws.complete_scan(CLEAN)
    return aws


# --- lost messages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_approval_whose_message_was_lost_is_answered_by_the_sweep(
    scanned_account: Account, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scanned_account.approvals.pipelines[PIPELINE] = Pipeline(mode)
    handlers = scanned_account.make_functions()
    for image, answer in ((IMAGE, "Rejected"), (CLEAN, "Approved")):
        token = scanned_account.ask(image)
        assert handlers.sweep(CLOCK) == {"waiting": 0}
        assert scanned_account.list_answers(token) == [answer]
    assert capsys.readouterr().out.count('"event": "ApprovalRecovered"') == 2
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.approvals.refused == 0


def test_a_recovered_approval_has_waited_since_its_action_began(aws: Account) -> None:
    """Not since it was found: the wait does not start again."""
    token = aws.ask(IMAGE, started_at=aws.now - 59 * MINUTE)
    handlers = aws.make_functions()
    assert handlers.sweep(CLOCK) == {"waiting": 1}
    aws.now += MINUTE
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert aws.list_answers(token) == ["Rejected"]


def test_an_action_without_a_digest_is_answered_by_the_sweep(aws: Account) -> None:
    token = aws.ask("")
    assert aws.make_functions().sweep(CLOCK) == {"waiting": 0}
    assert "the approval action names no digest" in aws.approvals.summaries[token]


@pytest.mark.parametrize("way", ["by its message", "by the sweep"])
def test_an_action_whose_comment_names_two_images_is_rejected(scanned_account: Account, way: str) -> None:
    """Its comment has the message of the commit, whose author chose what is to be judged."""
    text = f"{CLEAN} Image_Digest={CLEAN}"
    token = scanned_account.ask(IMAGE, Message=text)
    handlers = scanned_account.make_functions()
    if way == "by its message":
        handlers.record(make_approval_event(token, image=IMAGE, Message=text))
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert "has Image_Digest twice" in scanned_account.approvals.summaries[token]


@pytest.mark.parametrize(
    "extra_entry", ["Policy=lenient", "Image_Repository=other", "Execution=7", "\x1b[2J Policy=x\x00"]
)
def test_a_variable_adds_no_entry_to_a_comment(scanned_account: Account, extra_entry: str) -> None:
    """A committer's text with a blank would choose the policy, or the repository whose waivers count."""
    token = scanned_account.ask(CLEAN, Message="fix")
    run = scanned_account.approvals.run(token)
    run.configuration = {"CustomData": "Image_Digest=#{Build.DIGEST} Message=#{Source.CommitMessage}"}
    run.resolved = {"CustomData": f"Image_Digest={CLEAN} Message=fix {extra_entry}"}
    scanned_account.make_functions().sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert (
        "entry of its own" in scanned_account.approvals.summaries[token]
        or "invalid policy name" in scanned_account.approvals.summaries[token]
    )


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\x85", "é", "'"])
def test_entries_with_odd_characters_are_refused_or_ignored(character: str) -> None:
    assert parse_custom_data(f"Execution=7{character}x").execution in (None, "7")
    assert parse_custom_data(f"Image_Digest={CLEAN}{character}x").digest in (None, CLEAN)
    assert parse_custom_data(f"Image_Repository=a{character}x").repository in (None, "a")
    if not character.isspace():
        with pytest.raises(UsageError, match="invalid policy name"):
            parse_custom_data(f"Policy=a{character}")


def test_a_message_that_comes_after_the_sweep_changes_nothing(scanned_account: Account) -> None:
    token, handlers = scanned_account.ask(CLEAN), scanned_account.make_functions()
    handlers.sweep(CLOCK)
    handlers.record(make_approval_event(token, image=CLEAN))
    assert (scanned_account.list_answers(token), scanned_account.approvals.refused) == (["Approved"], 0)


def test_every_page_of_a_busy_pipeline_is_read_and_none_that_is_too_old(scanned_account: Account) -> None:
    oldest_token, scanned_account.approvals.page = scanned_account.ask(CLEAN), 3
    for _ in range(4):
        scanned_account.approvals.run(scanned_account.ask(IMAGE)).status = "Failed"
    assert scanned_account.make_functions().sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(oldest_token) == ["Approved"]
    for run in scanned_account.approvals.pipelines[PIPELINE].runs:
        run.started -= (LONGEST_WAIT_DAYS + 1) * 86_400
    calls = scanned_account.services["codepipeline"].calls
    calls.clear()
    scanned_account.make_functions().sweep(CLOCK)
    assert [name for name, _ in calls] == ["GetPipeline", "ListActionExecutions"]


def test_a_failing_pipeline_does_not_block_the_others(scanned_account: Account) -> None:
    """One that does not exist any more is not a fault."""
    token = scanned_account.ask(CLEAN)
    names = ",".join(f"{name}/{STAGE}/{STAGE}" for name in ("Gone", "Closed", PIPELINE))
    scanned_account.approvals.pipelines["Closed"] = Pipeline("UNHEARD_OF")
    with pytest.raises(ClientError):
        scanned_account.make_functions(DOCKGATE_APPROVALS=names).sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Approved"]
    assert scanned_account.services["codepipeline"].faults
    scanned_account.services["codepipeline"].faults.clear()


# --- forged messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["forged first", "forged last", "forged alone"])
def test_a_message_that_names_another_image_approves_nothing(scanned_account: Account, mode: str, order: str) -> None:
    scanned_account.approvals.pipelines[PIPELINE] = Pipeline(mode)
    token, handlers = scanned_account.ask(IMAGE), scanned_account.make_functions()
    forged_event, own_event = make_approval_event(token, image=CLEAN), make_approval_event(token, image=IMAGE)
    orders = {
        "forged first": (forged_event, forged_event, own_event),
        "forged last": (own_event, forged_event),
        "forged alone": (forged_event,),
    }
    for event in orders[order]:
        handlers.record(event)
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert "1 CRITICAL finding" in scanned_account.approvals.summaries[token]
    assert scanned_account.approvals.refused == 0
    scanned_account.now += 60 * MINUTE
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(token) == ["Rejected"]


def test_a_message_that_names_another_image_rejects_nothing(scanned_account: Account) -> None:
    token, handlers = scanned_account.ask(CLEAN), scanned_account.make_functions()
    handlers.record(make_approval_event(token, image=IMAGE, expires="2016-07-07T20:22Z"))
    handlers.record(make_approval_event(token, image=""))
    handlers.record(make_approval_event(token, image=digest_of(9), expires="2016-07-07T20:22Z"))
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(token) == ["Approved"]


def test_a_message_does_not_choose_the_waivers_of_another_repository(scanned_account: Account) -> None:
    waiver = Waiver("w1", "ann", "known", "CVE-2024-0001", repository="other", until="2027-01-01T00:00:00Z")
    scanned_account.get_client("s3").put_object(
        Bucket="verdicts", Key="waivers.json", Body=canonical.encode(ExemptionSet((waiver,)))
    )
    token = scanned_account.ask(IMAGE)
    handlers = scanned_account.make_functions(DOCKGATE_WAIVERS="s3://verdicts/waivers.json")
    handlers.record(make_approval_event(token, image=IMAGE, Image_Repository="other"))
    assert scanned_account.list_answers(token) == ["Rejected"]


def test_a_message_does_not_choose_another_execution(scanned_account: Account) -> None:
    token, second = scanned_account.ask(IMAGE), scanned_account.ask(CLEAN)
    handlers = scanned_account.make_functions()
    for hint in (scanned_account.approvals.run(second).execution, "00000000-0000-0000-0000-000000000000", "x"):
        handlers.record(make_approval_event(token, image=CLEAN, Execution=hint))
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token, second) == ["Rejected", "Approved"]


def test_an_unknown_token_is_never_approved(scanned_account: Account) -> None:
    token, handlers = "00000000-0000-0000-0000-000000000000", scanned_account.make_functions()
    handlers.record(make_approval_event(token, image=CLEAN))
    assert handlers.sweep(CLOCK) == {"waiting": 1}
    scanned_account.now += 60 * MINUTE
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(token) == [None]


@pytest.mark.parametrize(
    "approval_names", ["Other/Assess/Gate", f"{PIPELINE}/{STAGE}/Other", f"{PIPELINE}/Other/{STAGE}"]
)
def test_a_foreign_action_is_ignored_without_a_query(scanned_account: Account, approval_names: str) -> None:
    token = scanned_account.ask(CLEAN)
    with pytest.raises(UsageError, match="not one of this stack's"):
        scanned_account.make_functions(DOCKGATE_APPROVALS=approval_names).record(
            make_approval_event(token, image=CLEAN)
        )
    assert scanned_account.services["codepipeline"].calls == []


# --- repositories with their registry --------------------------------------------------------------------------------

OURS = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


@pytest.mark.parametrize("registry", [OURS, f"{ACCOUNT}.dkr-ecr.{REGION}.on.aws", OURS.replace(".ecr.", ".ecr-fips.")])
def test_a_repository_may_be_named_with_our_registry(scanned_account: Account, registry: str) -> None:
    waiver = Waiver("w1", "ann", "known", "CVE-2024-0001", repository=REPOSITORY, until="2027-01-01T00:00:00Z")
    scanned_account.get_client("s3").put_object(
        Bucket="verdicts", Key="waivers.json", Body=canonical.encode(ExemptionSet((waiver,)))
    )
    handlers = scanned_account.make_functions(DOCKGATE_WAIVERS="s3://verdicts/waivers.json")
    name = f"{registry}/{REPOSITORY}"
    token, lost_token = (scanned_account.ask(IMAGE, Image_Repository=name) for _ in range(2))
    handlers.record(make_approval_event(token, image=IMAGE, Image_Repository=name))
    assert scanned_account.list_answers(token) == ["Approved"]
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(lost_token) == ["Approved"]


@pytest.mark.parametrize("registry", [OURS.replace(ACCOUNT, "999999999999"), OURS.replace(REGION, "us-east-1")])
def test_a_repository_in_another_registry_is_refused_at_once(scanned_account: Account, registry: str) -> None:
    handlers, name = scanned_account.make_functions(), f"{registry}/{REPOSITORY}"
    token, lost_token = (scanned_account.ask(CLEAN, Image_Repository=name) for _ in range(2))
    handlers.record(make_approval_event(token, image=CLEAN, Image_Repository=name))
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(lost_token) == ["Rejected"]
    assert f"the repository {name} is in the registry of the account" in scanned_account.approvals.summaries[token]


# --- what CodePipeline does not say -----------------------------------------------------------------------------------


def test_an_approval_that_codepipeline_lists_late_is_answered_then(scanned_account: Account) -> None:
    token, handlers = scanned_account.ask(CLEAN), scanned_account.make_functions()
    scanned_account.approvals.run(token).unlisted = 2
    handlers.record(make_approval_event(token, image=CLEAN, expires="2016-07-07T20:22Z"))
    assert handlers.sweep(CLOCK) == {"waiting": 1}
    assert scanned_account.list_answers(token) == [None]
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(token) == ["Approved"]


def test_an_approval_that_codepipeline_never_lists_is_rejected_in_time(scanned_account: Account) -> None:
    token, handlers = scanned_account.ask(CLEAN), scanned_account.make_functions()
    scanned_account.approvals.run(token).unlisted = 99
    handlers.record(make_approval_event(token, image=CLEAN))
    scanned_account.now += 60 * MINUTE
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert "CodePipeline lists no such approval" in scanned_account.approvals.summaries[token]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", ["GetPipeline", "GetPipelineState", "ListActionExecutions"])
def test_while_codepipeline_cannot_be_asked_nothing_is_approved(
    scanned_account: Account, mode: str, operation: str
) -> None:
    if (mode, operation) == ("PARALLEL", "GetPipelineState"):
        return  # it is not asked for
    scanned_account.approvals.pipelines[PIPELINE] = Pipeline(mode)
    token, handlers = scanned_account.ask(CLEAN), scanned_account.make_functions()
    scanned_account.broken = {f"codepipeline.{operation}"}
    with pytest.raises(ClientError):
        handlers.record(make_approval_event(token, image=CLEAN))
    with pytest.raises(ClientError):
        handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token) == [None]
    scanned_account.now += 60 * MINUTE
    with pytest.raises(ClientError):
        handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Rejected"]
    assert "this test does not allow it" in scanned_account.approvals.summaries[token]


def test_a_configuration_that_is_not_resolved_names_no_image_and_is_not_taken_for_one_without(
    scanned_account: Account,
) -> None:
    token, lost_token = scanned_account.ask(CLEAN), scanned_account.ask(CLEAN)
    runs = scanned_account.approvals.run(token), scanned_account.approvals.run(lost_token)
    for run in runs:
        run.resolved = None
    handlers = scanned_account.make_functions()
    handlers.record(make_approval_event(token, image=CLEAN))
    assert handlers.sweep(CLOCK) == {"waiting": 1}
    assert scanned_account.list_answers(token, lost_token) == [None, None]
    runs[0].resolved = {"CustomData": make_custom_data(CLEAN)}
    scanned_account.now += 59 * MINUTE
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(token, lost_token) == ["Approved", None]
    scanned_account.now += MINUTE
    handlers.sweep(CLOCK)
    assert scanned_account.list_answers(lost_token) == ["Rejected"]


def test_a_comment_without_variables_needs_no_resolving(scanned_account: Account) -> None:
    token = scanned_account.ask(CLEAN)
    run = scanned_account.approvals.run(token)
    run.configuration, run.resolved = {"CustomData": make_custom_data(CLEAN)}, None
    scanned_account.make_functions().sweep(CLOCK)
    assert scanned_account.list_answers(token) == ["Approved"]
